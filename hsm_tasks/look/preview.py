"""`plan`: what would run and why, and what would become of the override; without writing or starting anything.

Each step is judged as doit will judge it, but against the files as they will be: what a stale step is going to write is
worked out where its inputs are known. Where they are not (a digest that only the registry knows), what follows "may"
run, and says on what that depends.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from hsm_tasks.core.errors import HsmError
from hsm_tasks.core.merge import merge
from hsm_tasks.core.model import Pin
from hsm_tasks.core.plan import Build, Check, Clone, Lock, Merge, Plan, Render, Resolve, Step, Up, label
from hsm_tasks.core.render import fill
from hsm_tasks.effects import files
from hsm_tasks.run.fingerprint import Fingerprint
from hsm_tasks.run.records import Records
from hsm_tasks.run.state import Glimpse
from hsm_tasks.steps.actions import lock_reason
from hsm_tasks.steps.own import Own
from hsm_tasks.steps.pins import known_pin, written
from hsm_tasks.steps.tasks import name as name_of
from hsm_tasks.steps.world import World, left_pin

VERSION = 1
State = Literal["run", "may run", "fresh"]


class Foreseen(msgspec.Struct, frozen=True):
    """One step: whether it would run, and why, in words."""

    name: str
    state: State
    reasons: tuple[str, ...]


class Preview(msgspec.Struct):
    """Works through the steps in their order. `contents` are files as they will be; None: not to be known yet."""

    world: World
    records: Records
    contents: dict[str, str | None] = msgspec.field(default_factory=dict)
    makers: dict[str, str] = msgspec.field(default_factory=dict)
    states: dict[str, State] = msgspec.field(default_factory=dict)
    unknown: set[str] = msgspec.field(default_factory=set)
    """Steps that ask somebody: what they will write is not known."""

    def judge(self, step: Step, task: Mapping[str, Any]) -> Foreseen:
        """What doit would say of a step once everything before it has run."""
        name = label(step)
        own = self._own(step, task, name)
        changed, open_ = self._inputs(task, name)
        state: State = "run" if own or changed else "may run" if open_ else "fresh"
        self.states[name] = state
        if isinstance(step, Check) and state == "fresh":
            self.world.memo["settled"] = True  # what compose said of the project is what it would say after a sync
        if state != "fresh":
            self._foresee(step, task, certain=state == "run")
        return Foreseen(name, state, (*own, *changed, *open_))

    def judge_own(self, task: Any, wants: Mapping[str, Any]) -> Foreseen:
        """The same of a task of the user: doit says what it would say, and what it reads of others may change yet."""
        name = task.name
        _, waiting = self._inputs({**wants, "task_dep": ()}, name)
        coming = [path for path in wants["file_dep"] if not Path(path).exists()]
        status = "run" if coming else self.records.get_status(task, {}).status
        reason = f"after {self.makers.get(coming[0], coming[0])}" if coming else self.records.reasons.get(name, "")
        state: State = "run" if status != "up-to-date" else "may run" if waiting else "fresh"
        self.states[name] = state
        if state != "fresh":
            self.contents |= dict.fromkeys(task.targets)
            self.makers |= dict.fromkeys(task.targets, name)
        return Foreseen(name, state, (reason,) if state == "run" else waiting)

    def _own(self, step: Step, task: Mapping[str, Any], name: str) -> tuple[str, ...]:
        """The reasons that the step itself has: its values, its outputs, the world."""
        if isinstance(step, Lock):
            return self._of_lock(step, name)
        waits = isinstance(step, Build) and step.context and not self.world.path(step.context).is_dir()
        if waits:
            return (f"{step.context} comes first",) if isinstance(step, Build) else ()
        values = self.records.backend.row(name).get("_values_:", {})
        fingerprint = task["uptodate"][0]
        assert isinstance(fingerprint, Fingerprint)
        try:
            fresh = fingerprint(_Silent(), values)
        except HsmError as error:
            return (error.message.partition("\n")[0],)
        return () if fresh else (fingerprint.reason,)

    def _of_lock(self, step: Lock, name: str) -> tuple[str, ...]:
        """As for the others; what it would write is made of files that steps before it may leave otherwise."""
        values = self.records.backend.row(name).get("_values_:", {})
        if "parts" not in values:
            return (str(values.get("ended", "first run")),)
        if any(self._is_open(path) for path in (*step.images.values(), *step.repositories.values())):
            return ()
        try:
            reason = lock_reason(step, self.world, self._text)
        except HsmError as error:
            reason = error.message.partition("\n")[0]
        return (reason,) if reason else ()

    def _is_open(self, path: str) -> bool:
        """Whether a step will write the file that cannot be foreseen."""
        return path in self.contents and self.contents[path] is None

    def _text(self, path: str) -> str:
        """The file as it will be."""
        return self._content(path) or files.read(self.world.path(path))

    def _inputs(self, task: Mapping[str, Any], name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """(reasons that are sure, reasons that depend on a step before)."""
        row = self.records.backend.row(name)
        sure = [f"{path} is no longer read" for path in row.get("deps:", ()) if path not in task["file_dep"]]
        open_ = []
        for path in task["file_dep"]:
            maker = f"after {self.makers[path]}" if path in self.makers else f"{path} changed"
            if self._is_open(path) and path in row:
                open_.append(f"{maker}, if it changes {path}")
            elif path not in row or self._digest(path) != row[path][-1]:
                sure.append(maker)
        for other in task["task_dep"]:
            kind = other.partition(":")[0]
            waits = name.startswith("up:") and kind in ("build", "check") and self.states.get(other, "fresh") != "fresh"
            if waits or (name == "lock" and other in self.unknown):
                open_.append(f"after {other}")
        return tuple(sure), tuple(open_)

    def _digest(self, path: str) -> str:
        """Of a file as it will be."""
        content = self.contents.get(path)
        return _digest_of(path) if content is None else hashlib.sha256(content.encode()).hexdigest()

    # --- what a step is going to write ---------------------------------------------------------------------------

    def _foresee(self, step: Step, task: Mapping[str, Any], *, certain: bool) -> None:
        """The outputs of a step that will, or may, run."""
        name = label(step)
        written = self._written(step) if certain else dict.fromkeys(task["targets"])
        for path in task["targets"]:
            self.contents[path] = written.get(path)
            self.makers[path] = name
            if self._is_open(path):
                self.unknown.add(name)

    def _written(self, step: Step) -> dict[str, str | None]:
        match step:
            case Resolve():
                pin = known_pin(step)
                return {**written(step, pin)} if pin else {}
            case Clone():
                record = {"repository": step.repository.key, "commit": None if step.own else step.locked}
                text = f"{msgspec.json.encode(record).decode()}\n"
                return {step.output: text if self._is_known(step) else None}
            case Render():
                return {step.output: self._fragment(step)}
            case Merge():
                return {step.output: self._merged(step)}
            case Check():
                return {step.output: self._content(step.input)}
            case Lock() | Build() | Up():
                return {}

    def _is_known(self, step: Clone) -> bool:
        """A checkout that is there stays at the commit of its owner's, where that has work in it."""
        there = self.world.path(step.directory)
        bare = not there.is_dir() or not any(there.iterdir())
        return step.own or (step.locked is not None and (step.ask or bare))

    def _content(self, path: str) -> str | None:
        return self.contents[path] if path in self.contents else files.read_if_there(self.world.path(path))

    def _fragment(self, step: Render) -> str | None:
        pins = {name: self._content(path) for name, path in step.pins.items()}
        known = {name: msgspec.json.decode(text, type=Pin) for name, text in pins.items() if text}
        return fill(step.name, step.draft, known) if len(known) == len(pins) else None

    def _merged(self, step: Merge) -> str | None:
        fragments = [self._content(path) for path in step.fragments]
        whole = [text for text in fragments if text is not None]
        return merge(step.project, whole, step.volumes) if len(whole) == len(fragments) else None

    # --- the override --------------------------------------------------------------------------------------------

    def diff(self, plan: Plan) -> str:
        """What would change in the override, as a unified diff; pins that are not known yet are shown as such."""
        target = plan.check.output
        old = _shown(self.world.path(target))
        fragments = [self._content(step.output) or self._draft(step) for step in plan.renders]
        new = merge(plan.merge.project, fragments, plan.merge.volumes)
        lines = difflib.unified_diff(old.splitlines(), new.splitlines(), target, f"{target} (planned)", lineterm="")
        return "\n".join(lines)

    def _draft(self, step: Render) -> str:
        """A fragment with the pins that are known; the old one, or a sentence, in the place of the others."""
        pins = {}
        for name, path in step.pins.items():
            text = self._content(path)
            old = self.world.path(path)
            known = msgspec.json.decode(text, type=Pin) if text else left_pin(old)
            pins[name] = known or Pin(image=f"resolve:{name} will tell")
        return fill(step.name, step.draft, pins)


