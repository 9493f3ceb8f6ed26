"""Steps as values."""

from __future__ import annotations

from hsm_tasks.core.plan import plan
from hsm_tasks.core.steps import label
from tests.support.stage import REPO, scene


def test_steps_are_labelled_as_people_type_them() -> None:
    made = plan(scene(f"services: {{api: {{mode: dev, {REPO}}}}}", "{api: {image: a}, web: {image: w}}"))
    assert [label(step) for step in made.steps] == [
        "clone:api",
        "resolve:web",
        "lock",
        "render:api",
        "render:web",
        "merge",
        "check",
        "build:api",
        "up:api",
        "up:web",
    ]
    assert str(made) == "\n".join(label(step) for step in made.steps)
