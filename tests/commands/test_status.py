"""`status` says where what runs, and what is written, is not what hsm.yaml says; it changes nothing, takes no lock."""

from __future__ import annotations

import os
from typing import Any

import pytest

from tests.commands.bench import Workspace
from tests.commands.conftest import Live, Make


def stale(here: Workspace) -> dict[str, list[str]]:
    """service (or "" for the stack) → the steps that are not fresh."""
    told: Any = here.run("status", "--json").json()
    found = {row["name"]: [one["name"] for one in row["stale"]] for row in [*told["services"], {**told, "name": ""}]}
    return {name: steps for name, steps in found.items() if steps}


def test_a_stale_override_is_told_without_an_engine_and_nothing_is_written(make: Make) -> None:
    here = make()
    here.run("sync")
    assert stale(here) == {}
    assert "STALE" not in here.run("status").out
    here.edit("hsm.yaml", "memory: 64M", "memory: 65M")
    before = here.files()
    assert stale(here) == {"api": ["render:api"], "": ["merge", "check"]}
    said = here.run("status").out
    assert "override: config changed: " in said
    assert "the override is not what hsm.yaml says: `doit sync` makes it so" in said
    assert "the engine could not be asked" in said
    assert here.changed(before) == set()


def test_it_takes_no_lock(make: Make) -> None:
    here = make()
    here.run("sync")
    (here.root / ".hsm/lock.holder").write_text(f"process {os.getpid()} (doit up)\n")
    assert "waiting" not in here.run("status").both


def test_before_the_first_sync_everything_is_to_do(make: Make) -> None:
    here = make()
    found = stale(here)
    assert found["api"] == ["resolve:api", "render:api"]
    assert not (here.root / ".hsm").exists()


@pytest.mark.docker
def test_a_container_that_is_not_what_would_be_started_is_told(live: Live) -> None:
    here = live()
    here.run("up:metrics", "up:pg")
    assert "metrics" not in stale(here)
    here.edit("docker-compose.yml", "  tracing:\n", "    labels: {new: '1'}\n  tracing:\n")
    here.run("sync")
    assert stale(here)["metrics"] == ["up:metrics"]
    assert "container: its configuration changed" in here.run("status").out
    here.run("up:metrics", "up:pg")
    assert "metrics" not in stale(here)
    here.engine("stop", "-t", "0", here.containers()["pg"])
    assert stale(here)["pg"] == ["up:pg"]