class _Silent:
    """Stands for doit's task, which a Fingerprint tells what to save: here nothing is saved."""

    def __init__(self) -> None:
        self.value_savers: list[object] = []


def _shown(path: Path) -> str:
    """A file for a diff, whatever somebody has done to it."""
    try:
        return files.content(path).decode(errors="replace")
    except OSError:
        return ""


def _digest_of(path: str) -> str:
    try:
        return hashlib.sha256(files.content(path)).hexdigest()
    except OSError:
        return ""


def preview(
    plan: Plan, tasks: Iterable[Mapping[str, Any]], world: World, words: Iterable[str], own: Own | None = None
) -> dict[str, Any]:
    """The plan of a command line, as its JSON: {version, stack, steps: [{name, state, reasons}], diff}."""
    by_name = {name_of(task): task for task in tasks}
    own = own or Own()
    mine = {name: _as_dictionary(own, name) for name in own.tasks}
    wanted = _needed({**by_name, **mine}, words)
    looking = Preview(world, Records(world.opened.state / "state.db", Glimpse))
    try:
        seen = [looking.judge(step, by_name[label(step)]) for step in plan.steps if label(step) in wanted]
        seen += [looking.judge_own(own.tasks[name], mine[name]) for name in _sorted(own, mine, wanted)]
        diff = looking.diff(plan) if "check" in wanted else ""
    finally:
        looking.records.backend.dump()
    steps = [{"name": one.name, "state": one.state, "reasons": list(one.reasons)} for one in seen]
    return {"version": VERSION, "stack": world.opened.name, "steps": steps, "diff": diff}


