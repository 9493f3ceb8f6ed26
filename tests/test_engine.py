"""Small graphs run through doit, in process and as processes of their own, and what doit must go on doing for us."""

from __future__ import annotations

import gc
import inspect
import os
import signal
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from doit.action import PythonAction
from doit.cmd_run import Run
from doit.dependency import Dependency
from doit.reporter import ConsoleReporter, JsonReporter
from doit.runner import MThreadRunner, Runner
from doit.task import Task

from hsm_tasks.core.errors import ConfigError, HsmError
from hsm_tasks.run import engine
from hsm_tasks.run.engine import Words
from tests.support.steps import do, ended, fail, interrupted, lines, out, process, ran, results, step


@pytest.fixture(autouse=True)
def _workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def chain(a: str = "1") -> list[dict[str, Any]]:
    """a → b → c; each adds its own text."""
    return [step("a", text=a), step("b", [out("a")], text="2"), step("c", [out("b")], text="3")]


# --- what runs again, and why ------------------------------------------------------------------------------------


def test_a_second_run_does_nothing_and_writes_nothing() -> None:
    assert do(chain()) == 0
    assert ran() == {"a": "first run", "b": "first run", "c": "first run"}
    before = {path: path.stat().st_mtime_ns for path in Path().rglob("*") if path.is_file() and path.name != "run.log"}
    assert do(chain()) == 0
    assert results() == {"a": "fresh", "b": "fresh", "c": "fresh"}
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_changed_part_runs_its_step_and_what_follows() -> None:
    do(chain())
    do(chain(a="other"))
    assert ran() == {"a": "config changed: text", "b": "out/a changed", "c": "out/b changed"}


def test_an_output_that_comes_out_the_same_wakes_nobody() -> None:
    do([step("a", text="1", parts={"image": "x:1"}), step("b", [out("a")])])
    do([step("a", text="1", parts={"image": "x:2"}), step("b", [out("a")])])
    assert results() == {"a": "ran", "b": "fresh"}


def test_an_edited_or_deleted_output_is_made_again_and_wakes_nobody() -> None:
    do(chain())
    out("a").write_text("by hand")
    do(chain())
    assert ran() == {"a": "out/a was edited by hand"}
    out("b").unlink()
    do(chain())
    assert ran() == {"b": "out/b is gone"}
    assert out("c").read_text() == "123"


def test_an_edited_last_output_is_noticed() -> None:
    do(chain())
    out("c").write_text("12x")
    do(chain())
    assert ran() == {"c": "out/c was edited by hand"}


def test_a_group_and_a_word_are_no_steps() -> None:
    tasks = [step("make:a"), step("make:b"), {"basename": "sync", "actions": None, "task_dep": ["make"]}]
    assert do(tasks, "sync") == 0
    assert set(results()) == {"make:a", "make:b"}
    assert do(tasks, "make:a") == 0
    assert set(results()) == {"make:a"}


def test_a_task_beside_subtasks_of_its_name_keeps_its_own_action() -> None:
    said: list[str] = []
    tasks = [
        {"basename": "logs", "actions": [(lambda: said.append("all"), [])], "uptodate": [False]},
        {"basename": "logs", "name": "api", "actions": [(lambda: said.append("api"), [])], "uptodate": [False]},
    ]
    assert do(tasks, "logs") == 0
    assert do(tasks, "logs:api") == 0
    assert said == ["all", "api"]


def test_default_tasks_are_what_an_empty_line_means() -> None:
    do(chain(), default_tasks=["b"])
    assert set(results()) == {"a", "b"}


def test_always_execute_runs_fresh_steps_too() -> None:
    do(chain())
    assert do(chain(), "-a", "a") == 0
    assert ran() == {"a": "asked for with -a"}


def test_an_input_that_is_edited_while_the_step_runs_is_noticed_next_time() -> None:
    source = Path("source").absolute()
    source.write_text("old")
    do([step("a", [source], action=lambda: source.write_text("new"), settled=None)])
    do([step("a", [source])])
    assert ran() == {"a": "source changed"}
    do([step("a", [source])])
    assert ran() == {}


def test_rows_of_steps_that_cannot_come_back_are_dropped() -> None:
    do([step("make:a"), step("make:b"), step("make:c")])
    do([step("make:a")], gone=lambda name: name == "make:b")
    with sqlite3.connect("state.db") as connection:
        rows = {name for (name,) in connection.execute("SELECT name FROM steps")}
    connection.close()
    assert rows == {"make", "make:a", "make:c"}


