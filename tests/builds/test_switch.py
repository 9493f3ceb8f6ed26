"""A switch while the stack is up, as the engine's events tell it; and ctrl-C."""

from __future__ import annotations

import signal
import subprocess
import time

import pytest

from tests.commands.bench import Workspace
from tests.commands.conftest import Make

pytestmark = pytest.mark.docker


def events(here: Workspace, since: float) -> list[str]:
    """What became of containers since then, as "start pg", in order."""
    form = '{{.Action}} {{index .Actor.Attributes "com.docker.compose.service"}}'
    label = f"label=com.docker.compose.project={here.project}"
    window = ("--since", f"{since:.3f}", "--until", f"{time.time():.3f}")
    listed = here.engine("events", *window, "--filter", "type=container", "--filter", label, "--format", form)
    return [line for line in listed.splitlines() if line.split()[0] in ("create", "start", "die", "destroy")]


def test_the_old_option_stops_before_the_new_one_starts_and_who_used_it_is_made_anew(live: Make) -> None:
    here = live("doit")
    here.run("up")
    before, since = here.containers(), time.time()
    results = here.steps("use:my", "up")
    told = events(here, since)
    assert told.index("die pg") < told.index("destroy pg") < told.index("start my")
    after = here.containers()
    assert set(after) == set(before) - {"pg"} | {"my"}
    assert after["api"] != before["api"], "it was told of another database"
    assert after["metrics"] == before["metrics"]
    assert here.volumes() == {f"{here.project}_pg-data"}
    assert results["up:my"] == "ran"
    assert "fresh" in {*here.steps("up").values()} and "ran" not in here.steps("up").values()
    here.run("use:pg", "up")
    assert set(here.containers()) == set(before)


def test_an_option_of_m_of_n_that_is_off_goes_and_only_that(live: Make) -> None:
    here = live("hsm")
    here.run("up")
    before = here.containers()
    here.run("unuse:metrics", "up")
    assert here.containers() == {name: one for name, one in before.items() if name != "metrics"}
    here.run("use:tracing", "up")
    assert set(here.containers()) == {*before, "tracing"} - {"metrics"}


def test_profiles_that_are_selected_and_deselected(live: Make) -> None:
    here = live("hsm")
    here.run("use:debug", "up")
    assert "toolbox" in here.containers()
    here.run("unuse:debug", "up")
    assert "toolbox" not in here.containers()
    assert not here.ended() - {"job"}
    here.run("up:toolbox")
    here.run("up")
    assert "toolbox" in here.containers(), "what was started by name stays"


def test_a_profile_that_compose_is_asked_for_behaves_as_compose_has_it(live: Make) -> None:
    here = live("hsm")
    here.edit("docker-compose.yml", "profiles: [debug]", "profiles: [own]")
    here.edit("hsm.yaml", "  tools:\n    strategy: M-of-N\n    profiles: [debug]\n    selection: []\n", "")
    here.run("up")
    assert "toolbox" not in here.containers()
    here.run("up", COMPOSE_PROFILES="own")
    assert "toolbox" in here.containers()
    here.run("stop:toolbox")
    here.write(".env", "COMPOSE_PROFILES=other,own\n")
    here.run("up")
    assert "toolbox" in here.containers()
    starts = {row["name"]: row["starts"] for row in here.run("status", "--json").json()["services"]}
    assert starts["toolbox"]
    here.write(".env", "\n")
    here.run("up")
    assert "toolbox" in here.containers(), "compose leaves it running, too"


SLOW = """\
services:
  slow:
    image: '@REG@/web:1.0'
    stop_grace_period: 0s
    healthcheck: {test: [CMD, test, -e, /ready], interval: 0.3s, start_period: 100s, retries: 1000}
"""
WAITS = "  late: {image: '@REG@/web:1.0', depends_on: {slow: {condition: service_healthy}}}\n"


@pytest.mark.parametrize("more", ["", WAITS], ids=["we wait", "compose waits"])
def test_an_interrupt_ends_compose_and_says_what_is_left(live: Make, more: str) -> None:
    here = live("hsm", {"hsm.yaml": "services: {}\n", "docker-compose.yml": SLOW + more})
    up = subprocess.Popen(
        (here.door, "up"), cwd=here.root, env=here.environment(), stderr=subprocess.PIPE, text=True
    )
    while "slow" not in here.containers():
        assert up.poll() is None
        time.sleep(0.1)
    time.sleep(1)
    up.send_signal(signal.SIGINT)
    _, said = up.communicate(timeout=20)
    assert up.returncode == 130, said
    assert "left as it is" in said
    left = subprocess.run(["pgrep", "-fa", f"compose -p {here.project}"], capture_output=True, text=True, check=False)
    assert left.stdout == ""
    here.engine("exec", here.containers()["slow"], "touch", "/ready")
    here.run("up")
    assert set(here.containers()) == {"slow", "late"} if more else {"slow"}
