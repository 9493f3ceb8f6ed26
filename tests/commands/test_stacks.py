"""Several stacks in a workspace: which one is meant, what they share, and where they must not clash."""

from __future__ import annotations

from pathlib import Path

import pytest

from hsm_tasks.stack.workspace import TAKEN
from tests.commands.bench import Workspace
from tests.commands.conftest import Make

SMALL = "services: {page: {prod: {image: '@REG@/web:1.0'}}}\n"
SMALL_BASE = "services: {page: {image: '@REG@/web:0.9'}}\n"
DEV = """\
services:
  page: {mode: dev, repo: {url: "@GIT@/api.git", ref: main}}
"""


def add_stack(here: Workspace, name: str, text: str, base: str = SMALL_BASE) -> Path:
    """One stack more, beside the first."""
    here.write(f"../{name}/docker-compose.yml", base)
    return here.write(f"../{name}/hsm.yaml", f"name: {here.project}-{name}\n{text}").parent


def test_the_only_stack_needs_no_choice_and_several_do(make: Make) -> None:
    here = make()
    here.run("sync")
    other = add_stack(here, "other", SMALL)
    done = here.run("sync", code=3)
    assert "other" in done.err
    assert "shop" in done.err
    assert "stack=" in done.err
    assert not (other / "hsm.lock").exists()


def test_a_stack_that_is_not_there_is_told_with_who_asked_for_it(make: Make) -> None:
    here = make()
    settings = here.root / "pyproject.toml"
    settings.write_text('tool.hsm.stack = "gone"\n')
    said = here.run("sync", code=3).err
    assert said.startswith('pyproject.toml:1:1: tool.hsm.stack: there is no stack "gone"\n')
    assert here.run("stacks").out, "this answers without a choice"
    assert "HSM_STACK" in here.run("sync", code=3, HSM_STACK="lost").err
    assert '"lost"' in here.run("sync", "stack=lost", code=3).err


def test_the_line_wins_over_the_environment_and_that_over_the_settings(make: Make) -> None:
    here = make()
    other = add_stack(here, "other", SMALL)
    third = add_stack(here, "third", SMALL)
    (here.root / "pyproject.toml").write_text('[tool.hsm]\nstack = "other"\n')
    here.run("sync")
    assert (other / "hsm.lock").exists()
    here.run("sync", HSM_STACK="third")
    assert (third / "hsm.lock").exists()
    assert not (here.stack / "hsm.lock").exists()
    here.run("sync", "stack=shop", HSM_STACK="third")
    assert (here.stack / "hsm.lock").exists()


def test_a_stack_that_is_not_there_is_refused_with_those_that_are(make: Make) -> None:
    here = make()
    add_stack(here, "other", SMALL)
    for done in (here.run("sync", "stack=nope", code=3), here.run("sync", code=3, HSM_STACK="nope")):
        assert 'no stack "nope"' in done.err
        assert "other, shop" in done.err


def test_stacks_lists_them_and_needs_no_choice(make: Make) -> None:
    here = make()
    add_stack(here, "other", SMALL)
    assert [line.split()[0] for line in here.run("stacks").out.splitlines()] == ["other", "shop"]
    found = here.run("stacks", "--json", HSM_STACK="shop").json()
    assert found["version"] == 1
    assert [(row["name"], row["chosen"]) for row in found["stacks"]] == [("other", False), ("shop", True)]


@pytest.mark.parametrize("words", [["list"], ["help"], ["help", "sync"], ["stacks"]])
def test_what_needs_no_stack_answers_without_a_choice(make: Make, words: list[str]) -> None:
    here = make()
    add_stack(here, "other", SMALL)
    assert here.run(*words).out


def test_stacks_share_a_checkout_of_one_repository(make: Make) -> None:
    here = make(files={"hsm.local.yaml": "services: {api: {mode: dev}}\n"})
    add_stack(here, "other", DEV)
    here.run("sync", "stack=shop")
    here.run("sync", "stack=other")
    assert [path.name for path in (here.root / "repos").iterdir()] == ["api"]


