"""One run at a time on a workspace: who comes second waits, and says for whom."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from hsm_tasks.effects import files


@contextlib.contextmanager
def held(folder: Path, command: str, say: Callable[[str], None]) -> Iterator[bool]:
    """Holds the lock of a workspace; True where it had to wait. The kernel frees it when the holder dies.

    The holder writes who it is beside the lock: a lock file itself can not say.
    """
    import filelock

    folder.mkdir(parents=True, exist_ok=True)
    lock, holder = filelock.FileLock(str(folder / "lock")), folder / "lock.holder"
    waited = False
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        waited = True
        say(f"waiting for {(files.read_if_there(holder) or 'another run').strip()}")
        lock.acquire()
    try:
        holder.write_text(f"process {os.getpid()} ({command})\n", encoding="utf-8")
        yield waited
    finally:
        holder.unlink(missing_ok=True)
        lock.release()
