"""`plan` says what then really runs, for each kind of edit; and it neither writes nor starts anything."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.commands.bench import Servers, Workspace
from tests.commands.conftest import Make

Edit = Callable[[Workspace], object]


def _planned(here: Workspace, *words: str) -> dict[str, Any]:
    gathered: dict[str, Any] = here.run("plan", *words, "--json").json()
    return gathered


def _held(here: Workspace, *words: str) -> dict[str, Any]:
    """The plan of these words, after it has been held against what they really run."""
    before = here.files()
    planned = _planned(here, *words)
    assert here.files() == before
    states = {step["name"]: step["state"] for step in planned["steps"]}
    lines = here.steps(*words)
    ran = {step for step, result in lines.items() if result == "ran"}
    sure = {step for step, state in states.items() if state == "run"}
    assert sure <= ran, f"planned, and did not run: {sure - ran}"
    assert ran <= {step for step, state in states.items() if state != "fresh"}, f"ran unplanned, of {states}"
    assert set(lines) == set(states)
    reasons = {step["name"]: step["reasons"] for step in planned["steps"]}
    assert all(bool(reasons[name]) == (state != "fresh") for name, state in states.items())
    return planned




def _without_tracing(here: Workspace) -> None:
    here.edit("docker-compose.yml", "  tracing:\n    image: @REG@/metrics\n", "")
    here.edit("hsm.yaml", "[metrics, tracing]", "[metrics]")


MORE = "  more: {image: '@REG@/web:1.0'}\n"
EDITS: dict[str, Edit] = {
    "nothing": lambda here: None,
    "mode": lambda here: here.write("hsm.local.yaml", "services: {api: {mode: dev}}\n"),
    "selection": lambda here: here.edit("hsm.yaml", "selection: pg", "selection: my"),
    "M-of-N": lambda here: here.edit("hsm.yaml", "selection: [metrics]", "selection: [metrics, tracing]"),
    "version": lambda here: here.edit("hsm.yaml", "^1.0", "~1.0"),
    "the image of an option": lambda here: here.edit("docker-compose.yml", "pg:16", "my:8"),
    "limits": lambda here: here.edit("hsm.yaml", "memory: 64M", "memory: 32M"),
    "a base service": lambda here: here.edit("docker-compose.yml", 'command: ["true"]', 'command: ["true", "-v"]'),
    "a service more": lambda here: here.edit("docker-compose.yml", "  toolbox:", f"{MORE}  toolbox:"),
    "a service less": lambda here: _without_tracing(here),
    "an override edited": lambda here: here.write("docker-compose.hsm.yml", "services: {}\n"),
    "an override deleted": lambda here: (here.stack / "docker-compose.hsm.yml").unlink(),
    "a fragment edited": lambda here: here.root.joinpath(".hsm/shop/fragments/web.yml").write_text("services: {}\n"),
    "a pin deleted": lambda here: here.root.joinpath(".hsm/shop/pins/web.json").unlink(),
    "the lock deleted": lambda here: (here.stack / "hsm.lock").unlink(),
    "a lock entry edited": lambda here: here.edit("hsm.lock", "1.1.0", "1.1.1"),
}


@pytest.mark.parametrize("edit", EDITS)
def test_the_plan_of_an_edit_is_what_the_next_sync_runs(make: Make, edit: str) -> None:
    here = make()
    here.run("sync")
    EDITS[edit](here)
    _held(here, "sync")


def test_the_first_plan_names_every_step_and_the_registry_where_it_must_be_asked(make: Make) -> None:
    here = make()
    planned = _held(here, "sync")
    assert {step["state"] for step in planned["steps"]} <= {"run", "may run"}
    assert "resolve:web will tell" in planned["diff"]


def test_an_update_may_or_may_not_move_what_follows(make: Make, servers: Servers) -> None:
    here = make()
    here.run("sync")
    _held(here, "update")
    servers.push("web", "1.0", text="web 1.0 anew")
    planned = _held(here, "update")
    states = {step["name"]: step["state"] for step in planned["steps"]}
    assert states["resolve:web"] == "run"
    assert states["render:web"] == "may run"


def test_switch_words_are_planned_and_not_applied(make: Make) -> None:
    here = make()
    here.run("sync")
    planned = _planned(here, "dev:api", "use:my")
    assert not (here.stack / "hsm.local.yaml").exists()
    assert "mode (prod → dev)" in next(step for step in planned["steps"] if step["name"] == "render:api")["reasons"][0]
    assert "+    build:" in planned["diff"]
    assert "alias" in planned["diff"]


def test_the_diff_is_what_becomes_of_the_override(make: Make) -> None:
    here = make()
    here.run("sync")
    old = here.override
    here.edit("hsm.yaml", "memory: 64M", "memory: 32M")
    planned = _planned(here)
    here.run("sync")
    added = [line[1:] for line in planned["diff"].splitlines() if line.startswith("+") and not line.startswith("+++")]
    gone = [line[1:] for line in planned["diff"].splitlines() if line.startswith("-") and not line.startswith("---")]
    assert added == [line for line in here.override.splitlines() if line not in old.splitlines()]
    assert gone == [line for line in old.splitlines() if line not in here.override.splitlines()]


def test_a_person_reads_steps_with_reasons_and_the_diff(make: Make) -> None:
    here = make()
    here.run("sync")
    assert here.run("plan").out.startswith("0 of ")
    here.edit("hsm.yaml", "memory: 64M", "memory: 32M")
    said = here.run("plan")
    assert "would run" in said.out
    assert "render:api" in said.out
    assert "config changed: deploy" in said.out
    assert '-          memory: "64M"' in said.out


@pytest.mark.parametrize("content", [b"", b"no database\n" * 1000])
def test_a_state_that_is_none_is_left_to_who_may_write(make: Make, content: bytes) -> None:
    here = make()
    here.run("sync")
    state = here.root / ".hsm/shop/state.db"
    state.write_bytes(content)
    planned = _planned(here, "sync")
    assert state.read_bytes() == content
    assert sorted(path.name for path in state.parent.glob("state.db*")) == ["state.db"]
    assert {step["state"] for step in planned["steps"]} <= {"run", "may run"}


def test_a_word_that_means_nothing_is_refused(make: Make) -> None:
    here = make()
    assert "did you mean up:api" in here.run("plan", "up:apo", code=3).err


@pytest.mark.docker
def test_up_is_planned_from_what_really_runs(live: Make) -> None:
    here = live(files={"hsm.local.yaml": "services: {api: {mode: dev}}\n"})
    _held(here, "up")
    planned = _held(here, "up")
    assert {step["state"] for step in planned["steps"]} == {"fresh"}
    here.run("stop:web")
    planned = _held(here, "up")
    assert {step["name"] for step in planned["steps"] if step["state"] == "run"} == {"up:web"}
