"""What the steps of one run share, and what every step may ask of it."""

from __future__ import annotations

import os
import posixpath
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from hsm_tasks.core.errors import HsmError
from hsm_tasks.core.model import Pin
from hsm_tasks.core.mounts import is_open
from hsm_tasks.effects import files, git
from hsm_tasks.effects.composemodel import filled_in_paths
from hsm_tasks.stack.scene import Opened
from hsm_tasks.stack.workspace import LOCAL, OVERRIDE

if TYPE_CHECKING:
    from hsm_tasks.effects.registry import Registry


class World(msgspec.Struct):
    """What the steps of one run share: the stack, the registry's answers, and how to tell a person something.

    `progress(step, words)` is about something under way, `say(words)` is a sentence to keep.
    """

    opened: Opened
    progress: Callable[[str, str], None]
    say: Callable[[str], None]
    looks: bool = False
    """Nothing is to be written, no cache either."""
    memo: dict[Any, Any] = msgspec.field(default_factory=dict)
    """What was asked once, for the whole run."""
    guard: threading.RLock = msgspec.field(default_factory=threading.RLock)
    _guard: threading.Lock = msgspec.field(default_factory=threading.Lock)
    _ignored: bool = False
    _registry: Registry | None = None

    @property
    def registry(self) -> Registry:
        """Every registry; one instance a run, which remembers what it was told. Most runs ask none."""
        from hsm_tasks.effects.registry import Registry

        settings = self.opened.workspace.settings
        with self.guard:
            if self._registry is None:
                self._registry = Registry(
                    mirrors=settings.mirrors, insecure=settings.insecure_registries, warn=self.say
                )
            return self._registry

    def path(self, text: str) -> Path:
        """A path of a step, on this machine."""
        return self.opened.workspace.root / text

    def read(self, path: str) -> str:
        """What a step left. There may be thousands, and to make a Path of each takes as long as to read it."""
        return files.read(f"{self.opened.workspace.root}/{path}")

    def hide(self) -> None:
        """Before the first generated file of a run: git is not to see what is local to one machine."""
        with self._guard:
            if not self._ignored:
                hide_generated(self.opened)
                self._ignored = True


def hide_generated(opened: Opened) -> None:
    """Adds what git would see of ours to the repository's info/exclude, never to a committed file."""
    root, folder = opened.workspace.root.resolve(), opened.workspace.stacks[opened.name]
    top = git.top_level(root)
    if top is None:
        return
    here = root.relative_to(top.resolve()).as_posix()
    ours = [(opened.workspace.settings.repos_dir, "/"), (f"{folder}/{OVERRIDE}", ""), (f"{folder}/{LOCAL}", "")]
    ours += [("__pycache__", "/")] if (root / "__pycache__").is_dir() else []  # of dodo.py: doit has read it by now
    seen = git.not_ignored(top, [posixpath.normpath(f"{here}/{path}") + end for path, end in ours])
    if seen:
        git.exclude(top, [f"/{path}" for path in seen])


def require(mounts: tuple[str, ...], world: World, step: str) -> None:
    """A mount never makes an empty folder that belongs to root: what it mounts must be there, and in the checkout."""
    found = tuple(places(mounts, world))
    keep_in((place for _, place in found), world, step)
    gone = [path for path, place in found if not place.exists()]
    if gone:
        raise HsmError(
            f"{step} mounts what is not there: {', '.join(gone)}",
            "create it, or correct the volumes of the dev section (paths are relative to the checkout)",
        )


def keep_in(paths: Iterable[Path], world: World, step: str) -> None:
    """HsmError where a link that came with the sources opens other files of this machine to a build or a container.

    A link that git does not have is of the person, who may lead it where they like.
    """
    scene = world.opened.scene
    own = [service.repository for service in scene.stack.services.values() if service.repository]
    tops = {os.path.normpath(world.path(scene.paths.checkout(repository))) for repository in own}
    for path in map(os.path.normpath, paths):
        for top in (top for top in tops if path.startswith(f"{top}/")):
            link = _way_out(Path(top), path.removeprefix(f"{top}/").split("/"))
            if link and git.tracked(link.parent, [link.name]):
                shown, target = os.path.relpath(link, world.opened.workspace.root), os.path.realpath(link)
                message = f"{step}: {shown} came with the sources, and it is a link out of them, to {target}"
                raise HsmError(message, "if that is meant, name the target itself in hsm.yaml")


def _way_out(top: Path, parts: Sequence[str]) -> Path | None:
    """The first of the folders and files on the way that is a link out of `top`."""
    real, place = os.path.realpath(top), top
    for part in parts:
        place = place / part
        if place.is_symlink() and not f"{os.path.realpath(place)}/".startswith(f"{real}/"):
            return place
    return None


def places(mounts: tuple[str, ...], world: World) -> Iterator[tuple[str, Path]]:
    """Paths of a step, as they are shown and where they are. compose is asked, once a run, what variables say."""
    yield from ((path, world.path(path)) for path in mounts if not is_open(path))
    asked = tuple(path for path in mounts if is_open(path))
    if not asked:
        return
    with world.guard:
        if ("paths", asked) not in world.memo:
            opened = world.opened
            world.memo["paths", asked] = filled_in_paths(asked, opened.files[0].parent, opened.environ)
    yield from ((f"{path} ({place})", place) for path, place in zip(asked, world.memo["paths", asked], strict=True))


def read_pin(path: Path) -> Pin:
    """What a resolve step left."""
    return pin_in(files.read(path))


def pin_in(text: str) -> Pin:
    """The pin in the text of a resolve step's file."""
    return msgspec.json.decode(text, type=Pin)



def left_pin(path: Path) -> Pin | None:
    """What a resolve step left; None where that is gone, or no pin any more (its step will make it anew)."""
    try:
        return read_pin(path) if path.exists() else None
    except (HsmError, msgspec.MsgspecError):
        return None


def commit_in(text: str) -> str | None:
    """The commit in the text of a clone step's file."""
    commit = msgspec.json.decode(text).get("commit")
    return commit if isinstance(commit, str) else None


def left_commit(path: Path) -> str | None:
    """As `left_pin`, of a clone step."""
    try:
        return commit_in(files.read(path)) if path.exists() else None
    except (HsmError, msgspec.MsgspecError, AttributeError):
        return None
