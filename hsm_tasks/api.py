"""What a task of your own may ask of hsm: `stack()` tells which stack this is and what it is made of.

    from hsm_tasks.api import stack

Everything here is a frozen value, read from the same files as a sync reads; nothing is asked of git, of a registry or
of the engine. What stands here is kept from release to release; anything else in hsm_tasks may change.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from hsm_tasks.core.errors import HsmError

if TYPE_CHECKING:
    from hsm_tasks.stack.scene import Opened

__all__ = ["Group", "Service", "Stack", "stack"]


@dataclass(frozen=True, slots=True)
class Service:
    """One service as it is to run now.

    `mode` is "base" for a service that hsm.yaml does not name, and "off" for an option that is not selected. `image` is
    what was asked for, its variables filled in; the digest that is pinned stands in hsm.lock. `checkout` is the folder
    of its sources, also where it does not run from them; it may not be cloned yet. `starts`: whether plain `up` starts
    it.
    """

    name: str
    mode: Literal["dev", "prod", "base", "off"]
    image: str | None
    checkout: Path | None
    starts: bool
    oneshot: bool
    alias: str | None
    group: str | None
    profiles: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """Alternatives: `selection` is what is chosen of `options`. `alias` answers for the one of a 1-of-N group."""

    name: str
    strategy: Literal["1-of-N", "M-of-N"]
    options: tuple[str, ...]
    selection: tuple[str, ...]
    alias: str | None


@dataclass(frozen=True, slots=True)
class Stack:
    """A stack with the switches of the command line applied. `root` is the workspace, `folder` that of hsm.yaml.

    `project` is its name for compose. `compose` begins every command line for it: `[*stack().compose, "ps"]`; it holds
    the override, so the first `sync` must have been. `environ` is the environment that such a command should get.
    """

    name: str
    project: str
    root: Path
    folder: Path
    compose: tuple[str, ...]
    services: Mapping[str, Service]
    groups: Mapping[str, Group]
    environ: Mapping[str, str] = field(repr=False)  # it may hold secrets

    def service(self, name: str) -> Service:
        """The service of this name, or the one that answers to this alias now. KeyError where there is none."""
        found = next((one for one in self.services.values() if one.alias == name), None)
        return found or self.services[name]


def stack() -> Stack:
    """The stack that the command line is about; outside of a run, the one that `hsm` would take in this folder.

    Ask in a task function, or in an action; not while dodo.py is being read, since the stack is read after it.
    """
    return _view(_source[-1]() if _source else _usual())


# --- for hsm itself ----------------------------------------------------------------------------------------------

_source: list[Callable[[], Opened]] = []
_views: dict[int, tuple[Opened, Stack]] = {}


def offer(source: Callable[[], Opened]) -> None:
    """From now on `stack` tells of what this gives."""
    _source[:] = [source]


def too_early() -> Opened:
    """What `stack` comes to while dodo.py is being read."""
    raise HsmError("the stack is read after dodo.py", "ask for it inside of a task function, or of an action")


def _usual() -> Opened:
    import os

    from hsm_tasks.stack import workspace
    from hsm_tasks.stack.scene import Wish, open_stack

    here = workspace.find(Path.cwd())
    return open_stack(here, here.pick(None, os.environ), os.environ, Wish(look=True))


def _view(opened: Opened) -> Stack:
    """Made once of what was opened: many tasks may ask."""
    kept = _views.get(id(opened))
    if kept is None or kept[0] is not opened:
        kept = _views[id(opened)] = (opened, _made(opened))
    return kept[1]


def _made(opened: Opened) -> Stack:
    from types import MappingProxyType

    from hsm_tasks.steps.commands import active

    scene, root = opened.scene, opened.workspace.root
    forms, starting = sorted(scene.chosen.forms), set(active(scene.chosen))
    return Stack(
        name=opened.name,
        project=scene.project,
        root=root,
        folder=opened.folder,
        compose=_compose(opened),
        services=MappingProxyType({name: _service(opened, name, name in starting) for name in forms}),
        groups=MappingProxyType({name: _group(opened, name) for name in scene.stack.groups}),
        environ=MappingProxyType(dict(opened.environ)),
    )


def _compose(opened: Opened) -> tuple[str, ...]:
    """With whole paths: it works in any folder."""
    named = (f"{path.resolve()}" for path in (*opened.files, opened.override))
    return ("docker", "compose", "-p", opened.scene.project, *(word for path in named for word in ("-f", path)))


def _service(opened: Opened, name: str, starts: bool) -> Service:
    scene = opened.scene
    form = scene.chosen.forms[name]
    service, groups = scene.stack.services.get(name), scene.stack.groups.values()
    repository = service.repository if service else None
    return Service(
        name=name,
        mode=form.mode,
        image=scene.images.get(form.image, form.image) if form.image else None,
        checkout=opened.workspace.root / scene.paths.checkout(repository) if repository else None,
        starts=starts,
        oneshot=name in scene.chosen.oneshots,
        alias=form.aliases[0] if form.aliases else None,
        group=next((group.name for group in groups if not group.profiles and name in group.names), None),
        profiles=form.profiles,
    )


def _group(opened: Opened, name: str) -> Group:
    group = opened.scene.stack.groups[name]
    return Group(name, group.strategy, group.names, group.selection, group.alias)
