"""What each step does to the world, and through which door. Nothing is decided here: the steps say it all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar, assert_never

from hsm_tasks.core import advice, lock, merge, render
from hsm_tasks.core.errors import CommandFailed, HsmError
from hsm_tasks.core.load import problem
from hsm_tasks.core.model import without_config
from hsm_tasks.core.plan import Build, Check, Clone, Lock, Merge, Render, Resolve
from hsm_tasks.effects import compose, files
from hsm_tasks.stack.scene import Opened
from hsm_tasks.steps import builds, checkouts, pins
from hsm_tasks.steps.world import World, commit_in, pin_in, read_pin, require

T = TypeVar("T")


def perform(step: Clone | Resolve | Lock | Render | Merge | Check | Build, world: World) -> None:
    """Makes a step true. HsmError says what is in the way. An `Up` is the affair of `starting`."""
    match step:
        case Clone():
            checkouts.clone(step, world)
        case Resolve():
            pins.resolve(step, world)
        case Lock():
            _lock(step, world)
        case Render():
            _render(step, world)
        case Merge():
            _merge(step, world)
        case Check():
            _check(step, world)
        case Build():
            builds.build(step, world)
        case _:
            assert_never(step)


def _lock(step: Lock, world: World) -> None:
    committed, own = _locks(step, world, world.read)
    files.edit(world.path(step.output), committed, world.opened.workspace.root)
    files.write_own(world.path(step.copy), committed)
    files.write_own(world.path(step.local_output), own)


def lock_reason(step: Lock, world: World, read: Callable[[str], str] | None = None) -> str | None:
    """Words, if the lock step would write anything. HsmError where a pin or a clone record is not there.

    `read` gives the text of a pin or a record, by default as it is now.
    """
    committed, own = _locks(step, world, read or world.read)
    if files.read_if_there(world.path(step.output)) != committed:
        return f"{step.output} is not what it should be" if world.path(step.output).exists() else f"no {step.output}"
    there = files.read_own(world.path(step.copy)) == committed and files.read_own(world.path(step.local_output)) == own
    return None if there else "what is recorded of this machine has changed"


def _locks(step: Lock, world: World, read: Callable[[str], str]) -> tuple[str, str]:
    """The texts of hsm.lock and of local.lock as they should be."""
    images = {key: pin_in(read(path)) for key, path in step.images.items()}
    pins = {key: pin if key in step.told else without_config(pin) for key, pin in images.items() if pin.digest}
    commits = {key: commit_in(read(path)) for key, path in step.repositories.items()}
    heads = {key: commit for key, commit in commits.items() if commit}
    committed = files.read_if_there(world.path(step.output)) or ""
    own = files.read_own(world.path(step.local_output)) or ""
    texts = []
    for text, path, mine in ((committed, step.output, True), (own, step.local_output, False)):
        old = lock.parse(text, path)
        images, repositories = _entries(old.images, pins, step, mine), _entries(old.repositories, heads, step, mine)
        texts.append(lock.dump(lock.Lock(images=images, repositories=repositories)))
    return texts[0], texts[1]


def _entries(old: Mapping[str, T], found: Mapping[str, T], step: Lock, mine: bool) -> dict[str, T]:
    """The entries of one of the two files: what was there, and what was found and belongs into it."""
    kept = {key: value for key, value in old.items() if not step.drop or (mine and key in step.known)}
    return kept | {key: value for key, value in found.items() if (key in step.committed) == mine}


def _render(step: Render, world: World) -> None:
    require(step.mounts, world, f"render:{step.name}")
    pins = {name: read_pin(world.path(path)) for name, path in step.pins.items()}
    files.write_if_changed(world.path(step.output), render.fill(step.name, step.draft, pins))


def _merge(step: Merge, world: World) -> None:
    fragments = [world.read(path) for path in step.fragments]
    files.write_if_changed(world.path(step.output), merge.merge(step.project, fragments, step.volumes))


def _check(step: Check, world: World) -> None:
    opened = world.opened
    try:
        compose.check(opened.files, opened.files[0].parent, world.path(step.input), opened.environ)
    except CommandFailed as error:
        raise _explained(error, opened) from error
    world.hide()
    files.write_if_changed(world.path(step.output), files.read(world.path(step.input)))


def _explained(error: CommandFailed, opened: Opened) -> HsmError:
    """compose's own words, with the line of hsm.yaml that they are about, where that can be told."""
    cause = advice.cause(error.said)
    service = opened.scene.stack.services.get(cause[1]) if len(cause) > 1 else None
    if service is None:
        return HsmError(error.message, error.hint)
    section = (*cause[:2], service.mode, *cause[2:])
    place = problem(opened.texts.all, section, "compose does not accept base and override together")
    return HsmError(f"{place}\n{error.message}", error.hint)
