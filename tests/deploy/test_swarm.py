"""`doit deploy` to a swarm of one node."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.commands.bench import Servers, Workspace
from tests.deploy.behind_ssh import asked
from tests.deploy.conftest import Make
from tests.deploy.in_swarm import inside, workspace
from tests.support import world

pytestmark = pytest.mark.docker


@pytest.fixture
def shop(make: Make) -> Iterator[Workspace]:
    with workspace(make) as made:
        yield made


def test_a_stack_is_deployed_updated_broken_and_rolled_back(shop: Workspace, servers: Servers) -> None:
    url = shop.variables["WEB"]
    shop.run("deploy", "target=swarm")
    assert world.ask(url) == "web 1.0\n"
    assert world.ask(f"{url}page.html") == "first\n"
    assert inside(shop, "cat", "/note", "/run/secrets/key").splitlines() == ["a note", "the key"]

    servers.push("web", "1.1")
    shop.edit("hsm.yaml", "web:1.0", "web:1.1")
    shop.write("page.html", "second\n")
    with asked(url) as answers:
        shop.run("deploy", "target=swarm")
    assert world.ask(url) == "web 1.1\n"
    assert world.ask(f"{url}page.html") == "second\n"
    print(f"requests that failed during an update: {answers['failed']} of {answers.total()}")

    shop.edit("docker-compose.yml", "init: true\n", "init: true\n    command: [sh, -c, 'echo broken; exit 7']\n")
    with asked(url) as answers:
        broken = shop.run("deploy", "target=swarm", code=1)
    # by the swarm itself, or, where that has not begun when the patience of the target ends, by us
    assert "its update was rollback completed" in broken.err or "not well after" in broken.err
    assert "| broken" in broken.err or "its last words: none" in broken.err
    assert world.ask(url) == "web 1.1\n"
    print(f"requests that failed during a deploy that was rolled back: {answers['failed']} of {answers.total()}")

    shop.run("rollback", "target=swarm")
    assert world.ask(url) == "web 1.0\n"
    assert world.ask(f"{url}page.html") == "first\n"
    states = {row["name"]: row["containers"] for row in shop.run("status", "target=swarm", "--json").json()["services"]}
    assert states["web"][0]["state"] == "running"
    assert states["web"][0]["memory"].endswith("/ 64MiB")
