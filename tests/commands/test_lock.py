"""hsm.lock: what it holds, who may change it, and what `frozen=yes` and `update` make of it."""

from __future__ import annotations

import re

from tests.commands.bench import SOURCES, Servers, Workspace
from tests.commands.conftest import Make
from tests.support import gitserver

DEV = "services: {api: {mode: dev}}\n"
BRANCHED = """\
services:
  api:
    mode: dev
    repo: {url: "@GIT@/moving.git", ref: main}
    prod: {image: "@REG@/api", version: "^1.0"}
"""
ONE = "services: {api: {image: '@REG@/api:1.0.0'}}\n"


def moving(make: Make, servers: Servers, **files: str) -> tuple[Workspace, str]:
    """A workspace with one dev service from a repository of its own, and that repository's first commit."""
    name = f"moving{len(list(servers.git.root.iterdir()))}"
    first = servers.repository(name, SOURCES)
    given = {"hsm.yaml": BRANCHED.replace("moving", name), "docker-compose.yml": ONE, **files}
    return make(files=given), first


def head(here: Workspace) -> str:
    checkout = next(path for path in (here.root / "repos").iterdir() if path.is_dir())
    return gitserver.git(checkout, "rev-parse", "HEAD")


def repository(here: Workspace) -> str:
    """The commit of the only repository of the lock."""
    (entry,) = here.entries["repositories"].values()
    return entry["commit"]


def source(here: Workspace) -> str:
    (key,) = here.entries["repositories"]
    return key.split("/")[-1].partition(".git")[0]


def test_the_lock_is_sorted_and_says_its_version(make: Make) -> None:
    here = make()
    here.run("sync")
    assert here.lock.startswith("version: 1\n")
    images = list(here.entries["images"])
    assert images == sorted(images)
    assert all(entry["digest"].startswith("sha256:") for entry in here.entries["images"].values())


def test_what_hsm_local_yaml_asks_for_is_recorded_apart(make: Make) -> None:
    plain, mine = make(), make(files={"hsm.local.yaml": f"{DEV}groups: {{database: {{selection: my}}}}\n"})
    plain.run("sync")
    mine.run("sync")
    assert mine.lock == plain.lock
    local = (mine.root / ".hsm/shop/local.lock").read_text()
    assert "/my:8" in local
    assert "api.git main" in local
    assert "/my:8" not in mine.lock


def test_sync_neither_moves_nor_drops_what_is_there(make: Make, servers: Servers) -> None:
    here = make()
    here.run("sync")
    before = here.entries["images"]
    servers.push("metrics", "latest", text="a newer one")
    here.edit("hsm.yaml", '"@REG@/web:1.0"', '"@REG@/web:0.9"')
    here.run("forget", "-a")
    here.run("sync")
    after = here.entries["images"]
    assert before.items() <= after.items()


def test_an_edited_entry_is_honoured(make: Make, servers: Servers) -> None:
    here = make()
    here.run("sync")
    key = f"{servers.registry.host}/api ^1.0"
    other = here.entries["images"][f"{servers.registry.host}/web:1.0"]["digest"]
    text = here.lock.replace(here.entries["images"][key]["digest"], other)
    (here.stack / "hsm.lock").write_text(text)
    assert here.ran("sync") >= {"resolve:api", "render:api", "merge", "check"}
    assert other in here.services["api"]["image"]
    assert here.lock == text, "what a person wrote there stays"


def test_a_branch_is_cloned_at_its_locked_commit(make: Make, servers: Servers) -> None:
    here, first = moving(make, servers)
    here.run("sync")
    servers.commit(source(here), {"note": "second\n"})
    there = make(files={"hsm.yaml": here.read("hsm.yaml"), "docker-compose.yml": ONE, "hsm.lock": here.lock})
    there.run("sync")
    assert head(there) == first
    checkout = next((there.root / "repos").iterdir())
    assert gitserver.git(checkout, "branch", "--show-current") == "main"
    assert there.lock == here.lock


