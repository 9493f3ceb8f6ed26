"""`doctor`: what it sees, what it says to do about it, and what it ends with."""

from __future__ import annotations

import base64
import json
import os
from typing import Any

import pytest

from tests.commands.bench import DOORS, Door, Workspace
from tests.commands.conftest import Make
from tests.support.gitserver import make_repository
from tests.support.registry import PASSWORD, USER, RegistryServer

GONE = "127.0.0.1:1"


def checks(here: Workspace, *words: str) -> dict[str, list[dict[str, Any]]]:
    """What doctor found: about → checks. Without an engine it ends with 1."""
    found: dict[str, list[dict[str, Any]]] = {}
    for check in here.run("doctor", "--json", *words, code=1).json()["checks"]:
        found.setdefault(check["about"], []).append(check)
    return found


def states(here: Workspace, about: str) -> list[str]:
    return [check["state"] for check in checks(here)[about]]


@pytest.mark.parametrize("door", DOORS)
def test_a_healthy_machine_ends_with_0(door: Door, live: Make) -> None:
    here = live(door)
    done = here.run("doctor")
    assert done.err == ""
    assert done.out.splitlines()[-1] in ("all is well", "1 to look at")
    gathered = here.run("doctor", "--json").json()
    assert (gathered["version"], gathered["ok"]) == (1, True)
    assert {"git", "compose", "engine", "stack", "registry", "disk", "leftovers"} <= {
        check["about"] for check in gathered["checks"]
    }
    assert not (here.root / ".hsm").exists()


def test_an_engine_that_does_not_answer_is_required(make: Make) -> None:
    here = make("doit")
    done = here.run("doctor", code=1)
    assert "failed  engine      the docker engine does not answer\n                    hint: start docker" in done.out
    assert "ok      git " in done.out and done.out.endswith(("1 failed\n", "1 failed, 1 to look at\n"))


def test_it_answers_without_a_choice_of_stack_and_about_all_of_them(make: Make) -> None:
    here = make("doit")
    here.write("../two/hsm.yaml", "services: {api: {mode: develop}}\n")
    here.write("../two/docker-compose.yml", "services: {api: {image: x}}\n")
    found = checks(here)
    assert [check["state"] for check in found["stack"]] == ["ok", "failed"]
    assert found["stack"][1]["message"].startswith('stacks/two/hsm.yaml:1:24: services.api.mode: "develop" is not')
    assert found["stack"][1]["hint"] == 'did you mean "dev"?'
    assert [check["state"] for check in checks(here, "stack=shop")["stack"]] == ["ok"]
    assert checks(here, "stack=none")["stacks"][0]["hint"] == "there are: shop, two"


def test_it_answers_where_the_settings_are_wrong_or_there_is_no_stack(make: Make) -> None:
    here = make("doit")
    (here.root / "pyproject.toml").write_text("[tool.hsm]\njob = 1\n")
    assert "unknown key" in checks(here)["settings"][0]["message"]
    (here.root / "pyproject.toml").write_text('[tool.hsm]\nstacks_dir = "none"\n')
    assert checks(here)["stacks"][0]["hint"] == "`hsm init` makes one of compose files"


def test_a_server_that_is_gone_stops_only_what_is_not_pinned_or_cloned_yet(make: Make) -> None:
    here = make("doit")
    here.edit("hsm.yaml", "    dev:\n", "    mode: dev\n    dev:\n")
    here.run("sync")
    here.write("hsm.lock", moved(here, "hsm.lock"))
    here.write("docker-compose.yml", moved(here, "docker-compose.yml"))
    here.write("hsm.yaml", moved(here, "hsm.yaml"))
    assert (states(here, "registry"), states(here, "repository")) == (["warning"], ["warning"])
    new = make("doit", {path: here.read(path) for path in ("hsm.yaml", "docker-compose.yml")})
    assert (states(new, "registry"), states(new, "repository")) == (["failed"], ["failed"])


@pytest.mark.parametrize("url", ["upstream/api.git", "./upstream/api.git"])
def test_a_relative_url_is_where_a_sync_finds_it(make: Make, url: str) -> None:
    here = make("doit")
    make_repository(here.stack / "upstream/api.git", {"www/index.html": ""})
    here.edit("hsm.yaml", '"@GIT@/api.git", ref: main}\n    dev:\n', f'"{url}", ref: main}}\n    mode: dev\n    dev:\n')
    assert states(here, "repository") == ["ok"]
    here.run("sync")


def moved(here: Workspace, path: str) -> str:
    """The file, with servers that are not there."""
    text = here.read(path).replace(here.servers.git.url("").rstrip("/"), f"http://{GONE}")
    return text.replace(here.servers.registry.host, GONE)


def test_helpers_that_dockers_config_names_must_be_there(make: Make) -> None:
    here = make("doit")
    config = here.write("../../docker/config.json", '{"credsStore": "nowhere", "credHelpers": {"r.example": "no"}}')
    here.variables["DOCKER_CONFIG"] = str(config.parent)
    found = checks(here)["logins"]
    assert [(check["state"], check["message"]) for check in found] == [
        ("warning", "docker-credential-no is not there (r.example)"),
        ("warning", "docker-credential-nowhere is not there (all registries)"),
    ]


