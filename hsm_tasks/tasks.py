"""The plan as doit tasks. Nothing here reads, writes or decides: a step says what it depends on, doit compares.

Every step is a task with one Fingerprint: the values that it carries, and its output. Commands are tasks that stand for
steps (`sync`) or call compose (`logs`).
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from hsm_tasks import __version__, builds, commands, outdated
from hsm_tasks.actions import lock_reason, perform
from hsm_tasks.certain import Claim
from hsm_tasks.core.choose import Chosen
from hsm_tasks.core.errors import HsmError
from hsm_tasks.core.model import Pin
from hsm_tasks.core.plan import Build, Check, Clone, Lock, Merge, Plan, Render, Resolve, Step, Up, label
from hsm_tasks.engine import Fingerprint, Words
from hsm_tasks.fingerprint import Part
from hsm_tasks.order import Order
from hsm_tasks.own import Own, needed
from hsm_tasks.starting import Start
from hsm_tasks.words import ASIDE, COMMANDS, NEEDS_NAME, SHIPPING
from hsm_tasks.world import World, left_commit, left_pin

Task = dict[str, Any]
Maker = tuple[str, Callable[[], Task]]
"""A name, and the task of it when it is asked for."""
SYNC = ("lock", "check")


def names(plan: Plan, world: World) -> Iterator[str]:
    """All that a command line may name."""
    yield from _makers(plan, world, Order((), Own(), ()))


def tasks(plan: Plan, world: World, words: Sequence[str] = (), own: Own | None = None) -> list[Task]:
    """The whole graph. `words` are the canonical words of the command line: `up` must know its companions.

    The user's `own` tasks are not among those that come back, but are told what they have to wait for.
    """
    order = _order(words, world, own or Own())
    made = {name: make() for name, make in _makers(plan, world, order).items()}
    _in_order(made, order)
    return list(made.values())


def needed_tasks(
    plan: Plan, world: World, words: Sequence[str], only: Sequence[str], certain: Mapping[str, Claim], own: Own
) -> tuple[list[Task], dict[str, Claim]]:
    """The tasks of these names (`only`) and of what they need; and, in place of a task, those that are certain.

    To make a task takes its time, and so it does to look at one. As in `tasks`, `own` are only told what to wait for.
    """
    order = _order(words, world, own)
    fresh = {name: claim for name, claim in certain.items() if name not in only}
    makers = _makers(plan, world, order) if [*only] != ["sync"] else _makers_of_sync(plan, world)
    mine = needed(own, only)
    wanted = [*only, *(name for task in mine for name in _names(task, plan))]
    made = _needed(plan, makers, [name for name in wanted if name not in own.tasks], fresh)
    _in_order(made, order)
    asked = [(task["task_dep"], task.get("file_dep", ())) for task in made.values()]
    left = _behind([*asked, *(([*task.task_dep, *task.setup_tasks], task.file_dep) for task in mine)], fresh)
    lists = [task["task_dep"] for task in made.values()]
    for named in [*lists, *(task.task_dep for task in mine), *(task.setup_tasks for task in mine)]:
        named[:] = [name for name in named if name not in left]
    return list(made.values()), left


def _names(task: Any, plan: Plan) -> Iterator[str]:
    """What a task of the user needs, and the steps whose files it reads."""
    yield from (*task.task_dep, *task.setup_tasks, *task.calc_dep)
    left = leaving(plan)
    yield from (left[path] for path in task.file_dep if path in left)


def _order(words: Sequence[str], world: World, own: Own) -> Order:
    return Order(tuple(words), own, commands.active(world.opened.scene.chosen))


def claims(plan: Plan, world: World) -> Iterator[Claim]:
    """What the steps of a sync say of themselves, in an order in which they could run."""
    made_by = leaving(plan)
    for step in plan.of_sync:
        inputs = _inputs(step)
        yield Claim(
            name=label(step),
            needs=(*_after(step, ()), *(made_by[path] for path in inputs if path in made_by)),
            inputs=inputs,
            outputs=() if isinstance(step, Lock) else _outputs(step),
            parts=partial(_parts, step, world),
            doubt=partial(_doubt, step, world),
        )


def files(plan: Plan, names: Container[str]) -> list[str]:
    """All that these steps read and leave."""
    steps = (step for step in plan.of_sync if label(step) in names)
    return [path for step in steps for path in (*_inputs(step), *_outputs(step))]


def leaving(plan: Plan) -> dict[str, str]:
    """file → the step that leaves it."""
    return {path: label(step) for step in plan.of_sync for path in _outputs(step)}


def _behind(asked: Sequence[tuple[Iterable[str], Iterable[str]]], fresh: Mapping[str, Claim]) -> dict[str, Claim]:
    """Those of the steps that tasks need, directly or not: (the names, the files that each of the tasks asks for)."""
    found: set[str] = set()
    waiting: list[str] = [name for names, _ in asked for name in names]
    paths = {path: name for name, claim in fresh.items() for path in claim.outputs}
    waiting += [paths[path] for _, read in asked for path in read if path in paths]
    while waiting:
        name = waiting.pop()
        if name in fresh and name not in found:
            found.add(name)
            waiting += fresh[name].needs
    return {name: claim for name, claim in fresh.items() if name in found}


def _makers(plan: Plan, world: World, order: Order) -> dict[str, Callable[[], Task]]:
    """name → the task, for when it is asked for."""
    chosen = world.opened.scene.chosen
    world.memo["builds"] = {step.name: step for step in plan.builds}
    starts = [Start(world, stage) for stage in order.stages]
    joint = _joint_builds(plan, order.ups, order.usual)
    steps: dict[str, Callable[[], Task]] = {
        label(step): partial(_step, step, world, starts[order.stage_of(label(step))], joint) for step in plan.steps
    }
    return steps | dict(_groups(plan, chosen)) | dict(_commands(world, chosen))


def _makers_of_sync(plan: Plan, world: World) -> dict[str, Callable[[], Task]]:
    """As `_makers`, without all that only other words need."""
    started = Start(world, frozenset())
    steps: dict[str, Callable[[], Task]] = {
        label(step): partial(_step, step, world, started, ()) for step in plan.of_sync
    }
    return steps | dict([_maker("sync", SYNC)])


def _needed(
    plan: Plan, makers: Mapping[str, Callable[[], Task]], only: Iterable[str], fresh: Mapping[str, Claim]
) -> dict[str, Task]:
    """The tasks of these names and all that they need but what is fresh, in the order of `makers`."""
    made_by = leaving(plan)
    found: dict[str, Task] = {}
    waiting = list(only)
    while waiting:
        name = waiting.pop()
        if name not in found and name not in fresh:
            task = found[name] = makers[name]()
            waiting += task["task_dep"]
            waiting += [made_by[path] for path in task.get("file_dep", ()) if path in made_by]
    return {name: found[name] for name in makers if name in found}


def _in_order(made: Mapping[str, Task], order: Order) -> None:
    """What waits for words of the line is told so."""
    for name, waits in order.waits():
        task_dep = order.own.tasks[name].task_dep if name in order.own.tasks else made[name]["task_dep"]
        task_dep += [other for other in waits if other not in task_dep]


def _joint_builds(plan: Plan, words: frozenset[str], usual: tuple[str, ...]) -> tuple[str, ...]:
    """The builds of all `up` words of a line: they share one compose call, which must not come too early for any."""
    started = usual if "up" in words else ()
    ups = (step for step in plan.ups if step.name in started or label(step) in words)
    return tuple(sorted({f"build:{name}" for step in ups for name in step.builds}))


def _step(step: Step, world: World, started: Start, joint: tuple[str, ...]) -> Task:
    action = started.up if isinstance(step, Up) else partial(perform, step, world)
    return {
        "basename": label(step),
        "doc": _doc(step),
        "actions": [(action, [step] if isinstance(step, Up) else [])],
        "file_dep": list(_inputs(step)),
        "targets": list(_outputs(step)),
        "uptodate": [_fingerprint(step, world, started)],
        "task_dep": list(_after(step, joint)),
        "clean": [(commands.clean, [list(_disposable(step))])],
        "io": {"capture": False},
        "verbosity": 0,
        "meta": {"step": True},
    }


def _doc(step: Step) -> str:
    match step:
        case Clone():
            return f"clone {step.repository.url} ({step.repository.ref})"
        case Resolve():
            return f"ask what {step.image}{f' {step.version}' if step.version else ''} is"
        case Lock():
            return "write hsm.lock"
        case Render():
            return f"the override of {step.name} ({step.mode})"
        case Merge():
            return "join the fragments"
        case Check():
            return "let compose judge the override, and publish it"
        case Build():
            return f"build the image {step.image}"
        case Up():
            return f"start {step.name} and what it needs"


# --- what a step reads, what it leaves, what makes it stale ------------------------------------------------------


def _inputs(step: Step) -> tuple[str, ...]:
    match step:
        case Render():
            return tuple(step.pins.values())
        case Merge():
            return step.fragments
        case Check():
            return (step.input,)
        case _:
            return ()


def _outputs(step: Step) -> tuple[str, ...]:
    match step:
        case Lock():
            return (step.output, step.local_output, step.copy)
        case Clone() | Resolve() | Render() | Merge() | Check():
            return (step.output,)
        case _:
            return ()


def _disposable(step: Step) -> tuple[str, ...]:
    """What `doit clean` may remove: never a checkout, never hsm.lock."""
    return (step.local_output, step.copy) if isinstance(step, Lock) else _outputs(step)


def _after(step: Step, joint: tuple[str, ...]) -> tuple[str, ...]:
    match step:
        case Render() | Lock():
            return step.after
        case Build():
            return (*SYNC, *(f"build:{name}" for name in step.after))
        case Up():
            return (*SYNC, *dict.fromkeys((*joint, *(f"build:{name}" for name in step.builds))))
        case _:
            return ()


def _fingerprint(step: Step, world: World, started: Start) -> Fingerprint:
    outputs, made = _outputs(step), partial(_parts, step, world)
    match step:
        case Clone():
            extra, settled = partial(commands.clone_reason, step, world), partial(_recorded, step, world)
            return Fingerprint(made(), outputs, extra, settled)
        case Resolve():
            extra, settled = partial(commands.resolve_reason, step, world), partial(_pinned, step, world)
            return Fingerprint(made(), outputs, extra, settled)
        case Lock():
            return Fingerprint(made(), (), partial(lock_reason, step, world))
        case Build():
            return Fingerprint(made, outputs, partial(builds.reason, step, world), partial(builds.settled, step, world))
        case Up():
            return Fingerprint(made(), outputs, partial(started.reason, step))
        case _:
            return Fingerprint(made(), outputs)


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
    return {
        "image": words(step.image),
        "version": words(step.version or "none"),
        "config": repr(step.config),
        "locked digest": _pinned(step, world)["locked digest"] if step.pending or step.move else _entry(step.locked),
    }


def _pinned(step: Resolve, world: World) -> Mapping[str, Any]:
    """As for a clone: the entry that this very step will have caused."""
    path = world.path(step.output)
    pin = left_pin(path)
    return {"locked digest": _entry(pin) if pin and pin.digest else None}


def _entry(pin: Pin | None) -> str | None:
    return None if pin is None else repr((pin.tag, pin.digest, pin.healthcheck, pin.volumes))


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


# --- commands ----------------------------------------------------------------------------------------------------


def _command(name: str, doc: str, after: Iterable[str] = (), action: Callable[[], object] | None = None) -> Task:
    return {
        "basename": name,
        "doc": doc,
        "actions": [(action, [])] if action else None,
        "task_dep": list(after),
        "uptodate": [False] if action else [],
        "io": {"capture": False},
        "verbosity": 0,
        "meta": {"step": False},
    }


def _groups(plan: Plan, chosen: Chosen) -> Iterator[Maker]:
    active = commands.active(chosen)
    builds = [label(step) for step in plan.builds]
    yield _maker("sync", SYNC)
    yield _maker("up", [f"up:{name}" for name in active])
    yield _maker("build", [*SYNC, *builds])


def _commands(world: World, chosen: Chosen) -> Iterator[Maker]:
    running = sorted(name for name, form in chosen.forms.items() if form.mode != "off")
    yield _maker("down", (), partial(commands.down, world))
    yield _maker("update", SYNC, partial(outdated.report_update, world))
    for head in (*NEEDS_NAME, "plan", "graph", "status", "stacks", "compose", "logs", *SHIPPING, *ASIDE):
        yield _maker(head)
    for name in running:
        yield from _about(name, world)
    for name in sorted(chosen.forms):
        yield _hidden(f"update:{name}", SYNC, partial(outdated.report_update, world))
    for name in _switchable(world):
        yield _hidden(name, SYNC)


def _about(name: str, world: World) -> Iterator[Maker]:
    for head, action in (("stop", commands.stop), ("restart", commands.restart)):
        yield _hidden(f"{head}:{name}", (), partial(action, world, name))


def _maker(head: str, after: Iterable[str] = (), action: Callable[[], object] | None = None) -> Maker:
    return head, partial(_command, head, COMMANDS[head], after, action)


def _hidden(word: str, after: Iterable[str] = (), action: Callable[[], object] | None = None) -> Maker:
    """Not in `list`, where one line for each command says it all."""
    return word, partial(_subtask, word, after, action)


def _subtask(word: str, after: Iterable[str], action: Callable[[], object] | None) -> Task:
    head, _, name = word.partition(":")
    return {**_command(head, COMMANDS[head], after, action), "name": name}


def _switchable(world: World) -> Iterator[str]:
    scene = world.opened.scene
    for name in scene.stack.services:
        yield from (f"dev:{name}", f"prod:{name}")
    for group in scene.stack.groups.values():
        for option in group.names:
            yield f"use:{option}"
            if group.strategy == "M-of-N":
                yield f"unuse:{option}"


def name(task: Task) -> str:
    """The name of a task as people type it."""
    return f"{task['basename']}:{task['name']}" if "name" in task else str(task["basename"])
