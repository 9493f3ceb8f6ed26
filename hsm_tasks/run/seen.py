"""A file as it was seen: its stat, whether that can be trusted, and the digest of its content.

A file is judged by its content. Its stat only saves reading it, and only where the stat can be trusted.
"""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path
from typing import Any, Final, TypeAlias

from hsm_tasks.shortcut import is_calm

Stat: TypeAlias = list[int]
"""mtime and ctime in ns, size, inode."""
Seen: TypeAlias = list[Any]
"""A Stat, then 1 if an equal stat proves equal content (else 0), then the digest of the content."""

TRUST: Final = 4
_DIGEST: Final = 5


def stat_of(found: os.stat_result) -> Stat:
    return [found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino]


def stat_if_there(path: str) -> Stat | None:
    try:
        return stat_of(os.stat(path))  # noqa: PTH116 - thousands in each run, and making a Path costs more than that
    except OSError:
        return None


def _file_digest(path: str) -> str:
    """Of the content; "" (equal to nothing, itself included) where it cannot be read: the step will say why."""
    try:
        if not Path(path).is_file():  # a pipe would never end
            return ""
        with Path(path).open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:
        return ""


def see(path: str) -> Seen:
    """The file as it is now. Raises OSError if there is none."""
    started = time.time_ns()
    stat = stat_of(os.stat(path))  # noqa: PTH116
    digest = _file_digest(path)
    calm = is_calm(stat[1], started) and stat == stat_of(os.stat(path))  # noqa: PTH116
    return [*stat, int(calm), digest]


def unchanged(path: str, seen: Seen, stat: Stat) -> bool:
    """Whether the content is still the seen one. If so, `seen` gets the new stat, to read the file once only."""
    if stat == seen[:TRUST] and seen[TRUST]:
        return True
    if stat[2] != seen[2]:
        return False
    try:
        now = see(path)
    except OSError:  # it went a moment ago
        return False
    if not now[_DIGEST] or now[_DIGEST] != seen[_DIGEST]:
        return False
    seen[:] = now
    return True


def same_file(found: os.stat_result, seen: Seen) -> bool:
    """Whether the stat alone proves that the content is the seen one."""
    return stat_of(found) == seen[:TRUST] and bool(seen[TRUST])


def shown(path: str) -> str:
    """The path as a person in the workspace would write it."""
    try:
        return str(Path(path).relative_to(Path.cwd()))
    except ValueError:
        return path
