"""Many runs at once on one workspace, on stacks that share checkouts, and of two users."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable
from functools import partial

import pytest

from tests.commands.bench import BASE, HSM_YAML, Servers, Workspace
from tests.faults.conftest import Make
from tests.faults.kills import Stage, forked
from tests.model.hsm import call

USER = 65534
RUNS = 10


@pytest.mark.parametrize("words", [("sync",), ("update",), ("dev:api", "use:my")], ids=" ".join)
def test_ten_runs_at_once_leave_what_one_run_leaves(
    make: Make, servers: Servers, words: tuple[str, ...]
) -> None:
    alone, together = two_stacks(make), two_stacks(make)
    for stack in ("shop", "ml"):
        alone.run(*words, f"stack={stack}")
    ends = at_once(together, words)
    for code, said in ends:
        assert code == 0, said
    assert not (together.root / ".hsm/lock.holder").exists()
    assert not list(together.root.rglob("*.tmp"))
    for stack in ("shop", "ml"):
        for name in ("hsm.lock", "docker-compose.hsm.yml", "hsm.local.yaml"):
            mine, right = (here.root / "stacks" / stack / name for here in (together, alone))
            assert mine.exists() == right.exists(), name
            if mine.exists():
                assert mine.read_text() == right.read_text().replace(alone.project, together.project), name
        assert not together.ran("sync", f"stack={stack}")


def two_stacks(make: Make) -> Workspace:
    """shop and ml, with the same checkout."""
    here = make("doit", {"docker-compose.yml": BASE})
    for path, text in (("hsm.yaml", f"name: {here.project}-ml\n{HSM_YAML}"), ("docker-compose.yml", BASE)):
        here.write(f"../ml/{path}", text)
    return here


def at_once(here: Workspace, words: tuple[str, ...]) -> list[tuple[int, str]]:
    """(exit code, what was said) of ten runs that begin together, half of them for each stack."""
    ends: list[tuple[int, str]] = []

    def run(number: int) -> None:
        done = here.run(*words, f"stack={('shop', 'ml')[number % 2]}", code=None)
        ends.append((done.code, done.both))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(RUNS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return ends


def _umask(number: int) -> None:
    os.umask(number)


def as_somebody(umask: int) -> Callable[[], None]:
    """Another user of the same group (where we are root: else ourselves, with another umask)."""

    def become() -> None:
        os.umask(umask)
        if os.geteuid() == 0:
            os.setgroups([])
            os.setresgid(USER, USER, USER)
            os.setresuid(USER, USER, USER)

    return become


@pytest.mark.parametrize(("first", "second"), [(0o002, 0o002), (0o022, 0o002), (0o077, 0o022)])
def test_two_users_share_a_workspace_or_are_told_why_not(stage: Stage, first: int, second: int) -> None:
    root = os.geteuid() == 0
    stage.bring_back("new")
    (stage.folder / "home" / ".gitconfig").write_text("[safe]\n    directory = *\n")
    stage.folder.chmod(0o755)
    if root:
        subprocess.run(["chgrp", "-R", str(USER), str(stage.root)], check=True)
        subprocess.run(["find", str(stage.root), "-type", "d", "-exec", "chmod", "2775", "{}", "+"], check=True)
    environ = {**stage.environ, "HSM_RUN_LOG": ""}
    code, said = forked(stage.root, environ, "sync", first=partial(_umask, first))
    assert code == 0, said
    (stage.root / "stacks/shop/docker-compose.hsm.yml").unlink()
    code, said = forked(stage.root, environ, "sync", first=as_somebody(second))
    assert "Traceback" not in said, said
    if first == 0o002 or not root:
        assert code == 0, said
        assert call(stage.root, stage.environ, "sync").code == 0
    else:
        assert code in (1, 3), said
        assert "hint: " in said, said
