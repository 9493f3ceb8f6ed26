"""`doit update --dry-run` and `--check`: what would move, for people, for bots and for CI."""

from __future__ import annotations

import pytest

from tests.commands.bench import Servers, Workspace
from tests.deploy.conftest import Make
from tests.support.gitserver import commit, git

FILES = {
    "hsm.yaml": 'services:\n  web: {prod: {image: "@REG@/moving", version: "^1"}}\n'
    '  api: {mode: dev, repo: {url: "@GIT@/api.git", ref: main}}\n',
    "docker-compose.yml": "services: {web: {image: x}, api: {image: '@REG@/api:1.0.0'}}\n",
}

PROD_HERE = {"hsm.local.yaml": "services: {api: {mode: prod}}\n"}  # so there is no checkout


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
    digest = servers.push("moving", "1.99", text="newest", created="2026-05-01T10:00:00Z",
                          Labels={"org.opencontainers.image.version": "1.99.3"})
    said = shop.run("update:web", "--dry-run", "--json").json()
    (entry,) = said["entries"]
    assert (said["version"], said["outdated"], entry["service"]) == (1, 1, "web")
    assert entry["new"] == {"tag": "1.99", "digest": digest, "version": "1.99.3", "created": "2026-05-01T10:00:00Z"}
    assert entry["old"]["created"] is None
    assert entry["moves"] is True
    assert f"→ 1.99@{digest[7:19]} (1.99.3, 2026-05-01)" in shop.run("update:web", "--dry-run").out


@pytest.mark.parametrize("cloned", [True, False])
def test_the_commits_of_a_branch_have_their_subjects(make: Make, servers: Servers, cloned: bool) -> None:
    made = make({**FILES, **({} if cloned else PROD_HERE)})
    made.run("sync")
    assert made.checkout.exists() is cloned
    source = servers.source("api")
    subjects = [f"Change number {number} of {len(servers.made)}" for number in range(23)]
    for subject in subjects:
        commit(source, {}, subject)
    commit(source, {}, "\x1b[31mred \x07bell")
    files = made.files()
    said = made.run("update", "--dry-run")
    assert ", 24 commits\n" in said.out
    assert f"  {subjects[-1]}\n" in said.out
    assert subjects[2] not in said.out
    assert "    and 4 more\n" in said.out
    assert "\x1b" not in said.out
    entry = next(row for row in made.run("update", "--check", "--json", code=1).json()["entries"] if "commits" in row)
    assert entry["commits"]["total"] == 24
    assert [one["subject"] for one in entry["commits"]["newest"]][1] == subjects[-1]
    assert made.changed(files) == set()
    assert f"  {subjects[-1]}\n" in made.run("update").err
    assert "nothing has moved" in made.run("update").err


def test_a_branch_that_was_rewritten_shows_what_is_there(make: Make, servers: Servers) -> None:
    servers.repository("other", {"a": "1"})
    made = make({
        **PROD_HERE,
        "hsm.yaml": 'services: {api: {mode: dev, repo: {url: "@GIT@/other.git", ref: main}}}\n',
        "docker-compose.yml": "services: {api: {image: '@REG@/api:1.0.0'}}\n",
    })
    made.run("sync")
    git(servers.source("other"), "commit", "--quiet", "--amend", "-m", "Another past")
    said = made.run("update", "--dry-run").out
    assert "the old one was not found" in said
    assert "  Another past\n" in said


def test_what_does_not_go_together_is_refused(shop: Workspace) -> None:
    assert "does not move it" in shop.run("update", "--json", code=3).err
    assert '"up" does not go with' in shop.run("update", "--dry-run", "up", code=3).err
    assert 'no "update:nobody"' in shop.run("update:nobody", "--check", code=3).err
