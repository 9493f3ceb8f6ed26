"""What must be known before anything can be made: checkouts and pins, and what hsm.lock is to say of them.

Two choices count: what runs here (with hsm.local.yaml), and what the committed files alone ask for, because hsm.lock
must not depend on the machine that writes it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Literal

import msgspec
from msgspec.structs import replace

from hsm_tasks.core.attached import Pinned, attached
from hsm_tasks.core.forms import Chosen, Form
from hsm_tasks.core.model import Base, Keys, Repository, Service, Stack
from hsm_tasks.core.references import Condition
from hsm_tasks.core.scene import Scene
from hsm_tasks.core.steps import Clone, Lock, Resolve, label


class Needs(msgspec.Struct, frozen=True, dict=True):
    """What a scene asks for: each part is looked for once, and a thousand services make each look long."""

    scene: Scene

    @cached_property
    def named(self) -> tuple[Form, ...]:
        """The images that the committed files name at all."""
        return tuple(named_images(self.scene.committed, self.scene.base))

    @cached_property
    def here(self) -> dict[str, Form]:
        """step → form, of the images that run here."""
        return _image_needs(self.scene.chosen, self.scene.images)

    @cached_property
    def committed(self) -> dict[str, Form]:
        """The same of the committed files alone."""
        choice, images = self.scene.committed_choice, self.scene.images
        return self.here if choice is self.scene.chosen else _image_needs(choice, images)

    @cached_property
    def written(self) -> frozenset[str]:
        """The keys of images that belong into hsm.lock."""
        return self._keys(self.committed.values()) | (self._keys(self.named) & self.scene.lock.images.keys())

    @cached_property
    def told(self) -> frozenset[str]:
        """The keys whose entries also tell what the image's config says: the same, whichever of the services that share
        an image asks. hsm.lock is not to depend on what is an option on this machine alone: its own pin says that.
        """
        mine = self._keys(form for form in self.here.values() if form.option) - self.written
        return mine | self._keys(form for form in self.named if form.option)

    @cached_property
    def moved(self) -> frozenset[str]:
        """What an update moves in hsm.lock: every image and repository of the services that it names. Another service
        that shares one moves with it."""
        scene = self.scene
        if not scene.move:
            return frozenset()
        mine = named_images(scene.stack, scene.base)
        images = self._keys(form for form in (*mine, *self.named) if form.name in scene.move)
        both = (*scene.stack.services.items(), *scene.committed.services.items())
        return images | {s.repository.key for name, s in both if s.repository and name in scene.move}

    def _keys(self, forms: Iterable[Form]) -> frozenset[str]:
        return frozenset(_key(form, self.scene) for form in forms)


def image_key(image: str, version: str | None) -> str:
    """The name of an image in hsm.lock."""
    return f"{image} {version}" if version else image


def _beside(name: str, here: Mapping[str, object]) -> str:
    """The name of a step that only hsm.lock wants: the plain one, where no step of this machine has it."""
    return f"{name}:committed" if name in here else name


def _file(name: str) -> str:
    """The file of a clone or a pin. No service and no checkout has an @ in its name, so none can be meant by two."""
    head, _, rest = name.partition(":")
    if rest in ("", "committed"):
        return f"{name.replace(':', '@')}.json"
    return f"{head}@{hashlib.sha256(rest.encode()).hexdigest()[:16]}.json"  # a reference may be too long for a file


def pins(holes: Iterable[Pinned | Condition], scene: Scene) -> dict[str, str]:
    """The keys of pins → their files."""
    return {hole.key: _pin_file(hole, scene) for hole in sorted(holes, key=lambda hole: hole.key)}


def _pin_file(hole: Pinned | Condition, scene: Scene) -> str:
    if isinstance(hole, Condition):
        return _healthcheck_file(hole.service, scene)
    return f"{scene.paths.state}/pins/{_file(_pin_name(hole.service, hole.image, scene.images))}"


def _healthcheck_file(service: str, scene: Scene) -> str:
    return f"{scene.paths.state}/healthchecks/{service}.json"


def _pin_name(service: str, image: str, images: Mapping[str, str]) -> str:
    """The name of the resolve step: of the service's own image, or of one that it mounts or builds with."""
    return f"{service}:{images[image]}" if image else service


def _step_name(form: Form, images: Mapping[str, str]) -> str:
    return _pin_name(form.name, form.image if form.attached and form.image else "", images)


def _image_needs(chosen: Chosen, images: Mapping[str, str]) -> dict[str, Form]:
    """step → form, of the images that must be pinned."""
    running = [form for form in chosen.forms.values() if form.mode != "off"]
    wanted = [*running, *(other for form in running for other in _attached(form))]
    return {_step_name(form, images): form for form in wanted if form.image in images}


def _attached(form: Form) -> Iterator[Form]:
    for image in attached(form):
        yield Form(name=form.name, mode="prod", image=image, attached=True)


def _repository_needs(chosen: Chosen) -> dict[str, tuple[str, Repository]]:
    """checkout → (a service that wants it, repository)."""
    wanted: dict[str, tuple[str, Repository]] = {}
    for name, form in sorted(chosen.forms.items()):
        if form.mode == "dev" and form.service and form.service.repository:
            wanted.setdefault(form.service.repository.name, (name, form.service.repository))
    return wanted


