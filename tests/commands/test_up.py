"""`up`, `down`, `stop`, `restart`, `build`, `logs`, `sh` and `hsm compose`, seen by what containers answer."""

from __future__ import annotations

import re
import subprocess

import pytest

from tests.commands.bench import DOORS, Door, Servers, Workspace
from tests.commands.conftest import Live, Make
from tests.support import ports, world

pytestmark = pytest.mark.docker
DEV = "services: {api: {mode: dev}}\n"


@pytest.fixture(scope="module")
def running(module_workspace: Live) -> Workspace:
    """The whole stack, up; what a test does to it, it undoes."""
    here = module_workspace("doit")
    here.variables["WEB_PORT"] = str(ports.free_port())
    here.run("up")
    return here


@pytest.mark.parametrize("door", DOORS)
def test_up_starts_what_is_selected_and_waits_until_it_is_well(live: Make, door: Door) -> None:
    here = live(door)
    here.variables["WEB_PORT"] = str(ports.free_port())
    done = here.run("up")
    assert done.out == ""
    assert set(here.containers()) == {"api", "metrics", "pg", "web"}
    assert here.ended() == {"job"}, "its exit 0 is right"
    assert world.read(f"http://127.0.0.1:{here.variables['WEB_PORT']}/").startswith("web 1.0")
    assert here.fetch("api", "db") == "pg 16", "the option answers to the alias"
    assert here.fetch("web", "api") == "api 1.1.0"
    here.run("down")
    assert not here.containers()
    assert not here.ended()
    assert here.volumes() == {f"{here.project}_pg-data"}, "volumes stay"


def test_up_again_touches_nothing(running: Workspace) -> None:
    before = running.containers()
    assert set(running.steps("up").values()) == {"fresh"}
    assert running.containers() == before


def test_the_printed_compose_line_does_nothing_more(running: Workspace) -> None:
    before = running.containers()
    line = next(line for line in running.run("sync").err.splitlines() if "docker compose -f" in line)
    words = line[line.index("docker compose") :].split()
    environment = running.environment()
    subprocess.run(words, cwd=running.root, env=environment, check=True, capture_output=True)
    assert running.containers() == before


def test_status_shows_what_containers_use_of_their_limits(running: Workspace) -> None:
    rows = {row["name"]: row for row in running.run("status", "--stats", "--json").json()["services"]}
    (api,), (web,) = rows["api"]["containers"], rows["web"]["containers"]
    assert api["use"]["memory"]["limit"] == 64 * 1024 * 1024
    assert 0 < api["use"]["memory"]["used"] < 64 * 1024 * 1024
    assert web["use"]["memory"]["limit"] is None
    assert web["use"]["cpus"]["used"] >= 0
    assert rows["job"]["containers"][0]["use"] is None
    text = running.run("status", "--stats").out
    assert re.search(r"PORTS +MEMORY +CPUS +PIDS\n", text)
    assert re.search(r"^api .*[KM]iB / 64MiB", text, re.MULTILINE)
    plain = running.run("status")
    assert "MEMORY" not in plain.out
    assert "it takes --json, --stats" in running.run("status", "--use", code=3).err


def test_up_of_a_service_starts_it_and_what_it_needs(live: Make) -> None:
    here = live("hsm")
    here.run("up:api")
    assert set(here.containers()) == {"api", "pg"}


def test_an_alias_serves_as_a_name(live: Make) -> None:
    here = live()
    here.run("up:db")
    assert set(here.containers()) == {"pg"}


@pytest.mark.parametrize("jobs", [[], ["-n", "8"]], ids=["one job", "eight jobs"])
def test_all_up_words_of_a_line_make_one_compose_call(live: Make, jobs: list[str]) -> None:
    here = live()
    calls = here.root.parent / "calls"
    here.spy_on_docker(calls)
    results = here.steps(*jobs, "up:api", "up:metrics", "up:web")
    assert (results["up:api"], results["up:metrics"], results["up:web"]) == ("ran", "ran", "ran")
    assert set(here.containers()) == {"api", "metrics", "pg", "web"}
    assert len([line for line in calls.read_text().splitlines() if " up -d" in line]) == 1


