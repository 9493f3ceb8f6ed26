"""doit's side of what makes a step stale: `Checker` judges its files, `Records` keeps its rows and says the reasons."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from doit.dependency import Dependency, DependencyStatus, FileChangedChecker

from hsm_tasks.run.fingerprint import fingerprint_of
from hsm_tasks.run.seen import TRUST, Seen, Stat, see, shown, stat_if_there, stat_of, unchanged
from hsm_tasks.run.state import State
from hsm_tasks.shortcut import TICK

FAILED: Final = "failed last time"
UNFINISHED: Final = "did not finish last time"


class Checker(FileChangedChecker):
    """file_dep by content: size first; an equal mtime proves nothing by itself (`cp -p`, SOURCE_DATE_EPOCH)."""

    def __init__(self) -> None:
        self.renewed = False
        self.before: Mapping[str, Stat] = {}
        """The stats that the files of the step that is being saved had when it started."""

    def check_modified(self, file_path: str, file_stat: os.stat_result, state: Seen) -> bool:
        before = state[:TRUST]
        if not unchanged(file_path, state, stat_of(file_stat)):
            return True
        self.renewed = self.renewed or state[:TRUST] != before
        return False

    def get_state(self, dep: str, current_state: Seen | None) -> Seen | None:
        stat = stat_of(os.stat(dep))  # noqa: PTH116
        if self.before.get(dep, stat) != stat:
            return [*stat, 0, ""]  # edited while the step ran: nobody knows which content it read
        if current_state and current_state[:TRUST] == stat and current_state[TRUST]:
            return None
        return see(dep)


class Records(Dependency):
    """doit's side of `State`: the reason of each stale step, and nothing lost or believed that should not be."""

    backend: State
    checker: Checker

    def __init__(self, path: Path, backend: type[State] = State) -> None:
        super().__init__(backend, str(path), checker_cls=Checker)  # type: ignore[no-untyped-call]
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
        stats = {path: stat_if_there(path) for path in task.file_dep}
        self._before[task.name] = {path: stat for path, stat in stats.items() if stat}
        self.backend.spoil(task.name, UNFINISHED)

    def save_success(self, task: Any, result_hash: str | None = None) -> None:
        self.checker.before = self._before.pop(task.name, {})
        super().save_success(task, result_hash)  # type: ignore[no-untyped-call]
        self._saved.append(task.name)

    def remove_success(self, task: Any) -> None:
        """doit calls this for each task that did not end well, also if it never began: its row is still true then."""
        untouched = bool(task.meta) and task.meta.get("untouched") and self.backend.restore(task.name)
        if task.executed and not untouched:
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
        young = {name: [item for item in _seen_in(row) if not item[1][TRUST]] for name, row in rows.items()}
        if any(young.values()):
            time.sleep(TICK / 1e9)
        for name, files in young.items():
            for path, seen in files:
                stat = stat_if_there(path)
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
