"""`doit update --dry-run` and `--check`: what would move, for people, for bots and for CI."""

from __future__ import annotations

import pytest

from tests.commands.bench import Servers, Workspace
from tests.deploy.conftest import Make

FILES = {
    "hsm.yaml": 'services:\n  web: {prod: {image: "@REG@/moving", version: "^1"}}\n'
    '  api: {mode: dev, repo: {url: "@GIT@/api.git", ref: main}}\n',
    "docker-compose.yml": "services: {web: {image: x}, api: {image: '@REG@/api:1.0.0'}}\n",
}


@pytest.fixture
def shop(make: Make, servers: Servers) -> Workspace:
    servers.push("moving", "1.0")
    made = make(FILES)
    made.run("sync")
    return made


def test_a_check_ends_with_1_as_soon_as_something_is_outdated(shop: Workspace, servers: Servers) -> None:
    lock = shop.lock
    assert shop.run("update", "--check").out == "0 of 2 entries would move (stack shop)\n"
    digest = servers.push("moving", "1.9", text="newer")
    commit = servers.commit("api", {"note": f"newer than {lock}\n"})
    said = shop.run("update", "--check", code=1).out
    assert f"@{digest[7:19]}" in said
    assert "→ 1.9@" in said
    assert f"→ {commit[:10]}" in said
    assert shop.lock == lock
    assert shop.run("update:api", "--check", code=1).out.count("→") == 1
    shop.run("update")
    shop.run("update", "--check")


def test_a_dry_run_is_for_looking_and_its_json_for_bots(shop: Workspace, servers: Servers) -> None:
    digest = servers.push("moving", "1.99", text="newest")
    said = shop.run("update:web", "--dry-run", "--json").json()
    (entry,) = said["entries"]
    assert (said["version"], said["outdated"], entry["service"]) == (1, 1, "web")
    assert entry["new"] == {"tag": "1.99", "digest": digest}
    assert entry["moves"] is True


def test_what_does_not_go_together_is_refused(shop: Workspace) -> None:
    assert "does not move it" in shop.run("update", "--json", code=3).err
    assert '"up" does not go with' in shop.run("update", "--dry-run", "up", code=3).err
    assert 'no "update:nobody"' in shop.run("update:nobody", "--check", code=3).err
