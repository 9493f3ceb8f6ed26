"""What only asks: `list`, `info`, `help`, `status`, `stacks`. It locks nothing, imports little and changes nothing."""

from __future__ import annotations

import fcntl
import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from hsm_tasks.aside import completion
from hsm_tasks.look import graph
from hsm_tasks.screen import usage
from hsm_tasks.screen.words import COMMANDS as ALL
from hsm_tasks.screen.words import HANDED_OVER
from hsm_tasks.ship import shipping
from tests.commands.bench import DOORS, Door, Servers
from tests.commands.conftest import Make

COMMANDS = {"sync", "up", "down", "stop", "restart", "build", "dev", "prod", "use", "unuse", "update", "status", "logs",
            "sh", "stacks"}  # fmt: skip
HEAVY = {"git", "docker", "rich", "requests", "jsonschema", "ruamel"}


@pytest.mark.parametrize("door", DOORS)
def test_list_shows_each_command_in_one_line_and_every_step(make: Make, door: Door) -> None:
    here = make(door)
    out = here.run("list").out
    shown = {line.split()[0]: line.split(maxsplit=1)[1] for line in out.splitlines()}
    assert set(shown) >= COMMANDS
    assert {"lock", "merge", "check", "render:api", "resolve:web", "up:api"} <= set(shown)
    assert len(shown) == len(out.splitlines()), "one line each"
    assert not (here.root / ".hsm/shop/state.db").exists(), "to ask changes nothing"


def test_list_tells_the_state_of_each_step(make: Make) -> None:
    here = make()
    here.run("sync")
    state = {line.split()[1]: line.split()[0] for line in here.run("list", "--status").out.splitlines()}
    assert state["merge"] == "U"
    here.edit("hsm.yaml", "memory: 64M", "memory: 32M")
    state = {line.split()[1]: line.split()[0] for line in here.run("list", "--status").out.splitlines()}
    assert (state["render:api"], state["render:web"]) == ("R", "U")


@pytest.mark.parametrize("door", DOORS)
def test_list_imports_nothing_heavy(make: Make, door: Door) -> None:
    here = make(door)
    here.run("sync")
    python = str(Path(here.environment()["PATH"].split(os.pathsep)[0], "python"))
    program = ("-m", "doit") if door == "doit" else ("-c", "from hsm_tasks.cli import console; console()")
    command = (python, "-X", "importtime", *program, "list")
    done = subprocess.run(command, cwd=here.root, env=here.environment(), capture_output=True, text=True, check=True)
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert "hsm_tasks" in imported
    assert not imported & HEAVY


def test_help_names_every_command_and_tells_of_each(make: Make) -> None:
    here = make("hsm")
    usage = here.run("help").out
    assert {command for command in COMMANDS if re.search(rf"^{command}\b", usage, re.MULTILINE)} == COMMANDS
    assert here.run("--help").out == usage
    for typed in (["help", "use"], ["use:x", "--help"], ["use", "-h"]):
        page = here.run(*typed).out
        assert page.startswith("usage: hsm use:OPTION [OPTIONS]") and "hsm use:mysql up" in page


@pytest.mark.parametrize("head", ALL)
def test_what_the_page_of_a_word_shows_can_be_typed(head: str) -> None:
    page = usage.page(head)
    assert page.startswith(f"usage: hsm {head}")
    heads = {*ALL, "hsm"}
    lines = page.partition("examples:\n")[2].splitlines()
    assert lines
    for line in lines:
        typed = shlex.split(line.split("  ")[1])
        assert (typed[0] == "hsm" and typed[1].partition(":")[0] in heads) or "$(hsm completion" in typed[1]
    shown = {word for word, _ in completion.candidates([head, "-"], completion.Names())}
    assert {name.partition("=")[0].partition(" ")[0] for name in usage.options(head)} <= {
        name.partition("=")[0] for name in shown
    } or head in ("compose", "init", "schema", "explain", "completion")


