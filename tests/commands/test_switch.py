"""`dev:`, `prod:`, `use:`, `unuse:`: written to hsm.local.yaml together, before the graph is made, and idempotent."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.commands.bench import DOORS, Door, Servers
from tests.commands.conftest import Make


@pytest.mark.parametrize("door", DOORS)
def test_dev_and_prod_switch_the_mode_and_sync(make: Make, door: Door) -> None:
    here = make(door)
    here.run("dev:api")
    assert "mode: dev" in here.read("hsm.local.yaml")
    assert "build" in here.services["api"]
    assert "image" not in {key for key, value in here.services["api"].items() if value not in ("", "null")}
    here.run("prod:api")
    assert "mode: prod" in here.read("hsm.local.yaml")
    assert "@sha256:" in here.services["api"]["image"]
    assert not {"build", "volumes", "develop"} & set(here.services["api"])


@pytest.mark.parametrize("door", DOORS)
def test_use_and_unuse_change_the_selection_and_sync(make: Make, door: Door) -> None:
    here = make(door)
    here.run("use:my", "use:tracing", "use:debug")
    assert here.services["api"]["environment"]["DATABASE_URL"] == "my://db"
    assert "image" in here.services["tracing"]
    assert "profiles" in here.services["toolbox"], "it is active without --profile"
    assert not isinstance(here.services["pg"], dict) or not here.services["pg"]
    here.run("use:pg", "unuse:tracing", "unuse:debug", "unuse:metrics")
    assert here.services["api"]["environment"]["DATABASE_URL"] == "pg://db"
    assert not isinstance(here.services["metrics"], dict)


def test_switch_words_are_idempotent(make: Make) -> None:
    here = make()
    here.run("dev:api", "use:my")
    before = here.files()
    assert set(here.steps("dev:api", "use:my", "dev:api").values()) == {"fresh"}
    assert here.changed(before) == set()


def test_a_word_that_changes_nothing_makes_no_file(make: Make) -> None:
    here = make()
    here.run("prod:api", "use:pg")
    assert not (here.stack / "hsm.local.yaml").exists()


def test_comments_and_order_of_a_persons_file_stay(make: Make) -> None:
    mine = "# mine\nservices:\n  web: {mode: prod}  # as it was\n  # the api\n  api:\n    mode: prod # for now\n"
    here = make(files={"hsm.local.yaml": mine})
    here.run("dev:api")
    assert here.read("hsm.local.yaml") == mine.replace("mode: prod # for now", "mode: dev  # for now")


EDITED_MEANWHILE = """
import hsm_tasks.cli as cli
read = cli.open_stack
def read_and_edit(*given):
    opened = read(*given)
    (opened.folder / "hsm.local.yaml").write_text("services: {web: {mode: prod}}  # by hand\\n")
    return opened
