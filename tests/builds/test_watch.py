"""`watch` keeps a stack true: one run for each burst of changes that matter, none for those that do not."""

from __future__ import annotations

import os
import signal
import time

import pytest

from tests.commands.bench import DODO, DOORS, Door, Workspace
from tests.commands.conftest import Live
from tests.support.gitserver import git
from tests.support.watcher import watching

pytestmark = pytest.mark.docker

BASE = """\
services:
  api:
    image: @REG@/api:1.0.0
    stop_grace_period: 0s
"""
HSM_YAML = """\
services:
  api:
    mode: dev
    repo: {url: "@GIT@/api.git", ref: main}
    dev: {environment: {SAID: "one"}}
    prod: {image: "@REG@/api:1.0.0"}
"""
SILENCE = 2.0  # seconds in which a run would begin that nobody asked for
FILES = {"hsm.yaml": HSM_YAML, "docker-compose.yml": BASE}


def shown(here: Workspace, path: str = "/note") -> str:
    """A file in the api's container; nothing while there is none, or one that another takes the place of."""
    there = here.containers().get("api")
    return here.engine("exec", there, "cat", path) if there else ""


@pytest.mark.parametrize("door", DOORS)
def test_an_edit_of_a_source_is_built_and_runs(live: Live, door: Door) -> None:
    here = live(door, FILES)
    with watching(here) as watch:
        watch.rests(1)
        assert shown(here) == "first\n"
        (here.checkout / "note").write_text("second\n")
        watch.rests(2)
        assert shown(here) == "second\n"
        assert "watch: the sources of api changed\n" in watch.said
        watch.rests(2, SILENCE)
        assert watch.end() == 130
        assert watch.said.endswith("interrupted\n")


def test_a_pattern_is_watched_and_a_service_that_goes_away_is_told_and_waited_for(live: Live) -> None:
    here = live("doit", FILES)
    with watching(here, "watch:ap*") as watch:
        watch.rests(1)
        here.edit("hsm.yaml", "services:\n  api:", "services:\n  app:")
        here.edit("docker-compose.yml", "services:\n  api:", "services:\n  other:")
        watch.rests(2)
        here.edit("docker-compose.yml", "services:\n  other:", "services:\n  app:")
        watch.rests(3)
        assert set(here.containers()) == {"app"}
        assert "Traceback" not in watch.said


def test_a_mistake_is_shown_and_its_correction_is_taken(live: Live) -> None:
    here = live("doit", FILES)
    with watching(here) as watch:
        watch.rests(1)
        before = here.containers()
        here.edit("hsm.yaml", 'SAID: "one"', 'SAID: "two"}, nonsense: {')
        watch.rests(2)
        assert "unknown key" in watch.said or "compose knows no such key" in watch.said
        assert here.containers() == before
        here.edit("hsm.yaml", 'SAID: "two"}, nonsense: {', 'SAID: "two"')
        watch.rests(3)
        assert "SAID=two" in here.engine("exec", here.containers()["api"], "env")


@pytest.mark.parametrize("door", DOORS)
def test_the_hints_of_its_runs_are_in_the_words_of_the_door(live: Live, door: Door) -> None:
    here = live(door, FILES)
    task = "def task_own():\n    return {'actions': None, 'task_dep': ['prod:api']}\n"
    (here.root / "dodo.py").write_text(f"{DODO}\n\n{task}")
    with watching(here) as watch:
        watch.rests(1)
        assert f"hint: say it before: `{door} prod:api …`" in watch.said


def test_it_begins_with_a_mistake_and_goes_on_once_it_is_mended(live: Live) -> None:
    here = live("hsm", {**FILES, "hsm.yaml": HSM_YAML.replace("mode: dev", "mode: devel")})
    with watching(here) as watch:
        watch.rests(1)
        assert "is not a mode" in watch.said
        here.edit("hsm.yaml", "mode: devel", "mode: dev")
        watch.rests(2)
        assert shown(here) == "first\n"


def test_a_burst_is_one_run(live: Live) -> None:
    here = live("doit", FILES)
    with watching(here) as watch:
        watch.rests(1)
        (here.checkout / "note").write_text("second\n")
        here.edit("hsm.yaml", '"one"', '"two"')
        watch.rests(2)
        assert shown(here) == "second\n"
        assert "SAID=two" in here.engine("exec", here.containers()["api"], "env")
        git(here.checkout, "switch", "--quiet", "--create", "other")
        for number in range(200):
            (here.checkout / f"www/{number}").write_text(f"{number}\n")
        git(here.checkout, "add", ".")
        git(here.checkout, "commit", "--quiet", "--message", "many")
        watch.rests(3)
        git(here.checkout, "switch", "--quiet", "main")
        watch.rests(4, SILENCE)
        assert "1" not in here.engine("exec", here.containers()["api"], "ls", "/www").split()