def test_the_page_of_a_word_that_hands_over_shows_no_variable_behind_it() -> None:
    for head in HANDED_OVER:
        assert "stack=NAME" not in usage.page(head)


def test_the_options_of_a_page_are_those_that_the_word_takes() -> None:
    for option in usage.OPTIONS["graph"]:
        graph.asked([option.replace("FILE", "x.svg")])
    assert tuple(usage.OPTIONS["update"]) == shipping.LOOKS


def test_info_tells_what_a_step_depends_on(make: Make) -> None:
    here = make()
    here.run("sync")
    out = here.run("info", "render:api").out
    assert "render:api" in out
    assert "pins/api.json" in out


def test_asking_waits_for_nobody(make: Make) -> None:
    here = make()
    here.run("sync")
    locks = [path for path in (here.root / ".hsm").iterdir() if "lock" in path.name]
    assert locks, "a run leaves a lock file"
    with locks[0].open("r+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        for words in (["list"], ["info", "lock"], ["status"], ["stacks"]):
            here.run(*words)


def test_status_without_an_engine_says_so_and_tells_the_rest(make: Make) -> None:
    here = make(files={"hsm.local.yaml": "services: {api: {mode: dev}}\n"})
    here.run("sync")
    (here.checkout / "new").write_text("x\n")
    (here.checkout / "note").write_text("changed\n")
    text = here.run("status").out
    assert "engine" in text
    assert "repos/api main" in text
    found = here.run("status", "--json").json()
    assert found["version"] == 1
    assert found["stack"] == "shop"
    assert found["engine"]
    services = {row["name"]: row for row in found["services"]}
    assert services["api"]["mode"] == "dev"
    assert (services["api"]["checkout"]["changed"], services["api"]["checkout"]["untracked"]) == (1, 1)
    assert services["my"]["mode"] == "off"
    assert services["toolbox"]["starts"] is False
    assert services["web"]["image"]["digest"].startswith("sha256:")
    groups = {row["name"]: row for row in found["groups"]}
    assert (groups["database"]["alias"], groups["database"]["selection"]) == ("db", ["pg"])


def test_status_counts_commits_ahead_and_behind(make: Make, servers: Servers) -> None:
    from tests.support.gitserver import commit, git

    here = make(files={"hsm.local.yaml": "services: {api: {mode: dev}}\n"})
    here.run("sync")
    commit(here.checkout, {"mine": "x\n"})
    servers.commit("api", {"theirs": "x\n"})
    git(here.checkout, "fetch", "--quiet")
    services = {row["name"]: row for row in here.run("status", "--json").json()["services"]}
    assert (services["api"]["checkout"]["ahead"], services["api"]["checkout"]["behind"]) == (1, 1)
    assert re.search(r"1 ahead.*1 behind", here.run("status").out)


def test_status_tells_of_a_checkout_that_stands_on_another_branch(make: Make) -> None:
    here = make(files={"hsm.local.yaml": "services: {api: {mode: dev}}\n"})
    here.run("sync")
    assert "hsm.yaml says" not in here.run("status").out
    here.edit("hsm.yaml", "ref: main", "ref: dev")
    assert re.search(r"repos/api main [0-9a-f]{10}, hsm.yaml says dev", here.run("status").out)


def test_json_may_stand_anywhere_among_the_words(make: Make) -> None:
    here = make()
    for words in (["stacks", "--json"], ["stacks", "stack=shop", "--json"], ["stack=shop", "status", "--json"]):
        assert here.run(*words).json()["version"] == 1, words
    here.door = "hsm"  # doit judges options itself, before it reads the dodo.py that leads to hsm
    for words in (["--json", "stacks"], ["--json", "stack=shop", "status"], ["-n", "2", "--json", "plan", "sync"]):
        assert here.run(*words).json()["version"] == 1, words


def test_the_version_is_told(make: Make) -> None:
    here = make("hsm")
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*\n", here.run("--version").out)
