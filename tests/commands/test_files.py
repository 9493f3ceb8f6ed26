"""The files of a workspace: what git never sees, what the settings change, what is refused."""

from __future__ import annotations

import json

import pytest

from tests.commands.bench import DODO, Servers
from tests.commands.conftest import Make

DEV = "services: {api: {mode: dev}}\n"


def test_git_never_sees_what_is_generated(make: Make) -> None:
    here = make()
    here.under_git()
    here.run("dev:api")
    here.git("add", "stacks/shop/hsm.lock")
    assert here.git("status", "--porcelain", "--untracked-files=all") == "A  stacks/shop/hsm.lock"
    assert not list(here.root.rglob(".gitignore")) or not here.git("ls-files", "*.gitignore")
    assert "docker-compose.hsm.yml" in (here.root / ".git/info/exclude").read_text()


def test_what_a_gitignore_covers_is_not_excluded_again(make: Make) -> None:
    here = make()
    ignored = "docker-compose.hsm.yml\nhsm.local.yaml\n/repos\n/.hsm\n__pycache__/\n"
    (here.root / ".gitignore").write_text(ignored)
    here.under_git()
    before = (here.root / ".git/info/exclude").read_text()
    here.run("dev:api")
    assert (here.root / ".git/info/exclude").read_text() == before
    assert (here.root / ".gitignore").read_text() == ignored


def test_a_workspace_inside_a_bigger_repository_is_covered_too(make: Make) -> None:
    here = make()
    top = here.root.parent
    from tests.support.gitserver import commit, git

    git(top, "init", "--quiet")
    commit(top, {}, "all")
    here.run("sync")
    seen = git(top, "status", "--porcelain", "--untracked-files=all", "--", here.root.name).splitlines()
    assert seen == [f"?? {here.root.name}/stacks/shop/hsm.lock"]


def test_a_base_file_in_a_checkout_is_refused_with_a_hint(make: Make) -> None:
    here = make()
    inside = here.root / "repos/api/docker-compose.yml"
    inside.parent.mkdir(parents=True)
    inside.write_text((here.stack / "docker-compose.yml").read_text())
    here.write("hsm.yaml", f"compose: ../../repos/api/docker-compose.yml\n{here.read('hsm.yaml')}")
    done = here.run("sync", code=3)
    assert "stacks/shop/hsm.yaml:1:" in done.err
    assert "checkout" in done.err
    assert "hint:" in done.err


def test_the_override_is_never_part_of_the_base(make: Make) -> None:
    here = make()
    here.run("sync")
    override = here.override
    files = "docker-compose.yml:docker-compose.hsm.yml"
    assert set(here.steps("sync", COMPOSE_FILE=files).values()) == {"fresh"}
    assert here.override == override


def test_the_own_override_file_of_a_person_belongs_to_the_base(make: Make) -> None:
    here = make()
    here.write("docker-compose.override.yml", 'services: {web: {image: "@REG@/web:0.9", profiles: [late]}}\n')
    said = here.run("sync").err
    line = next(line for line in said.splitlines() if "docker compose -f" in line)
    files = [word.rpartition("/")[2] for word in line.split() if word.endswith(".yml")]
    assert files == ["docker-compose.yml", "docker-compose.override.yml", "docker-compose.hsm.yml"]


def test_a_workspace_may_be_one_stack_with_paths_of_its_own(make: Make) -> None:
    here = make("hsm", {"hsm.local.yaml": DEV})
    here.run("sync")
    assert here.services["api"]["build"]["context"] == "./repos/api"
    assert (here.root / "repos/api/.git").is_dir()


def test_commands_work_from_a_folder_below(make: Make) -> None:
    here = make()
    below = here.stack / "deep"
    below.mkdir()
    here.door = "hsm"
    here.run("sync", at=below)
    assert (here.stack / "docker-compose.hsm.yml").exists()
    assert not (below / ".hsm").exists()


def test_a_mirror_is_asked_and_the_references_keep_their_name(make: Make, servers: Servers) -> None:
    here = make()
    settings = f'[tool.hsm.mirrors]\n"registry.example" = "{servers.registry.url}"\n'
    (here.root / "pyproject.toml").write_text(settings)
    here.edit("hsm.yaml", "@REG@/api", "registry.example/api")
    here.run("sync")
    image = here.services["api"]["image"]
    assert image.startswith("registry.example/api:1.1.0@sha256:")
    assert "registry.example/api ^1.0" in here.entries["images"]


