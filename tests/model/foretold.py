"""`plan`, held against the run that comes after it."""

from __future__ import annotations

import contextlib
import difflib
import json
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.model.hsm import Run
from tests.model.oracle import View

Files = dict[str, object]
STATE_FILE = "state.db"


def seen(root: Path) -> Files:
    """Inode, size and time of every file of a workspace; of the state its rows: whoever opens it first after a kill
    brings its files in order. A git that a killed run has left behind may still be at work in a folder of its own."""
    found: Files = {}
    for folder, inside, names in os.walk(root):
        inside[:] = [name for name in inside if not name.endswith(".tmp")]
        for name in names:
            path = os.path.join(folder, name)  # noqa: PTH118 - thousands of files
            there = os.lstat(path)
            found[path] = (there.st_ino, there.st_size, there.st_mtime_ns)
            if name.startswith(STATE_FILE):
                found[path] = _rows(Path(folder)) if name == STATE_FILE else None
    return {path: what for path, what in found.items() if what is not None}


def _rows(folder: Path) -> object:
    """Of a copy, so that the state itself is as whoever wrote it has left it; its content, where it is no state."""
    with tempfile.TemporaryDirectory() as aside:
        for file in folder.glob(f"{STATE_FILE}*"):
            shutil.copy(file, aside)
        try:
            with contextlib.closing(sqlite3.connect(Path(aside, STATE_FILE))) as connection:
                return sorted(connection.execute("SELECT name, data FROM steps"))
        except sqlite3.DatabaseError:
            return (folder / STATE_FILE).read_bytes()


@dataclass(frozen=True, slots=True)
class Foretold:
    """What `plan --json` said: step → state, step → reasons, the diff. `asks`: it could not know all."""

    states: Mapping[str, str]
    reasons: Mapping[str, list[str]]
    diff: str
    asks: bool

    @classmethod
    def parse(cls, said: str, view: View, *, update: bool) -> Foretold:
        """`view`: the moment at which it was asked."""
        plan = json.loads(said)
        states = {step["name"]: step["state"] for step in plan["steps"]}
        asking = {step for step, state in states.items() if state != "fresh" and step.startswith(("clone", "resolve"))}
        asks = any(update or not view.is_locked(step) for step in asking)
        return cls(states, {step["name"]: step["reasons"] for step in plan["steps"]}, plan["diff"], asks)

    def wrong(self, run: Run, old: str, new: str) -> Iterator[str]:
        """What did not come true; `old` and `new` are the override before and after the run."""
        sure, may = (self._in(state) for state in ("run", "may run"))
        ran = {step for step, result in run.results.items() if result == "ran"}
        if run.code == 0 and set(run.results) != set(self.states):
            yield f"the plan has other steps: {sorted(set(run.results) ^ set(self.states))}"
        if run.code == 0 and not sure <= ran:  # else it has stopped on its way
            yield f"planned, and did not run: {sorted(sure - ran)}"
        if not ran <= sure | may:
            yield f"ran, and was not planned: {sorted(ran - sure - may)}"
        if may and not self.asks:
            yield f"may run, but nobody is asked: {sorted(may)}"
        if mute := [name for name, state in self.states.items() if (state == "fresh") == bool(self.reasons[name])]:
            yield f"reasons, or none, without need: {mute}"
        if run.code == 0 and not self.asks and self.diff != _diff(old, new):
            yield f"its diff\n{self.diff}\nis not what became of the override\n{_diff(old, new)}"

    def _in(self, state: str) -> set[str]:
        return {name for name, found in self.states.items() if found == state}


def _diff(old: str, new: str) -> str:
    path = "stacks/shop/docker-compose.hsm.yml"
    return "\n".join(difflib.unified_diff(old.splitlines(), new.splitlines(), path, f"{path} (planned)", lineterm=""))
