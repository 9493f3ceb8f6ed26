"""A folder that is written from a list of entries, and the same list as a tar: the same entries give the same bytes."""

from __future__ import annotations

import filecmp
import hashlib
import io
import os
import shutil
import stat
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath

import msgspec

from hsm_tasks.core.errors import HsmError
from hsm_tasks.effects import files

_END = bytes(2 * tarfile.BLOCKSIZE)
CUT_OFF = "it was cut off, or changed by others: move it away, then deploy again"


class Entry(msgspec.Struct, frozen=True):
    """A file (`data`: its bytes, or the file that has them), a symbolic link (`link`), or else an empty folder."""

    path: str
    data: bytes | Path | None = None
    link: str = ""
    executable: bool = False

    @property
    def mode(self) -> int:
        """What everybody may do with it: of the modes of a file here, only "executable" goes along."""
        return 0o755 if self.executable or self.data is None else 0o644

    def digest(self) -> str:
        """SHA-256 of the bytes; of a link, of where it leads."""
        try:
            with self.data.open("rb") if isinstance(self.data, Path) else io.BytesIO(self.data or b"") as stream:
                return hashlib.file_digest(stream, "sha256").hexdigest()
        except OSError as error:
            raise _unreadable(error) from error


def entry(path: str, source: Path) -> Entry:
    """A file as an entry; a link is followed."""
    return Entry(path, source, executable=bool(source.stat().st_mode & stat.S_IXUSR))


def walk(path: str, folder: Path) -> Iterator[Entry]:
    """All that is in a folder, as entries below `path`. HsmError for what is no file, folder or link of its own."""
    try:
        there = sorted(os.scandir(folder), key=lambda one: one.name)
    except OSError as error:
        raise _unreadable(error) from error
    if not there:
        yield Entry(path)
    for one in there:
        below, source = f"{path}/{one.name}", Path(one.path)
        if one.is_symlink():
            yield Entry(below, link=str(source.readlink()))
        elif one.is_dir():
            yield from walk(below, source)
        elif one.is_file():
            yield entry(below, source)
        else:
            raise HsmError(f"{source} is neither a file nor a folder", "it can not travel: move it out of there")


def escapes(link: Entry, folder: str) -> bool:
    """Whether a link leads out of `folder`, which is a path above it."""
    target = PurePosixPath(link.link)
    if target.is_absolute():
        return True
    depth = len(PurePosixPath(link.path).parent.relative_to(folder).parts)
    for part in target.parts:
        depth += -1 if part == ".." else 1
        if depth < 0:
            return True
    return False


def write(folder: Path, entries: Sequence[Entry], old: Iterable[str]) -> None:
    """Makes the entries be there, the last one last; of what else is there only `old` paths go. Each file comes whole,
    and a folder that was not there, or empty, comes whole as well.
    """
    try:
        if folder.is_symlink() or (folder.exists() and any(folder.iterdir())):
            _write(folder, entries, old)
            return
        folder.parent.mkdir(parents=True, exist_ok=True)
        files.remove_remains(folder)
        new = files.unfinished(folder)
        try:
            new.mkdir()
            _write(new, entries, ())
            new.replace(folder)
        finally:
            shutil.rmtree(new, ignore_errors=True)
    except OSError as error:
        raise HsmError(f"{error.filename or folder} can not be written: {error.strerror}") from error


def _write(folder: Path, entries: Sequence[Entry], old: Iterable[str]) -> None:
    for one in entries:
        _put(folder / one.path, one)
    for path in sorted(set(old) - {one.path for one in entries}, reverse=True):
        if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
            continue
        _take_away(folder, folder / path)


def _put(place: Path, one: Entry) -> None:
    for above in reversed(place.parents):
        if above.is_symlink() or (above.exists() and not above.is_dir()):
            raise HsmError(f"{above} is in the way: it is no folder", "move it away, then run it again")
    place.parent.mkdir(parents=True, exist_ok=True)
    if one.data is None and not one.link:
        place.mkdir(exist_ok=True)
        return
    if place.is_dir() and not place.is_symlink():
        raise HsmError(f"{place} is in the way: it is a folder", "move it away, then run it again")
    handle, new = files.beside(place)
    os.close(handle)
    try:
        _fill(new, one)
        if not one.link and place.is_file() and not place.is_symlink() and filecmp.cmp(new, place, shallow=False):
            place.chmod(one.mode)
        else:
            new.replace(place)
    finally:
        new.unlink(missing_ok=True)


