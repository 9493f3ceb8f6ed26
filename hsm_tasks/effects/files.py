"""Reading, and writing only what changed, so that a file is always whole: the old one or the new one."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import stat
import tempfile
from pathlib import Path

from hsm_tasks.core.errors import HsmError

LONGEST = 64 << 20
"""No file that hsm reads is as long as this."""


def content(path: Path | str) -> bytes:
    """What is in a file. OSError where it is none: nobody waits for a pipe, or reads a device to its end."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "it is no file", str(path))
        if found.st_size > LONGEST:
            raise OSError(errno.EFBIG, f"it is longer than {LONGEST >> 20} MiB", str(path))
        with os.fdopen(handle, "rb", closefd=False) as file:
            return file.read()
    finally:
        os.close(handle)


def read(path: Path | str) -> str:
    """The text of a file; HsmError where it can not be read as text."""
    try:
        return _text(path)
    except UnicodeDecodeError as error:
        raise HsmError(f"{path} is not text in UTF-8 (byte {error.start})") from error
    except OSError as error:
        raise HsmError(f"{path} can not be read: {error.strerror}") from error


def _text(path: Path | str) -> str:
    """Line ends as Python has them."""
    return content(path).decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")


def read_if_there(path: Path) -> str | None:
    """The text of a file, None where there is no such file."""
    try:
        return _text(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeDecodeError):
        return read(path)


def write_if_changed(path: Path, text: str) -> bool:
    """Puts the text in place in one move, if the file has another; says whether it had."""
    data = text.encode()
    try:
        if content(path) == data:
            return False
    except OSError:
        pass
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _replace(path, data)
    except OSError as error:
        raise HsmError(f"{path} can not be written: {error.strerror}", "free the place and run it again") from error
    return True


def put(path: Path, data: bytes) -> None:
    """Puts the bytes in place in one move, whatever was there."""
    _replace(path, data)


def _replace(path: Path, data: bytes) -> None:
    handle, new = beside(path)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        new.chmod(path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~_umask())
        new.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            new.unlink()
        raise


def beside(path: Path) -> tuple[int, Path]:
    """An open file beside a path, to be moved there when it is whole. What killed runs left of the same is removed."""
    with contextlib.suppress(OSError):
        for left in remains(path):
            left.unlink()
    prefix = f".{path.name}.{os.getpid()}-"
    handle, name = tempfile.mkstemp(prefix=prefix, suffix=".tmp", dir=path.parent)
    return handle, Path(name)


def remains(path: Path) -> list[Path]:
    """What was being made to be moved to a path when its maker was killed: the name says which process that was."""
    start = f".{path.name}."
    with os.scandir(path.parent) as entries:
        names = [entry.name for entry in entries if entry.name.startswith(start) and entry.name.endswith(".tmp")]
    makers = {name: name[len(start) :].partition("-") for name in names}
    dead = [name for name, (pid, dash, _) in makers.items() if dash and pid.isdigit() and not lives(pid)]
    return [path.with_name(name) for name in dead]


def lives(pid: str) -> bool:
    """Whether there is a process of that number."""
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def _umask() -> int:
    """The user's umask; mkstemp makes files that only the owner may read."""
    with contextlib.suppress(OSError, IndexError, ValueError):
        status = Path("/proc/self/status").read_text(encoding="ascii")
        line = next(line for line in status.splitlines() if line.startswith("Umask:"))
        return int(line.split()[1], 8)
    return 0o022


def hide_folder(folder: Path) -> None:
    """Makes a folder of ours, which says of itself that git is not to see it."""
    if not (folder / ".gitignore").exists():
        write_if_changed(folder / ".gitignore", "*\n")


def read_own(path: Path) -> str | None:
    """The text that `write_own` put there; None where there is none, or where somebody else has written in it."""
    try:
        head, _, text = read(path).partition("\n") if path.exists() else ("", "", "")
    except HsmError:
        return None
    return text if head == _seal(path, text) else None


def write_own(path: Path, text: str) -> bool:
    """`write_if_changed` with a first line that seals the rest: what we rely on, and no person is meant to edit."""
    return write_if_changed(path, f"{_seal(path, text)}\n{text}")


def _seal(path: Path, text: str) -> str:
    """For this name: another file of ours, copied here, is not what belongs here."""
    whole = f"{path.name}\n{text}"
    return f"# {digest(whole.encode())} of its name and of what follows; hsm's own"


def remove(path: Path) -> None:
    """Removes a file or a folder of ours; nothing where there is none."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def digest(data: bytes) -> str:
    """A short name for these bytes: the start of their SHA-256."""
    return hashlib.sha256(data).hexdigest()[:32]
