"""`up` starts compose when something differs from what runs, whatever it is, and only then."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.commands.bench import Workspace
from tests.commands.conftest import Live, Make

pytestmark = pytest.mark.docker

BASE = """\
services:
  web: &web
    image: @REG@/web:1.0
    env_file: [web.env, {path: ~/mine.env, required: false}]
    environment: {SAID: "${SAID:-nothing}", SHELL_WORD: }
    networks: [default, back]
    stop_grace_period: 0s
  twin: {image: "@REG@/web:1.0", stop_grace_period: 0s, scale: 2}
  labelled: {image: "@REG@/web:1.0", stop_grace_period: 0s, label_file: [labels]}
  inside: {image: "@REG@/web:1.0", stop_grace_period: 0s, network_mode: "service:web", command: [sleep, "1000"]}
  borrower: {image: "@REG@/web:1.0", stop_grace_period: 0s, volumes_from: [web]}
  keeper: {image: "@REG@/web:1.0", stop_grace_period: 0s, volumes: ["kept:/kept"]}
  once: {image: "@REG@/web:1.0", command: ["true"]}
  tool: {image: "@REG@/web:1.0", stop_grace_period: 0s, profiles: [tools], depends_on: [helper]}
  helper: {image: "@REG@/web:1.0", stop_grace_period: 0s, profiles: [tools]}
