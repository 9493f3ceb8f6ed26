"""Small steps for the tests of the engine: each writes what it reads, and its own text, to `out/NAME`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hsm_tasks.core.errors import HsmError
from hsm_tasks.run import engine
from hsm_tasks.run.fingerprint import Part

REPOSITORY = Path(__file__).resolve().parents[2]
Task = dict[str, Any]


class Quiet:
    """A reporter that keeps its mouth shut."""

    desc = "nothing"

    def __init__(self, outstream: object, options: object) -> None:
        pass

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_: None

    # The ledger calls these by super(), which does not ask __getattr__.
    execute_task = add_success = skip_uptodate = skip_ignore = add_failure = complete_run = lambda *_: None


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text() != text:
        beside = path.with_suffix(".tmp")
        beside.write_text(text)
        beside.replace(path)


def join(out: Path, reads: Sequence[Path], text: str) -> None:
    write(out, "".join(path.read_text() for path in reads) + text)


def step(name: str, reads: Sequence[Path] = (), text: str = "", **more: Any) -> Task:
    """`more`: parts, action (called before the output is written), and what goes into the task as it is."""
    out = Path.cwd() / "out" / name
    parts: Mapping[str, Part] = more.pop("parts", {"text": text})
    action: Callable[[], object] | None = more.pop("action", None)
    fingerprint = engine.Fingerprint(parts, (out,), more.pop("extra", None), more.pop("settled", None))

    def act() -> None:
        if action:
            action()
        join(out, reads, text)

    basename, _, own = name.partition(":")
    return {
        "basename": basename,
        **({"name": own} if own else {}),
        "actions": [(act, [])],
        "file_dep": [str(path) for path in reads],
        "targets": [str(out)],
        "uptodate": [fingerprint],
        "meta": {"step": True},
        **more,
    }


def out(name: str) -> Path:
    return Path.cwd() / "out" / name


def fail(message: str = "it is broken", hint: str = "mend it") -> None:
    raise HsmError(message, hint)


def do(tasks: Sequence[Task], *argv: str, log: str = "run.log", **session: Any) -> int:
    """A run in the current folder, with its run log in `log`."""
    Path(log).unlink(missing_ok=True)
    os.environ["HSM_RUN_LOG"] = log
    try:
        return engine.run(argv, tasks, **{"state_file": Path("state.db"), "reporter": Quiet, **session})
    finally:
        del os.environ["HSM_RUN_LOG"]


def lines(log: str = "run.log") -> list[dict[str, Any]]:
    path = Path(log)
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def results(log: str = "run.log") -> dict[str, str]:
    return {line["step"]: line["result"] for line in lines(log)}


def ran(log: str = "run.log") -> dict[str, str]:
    """The steps that ran, with their reasons."""
    return {line["step"]: line["reason"] for line in lines(log) if line["result"] == "ran"}


def process(script: str, *argv: str, **more: Any) -> subprocess.Popen[str]:
    """A Python program that has all names of this module."""
    program = f"from tests.support.steps import *\nimport sys\n{script}"
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    return subprocess.Popen([sys.executable, "-c", program, *argv], env=environment, **{**pipes, **more})


def ended(program: subprocess.Popen[str]) -> tuple[int, str]:
    """Exit code, and what was said on stderr."""
    _, said = program.communicate(timeout=60)
    return program.returncode, said


def interrupted(program: subprocess.Popen[str], when: Path) -> tuple[int, str, float]:
    """Ctrl-C as soon as the file is there: exit code, what was said on stderr, seconds until the end."""
    wait_for(when)
    program.send_signal(signal.SIGINT)
    begun = time.monotonic()
    return *ended(program), time.monotonic() - begun


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 20
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} never came"
        time.sleep(0.01)
