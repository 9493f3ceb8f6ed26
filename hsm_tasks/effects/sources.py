"""The bytes that a build can see, as one digest."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from hsm_tasks.core.errors import HsmError


def digest(context: Path, dockerfile: str, hidden: tuple[Path, ...], only: tuple[str, ...] | None) -> str:
    """A digest of names, modes and contents below a build context.

    .dockerignore is honoured, `.git` never counts, paths in `hidden` (a mount covers them) are left out. `only`: just
    these files or folders, relative to the context. A Dockerfile outside of the context counts.
    """
    if not context.is_dir():
        raise HsmError(f"the build context {context} is not there")
    total = hashlib.sha256()
    names = only if only is not None else _seen(context, dockerfile)
    for path in sorted(set(_files(context, names))):
        if not any(path == other or other in path.parents for other in hidden):
            total.update(_entry(context, path))
    outside = context / dockerfile
    if only is None and outside.is_file():
        total.update(_entry(context, outside))
    return total.hexdigest()[:32]


def _seen(context: Path, dockerfile: str) -> Iterable[str]:
    ignore = _ignore_file(context, dockerfile)
    patterns = [line.strip() for line in ignore.read_text().splitlines()] if ignore else []
    patterns = [line for line in patterns if line and not line.startswith("#")]
    if not patterns:
        return _walk(context)
    from docker.utils.build import exclude_paths  # the SDK's own reading of .dockerignore

    names = (name for name in exclude_paths(str(context), patterns, dockerfile) if not _is_git(name))
    return [name for name in names if (context / name).is_symlink() or not (context / name).is_dir()]


def _ignore_file(context: Path, dockerfile: str) -> Path | None:
    own = context / f"{dockerfile}.dockerignore"
    return next((path for path in (own, context / ".dockerignore") if path.is_file()), None)


def _is_git(name: str) -> bool:
    return name == ".git" or name.startswith(".git/")


def _walk(context: Path) -> Iterator[str]:
    for folder, folders, names in os.walk(context):
        if Path(folder) == context and ".git" in folders:
            folders.remove(".git")
        here = os.path.relpath(folder, context)
        links = [name for name in folders if (Path(folder) / name).is_symlink()]
        yield from (os.path.normpath(os.path.join(here, name)) for name in (*names, *links))  # noqa: PTH118


def _files(context: Path, names: Iterable[str]) -> Iterator[Path]:
    for name in names:
        path = context / name
        if path.is_dir() and not path.is_symlink():
            yield from (path / below for below in _walk(path))
        elif path.is_symlink() or path.is_file():
            yield path


def _entry(context: Path, path: Path) -> bytes:
    info = path.lstat()
    kind = f"{stat.S_IFMT(info.st_mode):o}:{info.st_mode & 0o111:o}"
    content = os.readlink(path).encode() if path.is_symlink() else path.read_bytes()  # noqa: PTH115
    head = f"{os.path.relpath(path, context)}\0{kind}\0".encode()
    return head + hashlib.sha256(content).digest()