def clones(needs: Needs) -> Iterator[Clone]:
    """A checkout for each repository that is needed here, and questions for those that only hsm.lock wants to know."""
    scene, moved = needs.scene, needs.moved
    here = _repository_needs(scene.chosen)
    known = {repository.key for _, repository in here.values() if repository.path is None}
    for name, (_, repository) in here.items():
        yield _clone(scene, name, repository, move=repository.key in moved)
    for name, (_, repository) in _repository_needs(scene.committed_choice).items():
        if repository.key not in known:
            known.add(repository.key)
            yield _clone(scene, _beside(name, here), repository, ask=True, move=repository.key in moved)
    # an update moves the entries of the lock that no step of today needs, too
    for _, service in sorted(scene.committed.services.items()):
        other = service.repository
        if other and other.key in scene.lock.repositories and other.key in moved and other.key not in known:
            known.add(other.key)
            yield _clone(scene, _beside(other.name, here), other, ask=True, move=True)


def _clone(scene: Scene, name: str, repository: Repository, *, ask: bool = False, move: bool = False) -> Clone:
    locked = scene.lock.repositories.get(repository.key) or scene.local_lock.repositories.get(repository.key)
    return Clone(
        name=name,
        repository=repository,
        directory=scene.paths.checkout(repository),
        locked=None if move else locked,
        output=f"{scene.paths.state}/clones/{_file(name)}",
        own=repository.path is not None,
        ask=ask,
        move=move,
        frozen=scene.frozen,
        pending=locked is None and repository.key not in scene.last_lock.repositories,
    )


def resolves(needs: Needs) -> Iterator[Resolve]:
    """A question for each image that runs here, and for those that only hsm.lock wants to know."""
    scene, moved, told = needs.scene, needs.moved, needs.told
    known = {_key(form, scene) for form in needs.here.values()}
    for name, form in sorted(needs.here.items()):
        key = _key(form, scene)
        yield _resolve(scene, name, form, told=key in told, move=key in moved)
    others = [form for _, form in sorted(needs.committed.items())]
    # an update moves the entries of the lock that no step of today needs, too
    others += [form for form in needs.named if _key(form, scene) in moved and _key(form, scene) in scene.lock.images]
    for form in others:
        key = _key(form, scene)
        if key not in known:
            known.add(key)
            name = _beside(_step_name(form, scene.images), needs.here)
            step = _resolve(scene, name, form, told=key in told, move=key in moved)
            yield replace(step, needed=False)


def named_images(stack: Stack, base: Base) -> Iterator[Form]:
    """Every image that any mode or option of hsm.yaml names, as a form that would need it."""
    options = {option for group in stack.groups.values() if not group.profiles for option in group.names}
    for name in sorted({*base.services, *stack.services}):
        service, below = stack.services.get(name), base.services.get(name, {})
        own = below.get("image")
        image = (service.prod.image if service else None) or (own if isinstance(own, str) else None)
        if image and (service or "build" not in below):
            yield Form(name=name, mode="prod", service=service, base=below, image=image,
                       version=service.prod.version if service else None, option=name in options)
        yield from _attached_in_any_mode(name, service, below, stack)


def _attached_in_any_mode(name: str, service: Service | None, below: Keys, stack: Stack) -> Iterator[Form]:
    options = (option for group in stack.groups.values() for option in group.options)
    wishes = [(option.consumers[name],) for option in options if name in option.consumers]
    modes: tuple[Literal["dev", "prod", "base"], ...] = ("dev", "prod") if service else ("base",)
    for mode in modes:
        for extra in ((), *wishes):
            yield from _attached(Form(name=name, mode=mode, service=service, base=below, extra=extra))


def _key(form: Form, scene: Scene) -> str:
    assert form.image is not None
    return image_key(scene.images[form.image], form.version)


def _resolve(scene: Scene, name: str, form: Form, *, told: bool, move: bool) -> Resolve:
    key = _key(form, scene)
    locked = scene.lock.images.get(key) or scene.local_lock.images.get(key)
    assert form.image is not None
    config = told or form.option
    return Resolve(
        name=name,
        service=form.name,
        key=key,
        image=scene.images[form.image],
        version=form.version,
        locked=None if move else locked,
        output=f"{scene.paths.state}/pins/{_file(name)}",
        healthcheck=_healthcheck_file(name, scene) if config and name == form.name else None,
        config=config,
        told=told,
        move=move,
        frozen=scene.frozen,
        pending=locked is None and key not in scene.last_lock.images,
    )


def lock(needs: Needs, cloned: tuple[Clone, ...], resolved: tuple[Resolve, ...]) -> Lock:
    """The step that writes down what these two say."""
    scene = needs.scene
    sources = {service.repository.key for service in scene.committed.services.values() if service.repository}
    committed = needs.written | (sources & set(scene.lock.repositories))
    committed |= {repository.key for _, repository in _repository_needs(scene.committed_choice).values()}
    return Lock(
        images={step.key: step.output for step in reversed(resolved)},
        repositories={step.repository.key: step.output for step in reversed(cloned) if not step.own},
        committed=committed,
        told=needs.told,
        output=scene.paths.beside("hsm.lock"),
        local_output=f"{scene.paths.state}/local.lock",
        copy=f"{scene.paths.state}/last.lock",
        known=frozenset(sources | {_key(form, scene) for form in needs.named}),
        after=(*map(label, cloned), *map(label, resolved)),
        drop=scene.everything,
    )


def missing_entries(scene: Scene) -> tuple[str, ...]:
    """What hsm.lock lacks for the stack as committed; a frozen sync refuses to add it."""
    images = {_key(form, scene) for form in Needs(scene).committed.values()}
    repositories = {repository.key for _, repository in _repository_needs(scene.committed_choice).values()}
    return tuple(sorted((images - set(scene.lock.images)) | (repositories - set(scene.lock.repositories))))
