"""Every step of a stack, what it reads, what it leaves, and in which order. The only file that joins paths.

Each step is a frozen value that carries what it depends on; what it carries is what makes it stale. All paths are
relative to the workspace, so a plan is the same on every machine.

    clone, resolve ─▶ lock
    clone, resolve ─▶ render ─▶ merge ─▶ check ─▶ build ─▶ up
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from hsm_tasks.core.choose import Chosen, Form
from hsm_tasks.core.lock import Lock as Locked
from hsm_tasks.core.model import Base, Keys, Pin, Repository, Stack
from hsm_tasks.core.mounts import sources
from hsm_tasks.core.render import Draft, Site, named_volumes, open_pins, render
from hsm_tasks.core.scalars import Schema


@dataclass(frozen=True, slots=True, kw_only=True)
class Clone:
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolve:
    """Asks what a reference means. `config`: the image's healthcheck and volumes count too.

    `needed` False: only hsm.lock wants to know, so a registry that does not answer is no failure.
    """

    name: str
    service: str
    key: str
    image: str
    version: str | None
    locked: Pin | None
    output: str
    config: bool = False
    needed: bool = True
    move: bool = False
    frozen: bool = False
    pending: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """Writes hsm.lock (`committed`: key → file that says it) and, for what only this machine asks for, local.lock.

    `known` are the keys that hsm.yaml names at all; others are dropped by an update of everything (`drop`). `copy` is
    what hsm.lock was when it was last written here.
    """

    images: Mapping[str, str]
    repositories: Mapping[str, str]
    committed: frozenset[str]
    output: str
    local_output: str
    copy: str
    known: frozenset[str] = frozenset()
    drop: bool = False
    name: str = "lock"

    @property
    def inputs(self) -> tuple[str, ...]:
        """The pins and clone records that it reads."""
        return tuple(sorted({*self.images.values(), *self.repositories.values()}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Render:
    """Writes the fragment of a service. `pins` maps the services whose pins it needs to their files, `mounts` are host
    paths that must exist (relative to the workspace), `after` the clones that bring them."""

    name: str
    mode: str
    draft: Draft
    pins: Mapping[str, str]
    mounts: tuple[str, ...]
    after: tuple[str, ...]
    output: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Merge:
    """Joins the fragments."""

    project: str
    fragments: tuple[str, ...]
    volumes: tuple[str, ...]
    output: str
    name: str = "merge"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """Lets compose judge base and override, then publishes it. `base` is a digest of what compose read."""

    base: str
    compose: str
    input: str
    output: str
    name: str = "check"


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """Builds the image of a service from `context`. `hidden` are paths that a mount covers, so no build sees them."""

    name: str
    image: str
    recipe: str
    context: str | None
    dockerfile: str
    hidden: tuple[str, ...]
    rebuild: tuple[str, ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Up:
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The steps of a stack, in an order in which they could run one by one."""

    clones: tuple[Clone, ...]
    resolves: tuple[Resolve, ...]
    lock: Lock
    renders: tuple[Render, ...]
    merge: Merge
    check: Check
    builds: tuple[Build, ...]
    ups: tuple[Up, ...]

    @property
    def steps(self) -> tuple[Step, ...]:
        """All of them, flat."""
        return (*self.clones, *self.resolves, self.lock, *self.renders, self.merge, self.check, *self.builds, *self.ups)

    def __str__(self) -> str:
        return "\n".join(label(step) for step in self.steps)


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths:
    """Where a stack lives, relative to the workspace. `base` is the folder of the first base file."""

    stack: str
    base: str
    state: str
    repos: str

    def checkout(self, repository: Repository) -> str:
        """Where a repository is checked out; an absolute path only if a person's own checkout was given so."""
        if repository.path is None:
            return posixpath.join(self.repos, repository.name)
        return posixpath.normpath(posixpath.join(self.stack, repository.path))

    def from_base(self, path: str) -> str:
        """A path of the workspace as compose reads it."""
        return path if path.startswith("/") else posixpath.relpath(path, self.base or ".")

    def to_workspace(self, path: str) -> str:
        """A path as compose reads it, seen from the workspace."""
        return posixpath.normpath(posixpath.join(self.base, path))


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """All that a plan is made of. `stack` has hsm.local.yaml in it, `committed` has not; likewise the two choices.

    `images` maps a reference as written to its value (variables put in). `move` are the services whose pins are to
    move (an update); `everything` says that the update names none. `last_lock` is hsm.lock as it was last written here.
    """

    stack: Stack
    committed: Stack
    base: Base
    chosen: Chosen
    committed_choice: Chosen
    images: Mapping[str, str]
    lock: Locked
    local_lock: Locked
    last_lock: Locked
    paths: Paths
    schema: Schema
    base_digest: str
    compose: str
    move: frozenset[str] = frozenset()
    everything: bool = False
    frozen: bool = False
    project: str = field(default="")


