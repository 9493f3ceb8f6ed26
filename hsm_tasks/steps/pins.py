"""What a resolve step does: a reference becomes a pin, from the lock, from a registry, or from the engine alone."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from hsm_tasks.core import tags
from hsm_tasks.core.errors import HsmError, ImageNotFound, RegistryError
from hsm_tasks.core.model import Pin
from hsm_tasks.core.plan import Resolve
from hsm_tasks.core.reference import ImageReference
from hsm_tasks.effects import docker, files
from hsm_tasks.steps.world import World

if TYPE_CHECKING:
    from hsm_tasks.effects.registry import ImageConfig


def resolve(step: Resolve, world: World) -> None:
    """Makes a resolve step true."""
    try:
        pin = find(step, world)
    except RegistryError as error:
        if step.needed:
            error.hint = error.hint or _way_out(step, error, world)
            if step.image in error.message:
                raise
            raise RegistryError(f"{step.image}: {error.message}", error.hint) from error
        world.say(f"hsm.lock stays without {step.key}: {error.message}")
        pin = Pin(image=step.image)
    for path, text in written(step, pin).items():
        files.write_if_changed(world.path(path), text)


def written(step: Resolve, pin: Pin) -> dict[str, str]:
    """The files of a resolve step."""
    left = {step.output: pin}
    if step.healthcheck:
        left[step.healthcheck] = Pin(image="", healthcheck=bool(pin.healthcheck))
    return {path: msgspec.json.encode(one).decode() + "\n" for path, one in left.items()}


def _way_out(step: Resolve, error: RegistryError, world: World) -> str:
    """Where the registry is well and has no such image, what it has of that name is what helps."""
    if not isinstance(error, ImageNotFound):
        return "is this the right registry, and is it well?"
    with contextlib.suppress(HsmError):
        if there := world.registry.tags(_reference(step)):
            return f"correct the tag; the last ten that there are: {', '.join(there[-10:])}"
    return "correct the name of the image, in hsm.yaml or in the base, or push it first"


def known_pin(step: Resolve) -> Pin | None:
    """The pin that needs nobody to be asked: the lock has it, or the reference itself. None where it must be asked."""
    reference, locked = _reference(step), step.locked
    if locked and locked.digest:
        pin = _pinned(reference, locked.tag or reference.tag, locked.digest)
    elif reference.digest:
        pin = _pinned(reference, reference.tag, reference.digest)
    else:
        return None
    if not step.config:
        return pin
    if locked and locked.healthcheck is not None:
        return replace(pin, healthcheck=locked.healthcheck, volumes=locked.volumes or ())
    return None


def _reference(step: Resolve, written: str | None = None) -> ImageReference:
    """`written`: what the reference was before its variables were filled in, for whom one without a value misleads."""
    try:
        return ImageReference.parse(step.image)
    except ValueError as error:
        if written in (None, step.image):
            raise HsmError(f'"{step.image}" is no image reference: {error}') from error
        hint = "give its variables values in the environment or in .env, as for compose itself"
        raise HsmError(f'{written} comes to "{step.image}", which is no image reference: {error}', hint) from error


def _written(step: Resolve, world: World) -> str | None:
    form = world.opened.scene.chosen.forms.get(step.service)
    return form.image if form else None


def _pinned(reference: ImageReference, tag: str | None, digest: str) -> Pin:
    image = reference.pinned(tag, digest) if tag else f"{reference.name}@{digest}"
    return Pin(image=image, tag=tag, digest=digest)


def find(step: Resolve, world: World) -> Pin:
    """The pin, without writing it down; the registry is asked where nothing else says it."""
    reference, locked = _reference(step, _written(step, world)), step.locked
    known = known_pin(step)
    if known:
        return known
    tag, digest = (locked.tag, locked.digest) if locked else (reference.tag, reference.digest)
    if digest is None:
        try:
            tag = _tag(step, reference, world)
            digest = world.registry.digest(reference, tag)
        except RegistryError as error:
            return _only_here(step, error, world)
    pin = _pinned(reference, tag, digest)
    if not step.config:
        return pin
    config = world.registry.config(reference, digest)
    return replace(pin, healthcheck=config.healthcheck, volumes=config.volumes)


def about(step: Resolve, digest: str, world: World) -> ImageConfig | None:
    """What the image of that digest says of itself; None where the registry does not tell."""
    try:
        return world.registry.config(_reference(step), digest)
    except RegistryError:
        return None


def _tag(step: Resolve, reference: ImageReference, world: World) -> str:
    if step.version is None:
        return reference.tagged
    there = world.registry.tags(reference)
    tag = tags.newest(there, step.version)
    if tag is None:
        shown = ", ".join(there[-10:]) or "none"
        raise HsmError(f"no tag of {reference.name} is in the range {step.version}", f"its tags, the last ten: {shown}")
    return tag


def _engine_has(image: str, error: RegistryError) -> bool:
    """Whether only the engine has it. Where the engine is silent too, what the registry said is what helps."""
    try:
        return docker.is_local_only(image)
    except HsmError as silent:
        raise type(error)(f"{error.message} (an engine that may have it: {silent.message})", error.hint) from silent


def _only_here(step: Resolve, error: RegistryError, world: World) -> Pin:
    """An image that no registry has but the engine has is used as written."""
    if step.version is not None or not _engine_has(step.image, error):
        raise error
    if step.frozen:
        hint = "push it, or name an image that a registry has"
        raise HsmError(f"{step.image} is only in this engine; a frozen sync refuses it", hint) from error
    world.say(f"{step.image} is only in this engine: used as written, without a digest and without a lock entry")
    config = docker.image_config(step.image) if step.config else None
    if config is None:
        return Pin(image=step.image)
    return Pin(image=step.image, healthcheck=config[0], volumes=config[1])
