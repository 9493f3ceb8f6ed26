"""The run log and what surrounds an action; runs as a whole are in test_engine.py."""

from __future__ import annotations

import inspect
import threading
from pathlib import Path

import pytest
from doit.exceptions import TaskFailed

from hsm_tasks.core.errors import HsmError
from hsm_tasks.run.ledger import Crew, RunLog, guarded
from tests.support.steps import do, lines, process, step
from tests.support.steps import ended as end_of


def test_an_error_of_ours_is_a_failed_task_with_two_lines() -> None:
    def action(step: str) -> None:
        raise HsmError(f"{step} is broken", "mend it")

    failed = guarded(action)("api")
    assert isinstance(failed, TaskFailed)
    assert failed.message == "api is broken\n  hint: mend it"
    assert failed.traceback == ""


def test_anything_else_goes_through_and_the_signature_stays() -> None:
    def action(number: int) -> object:
        return 1 / number

    assert guarded(action)(2) == 0.5
    assert inspect.signature(guarded(action)) == inspect.signature(action)
    with pytest.raises(ZeroDivisionError):
        guarded(action)(0)


def test_each_line_has_step_result_reason_and_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    do([step("render:api", action=lambda: threading.Event().wait(0.05))])
    (line,) = lines()
    assert list(line) == ["step", "result", "reason", "seconds"]
    assert 0.05 <= line["seconds"] < 20
    do([step("render:api")])
    assert lines() == [{"step": "render:api", "result": "fresh", "reason": "", "seconds": 0.0}]


def test_a_run_adds_to_the_file_that_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    script = """
os.environ["HSM_RUN_LOG"] = "log"
sys.exit(engine.run(["-n", "4"], [step(f"{sys.argv[1]}:{number}") for number in range(50)],
         state_file=Path("state.db"), reporter=Quiet))
"""
    programs = [process(script, name) for name in ("left", "right")]
    assert [end_of(program) for program in programs] == [(0, ""), (0, "")]
    assert len({line["step"] for line in lines("log")}) == len(lines("log")) == 100


def test_without_a_file_nothing_is_written(tmp_path: Path) -> None:
    log = RunLog(None)
    log.write("a", "ran", "", 0.0)
    log.close()
    assert list(tmp_path.iterdir()) == []


def test_dismissed_actions_are_told_and_waited_for() -> None:
    crew, told, done = Crew(), threading.Event(), threading.Event()

    def work() -> None:
        with crew:
            told.wait(10)
        done.set()

    thread = threading.Thread(target=work)
    thread.start()
    crew.dismiss(told.set)
    assert done.wait(1)
    thread.join()
    assert crew.dismissed
