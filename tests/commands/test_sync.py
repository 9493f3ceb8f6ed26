"""`sync`: everything that compose needs, without an engine; and nothing that is there already."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.commands.bench import DOORS, SOURCES, Door, Servers
from tests.commands.conftest import Make
from tests.support import gitserver

DEV = "services: {api: {mode: dev}}\n"


@pytest.mark.parametrize("door", DOORS)
def test_sync_makes_lock_and_override_without_an_engine(make: Make, door: Door, servers: Servers) -> None:
    here = make(door)
    done = here.run("sync")
    found = here.entries["images"][f"{servers.registry.host}/api ^1.0"]
    assert found["tag"] == "1.1.0"
    assert here.services["api"]["image"] == f"{servers.registry.host}/api:1.1.0@{found['digest']}"
    assert not (here.root / "repos").exists(), "nobody is dev, so nothing is cloned"
    assert done.out == "", "progress is talk, and talk goes to stderr"
    assert "docker-compose.hsm.yml" in done.err, "sync says what compose has to be told"


@pytest.mark.parametrize("door", DOORS)
def test_no_word_means_sync_and_the_second_one_runs_nothing(make: Make, door: Door) -> None:
    here = make(door, {"hsm.local.yaml": DEV})
    assert set(here.steps().values()) == {"ran"}
    before = here.files()
    assert set(here.steps("sync").values()) == {"fresh"}
    assert here.changed(before) == set()


def test_both_doors_lead_to_the_same_state(make: Make) -> None:
    here = make("doit")
    here.run("sync")
    here.door = "hsm"
    assert set(here.steps("sync").values()) == {"fresh"}
    here.edit("hsm.yaml", "memory: 64M", "memory: 32M")
    assert here.ran("sync") == {"render:api", "merge", "check"}
    here.door = "doit"
    assert set(here.steps("sync").values()) == {"fresh"}


def test_every_image_of_the_stack_is_pinned_named_in_hsm_yaml_or_not(make: Make) -> None:
    here = make()
    here.run("sync")
    pinned = {name for name, keys in here.services.items() if isinstance(keys, dict) and "@sha256:" in keys["image"]}
    assert pinned == {"api", "job", "metrics", "pg", "toolbox", "web"}


def test_images_that_are_mounted_or_built_with_are_pinned_and_move_with_an_update(make: Make, servers: Servers) -> None:
    base = """\
services:
  api:
    image: @REG@/api:1.0.0
    volumes: [{type: image, source: "@REG@/${RULES:-rules}:1", target: /rules}]
  tool: {build: {context: ., additional_contexts: {base: "docker-image://@REG@/base:1"}}}
"""
    servers.push("rules", "1")
    here = make(files={"hsm.yaml": "services: {}\n", "docker-compose.yml": base})
    here.run("sync")
    rules, tools = f"{servers.registry.host}/rules:1", f"{servers.registry.host}/base:1"
    entries = here.entries["images"]
    assert set(entries) == {rules, tools, f"{servers.registry.host}/api:1.0.0"}
    (mount,) = here.services["api"]["volumes"]
    assert mount["source"] == f"{rules}@{entries[rules]['digest']}"
    assert here.services["tool"]["build"]["additional_contexts"] == {
        "base": f"docker-image://{tools}@{entries[tools]['digest']}"
    }
    moved = servers.push("rules", "1", text="other rules")
    assert set(here.steps("sync", "frozen=yes").values()) == {"fresh"}
    here.run("update:api")
    assert here.services["api"]["volumes"][0]["source"] == f"{rules}@{moved}"
    assert here.entries["images"][tools] == entries[tools]


def test_a_dev_service_is_cloned_once_and_mounted_from_there(make: Make, servers: Servers) -> None:
    here = make(files={"hsm.local.yaml": DEV})
    assert here.steps("sync")["clone:api"] == "ran"
    assert gitserver.git(here.checkout, "branch", "--show-current") == "main"
    api = here.services["api"]
    assert api["build"]["context"] == "../../repos/api"
    assert [volume["source"] for volume in api["volumes"]] == ["../../repos/api/www"]
    assert str(here.root) not in here.override, "no absolute path"
    commit = here.root / ".hsm/shop/local.lock"
    assert gitserver.git(here.checkout, "rev-parse", "HEAD") in commit.read_text()


def test_services_of_one_repository_share_its_checkout(make: Make) -> None:
    two = """\
mode: dev
services:
  api: {repo: {url: "@GIT@/api.git"}}
  job: {repo: {url: "@GIT@/api.git"}}