def _as_dictionary(own: Own, name: str) -> dict[str, Any]:
    task = own.tasks[name]
    return {"file_dep": sorted(task.file_dep), "task_dep": own.needs(name), "targets": task.targets}


def _sorted(own: Own, mine: Mapping[str, Mapping[str, Any]], wanted: set[str]) -> list[str]:
    """The user's tasks that are wanted and do something, each after what it needs."""
    makers = {path: name for name, task in mine.items() for path in task["targets"]}
    found: dict[str, None] = {}

    def add(name: str, above: tuple[str, ...] = ()) -> None:
        if name in mine and name not in found and name not in above:
            for other in (*mine[name]["task_dep"], *(makers.get(path, "") for path in mine[name]["file_dep"])):
                add(other, (*above, name))
            found[name] = None

    for name in sorted(wanted & mine.keys()):
        add(name)
    return [name for name in found if own.tasks[name].actions]


def _needed(tasks: Mapping[str, Mapping[str, Any]], words: Iterable[str]) -> set[str]:
    """The steps that these words are about, with all that they need: what a step reads is made by another."""
    makers = {path: name for name, task in tasks.items() for path in task.get("targets", ())}
    found: set[str] = set()
    waiting = list(words)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += tasks[name]["task_dep"]
            waiting += [makers[path] for path in tasks[name].get("file_dep", ()) if path in makers]
    return found