def plan(scene: Scene) -> Plan:
    """The steps of a stack. A function of its arguments alone."""
    clones, resolves = tuple(_clones(scene)), tuple(_resolves(scene))
    drafts = {name: _draft(form, scene) for name, form in scene.chosen.forms.items()}
    renders = tuple(_render(form, drafts[name], scene) for name, form in sorted(scene.chosen.forms.items()))
    builds = tuple(_builds(scene, drafts))
    declared = {name for draft in drafts.values() for name in named_volumes(draft)} - set(scene.base.volumes)
    state = scene.paths.state
    merge = Merge(
        project=scene.project,
        fragments=tuple(render.output for render in renders),
        volumes=tuple(sorted(name for name in declared if "$" not in name)),
        output=f"{state}/override.yml",
    )
    check = Check(
        base=scene.base_digest,
        compose=scene.compose,
        input=merge.output,
        output=posixpath.join(scene.paths.stack, "docker-compose.hsm.yml"),
    )
    ups = tuple(_ups(scene, builds, renders))
    return Plan(clones=clones, resolves=resolves, lock=_lock(scene, clones, resolves), renders=renders, merge=merge,
                check=check, builds=builds, ups=ups)


# --- what must be known -----------------------------------------------------------------------------------------


def image_key(image: str, version: str | None) -> str:
    """The name of an image in hsm.lock."""
    return f"{image} {version}" if version else image


def _image_needs(chosen: Chosen, images: Mapping[str, str]) -> dict[str, Form]:
    """service → form, of those whose image must be pinned."""
    return {name: form for name, form in chosen.forms.items() if form.mode != "off" and form.image in images}


def _repository_needs(chosen: Chosen) -> dict[str, tuple[str, Repository]]:
    """checkout → (a service that wants it, repository)."""
    wanted: dict[str, tuple[str, Repository]] = {}
    for name, form in sorted(chosen.forms.items()):
        if form.mode == "dev" and form.service and form.service.repository:
            wanted.setdefault(form.service.repository.name, (name, form.service.repository))
    return wanted


def _clones(scene: Scene) -> Iterator[Clone]:
    here = _repository_needs(scene.chosen)
    known = {repository.key for _, repository in here.values() if repository.path is None}
    users = {name: _users(scene, name) for name in here}
    for name, (_, repository) in here.items():
        yield _clone(scene, name, repository, move=bool(users[name] & scene.move))
    for name, (service, repository) in _repository_needs(scene.committed_choice).items():
        if repository.key not in known:
            yield _clone(scene, f"{name}:committed", repository, ask=True, move=service in scene.move)
    yield from _known_clones(scene, known)


def _users(scene: Scene, checkout: str) -> set[str]:
    services = scene.stack.services.values()
    return {s.name for s in services if s.repository and s.repository.name == checkout}