def test_forget_makes_a_step_run_again() -> None:
    do(chain())
    assert do(chain(), "forget", "b") == 0
    do(chain())
    assert ran() == {"b": "first run"}


def test_an_ignored_step_is_logged_as_skipped() -> None:
    do(chain(), "ignore", "b")
    do(chain())
    assert [(line["step"], line["result"], line["reason"]) for line in lines()][1:] == [
        ("b", "skipped", "ignored"),
        ("c", "skipped", "ignored"),
    ]


# --- kills, and several processes --------------------------------------------------------------------------------

CRASH = """
def die():
    os.kill(os.getpid(), signal.SIGKILL) if "kill" in sys.argv else os._exit(9)
tasks = [step("a", text=sys.argv[1]), step("b", [out("a")], text="!", action=die if sys.argv[2] != "no" else None)]
sys.exit(do(tasks))
"""


@pytest.mark.parametrize("way", ["kill", "exit"])
def test_a_crash_and_a_revert_never_leave_stale_work_that_looks_fresh(way: str) -> None:
    assert ended(process(CRASH, "old", "no")) == (0, "")
    assert ended(process(CRASH, "new", way)) == ({"exit": 9, "kill": -signal.SIGKILL}[way], "")
    assert ran() == {"a": "config changed: text"}
    assert ended(process(CRASH, "old", "no")) == (0, "")
    assert ran() == {"a": "config changed: text", "b": "did not finish last time"}
    assert out("b").read_text() == "old!"


def test_a_step_without_output_that_was_killed_runs_again_after_a_revert() -> None:
    script = """
tasks = [{"basename": "a", "actions": [(lambda: os._exit(9) if sys.argv[1] == "new" else None, [])],
          "uptodate": [engine.Fingerprint({"text": sys.argv[1]})], "meta": {"step": True}}]
sys.exit(do(tasks))
"""
    assert ended(process(script, "old")) == (0, "")
    assert ended(process(script, "new")) == (9, "")
    assert ended(process(script, "old")) == (0, "")
    assert ran() == {"a": "did not finish last time"}


def test_two_processes_on_one_state_lose_nothing() -> None:
    script = """
tasks = [step(f"{sys.argv[1]}:{number}", action=lambda: time.sleep(0.002)) for number in range(100)]
sys.exit(do(tasks, log=sys.argv[1] + ".log"))
"""
    programs = [process(script, name) for name in ("left", "right")]
    assert [ended(program) for program in programs] == [(0, ""), (0, "")]
    both = [step(f"{name}:{number}") for name in ("left", "right") for number in range(100)]
    do(both)
    assert set(results().values()) == {"fresh"}


@pytest.mark.parametrize("jobs", ["0", "4"])
def test_an_interrupt_ends_soon_and_keeps_what_had_finished(jobs: str) -> None:
    script = """
stop = threading.Event()
def slow():
    Path("begun").write_text("")
    if stop.wait(60):
        raise HsmError("a child was killed")
tasks = [step("a"), step("b", [out("a")], action=slow), step("c", [out("b")])]
sys.exit(do(tasks, "-n", sys.argv[1], on_interrupt=stop.set, again="doit sync"))
"""
    code, said, seconds = interrupted(process("import threading\n" + script, jobs), Path("begun"))
    told = "what had finished is saved; 2 steps are left: b, c\n  run `doit sync` again: it goes on from there\n"
    assert (code, said) == (130, f"interrupted: {told}")
    assert seconds < 10  # and not the minute that the step would take
    assert results() == {"a": "ran"}
    do([step("a"), step("b", [out("a")]), step("c", [out("b")])])
    assert results() == {"a": "fresh", "b": "ran", "c": "ran"}
    assert ran()["b"] == "did not finish last time"


def test_an_interrupt_is_one_with_the_json_reporter_too() -> None:
    script = """
tasks = [step("a", action=lambda: (Path("begun").write_text(""), time.sleep(60)))]
sys.exit(do(tasks, "-r", "json"))
"""
    code, said, _ = interrupted(process(script), Path("begun"))
    assert (code, said) == (130, "interrupted: what had finished is saved; 1 step is left: a\n")