def test_a_commit_that_no_server_told_is_asked_for_again(make: Make, servers: Servers) -> None:
    here, first = moving(make, servers, **{"hsm.local.yaml": "services: {api: {mode: prod}}\n"})
    name = re.search(r"/(moving\d+)\.git", here.read("hsm.yaml"))
    assert name
    there = next(path for path in servers.git.root.iterdir() if path.name.startswith(name[1]))
    aside = there.rename(there.with_name("aside"))
    here.run("sync")
    assert not here.entries["repositories"]
    aside.rename(there)
    assert {"lock"} < here.ran("sync")
    assert repository(here) == first
    assert not here.ran("sync")


def test_update_moves_entries_and_clean_checkouts(make: Make, servers: Servers) -> None:
    here, first = moving(make, servers)
    here.run("sync")
    second = servers.commit(source(here), {"note": "second\n"})
    here.run("sync")
    assert (head(here), repository(here)) == (first, first)
    said = here.run("update").err
    assert (head(here), repository(here)) == (second, second)
    assert first[:10] in said
    assert second[:10] in said
    assert set(here.steps("sync").values()) == {"fresh"}


def test_update_leaves_a_checkout_with_work_in_it_and_says_so(make: Make, servers: Servers) -> None:
    here, first = moving(make, servers)
    here.run("sync")
    servers.commit(source(here), {"note": "second\n"})
    checkout = next((here.root / "repos").iterdir())
    (checkout / "note").write_text("mine\n")
    said = here.run("update").err
    assert head(here) == first
    assert (checkout / "note").read_text() == "mine\n"
    assert "stays as it is" in said


def test_update_of_one_service_moves_that_one_only(make: Make, servers: Servers) -> None:
    servers.push("duo", "a", text="a")
    servers.push("duo", "b", text="b")
    stack = 'services: {one: {prod: {image: "@REG@/duo:a"}}, two: {prod: {image: "@REG@/duo:b"}}}\n'
    base = "services: {one: {image: x}, two: {image: x}}\n"
    here = make(files={"hsm.yaml": stack, "docker-compose.yml": base})
    here.run("sync")
    before = here.entries["images"]
    newer = {servers.push("duo", "a", text="newer a"), servers.push("duo", "b", text="newer b")}
    here.run("update:one")
    after = here.entries["images"]
    assert after[f"{servers.registry.host}/duo:a"]["digest"] in newer
    assert after[f"{servers.registry.host}/duo:b"] == before[f"{servers.registry.host}/duo:b"]
    here.run("update")
    assert {entry["digest"] for entry in here.entries["images"].values()} == newer


def test_an_entry_that_only_says_more_has_not_moved(make: Make) -> None:
    here = make(files={"hsm.yaml": "services: {api: {mode: prod}}\n", "docker-compose.yml": ONE})
    here.run("sync")
    here.edit("hsm.yaml", "services", "groups: {any: {strategy: M-of-N, options: [api], selection: [api]}}\nservices")
    assert "nothing has moved" in here.run("update").err
    (entry,) = here.entries["images"].values()
    assert "healthcheck" in entry


def test_update_takes_the_newest_tag_of_a_range(make: Make, servers: Servers) -> None:
    servers.push("ranged", "1.0.0")
    stack = 'services: {api: {prod: {image: "@REG@/ranged", version: "^1.0"}}}\n'
    here = make(files={"hsm.yaml": stack, "docker-compose.yml": ONE})
    here.run("sync")
    servers.push("ranged", "1.2.0")
    servers.push("ranged", "2.0.0")
    here.run("sync")
    (entry,) = here.entries["images"].values()
    assert entry["tag"] == "1.0.0"
    here.run("update")
    (entry,) = here.entries["images"].values()
    assert entry["tag"] == "1.2.0"


