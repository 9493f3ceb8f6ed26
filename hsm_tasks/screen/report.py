"""What the user sees of a run: talk on stderr, a line for each step that ran, and one for all that did not have to.

`Reporter` is made by doit, somewhere in a run. What runs inside a step speaks through `progress` and `say`, which
find it. On a terminal, running steps have a live line each; rich, which draws them, is imported for the first step that
runs, since it costs half as much as a run that does nothing.
"""

from __future__ import annotations

import collections
import functools
import json
import os
import re
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Protocol

from hsm_tasks import BUG
from hsm_tasks.core import codes
from hsm_tasks.core.errors import ConfigError, HsmError, mask
from hsm_tasks.screen.lines import Lines
from hsm_tasks.shortcut import all_fresh, duration

_CONTROL = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_COMMAND = re.compile(r"`hsm (?!init\b|compose\b)")  # of our own sentences; these two are only at that door
_SHOWN = 24  # lines of a program's words that are shown of a failure; the log has them all
_KEPT = 4000  # lines of progress that a log begins with
_LOGGED = 'time="'  # so compose begins its warnings; they are no progress, and its own log has them
_BOLD, _DIM, _RED = "1", "2", "31"


class Fail(Protocol):
    """doit's BaseFail, as far as it is read here."""

    message: str
    traceback: str | Sequence[str]
    report: bool

    def get_name(self) -> str: ...


def explain(error: BaseException) -> str:
    """The words for an error: message and hint of ours, else a traceback and where to report it. Secrets are masked."""
    if isinstance(error, HsmError):
        return with_codes(clean(str(error)))
    return clean("".join(traceback.format_exception(error)).rstrip() + f"\n{BUG}")


def with_codes(text: str) -> str:
    """On a terminal, where a person reads: which page explains what is said."""
    found = codes.mentioned(text) if sys.stderr.isatty() else ()
    return f"{text}\n  see: {door()} explain {' '.join(found[:3])}" if found else text


def exit_code(error: BaseException) -> int:
    """3: the user's words are wrong; 1: something else that a user can mend; 2: a bug."""
    return 3 if isinstance(error, ConfigError) else 1 if isinstance(error, HsmError) else 2


def _shortened(said: str, log: str) -> str:
    """The end of a long story says why it ended badly; where a log has the rest, the beginning is left out."""
    lines = said.splitlines()
    spoken = [number for number, line in enumerate(lines) if line.startswith("  | ")]
    if not log:
        return said
    cut = spoken[: -_SHOWN] if len(spoken) > _SHOWN + 10 else []
    if cut:
        lines[cut[0] : cut[-1] + 1] = [f"  | … {len(cut)} lines more, see the log"]
    return "\n".join([*lines, f"  log: {log}"])


_secrets: Callable[[], tuple[str, ...]] = tuple
_write_log: Callable[[str, str], str] = lambda step, text: ""  # noqa: E731 - until somebody has a place for logs


def keep_logs(write: Callable[[str, str], str]) -> None:
    """From now on the log of a step that fails goes to this, which says where it lies."""
    global _write_log  # noqa: PLW0603, RUF100 - as above
    _write_log = write


def hush() -> None:
    """Nothing is drawn any more, and what still runs is not heard: for a run that is being interrupted."""
    global _current  # noqa: PLW0603, RUF100 - as above
    if _current is not None:
        _current.lines.close()
    _current = None


def keep_secret(values: Callable[[], tuple[str, ...]]) -> None:
    """From now on these values are cut out of everything that is said. They are asked for when something is."""
    global _secrets  # noqa: PLW0603, RUF100 - whatever speaks, speaks through here
    _secrets = functools.cache(values)


def clean(text: str, secrets: tuple[str, ...] = ()) -> str:
    """Masked, in the words of the door, and without the control characters by which others could drive the terminal."""
    return mask(_COMMAND.sub(f"`{door()} ", _CONTROL.sub("", text)), (*secrets, *_secrets()))


def as_json(value: object) -> str:
    """For programs, every text in it masked as what people read; JSON itself spells out what could drive a terminal."""
    return json.dumps(_all_masked(value), indent=2)


def _all_masked(value: object) -> object:
    match value:
        case str():
            return mask(value, _secrets())
        case list() | tuple():
            return [_all_masked(one) for one in value]
        case dict():
            return {name: _all_masked(one) for name, one in value.items()}
        case _:
            return value


def door() -> str:
    """What was typed to come here: a hint is to be typed the same way."""
    return "hsm" if os.path.basename(sys.argv[0]) == "hsm" else "doit"  # noqa: PTH119 - no pathlib for a word


_current: Reporter | None = None


