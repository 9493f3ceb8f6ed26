"""The user's own tasks in dodo.py, beside ours: seen by every command, in order, through both doors."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time

import pytest

from tests.commands.bench import DOORS, NO_ENGINE, Door, Workspace
from tests.commands.conftest import Live, Make
from tests.support.world import REPOSITORY

LINE = "from hsm_tasks.door import DOIT_CONFIG, hsm  # noqa: F401\n"
TASKS = f"""\
from hsm_tasks.api import stack
{LINE}

def task_migrate():
    '''bring the database up to date'''
    return {{
        "actions": [["echo", "migrating", stack().service("db").name]],
        "task_dep": ["sync"],
        "params": [{{"name": "to", "long": "to", "default": "head"}}],
    }}


def task_dump():
    def write(targets, to):
        with open(targets[0], "w") as file:
            file.write(f"dump of {{stack().project}} to {{to}}")
    return {{
        "actions": [write], "file_dep": ["schema.sql"], "targets": ["dump.sql"], "clean": True,
        "params": [{{"name": "to", "short": "t", "long": "to", "default": "head"}}],
    }}


def task_seed():
    for name in ("users", "shops"):
        yield {{"name": name, "actions": [f"echo {{name}} > %(targets)s"], "targets": [f"{{name}}.txt"],
               "file_dep": ["dump.sql"]}}


def task_say():
    return {{"actions": [lambda words: print("said", *words)], "pos_arg": "words"}}
"""


@pytest.fixture(name="own")
def _own(make: Make) -> Workspace:
    return with_tasks(make("doit"))


def with_tasks(here: Workspace, text: str = TASKS) -> Workspace:
    (here.root / "dodo.py").write_text(text)
    (here.root / "schema.sql").write_text("create table users;\n")
    return here


@pytest.mark.parametrize("door", DOORS)
def test_they_are_listed_and_run_beside_ours_behind_both_doors(make: Make, door: Door) -> None:
    here = with_tasks(make(door))
    assert re.search(r"^migrate +bring the database up to date$", here.run("list").out, re.MULTILINE)
    done = here.run("use:my", "migrate", "--to", "5", "render:api")
    assert done.out == "migrating my\n", "the stack that it sees has the switch in it"
    assert "migrate (always runs" in done.err
    assert here.steps("migrate")["migrate"] == "ran"


def test_what_doit_knows_of_tasks_works_for_them(own: Workspace) -> None:
    assert own.steps("dump", "--to", "five") == {"dump": "ran"}
    assert (own.root / "dump.sql").read_text() == f"dump of {own.project} to five"
    assert own.steps("seed") == {"dump": "fresh", "seed:users": "ran", "seed:shops": "ran"}
    assert own.steps("seed") == {"dump": "fresh", "seed:users": "fresh", "seed:shops": "fresh"}
    assert own.steps("dump", "-t", "six", "-a", "-n", "2") == {"dump": "ran"}, "options of the run may stand there, too"
    assert own.steps("seed:users") == {"dump": "fresh", "seed:users": "ran"}
    assert own.run("say", "a", "--b", "c").out == "said a --b c\n"
    assert "schema.sql" in own.run("info", "dump").out
    assert "--to=ARG" in own.run("help", "dump").out
    own.run("forget", "dump")
    assert own.steps("dump") == {"dump": "ran"}
    assert "dump - removing file 'dump.sql'" in own.run("clean", "dump").both
    assert not (own.root / "dump.sql").exists()


def test_plan_tells_of_them_without_running_them(own: Workspace) -> None:
    steps = own.run("plan", "seed", "--json").json()["steps"]
    plan = {step["name"]: (step["state"], step["reasons"]) for step in steps}
    assert plan == {
        "dump": ("run", ["first run"]),
        "seed:shops": ("run", ["after dump"]),
        "seed:users": ("run", ["after dump"]),
    }
    own.run("seed")
    assert {step["state"] for step in own.run("plan", "seed", "--json").json()["steps"]} == {"fresh"}
    assert "migrate" in own.run("plan", "migrate").out
    assert not (own.stack / "docker-compose.hsm.yml").exists()


def test_a_file_of_ours_that_they_read_comes_first_however_it_is_spelled(make: Make) -> None:
    here = with_tasks(make("doit"), f"""\