def test_files_of_this_machine_that_git_sees_or_has_are_named(make: Make) -> None:
    here = make("doit")
    here.write("hsm.local.yaml", "mode: prod\n")
    here.under_git()
    found = checks(here)["git rules"]
    assert found[0]["hint"] == "git rm -r --cached stacks/shop/hsm.local.yaml, and commit"
    assert found[1]["message"] == "no rule of git covers stacks/shop/docker-compose.hsm.yml, repos/"
    here.git("rm", "-q", "--cached", "stacks/shop/hsm.local.yaml")
    here.run("sync")
    assert checks(here)["git rules"][0]["message"] == "git does not see what is local to this machine"


def test_what_is_left_of_stacks_and_clones_that_are_gone_is_named(make: Make) -> None:
    here = make("doit")
    for path in (".hsm/old", "repos/.api.999999999-abc.tmp", "repos/old/.git", "repos/.api.1-abc.tmp"):
        (here.root / path).mkdir(parents=True)
    found = {check["message"]: check["hint"] for check in checks(here)["leftovers"]}
    assert found.pop("repos/old is a checkout that no stack names").startswith("hsm never removes a checkout")
    assert found == {
        ".hsm/old is the state of a stack that is gone": "rm -r .hsm/old",
        "repos/.api.999999999-abc.tmp is of a clone that was killed": "rm -r repos/.api.999999999-abc.tmp",
    }


def test_containers_of_a_stack_that_is_gone_are_named(live: Make) -> None:
    here = live("doit")
    here.run("up:web")
    assert "leftovers" not in {c["about"] for c in here.run("doctor", "--json").json()["checks"] if c["state"] != "ok"}
    here.stack.rename(here.root / "stacks/other")
    (here.root / "stacks/other/hsm.yaml").write_text("name: renamed\n" + "services: {}\n")
    found = [check for check in here.run("doctor", "--json").json()["checks"] if here.project in check["message"]]
    assert found[0]["hint"] == f"docker compose -p {here.project} down (volumes stay)"


def test_networks_and_volumes_of_a_stack_that_is_gone_are_named(live: Make) -> None:
    here = live("doit")
    here.run("up:web")
    here.run("down")
    here.engine("network", "create", "--label", f"com.docker.compose.project={here.project}", f"{here.project}_old")
    kept = {"leftovers": [c for c in here.run("doctor", "--json").json()["checks"] if c["about"] == "leftovers"]}
    assert [check["message"] for check in kept["leftovers"]] == ["none"]
    here.stack.rename(here.root / "elsewhere")
    hints = {c["hint"] for c in here.run("doctor", "--json").json()["checks"] if c["about"] == "leftovers"}
    assert f"docker network rm {here.project}_old" in hints
    assert f"docker volume rm {here.project}_pg-data, if nobody needs their data" in hints
    assert "rm -r .hsm/shop" in hints


def test_the_engine_of_this_machine_can_mount_everything(live: Make) -> None:
    found = {check["about"]: check for check in live("doit").run("doctor", "--json").json()["checks"]}
    assert (found["sharing"]["state"], found["sharing"]["hint"]) == ("ok", "")


def test_an_engine_elsewhere_does_not_see_these_folders(make: Make) -> None:
    assert states(make("doit"), "sharing") == ["warning"]


@pytest.mark.parametrize(
    ("program", "says", "about", "said"),
    [
        ("git", "git version 2.20.1", "git", "git is 2.20.1; hsm needs"),
        ("docker", "2.20.3", "compose", "docker compose is 2.20.3; hsm needs 2.29.7 or newer"),
    ],
)
def test_a_program_that_is_too_old_stops_work(program: str, says: str, about: str, said: str, make: Make) -> None:
    here = make("doit")
    folder = here.root.parent / "old"
    folder.mkdir()
    (folder / program).write_text(f'#!/bin/sh\necho "{says}"\n')
    (folder / program).chmod(0o755)
    here.variables["PATH"] = os.pathsep.join([str(folder), here.environment()["PATH"]])
    found = checks(here)[about][0]
    assert found["state"] == "failed"
    assert found["message"].startswith(said) and found["hint"]


def test_a_registry_that_wants_a_login_is_named_with_the_way_to_log_in(make: Make) -> None:
    with RegistryServer(auth=True) as registry:
        registry.push("acme/api", "1", config={})
        base = f"services: {{a: {{image: {registry.host}/acme/api:1}}}}\n"
        here = make("doit", {"hsm.yaml": "services: {}\n", "docker-compose.yml": base})
        refused = checks(here)["registry"][0]
        assert (refused["state"], "docker login" in refused["hint"]) == ("failed", True)
        login = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        config = here.write("../../docker/config.json", json.dumps({"auths": {registry.host: {"auth": login}}}))
        here.variables["DOCKER_CONFIG"] = str(config.parent)
        assert checks(here)["registry"][0]["state"] == "ok"


@pytest.mark.parametrize("words", [("--jsn",), ("all",)])
def test_a_wrong_word_is_refused(words: tuple[str, ...], make: Make) -> None:
    assert f'doctor does not know "{words[0]}"' in make("doit").run("doctor", *words, code=3).err