def test_an_interrupt_does_not_wait_for_an_action_that_hears_nothing() -> None:
    script = """
tasks = [step("a", action=lambda: (Path("begun").write_text(""), time.sleep(60)))]
sys.exit(do(tasks, "-n", "2"))
"""
    code, _, seconds = interrupted(process(script), Path("begun"))
    assert code == 130
    assert seconds < 20


# --- failures ----------------------------------------------------------------------------------------------------


def broken() -> list[dict[str, Any]]:
    steps = [step("clone:api", action=fail), step("render:api", [out("clone:api")]), step("merge", [out("render:api")])]
    return [*steps, step("other")]


def test_a_failed_step_stops_the_run_and_the_log_names_what_it_stopped() -> None:
    assert do(broken()) == 1
    assert [(line["step"], line["result"], line["reason"]) for line in lines()] == [
        ("clone:api", "failed", "first run"),
        ("render:api", "skipped", "needs clone:api"),
        ("merge", "skipped", "needs clone:api"),
    ]


@pytest.mark.parametrize("jobs", ["0", "8"])
def test_with_continue_the_rest_runs_and_the_code_is_still_that_of_a_failure(jobs: str) -> None:
    assert do(broken(), "--continue", "-n", jobs) == 1
    assert results() == {"clone:api": "failed", "render:api": "skipped", "merge": "skipped", "other": "ran"}
    assert {line["reason"] for line in lines() if line["result"] == "skipped"} == {"needs clone:api"}


def test_a_step_that_was_skipped_is_not_stale_for_that() -> None:
    whole = [step("a"), step("b", task_dep=["a"])]
    do(whole)
    assert do([step("a", text="new", action=fail), step("b", task_dep=["a"])], "--continue") == 1
    do(whole)
    assert ran() == {"a": "failed last time"}


def test_a_missing_input_is_a_failure_and_no_bug() -> None:
    assert do([step("a", [Path("nowhere").absolute()])]) == 1
    assert results() == {"a": "failed"}


def test_a_bug_in_a_step_is_code_2() -> None:
    assert do([step("a", action=lambda: 1 / 0)]) == 2
    assert results() == {"a": "failed"}


def test_an_output_that_the_step_did_not_write_is_a_bug() -> None:
    task = step("a")
    task["actions"] = [(lambda: None, [])]
    assert do([task]) == 2


def test_a_bug_outside_of_the_steps_is_raised() -> None:
    def broken_question() -> str | None:
        raise ZeroDivisionError

    do([step("a")])
    with pytest.raises(ZeroDivisionError):
        do([step("a", extra=broken_question)])
    with pytest.raises(Exception, match="two tasks are called a"):
        do([step("a"), step("a")])


