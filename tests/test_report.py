"""What a run says, where, and how it looks on a terminal, in a pipe, and with NO_COLOR."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hsm_tasks import BUG, shortcut
from hsm_tasks.core.errors import Along, CommandFailed, ConfigError, HsmError, Problem
from hsm_tasks.run.engine import Words
from hsm_tasks.screen import report
from hsm_tasks.screen.report import Reporter
from hsm_tasks.steps import commands
from tests.support.steps import do, fail, out, step
from tests.support.terminal import under_a_terminal

Task = dict[str, Any]
Say = Callable[..., str]


@pytest.fixture(autouse=True)
def _workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(report, "_write_log", lambda step, text: "")  # as long as no run has given a place


@pytest.fixture(name="said")
def _said(capsys: pytest.CaptureFixture[str]) -> Say:
    def said(tasks: list[Task], *argv: str) -> str:
        """What a run says on stderr, times replaced by T."""
        do(tasks, *argv, reporter=Reporter)
        captured = capsys.readouterr()
        assert captured.out == ""
        return re.sub(r"\d+\.\d+ s", "T", captured.err)

    return said


def word(name: str, action: Callable[[], object]) -> Task:
    return {"basename": name, "actions": [(action, [])], "uptodate": [False], "meta": {"step": False}}


# --- lines -------------------------------------------------------------------------------------------------------


def test_each_step_that_ran_has_a_line_and_the_rest_is_one_number(said: Say) -> None:
    assert said([step("a"), step("b", [out("a")])]) == "a (first run, T)\nb (first run, T)\n2 of 2 steps ran, T\n"
    changed = [step("a", parts={"mode": Words("dev")}), step("b", [out("a")])]
    assert said(changed) == "a (config changed: mode, text, T)\n1 of 2 steps ran, 1 up to date, T\n"
    assert said(changed) == "2 steps up to date, T\n"
    assert said([step("a", parts={"mode": Words("dev")})]) == "1 step up to date, T\n"


def test_only_steps_that_were_asked_for_are_counted(said: Say) -> None:
    assert said([step("a"), step("b")], "b") == "b (first run, T)\n1 of 1 step ran, T\n"


def test_v0_says_failures_only_and_v2_fresh_steps_too(said: Say) -> None:
    assert said([step("a")], "-v", "0") == ""
    assert said([step("a")], "-v", "2") == "a (up to date)\n1 step up to date, T\n"
    assert said([step("a", text="2", action=fail)], "-v", "0").startswith("a failed")


def test_a_command_word_makes_no_line_and_no_count(said: Say) -> None:
    assert said([word("status", lambda: None)]) == ""
    assert said([word("status", fail)]) == "it is broken\n  hint: mend it\n"


def test_a_failure_has_its_words_and_what_it_stops(said: Say) -> None:
    tasks = [step("clone:api", action=fail), step("render:api", [out("clone:api")]), step("merge", [out("render:api")])]
    failure = "clone:api failed (first run, T)\n  it is broken\n  hint: mend it\n  stops: render:api, merge\n"
    assert said([*tasks, step("other")]) == f"{failure}0 of 4 steps ran, 1 failed, 3 not reached, T\n"
    assert said([*tasks, step("other")], "--continue") == (
        failure.replace("first run", "failed last time")
        + "other (first run, T)\n1 of 4 steps ran, 1 failed, 2 skipped, T\n"
    )


def test_who_fails_with_another_is_named_once_and_counts(said: Say) -> None:
    def along() -> None:
        raise Along("b was started with the others, which failed")

    text = said([step("a", action=fail), step("b", action=along), step("c", action=along)], "--continue")
    assert text.count("failed (first run") == 1 and "was started with" not in text
    assert "\nfailed with it: b, c\n" in text and "3 failed" in text


def test_a_warning_of_compose_is_no_progress() -> None:
    reporter = Reporter(io.StringIO())
    reporter.execute_task(SimpleNamespace(name="up:a", meta={"step": True}))
    heard: list[str] = []
    reporter.lines.progress = lambda step, text: heard.append(text)  # type: ignore[method-assign]
    report.progress("up:a", 'time="2026-01-01T00:00:00Z" level=warning msg="obsolete"')
    report.progress("up:a", " Container x-a-1  Started")
    assert heard == ["Container x-a-1  Started"]
    reporter.complete_run()


def test_a_long_list_of_stopped_steps_is_cut(said: Say) -> None:
    tasks = [step("a", action=fail), *(step(f"make:{number}", [out("a")]) for number in range(8))]
    assert "  stops: make:0, make:1, make:2, make:3, make:4 and 3 more\n" in said(tasks)


def test_a_bug_has_its_traceback_and_where_to_report_it(said: Say) -> None:
    text = said([step("a", action=lambda: 1 / 0)])
    assert "Traceback (most recent call last)" in text
    assert f"ZeroDivisionError: division by zero\n{BUG}\n" in text


def test_a_missing_file_is_named(said: Say) -> None:
    assert "a failed (first run, T)\n  nowhere does not exist\n" in said([step("a", [Path("nowhere").absolute()])])


@pytest.mark.parametrize("door", ["hsm", "doit"])
def test_a_hint_is_to_be_typed_as_the_line_was(door: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", [f"/bin/{door}", "sync"])
    said = report.clean("`hsm sync` and `hsm prod:api up`; but `hsm init`, `hsm compose ps`")
    assert said == f"`{door} sync` and `{door} prod:api up`; but `hsm init`, `hsm compose ps`"


def test_an_ignored_step_says_how_to_lift_that(said: Say, capsys: pytest.CaptureFixture[str]) -> None:
    do([step("a")], "ignore", "a")
    assert capsys.readouterr().out == "ignoring a\n"
    assert said([step("a")]).endswith("a (ignored, until `doit forget a`)\n0 of 1 step ran, 1 ignored, T\n")


def test_secrets_and_control_characters_never_come_out(said: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Reporter, "secrets", ("hunter2",))

    def leak() -> None:
        report.say("hunter2 said")
        fail("could not read https://me:token@git.example/x with hunter2 \x1b]0;title\x07\x1b[31m\x9b1m", "ask hunter2")

    text = said([step("a", extra=lambda: "https://me:token@git.example", action=leak)])
    assert "hunter2" not in text
    assert "token" not in text
    assert "\x1b" not in text
    assert "\x9b" not in text
    assert "could not read https://***@git.example/x with ***" in text


def test_a_file_that_o_names_gets_the_words(said: Say) -> None:
    assert said([step("a")], "-o", "file.txt") == ""
    assert Path("file.txt").read_text().startswith("a (first run")


def test_lines_never_mix_with_many_threads(said: Say) -> None:
    def talk() -> None:
        for number in range(20):
            report.say(f"<{number} {threading.current_thread().name}>")

    lines = said([step(f"make:{number}", action=talk) for number in range(20)], "-n", "8").splitlines()
    assert len(lines) == 20 * 20 + 20 + 1
    assert all(re.fullmatch(r"<\d+ Thread[^<>]*>|make:\d+ \(first run, T\)|20 of 20.*", line) for line in lines)


# --- logs --------------------------------------------------------------------------------------------------------


@pytest.fixture(name="logs")
def _logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the logs of failed steps go."""
    monkeypatch.setattr(report, "_write_log", partial(commands.keep_log, tmp_path / "logs"))
    return tmp_path / "logs"