def test_a_service_that_waits_for_its_profile_is_started_by_name(running: Workspace) -> None:
    assert "toolbox" not in running.containers()
    running.run("up:toolbox")
    assert "toolbox" in running.containers()
    running.run("stop:toolbox")
    assert "toolbox" in running.ended()


def test_stop_and_restart_are_about_one_service(running: Workspace) -> None:
    before = running.containers()
    running.run("stop:web")
    assert set(running.containers()) == set(before) - {"web"}
    running.run("up")
    started = running.engine("inspect", "-f", "{{.State.StartedAt}}", before["web"])
    running.run("restart:web")
    assert running.engine("inspect", "-f", "{{.State.StartedAt}}", before["web"]) != started
    assert running.containers() == before


def test_status_shows_what_runs(running: Workspace) -> None:
    assert re.search(r"^pg +base .*running \(healthy\)", running.run("status").out, re.MULTILINE)
    found = running.run("status", "--json").json()
    services = {row["name"]: row for row in found["services"]}
    assert found["engine"] is None
    assert services["job"]["containers"][0]["exit_code"] == 0
    assert services["web"]["containers"][0]["state"] == "running"
    assert services["web"]["containers"][0]["ports"]


def test_logs_are_those_of_compose_on_stdout(running: Workspace) -> None:
    container = running.containers()["web"]
    running.engine("exec", container, "sh", "-c", "echo hello from inside > /proc/1/fd/1")
    assert "hello from inside" in running.run("logs:web").out
    assert "hello from inside" in running.run("logs").out
    assert "hello from inside" not in running.run("logs:api").out


def test_sh_runs_in_the_container_and_keeps_the_exit_code(running: Workspace) -> None:
    assert running.run("sh:web", "cat", "/www/index.html").out.startswith("web 1.0")
    assert running.run("sh:db", "cat", "/www/index.html").out == "pg 16\n"
    running.run("sh:web", "sh", "-c", "exit 7", code=7)


def test_hsm_compose_is_compose_with_the_right_files_and_project(running: Workspace) -> None:
    running.door = "hsm"
    try:
        assert "web" in running.run("compose", "ps", "--services").out.split()
        assert "@sha256:" in running.run("compose", "config", "--images").out
        assert running.run("compose", "exec", "-T", "web", "sh", "-c", "exit 9", code=9).code == 9
        assert running.run("compose", "no-such-command", code=None).code not in (0, 2)
    finally:
        running.door = "doit"


def test_build_builds_what_is_stale_and_only_that(live: Make) -> None:
    here = live(files={"hsm.local.yaml": DEV})
    image = f"{here.project}-api"
    assert here.steps("build")["build:api"] == "ran"
    first = here.engine("images", "-q", image)
    assert here.steps("build:api")["build:api"] == "fresh"
    (here.checkout / "README").write_text("ignored by .dockerignore\n")
    (here.checkout / "www/index.html").write_text("hidden by the mount\n")
    assert here.steps("build")["build:api"] == "fresh"
    (here.checkout / "note").write_text("second\n")
    assert "build:api" not in here.steps("sync"), "no matter of sync"
    assert here.steps("build")["build:api"] == "ran"
    assert here.engine("images", "-q", image) != first
    assert not here.containers()
    here.engine("image", "rm", "-f", image)
    assert here.steps("build")["build:api"] == "ran"


def test_a_one_shot_that_fails_fails_up_with_its_last_words(live: Make) -> None:
    here = live()
    here.edit("docker-compose.yml", '["true"]', '["sh", "-c", "echo nothing to migrate; exit 4"]')
    done = here.run("up", code=1)
    assert "job" in done.err
    assert "nothing to migrate" in done.err or "exit 4" in done.err


