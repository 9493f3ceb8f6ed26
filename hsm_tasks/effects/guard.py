"""One run at a time on a workspace: who comes second waits, and says for whom."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from hsm_tasks.core.errors import HsmError
from hsm_tasks.effects import files

_WRITING = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW


@contextlib.contextmanager
def held(folder: Path, command: str, say: Callable[[str], None]) -> Iterator[bool]:
    """Holds the lock of a workspace; True where it had to wait. The kernel frees it when the holder dies.

    The holder writes who it is beside the lock: a lock file itself can not say.
    """
    files.refuse_links(folder)
    folder.mkdir(parents=True, exist_ok=True)
    holder, waited = folder / "lock.holder", False

    def wait() -> None:
        nonlocal waited
        waited = True
        say(f"waiting for {_holder(holder)}")

    handle = _locked(folder / "lock", wait)
    try:
        _say_who(holder, f"process {os.getpid()} ({command})\n")
        yield waited
    finally:
        with contextlib.suppress(OSError):
            holder.unlink(missing_ok=True)
        os.close(handle)


def _locked(path: Path, wait: Callable[[], None]) -> int:
    """A handle of the file that has that name by then: somebody may have removed it, and others have made it anew."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                wait()
                fcntl.flock(handle, fcntl.LOCK_EX)
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(handle), path.stat()):
                    return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def _say_who(path: Path, text: str) -> None:
    """It only helps who waits: nothing that is in its way stops a run."""
    with contextlib.suppress(OSError):
        handle = os.open(path, _WRITING, 0o666)
        try:
            os.write(handle, text.encode("utf-8", "surrogateescape"))
        finally:
            os.close(handle)


def _holder(path: Path) -> str:
    with contextlib.suppress(HsmError):
        return (files.read_if_there(path) or "").strip() or "another run"
    return "another run"
