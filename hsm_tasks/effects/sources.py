"""The bytes that a build can see, as one digest.

Names, kinds, modes and contents count; times and owners do not, as with the builder's own cache. What was read once is
not read again while its stat proves it unchanged: the digests of contents are kept in a file for each context.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from hsm_tasks.core.dockerignore import Rules, compile_rules
from hsm_tasks.core.errors import HsmError
from hsm_tasks.effects import files
from hsm_tasks.shortcut import is_calm

# of hsm itself: they lie in the context where that is the folder of the stack, and say nothing about an image
OURS = frozenset({".hsm", "docker-compose.hsm.yml", "hsm.local.yaml", "hsm.lock"})
_GLOB = frozenset("*?[")
Known = dict[str, list[Any]]
"""path → size, mtime, ctime (ns), inode, digest of the content."""


class View(msgspec.Struct, frozen=True):
    """What a build sees of a folder: all that its ignore file lets through, but `hidden` paths only if they, or what
    they hold, are `shown`; or `only` these paths and patterns. All absolute."""

    context: Path
    ignore: Path | None = None
    hidden: tuple[Path, ...] = ()
    shown: tuple[Path, ...] = ()
    only: tuple[Path, ...] | None = None


def digest(view: View, cache: Path | None = None, *, keep: bool = True) -> str | None:
    """A digest of what a build sees; None where there is no such folder. `keep`: the cache may be written."""
    if not view.context.is_dir():
        return None
    reader = _Reader(cache)
    total = hashlib.sha256()
    for name, path in sorted(dict(_named(view)).items()):
        total.update(reader.entry(name, path))
    if keep:
        reader.keep()
    return total.hexdigest()[:32]


def ignore_file(context: Path, dockerfile: Path | None) -> Path | None:
    """The .dockerignore that counts: the Dockerfile's own, else that of the context."""
    own = [dockerfile.with_name(f"{dockerfile.name}.dockerignore")] if dockerfile else []
    return next((path for path in (*own, context / ".dockerignore") if path.is_file()), None)


def content(path: Path) -> str | None:
    """A digest of one file's content; None where it can not be read."""
    try:
        return hashlib.sha256(files.content(path)).hexdigest()[:32]
    except OSError:
        return None


# --- which -------------------------------------------------------------------------------------------------------


def _named(view: View) -> Iterator[tuple[str, str]]:
    """(name, path): text, because there may be a lot of them, and a Path costs more than to look at a file."""
    if view.only is not None:
        for path in view.only:
            yield from _listed(path, view.context)
        return
    for path in view.shown:
        yield from _listed(path, view.context)
    hidden = frozenset(map(str, view.hidden))
    if not any(view.context == path or path in view.context.parents for path in view.hidden):
        yield from _walk(str(view.context), "", _rules(view.ignore), hidden)


def _rules(ignore: Path | None) -> Rules:
    if ignore is None:
        return Rules()
    try:
        return compile_rules(files.content(ignore).decode("utf-8", errors="surrogateescape"))
    except OSError as error:
        raise HsmError(f"{ignore} can not be read: {error.strerror}") from error


def _listed(path: Path, context: Path) -> Iterator[tuple[str, str]]:
    """What a person named: a file, a folder, a pattern. What is not there counts as that."""
    if _GLOB & set(path.name) and not path.exists():
        for found in path.parent.glob(path.name):
            yield from _listed(found, context)
        return
    name = os.path.relpath(path, context)
    yield name, str(path)
    if path.is_dir() and not path.is_symlink():
        yield from _walk(str(path), "" if name == "." else f"{name}/", Rules(), frozenset())


def _walk(folder: str, prefix: str, rules: Rules, hidden: frozenset[str]) -> Iterator[tuple[str, str]]:
    """Folders too: an empty one is copied as well. `.git` never counts: `git status` alone rewrites it."""
    try:
        entries = list(os.scandir(folder))
    except OSError:
        yield prefix, folder  # the builder will say why
        return
    for entry in entries:
        name = f"{prefix}{entry.name}"
        if entry.name == ".git" or entry.name in OURS or entry.path in hidden:
            continue
        ignored = rules.matches(name)
        if not ignored:
            yield name, entry.path
        if entry.is_dir(follow_symlinks=False) and (not ignored or rules.may_take_back(name)):
            yield from _walk(entry.path, f"{name}/", rules, hidden)


# --- what they hold ----------------------------------------------------------------------------------------------


class _Reader:
    """Reads files, and only those whose stat does not say that they are what they were."""

    def __init__(self, cache: Path | None) -> None:
        self.cache = cache
        self.known: Known = _load(cache)
        self.seen: Known = {}
        self.read = 0

    def entry(self, name: str, path: str) -> bytes:
        """One path as bytes: its name, kind and mode, and a digest of what it holds."""
        try:
            info = os.lstat(path)
        except OSError:
            return os.fsencode(name) + b"\0gone\0"
        kind = stat.S_IFMT(info.st_mode)
        mode = 0 if kind == stat.S_IFLNK else stat.S_IMODE(info.st_mode)
        held = b""
        if kind == stat.S_IFREG:
            held = self._content(name, path, info).encode()
        elif kind == stat.S_IFLNK:
            held = os.fsencode(os.readlink(path))  # noqa: PTH115
        elif kind == stat.S_IFSOCK:
            return b""  # the builder leaves sockets out
        return os.fsencode(name) + b"\0%o %o %d\0" % (kind, mode, len(held)) + held

    def _content(self, name: str, path: str, info: os.stat_result) -> str:
        state = [info.st_size, info.st_mtime_ns, info.st_ctime_ns, info.st_ino]
        old = self.known.get(name)
        if old is not None and old[:4] == state:
            self.seen[name] = old
            return str(old[4])
        started = time.time_ns()
        try:
            with open(path, "rb") as stream:
                found = hashlib.file_digest(stream, "sha256").hexdigest()[:32]
        except OSError as error:
            return f"unreadable: {error.errno}"  # the builder will say so
        self.read += 1
        if is_calm(info.st_ctime_ns, started) and name.isprintable():
            self.seen[name] = [*state, found]
        return found

    def keep(self) -> None:
        """Writes the cache, where it changes."""
        if self.cache is not None and self.seen != self.known:
            files.write_if_changed(self.cache, msgspec.json.encode(self.seen).decode())


def _load(cache: Path | None) -> Known:
    if cache is None:
        return {}
    try:
        return msgspec.json.decode(files.content(cache), type=Known)
    except (OSError, msgspec.DecodeError):
        return {}


def cache_name(*parts: str) -> str:
    """A file name for the cache of a view."""
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()[:16] + ".json"
