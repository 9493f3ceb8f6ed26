"""The answers of `doctor` as values, and what can be told of the engine's place without asking it to do something."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Final, Literal

import msgspec

State = Literal["ok", "warning", "failed"]

_LITTLE, _NONE = 5 << 30, 200 << 20  # bytes that are free
ELSEWHERE: Final = "mounts of dev services name paths on that machine: run dev services where their sources are"
_SHARE: Final = "Docker Desktop: Settings, Resources, File sharing. colima, lima: `mounts` in their configuration"
# what Docker Desktop, colima and WSL share with their machines without being told, besides the home
_USUAL: Final = ("/Users", "/Volumes", "/private", "/tmp", "/mnt", "/home")  # noqa: S108 - no file is made there


class Check(msgspec.Struct, frozen=True):
    """One answer. `about` is a word, `message` a sentence, `hint` what to do ("" where all is well)."""

    about: str
    state: State
    message: str
    hint: str = ""


def free_space(free: int, what: str, hint: str) -> Check:
    """`free` bytes; below the second bound nothing works any more."""
    state: State = "failed" if free < _NONE else "warning" if free < _LITTLE else "ok"
    return Check("disk", state, f"{free / (1 << 30):.1f} GB free for {what}", "" if state == "ok" else hint)


class Place(msgspec.Struct, frozen=True):
    """Where an engine is: `local` whether it is reached on this machine, and the kernels here and there."""

    local: bool
    kernel_here: str
    kernel_there: str


def file_sharing(engine: Place, folder: str, home: str) -> Check:
    """Whether the engine can mount what lies in the folder; a virtual machine sees only what is shared with it."""
    if not engine.local:
        return Check("sharing", "warning", "the engine is on another machine, without these folders", ELSEWHERE)
    if engine.kernel_here == engine.kernel_there:
        return Check("sharing", "ok", "the engine runs on this machine and can mount every folder")
    path = PurePosixPath(folder)
    if any(path.is_relative_to(place) for place in (home, *_USUAL) if place):
        return Check("sharing", "ok", "the engine runs in a virtual machine, which sees such folders as a rule")
    return Check("sharing", "warning", f"the engine runs in a virtual machine; is {folder} shared with it?", _SHARE)