networks: {back: {labels: {color: red}}}
volumes: {kept: {labels: {size: small}}}
"""
FILES = {
    "hsm.yaml": "services: {once: {oneshot: true}}\n",
    "docker-compose.yml": BASE,
    "web.env": "A=1\n",
    "labels": "color=red\n",
}
USUAL = {"web", "twin", "labelled", "inside", "borrower", "keeper"}


@pytest.fixture(scope="module")
def running(module_workspace: Live) -> Workspace:
    """All of it, up; every test leaves it so."""
    here = module_workspace("doit", FILES)
    here.spy_on_docker(here.root.parent / "calls")
    here.variables["HOME"] = str(here.root.parent)
    here.run("up")
    return here


def calls(here: Workspace, *words: str) -> list[str]:
    """The compose calls of a run."""
    log = here.root.parent / "calls"
    log.unlink(missing_ok=True)
    here.run(*(words or ("up",)))
    return [line for line in log.read_text().splitlines() if "compose" in line] if log.exists() else []


def assert_right(here: Workspace, *words: str) -> None:
    """A second `up` asks compose nothing and touches nothing."""
    before = here.containers()
    assert calls(here, *words) == []
    assert here.containers() == before


def why(here: Workspace, step: str, *words: str) -> str:
    """The reason of a step that ran, after which all is right again."""
    lines = {line["step"]: line for line in here.lines(*(words or ("up",)))}
    assert lines[step]["result"] == "ran", lines
    reason = str(lines[step]["reason"])
    assert_right(here, *words)
    return reason


def container(here: Workspace, service: str) -> str:
    return here.containers()[service]


def test_nothing_to_do_is_no_call_of_compose_and_no_second_one_shot(running: Workspace) -> None:
    assert set(running.containers()) == USUAL
    assert running.ended() == {"once"}
    assert_right(running)
    assert set(running.steps("up", "up:web").values()) == {"fresh"}


SYNCED = {"lock", "merge", "check", "render:web", "resolve:web"}
WEB = "  web: &web\n"


def _say_more(here: Workspace) -> None:
    here.edit("docker-compose.yml", WEB, f"{WEB}    labels: {{more: said}}\n")


def _edit_the_override(here: Workspace) -> None:
    here.write("docker-compose.hsm.yml", here.override + "# by hand\n")


def _undo(here: Workspace) -> None:
    here.edit("docker-compose.yml", f"{WEB}    labels: {{more: said}}\n", WEB)


def test_a_start_stands_on_what_is_known_of_the_sync_before_it_as_long_as_that_holds(running: Workspace) -> None:
    snapshot = running.root / ".hsm/snapshot"
    for harm in (_say_more, _edit_the_override, _undo):
        running.steps("up"), running.steps("up")
        written = snapshot.stat().st_mtime_ns
        found = running.steps("up:web")
        assert found.keys() >= SYNCED, "what is known to be fresh is told, too"
        assert set(found.values()) == {"fresh"}
        running.run("sync")
        assert snapshot.stat().st_mtime_ns == written, "a start has left what a sync needs"
        harm(running)
        assert running.steps("up:web")["check"] == "ran"
    running.run("up")
    assert_right(running)


def _stop(here: Workspace, name: str) -> None:
    here.engine("stop", "-t", "0", name)


def _kill(here: Workspace, name: str) -> None:
    here.engine("kill", name)


def _remove(here: Workspace, name: str) -> None:
    here.engine("rm", "-f", name)


def _pause(here: Workspace, name: str) -> None:
    here.engine("pause", name)


def _disconnect(here: Workspace, name: str) -> None:
    here.engine("network", "disconnect", f"{here.project}_back", name)


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (_stop, "exited"),
        (_kill, "exited"),
        (_remove, "not running"),
        (_pause, "paused"),
        (_disconnect, "not on the network"),
    ],
)
def test_what_was_done_to_a_container(running: Workspace, harm: Callable[[Workspace, str], None], words: str) -> None:
    harm(running, container(running, "web"))
    assert words in why(running, "up:web")


def test_an_image_that_has_another_name_now(running: Workspace) -> None:
    # `used as written`: the pin has the digest, so the name that counts is the one with the digest
    one = running.engine("inspect", "-f", "{{.Image}}", container(running, "web")).strip()
    names = json.loads(running.engine("image", "inspect", "-f", "{{json .RepoDigests}}", one))
    running.engine("image", "rm", "-f", *names, *[running.servers.filled("@REG@/web:1.0")])
    assert why(running, "up:web") == "its image changed"


def test_an_env_file_and_a_file_of_labels(running: Workspace) -> None:
    running.write("web.env", "A=2\n")
    assert why(running, "up:web") == "its configuration changed"
    assert "A=2" in running.engine("exec", container(running, "web"), "env")
    (running.root.parent / "mine.env").write_text("MINE=1\n")
    assert why(running, "up:web") == "its configuration changed"
    assert "MINE=1" in running.engine("exec", container(running, "web"), "env")
    running.write("labels", "color=blue\n")
    assert why(running, "up:labelled") == "its configuration changed"
    labels = running.engine("inspect", "-f", "{{json .Config.Labels}}", container(running, "labelled"))
    assert json.loads(labels)["color"] == "blue"


def test_a_variable_of_the_shell_or_of_env(running: Workspace) -> None:
    running.variables |= {"SHELL_WORD": "hello"}
    assert why(running, "up:web", "up:web") == "its configuration changed"
    assert "SHELL_WORD=hello" in running.engine("exec", container(running, "web"), "env")
    del running.variables["SHELL_WORD"]
    running.write(".env", "SAID=from .env\n")
    assert why(running, "up:web", "up:web") == "its configuration changed"
    assert "SAID=from .env" in running.engine("exec", container(running, "web"), "env")
    (running.stack / ".env").unlink()
    assert why(running, "up:web") == "its configuration changed"


def test_who_lives_in_another_container_moves_with_it(running: Workspace) -> None:
    before = running.containers()
    running.engine("rm", "-f", before["web"])
    assert why(running, "up:inside") in ("web: not running", "its configuration changed")
    after = running.containers()
    assert {after[name] for name in ("inside", "borrower")}.isdisjoint(before.values())


def test_the_number_of_containers(running: Workspace) -> None:
    running.run("up")
    running.engine("rm", "-f", f"{running.project}-twin-2")
    assert why(running, "up:twin") == "1 of 2 containers"
    running.edit("docker-compose.yml", "scale: 2", "scale: 3")
    assert why(running, "up:twin") == "2 of 3 containers"
    running.edit("docker-compose.yml", "scale: 3", "scale: 2")
    assert why(running, "up:twin") == "3 of 2 containers"


def test_a_network_that_is_defined_otherwise(running: Workspace) -> None:
    running.edit("docker-compose.yml", "color: red", "color: green")
    assert why(running, "up:web") == "its networks or volumes changed"
    network = running.engine("network", "inspect", "-f", "{{json .Labels}}", f"{running.project}_back")
    assert json.loads(network)["color"] == "green"


def test_a_volume_that_is_defined_otherwise_is_kept_and_told_of(running: Workspace) -> None:
    running.edit("docker-compose.yml", "size: small", "size: big")
    said = running.run("up").err
    assert f"the volume {running.project}_kept is defined otherwise now, and stays as it is with its data" in said
    volume = running.engine("volume", "inspect", "-f", "{{json .Labels}}", f"{running.project}_kept")
    assert json.loads(volume)["size"] == "small"


def test_the_state_may_go_at_any_time(running: Workspace) -> None:
    before = running.containers()
    for name in ("compose.json", "started.json"):
        (running.root / ".hsm/shop" / name).unlink()
        running.run("up")
        assert running.containers() == before
        assert_right(running)


def test_a_service_that_waits_for_a_profile_comes_with_what_it_needs(running: Workspace) -> None:
    running.run("up:tool")
    assert set(running.containers()) == USUAL | {"tool", "helper"}
    assert calls(running, "up:tool") == []
    running.engine("kill", container(running, "helper"))
    assert running.steps("up:tool")["up:tool"] == "ran"
    assert calls(running, "up:tool") == []
    running.engine("rm", "-f", container(running, "tool"), container(running, "helper"))


def test_up_of_one_service_is_about_that_one(running: Workspace) -> None:
    running.engine("kill", container(running, "twin"))
    assert calls(running, "up:web") == []
    assert running.steps("up:inside")["up:inside"] == "fresh"
    running.engine("kill", container(running, "web"))
    running.run("up:web")
    assert "web" in running.containers()
    running.run("up")
    assert_right(running)


class TestTrouble:
    """Containers that do not become well."""

    def base(self, command: str, **keys: str) -> dict[str, str]:
        more = "".join(f", {key}: {value}" for key, value in keys.items())
        base = f"services: {{a: {{image: '@REG@/web:1.0', stop_grace_period: 0s, command: {command}{more}}}}}\n"
        return {"hsm.yaml": "services: {}\n", "docker-compose.yml": base}

    @pytest.mark.parametrize("delay", ["0", "0.4"])
    def test_one_that_ends(self, live: Make, delay: str) -> None:
        here = live("doit", self.base(f"[sh, -c, 'echo my last words; sleep {delay}; exit 3']"))
        done = here.run("up", code=1)
        assert "a: its container ended with exit 3" in done.err
        assert "| my last words" in done.err

    def test_one_that_is_unhealthy(self, live: Make) -> None:
        check = "{test: [CMD, 'false'], interval: 0.2s, retries: 2}"
        here = live("hsm", self.base("[sh, -c, 'echo i am ill; sleep 100']", healthcheck=check))
        done = here.run("up", code=1)
        assert "a: its container is unhealthy" in done.err
        assert "| i am ill" in done.err

    def test_one_that_is_restarted_again_and_again(self, live: Make) -> None:
        here = live("doit", self.base("[sh, -c, 'echo not yet; exit 4']", restart="always"))
        done = here.run("up", code=1)
        assert "ended with exit 4, again and again" in done.err
        assert "| not yet" in done.err

    def test_one_that_had_ended_before_is_not_to_blame(self, live: Make) -> None:
        here = live("doit", self.base("[sleep, '100']", stop_signal="SIGKILL"))
        here.run("up")
        here.run("stop:a")
        here.engine("network", "rm", f"{here.project}_default")
        done = here.run("up", code=1)
        assert "its container ended" not in done.err
        assert "not found" in done.err
        assert "`doit down`, then `doit up`" in done.err
        here.run("down", "up")

    def test_one_that_another_waits_for(self, live: Make) -> None:
        files = self.base("[sh, -c, 'echo no good; exit 5']", restart="'no'")
        files["docker-compose.yml"] = files["docker-compose.yml"].rstrip("}\n") + "}, " + (
            "b: {image: '@REG@/web:1.0', depends_on: {a: {condition: service_completed_successfully}}}}\n"
        )
        done = live("doit", files).run("up", code=1)
        assert "a: its container ended with exit 5" in done.err
        assert "| no good" in done.err