cli.open_stack = read_and_edit
cli.console()
"""


@pytest.mark.parametrize(("word", "code"), [("sync", 0), ("dev:api", 1), ("prod:web", 0)])
def test_an_edit_while_a_run_has_just_begun_is_never_written_over(make: Make, word: str, code: int) -> None:
    here = make(files={"hsm.local.yaml": "services: {web: {mode: prod}}\n"})
    here.run("sync")
    python = str(Path(here.environment()["PATH"].split(os.pathsep)[0], "python"))
    command = (python, "-c", EDITED_MEANWHILE, word)
    done = subprocess.run(command, cwd=here.root, env=here.environment(), capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    assert here.read("hsm.local.yaml").endswith("# by hand\n")
    assert ("was edited at this very moment" in done.stderr) == (code == 1)


def test_an_alias_stands_for_the_chosen_option(make: Make) -> None:
    here = make()
    here.edit("hsm.yaml", "  web:\n", '  pg: {repo: {url: "@GIT@/api.git", ref: main}}\n  web:\n')
    here.run("dev:db")
    assert "build" in here.services["pg"]


@pytest.mark.parametrize("head", ["up", "stop", "restart", "logs", "sh"])
def test_the_name_of_an_option_that_is_off_is_never_taken_for_the_chosen_one(make: Make, head: str) -> None:
    here = make()
    said = here.run(f"{head}:my", code=3).err
    assert f'"{head}:my": my is an option that is not selected' in said
    assert "use:my" in said


def test_words_of_one_line_count_together_and_if_one_is_wrong_none_does(make: Make) -> None:
    here = make()
    here.run("sync")
    before = here.files()
    for wrong in ("use:oracle", "dev:job", "up:apii", "synk"):
        here.run("dev:api", wrong, code=3)
        assert here.changed(before) == set(), wrong


def test_a_switch_stays_when_a_later_step_fails(make: Make, servers: Servers) -> None:
    here = make()
    here.run("sync")
    override = here.override
    servers.git.mode = "cut"
    try:
        done = here.run("dev:api", code=1)
    finally:
        servers.git.mode = "ok"
    assert "clone:api failed" in done.err
    assert "mode: dev" in here.read("hsm.local.yaml")
    assert here.override == override
    here.run("sync")
    assert "build" in here.services["api"]


def test_a_switch_that_leaves_anonymous_data_says_so_before(make: Make, servers: Servers) -> None:
    from tests.support.registry import busybox_image

    image = busybox_image({}, Volumes={"/var/lib/data": {}})
    servers.registry.push("volatile", "1", config=image.config, layers=image.layers)
    here = make()
    here.edit("docker-compose.yml", "image: @REG@/my:8", "image: @REG@/volatile:1")
    here.run("use:my")
    done = here.run("use:pg")
    assert "/var/lib/data" in done.err
    assert "anonymous" in done.err
    assert "anonymous" not in here.run("use:my").err, "pg has a named volume"
    here.edit("hsm.yaml", "services:\n", "services:\n  my: {prod: {volumes: ['my-data:/var/lib/data']}}\n")
    assert "anonymous" not in here.run("use:pg").err, "so has my by now"


def test_what_hangs_on_an_option_that_is_off_is_refused_by_name(make: Make) -> None:
    here = make()
    here.edit("docker-compose.yml", "  tracing:\n", "  tracing:\n    network_mode: service:metrics\n")
    done = here.run("use:tracing", "unuse:metrics", code=3)
    assert "tracing" in done.err
    assert "metrics" in done.err
    assert not (here.stack / "hsm.local.yaml").exists()


@pytest.mark.docker
def test_a_switch_of_the_database_ends_with_the_right_containers(live: Make) -> None:
    here = live()
    here.run("up")
    before = here.containers()
    here.run("use:my", "up")
    after = here.containers()
    assert set(after) == {"api", "metrics", "my", "web"}
    assert "pg" not in here.ended()
    assert here.fetch("api", "db") == "my 8"
    assert here.fetch("web", "api") == "api 1.1.0"
    assert after["api"] != before["api"], "its environment is another one"
    assert after["metrics"] == before["metrics"]
    assert here.volumes() == {f"{here.project}_pg-data"}
    here.run("use:pg", "up")
    assert here.fetch("api", "db") == "pg 16"
    assert "my" not in here.containers()


@pytest.mark.docker
def test_a_switch_of_the_mode_starts_that_form_and_edits_need_no_build(live: Make) -> None:
    here = live()
    here.run("up")
    assert here.fetch("web", "api") == "api 1.1.0"
    others = {name: container for name, container in here.containers().items() if name not in ("api", "web")}
    here.run("dev:api", "up:api")
    assert here.fetch("web", "api") == "api from sources"
    (here.checkout / "www/index.html").write_text("edited\n")
    assert here.fetch("web", "api") == "edited"
    here.run("up")
    assert here.fetch("web", "api") == "edited"
    here.run("prod:api", "up")
    assert here.fetch("web", "api") == "api 1.1.0"
    assert others.items() <= here.containers().items(), "nobody else was touched"


@pytest.mark.docker
def test_profiles_and_many_of_n_start_and_stop_their_services(live: Make) -> None:
    here = live("hsm")
    here.run("use:debug", "use:tracing", "unuse:metrics", "up")
    assert set(here.containers()) == {"api", "pg", "toolbox", "tracing", "web"}
    here.run("unuse:debug", "unuse:tracing", "up")
    assert set(here.containers()) <= {"api", "pg", "toolbox", "web"}
    assert "tracing" not in here.containers()
