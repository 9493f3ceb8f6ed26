"""`doit deploy` to a swarm where something is in the way."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.commands.bench import Workspace
from tests.deploy.conftest import Make
from tests.deploy.in_swarm import workspace
from tests.support.swarm import docker

pytestmark = pytest.mark.docker


@pytest.fixture
def shop(make: Make) -> Iterator[Workspace]:
    with workspace(make) as made:
        yield made


def test_what_a_swarm_has_no_word_for_is_refused_before_anything_starts(shop: Workspace) -> None:
    shop.edit("docker-compose.yml", "    init: true\n", "    privileged: true\n")
    failed = shop.run("deploy", "target=swarm", code=1)
    assert "web: privileged: a swarm has nothing like it" in failed.err
    assert shop.project not in docker("stack", "ls")


def test_a_first_deploy_that_fails_leaves_no_stack(shop: Workspace) -> None:
    shop.edit("docker-compose.yml", "init: true\n", "init: true\n    command: [sh, -c, 'echo broken; exit 7']\n")
    failed = shop.run("deploy", "target=swarm", code=1)
    assert "of its tasks failed" in failed.err
    assert "| broken" in failed.err
    assert shop.project not in docker("stack", "ls")
