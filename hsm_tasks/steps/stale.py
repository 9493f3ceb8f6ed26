"""What a step reads, what it leaves, and what makes it stale; nothing here reads, writes or decides."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from hsm_tasks import __version__
from hsm_tasks.core.errors import HsmError
from hsm_tasks.core.model import Pin, without_config
from hsm_tasks.core.plan import Build, Check, Clone, Lock, Merge, Plan, Render, Resolve, Step, Up, label
from hsm_tasks.run.certain import Claim
from hsm_tasks.run.engine import Fingerprint, Words
from hsm_tasks.run.fingerprint import Part
from hsm_tasks.steps import builds, commands
from hsm_tasks.steps.actions import lock_reason
from hsm_tasks.steps.starting import Start
from hsm_tasks.steps.world import World, left_commit, left_pin

SYNC = ("lock", "check")


def inputs(step: Step) -> tuple[str, ...]:
    match step:
        case Render():
            return tuple(step.pins.values())
        case Merge():
            return step.fragments
        case Check():
            return (step.input,)
        case _:
            return ()


def outputs(step: Step) -> tuple[str, ...]:
    match step:
        case Lock():
            return (step.output, step.local_output, step.copy)
        case Resolve():
            return (step.output, step.healthcheck) if step.healthcheck else (step.output,)
        case Clone() | Render() | Merge() | Check():
            return (step.output,)
        case _:
            return ()


def disposable(step: Step) -> tuple[str, ...]:
    """What `doit clean` may remove: never a checkout, never hsm.lock."""
    return (step.local_output, step.copy) if isinstance(step, Lock) else outputs(step)


def after(step: Step, joint: tuple[str, ...]) -> tuple[str, ...]:
    match step:
        case Render() | Lock():
            return step.after
        case Build():
            return (*SYNC, *(f"build:{name}" for name in step.after))
        case Up():
            return (*SYNC, *dict.fromkeys((*joint, *(f"build:{name}" for name in step.builds))))
        case _:
            return ()


def fingerprint(step: Step, world: World, started: Start) -> Fingerprint:
    left, made = outputs(step), partial(_parts, step, world)
    match step:
        case Clone():
            extra, settled = partial(commands.clone_reason, step, world), partial(_recorded, step, world)
            return Fingerprint(made(), left, extra, settled)
        case Resolve():
            extra, settled = partial(commands.resolve_reason, step, world), partial(_pinned, step, world)
            return Fingerprint(made(), left, extra, settled)
        case Lock():
            return Fingerprint(made(), (), partial(lock_reason, step, world))
        case Build():
            return Fingerprint(made, left, partial(builds.reason, step, world), partial(builds.settled, step, world))
        case Up():
            return Fingerprint(made(), left, partial(started.reason, step))
        case _:
            return Fingerprint(made(), left)


def _parts(step: Step, world: World) -> Mapping[str, Part]:
    """What a step depends on besides its files, by value."""
    match step:
        case Clone():
            return _clone_parts(step, world)
        case Resolve():
            return _resolve_parts(step, world)
        case Render():
            return _render_parts(step)
        case Merge():
            return _merge_parts(step)
        case Check():
            return {"base": step.base, "compose": step.compose}
        case Build():
            return builds.parts(step, world)
        case Lock() | Up():
            return {}


def _doubt(step: Step, world: World) -> object:
    """Whether more than parts and files must be asked to know that a step is fresh."""
    match step:
        case Clone():
            return step.own or step.pending or commands.clone_reason(step, world)
        case Resolve():  # a pin that was made of an entry with a digest has one: then it need not be read
            return step.move or step.pending or not (step.locked and step.locked.digest)
        case Lock():
            try:
                return lock_reason(step, world)
            except HsmError:
                return True
        case _:
            return None


def words(text: str) -> Words:
    """A part that may be shown in a reason."""
    return Words(text, text)


def _clone_parts(step: Clone, world: World) -> dict[str, Part]:
    repository, late = step.repository, step.pending or step.move or step.own
    return {
        "url": repository.url,
        "ref": words(repository.ref),
        "path": step.directory,
        "submodules": repr(repository.submodules),
        "own": repr(step.own),
        "locked commit": _recorded(step, world)["locked commit"] if late else step.locked,
    }


def _recorded(step: Clone, world: World) -> Mapping[str, Any]:
    """The commit that hsm.lock will name once `lock` has run: it must not make the step stale again."""
    path = world.path(step.output)
    return {"locked commit": None if step.own else left_commit(path)}


def _resolve_parts(step: Resolve, world: World) -> dict[str, Part]:
    late = step.pending or step.move
    return {
        "image": words(step.image),
        "version": words(step.version or "none"),
        "config": repr(step.config),
        "locked digest": _pinned(step, world)["locked digest"] if late else _entry(step, step.locked, world),
    }


def _pinned(step: Resolve, world: World) -> Mapping[str, Any]:
    """As for a clone: the entry that this very step will have caused."""
    pin = left_pin(world.path(step.output))
    return {"locked digest": _entry(step, pin, world) if pin and pin.digest else None}


def _entry(step: Resolve, pin: Pin | None, world: World) -> str | None:
    """What the entry of the lock says that the pin becomes, or came from.

    What an image's config says goes with its digest: where the entry does not tell it, the pin that is there does, and
    so no step is stale only because its entry moves from local.lock to hsm.lock, which tells less.
    """
    if pin is None:
        return None
    entry = pin if step.told else without_config(pin)
    if step.config and entry.healthcheck is None:
        left = left_pin(world.path(step.output))
        entry = left if left and left.digest == entry.digest else entry
    return repr((entry.tag, entry.digest, entry.healthcheck, entry.volumes))


def _merge_parts(step: Merge) -> dict[str, Part]:
    return {
        "name": words(step.project),
        "services": repr(step.fragments),
        "volumes": repr(step.volumes),
        "hsm": words(__version__),
    }


def _render_parts(step: Render) -> dict[str, Part]:
    parts: dict[str, Part] = {"mode": words(step.mode), "hsm": words(__version__)}
    for key, value in (step.draft or {}).items():
        parts[key] = repr(value)
    return parts | {"mounts": repr(step.mounts)}


# --- what is certain --------------------------------------------------------------------------------------------------


def claims(plan: Plan, world: World) -> Iterator[Claim]:
    """What the steps of a sync say of themselves, in an order in which they could run."""
    made_by = leaving(plan)
    for step in plan.of_sync:
        read = inputs(step)
        yield Claim(
            name=label(step),
            needs=(*after(step, ()), *(made_by[path] for path in read if path in made_by)),
            inputs=read,
            outputs=() if isinstance(step, Lock) else outputs(step),
            parts=partial(_parts, step, world),
            doubt=partial(_doubt, step, world),
        )


def settled(names: Sequence[str]) -> dict[str, Claim]:
    """The claims of a sync whose steps are all known to be fresh, without asking any of them."""
    rest = tuple(name for name in names if name not in SYNC)
    return {name: Claim(name, rest if name in SYNC else (), (), (), dict, bool) for name in names}


def files(plan: Plan, names: Container[str]) -> list[str]:
    """All that these steps read and leave."""
    steps = (step for step in plan.of_sync if label(step) in names)
    return [path for step in steps for path in (*inputs(step), *outputs(step))]


def leaving(plan: Plan) -> dict[str, str]:
    """file → the step that leaves it."""
    return {path: label(step) for step in plan.of_sync for path in outputs(step)}