def progress(step: str, text: str) -> None:
    """To be called by what runs inside a step, as often as it likes, from any thread."""
    newest = next((piece for piece in reversed(re.split(r"[\r\n]", text)) if piece.strip()), "")
    if _current is not None and newest:
        _current.heard(step, _current.masked(newest).strip())


def say(text: str) -> None:
    """A sentence to keep: a line of its own, above the live ones."""
    if _current is not None:
        _current.lines.write(_current.masked(text))
    else:
        sys.stderr.write(clean(text) + "\n")


class Reporter:
    """doit's reporter. `verbosity` is what -v said: 0 failures only, 2 up-to-date steps too."""

    desc = "a line on stderr for each step that ran"
    verbosity: int | None = None
    secrets: tuple[str, ...] = ()

    def __init__(self, outstream: IO[str], options: object = None) -> None:
        global _current  # noqa: PLW0603, RUF100 - doit makes the object, and hands it to nobody
        self.lines = Lines(sys.stderr if outstream in (sys.stdout, sys.__stdout__) else outstream)
        self.talks = self.verbosity != 0
        self._tasks: Mapping[str, Any] = {}
        self._counts = dict.fromkeys(("ran", "fresh", "failed", "skipped", "ignored"), 0)
        self._certain = 0
        self._begun: dict[str, float] = {}
        self._heard: dict[str, collections.deque[str]] = {}
        self._start = time.monotonic()
        self._along: list[str] = []
        _current = self

    def masked(self, text: str) -> str:
        return clean(text, self.secrets)

    def heard(self, step: str, text: str) -> None:
        """Kept for the log, should the step fail, and shown if anything is."""
        begun = self._begun.get(step)
        if begun is not None:
            kept = self._heard.setdefault(step, collections.deque(maxlen=_KEPT))
            kept.append(f"{time.monotonic() - begun:8.2f} s  {text}")
        if self.talks and not text.startswith(_LOGGED):
            self.lines.progress(step, text)

    def initialize(self, tasks: Mapping[str, Any], selected_tasks: Sequence[str]) -> None:
        """`tasks` are all that this run is about."""
        self._tasks = tasks

    def certain(self, names: Sequence[str]) -> None:
        """Steps of this run that are fresh, and no tasks."""
        self._certain = len(names)
        self._counts["fresh"] += len(names)
        if self.verbosity == 2:
            for name in names:
                self.lines.write(f"{name} {self.lines.paint('(up to date)', _DIM)}")

    def get_status(self, task: Any) -> None:
        """doit asks whether the task is up to date."""

    def execute_task(self, task: Any) -> None:
        """In the thread of the task."""
        if _is_step(task):
            self._begun[task.name] = time.monotonic()
            if _is_own(task):
                self.lines.lend()  # what it runs may write, or ask, on the terminal
            elif self.talks:
                self.lines.begin(task.name)

    def add_success(self, task: Any) -> None:
        if self._ended(task, "ran") and self.talks:
            name, notes = self.lines.paint(task.name, _BOLD), self.lines.paint(self._notes(task), _DIM)
            self.lines.write(f"{name} {notes}")

    def skip_uptodate(self, task: Any) -> None:
        if self._ended(task, "fresh") and self.verbosity == 2:
            self.lines.write(f"{task.name} {self.lines.paint('(up to date)', _DIM)}")

    def skip_ignore(self, task: Any) -> None:
        if self._ended(task, "ignored") and self.talks:
            self.lines.write(self.masked(f"{task.name} (ignored, until `hsm forget {task.name}`)"))

    def add_failure(self, task: Any, fail: Fail) -> None:
        if fail.get_name() == "UnmetDependency":
            self._ended(task, "skipped")
            return
        is_step = self._ended(task, "failed")
        if not fail.report:
            self._along.append(task.name)
        if fail.report:
            lines = [self._failure(task, fail) if is_step else self._said(fail)]
            lines += [f"  stops: {stopped}" for stopped in [self._stopped_by(task)] if stopped]
            self.lines.write("\n".join(lines))

    def _ended(self, task: Any, how: str) -> bool:
        self.lines.end(task.name)
        if how != "failed":
            self._heard.pop(task.name, None)
        if _is_own(task) and task.name in self._begun:
            self.lines.take_back()
        if _is_step(task):
            self._counts[how] += 1
            return True
        return False

    def _notes(self, task: Any) -> str:
        seconds = task.meta.get("seconds", time.monotonic() - self._begun.get(task.name, time.monotonic()))
        reason = self.masked(task.meta.get("reason", ""))
        return f"({reason}, {duration(seconds)})" if reason else f"({duration(seconds)})"

    def _failure(self, task: Any, fail: Fail) -> str:
        notes = self.lines.paint(self._notes(task), _DIM) if task.name in self._begun else ""
        whole = self._said_by_own(task, fail) if _is_own(task) else self._said(fail)
        first, _, rest = _shortened(whole, self._log(task, whole)).partition("\n")
        head = f"{self.lines.paint(f'{task.name} failed', _RED)} {notes}".rstrip()
        return f"{head}\n  {first}" + (f"\n{rest}" if rest else "")

    def _log(self, task: Any, said: str) -> str:
        """Keeps all that the step said; where. "" where nothing is kept."""
        lines = [f"{task.name} failed ({self.masked(task.meta.get('reason', ''))})", *self._heard.pop(task.name, ())]
        return _write_log(task.name, "\n".join([*lines, said, ""])) if task.name in self._begun else ""

    def _said(self, fail: Fail) -> str:
        """An HsmError's own words; a bug's traceback; what doit says of a missing file."""
        trace = "".join(fail.traceback)
        if trace:
            return self.masked(f"{trace.rstrip()}\n{BUG}")
        return with_codes(self.masked(fail.message.removeprefix("ERROR: ").rstrip()))

    def _said_by_own(self, task: Any, fail: Fail) -> str:
        """Of the user's own code: where it raised, and what was kept of its programs' words; it is no bug of hsm."""
        kept = [text for action in task.actions for text in (action.out, action.err) if text]
        lines = [line for text in kept for line in text.rstrip().splitlines()]
        trace = _own_frames("".join(fail.traceback))
        message = f"it raised {trace.splitlines()[-1]}" if trace else _UNASKED.sub("", fail.message.rstrip())
        parts = [message, *(f"  | {line}" for line in (*lines, *trace.splitlines()[:-1]))]
        return with_codes(self.masked("\n".join(parts)))

    def _stopped_by(self, task: Any) -> str:
        """The steps that need this one, directly or not: the first few of them."""
        stopped: set[str] = set()
        waiting = [task.name]
        while waiting:
            needing = [name for name in self._needing.get(waiting.pop(), ()) if name not in stopped]
            stopped.update(needing)
            waiting += needing
        names = [name for name, other in self._tasks.items() if name in stopped and _is_step(other)]
        return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")

    @functools.cached_property
    def _needing(self) -> dict[str, list[str]]:
        """The graph turned round; asked for at the first failure only."""
        found: dict[str, list[str]] = {}
        for name, task in self._tasks.items():
            for needed in task.task_dep:
                found.setdefault(needed, []).append(name)
        return found

    def cleanup_error(self, exception: Any) -> None:
        """doit calls this for a teardown; hsm has none."""
        self.lines.write(self.masked(str(exception)))

    def runtime_error(self, msg: str) -> None:
        """The graph itself is wrong."""
        self.lines.write(self.masked(f"{msg}\n{BUG}"))

    def teardown_task(self, task: Any) -> None:
        """hsm has none."""

    def complete_run(self) -> None:
        global _current  # noqa: PLW0603, RUF100 - as above
        self.lines.close()
        if self._along:
            self.lines.write(f"failed with it: {', '.join(sorted(self._along))}")
        if self.talks and any(self._counts.values()):
            self.lines.write(self._summary())
        _current = None

    def _summary(self) -> str:
        counts, total = self._counts, self._certain + sum(1 for task in self._tasks.values() if _is_step(task))
        total = max(total, sum(counts.values()))
        took = duration(time.monotonic() - self._start)
        if counts["fresh"] == total:
            return all_fresh(total, time.monotonic() - self._start)
        names = {"fresh": "up to date", "failed": "failed", "skipped": "skipped", "ignored": "ignored"}
        parts = [f"{counts[key]} {words}" for key, words in names.items() if counts[key]]
        left = total - sum(counts.values())
        parts += [f"{left} not reached"] if left else []
        return ", ".join([f"{counts['ran']} of {total} {'step' if total == 1 else 'steps'} ran", *parts, took])


def _is_step(task: Any) -> bool:
    return bool(task.meta and task.meta.get("step"))


def _is_own(task: Any) -> bool:
    """Of the user's dodo.py, and doing something."""
    return _is_step(task) and bool(task.meta.get("own"))


_UNASKED = re.compile(r"^ERROR: Task '.*?' checking dependencies: ")
_FRAME = re.compile(r'^  File "([^"]+)".*\n(?:    .*\n)*', re.MULTILINE)
_DOIT, _HSM = f"{os.sep}doit{os.sep}action.py", f"{Path(__file__).parents[1]}{os.sep}"


def _own_frames(trace: str) -> str:
    """A traceback without the lines of doit and hsm that lead to the user's own."""

    def others(frame: re.Match[str]) -> str:
        return "" if frame[1].startswith(_HSM) or frame[1].endswith(_DOIT) else frame[0]

    return _FRAME.sub(others, trace).rstrip()
