"""Every kind of step, as a value that carries what the step depends on; what it carries is what makes it stale.

    clone, resolve ─▶ lock
    clone, resolve ─▶ render ─▶ merge ─▶ check ─▶ build ─▶ up

All paths are relative to the workspace, so a step is the same on every machine.
"""

from __future__ import annotations

from collections.abc import Mapping

from hsm_tasks.core.model import Frozen, Keys, Pin, Repository
from hsm_tasks.core.render import Draft


class Clone(Frozen, frozen=True, kw_only=True):
    """Brings a checkout. `ask` alone: only the commit is asked for, because hsm.lock wants it and nobody here does.

    `own` is a person's own checkout: looked at, never changed. `move` lets a clean checkout follow (update, frozen).
    `pending`: hsm.lock has no entry yet because no lock step has run since, not because somebody took it out.
    """

    name: str
    repository: Repository
    directory: str
    locked: str | None
    output: str
    own: bool = False
    ask: bool = False
    move: bool = False
    frozen: bool = False
    pending: bool = False


class Resolve(Frozen, frozen=True, kw_only=True):
    """Asks what a reference means. `config`: the image's healthcheck and volumes count too; `told`: its entry has them.

    `healthcheck`: the file that says whether the image has one. Who waits for an option reads that and not its pin, for
    another digest changes nothing for them.
    `needed` False: only hsm.lock wants to know, so a registry that does not answer is no failure.
    """

    name: str
    service: str
    key: str
    image: str
    version: str | None
    locked: Pin | None
    output: str
    healthcheck: str | None = None
    config: bool = False
    told: bool = False
    needed: bool = True
    move: bool = False
    frozen: bool = False
    pending: bool = False


class Lock(Frozen, frozen=True, kw_only=True):
    """Writes hsm.lock (`committed`: key → file that says it) and, for what only this machine asks for, local.lock.

    `told` are the keys whose entries also have what the image's config says. `known` are the keys that hsm.yaml names
    at all; others are dropped by an update of everything (`drop`). `copy` is
    what hsm.lock was when it was last written here. `after`: the steps whose files it reads. It is stale when what it
    would write differs from what is there: which steps there are today does not matter by itself.
    """

    images: Mapping[str, str]
    repositories: Mapping[str, str]
    committed: frozenset[str]
    output: str
    local_output: str
    copy: str
    after: tuple[str, ...] = ()
    told: frozenset[str] = frozenset()
    known: frozenset[str] = frozenset()
    drop: bool = False
    name: str = "lock"


class Render(Frozen, frozen=True, kw_only=True):
    """Writes the fragment of a service. `pins` maps the keys of the pins that it needs to their files, `mounts` are
    host paths that must exist (relative to the workspace; as compose reads them, where a variable or a `~` is in them),
    `after` the clones that bring them."""

    name: str
    mode: str
    draft: Draft
    pins: Mapping[str, str]
    mounts: tuple[str, ...]
    after: tuple[str, ...]
    output: str


class Merge(Frozen, frozen=True, kw_only=True):
    """Joins the fragments."""

    project: str
    fragments: tuple[str, ...]
    volumes: tuple[str, ...]
    output: str
    name: str = "merge"


class Check(Frozen, frozen=True, kw_only=True):
    """Lets compose judge base and override, then publishes it. `base` is a digest of what compose read."""

    base: str
    compose: str
    input: str
    output: str
    name: str = "check"


class Build(Frozen, frozen=True, kw_only=True):
    """Builds the image of a service; `recipe` is its build section, as compose reads it, with holes for `pins`.

    What a mount covers (`hidden`) does not make it stale, unless the service is watched for it (`shown`); with
    `rebuild`, only these paths do. `after`: the services whose images are contexts of this one.
    """

    name: str
    image: str
    recipe: Keys
    context: str | None
    dockerfile: str
    pins: Mapping[str, str] = {}
    hidden: tuple[str, ...] = ()
    shown: tuple[str, ...] = ()
    rebuild: tuple[str, ...] | None = None
    after: tuple[str, ...] = ()


class Up(Frozen, frozen=True, kw_only=True):
    """Starts a service and what it needs. `builds`: the services that must have been built before."""

    name: str
    builds: tuple[str, ...]
    mounts: tuple[str, ...]


Step = Clone | Resolve | Lock | Render | Merge | Check | Build | Up


def label(step: Step) -> str:
    """The name of a step as people type it: `render:api`, `lock`."""
    match step:
        case Lock() | Merge() | Check():
            return step.name
        case _:
            return f"{type(step).__name__.lower()}:{step.name}"