@pytest.mark.parametrize("argv", [["--nonsense"], ["-n", "-2"], ["-n", "many"], ["unknown"], ["info", "a", "b"]])
def test_a_wrong_line_is_the_users_mistake(argv: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        do([step("a")], *argv)
    assert "CmdOption" not in str(caught.value)


def test_a_run_log_that_cannot_be_written_is_said_before_anything_runs() -> None:
    with pytest.raises(ConfigError, match="HSM_RUN_LOG: no/where"):
        do([step("a")], log="no/where")
    assert not out("a").exists()


# --- many at once ------------------------------------------------------------------------------------------------


def test_with_eight_jobs_the_log_has_each_step_once() -> None:
    tasks = [step(f"make:{number}", action=lambda: time.sleep(0.001)) for number in range(200)]
    tasks.append(step("merge", [out(f"make:{number}") for number in range(200)]))
    assert do(tasks, "-n", "8") == 0
    assert len(lines()) == 201
    assert set(results().values()) == {"ran"}
    assert do(tasks, "-n", "8") == 0
    assert len(lines()) == 201
    assert set(results().values()) == {"fresh"}


def test_jobs_hold_where_the_line_has_no_n_and_are_always_threads() -> None:
    seen: set[tuple[int, bool]] = set()

    def look() -> None:
        seen.add((os.getpid(), threading.current_thread() is threading.main_thread()))

    do([step("a", action=look)], jobs=4)
    do([step("a", action=look, parts={})], "-n", "2", "-P", "process")
    assert seen == {(os.getpid(), False)}
    do([step("a", action=look, parts={"x": ""})], "-n", "0", jobs=4)
    assert (os.getpid(), True) in seen


@pytest.mark.parametrize("reporter", [ConsoleReporter, JsonReporter])
def test_doits_own_reporters_work_with_threads(reporter: type, capsys: pytest.CaptureFixture[str]) -> None:
    name = "console" if reporter is ConsoleReporter else "json"
    assert do([*chain(), *broken()], "-r", name, "-n", "4", "--continue", "c", "merge") == 1
    said = capsys.readouterr().out
    assert "it is broken" in said
    assert said.startswith("{") == (name == "json")
    assert results()["merge"] == "skipped"


def test_the_collector_is_as_it_was_after_a_run() -> None:
    do([step("a")])
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0
    gc.disable()
    try:
        do([step("a", text="2")])
        assert not gc.isenabled()
    finally:
        gc.enable()


# --- other commands ----------------------------------------------------------------------------------------------


def test_info_gives_the_reason_and_writes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    do([step("a", text="1", parts={"mode": Words("prod")})])
    changed = [step("a", text="1", parts={"mode": Words("dev")})]
    assert do(changed, "info", "a") == 1
    assert "config changed: mode (prod → dev)" in capsys.readouterr().out
    assert lines() == []
    assert do([step("a", text="1", parts={"mode": Words("prod")})], "info", "a") == 0


def test_list_and_dumpdb_and_help_answer(capsys: pytest.CaptureFixture[str]) -> None:
    do(chain())
    assert do(chain(), "list", "--status") == 0
    assert capsys.readouterr().out.split() == ["U", "a", "U", "b", "U", "c"]
    assert do(chain(), "dumpdb") == 0
    assert '"deps:"' in capsys.readouterr().out
    assert engine.run(["help"], [], state_file=None) == 0
    assert "dumpdb" in capsys.readouterr().out


def test_a_state_that_cannot_be_kept_is_told_as_such() -> None:
    Path("state.db").mkdir()
    with pytest.raises(HsmError, match="cannot keep the state"):
        do([step("a")])


@pytest.mark.parametrize("jobs", ["0", "2"])
def test_a_state_that_cannot_be_kept_any_more_is_told_as_such(jobs: str) -> None:
    do([step("a")])
    with sqlite3.connect("state.db") as connection:
        connection.execute("CREATE TRIGGER full BEFORE INSERT ON steps BEGIN SELECT RAISE(ABORT, 'full'); END")
    connection.close()
    with pytest.raises(HsmError, match="cannot keep the state of the steps: full"):
        do([step("a", text="2")], "-n", jobs)


def test_a_line_is_split_as_doit_reads_it() -> None:
    assert engine.split(["-n", "4", "up:api", "-x"]) == ("run", ["-n", "4"], ["up:api", "-x"])
    assert engine.split(["list", "--all", "up"]) == ("list", ["--all"], ["up"])
    assert engine.split([]) == ("run", [], [])
    with pytest.raises(ConfigError, match="option --nope not recognized"):
        engine.split(["--nope"])


# --- what doit must go on doing for us ---------------------------------------------------------------------------


def test_doit_sets_deps_last_when_it_saves_a_success() -> None:
    order: list[str] = []

    class Spy:
        def __init__(self, name: str, codec: object, module_name: object = None) -> None:
            self.name = name
            self.get = self.remove = self.remove_all = self.in_ = lambda *_: None

        def set(self, task_id: str, dependency: str, value: object) -> None:
            order.append(dependency)

    Path("x").write_text("")
    task = Task("a", None, file_dep=["x"])  # type: ignore[no-untyped-call]
    task.result = "r"
    Dependency(Spy, "name").save_success(task)  # type: ignore[no-untyped-call]
    assert order == ["_values_:", "result:", "checker:", "x", "deps:"]


def test_doit_asks_inspect_for_the_signature_of_an_uptodate_object() -> None:
    fingerprint = engine.Fingerprint({})
    assert list(inspect.signature(fingerprint).parameters) == ["task", "values"]
    assert inspect.signature(fingerprint) is engine.Fingerprint.__signature__


def test_doit_has_the_other_seams() -> None:
    options = set(inspect.signature(Run._execute).parameters)
    assert {"outfile", "reporter", "num_process", "par_type", "verbosity", "force_verbosity"} <= options
    assert "py_callable" in PythonAction(fail).__dict__  # type: ignore[no-untyped-call]
    assert issubclass(MThreadRunner, Runner)
    assert {"load_doit_config", "load_tasks"} <= set(dir(engine.Loader.__mro__[1]))