def _fill(new: Path, one: Entry) -> None:
    if one.link:
        new.unlink()
        new.symlink_to(one.link)
        return
    if isinstance(one.data, Path):
        shutil.copyfile(one.data, new)
    else:
        new.write_bytes(one.data or b"")
    new.chmod(one.mode)


def _take_away(top: Path, place: Path) -> None:
    if place.is_symlink() or place.is_file():
        place.unlink()
    for folder in (place, *place.parents):
        if folder == top or folder.is_symlink() or (folder.is_dir() and any(folder.iterdir())):
            return
        if folder.is_dir():
            folder.rmdir()


def tar(path: Path, entries: Sequence[Entry], name: str) -> str:
    """Writes the entries below the folder `name` to a tar, without times and owners; returns its SHA-256."""
    new = None
    try:
        handle, new = files.beside(path)
        with os.fdopen(handle, "wb") as file, tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as out:
            for one in sorted(entries, key=lambda entry: entry.path):
                _add(out, one, f"{name}/{one.path}")
        new.chmod(0o644)
        new.replace(path)
        return entry(path.name, path).digest()
    except OSError as error:
        raise HsmError(f"{path} can not be written: {error.strerror}") from error
    finally:
        if new:
            new.unlink(missing_ok=True)


def untar(folder: Path, data: bytes) -> None:
    """Writes what `tar` has packed. HsmError where it holds anything else, or leads out of the folder."""
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as packed:
            entries = [_packed(packed, one) for one in packed]
        if not data.endswith(_END):
            raise tarfile.ReadError("unexpected end of data")  # tarfile takes the end between two files for the end
    except tarfile.TarError as error:
        raise HsmError(f"it is no bundle of hsm any more: {error}", CUT_OFF) from error
    write(folder, entries, ())


def _packed(packed: tarfile.TarFile, one: tarfile.TarInfo) -> Entry:
    path = PurePosixPath(one.name)
    file = packed.extractfile(one) if one.isreg() else None
    data = file.read() if file else None
    made = Entry(str(path), data, one.linkname if one.issym() else "", executable=bool(one.mode & stat.S_IXUSR))
    odd = path.is_absolute() or ".." in path.parts or not (one.isreg() or one.isdir() or one.issym())
    if odd or (made.link and escapes(made, ".")):
        raise HsmError(f'"{one.name}" is in it: it is no bundle', "it was not made by hsm, or was changed since")
    return made


def _add(out: tarfile.TarFile, one: Entry, name: str) -> None:
    info = tarfile.TarInfo(name)  # owner 0, time 0
    info.mode = one.mode
    if one.link:
        info.type, info.linkname, info.mode = tarfile.SYMTYPE, one.link, 0o777
        out.addfile(info)
    elif one.data is None:
        info.type = tarfile.DIRTYPE
        out.addfile(info)
    else:
        data = one.data.read_bytes() if isinstance(one.data, Path) else one.data
        info.size = len(data)
        out.addfile(info, io.BytesIO(data))


def _unreadable(error: OSError) -> HsmError:
    hint = "a bundle takes along what the compose files name; let git ignore what is not to travel"
    return HsmError(f"{error.filename} can not be read: {error.strerror}", hint)


def text_entry(path: str, text: str) -> Entry:
    """A file of text."""
    return Entry(path, text.encode())


def known(folder: Path, manifest: str) -> str | None:
    """The manifest of what was written there before; None where the folder is not there or empty.

    HsmError where something else is in it: a bundle is not written over what a person has.
    """
    text = files.read_if_there(folder / manifest)
    if text is None and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise HsmError(f"{folder} is there, and it is no bundle", "name another folder with --out, or move it away")
    return text
