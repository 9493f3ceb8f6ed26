"""The plan as doit tasks. Nothing here reads, writes or decides: a step says what it depends on, doit compares.

Every step is a task with one Fingerprint: the values that it carries, and its output. Commands are tasks that stand for
steps (`sync`) or call compose (`logs`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from typing import Any

from hsm_tasks.core.plan import Build, Check, Clone, Lock, Merge, Plan, Render, Resolve, Step, Up, label
from hsm_tasks.run.certain import Claim
from hsm_tasks.screen.words import ASIDE, COMMANDS, NEEDS_NAME, SHIPPING, STEPS
from hsm_tasks.steps import commands, outdated
from hsm_tasks.steps.actions import perform
from hsm_tasks.steps.order import Order
from hsm_tasks.steps.own import Own, needed
from hsm_tasks.steps.stale import SYNC, after, disposable, fingerprint, inputs, leaving, outputs
from hsm_tasks.steps.starting import Start
from hsm_tasks.steps.world import World

Task = dict[str, Any]
Maker = tuple[str, Callable[[], Task]]
"""A name, and the task of it when it is asked for."""
_LATER = ("build", "up")
_SINGLE = ("lock", "merge", "check")


def names(plan: Plan, world: World) -> Collection[str]:
    """All that a command line may name."""
    return _Makers(plan, world, Order((), Own(), ()))


def tasks(plan: Plan, world: World, words: Sequence[str] = (), own: Own | None = None) -> list[Task]:
    """The whole graph. `words` are the canonical words of the command line: `up` must know its companions.

    The user's `own` tasks are not among those that come back, but are told what they have to wait for.
    """
    order = _order(words, world, own or Own())
    made = {name: make() for name, make in _Makers(plan, world, order).items()}
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
    makers = _Makers(plan, world, order)
    mine = needed(own, only)
    wanted = [*only, *(name for task in mine for name in _names(task, makers))]
    made = _needed(makers, [name for name in wanted if name not in own.tasks], fresh)
    _in_order(made, order)
    asked = [(task["task_dep"], task.get("file_dep", ())) for task in made.values()]
    left = _behind([*asked, *(([*task.task_dep, *task.setup_tasks], task.file_dep) for task in mine)], fresh)
    lists = [task["task_dep"] for task in made.values()]
    for named in [*lists, *(task.task_dep for task in mine), *(task.setup_tasks for task in mine)]:
        named[:] = [name for name in named if name not in left]
    return list(made.values()), left


def _names(task: Any, makers: _Makers) -> Iterator[str]:
    """What a task of the user needs, and the steps whose files it reads."""
    yield from (*task.task_dep, *task.setup_tasks, *task.calc_dep)
    yield from makers.of_files(task.file_dep)


def _order(words: Sequence[str], world: World, own: Own) -> Order:
    return Order(tuple(words), own, commands.active(world.opened.scene.chosen))


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


class _Makers(Mapping[str, Callable[[], Task]]):
    """name → the task, for when it is asked for. A run that asks for few of a thousand steps makes few."""

    def __init__(self, plan: Plan, world: World, order: Order) -> None:
        self._plan, self._world, self._order = plan, world, order
        self._starts = [Start(world, stage) for stage in order.stages]
        world.memo["plan"] = plan

    def __getitem__(self, name: str) -> Callable[[], Task]:
        head, _, rest = name.partition(":")
        if rest and head in _LATER:
            step = self._plan.build(rest) if head == "build" else self._plan.up(rest)
            if step is None:
                raise KeyError(name)
            return self._maker(step)
        if is_of_sync(name):
            return self._of_sync[name]
        return self._about[name] if rest else self._alone[name]

    def __iter__(self) -> Iterator[str]:
        yield from self._of_sync
        yield from (label(step) for step in self._plan.later)
        yield from self._alone
        yield from self._about

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def in_order(self, names: Collection[str]) -> Iterator[str]:
        """Those of these names as they come; the steps of a sync are looked through only where one is among them."""
        if any(map(is_of_sync, names)):
            yield from (name for name in self._of_sync if name in names)
        rest = (name for name in names if not is_of_sync(name))
        yield from sorted(rest, key=lambda name: (name.partition(":")[0] not in _LATER or ":" not in name, name))

    def of_files(self, paths: Iterable[str]) -> Iterator[str]:
        """The steps that leave these files, as far as a step does."""
        yield from (self._left[path] for path in paths if path in self._left)

    @cached_property
    def _left(self) -> dict[str, str]:
        return leaving(self._plan)

    def _maker(self, step: Step) -> Callable[[], Task]:
        started = self._starts[self._order.stage_of(label(step))]
        return partial(_step, step, self._world, started, self._joint if isinstance(step, Up) else ())

    @cached_property
    def _joint(self) -> tuple[str, ...]:
        """The builds of all `up` words of a line: they share one compose call, which must not come too early for any.
        """
        words = self._order.ups
        named = {word.removeprefix("up:") for word in words if ":" in word}
        ups = map(self._plan.up, {*named, *(self._order.usual if "up" in words else ())})
        return tuple(sorted({f"build:{name}" for step in ups if step for name in step.builds}))

    @cached_property
    def _of_sync(self) -> dict[str, Callable[[], Task]]:
        return {label(step): self._maker(step) for step in self._plan.of_sync}

    @cached_property
    def _alone(self) -> dict[str, Callable[[], Task]]:
        return dict(_commands(self._plan, self._world))

    @cached_property
    def _about(self) -> dict[str, Callable[[], Task]]:
        return dict(_commands_about(self._world))


def _needed(makers: _Makers, only: Iterable[str], fresh: Mapping[str, Claim]) -> dict[str, Task]:
    """The tasks of these names and all that they need but what is fresh, in the order of `makers`."""
    found: dict[str, Task] = {}
    waiting = list(only)
    while waiting:
        name = waiting.pop()
        if name not in found and name not in fresh:
            task = found[name] = makers[name]()
            waiting += task["task_dep"]
            waiting += makers.of_files(task.get("file_dep", ()))
    return {name: found[name] for name in makers.in_order(found)}


def _in_order(made: Mapping[str, Task], order: Order) -> None:
    """What waits for words of the line is told so."""
    for name, waits in order.waits():
        task_dep = order.own.tasks[name].task_dep if name in order.own.tasks else made[name]["task_dep"]
        task_dep += [other for other in waits if other not in task_dep]


def is_of_sync(name: str) -> bool:
    """Whether a step of that name would be one of a sync."""
    head, _, rest = name.partition(":")
    return head in STEPS and head not in _LATER and bool(rest) == (head not in _SINGLE)


def _step(step: Step, world: World, started: Start, joint: tuple[str, ...]) -> Task:
    action = started.up if isinstance(step, Up) else partial(perform, step, world)
    return {
        "basename": label(step),
        "doc": _doc(step),
        "actions": [(action, [step] if isinstance(step, Up) else [])],
        "file_dep": list(inputs(step)),
        "targets": list(outputs(step)),
        "uptodate": [fingerprint(step, world, started)],
        "task_dep": list(after(step, joint)),
        "clean": [(commands.clean, [list(disposable(step))])],
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


def _commands(plan: Plan, world: World) -> Iterator[Maker]:
    """The words that stand alone."""
    yield _maker("sync", SYNC)
    yield _maker("up", _started(world))
    yield _maker("build", _built(plan))
    yield _maker("down", (), partial(commands.down, world))
    yield _maker("update", SYNC, partial(outdated.report_update, world))
    for head in (*NEEDS_NAME, "plan", "graph", "watch", "status", "stacks", "compose", "logs", *SHIPPING, *ASIDE):
        yield _maker(head)


def _started(world: World) -> Iterator[str]:
    yield from (f"up:{name}" for name in commands.active(world.opened.scene.chosen))


def _built(plan: Plan) -> Iterator[str]:
    yield from (*SYNC, *map(label, plan.builds))


def _commands_about(world: World) -> Iterator[Maker]:
    """The words that are said of a service."""
    chosen = world.opened.scene.chosen
    for name in sorted(name for name, form in chosen.forms.items() if form.mode != "off"):
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


def name(task: Mapping[str, Any]) -> str:
    """The name of a task as people type it."""
    return f"{task['basename']}:{task['name']}" if "name" in task else str(task["basename"])
