"""SIGKILL, SIGTERM and SIGINT at random moments of every command that writes: the next run finishes the work."""

from __future__ import annotations

import os

import pytest

from tests.faults.kills import SIGNALS, Stage
from tests.support import images, world

COMMANDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("new", ("sync",)),
    ("synced", ("update",)),
    ("synced", ("dev:api", "use:my")),
    ("dev", ("prod:api",)),
    ("dev", ("update:worker",)),
    ("synced", ("bundle", "--prod", "--tar")),
    ("synced", ("bundle", "--prod", "--out", "parcel")),
)
EACH = 30 if os.environ.get("HSM_LONG") else 3
"""How often each signal falls into each of them."""


@pytest.mark.parametrize(("state", "words"), COMMANDS, ids=[" ".join(words) for _, words in COMMANDS])
def test_after_any_signal_the_next_run_finishes_the_work(stage: Stage, state: str, words: tuple[str, ...]) -> None:
    for number in SIGNALS:
        for _ in range(EACH):
            stage.strike(state, words, number)


@pytest.mark.docker
def test_after_any_signal_the_next_build_builds(stage: Stage) -> None:
    if not world.engine_ready():
        pytest.skip("no engine answers")
    settings = world.docker_settings(stage.folder / "docker")
    stage.environ["DOCKER_HOST"] = settings.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    try:
        for number in SIGNALS * (EACH // 3):
            stage.strike("dev", ("build",), number)
    finally:
        del stage.environ["DOCKER_HOST"]
        images.put_away(os.environ, [f"{stage.project}-*"], [stage.project])
