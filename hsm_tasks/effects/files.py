"""Reading, and writing only what changed, so that a file is always whole: the old one or the new one."""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import os
import re
import shutil
import stat
from pathlib import Path

from hsm_tasks.core.errors import HsmError

LONGEST = 64 << 20
"""No file that hsm reads is as long as this."""
_MADE = re.compile(r"\.(.+)\.([0-9]+)-[^.]*\.tmp", re.DOTALL)


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


def never_ends(path: Path) -> bool:
    """Whether who reads it may wait for ever: a pipe, a socket, a device other than the one that is always empty."""
    try:
        found = path.stat()
    except OSError:
        return False
    ends = stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)
    return not ends and not os.path.samestat(found, os.stat(os.devnull))  # noqa: PTH116


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


def edit(path: Path, text: str, within: Path) -> None:
    """`write_if_changed` for a file that people have a hand in: it keeps its line ends, and where it is a link the file
    that it leads to is written. HsmError where that lies outside of `within`: who committed the link is not known.
    """
    place = path.resolve() if path.is_symlink() else path
    if place is not path and not place.is_relative_to(within.resolve()):
        message = f"{path} is a link to {place}, and hsm writes nothing outside of the workspace"
        raise HsmError(message, "put a file in the place of the link, or change the one that it leads to by hand")
    try:
        as_windows = b"\r\n" in content(place)
    except OSError:
        as_windows = False
    write_if_changed(place, text.replace("\n", "\r\n") if as_windows else text)


def put(path: Path, data: bytes) -> None:
    """Puts the bytes in place in one move, whatever was there."""
    _replace(path, data)


def write_out(path: Path, text: str) -> None:
    """Writes what a person asked for where they said: through a link, and into a device or a pipe, as programs do."""
    try:
        place = path.resolve() if path.is_symlink() else path
        if not _special(place):
            write_if_changed(place, text)
            return
        handle = os.open(place, os.O_WRONLY | os.O_CLOEXEC)
        with os.fdopen(handle, "wb") as file:
            file.write(text.encode())
    except OSError as error:
        raise HsmError(f"{path} can not be written: {error.strerror}", "name another file") from error


def _special(path: Path) -> bool:
    """Whether a device, a pipe or a socket is there: to move a file over one would break it for everybody."""
    try:
        kind = path.lstat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(kind) or stat.S_ISDIR(kind) or stat.S_ISLNK(kind))


def refuse_links(folder: Path) -> None:
    """HsmError where a folder of ours is a link, or has one in it: hsm would write, and tidy up, wherever it leads."""
    found = [folder] if folder.is_symlink() else []
    with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
        found += [Path(entry.path) for entry in entries if entry.is_symlink()]
    if found:
        message = f"{min(found)} is a link, and hsm keeps its own files where it is"
        raise HsmError(message, "remove the link (hsm makes anew what it needs), then run it again")


def _replace(path: Path, data: bytes) -> None:
    mode = permissions(path)
    handle, new = beside(path, 0o666 if mode is None else 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            if mode is not None:
                os.fchmod(handle, mode)
            os.fsync(handle)
        new.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            new.unlink()
        raise


def permissions(path: Path) -> int | None:
    """The permissions of a file that is there."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return None
    return mode & 0o777 if stat.S_ISREG(mode) else None


def beside(path: Path, mode: int = 0o600) -> tuple[int, Path]:
    """An open file beside a path, to be moved there when it is whole. What killed runs left of the same is removed.

    `mode` is what its permissions are, less what the umask takes away. OSError where a device, a pipe or a socket is
    there, which nothing may be moved over.
    """
    if _special(path):
        raise OSError(errno.EINVAL, "a device, a pipe or a socket is there", str(path))
    with contextlib.suppress(OSError):
        for left in _found_in(path.parent).pop(path.name, ()):
            left.unlink()
    new = unfinished(path)
    return os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode), new


def unfinished(path: Path) -> Path:
    """A name beside a path for what is to be moved there when it is whole; `remains` knows it again."""
    return path.with_name(f".{path.name}.{os.getpid()}-{os.urandom(4).hex()}.tmp")


def remove_remains(path: Path) -> None:
    """Of a folder: what killed runs left of it goes."""
    for left in remains(path):
        shutil.rmtree(left, ignore_errors=True)


def remains(path: Path) -> list[Path]:
    """What was being made to be moved to a path when its maker was killed: the name says which process that was."""
    return remains_in(path.parent).get(path.name, [])


def remains_in(folder: Path) -> dict[str, list[Path]]:
    """The remains in a folder, by the names of what they were to be."""
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if entry.name.endswith(".tmp")]
    found: dict[str, list[Path]] = {}
    for name in names:
        match = _MADE.fullmatch(name)
        if match and not lives(match[2]):
            found.setdefault(match[1], []).append(folder / name)
    return found


@functools.cache
def _found_in(folder: Path) -> dict[str, list[Path]]:
    """As `remains_in`, looked at once: for each of a thousand files it would be a thousand names. Who is killed later
    is cleaned up after by a later run."""
    return remains_in(folder)


def lives(pid: str) -> bool:
    """Whether there is a process of that number."""
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def hide_folder(folder: Path) -> None:
    """Makes a folder of ours, which says of itself that git is not to see it."""
    refuse_links(folder)
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