def test_an_edit_while_a_run_is_at_work_is_not_lost(live: Live) -> None:
    here = live("doit", FILES)
    with watching(here) as watch:
        watch.rests(1)
        (here.checkout / "note").write_text("second\n")
        watch.says("the sources of api changed")
        time.sleep(0.5)
        (here.checkout / "note").write_text("third\n")
        watch.until(lambda: shown(here) == "third\n", "third note")


def test_env_files_and_included_files_count(live: Live) -> None:
    included = "services:\n  api:\n    dev: {environment: {MORE: here}}\n"
    files = {"hsm.yaml": f"include: [more.yaml]\n{HSM_YAML}", "more.yaml": "services: {}\n", "api.env": "FROM_FILE=1\n",
             "docker-compose.yml": f"{BASE}    env_file: [api.env]\n"}  # fmt: skip
    here = live("doit", files)
    with watching(here) as watch:
        watch.rests(1)
        here.write("api.env", "FROM_FILE=2\n")
        watch.rests(2)
        assert "FROM_FILE=2" in here.engine("exec", here.containers()["api"], "env")
        here.write("more.yaml", included)
        watch.rests(3)
        assert "MORE=here" in here.engine("exec", here.containers()["api"], "env")


def test_what_does_not_matter_wakes_nobody(live: Live) -> None:
    here = live("doit", FILES)
    with watching(here) as watch:
        watch.rests(1)
        beside = here.stack / ".hsm.yaml.swp"
        beside.write_text(here.read("hsm.yaml"))
        beside.replace(here.stack / "hsm.yaml")  # as editors save: another file, the same bytes
        os.utime(here.checkout / "note")
        (here.checkout / "README").write_text("ignored by .dockerignore\n")
        git(here.checkout, "status")
        (here.stack / "notes.txt").write_text("nothing of hsm's\n")
        done = here.run("sync")  # it writes what hsm writes, and waits for nobody: the lock is free
        assert "waiting for" not in done.err
        watch.rests(1, SILENCE)
        here.edit("hsm.yaml", '"one"', '"two"')
        watch.rests(2)


def test_a_switch_elsewhere_is_followed_and_the_new_sources_are_watched(live: Live) -> None:
    here = live("doit", {**FILES, "hsm.yaml": HSM_YAML.replace("mode: dev", "mode: prod")})
    with watching(here) as watch:
        watch.rests(1)
        here.run("dev:api")
        watch.rests(2)
        assert shown(here) == "first\n"
        (here.checkout / "note").write_text("second\n")
        watch.rests(3)
        assert shown(here) == "second\n"


def test_compose_watches_what_is_its_affair_and_ends_with_it(live: Live) -> None:
    rules = "{watch: [{action: sync, path: www, target: /www}, {action: rebuild, path: note}]}"
    here = live("doit", {**FILES, "hsm.yaml": HSM_YAML.replace('{environment: {SAID: "one"}}', rules)})
    with watching(here) as watch:
        watch.rests(1)
        assert "docker compose watches api" in watch.said
        watch.says("compose watch: Watch enabled")
        assert watch.beside()
        before = here.containers()
        (here.checkout / "www/index.html").write_text("synced\n")
        watch.until(lambda: shown(here, "/www/index.html") == "synced\n", "sync into the container")
        assert (watch.runs, here.containers()) == (1, before)
        (here.checkout / "note").write_text("second\n")
        watch.rests(2)
        assert (shown(here), shown(here, "/www/index.html")) == ("second\n", "synced\n")
        assert here.engine("ps", "-q", "--filter", f"id={before['api']}") == ""
        assert watch.end(signal.SIGTERM) == 130
        assert watch.beside() == []


def test_one_service_is_watched_with_what_it_needs(live: Live) -> None:
    other = '  web:\n    image: "@REG@/web:1.0"\n    stop_grace_period: 0s\n'
    here = live("hsm", {**FILES, "docker-compose.yml": BASE + other})
    with watching(here, "watch:api") as watch:
        watch.rests(1)
        assert set(here.containers()) == {"api"}
        (here.checkout / "note").write_text("second\n")
        watch.rests(2)
        assert set(here.containers()) == {"api"}


@pytest.mark.parametrize("words", [("watch", "up"), ("watch:api", "watch"), ("watch", "--loud")])
def test_other_words_beside_it_are_a_mistake(live: Live, words: tuple[str, ...]) -> None:
    done = live("doit", FILES).run(*words, code=3)
    assert "watch does not know" in done.err
