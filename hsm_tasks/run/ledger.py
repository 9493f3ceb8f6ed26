"""What comes of each step while doit runs: its reason, its time, its line in the run log, and the frame of its actions.

Names: a step is a task with `"meta": {"step": True}`; groups and command words are tasks, but no steps. For a reporter,
the `meta` of a step gets `reason` (why it runs) before it starts, and `seconds` when its actions have ended.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import json
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ParamSpec

from doit.exceptions import BaseFail, DependencyError, TaskFailed, UnmetDependency

from hsm_tasks.core.errors import Along, HsmError, known, mistake
from hsm_tasks.run.fingerprint import fingerprint_of
from hsm_tasks.run.records import Records, is_own
from hsm_tasks.run.seen import shown

_SECONDS_TO_END = 3.0
P = ParamSpec("P")


def guarded(action: Callable[P, object]) -> Callable[P, object]:
    """The action, its HsmErrors turned into doit's TaskFailed: message and hint, no traceback, exit 1.

    `run` does this to each action by itself. Anything else that is raised is a bug: doit keeps its traceback, exit 2.
    """

    @functools.wraps(action)
    def safe(*args: P.args, **kwargs: P.kwargs) -> object:
        try:
            return action(*args, **kwargs)
        except (HsmError, OSError, RuntimeError) as error:
            cause = known(error)
            if not isinstance(cause, HsmError):
                raise
            return TaskFailed(str(cause), report=not isinstance(cause, Along))  # type: ignore[no-untyped-call]

    return safe


class Crew:
    """The actions that are running now. An interrupted run waits for them, so that they can clean up."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._busy = 0
        self.dismissed = False

    def __enter__(self) -> None:
        with self._changed:
            self._busy += 1

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._busy -= 1
            self._changed.notify_all()

    def dismiss(self, on_interrupt: Callable[[], None]) -> None:
        """No action begins any more; those that run are told, and given a moment (their threads are daemons)."""
        self.dismissed = True
        try:
            on_interrupt()
            with self._changed:
                self._changed.wait_for(lambda: not self._busy, timeout=_SECONDS_TO_END)
        except KeyboardInterrupt:
            pass


class RunLog:
    """One JSON line for each step. Each line is one write in append mode, so several runs can share a file."""

    def __init__(self, path: Path | None) -> None:
        self._file: int | None = None
        if path is not None:
            try:
                self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
            except OSError as error:
                raise mistake(f"HSM_RUN_LOG: {path}: {error.strerror}") from error

    def write(self, step: str, result: str, reason: str, seconds: float) -> None:
        if self._file is not None:
            line = {"step": step, "result": result, "reason": reason, "seconds": round(seconds, 3)}
            with contextlib.suppress(OSError):  # a disk that is full by now: the steps say so themselves
                os.write(self._file, json.dumps(line, ensure_ascii=False).encode() + b"\n")

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None


