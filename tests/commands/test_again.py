"""What reruns after which edit: the rows of the table in the contract's section 7 that sync can show, one test each."""

from __future__ import annotations

import os

import pytest

from tests.commands.bench import Servers, Workspace
from tests.commands.conftest import Make

DEV = "services: {api: {mode: dev}}\n"
TAIL = {"merge", "check"}


@pytest.fixture
def prod(make: Make) -> Workspace:
    here = make()
    here.run("sync")
    return here


@pytest.fixture
def dev(make: Make) -> Workspace:
    here = make(files={"hsm.local.yaml": DEV})
    here.run("sync")
    return here


def test_comments_order_of_keys_and_touched_files_wake_nobody(prod: Workspace) -> None:
    prod.edit("hsm.yaml", "    selection: pg\n", "")
    prod.edit("hsm.yaml", "    strategy: 1-of-N\n", "    selection: pg  # the default\n    strategy: 1-of-N\n")
    for path in prod.stack.iterdir():
        os.utime(path, (1, 1))
    assert prod.ran("sync") == set()


def test_a_key_of_dev_while_the_service_is_dev(dev: Workspace) -> None:
    dev.edit("hsm.yaml", 'DEBUG: "1"', 'DEBUG: "2"')
    assert dev.ran("sync") == {"render:api"} | TAIL


def test_a_key_of_dev_while_the_service_is_prod(prod: Workspace) -> None:
    prod.edit("hsm.yaml", 'DEBUG: "1"', 'DEBUG: "2"')
    assert prod.ran("sync") == set()


def test_a_key_of_prod_while_the_service_is_dev(dev: Workspace) -> None:
    dev.edit("hsm.yaml", "memory: 64M", "memory: 32M")
    assert dev.ran("sync") == set()


def test_a_mode_needs_only_what_the_other_mode_lacks(prod: Workspace) -> None:
    assert prod.ran("dev:api") == {"clone:api", "lock", "render:api"} | TAIL
    assert prod.ran("prod:api") <= {"resolve:api", "lock", "render:api"} | TAIL
    assert prod.ran("dev:api") == {"render:api"} | TAIL


def test_the_image_or_its_version(prod: Workspace) -> None:
    prod.edit("hsm.yaml", "^1.0", "~1.0")
    assert prod.ran("sync") == {"resolve:api", "lock", "render:api"} | TAIL


def test_a_variable_in_the_reference_of_an_image(prod: Workspace) -> None:
    prod.edit("hsm.yaml", '"@REG@/web:1.0"', '"@REG@/${WEB:-web:1.0}"')
    prod.run("sync")
    assert prod.ran("sync", WEB="api:1.0.0") == {"resolve:web", "lock", "render:web"} | TAIL
    assert "/api:1.0.0@" in prod.services["web"]["image"]


def test_a_version_that_comes_to_the_same_image_wakes_nobody_behind_the_lock(prod: Workspace) -> None:
    prod.edit("hsm.yaml", "^1.0", ">=1.0,<2")
    assert prod.ran("sync") <= {"resolve:api", "lock"}


def test_the_ref_of_a_repository(dev: Workspace, servers: Servers) -> None:
    from tests.support.gitserver import git

    git(servers.source("api"), "branch", "--force", "other")
    dev.edit("hsm.yaml", "ref: main", "ref: other, name: other")
    assert dev.ran("sync") == {"clone:other", "lock", "render:api"} | TAIL


def test_the_selection_of_a_group(prod: Workspace) -> None:
    ran = prod.ran("use:my")
    assert {"render:my", "render:pg", "render:api"} | TAIL <= ran
    assert not {"render:web", "render:metrics", "render:job", "render:toolbox"} & ran


def test_a_service_of_the_base_that_changes(prod: Workspace) -> None:
    prod.edit("docker-compose.yml", "image: @REG@/web:1.0", "image: @REG@/web:0.9")  # hsm.lock has it for another
    assert prod.ran("sync") == {"resolve:toolbox", "render:toolbox"} | TAIL


def test_a_key_of_the_base_that_no_fragment_shows_reaches_check_only(prod: Workspace) -> None:
    prod.edit("docker-compose.yml", 'command: ["true"]', 'command: ["true", "x"]')
    assert prod.ran("sync") == {"check"}


def test_a_file_that_the_base_includes(make: Make) -> None:
    here = make()
    here.write("more.yml", "services: {late: {image: '@REG@/metrics'}}\n")
    here.write("docker-compose.yml", f"include: [more.yml]\n{here.read('docker-compose.yml')}")
    here.run("sync")
    here.write("more.yml", "services: {late: {image: '@REG@/web:0.9'}}\n")
    assert here.ran("sync") == {"resolve:late", "render:late"} | TAIL
    assert "/web:0.9@" in here.services["late"]["image"]


def test_the_name_of_the_project(prod: Workspace) -> None:
    prod.edit("hsm.yaml", f"name: {prod.project}", f"name: {prod.project}b")
    assert prod.ran("sync") == TAIL


@pytest.mark.parametrize(
    ("path", "step"),
    [("fragments/api.yml", "render:api"), ("pins/api.json", "resolve:api"), ("override.yml", "merge")],
)
def test_an_intermediate_file_that_is_gone_or_edited_is_made_again(prod: Workspace, path: str, step: str) -> None:
    file = prod.root / ".hsm/shop" / path
    before = file.read_bytes()
    file.unlink()
    assert prod.ran("sync") == {step}
    file.write_bytes(before + b"\n")
    assert prod.ran("sync") == {step}
    assert file.read_bytes() == before


def test_a_published_override_that_is_gone_or_edited(prod: Workspace) -> None:
    file = prod.stack / "docker-compose.hsm.yml"
    before = file.read_bytes()
    file.unlink()
    assert prod.ran("sync") == {"check"}
    file.write_bytes(b"services: {}\n")
    assert prod.ran("sync") == {"check"}
    assert file.read_bytes() == before


def test_a_service_that_leaves_hsm_yaml(make: Make) -> None:
    here = make()
    here.edit("hsm.yaml", "  web:\n", "  extra:\n    prod: {image: '@REG@/metrics'}\n  web:\n")
    here.run("sync")
    here.edit("hsm.yaml", "  extra:\n    prod: {image: '@REG@/metrics'}\n", "")
    assert here.ran("sync") == TAIL


def test_work_in_a_checkout_is_no_matter_of_sync(dev: Workspace) -> None:
    from tests.support.gitserver import commit

    (dev.checkout / "note").write_text("dirty\n")
    assert dev.ran("sync") == set()
    commit(dev.checkout, {"more": "x\n"})
    assert dev.ran("sync") == set()


def test_edits_and_their_undoing_end_in_what_a_first_sync_gives(make: Make) -> None:
    here = make()
    here.run("sync")
    override = here.override
    here.run("dev:api", "use:my", "use:tracing", "use:debug")
    here.run("prod:api", "use:pg", "unuse:tracing", "unuse:debug")
    assert here.override == override