from hsm_tasks.api import stack
{LINE}
def task_show():
    return {{"actions": ["cat %(dependencies)s"], "file_dep": [stack().folder / "docker-compose.hsm.yml"]}}
""")
    assert "services:" in here.run("show").out
    assert here.steps("show")["show"] == "fresh"
    assert here.steps("use:my", "show")["show"] == "ran"


def test_words_keep_their_order_around_them(own: Workspace) -> None:
    with_tasks(own, f"""\
{LINE}
def task_first():
    return {{"actions": ["sleep 0.3; echo first"]}}
def task_second():
    return {{"actions": ["echo second"]}}
def task_third():
    return {{"actions": ["echo third"], "task_dep": ["first"]}}
""")
    assert own.run("-n", "8", "first", "second").out == "first\nsecond\n"
    assert own.run("-n", "8", "second", "third").out == "second\nfirst\nthird\n"
    assert own.run("third", "first").out == "first\nthird\n"


def test_variables_reach_them_and_stay_mistakes_elsewhere(own: Workspace) -> None:
    task = "def task_a():\n    return {'actions': [['echo', get_var('x')]]}\n"
    with_tasks(own, f"from doit import get_var\n{LINE}\n{task}")
    assert own.run("a", "x=5").out == "5\n"
    assert '"x=5" says nothing to hsm' in own.run("sync", "x=5", code=3).err


def test_default_tasks_say_what_doit_alone_means(own: Workspace) -> None:
    with_tasks(own, f"{TASKS}\nDOIT_CONFIG = {{'default_tasks': ['dump'], 'verbosity': 2}}\n")
    assert own.steps() == {"dump": "ran"}
    assert "check" in own.steps("sync")


def test_default_tasks_are_for_a_run_and_name_nothing_for_questions(own: Workspace) -> None:
    with_tasks(own, f"{TASKS}\nDOIT_CONFIG = {{'default_tasks': ['dump']}}\n")
    assert "render:api" in own.run("list", "--all").out
    assert "ignoring" not in own.run("ignore", code=None).both
    assert own.steps("dump")["dump"] == "ran"


# --- mistakes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("def task_up():\n    return {'actions': []}\n", 'dodo.py:2:1: the task "up" has a word of hsm as its name'),
        ("def task_x():\n    yield {'basename': 'clone', 'name': 'x', 'actions': []}\n", '2:1: the task "clone" has'),
        ("\n\nundefined()\n", "dodo.py:4:1: dodo.py stops here: NameError: name 'undefined' is not defined"),
        ("import nothing_like_it\n", "dodo.py:2:1: dodo.py stops here: ModuleNotFoundError"),
        ("import helping\n", "helping.py:2:5: dodo.py stops here: ZeroDivisionError"),
        ("def task_x():\n    return {'actions': [], 'nokey': 1}\n", "dodo.py:2:1: this is no task: "),
        ("def task_x():\n    return {}['a']\n", "dodo.py:3:12: the task function x stops here: KeyError: 'a'"),
        ("def task_x():\n    return {'actions': [], 'task_dep': ['up:apo']}\n", "did you mean up:api?"),
        ("def task_x():\n    return {'actions': [], 'task_dep': ['dev:api']}\n", 'a task can not need "dev:api"'),
        ("DOIT_CONFIG = {'dep_file': 'my.db'}\n", "dodo.py:2:1: DOIT_CONFIG.dep_file: hsm can not follow"),
        ("import sys\nsys.exit(4)\n", "dodo.py:3:1: dodo.py ends the program here: SystemExit: 4"),
        ("from hsm_tasks.api import stack\nstack()\n", "dodo.py:3:1: dodo.py stops here: "),
    ],
)
@pytest.mark.parametrize("door", DOORS)
def test_a_mistake_has_its_place_and_no_traceback(make: Make, door: Door, more: str, said: str) -> None:
    here = with_tasks(make(door), LINE + more)
    (here.root / "helping.py").write_text("if True:\n    1 / 0\n")
    done = here.run("sync", code=3)
    assert said in done.err
    assert "Traceback" not in done.err
    assert not (here.root / ".hsm").exists(), "nothing was written"
    assert not (here.root / "my.db").exists()


def test_two_functions_with_one_name_are_a_mistake(own: Workspace) -> None:
    text = "def task_{0}():\n    return {{'basename': 'same', 'actions': []}}\n"
    with_tasks(own, LINE + text.format("a") + text.format("b"))
    said = own.run("list", code=3).err
    assert 'dodo.py:4:1: two functions make the task "same"' in said
    assert "dodo.py:2" in said


def test_mistyped_names_and_options_of_theirs_are_suggested(own: Workspace) -> None:
    assert "did you mean migrate?" in own.run("migrat", code=3).err
    done = own.run("migrate", "--tp", "5", code=3)
    assert "option --tp not recognized" in done.err
    assert "help migrate" in done.err


FAILS = f"""\
from doit.exceptions import TaskFailed
{LINE}
def boom():
    raise ValueError("no such table")

