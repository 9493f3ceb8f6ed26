"""What makes a step stale, and the words for it: `Fingerprint`, `Checker`, `Records`.

Rules, each held by a test:
* A row is one statement: "made from these parts and these files, the outputs had this content". It is written at
  once and whole, when the step has ended well; while the step runs, and after it failed, there is no such statement.
  So a kill at any moment, followed by any edit or revert, never makes stale work look fresh.
* Only digests are stored, and texts that the caller marked as safe: a part may hold a secret.
* A file is judged by its content. Its stat only saves reading it, and only where the stat can be trusted.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

from doit.dependency import Dependency, DependencyStatus, FileChangedChecker

from hsm_tasks.core.errors import HsmError
from hsm_tasks.shortcut import TICK, is_calm
from hsm_tasks.state import State

Stat: TypeAlias = list[int]
"""mtime and ctime in ns, size, inode."""
Seen: TypeAlias = list[Any]
"""A Stat, then 1 if an equal stat proves equal content (else 0), then the digest of the content."""

_TRUST, _DIGEST = 4, 5
_PARAMETERS = [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in ("task", "values")]
FAILED: Final = "failed last time"
UNFINISHED: Final = "did not finish last time"


class Words(NamedTuple):
    """A part that may be stored and shown in clear, as `text` (by default the value), in the reason of a later run."""

    value: str
    text: str = ""

    @property
    def shown(self) -> str:
        return self.text or self.value


Part: TypeAlias = str | Words | None


def _stat(found: os.stat_result) -> Stat:
    return [found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino]


def _stat_if_there(path: str) -> Stat | None:
    try:
        return _stat(os.stat(path))  # noqa: PTH116 - thousands in each run, and making a Path costs more than that
    except OSError:
        return None


def _file_digest(path: str) -> str:
    """Of the content; "" (equal to nothing, itself included) where it cannot be read: the step will say why."""
    try:
        if not Path(path).is_file():  # a pipe would never end
            return ""
        with Path(path).open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:
        return ""


def part_digest(part: Part) -> str | None:
    """What is stored of a part."""
    value = part.value if isinstance(part, Words) else part
    return None if value is None else hashlib.sha256(value.encode()).hexdigest()[:32]


def see(path: str) -> Seen:
    """The file as it is now. Raises OSError if there is none."""
    started = time.time_ns()
    stat = _stat(os.stat(path))  # noqa: PTH116
    digest = _file_digest(path)
    calm = is_calm(stat[1], started) and stat == _stat(os.stat(path))  # noqa: PTH116
    return [*stat, int(calm), digest]


def unchanged(path: str, seen: Seen, stat: Stat) -> bool:
    """Whether the content is still the seen one. If so, `seen` gets the new stat, to read the file once only."""
    if stat == seen[:_TRUST] and seen[_TRUST]:
        return True
    if stat[2] != seen[2]:
        return False
    try:
        now = see(path)
    except OSError:  # it went a moment ago
        return False
    if not now[_DIGEST] or now[_DIGEST] != seen[_DIGEST]:
        return False
    seen[:] = now
    return True


def same_file(found: os.stat_result, seen: Seen) -> bool:
    """Whether the stat alone proves that the content is the seen one."""
    return _stat(found) == seen[:_TRUST] and bool(seen[_TRUST])


def shown(path: str) -> str:
    """The path as a person in the workspace would write it."""
    try:
        return str(Path(path).relative_to(Path.cwd()))
    except ValueError:
        return path


class Fingerprint:
    """The one `uptodate` object of a task (doit would let two overwrite each other).

    `parts`: all that the step depends on besides its file_dep, by value and by the name that a reason gives it; or a
    function that gives them when the step's turn has come.
    `outputs`: the files (not folders) that the step writes; each must exist when its action has ended.
    `extra`: asked last, in the main thread, for a reason of its own to run; None: none. If it raises HsmError the step
    runs, and meets the same trouble where it can say so.
    `settled`: the values of some of the parts as they are once the action has ended, to be stored in their place.
    """

    # doit calls inspect.signature() on each uptodate object; with this attribute that costs nothing.
    __signature__ = inspect.Signature(_PARAMETERS)

    def __init__(
        self,
        parts: Mapping[str, Part] | Callable[[], Mapping[str, Part]],
        outputs: Sequence[Path | str] = (),
        extra: Callable[[], str | None] | None = None,
        settled: Callable[[], Mapping[str, Part]] | None = None,
    ) -> None:
        self._later = parts if callable(parts) else None
        self.parts: dict[str, Part] = {} if callable(parts) else dict(parts)
        self.outputs = tuple(str(path) for path in outputs)
        self.extra, self.settled = extra, settled
        self.reason = ""
        self.renewed = False
        self._sealed: dict[str, Any] | None = None

    def __repr__(self) -> str:
        return self.reason or "up to date"

    @functools.cached_property
    def _digests(self) -> dict[str, str | None]:
        """Not made for commands that never ask (`list`)."""
        return {name: part_digest(part) for name, part in self.parts.items()}

    def _look(self) -> None:
        """Parts that only now can be known: what they are made of may be the work of an earlier step of this run."""
        if self._later is not None:
            self.parts, self._later = dict(self._later()), None
            self._digests = {name: part_digest(part) for name, part in self.parts.items()}

    def __call__(self, task: Any, values: Mapping[str, Any]) -> bool:
        self._look()
        task.value_savers.append(self._values)
        self.renewed = False
        if "parts" in values:
            self.reason = self._other_parts(values) or self._other_outputs(values["out"]) or self._other_world()
        else:
            self.reason = str(values.get("ended", "first run"))
        return not self.reason

    def _other_parts(self, values: Mapping[str, Any]) -> str:
        old, texts = values["parts"], values["words"]
        if old == self._digests:
            return ""
        changed = [name for name, digest in self._digests.items() if old.get(name, "") != digest]
        changed += [name for name in old if name not in self._digests]
        return "config changed: " + ", ".join(name + self._from_to(name, texts.get(name)) for name in changed)

    def _from_to(self, name: str, before: str | None) -> str:
        part = self.parts.get(name)
        if before is None or not isinstance(part, Words) or before == part.shown:
            return ""
        short = all(len(text) <= 40 and text.isprintable() for text in (before, part.shown))
        return f" ({before} → {part.shown})" if short else ""

    def _other_outputs(self, seen: Mapping[str, Seen]) -> str:
        return "; ".join(filter(None, (self._other_output(path, seen.get(path)) for path in self.outputs)))

    def _other_output(self, path: str, seen: Seen | None) -> str:
        if seen is None:
            return f"{shown(path)} is new"
        try:
            stat = _stat(os.stat(path))  # noqa: PTH116
        except OSError:
            return f"{shown(path)} is gone"
        before = seen[:_TRUST]
        if not unchanged(path, seen, stat):
            return f"{shown(path)} was edited by hand"
        self.renewed = self.renewed or seen[:_TRUST] != before
        return ""

    def _other_world(self) -> str:
        try:
            return (self.extra() if self.extra else None) or ""
        except HsmError as error:
            return error.message.partition("\n")[0]

    def seal(self) -> None:
        """To be called when the action has ended, in its thread: what comes later is an edit by somebody else."""
        self._look()
        late = self.settled() if self.settled else {}
        assert late.keys() <= self.parts.keys(), "what settles is a part"
        parts = {**self.parts, **late}
        texts = {name: part.shown for name, part in parts.items() if isinstance(part, Words)}
        digests = {name: part_digest(part) for name, part in parts.items()}
        self._sealed = {"parts": digests, "words": texts, "out": {path: see(path) for path in self.outputs}}

    def _values(self) -> dict[str, Any]:
        if self._sealed is None:
            self.seal()
        assert self._sealed is not None
        return self._sealed


class Checker(FileChangedChecker):
    """file_dep by content: size first; an equal mtime proves nothing by itself (`cp -p`, SOURCE_DATE_EPOCH)."""

    def __init__(self) -> None:
        self.renewed = False
        self.before: Mapping[str, Stat] = {}
        """The stats that the files of the step that is being saved had when it started."""

    def check_modified(self, file_path: str, file_stat: os.stat_result, state: Seen) -> bool:
        before = state[:_TRUST]
        if not unchanged(file_path, state, _stat(file_stat)):
            return True
        self.renewed = self.renewed or state[:_TRUST] != before
        return False

    def get_state(self, dep: str, current_state: Seen | None) -> Seen | None:
        stat = _stat(os.stat(dep))  # noqa: PTH116
        if self.before.get(dep, stat) != stat:
            return [*stat, 0, ""]  # edited while the step ran: nobody knows which content it read
        if current_state and current_state[:_TRUST] == stat and current_state[_TRUST]:
            return None
        return see(dep)


class Records(Dependency):
    """doit's side of `State`: the reason of each stale step, and nothing lost or believed that should not be."""

    backend: State
    checker: Checker

    def __init__(self, path: Path) -> None:
        super().__init__(State, str(path), checker_cls=Checker)  # type: ignore[no-untyped-call]
        self.reasons: dict[str, str] = {}
        self._before: dict[str, dict[str, Stat]] = {}
        self._saved: list[str] = []
        self._renewed: set[str] = set()

    def get_status(self, task: Any, tasks_dict: Mapping[str, Any], get_log: bool = False) -> DependencyStatus:
        self.checker.renewed = False
        try:
            status: DependencyStatus = super().get_status(task, tasks_dict, get_log)  # type: ignore[no-untyped-call]
        except Exception as error:
            if not is_own(task):
                raise
            return _no_status(error)
        fingerprint = fingerprint_of(task)
        if status.status != "up-to-date":
            self.reasons[task.name] = (fingerprint.reason if fingerprint else "") or self._reason(task)
        elif self.checker.renewed or (fingerprint and fingerprint.renewed):
            self._renewed.add(task.name)
        return status

    def _reason(self, task: Any) -> str:
        known = self.backend.get(task.name, "deps:")
        if known is None and task.file_dep:
            return str(self.get_values(task.name).get("ended", "first run"))  # type: ignore[no-untyped-call]
        gone = [target for target in task.targets if not Path(target).exists()]
        changed = sorted(task.dep_changed if not gone else ())
        reasons = (
            _listed(gone, "gone"),
            _listed([path for path in changed if path in (known or ())], "changed"),
            _listed([path for path in changed if path not in (known or ())], "new"),
            _listed(sorted(set(known or ()) - set(task.file_dep)), "no longer read"),
        )
        asked = any(check is not False for check, *_ in task.uptodate)
        return "; ".join(filter(None, reasons)) or ("its uptodate says so" if asked else "always runs")

    def start(self, task: Any) -> None:
        """The task's actions start now (called in their thread): until they have ended well, it has no valid row."""
        stats = {path: _stat_if_there(path) for path in task.file_dep}
        self._before[task.name] = {path: stat for path, stat in stats.items() if stat}
        self.backend.spoil(task.name, UNFINISHED)

    def save_success(self, task: Any, result_hash: str | None = None) -> None:
        self.checker.before = self._before.pop(task.name, {})
        super().save_success(task, result_hash)  # type: ignore[no-untyped-call]
        self._saved.append(task.name)

    def remove_success(self, task: Any) -> None:
        """doit calls this for each task that did not end well, also if it never began: its row is still true then."""
        if task.executed:
            self.backend.spoil(task.name, FAILED)
            self.backend.unload(task.name)

    def close(self) -> None:
        if not self._closed:
            self._settle()
            self.backend.rewrite(self._renewed)
        super().close()  # type: ignore[no-untyped-call]

    def _settle(self) -> None:
        """Files written a moment ago cannot be trusted by stat. Look once more, so that the next run need not."""
        rows = {name: self.backend.row(name) for name in self._saved}
        young = {name: [item for item in _seen_in(row) if not item[1][_TRUST]] for name, row in rows.items()}
        if any(young.values()):
            time.sleep(TICK / 1e9)
        for name, files in young.items():
            for path, seen in files:
                stat = _stat_if_there(path)
                if stat and unchanged(path, seen, stat):
                    self._renewed.add(name)


def is_own(task: Any) -> bool:
    """Whether it is a task of the user's dodo.py."""
    return bool(task.meta and task.meta.get("own"))


def _no_status(error: Exception) -> DependencyStatus:
    """The user's own `uptodate` raised: their task fails, and not the run."""
    message = f"its uptodate raised {type(error).__name__}: {error}"
    status = DependencyStatus(get_log=False)  # type: ignore[no-untyped-call]
    status.status, status.error_reason = "error", message
    return status


def _seen_in(row: Mapping[str, Any]) -> list[tuple[str, Seen]]:
    outputs = row.get("_values_:", {}).get("out", {})
    return [*outputs.items(), *((path, row[path]) for path in row.get("deps:", ()) if path in row)]


def _listed(paths: Sequence[str], what: str) -> str:
    names = ", ".join(shown(path) for path in paths[:3])
    more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
    if not paths or what == "changed":
        return f"{names}{more} changed" if paths else ""
    return f"{names}{more} {'is' if len(paths) == 1 else 'are'} {what}"


def fingerprint_of(task: Any) -> Fingerprint | None:
    """The Fingerprint of a doit task, if it has one."""
    return next((check for check, _, _ in task.uptodate if isinstance(check, Fingerprint)), None)
