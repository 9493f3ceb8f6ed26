"""What both doors promise beyond their words: one line of dodo.py, streams, one run at a time, nothing half done."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.commands.bench import DODO, DOORS, Door, Servers, Workspace
from tests.commands.conftest import Make

DEV = "services: {api: {mode: dev}}\n"


def begun(here: Workspace, *words: str) -> subprocess.Popen[str]:
    """A command that runs on."""
    return subprocess.Popen(
        (here.door, *words),
        cwd=here.root,
        env=here.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def asked_for_the_clone(servers: Servers, before: int) -> None:
    """Returns when the git server has been asked for a pack."""
    end = time.monotonic() + 20
    while not any("upload-pack" in line and line.startswith("POST") for line in servers.git.requests[before:]):
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_dodo_py_is_one_import_line() -> None:
    code = [line for line in DODO.splitlines() if line and not line.startswith(('"""', "#"))]
    assert len(code) == 1
    assert code[0].startswith("from hsm_tasks")


@pytest.mark.parametrize("door", DOORS)
def test_a_missing_mount_is_an_error_and_no_folder_is_made(make: Make, door: Door) -> None:
    here = make(door, {"hsm.local.yaml": DEV})
    here.edit("hsm.yaml", "./www:/www", "./gone:/www")
    done = here.run("sync", code=1)
    assert "repos/api/gone" in done.err
    assert not (here.checkout / "gone").exists()


@pytest.mark.parametrize("value", ["gone", "/nowhere/at/all", "", "~/gone"])
def test_so_is_one_whose_place_only_a_variable_says(make: Make, value: str) -> None:
    here = make(files={"hsm.local.yaml": DEV})
    here.edit("hsm.yaml", "./www:/www", "${PLACE}/x:/www")
    done = here.run("sync", code=1, PLACE=value)
    assert "${PLACE}/x" in done.err
    assert not (here.stack / "gone").exists()
    (here.stack / "there/x").mkdir(parents=True)
    here.run("sync", PLACE="./there")
    (volume,) = here.services["api"]["volumes"]
    assert volume == {"type": "bind", "source": "${PLACE}/x", "target": "/www", "bind": {"create_host_path": "false"}}


def test_verbosity_0_tells_failures_only(make: Make) -> None:
    here = make()
    assert "render:api" not in here.run("-v0", "sync").err
    here.edit("hsm.yaml", "@REG@/web:1.0", "@REG@/web:7")
    said = here.run("-v0", "sync", code=1).err
    assert "resolve:web failed" in said
    assert "correct the tag; the last ten that there are: 0.9, 1.0\n" in said


def test_continue_goes_on_with_what_does_not_need_the_failed(make: Make) -> None:
    here = make()
    here.edit("hsm.yaml", "@REG@/web:1.0", "@REG@/web:7")
    results = here.steps("--continue", "sync", code=1)
    assert results["resolve:web"] == "failed"
    assert {step for step, result in results.items() if result == "skipped"} == {"render:web", "lock", "merge", "check"}
    assert results["render:api"] == "ran"


def test_a_second_run_waits_and_says_for_whom(make: Make, servers: Servers) -> None:
    here = make(files={"hsm.local.yaml": DEV})
    before = len(servers.git.requests)
    servers.git.mode = "stall"
    try:
        first = begun(here, "sync")
        asked_for_the_clone(servers, before)
        second = begun(here, "sync")
        assert second.stderr is not None
        waiting = second.stderr.readline()
        assert str(first.pid) in waiting or "doit sync" in waiting
        assert second.poll() is None
        os.killpg(first.pid, signal.SIGKILL)
        first.communicate()
    finally:
        servers.git.mode = "ok"
    _, said = second.communicate(timeout=60)
    assert second.returncode == 0, said
    assert (here.checkout / "www/index.html").exists(), "the next run finishes the work of the killed one"
    assert [path.name for path in (here.root / "repos").iterdir()] == ["api"]


def test_ctrl_c_ends_the_run_and_what_it_started(make: Make, servers: Servers) -> None:
    here = make(files={"hsm.local.yaml": DEV})
    before = len(servers.git.requests)
    servers.git.mode = "stall"
    try:
        run = begun(here, "sync")
        asked_for_the_clone(servers, before)
        os.killpg(run.pid, signal.SIGINT)
        _, said = run.communicate(timeout=20)
    finally:
        servers.git.mode = "ok"
    assert run.returncode == 130
    assert "Traceback" not in said
    assert not list((here.root / "repos").glob("*"))
    here.run("sync")


def test_what_was_asked_for_is_stdout_and_talk_is_stderr(make: Make) -> None:
    here = make()
    assert here.run("sync").out == ""
    for words in (["list"], ["status"], ["stacks"], ["info", "lock"]):
        done = here.run(*words)
        assert done.out
        assert done.err == "", words


def test_a_reader_that_goes_away_is_no_bug(make: Make) -> None:
    here = make()
    here.run("sync")
    line = f"{here.door} list | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(("bash", "-c", line), cwd=here.root, env=here.environment(), capture_output=True, text=True,
                          check=False)  # fmt: skip
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("closed", [">&-", "2>&-"])
def test_a_stream_that_is_closed_is_no_bug(make: Make, door: Door, closed: str) -> None:
    here = make(door)
    here.run("sync")
    for word in ("help", "sync"):
        line = ("bash", "-c", f"{door} {word} {closed}")
        done = subprocess.run(line, cwd=here.root, env=here.environment(), capture_output=True, text=True, check=False)
        assert (done.returncode, "Traceback" in done.stderr) == (0, False), (word, done.stderr)


def test_what_can_not_be_written_is_no_success(make: Make) -> None:
    here = make("hsm")
    with Path("/dev/full").open("w") as full:
        done = subprocess.run((here.door, "stacks", "--json"), cwd=here.root, env=here.environment(), stdout=full,
                              stderr=subprocess.PIPE, text=True, check=False)  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == "error: what was printed can not be written: No space left on device\n"


def test_a_run_log_that_is_full_fails_nothing(make: Make) -> None:
    here = make("hsm")
    for _ in range(4):  # the last ones by the snapshot
        assert "Traceback" not in here.run("sync", HSM_RUN_LOG="/dev/full").err


def test_letters_that_a_stream_does_not_know_are_spelled_out(make: Make) -> None:
    assert "\\u2026" in make("hsm").run("help", PYTHONIOENCODING="ascii").out


INTERRUPTS = """\
import os, signal, sys

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == MODULE:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Finder())
"""


@pytest.mark.parametrize(
    ("door", "words", "module"),
    [
        ("hsm", "status", "hsm_tasks.cli"),
        ("doit", "status", "hsm_tasks.cli"),
        ("hsm", "status", "doit.cmd_base"),
        ("doit", "status", "msgspec"),
        ("hsm", "sync", "_blake2"),  # of the shortcut
    ],
)
def test_ctrl_c_while_python_still_imports_is_told_in_a_word(make: Make, door: Door, words: str, module: str) -> None:
    here = make(door)
    here.run("sync")
    here.run("sync")
    folder = here.root.parent / "site"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(INTERRUPTS.replace("MODULE", repr(module)))
    path = f"{folder}{os.pathsep}{here.environment()['PYTHONPATH']}"
    done = here.run(words, code=130, PYTHONPATH=path)
    assert (done.out, done.err) == ("", "interrupted\n")
