"""The disk at its worst: things of another kind, random bytes, no space, no permission, a clock that jumps.

Every run ends with a sentence and 0, 1 or 3; and once the trouble is over, the next one ends in the usual state.
"""

from __future__ import annotations

import contextlib
import os
import random
import resource
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.kills import Stage, forked
from tests.model.hsm import call

STACK, STATE = "stacks/shop", ".hsm/shop"
OURS = (
    f"{STACK}/docker-compose.hsm.yml", f"{STATE}/override.yml", f"{STATE}/fragments/api.yml", f"{STATE}/pins/api.json",
    f"{STATE}/clones/worker.json", f"{STATE}/base.json", f"{STATE}/last.lock", f"{STATE}/local.lock",
    f"{STATE}/state.db", f"{STATE}/fragments", f"{STATE}/pins", STATE, ".hsm/.gitignore", ".hsm/lock",
    ".hsm/lock.holder",
)  # fmt: skip
THEIRS = (f"{STACK}/hsm.lock", f"{STACK}/hsm.local.yaml", f"{STACK}/hsm.yaml", f"{STACK}/docker-compose.yml",
          f"{STACK}/.env", "pyproject.toml", "repos")  # fmt: skip
WORDS = ("sync",)


def told(stage: Stage, *words: str) -> int:
    """The exit code of a run that is no bug."""
    done = call(stage.root, stage.environ, *words)
    assert done.code in (0, 1, 3), f"exit {done.code}: {done.said}"
    assert "Traceback" not in done.said, done.said
    return done.code


def recovers(stage: Stage, what: str, state: str = "synced") -> None:
    """Pins do not count: one that no step needs now stays for the way back, where its step's own parts are compared."""
    stage.right(call(stage.root, stage.environ, "sync"))
    mine, right = stage.files(), stage.ends[state, WORDS]
    other = sorted(name for name in {*mine, *right} if mine.get(name) != right.get(name) and "/pins/" not in name)
    assert not other, f"{what}: {other}"


@pytest.fixture
def synced(stage: Stage) -> Stage:
    stage.undisturbed("synced", WORDS)
    stage.bring_back("synced")
    return stage


def remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def a_folder(path: Path) -> None:
    path.mkdir(parents=True)
    (path / "of-a-person").write_text("work\n")


def a_file(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("work\n")


def noise(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(random.Random(7).randbytes(5000))


def empty(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")


def endless(path: Path) -> None:
    """A link to a device that never ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to("/dev/zero")


def a_pipe(path: Path) -> None:
    """Nobody will ever write into it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(path)


def in_a_circle(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(path.name)


KINDS = (a_folder, a_file, noise, empty, endless, a_pipe, in_a_circle)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: str(kind.__name__))
def test_anything_may_lie_where_a_file_was(synced: Stage, kind: Callable[[Path], None]) -> None:
    for name in (*OURS, *THEIRS):
        stage = synced
        stage.bring_back("synced")
        path = stage.root / name
        remove(path)
        kind(path)
        with alarm(name):
            told(stage, "sync")
            told(stage, "status")
            told(stage, "dev:api", "plan")
        remove(path)
        remove(stage.root / STACK / "hsm.local.yaml")
        if name in THEIRS:
            for own in (STACK, "repos"):
                remove(stage.root / own)
                subprocess.run(["cp", "-a", str(stage.folder / "synced" / own), str(stage.root / own)], check=True)
        recovers(stage, name)


def test_files_of_a_hundred_megabytes_are_told_in_a_sentence(synced: Stage) -> None:
    for name in (*THEIRS[:3], THEIRS[3], "pyproject.toml", f"{STATE}/override.yml", f"{STATE}/base.json"):
        synced.bring_back("synced")
        path = synced.root / name
        remove(path)
        path.touch()
        os.truncate(path, 100 << 20)  # it takes no room on the disk
        with alarm(name):
            code = told(synced, "sync")
            assert code if name in THEIRS else not code, name


@contextlib.contextmanager
def alarm(what: str, seconds: int = 60) -> Iterator[None]:
    """What hangs is a failure."""

    def late(*_: object) -> None:
        raise AssertionError(f"it hangs: {what}")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def test_a_disk_that_is_full_costs_the_run_and_nothing_else(stage: Stage) -> None:
    """Of every file only the first bytes fit, so each write of hsm, git and sqlite fails somewhere."""
    stage.undisturbed("new", WORDS)
    for size in (0, 1, 200, 1000, 5000, 20_000, 100_000):
        stage.bring_back("new")

        def small(size: int = size) -> None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

        code, said = forked(stage.root, stage.environ, *WORDS, first=small)
        assert code in (1, 3), f"{size}: exit {code}\n{said}"
        assert "Traceback" not in said, said
        stage.readable(f"a disk with {size} bytes")
        recovers(stage, str(size), "new")


def test_where_nothing_may_be_written_it_is_said(stage: Stage) -> None:
    stage.undisturbed("synced", WORDS)
    (stage.folder / "home" / ".gitconfig").write_text("[safe]\n    directory = *\n")
    for place in (".", "stacks/shop", ".hsm", ".hsm/shop", ".hsm/shop/fragments", "repos"):
        stage.bring_back("synced")
        (stage.root / STACK / "hsm.lock").unlink()
        remove(stage.root / "repos/api")
        folder = stage.root / place
        subprocess.run(["chown", "-R", f"{USER}:{USER}", str(stage.root)], check=os.geteuid() == 0)
        folder.chmod(0o555)
        stage.folder.chmod(0o755)
        environ = {**stage.environ, "HSM_RUN_LOG": ""}
        code, said = forked(stage.root, environ, "--continue", *WORDS, first=as_somebody)
        assert code in (0, 1, 3), f"{place}: exit {code}\n{said}"
        assert "Traceback" not in said, f"{place}: {said}"
        folder.chmod(0o755)
        subprocess.run(["chown", "-R", f"{os.geteuid()}:{os.getegid()}", str(stage.root)], check=os.geteuid() == 0)


USER = 65534


def as_somebody() -> None:
    """Root may write everywhere."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(USER, USER, USER)
        os.setresuid(USER, USER, USER)


def test_times_that_jump_wake_nobody_and_hide_nothing(synced: Stage) -> None:
    stage = synced
    stage.right(call(stage.root, stage.environ, *WORDS))
    for when in (0, 2_000_000_000, 4_000_000_000):
        for path in stage.root.rglob("*"):
            if ".git" not in path.parts and not path.is_symlink():
                os.utime(path, (when, when))
        assert not call(stage.root, stage.environ, *WORDS).ran
    for name in (f"{STATE}/fragments/api.yml", f"{STATE}/pins/web.json", f"{STATE}/override.yml"):
        path = stage.root / name
        before, data = path.stat(), path.read_bytes()
        path.write_bytes(data.replace(b"e", b"a"))
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert call(stage.root, stage.environ, *WORDS).ran, name
        recovers(stage, name)


@pytest.mark.parametrize("version", ["0", "2", "99", "one", "[]"])
def test_a_lock_of_another_version_is_not_read_and_not_lost(synced: Stage, version: str) -> None:
    lock = synced.root / STACK / "hsm.lock"
    text = lock.read_text().replace("version: 1", f"version: {version}")
    lock.write_text(text)
    assert told(synced, "sync") == 3
    assert told(synced, "update") == 3
    assert lock.read_text() == text