class Ledger:
    """What came of each step of this run."""

    def __init__(self, records: Records, crew: Crew, log: RunLog, certain: Sequence[str] = ()) -> None:
        self.records, self.crew, self.log = records, crew, log
        self.certain = certain
        """The steps that were known to be fresh before doit was asked."""
        self.tasks: dict[str, Any] = {}
        self.results: dict[str, str] = {}
        self.worst = 0
        self._failed: set[str] = set()
        self._causes: dict[str, tuple[str, ...]] = {}

    def started(self, task: Any) -> None:
        """In the step's own thread, before its actions: the reason goes to meta, the actions get their frame."""
        if not is_step(task):
            for action in task.actions:
                action.py_callable = guarded(action.py_callable)
            return
        if not gc.isenabled():  # `run` turned it off
            gc.freeze()  # what is there by now lives as long as the run: no need to search it
            gc.enable()
        task.meta["reason"] = self.records.reasons.get(task.name, "asked for with -a")
        self.records.start(task)
        for number, action in enumerate(task.actions, 1):
            if is_own(task):
                self._follow(action, task)
            else:
                action.py_callable = self._framed(action.py_callable, task, last=number == len(task.actions))

    def _framed(self, action: Callable[P, object], task: Any, last: bool) -> Callable[P, object]:
        """The action in its frame, and the outputs looked at as soon as the last one has ended."""

        @functools.wraps(action)
        def whole(*args: P.args, **kwargs: P.kwargs) -> object:
            absent = sorted(path for path in task.file_dep if not os.path.exists(path))  # noqa: PTH110 - as in seen
            if absent:  # doit does not look where the step is stale anyway
                raise HsmError(f"{shown(absent[0])} does not exist")
            try:
                result = action(*args, **kwargs)
            except HsmError as error:
                task.meta["untouched"] = error.untouched
                raise
            fingerprint = fingerprint_of(task)
            if last and fingerprint and result is not False and not isinstance(result, BaseFail):
                fingerprint.seal()
            return result

        return self._timed(guarded(whole), task)

    def _timed(self, action: Callable[P, object], task: Any) -> Callable[P, object]:
        """The action with the clock around it, known to the crew while it runs."""

        @functools.wraps(action)
        def timed(*args: P.args, **kwargs: P.kwargs) -> object:
            if self.crew.dismissed:
                return TaskFailed("interrupted")  # type: ignore[no-untyped-call]
            begun = time.monotonic()
            with self.crew:
                try:
                    return action(*args, **kwargs)
                finally:
                    task.meta["seconds"] = task.meta.get("seconds", 0.0) + time.monotonic() - begun

        return timed

    def begin(self) -> None:
        """Before the first task."""
        for name in self.certain:
            self.results[name] = "fresh"
            self.log.write(name, "fresh", "", 0.0)

    def _follow(self, action: Any, task: Any) -> None:
        """An action of the user: a program has no function to frame, so doit's own way to run it is followed."""
        if hasattr(action, "py_callable"):
            action.py_callable = guarded(action.py_callable)
        action.execute = self._timed(_memorable(action), task)

    def hush(self, task: Any) -> None:
        """With -v0 the programs of the user's tasks are heard only where they fail."""
        if is_own(task) and all(hasattr(action, "shell") for action in task.actions):
            task.io.capture = True

    def ended(self, task: Any, result: str, reason: str = "") -> None:
        if is_step(task):
            self.results[task.name] = result
            seconds = 0.0 if result in ("fresh", "skipped") else task.meta.get("seconds", 0.0)
            self.log.write(task.name, result, reason or task.meta.get("reason", ""), seconds)

    def failed(self, task: Any, fail: BaseFail) -> None:
        """Exit 2 is for bugs in hsm; doit also gives it where a step was skipped or an input file is missing."""
        ordinary = isinstance(fail, TaskFailed | UnmetDependency | DependencyError) or is_own(task)
        self.worst = max(self.worst, 1 if ordinary else 2)
        if isinstance(fail, UnmetDependency):
            self.ended(task, "skipped", f"needs {', '.join(self._cause(task.name))}")
        else:
            self._failed.add(task.name)
            self.ended(task, "failed", "" if task.executed else str(fail.message))

    def complete(self) -> None:
        """Without --continue doit stops at a failure and says nothing of what it did not reach."""
        for name, task in self.tasks.items():
            if is_step(task) and name not in self.results and self._cause(name):
                self.ended(task, "skipped", f"needs {', '.join(self._cause(name))}")
        self.log.close()

    def left(self) -> list[str]:
        """The steps of which nothing came yet."""
        return [name for name, task in self.tasks.items() if is_step(task) and name not in self.results]

    def _cause(self, name: str) -> tuple[str, ...]:
        """The failed tasks that this one needs, directly or not."""
        if name not in self._causes:
            task = self.tasks[name]
            found = {name} if name in self._failed else set[str]()
            for needed in (*task.task_dep, *task.setup_tasks):
                found.update(self._cause(needed))
            self._causes[name] = tuple(sorted(found))
        return self._causes[name]


def _memorable(action: Any) -> Callable[..., object]:
    """As the action runs, and failing where it returns what can not be written down: doit would notice too late."""
    run = action.execute

    @functools.wraps(run)
    def execute(*args: Any, **kwargs: Any) -> object:
        failure = run(*args, **kwargs)
        try:
            json.dumps(action.values)
        except (TypeError, ValueError) as error:
            message = f"what it returned can not be remembered: {error}"
            return failure or TaskFailed(message)  # type: ignore[no-untyped-call]
        return failure

    return execute


def is_step(task: Any) -> bool:
    return bool(task.meta and task.meta.get("step"))


def _needed(tasks: Mapping[str, Any], selected: Iterable[str]) -> dict[str, Any]:
    """The selected tasks and all that they need, in the order of `tasks`."""
    found: set[str] = set()
    waiting = list(selected)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += tasks[name].task_dep
            waiting += tasks[name].setup_tasks
    return {name: task for name, task in tasks.items() if name in found}


def _ignore(*_: object) -> None:
    return None


class Recorded:
    """Mixed into whichever reporter -r chose: the ledger hears first, and the reporter only of tasks of this run."""

    ledger: Ledger
    mask: Callable[[str], str] | None = None
    """What doit's own reporters do not know: which words nobody is to see."""

    def initialize(self, tasks: Mapping[str, Any], selected: Sequence[str]) -> None:
        self.ledger.tasks = _needed(tasks, selected)
        self.ledger.begin()
        getattr(super(), "certain", _ignore)(self.ledger.certain)  # ours has it, doit's own have not
        getattr(super(), "initialize", _ignore)(self.ledger.tasks, selected)  # doit's JsonReporter has none

    def execute_task(self, task: Any) -> None:
        self.ledger.started(task)
        super().execute_task(task)  # type: ignore[misc]

    def add_success(self, task: Any) -> None:
        self.ledger.ended(task, "ran")
        super().add_success(task)  # type: ignore[misc]

    def skip_uptodate(self, task: Any) -> None:
        self.ledger.ended(task, "fresh")
        super().skip_uptodate(task)  # type: ignore[misc]

    def skip_ignore(self, task: Any) -> None:
        self.ledger.ended(task, "skipped", "ignored")
        super().skip_ignore(task)  # type: ignore[misc]

    def add_failure(self, task: Any, fail: BaseFail) -> None:
        if self.mask:
            fail.message = self.mask(str(fail.message))
            fail.traceback = "".join(map(self.mask, fail.traceback))
        self.ledger.failed(task, fail)
        super().add_failure(task, fail)  # type: ignore[misc]

    def complete_run(self) -> None:
        self.ledger.complete()
        super().complete_run()  # type: ignore[misc]