def test_update_without_names_drops_what_nothing_names(make: Make) -> None:
    here = make()
    here.run("sync")
    here.edit("hsm.yaml", '"@REG@/web:1.0"', '"@REG@/web:0.9"')
    here.edit("docker-compose.yml", "image: @REG@/web:1.0", "image: @REG@/metrics")
    here.run("update:api")
    assert any("/web:1.0" in key for key in here.entries["images"])
    here.run("update")
    assert not any("/web:1.0" in key for key in here.entries["images"])


def test_update_keeps_the_entries_of_other_modes_and_options(make: Make, servers: Servers) -> None:
    here = make(files={"hsm.local.yaml": "groups: {database: {selection: my}}\n"})
    here.edit("hsm.yaml", "selection: pg", "selection: my")
    here.run("sync")
    here.edit("hsm.yaml", "selection: my", "selection: pg")
    here.run("update")
    assert {f"{servers.registry.host}/my:8", f"{servers.registry.host}/pg:16"} <= set(here.entries["images"])


def test_update_moves_the_entry_of_an_option_that_is_off_too(make: Make, servers: Servers) -> None:
    servers.push("volatile", "1")
    here = make()
    here.edit("docker-compose.yml", "@REG@/my:8", "@REG@/volatile:1")
    here.edit("hsm.yaml", "selection: pg", "selection: my")
    here.run("sync")
    here.edit("hsm.yaml", "selection: my", "selection: pg")
    here.run("sync")
    key = f"{servers.registry.host}/volatile:1"
    for number, words in enumerate((["update"], ["update:my"])):
        moved = servers.push("volatile", "1", text=f"newer {number}")
        assert here.entries["images"][key]["digest"] != moved
        assert "volatile:1" in here.run(*words, "--dry-run").out
        here.run(*words)
        assert here.entries["images"][key]["digest"] == moved, words


def test_a_frozen_sync_fails_naming_what_the_lock_lacks(make: Make) -> None:
    here = make()
    done = here.run("sync", "frozen=yes", code=1)
    assert "/api ^1.0" in done.err
    assert "/web:1.0" in done.err
    assert not (here.stack / "hsm.lock").exists()
    assert not (here.stack / "docker-compose.hsm.yml").exists()


def test_a_frozen_sync_with_a_complete_lock_does_all_the_rest(make: Make) -> None:
    here = make()
    here.run("sync")
    there = make(files={"hsm.lock": here.lock})
    there.run("sync", "frozen=yes")
    assert there.lock == here.lock
    assert there.services["api"] == here.services["api"]


def test_a_frozen_sync_moves_a_clean_checkout_to_the_locked_commit(make: Make, servers: Servers) -> None:
    here, first = moving(make, servers)
    here.run("sync")
    second = servers.commit(source(here), {"note": "second\n"})
    (here.stack / "hsm.lock").write_text(here.lock.replace(first, second))
    here.run("sync", "frozen=yes")
    assert head(here) == second


def test_a_frozen_sync_fails_where_work_is_in_the_way(make: Make, servers: Servers) -> None:
    here, first = moving(make, servers)
    here.run("sync")
    second = servers.commit(source(here), {"note": "second\n"})
    (here.stack / "hsm.lock").write_text(here.lock.replace(first, second))
    checkout = next((here.root / "repos").iterdir())
    (checkout / "note").write_text("mine\n")
    done = here.run("sync", "frozen=yes", code=1)
    assert "clone:" in done.err
    assert (checkout / "note").read_text() == "mine\n"
    assert head(here) == first


def test_a_frozen_sync_goes_back_too(make: Make, servers: Servers) -> None:
    here, first = moving(make, servers)
    here.run("sync")
    lock = here.lock
    servers.commit(source(here), {"note": "second\n"})
    here.run("update")
    (here.stack / "hsm.lock").write_text(lock)
    here.run("sync", "frozen=yes")
    assert head(here) == first