def test_the_log_of_a_failed_step_has_all_that_it_said(said: Say, logs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Reporter, "secrets", ("hunter2",))

    def build() -> None:
        report.progress("build:api", "step 1 with hunter2")
        raise CommandFailed(("docker", "build"), 1, "".join(f"line {number}\n" for number in range(200)))

    text = said([step("build:api", action=build), step("b")], "-n", "8", "--continue")
    assert "  log: logs/build-api.log\n" in text
    assert "  | … 176 lines more, see the log\n  | line 176\n" in text
    assert "  | line 199\n" in text
    log = (logs / "build-api.log").read_text()
    assert log.startswith("build:api failed (first run)\n")
    assert re.search(r"^ +\d+\.\d\d s  step 1 with \*\*\*$", log, re.MULTILINE)
    assert log.count("  | line ") == 200
    assert [path.name for path in logs.iterdir()] == ["build-api.log"], "who does not fail leaves none"


def test_a_log_is_kept_with_v0_too(said: Say, logs: Path) -> None:
    def act() -> None:
        report.progress("a", "half way")
        fail()

    assert "log: logs/a.log" in said([step("a", action=act)], "-v", "0")
    assert "half way" in (logs / "a.log").read_text()


def test_logs_do_not_grow_in_number_without_end(tmp_path: Path) -> None:
    for number in range(60):
        path = tmp_path / commands.keep_log(tmp_path / "logs", f"build:{number}", "text\n")
        os.utime(path, (number, number))
    kept = {path.name for path in (tmp_path / "logs").iterdir()}
    assert kept == {f"build-{number}.log" for number in range(10, 60)}


def test_a_log_that_can_not_be_written_hides_no_failure(said: Say, logs: Path) -> None:
    logs.write_text("in the way")
    assert said([step("a", action=fail)]).startswith("a failed (first run, T)\n  it is broken\n  hint: mend it\n0 of")