"""
    base = "services: {api: {image: '@REG@/api:1.0.0'}, job: {image: '@REG@/api:1.0.0'}}\n"
    here = make(files={"hsm.yaml": two, "docker-compose.yml": base})
    assert [step for step in here.steps("sync") if step.startswith("clone:")] == ["clone:api"]
    assert {keys["build"]["context"] for keys in here.services.values()} == {"../../repos/api"}


def test_a_tag_and_a_commit_are_checked_out_detached(make: Make, servers: Servers) -> None:
    first = servers.repository("refs", SOURCES)
    gitserver.git(servers.source("refs"), "tag", "v1")
    servers.commit("refs", {"note": "second\n"})
    for number, ref in enumerate(("v1", first)):
        stack = f'services: {{api: {{mode: dev, repo: {{url: "@GIT@/refs.git", ref: "{ref}"}}}}}}\n'
        base = "services: {api: {image: '@REG@/api:1.0.0'}}\n"
        here = make(files={"hsm.yaml": stack, "docker-compose.yml": base})
        here.run("sync")
        checkout = here.root / "repos/refs"
        assert gitserver.git(checkout, "rev-parse", "HEAD") == first, number
        assert gitserver.git(checkout, "branch", "--show-current") == ""


def test_with_a_complete_lock_and_checkouts_no_server_is_asked(make: Make, servers: Servers) -> None:
    here = make(files={"hsm.local.yaml": DEV})
    here.edit("hsm.yaml", "  api:\n", "  api:\n    mode: dev\n")
    here.run("sync")
    override = here.override
    shutil.rmtree(here.root / ".hsm")
    (here.stack / "docker-compose.hsm.yml").unlink()
    asked = len(servers.registry.asked), len(servers.git.requests)
    here.run("sync")
    assert (len(servers.registry.asked), len(servers.git.requests)) == asked
    assert here.override == override


def test_a_fresh_copy_and_many_jobs_give_the_same_bytes(make: Make) -> None:
    here = make(files={"hsm.local.yaml": DEV})
    here.run("sync")
    here.write("hsm.local.yaml", "services: {api: {mode: dev}}\ngroups: {database: {selection: my}}\n")
    here.run("sync")
    there = make()
    shutil.rmtree(there.stack)
    shutil.copytree(here.stack, there.stack, ignore=shutil.ignore_patterns("docker-compose.hsm.yml"))
    there.run("-n", "8", "sync")
    assert there.override == here.override
    assert there.lock == here.lock


def test_a_checkout_with_work_in_it_is_left_alone(make: Make, servers: Servers) -> None:
    here = make(files={"hsm.local.yaml": DEV})
    here.run("sync")
    (here.checkout / "note").write_text("mine\n")
    shutil.rmtree(here.root / ".hsm")
    servers.commit("api", {"other": "x\n"})
    here.run("sync")
    assert (here.checkout / "note").read_text() == "mine\n"


def test_my_own_checkout_is_used_and_never_moved(make: Make, servers: Servers) -> None:
    here = make(files={"hsm.local.yaml": 'services: {api: {mode: dev, repo: {path: "../../mine"}}}\n'})
    gitserver.git(here.root, "clone", "--quiet", str(servers.source("api")), "mine")
    head = gitserver.git(here.root / "mine", "rev-parse", "HEAD")
    servers.commit("api", {"other": "y\n"})
    here.run("sync")
    here.run("update")
    assert gitserver.git(here.root / "mine", "rev-parse", "HEAD") == head
    assert here.services["api"]["build"]["context"] == "../../mine"
    assert not (here.root / "repos").exists()


def test_a_clone_that_fails_leaves_nothing_and_stops_what_needs_it(make: Make) -> None:
    here = make(files={"hsm.local.yaml": DEV})
    here.edit("hsm.yaml", "@GIT@/api.git", "@GIT@/gone.git")
    here.edit("hsm.yaml", "ref: main", "ref: main, name: api")
    results = here.steps("sync", code=1)
    assert results["clone:api"] == "failed"
    assert results["render:api"] == results["merge"] == results["check"] == "skipped"
    assert not list((here.root / "repos").glob("*"))
    assert not (here.stack / "docker-compose.hsm.yml").exists()
    said = here.run("sync", code=1).err
    assert "gone.git" in said
    assert "not found" in said.lower(), "git's own words"


def test_a_registry_without_the_image_fails_the_step_in_words(make: Make) -> None:
    here = make()
    here.edit("hsm.yaml", "@REG@/web:1.0", "@REG@/web:7")
    done = here.run("sync", code=1)
    assert "resolve:web" in done.err
    assert "Traceback" not in done.err
    assert not (here.stack / "docker-compose.hsm.yml").exists()


def test_a_range_without_a_match_names_the_tags_that_there_are(make: Make) -> None:
    here = make()
    here.edit("hsm.yaml", "^1.0", "^9")
    assert "1.0.0, 1.1.0" in here.run("sync", code=1).err


def test_the_printed_compose_line_is_one_that_works(make: Make) -> None:
    here = make()
    said = here.run("sync").err
    line = next(line.strip() for line in said.splitlines() if "docker compose -f" in line)
    assert line.endswith("up -d --remove-orphans")


@pytest.mark.parametrize("where", ["the environment", ".env"])
def test_the_printed_compose_line_means_the_project_of_hsm_yaml(make: Make, where: str) -> None:
    here = make()
    if where == ".env":
        here.write(".env", "COMPOSE_PROJECT_NAME=another\n")
    else:
        here.variables["COMPOSE_PROJECT_NAME"] = "another"
    lines = here.run("sync").err.splitlines()
    (line,) = (line.partition(": ")[2] for line in lines if "docker compose" in line)
    said = subprocess.run(
        ["sh", "-c", line.replace("up -d --remove-orphans", "config --format json")],
        cwd=here.root,
        env=here.environment(),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert json.loads(said)["name"] == here.project


def test_values_of_variables_are_not_written_down_but_for_images(make: Make) -> None:
    here = make()
    (here.stack / ".env").write_text("TAG=1.0.0\nSECRET=hunter2hunter2\n")
    here.edit("hsm.yaml", '"@REG@/api", version: "^1.0"', '"@REG@/api:${TAG}", environment: {PASS: "${SECRET}"}')
    here.run("sync")
    assert "/api:1.0.0@sha256:" in here.services["api"]["image"]
    assert here.services["api"]["environment"]["PASS"] == "${SECRET}"
    written = {name for name, content in here.files().items() if b"hunter2hunter2" in content}
    assert written == {"stacks/shop/.env"}


def test_an_own_checkout_that_has_gone_is_missed(make: Make, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    here = make(files={"hsm.local.yaml": f"services: {{api: {{mode: dev, repo: {{path: {own}}}}}}}\n"})
    (own / "www").mkdir()
    for _ in range(3):
        here.run("sync")
    own.rename(tmp_path / "elsewhere")
    failed = here.run("sync", code=1)
    assert "is not there" in failed.err