def task_boom():
    return {{"actions": [boom]}}
def task_false():
    return {{"actions": [lambda: False]}}
def task_told():
    return {{"actions": [lambda: TaskFailed("the disk is too small")]}}
def task_program():
    return {{"actions": ["echo on stdout; echo on stderr >&2; exit 3"]}}
def task_asked():
    def asked():
        raise OSError("unreachable")
    return {{"actions": ["echo never"], "uptodate": [asked]}}
def task_odd():
    return {{"actions": [lambda: {{"made": object()}}]}}
"""


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("boom", "boom failed (always runs, T)\n  it raised ValueError: no such table\n"),
        ("false", "false failed (always runs, T)\n  Python Task failed: "),
        ("told", "told failed (always runs, T)\n  the disk is too small\n"),
        ("program", "program failed (always runs, T)\n  Command failed: "),
        ("asked", "asked failed\n  its uptodate raised OSError: unreachable\n"),
    ],
)
def test_a_task_that_fails_is_no_bug_of_hsm(own: Workspace, word: str, said: str) -> None:
    with_tasks(own, FAILS)
    done = own.run(word, code=1)
    assert said in re.sub(r"\d+\.\d+ s", "T", done.err)
    assert "bug in hsm" not in done.err
    assert re.findall(r'File "[^"]*/([^/"]+)"', done.err) == (["dodo.py"] if word == "boom" else [])
    assert own.steps(word, code=1) == {word: "failed"}


def test_what_a_function_returns_must_be_something_to_remember(own: Workspace) -> None:
    with_tasks(own, FAILS)
    done = own.run("odd", code=1)
    assert "what it returned can not be remembered" in done.err


def test_with_v0_their_programs_are_heard_only_where_they_fail(own: Workspace) -> None:
    with_tasks(own, FAILS + "def task_fine():\n    return {'actions': ['echo fine']}\n")
    assert own.run("-v0", "fine").both == "exit 0\n--- stdout\n--- stderr\n"
    done = own.run("-v0", "program", code=1)
    assert done.out == ""
    assert "  | on stdout\n  | on stderr\n" in done.err


def test_ctrl_c_ends_their_programs(own: Workspace) -> None:
    with_tasks(own, f"{LINE}\ndef task_long():\n    return {{'actions': [['sleep', '4242.5']]}}\n")
    program = subprocess.Popen(("doit", "long"), cwd=own.root, env=own.environment(), stderr=subprocess.PIPE, text=True)
    assert sleeping(True)
    program.send_signal(signal.SIGINT)  # to hsm alone, as `kill -INT` does
    _, said = program.communicate(timeout=30)
    assert program.returncode == 130, said
    assert not sleeping(False)


def sleeping(wanted: bool) -> bool:
    """Whether the program of the test runs, once it is as wanted or some seconds have gone."""
    asked = ("pgrep", "-u", str(os.geteuid()), "-fx", "sleep 4242.5")
    for _ in range(500):
        if (subprocess.run(asked, capture_output=True, check=False).returncode == 0) == wanted:
            return wanted
        time.sleep(0.02)
    return not wanted


# --- what is not theirs ------------------------------------------------------------------------------------------


def test_a_dodo_file_of_somebody_else_is_never_run(make: Make) -> None:
    here = make("hsm")
    (here.root / "dodo.py").write_text("raise SystemExit('never')\ndef task_up(): ...\n")
    here.run("sync")


def test_a_sync_with_nothing_to_do_is_quick_beside_tasks_and_runs_a_file_that_does_more(own: Workspace) -> None:
    own.run("sync")
    snapshot = own.root / ".hsm/snapshot"
    for _ in range(5):
        own.run("sync")
        if snapshot.exists():
            break
    assert snapshot.exists()
    with_tasks(own, f"import pathlib\n{TASKS}\npathlib.Path('ran').touch()\n")
    own.run("sync")
    (own.root / "ran").unlink()
    time.sleep(0.1)
    own.run("sync")
    assert (own.root / "ran").exists()


def test_variables_that_a_dodo_file_sets_are_seen_by_compose(own: Workspace) -> None:
    own.edit("docker-compose.yml", "@REG@/api:1.0.0", "@REG@/api:${API_TAG:-1.0.0}")
    with_tasks(own, f"import os\n{LINE}\nos.environ['API_TAG'] = '1.1.0'\n")
    own.edit("hsm.yaml", '"@REG@/api", version: "^1.0"', '"@REG@/api:${API_TAG}"')
    own.run("sync")
    assert "api:1.1.0@" in own.override


def test_the_api_is_frozen_and_answers_outside_of_a_run(own: Workspace) -> None:
    program = (
        "from hsm_tasks.api import stack; s = stack(); import dataclasses\n"
        "print(s.name, s.service('db').name, s.services['my'].mode, s.groups['database'].selection, s.compose[-1])\n"
        "try:\n    s.name = 'x'\nexcept dataclasses.FrozenInstanceError:\n    print('frozen')\n"
        "try:\n    s.services['x'] = 1\nexcept TypeError:\n    print('frozen')\n"
    )
    command = ("python", "-c", program)
    done = subprocess.run(command, cwd=own.root, env=own.environment(), capture_output=True, text=True, check=True)
    override = own.stack / "docker-compose.hsm.yml"
    assert done.stdout == f"shop pg off ('pg',) {override}\nfrozen\nfrozen\n"
    assert not (own.root / ".hsm").exists()


# --- with an engine ----------------------------------------------------------------------------------------------


@pytest.mark.docker
def test_the_example_of_the_page_runs(live: Live) -> None:
    page = (REPOSITORY / "docs/custom-tasks.md").read_text()
    here = with_tasks(live("doit"), page.partition("```python\n# dodo.py\n")[2].partition("```")[0])
    done = here.run("use:my", "migrate")
    assert "migrated" in done.out
    assert set(here.containers()) == {"my"}
    assert here.steps("fixtures", "--tables", "a,b", "seed")["seed"] == "ran"
    assert (here.root / "fixtures.sql").read_text() == f"-- a of {here.project}\n-- b of {here.project}\n"
    assert here.variables.get("DOCKER_HOST") != NO_ENGINE


@pytest.mark.docker
def test_what_starts_behind_them_starts_after_them(live: Live) -> None:
    here = with_tasks(live("doit"), f"""\
from hsm_tasks.api import stack
{LINE}
def task_look():
    return {{"actions": [[*stack().compose, "ps", "--services"]], "task_dep": ["up:db"]}}
""")
    assert here.run("look", "up:metrics").out == "pg\n"
    assert set(here.containers()) == {"pg", "metrics"}
    assert here.run("look", "down").out.split() == ["metrics", "pg"]
    assert here.containers() == {}
    assert here.run("up:metrics", "look").out.split() == ["metrics", "pg"]
