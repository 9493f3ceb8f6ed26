"""`doit deploy` to a machine behind ssh: this one, through an sshd of our own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commands.bench import Servers, Workspace
from tests.deploy import sshd
from tests.deploy.behind_ssh import asked, workspace
from tests.deploy.conftest import Make
from tests.support import world

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    if not world.engine_ready() or sshd.SSHD is None:
        pytest.skip("no engine answers, or openssh-server is missing")
    with sshd.running(tmp_path_factory.mktemp("ssh") / "server", shared=True) as found:
        yield found


@pytest.fixture
def shop(make: Make, server: tuple[str, Path], tmp_path: Path) -> Workspace:
    return workspace(make, server, tmp_path / "there")


def test_a_stack_is_planned_deployed_updated_broken_and_rolled_back(shop: Workspace, servers: Servers) -> None:
    url = shop.variables["WEB"]
    before = shop.files()
    said = shop.run("plan", "deploy", "target=staging", "--json").json()
    assert [one["state"] for one in said["services"]] == ["add", "add"]
    assert shop.files() == before  # who looks leaves nothing behind
    assert not (shop.root.parent / "there").exists()
    assert not shop.containers()
    shop.run("deploy", "target=staging")
    assert world.ask(url) == "web 1.0\n"
    first = shop.containers()
    assert shop.engine("exec", first["web"], "cat", "/conf/a", "/run/secrets/key").splitlines() == ["first", "the key"]

    assert "0 of 2 services change" in shop.run("deploy", "target=staging").err
    assert shop.containers() == first

    servers.push("web", "1.1")
    shop.edit("hsm.yaml", "web:1.0", "web:1.1")
    with asked(url) as answers:
        assert re.search(r"1 of 2 services.*\n +web +change +image", shop.run("deploy", "target=staging").err)
    assert answers["web 1.0"] and answers["web 1.1"]
    print(f"requests that failed during an update: {answers['failed']} of {answers.total()}")

    shop.edit("docker-compose.yml", "init: true\n", "init: true\n    command: [sh, -c, 'echo broken; exit 7']\n")
    with asked(url) as answers:
        broken = shop.run("deploy", "target=staging", code=1)
    assert "web does not get well on staging: Exited (7)" in broken.err
    assert "| broken" in broken.err
    assert "rolled back" in broken.err
    assert world.ask(url) == "web 1.1\n"
    assert set(answers) == {"web 1.1"}, "what does not get well takes nothing away"

    shop.run("rollback", "target=staging")
    assert world.ask(url) == "web 1.0\n"
    state = shop.run("status", "target=staging", "--json").json()
    web = next(row for row in state["services"] if row["name"] == "web")
    assert "/web:1.0@sha256:" in web["image"]
    assert web["containers"][0]["memory"].endswith("/ 64MiB")