# --- errors outside of a run -------------------------------------------------------------------------------------


def test_errors_are_explained_and_have_a_code() -> None:
    wrong = ConfigError(
        Problem("hsm.yaml", 12, 11, "services.api.mode", '"develop" is not a mode', 'did you mean "dev"?')
    )
    expected = 'hsm.yaml:12:11: services.api.mode: "develop" is not a mode\n  hint: did you mean "dev"?'
    assert report.explain(wrong) == expected
    assert report.explain(HsmError("https://a:b@c is down")) == "https://***@c is down"
    assert report.explain(ValueError("x")).endswith(f"ValueError: x\n{BUG}")
    assert [report.exit_code(error) for error in (wrong, HsmError(""), ValueError())] == [3, 1, 2]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.004, "0.00 s"), (0.5, "0.50 s"), (12.34, "12.3 s"), (125, "2 min 5 s")]
)
def test_durations_are_short(seconds: float, text: str) -> None:
    assert shortcut.duration(seconds) == text


# --- progress ----------------------------------------------------------------------------------------------------


def test_progress_in_a_pipe_is_a_line_now_and_then(said: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hsm_tasks.screen.lines._PLAIN_SECONDS", 0.1)

    def clone() -> None:
        for number in range(40):
            report.progress("clone:api", f"10%\rreceiving {number}\r\n")
            threading.Event().wait(0.01)

    lines = said([step("clone:api", action=clone)]).splitlines()
    told = [line for line in lines if line.startswith("clone:api: receiving ")]
    assert 1 <= len(told) <= 20
    assert lines[-2:] == ["clone:api (first run, T)", "1 of 1 step ran, T"]


def test_quick_progress_in_a_pipe_says_nothing(said: Say) -> None:
    quick = [step("a", action=lambda: report.progress("a", "half way"))]
    assert said(quick) == "a (first run, T)\n1 of 1 step ran, T\n"


def test_outside_of_a_run_words_go_to_stderr_and_progress_nowhere(capsys: pytest.CaptureFixture[str]) -> None:
    report.progress("a", "half way")
    report.say("a sentence")
    assert capsys.readouterr().err == "a sentence\n"


SLOW = """
from hsm_tasks.screen import report
from hsm_tasks import shortcut
def slow():
    report.progress("clone:api", "receiving 42%")
    time.sleep(0.5)
    report.say("a sentence to keep")
code = do([step("clone:api", action=slow), step("b")], reporter=report.Reporter)
sys.stderr.write("rich is " + ("in" if "rich" in sys.modules else "out") + "\\n")
sys.exit(code)
"""


def on_a_terminal(monkeypatch: pytest.MonkeyPatch, **environment: str) -> str:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[1]))
    monkeypatch.setenv("TERM", "xterm-256color")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    program = f"from tests.support.steps import *\nimport sys\n{SLOW}"
    return under_a_terminal([sys.executable, "-c", program])


def test_on_a_terminal_a_running_step_has_a_live_line(monkeypatch: pytest.MonkeyPatch) -> None:
    text = on_a_terminal(monkeypatch)
    assert "clone:api  receiving 42%" in text
    assert re.search(r"\x1b\[1mclone:api\x1b\[0m \x1b\[2m\(first run, \d\.\d+ s\)", text)
    assert "a sentence to keep" in text
    assert "rich is in" in text
    again = on_a_terminal(monkeypatch)
    assert re.fullmatch(r"2 steps up to date, \d\.\d+ s\r\nrich is out\r\n", again)


def test_with_no_color_nothing_is_coloured(monkeypatch: pytest.MonkeyPatch) -> None:
    text = on_a_terminal(monkeypatch, NO_COLOR="1")
    assert re.search(r"clone:api \(first run, \d", text)
    assert not re.search(r"\x1b\[[0-9;]*[1-9][0-9;]*m", text)


def test_a_dumb_terminal_is_treated_as_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    text = on_a_terminal(monkeypatch, TERM="dumb")
    assert "\x1b" not in text
    assert "rich is out" in text


def test_importing_the_module_is_cheap() -> None:
    heavy = "{'rich', 'git', 'docker', 'requests', 'doit'}"
    checked = "import sys, hsm_tasks.screen.report; print(" + heavy + " & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", checked], capture_output=True, text=True, check=True, env=_environment()
    )
    assert done.stdout == "set()\n"


def _environment() -> dict[str, str]:
    return {"PYTHONPATH": str(Path(__file__).resolve().parents[1])}