def _known_clones(scene: Scene, here: set[str]) -> Iterator[Clone]:
    """An update moves the entries of the lock that no step of today needs, too."""
    committed = {repository.key for _, repository in _repository_needs(scene.committed_choice).values()}
    for name, service in sorted(scene.committed.services.items()):
        repository = service.repository
        if name not in scene.move or repository is None or repository.key in here | committed:
            continue
        if repository.key in scene.lock.repositories:
            here.add(repository.key)
            yield _clone(scene, f"{repository.name}:committed", repository, ask=True, move=True)


def _clone(scene: Scene, name: str, repository: Repository, *, ask: bool = False, move: bool = False) -> Clone:
    locked = scene.lock.repositories.get(repository.key) or scene.local_lock.repositories.get(repository.key)
    return Clone(
        name=name,
        repository=repository,
        directory=scene.paths.checkout(repository),
        locked=None if move else locked,
        output=f"{scene.paths.state}/clones/{name.replace(':', '.')}.json",
        own=repository.path is not None,
        ask=ask,
        move=move,
        frozen=scene.frozen,
        pending=locked is None and repository.key not in scene.last_lock.repositories,
    )


def _resolves(scene: Scene) -> Iterator[Resolve]:
    here = _image_needs(scene.chosen, scene.images)
    known = {_key(form, scene) for form in here.values()}
    for name, form in sorted(here.items()):
        yield _resolve(scene, name, form)
    for name, form in sorted(_image_needs(scene.committed_choice, scene.images).items()):
        if _key(form, scene) not in known:
            yield _resolve(scene, f"{name}:committed", form, needed=False)
            known.add(_key(form, scene))
    for form in named_images(scene.committed, scene.base):
        key = _key(form, scene)
        if form.name in scene.move and key in scene.lock.images and key not in known:
            yield _resolve(scene, f"{form.name}:committed", form, needed=False)
            known.add(key)


def named_images(stack: Stack, base: Base) -> Iterator[Form]:
    """Every image that any mode or option of hsm.yaml names, as a form that would need it."""
    for name in sorted({*base.services, *stack.services}):
        service, below = stack.services.get(name), base.services.get(name, {})
        own = below.get("image")
        image = (service.prod.image if service else None) or (own if isinstance(own, str) else None)
        if image and (service or "build" not in below):
            options = {option for group in stack.groups.values() if not group.profiles for option in group.names}
            yield Form(name=name, mode="prod", service=service, base=below, image=image,
                       version=service.prod.version if service else None, option=name in options)


def _key(form: Form, scene: Scene) -> str:
    assert form.image is not None
    return image_key(scene.images[form.image], form.version)


def _resolve(scene: Scene, name: str, form: Form, *, needed: bool = True) -> Resolve:
    key, move = _key(form, scene), form.name in scene.move
    locked = scene.lock.images.get(key) or scene.local_lock.images.get(key)
    assert form.image is not None
    return Resolve(
        name=name,
        service=form.name,
        key=key,
        image=scene.images[form.image],
        version=form.version,
        locked=None if move else locked,
        output=f"{scene.paths.state}/pins/{name.replace(':', '.')}.json",
        config=form.option,
        needed=needed,
        move=move,
        frozen=scene.frozen,
        pending=locked is None and key not in scene.last_lock.images,
    )


def _lock(scene: Scene, clones: tuple[Clone, ...], resolves: tuple[Resolve, ...]) -> Lock:
    committed = {_key(form, scene) for form in _image_needs(scene.committed_choice, scene.images).values()}
    committed |= {repository.key for _, repository in _repository_needs(scene.committed_choice).values()}
    named = {_key(form, scene) for form in named_images(scene.committed, scene.base)}
    named |= {service.repository.key for service in scene.committed.services.values() if service.repository}
    kept = {*scene.lock.images, *scene.lock.repositories} & named
    return Lock(
        images={step.key: step.output for step in reversed(resolves)},
        repositories={step.repository.key: step.output for step in reversed(clones) if not step.own},
        committed=frozenset(committed | kept),
        output=posixpath.join(scene.paths.stack, "hsm.lock"),
        local_output=f"{scene.paths.state}/local.lock",
        copy=f"{scene.paths.state}/last.lock",
        known=frozenset(named),
        drop=scene.everything,
    )


