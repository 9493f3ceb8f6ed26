from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hsm_tasks.core.errors import CommandFailed, HsmError
from hsm_tasks.effects import process
from tests.support.terminal import under_a_terminal

PYTHON = sys.executable


def wait_until(condition: Callable[[], object], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def runs(pid: int) -> bool:
    """Whether a process is there and has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_run_returns_what_was_said() -> None:
    assert process.run("sh", "-c", "echo out; echo err >&2") == process.Done(0, "out\n", "err\n")


def test_run_gives_text_a_folder_and_variables_on_top_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OURS", "1")
    done = process.run("sh", "-c", "cat; echo $OURS $MORE; pwd", text_in="ä\n", cwd=tmp_path, env={"MORE": "2"})
    assert done.out == f"ä\n1 2\n{tmp_path}\n"


def test_run_reads_bytes_that_are_no_text() -> None:
    assert process.run("printf", r"\377").out == "\N{REPLACEMENT CHARACTER}"


def test_a_code_that_is_expected_is_no_error() -> None:
    assert process.run("sh", "-c", "exit 3", ok=(0, 3)).code == 3


def test_a_failure_has_the_command_its_words_and_no_secrets() -> None:
    with pytest.raises(CommandFailed) as error:
        process.run("sh", "-c", "echo 'no //ada:secret@host' >&2; exit 4", explain="it did not work", hint="try again")
    assert error.value.code == 4
    assert str(error.value).startswith("it did not work\n  $ sh -c ")
    assert "| no //***@host" in str(error.value)
    assert "secret" not in str(error.value)
    assert error.value.hint == "try again"


def test_a_failure_that_said_nothing_on_stderr_shows_stdout() -> None:
    with pytest.raises(CommandFailed, match="all I say"):
        process.run("sh", "-c", "echo all I say; exit 1")


@pytest.mark.parametrize("door", [process.run, process.attach])
def test_a_program_that_is_missing_says_what_to_install(
    door: Callable[[str], object], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CommandFailed, match="docker can not be started") as error:
        door("docker")
    assert error.value.code == 127
    assert "install docker" in error.value.hint


def test_a_folder_that_is_missing_is_not_blamed_on_the_program(tmp_path: Path) -> None:
    with pytest.raises(HsmError, match="no such folder"):
        process.run("true", cwd=tmp_path / "gone")


def test_what_takes_too_long_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    script = f"sleep 60 & echo $! > {tmp_path}/pid; echo so far >&2; wait"
    with pytest.raises(CommandFailed, match="it took longer than") as error:
        process.run("sh", "-c", script, timeout=0.5)
    assert "so far" in str(error.value)
    wait_until(lambda: not runs(int((tmp_path / "pid").read_text())))


def test_what_does_not_listen_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "GRACE", 0.2)
    with pytest.raises(CommandFailed) as error:
        process.run("sh", "-c", "trap '' TERM; while :; do sleep 0.1; done", timeout=0.3)
    assert error.value.code == 128 + signal.SIGKILL


def test_a_program_has_no_terminal_to_ask_on() -> None:
    code = (
        "import sys; from hsm_tasks.effects import process; print(process.run('sh', '-c', ': </dev/tty', ok=(0,1,2)))"
    )
    said = under_a_terminal([PYTHON, "-c", code])
    assert "Done(code=0" not in said
    assert "/dev/tty" in said


def test_stream_hands_on_each_line_as_it_comes() -> None:
    heard: list[tuple[float, str]] = []
    script = "echo one; echo two >&2; sleep 0.3; printf 'three\\rfour\\n'"
    done = process.stream("sh", "-c", script, on_line=lambda line: heard.append((time.monotonic(), line)))
    assert [line for _, line in heard] == ["one", "two", "three", "four"]
    assert heard[2][0] - heard[0][0] > 0.2
    assert done == process.Done(0, "one\ntwo\nthree\nfour\n", "")


def test_stream_keeps_everything_for_the_error() -> None:
    with pytest.raises(CommandFailed, match=r"(?s)build failed.*one.*two"):
        process.stream("sh", "-c", "echo one; echo two; exit 1", on_line=lambda _: None, explain="build failed")


def test_an_error_of_the_listener_ends_the_program(tmp_path: Path) -> None:
    def listen(line: str) -> None:
        raise KeyError(line)

    with pytest.raises(KeyError):
        process.stream("sh", "-c", f"echo $$ > {tmp_path}/pid; echo hello; sleep 60", on_line=listen)
    wait_until(lambda: not runs(int((tmp_path / "pid").read_text())))


def test_attach_returns_the_code() -> None:
    assert process.attach("sh", "-c", "exit 7") == 7


def test_attach_says_which_signal_ended_the_program() -> None:
    assert process.attach("sh", "-c", "kill -9 $$") == 128 + 9


def test_attach_works_in_a_thread_too(tmp_path: Path) -> None:
    codes: list[int] = []
    thread = threading.Thread(target=lambda: codes.append(process.attach("sh", "-c", "exit $CODE", env={"CODE": "5"})))
    thread.start()
    thread.join()
    assert codes == [5]


def test_ctrl_c_belongs_to_the_program_and_we_live_on() -> None:
    script = "trap 'echo caught; exit 9' INT; echo ready; while :; do sleep 0.05; done"
    code = f"from hsm_tasks.effects import process; print('code', process.attach('sh', '-c', {script!r}), flush=True)"
    said = under_a_terminal([PYTHON, "-c", code], press=b"\x03", when="ready")
    assert "caught" in said
    assert "code 9" in said
    assert "KeyboardInterrupt" not in said


def test_a_program_that_does_not_catch_ctrl_c_is_ended_by_it() -> None:
    code = (
        "from hsm_tasks.effects import process; print('code', process.attach('sh', '-c', 'echo ready; exec sleep 60'))"
    )
    said = under_a_terminal([PYTHON, "-c", code], press=b"\x03", when="ready")
    assert "code 130" in said


def test_attach_passes_on_a_polite_request_to_end() -> None:
    code = "from hsm_tasks.effects import process; print(process.attach('sh', '-c', 'echo ready; exec sleep 60'))"
    with subprocess.Popen([PYTHON, "-c", code], stdout=subprocess.PIPE, text=True) as ours:
        assert ours.stdout is not None
        assert ours.stdout.readline() == "ready\n"
        ours.terminate()
        assert ours.stdout.read() == f"{128 + signal.SIGTERM}\n"
    assert ours.returncode == 0


def test_a_request_to_end_that_comes_early_is_passed_on_too(monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow(subprocess.Popen[str]):
        def __init__(self, *argv: Any, **options: Any) -> None:
            super().__init__(*argv, **options)
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(subprocess, "Popen", Slow)
    assert process.attach("sleep", "60") == 128 + signal.SIGTERM


def test_interrupt_ends_all_that_run_in_other_threads(tmp_path: Path) -> None:
    codes = []

    def work(name: str) -> None:
        with pytest.raises(CommandFailed) as error:
            process.run("sh", "-c", f"sleep 60 & echo $! > {tmp_path}/{name}; wait")
        codes.append(error.value.code)

    threads = [threading.Thread(target=work, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    wait_until(lambda: all((tmp_path / name).exists() and (tmp_path / name).read_text() for name in "abc"))
    process.interrupt()
    for thread in threads:
        thread.join()
    assert codes == [128 + signal.SIGTERM] * 3
    wait_until(lambda: not any(runs(int((tmp_path / name).read_text())) for name in "abc"))


def test_interrupt_ends_a_child_that_others_started_until_it_is_released() -> None:
    children = [subprocess.Popen(["sleep", "60"], start_new_session=True) for _ in range(2)]
    for child in children:
        process.adopt(child.pid)
    process.release(children[1].pid)
    process.interrupt()
    process.release(children[0].pid)
    assert children[0].wait() == -signal.SIGTERM
    assert children[1].poll() is None
    process.end(children[1].pid)
    assert children[1].wait() == -signal.SIGTERM
    process.end(children[1].pid)


def test_ctrl_c_while_a_program_is_being_started_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    children = []

    class Slow(subprocess.Popen[str]):
        def __init__(self, *argv: Any, **options: Any) -> None:
            super().__init__(*argv, **options)
            children.append(self)
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(subprocess, "Popen", Slow)
    with pytest.raises(KeyboardInterrupt):
        process.run("sleep", "60")
    assert children[0].returncode == -signal.SIGTERM


def test_ctrl_c_in_our_own_wait_ends_the_program(tmp_path: Path) -> None:
    code = f"""
from hsm_tasks.effects import process
try:
    process.run('sh', '-c', 'echo $$ > {tmp_path}/pid; sleep 60')
except KeyboardInterrupt:
    print('interrupted')
"""
    with subprocess.Popen([PYTHON, "-c", code], stdout=subprocess.PIPE, text=True, start_new_session=True) as ours:
        wait_until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
        ours.send_signal(signal.SIGINT)
        assert ours.communicate()[0] == "interrupted\n"
    wait_until(lambda: not runs(int((tmp_path / "pid").read_text())))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_request_to_end_is_as_ctrl_c_is_while_asked_for(tmp_path: Path, number: signal.Signals) -> None:
    script = f"import os; os.kill(os.getppid(), {int(number)}); import time; time.sleep(100)"
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt), process.all_as_ctrl_c():
        process.run(sys.executable, "-c", script, cwd=tmp_path)
    assert signal.getsignal(number) is before


def test_what_nohup_has_set_stays() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with process.all_as_ctrl_c():
            signal.raise_signal(signal.SIGHUP)
            process.hold_interrupts()()
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_program_beside_us_hands_on_its_lines_and_ends_when_it_is_told() -> None:
    said: list[str] = []
    beside = process.Beside(("sh", "-c", "echo one; echo two >&2; sleep 1000 & echo $!; wait"), said.append)
    wait_until(lambda: len(said) == 3, 60)
    assert (said[:2], beside.code) == (["one", "two"], None)
    beside.end()
    assert beside.code == 143
    wait_until(lambda: not runs(int(said[2])), 60)


def test_a_program_beside_us_that_has_ended_says_how() -> None:
    beside = process.Beside(("sh", "-c", "exit 3"), lambda line: None)
    wait_until(lambda: beside.code is not None, 60)
    assert beside.code == 3
    beside.end()