def test_one_checkout_for_two_repositories_is_a_mistake_anywhere_in_the_workspace(make: Make) -> None:
    here = make()
    add_stack(here, "other", DEV.replace("ref: main", "ref: next"))
    for stack, service in (("shop", "api"), ("other", "page")):
        done = here.run("sync", f"stack={stack}", code=3)
        assert f"stacks/{stack}/hsm.yaml:" in done.err
        assert f"services.{service}.repo" in done.err
        assert "repo.name" in done.err
    assert not (here.root / "repos").exists()


def test_one_project_for_two_stacks_is_a_mistake(make: Make) -> None:
    here = make()
    other = add_stack(here, "other", SMALL)
    (other / "hsm.yaml").write_text(here.read("hsm.yaml"))
    for name, rival in (("shop", "other"), ("other", "shop")):
        said = here.run("sync", f"stack={name}", code=3).err
        assert f'stacks/{name}/hsm.yaml:1:7: name: "{here.project}" is also the project of stack "{rival}"' in said


def test_include_shares_definitions_and_mistakes_are_told_at_their_own_place(make: Make) -> None:
    here = make()
    common = here.write("../common.yaml", 'services:\n  page:\n    prod: {image: "@REG@/web:1.0"}\n')
    other = add_stack(here, "other", "include: [../common.yaml]\n")
    here.run("sync", "stack=other")
    assert "/web:1.0@sha256:" in (other / "docker-compose.hsm.yml").read_text()
    common.write_text(common.read_text() + "    mode: develop\n")
    done = here.run("sync", "stack=other", code=3)
    assert 'stacks/common.yaml:4:11: services.page.mode: "develop"' in done.err


def test_a_circle_of_includes_is_told(make: Make) -> None:
    here = make()
    here.write("../common.yaml", "include: [other/hsm.yaml]\n")
    add_stack(here, "other", "include: [../common.yaml]\n")
    done = here.run("sync", "stack=other", code=3)
    assert "circle" in done.err
    assert "Traceback" not in done.err


def test_the_relative_urls_of_an_included_file_are_relative_to_it(make: Make) -> None:
    here = make()
    here.write("../common.yaml", 'services: {page: {mode: dev, repo: {url: "./sources/page"}}}\n')
    add_stack(here, "other", "include: [../common.yaml]\n")
    from tests.support.gitserver import make_repository

    make_repository(here.root / "stacks/sources/page", {"Dockerfile": "FROM scratch\n"})
    here.run("sync", "stack=other")
    assert (here.root / "repos/page/Dockerfile").exists()


def test_a_broken_stack_does_not_break_the_others(make: Make) -> None:
    here = make()
    add_stack(here, "broken", "services: [nonsense\n")
    here.run("sync", "stack=shop")
    assert "broken" in here.run("stacks").out
    assert here.run("sync", "stack=broken", code=3).err.startswith("stacks/broken/hsm.yaml:")


@pytest.mark.parametrize("name", sorted(TAKEN))
def test_a_stack_can_not_have_the_name_of_a_file_of_hsms_own(make: Make, name: str) -> None:
    here = make()
    here.run("sync")
    add_stack(here, name, SMALL)
    assert here.run("sync", "stack=shop").code == 0
    assert name in here.run("stacks").out
    for words in (("sync",), ("plan",), ("status",)):
        assert here.run(*words, f"stack={name}", code=3).err == (
            f'"{name}" is not a name for a stack: .hsm/{name} is a file of hsm\'s own\n'
            f"  hint: rename the folder {name}\n"
        )


def test_no_file_of_hsms_own_is_missing_among_those_names(make: Make) -> None:
    here = make("hsm", {"docker-compose.yml": SMALL_BASE})
    (here.root / "hsm.yaml").unlink()
    here.run("init")
    here.run("sync")
    here.run("sync")
    there = {path.name for path in (here.root / ".hsm").iterdir() if path.is_file()}
    assert {"lock", "hsm.schema.json"} <= there <= TAKEN


def test_no_stack_at_all_is_told_with_where_they_are_looked_for(make: Make) -> None:
    here = make()
    (here.stack / "hsm.yaml").unlink()
    done = here.run("sync", code=3)
    assert "hsm.yaml" in done.err
    assert "Traceback" not in done.err
    assert here.run("stacks").code == 0