def test_an_insecure_registry_is_asked_over_http(make: Make, servers: Servers) -> None:
    # localhost is loopback and needs no setting, so the machine's own name on the loopback is asked by its address
    here = make()
    port = servers.registry.host.rpartition(":")[2]
    (here.root / "pyproject.toml").write_text(f'[tool.hsm]\ninsecure_registries = ["127.0.0.2:{port}"]\n')
    here.edit("hsm.yaml", "@REG@/web:1.0", f"127.0.0.2:{port}/web:1.0")
    done = here.run("sync", code=1)  # the registry listens on 127.0.0.1 only: the words tell how it was asked
    assert "https://" not in done.err


def test_checkouts_and_stacks_lie_where_the_settings_say(make: Make) -> None:
    here = make(files={"hsm.local.yaml": DEV})
    (here.root / "pyproject.toml").write_text('[tool.hsm]\nrepos_dir = "src/all"\nstacks_dir = "some"\n')
    (here.root / "stacks").rename(here.root / "some")
    here.stack = here.root / "some/shop"
    here.run("sync")
    assert (here.root / "src/all/api/.git").is_dir()
    assert here.services["api"]["build"]["context"] == "../../src/all/api"


def test_mistakes_in_the_settings_have_places_and_nothing_is_written(make: Make) -> None:
    here = make()
    (here.root / "pyproject.toml").write_text('[tool.hsm]\njobs = 0\nstak = "shop"\n')
    before = here.files()
    done = here.run("sync", code=3)
    assert "pyproject.toml:2:1: tool.hsm.jobs: " in done.err
    assert "pyproject.toml:3:1: tool.hsm.stak: unknown key" in done.err
    assert here.files() == before


def test_a_service_that_leaves_takes_its_fragment_along(make: Make) -> None:
    here = make()
    here.edit("hsm.yaml", "  web:\n", "  extra:\n    prod: {image: '@REG@/metrics'}\n  web:\n")
    here.run("sync")
    assert (here.root / ".hsm/shop/fragments/extra.yml").exists()
    here.edit("hsm.yaml", "  extra:\n    prod: {image: '@REG@/metrics'}\n", "")
    assert here.ran("sync") >= {"merge", "check"}
    assert not (here.root / ".hsm/shop/fragments/extra.yml").exists()
    assert "extra" not in here.services


def test_clean_removes_generated_files_only(make: Make) -> None:
    here = make()
    here.run("dev:api")
    before = here.files()
    would = here.run("clean", "--dry-run").out
    assert here.changed(before) == set()
    said = here.run("clean").out
    assert "removed stacks/shop/docker-compose.hsm.yml\n" in said
    assert would == said.replace("removed", "would remove")
    assert {line.partition(" ")[2] for line in said.splitlines()} == set(before) - set(here.files())
    assert here.run("clean").out == "", "nothing is left to remove"
    left = set(here.files())
    assert "stacks/shop/docker-compose.hsm.yml" not in left
    assert {"stacks/shop/hsm.lock", "stacks/shop/hsm.local.yaml", "stacks/shop/hsm.yaml"} <= left
    assert (here.checkout / "www/index.html").exists()
    lock = here.lock
    here.run("sync")
    assert here.lock == lock
    assert (here.stack / "docker-compose.hsm.yml").exists()


def test_forget_makes_the_step_run_again(make: Make) -> None:
    here = make()
    here.run("sync")
    here.run("forget", "render:api")
    assert here.ran("sync") == {"render:api"}


@pytest.mark.parametrize("words", [(), ("sync",), ("build",), ("up",), ("-a",)], ids=" ".join)
def test_forget_of_all_or_of_a_word_makes_its_steps_run_again(make: Make, words: tuple[str, ...]) -> None:
    here = make()
    whole = here.ran("sync")
    assert here.ran("sync") == set()
    said = here.run("forget", *words).out
    assert ("forgetting all tasks" in said) == (words in ((), ("-a",)))
    assert here.ran("sync") == whole


def test_forget_is_about_all_where_a_plain_run_is_about_less(make: Make) -> None:
    here = make()
    (here.root / "dodo.py").write_text(f'{DODO}\n\nDOIT_CONFIG = {{"default_tasks": ["render:api"]}}\n')
    whole = here.ran("sync")
    here.run("forget", "render:web", "build")
    assert here.ran("sync") == whole
    here.run("forget")
    assert here.ran("sync") == whole
    here.run("forget", "--disable-default")
    assert here.ran("sync") == set()


def test_json_of_a_run_log_has_the_documented_keys(make: Make) -> None:
    here = make()
    here.run("sync")
    here.edit("hsm.yaml", "  api:\n", "  api:\n    mode: dev\n")
    lines = {line["step"]: line for line in here.lines("sync")}
    assert set(lines["render:api"]) == {"step", "result", "reason", "seconds"}
    assert "mode" in lines["render:api"]["reason"]
    assert lines["render:web"]["result"] == "fresh"
    assert json.dumps(lines["render:api"]["seconds"])
