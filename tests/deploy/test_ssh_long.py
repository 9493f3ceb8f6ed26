"""`doit deploy` to a machine behind ssh where something is in the way."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.commands.bench import Workspace
from tests.deploy import sshd
from tests.deploy.behind_ssh import workspace
from tests.deploy.conftest import Make
from tests.support import world
from tests.support.watcher import takes_interrupts

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    if not world.engine_ready() or sshd.SSHD is None:
        pytest.skip("no engine answers, or openssh-server is missing")
    with sshd.running(tmp_path_factory.mktemp("ssh") / "server") as found:
        yield found


@pytest.fixture
def shop(make: Make, server: tuple[str, Path], tmp_path: Path) -> Workspace:
    return workspace(make, server, tmp_path / "there")


def test_a_changed_file_makes_only_the_containers_anew_that_mount_it(shop: Workspace) -> None:
    assert re.search(r"web +add", shop.run("plan", "deploy", "target=staging").out)
    assert shop.run("status", "target=staging", "--json").json()["current"] is None
    shop.run("deploy", "target=staging")
    first = shop.containers()
    shop.write("conf/a", "second\n")
    said = shop.run("plan", "deploy", "target=staging", "--json").json()
    assert [one["state"] for one in said["services"]] == ["keep", "change"]
    assert re.search(r"web +change +files: conf", shop.run("deploy", "target=staging").err)
    now = shop.containers()
    assert now["web"] != first["web"]
    assert shop.engine("exec", now["web"], "cat", "/conf/a") == "second\n"
    shop.run("rollback", "target=staging")
    assert shop.engine("exec", shop.containers()["web"], "cat", "/conf/a") == "first\n"


def test_a_first_deploy_that_fails_leaves_nothing_running(shop: Workspace) -> None:
    shop.edit("docker-compose.yml", 'test: [CMD, "true"]', 'test: [CMD, "false"]')
    failed = shop.run("deploy", "target=staging", code=1)
    assert "(unhealthy)" in failed.err
    assert "nothing ran there before" in failed.err
    assert not shop.containers()
    assert "nothing to go back to" in shop.run("rollback", "target=staging", code=1).err


def test_a_secret_that_is_nowhere_is_missed_before_anything_starts(shop: Workspace, tmp_path: Path) -> None:
    key = shop.stack / "key.txt"
    key.unlink()
    failed = shop.run("deploy", "target=staging", code=1)
    assert f"put it there as {tmp_path}/there/files/key.txt" in failed.err
    assert not shop.containers()
    (tmp_path / "there/files/key.txt").write_text("a key of the server\n")
    shop.run("deploy", "target=staging")
    assert shop.engine("exec", shop.containers()["web"], "cat", "/run/secrets/key") == "a key of the server\n"


def test_a_target_that_does_not_answer_is_told_in_one_sentence(shop: Workspace) -> None:
    shop.write("hsm.yaml", re.sub(r"ssh://[^\"]*", "ssh://nobody@127.0.0.1:1", shop.read("hsm.yaml")))
    failed = shop.run("deploy", "target=staging", code=1)
    assert "the target staging can not be used" in failed.err
    assert "Connection refused" in failed.err


def test_two_deploys_at_once_come_one_after_the_other(shop: Workspace, tmp_path: Path) -> None:
    shop.run("deploy", "target=staging")
    said: list[str] = []
    shop.edit("docker-compose.yml", "GREETING: hello", "GREETING: goodbye")
    # another machine: the workspace's own lock does not see it
    other = tmp_path / "other"
    subprocess.run(["cp", "-R", str(shop.root), str(other)], check=True)
    first = threading.Thread(target=lambda: said.append(shop.run("deploy", "target=staging").err))
    first.start()
    lock = tmp_path / "there/lock"
    until(lambda: lock.exists() and subprocess.run(["flock", "-n", str(lock), "true"], check=False).returncode == 1)
    second = shop.run("deploy", "target=staging", at=other)
    first.join()
    assert "staging is being deployed to: waiting for " in second.err
    assert "1 of 2 services change" in said[0]
    assert "0 of 2 services change" in second.err


def test_a_deploy_that_was_killed_is_made_good_by_the_next(shop: Workspace, tmp_path: Path) -> None:
    shop.run("deploy", "target=staging")
    first = shop.containers()
    shop.edit("docker-compose.yml", "GREETING: hello", "GREETING: goodbye")
    killed = subprocess.Popen(["doit", "deploy", "target=staging"], cwd=shop.root, env=shop.environment(),
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    until(lambda: bool(trials(shop)))
    killed.kill()
    killed.wait()
    assert world.ask(shop.variables["WEB"]) == "web 1.0\n"
    shop.run("deploy", "target=staging")
    now = shop.containers()
    assert now["web"] != first["web"]
    assert "GREETING=goodbye" in shop.engine("exec", now["web"], "env")
    assert not trials(shop)


def test_a_deploy_that_was_interrupted_is_gone_on_with_or_taken_back(shop: Workspace) -> None:
    shop.run("deploy", "target=staging")
    first = shop.containers()
    shop.edit("docker-compose.yml", "GREETING: hello", "GREETING: goodbye")
    interrupted = subprocess.Popen(["doit", "deploy", "target=staging"], cwd=shop.root, env=shop.environment(),
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                                   start_new_session=True, preexec_fn=takes_interrupts)  # noqa: PLW1509, RUF100
    until(lambda: bool(trials(shop)))
    os.killpg(interrupted.pid, signal.SIGINT)
    said = interrupted.communicate(timeout=100)[1]
    assert interrupted.returncode == 130
    assert "staging may run services of both " in said
    assert said.endswith("`doit rollback target=staging` goes back\ninterrupted\n")
    assert shop.containers() == first
    shop.run("rollback", "target=staging")
    assert shop.containers() == first
    assert not trials(shop)
    shop.run("deploy", "target=staging")
    assert "GREETING=goodbye" in shop.engine("exec", shop.containers()["web"], "env")
    shop.run("rollback", "target=staging")
    assert "GREETING=hello" in shop.engine("exec", shop.containers()["web"], "env")


def test_a_secret_that_has_changed_renews_nothing_and_that_is_said(shop: Workspace) -> None:
    assert "has changed" not in shop.run("deploy", "target=staging").err
    first = shop.containers()
    shop.write("key.txt", "another key\n")
    assert "key.txt has changed; what already runs of web sees it after a restart" in shop.run(
        "deploy", "target=staging").err
    assert shop.containers() == first
    shop.engine("restart", first["web"])
    assert shop.engine("exec", first["web"], "cat", "/run/secrets/key") == "another key\n"


def test_a_service_without_a_port_is_well_before_the_old_one_goes(shop: Workspace) -> None:
    shop.edit("docker-compose.yml", '    ports: ["127.0.0.1:', '    expose: ["')
    shop.write("docker-compose.yml", re.sub(r'expose: \["\d+:80"\]', 'expose: ["80"]', shop.read("docker-compose.yml")))
    shop.run("deploy", "target=staging")
    first = shop.containers()
    shop.edit("docker-compose.yml", 'test: [CMD, "true"]', 'test: [CMD, "false"]')
    assert "rolled back" in shop.run("deploy", "target=staging", code=1).err
    assert shop.containers() == first
    shop.edit("docker-compose.yml", 'test: [CMD, "false"]', 'test: [CMD, "true"]')
    shop.edit("docker-compose.yml", "GREETING: hello", "GREETING: goodbye")
    shop.run("deploy", "target=staging")
    now = shop.containers()
    assert now["web"] != first["web"]
    assert shop.engine("inspect", "--format", "{{.Name}}", now["web"]).strip() == f"/{shop.project}-web-2"
    assert "0 of 2 services change" in shop.run("deploy", "target=staging").err
    assert shop.containers() == now


def trials(shop: Workspace) -> list[str]:
    label = f"label=com.docker.compose.project={shop.project}"
    return shop.engine("ps", "-aq", "--filter", label, "--filter", "label=hsm.trial").split()


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 100
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)