def test_a_container_that_ends_fails_up_with_its_last_words(live: Make) -> None:
    here = live()
    here.edit("docker-compose.yml", "  metrics:\n", '  metrics:\n    command: ["sh", "-c", "echo no disk; exit 5"]\n')
    done = here.run("up:metrics", code=1)
    assert "exit 5" in done.err
    assert "no disk" in done.err


def test_oneshot_says_that_an_exit_is_right(live: Make) -> None:
    here = live()
    here.edit("docker-compose.yml", "  metrics:\n", '  metrics:\n    command: ["true"]\n')
    here.edit("hsm.yaml", "  web:\n", "  metrics: {oneshot: true}\n  web:\n")
    here.run("up:metrics")
    assert here.run("up:metrics").code == 0


@pytest.mark.parametrize(("path", "old", "new", "words"), [
    ("hsm.yaml", "services:", "servces:", "stop one"),
    ("hsm.yaml", "services:", "servces:", "down"),
    ("docker-compose.yml", "one: {", 'one: {environment: {A: "${NEVER_SET:?say it}"}, ', "stop one"),
    ("docker-compose.yml", "web:1.0", "web:${NEVER_SET:?say it}", "down"),
])  # fmt: skip
def test_a_stack_that_can_not_be_read_any_more_can_be_ended_without_hsm(
    live: Make, path: str, old: str, new: str, words: str
) -> None:
    here = live("hsm", {"hsm.yaml": "services: {}\n",
                        "docker-compose.yml": "services: {one: {image: '@REG@/web:1.0'}}\n"})  # fmt: skip
    here.run("up")
    here.edit(path, old, new)
    told = f"without hsm: docker compose -p {here.project} "
    assert told not in here.run("sync", code=None).err
    done = here.run(words.replace(" ", ":"), code=None)
    assert done.code in (1, 3)
    assert f"  hint: {told}{words}\n" in done.err
    subprocess.run(["docker", *told.split()[3:], *words.split()], cwd=here.root, env=here.environment(), check=True)
    assert here.containers() == {}


@pytest.mark.parametrize("name", ["onlyhere:1", "onlyhere/tagged:1"])
def test_an_image_that_only_the_engine_has_is_used_with_a_warning(live: Make, servers: Servers, name: str) -> None:
    local, known = (f"{servers.registry.host}/{one}" for one in (name, "metrics"))
    here = live()
    if "tagged" in name:  # what a registry has under another name only
        here.engine("pull", known)
        here.engine("tag", known, local)
    else:
        source = here.write("only/Dockerfile", f"FROM {known}\nLABEL made=here\n").parent
        here.engine("build", "-q", "-t", local, str(source))
    here.edit("docker-compose.yml", "  metrics:\n    image: @REG@/metrics\n", f"  metrics:\n    image: {local}\n")
    done = here.run("sync")
    assert local in done.err
    assert "onlyhere" not in here.lock
    assert here.services["metrics"]["image"] == local
    here.run("up:metrics")
    assert set(here.containers()) == {"metrics"}
    assert "onlyhere" in here.run("sync", "frozen=yes", code=1).err


def test_two_stacks_are_up_at_once(running: Workspace, live: Make) -> None:
    small = live("hsm", {"hsm.yaml": "services: {page: {prod: {image: '@REG@/web:1.0'}}}\n",
                         "docker-compose.yml": "services: {page: {image: x}}\n"})  # fmt: skip
    small.run("up")
    assert set(small.containers()) == {"page"}
    assert "web" in running.containers()
    small.run("down")
    assert "web" in running.containers()


def test_a_stack_that_leaves_orphans_removes_them(live: Make) -> None:
    here = live(files={"hsm.yaml": "services: {}\n", "docker-compose.yml":
                "services: {one: {image: '@REG@/web:1.0'}, two: {image: '@REG@/web:1.0'}}\n"})  # fmt: skip
    here.run("up")
    assert set(here.containers()) == {"one", "two"}
    here.write("docker-compose.yml", "services: {one: {image: '@REG@/web:1.0'}}\n")
    one = here.containers()["one"]
    here.run("up")
    assert here.containers() == {"one": one}