def missing_entries(scene: Scene) -> tuple[str, ...]:
    """What hsm.lock lacks for the stack as committed; a frozen sync refuses to add it."""
    images = {_key(form, scene) for form in _image_needs(scene.committed_choice, scene.images).values()}
    repositories = {repository.key for _, repository in _repository_needs(scene.committed_choice).values()}
    return tuple(sorted((images - set(scene.lock.images)) | (repositories - set(scene.lock.repositories))))


# --- what is made of it -----------------------------------------------------------------------------------------


def _checkout(form: Form, scene: Scene) -> str | None:
    repository = form.service.repository if form.service else None
    return scene.paths.from_base(scene.paths.checkout(repository)) if repository else None


def _draft(form: Form, scene: Scene) -> Draft:
    return render(form, scene.chosen, Site(checkout=_checkout(form, scene), schema=scene.schema))


def _render(form: Form, draft: Draft, scene: Scene) -> Render:
    state = scene.paths.state
    repository = form.service.repository if form.service and form.mode == "dev" else None
    mounted = sources((draft or {}).get("volumes"))
    return Render(
        name=form.name,
        mode=form.mode,
        draft=draft,
        pins={name: f"{state}/pins/{name}.json" for name in sorted(open_pins(draft))},
        mounts=tuple(scene.paths.to_workspace(path) for path in mounted),
        after=(f"clone:{repository.name}",) if repository else (),
        output=f"{state}/fragments/{form.name}.yml",
    )


def _builds(scene: Scene, drafts: Mapping[str, Draft]) -> Iterator[Build]:
    for name, form in sorted(scene.chosen.forms.items()):
        build = _build_keys(form, drafts[name])
        if form.mode in ("off", "prod") or build is None:
            continue
        context = build.get("context")
        plain = isinstance(context, str) and "$" not in context and ":" not in context
        own = (form.base or {}).get("image") if form.mode == "base" else None
        yield Build(
            name=name,
            image=own if isinstance(own, str) else f"{scene.project}-{name}",
            recipe=repr(build),
            context=scene.paths.to_workspace(context) if plain and isinstance(context, str) else None,
            dockerfile=str(build.get("dockerfile") or "Dockerfile"),
            hidden=tuple(scene.paths.to_workspace(path) for path in _hidden(form, drafts[name])),
            rebuild=form.service.dev.rebuild if form.service else None,
        )


def _build_keys(form: Form, draft: Draft) -> Keys | None:
    drawn = (draft or {}).get("build")
    tree = getattr(drawn, "tree", drawn)
    below = (form.base or {}).get("build")
    own: Keys = below if isinstance(below, Mapping) else {}
    if isinstance(tree, Mapping):
        return tree if tree is not drawn or "context" in tree else {**own, **tree}
    return own or None


def _hidden(form: Form, draft: Draft) -> tuple[str, ...]:
    volumes = (draft or {}).get("volumes")
    below = (form.base or {}).get("volumes")
    return (*sources(volumes), *(str(v["source"]) for v in (below if isinstance(below, list) else [])
            if isinstance(v, Mapping) and v.get("type") == "bind"))


def _ups(scene: Scene, builds: tuple[Build, ...], renders: tuple[Render, ...]) -> Iterator[Up]:
    built = {build.name for build in builds}
    mounts = {render.name: render.mounts for render in renders}
    for name, form in sorted(scene.chosen.forms.items()):
        if form.mode != "off":
            needed = sorted(reachable(name, scene.chosen))
            yield Up(
                name=name,
                builds=tuple(other for other in needed if other in built),
                mounts=tuple(path for other in needed for path in mounts[other]),
            )


def reachable(name: str, chosen: Chosen) -> frozenset[str]:
    """A service and everything that it depends on, directly or not."""
    found, waiting = {name}, [name]
    while waiting:
        for other in chosen.needs(waiting.pop()):
            if other not in found:
                found.add(other)
                waiting.append(other)
    return frozenset(found)
