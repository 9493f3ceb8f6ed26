"""What reruns after which edit: the rows of the table in the contract's section 7 that sync can show, one test each."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.commands.bench import DOORS, SOURCES, Servers, Workspace
from tests.commands.conftest import Make

DEV = "services: {api: {mode: dev}}\n"
TAIL = {"merge", "check"}


@pytest.fixture(params=DOORS)
def prod(make: Make, request: pytest.FixtureRequest) -> Workspace:
    here = make(request.param)
    here.run("sync")
    return here


@pytest.fixture(params=DOORS)
def dev(make: Make, request: pytest.FixtureRequest) -> Workspace:
    here = make(request.param, {"hsm.local.yaml": DEV})
    here.run("sync")
    return here


def state(here: Workspace) -> Path:
    """The folder of the stack under .hsm."""
    return next(here.root.glob(".hsm/*/state.db")).parent


def test_comments_order_of_keys_and_touched_files_wake_nobody(prod: Workspace) -> None:
    prod.edit("hsm.yaml", "    selection: pg\n", "")
    prod.edit("hsm.yaml", "    strategy: 1-of-N\n", "    selection: pg  # the default\n    strategy: 1-of-N\n")
    for path in prod.stack.iterdir():
        os.utime(path, (1, 1))
    for path in state(prod).rglob("*"):
        os.utime(path)
    assert prod.ran("sync") == set()


@pytest.mark.parametrize("name", ["hsm.yaml", "docker-compose.yml", "docker-compose.hsm.yml", "hsm.lock"])
def test_other_content_of_the_same_size_and_time_is_seen(prod: Workspace, name: str) -> None:
    """After a sync that left a snapshot, too."""
    time.sleep(0.05)
    prod.run("sync")
    old, new, steps = {
        "hsm.yaml": ("64M", "32M", {"render:api"} | TAIL),
        "docker-compose.yml": ('["true"]', '["TRUE"]', {"check"}),
        "docker-compose.hsm.yml": ("64M", "32M", {"check"}),
        "hsm.lock": ("tag: 1.1.0", "tag: 1.1.1", {"resolve:api", "lock", "render:api"} | TAIL),
    }[name]
    file = prod.stack / name
    before = file.stat()
    prod.edit(name, old, new)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (file.stat().st_mtime_ns, file.stat().st_size) == (before.st_mtime_ns, before.st_size)
    assert prod.ran("sync") == steps
    assert prod.ran("sync") == set()


def test_what_a_killed_run_left_of_a_service_that_is_gone_goes(prod: Workspace) -> None:
    left = [state(prod) / name for name in ("fragments/gone.yml", "pins/gone.json", "pins/.api.json.x1.tmp")]
    for path in left:
        path.write_text("{}\n")
    assert prod.ran("sync") == set()
    assert not any(path.exists() for path in left)


def test_a_key_of_dev_while_the_service_is_dev(dev: Workspace) -> None:
    dev.edit("hsm.yaml", 'DEBUG: "1"', 'DEBUG: "2"')
    assert dev.ran("sync") == {"render:api"} | TAIL


def test_a_key_of_dev_while_the_service_is_prod(prod: Workspace) -> None:
    prod.edit("hsm.yaml", 'DEBUG: "1"', 'DEBUG: "2"')
    assert prod.ran("sync") == set()


def test_a_key_of_prod_while_the_service_is_dev(dev: Workspace) -> None:
    dev.edit("hsm.yaml", "memory: 64M", "memory: 32M")
    assert dev.ran("sync") == set()


def test_a_key_of_prod_while_the_service_is_prod(prod: Workspace) -> None:
    prod.edit("hsm.yaml", "memory: 64M", "memory: 32M")
    assert prod.ran("sync") == {"render:api"} | TAIL


def test_a_key_in_hsm_local_yaml_counts_as_one_in_hsm_yaml(dev: Workspace) -> None:
    dev.write("hsm.local.yaml", 'services: {api: {mode: dev, dev: {environment: {DEBUG: "3"}}}}\n')
    assert dev.ran("sync") == {"render:api"} | TAIL
    dev.write("hsm.local.yaml", 'services: {api: {mode: dev, dev: {environment: {DEBUG: "1"}}}}\n')
    assert dev.ran("sync") == {"render:api"} | TAIL


def test_a_mode_needs_only_what_the_other_mode_lacks(prod: Workspace) -> None:
    assert prod.ran("dev:api") == {"clone:api", "lock", "render:api"} | TAIL
    assert prod.ran("prod:api") <= {"resolve:api", "lock", "render:api"} | TAIL
    assert prod.ran("dev:api") == {"render:api"} | TAIL


def test_the_image_or_its_version(prod: Workspace) -> None:
    prod.edit("hsm.yaml", "^1.0", "~1.0")
    assert prod.ran("sync") == {"resolve:api", "lock", "render:api"} | TAIL


def test_another_image_of_an_option_wakes_who_waits_for_it_only_where_its_healthcheck_goes(
    prod: Workspace, servers: Servers
) -> None:
    servers.push("silent", "1")
    prod.edit("docker-compose.yml", "image: @REG@/pg:16", "image: @REG@/my:8")
    assert prod.ran("sync") == {"resolve:pg", "lock", "render:pg"} | TAIL
    prod.edit("docker-compose.yml", "  pg:\n    image: @REG@/my:8", "  pg:\n    image: @REG@/silent:1")
    assert prod.ran("sync") == {"resolve:pg", "lock", "render:pg", "render:api"} | TAIL
    assert prod.services["api"]["depends_on"]["pg"]["condition"] == "service_started"


def test_a_variable_in_the_reference_of_an_image(prod: Workspace) -> None:
    prod.edit("hsm.yaml", '"@REG@/web:1.0"', '"@REG@/${WEB:-web:1.0}"')
    prod.run("sync")
    assert prod.ran("sync", WEB="api:1.0.0") == {"resolve:web", "lock", "render:web"} | TAIL
    assert "/api:1.0.0@" in prod.services["web"]["image"]


def test_a_variable_in_env_or_in_the_environment_and_its_default(prod: Workspace) -> None:
    prod.edit("hsm.yaml", '"@REG@/web:1.0"', '"@REG@/${WEB:-web:1.0}"')
    prod.run("sync")
    prod.write(".env", "WEB=web:1.0\n")
    assert prod.ran("sync") == set(), "it comes to the same"
    prod.write(".env", "WEB=api:1.0.0\nOTHER=1\n")
    assert prod.ran("sync") == {"resolve:web", "lock", "render:web"} | TAIL
    prod.write(".env", "WEB=api:1.0.0\nOTHER=2\n")
    assert prod.ran("sync") == set(), "nobody asks for it"
    assert prod.ran("sync", WEB="metrics") == {"resolve:web", "render:web"} | TAIL, "that image has an entry already"
    (prod.stack / ".env").unlink()
    assert prod.ran("sync", WEB="metrics") == set()


def test_a_version_that_comes_to_the_same_image_wakes_nobody_behind_the_lock(prod: Workspace) -> None:
    prod.edit("hsm.yaml", "^1.0", ">=1.0,<2")
    assert prod.ran("sync") <= {"resolve:api", "lock"}


def test_the_ref_of_a_repository(dev: Workspace, servers: Servers) -> None:
    from tests.support.gitserver import git

    git(servers.source("api"), "branch", "--force", "other")
    dev.edit("hsm.yaml", "ref: main", "ref: other, name: other")
    assert dev.ran("sync") == {"clone:other", "lock", "render:api"} | TAIL


def test_the_url_of_a_repository(dev: Workspace, servers: Servers) -> None:
    name = f"second{len(list(servers.git.root.iterdir()))}"
    servers.repository(name, SOURCES)
    dev.edit("hsm.yaml", "@GIT@/api.git", f"@GIT@/{name}.git")
    assert dev.ran("sync") == {f"clone:{name}", "lock", "render:api"} | TAIL
    dev.edit("hsm.yaml", f"@GIT@/{name}.git", "@GIT@/api.git")
    assert dev.ran("sync") == {"clone:api", "render:api"} | TAIL, "nobody had named it"


def test_the_selection_of_an_m_of_n_group(prod: Workspace) -> None:
    assert prod.ran("use:tracing") - {"resolve:tracing", "lock"} == {"render:tracing"} | TAIL
    assert prod.ran("unuse:tracing") == {"render:tracing"} | TAIL
    assert prod.ran("use:debug") == {"render:toolbox"} | TAIL


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


def test_a_file_that_the_base_extends(make: Make) -> None:
    here = make()
    here.write("more.yml", "services: {late: {image: '@REG@/metrics', working_dir: /a}}\n")
    here.edit("docker-compose.yml", "  metrics:\n    image: @REG@/metrics\n",
              "  metrics: {extends: {file: more.yml, service: late}}\n")  # fmt: skip
    here.run("sync")
    here.write("more.yml", "services: {late: {image: '@REG@/metrics', working_dir: /b}}\n")
    assert here.ran("sync") == {"check"}
    here.write("more.yml", "services: {late: {image: '@REG@/metrics', working_dir: /b}, unasked: {image: x}}\n")
    assert here.ran("sync") == set(), "compose reads the same"
    here.write("more.yml", "services: {late: {image: '@REG@/api:1.0.0', working_dir: /b}}\n")
    assert here.ran("sync") == {"resolve:metrics", "lock", "render:metrics"} | TAIL


def test_a_service_of_the_base_that_comes_and_goes(prod: Workspace) -> None:
    before = prod.read("docker-compose.yml")
    prod.edit("docker-compose.yml", "  toolbox:", "  late: {image: '@REG@/web:0.9'}\n  toolbox:")
    assert prod.ran("sync") == {"resolve:late", "render:late"} | TAIL
    prod.write("docker-compose.yml", before)
    assert prod.ran("sync") == TAIL


def test_which_files_are_the_base(prod: Workspace) -> None:
    prod.write("docker-compose.override.yml", "services: {job: {command: [echo]}}\n")
    assert prod.ran("sync") == {"check"}
    prod.write("hsm.yaml", f"compose: docker-compose.yml\n{prod.read('hsm.yaml')}")
    assert prod.ran("sync") == set(), "one file, and the override that compose takes with it"
    prod.edit("hsm.yaml", "compose: docker-compose.yml", "compose: [docker-compose.yml]")
    assert prod.ran("sync") == {"check"}, "these files and no other"


def test_a_file_that_hsm_yaml_includes(make: Make) -> None:
    here = make()
    here.write("../common.yaml", "services: {web: {prod: {environment: {A: '1'}}}}\n")
    here.write("hsm.yaml", f"include: [../common.yaml]\n{here.read('hsm.yaml')}")
    assert here.ran("sync") >= {"render:web"} | TAIL
    here.write("../common.yaml", "services: {web: {prod: {environment: {A: '2'}}}} # other\n")
    assert here.ran("sync") == {"render:web"} | TAIL
    here.write("../common.yaml", "services: {web: {prod: {environment: {A: '2'}}}}\n")
    assert here.ran("sync") == set()


def test_an_entry_of_the_lock_that_is_edited_and_the_lock_gone(prod: Workspace, servers: Servers) -> None:
    before, lock = prod.override, prod.lock
    entries = prod.entries["images"]
    old = entries[f"{servers.registry.host}/api ^1.0"]["digest"]
    prod.edit("hsm.lock", old, entries[f"{servers.registry.host}/web:1.0"]["digest"])
    assert prod.ran("sync") == {"resolve:api", "lock", "render:api"} | TAIL
    (prod.stack / "hsm.lock").write_text(lock)
    assert prod.ran("sync") == {"resolve:api", "lock", "render:api"} | TAIL
    (prod.stack / "hsm.lock").unlink()
    ran = prod.ran("sync")
    assert "lock" in ran and not {step for step in ran if step.startswith("render")} | TAIL & ran
    assert (prod.override, prod.lock) == (before, lock)


def test_the_settings_wake_those_who_use_what_changed(dev: Workspace) -> None:
    def settings(text: str) -> None:
        (dev.root / "pyproject.toml").write_text(f"[tool.hsm]\n{text}\n")

    settings("")
    assert dev.ran("sync") == set()
    settings("jobs = 3")
    assert dev.ran("sync") == set()
    settings('mirrors = {"registry.example" = "http://127.0.0.1:1"}')
    assert dev.ran("sync") == set(), "where a registry is asked changes no answer"
    settings('repos_dir = "checkouts"')
    assert dev.ran("sync") == {"clone:api", "render:api"} | TAIL


def test_another_version_of_hsm_renders_and_merges_anew(prod: Workspace) -> None:
    folder = prod.root.parent / "newer"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text("import hsm_tasks\nhsm_tasks.__version__ = '99.0'\n")
    path = os.pathsep.join([str(folder), prod.environment()["PYTHONPATH"]])
    renders = {f"render:{name}" for name in ("api", "job", "metrics", "my", "pg", "toolbox", "tracing", "web")}
    assert prod.ran("sync", PYTHONPATH=path) == renders | {"merge"}
    assert prod.ran("sync", PYTHONPATH=path) == set()


def test_another_compose_judges_anew(prod: Workspace) -> None:
    given = Path(prod.environment()["DOCKER_CONFIG"])
    folders = (given, Path("/usr/local/lib/docker"), Path("/usr/lib/docker"), Path("/usr/libexec/docker"))
    real = next(path for folder in folders if (path := folder / "cli-plugins/docker-compose").exists())
    plugin = prod.root.parent / "docker/cli-plugins/docker-compose"
    plugin.parent.mkdir(parents=True)
    (plugin.parents[1] / "config.json").write_text("{}")
    plugin.write_text(f'#!/bin/sh\nexec "{real}" "$@"\n')
    plugin.chmod(0o755)
    own = str(plugin.parents[1])
    assert prod.ran("sync", DOCKER_CONFIG=own) == {"check"}
    assert prod.ran("sync", DOCKER_CONFIG=own) == set()
    plugin.write_text(f'#!/bin/sh\n# newer\nexec "{real}" "$@"\n')
    assert prod.ran("sync", DOCKER_CONFIG=own) == {"check"}


def test_the_name_of_the_project(prod: Workspace) -> None:
    prod.edit("hsm.yaml", f"name: {prod.project}", f"name: {prod.project}b")
    assert prod.ran("sync") == TAIL


@pytest.mark.parametrize(
    ("path", "step"),
    [("fragments/api.yml", "render:api"), ("pins/api.json", "resolve:api"), ("override.yml", "merge")],
)
def test_an_intermediate_file_that_is_gone_or_edited_is_made_again(prod: Workspace, path: str, step: str) -> None:
    file = state(prod) / path
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
