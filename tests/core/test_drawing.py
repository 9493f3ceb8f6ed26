"""Whom a drawing shows, as what, and with which steps."""

from __future__ import annotations

from typing import Any

from hsm_tasks.core import load
from hsm_tasks.core.choose import choose
from hsm_tasks.core.drawing import Drawing, Mark, Stage, draw
from hsm_tasks.core.lock import Lock
from hsm_tasks.core.model import Base
from hsm_tasks.core.plan import label, named_images, plan
from hsm_tasks.core.scene import Paths, Scene
from tests.core.drawings import small
from tests.test_docs import schema

HSM_YAML = """\
services:
  api: {mode: dev, repo: {url: "https://git.example/api.git", ref: main}}
  worker: {mode: dev, repo: {url: "https://git.example/api.git", ref: main}}
  web: {prod: {image: "registry.example/web", version: "^1"}}
  job: {oneshot: true}
groups:
  database: {strategy: 1-of-N, alias: db, options: [pg, my], selection: my}
  extras: {strategy: M-of-N, profiles: [debug, other], selection: [debug]}
"""
BASE: dict[str, Any] = {
    "web": {"image": "web:1", "depends_on": {"api": {"condition": "service_started"}}},
    "api": {"image": "api:1", "depends_on": {"db": {"condition": "service_started"}}},
    "worker": {"image": "api:1"},
    "job": {"image": "job:1"},
    "pg": {"image": "postgres:16"},
    "my": {"image": "mysql:8"},
    "made": {"build": {"context": "."}, "image": "made"},
    "shell": {"image": "sh:1", "profiles": ["debug"]},
    "spare": {"image": "sh:1", "profiles": ["other"]},
    "idle": {"image": "sh:${IDLE}", "profiles": ["never"]},
}


def drawn(reasons: tuple[str, ...] = ("first run",)) -> Drawing:
    stack = load.load([load.Source("hsm.yaml", HSM_YAML)], None, schema())
    base = Base(name="shop", services=BASE)
    chosen, findings = choose(stack, base)
    assert findings == ()
    named = [form.image for form in named_images(stack, base) if form.image]
    scene = Scene(
        stack=stack, committed=stack, base=base, chosen=chosen, committed_choice=chosen,
        images={image: image.replace("${IDLE}", "s3cret") for image in named},
        lock=Lock(), local_lock=Lock(), last_lock=Lock(), schema=schema(), base_digest="", compose="", project="shop",
        paths=Paths(stack="stacks/shop", base="stacks/shop", state=".hsm/shop", repos="repos"),
    )  # fmt: skip
    made = plan(scene)
    steps = [{"name": label(step), "state": "run", "reasons": list(reasons)} for step in made.steps]
    foreseen = {"stack": "shop", "steps": steps}
    return draw(scene, made, foreseen, lambda text: text.replace("s3cret", "•"))


def test_every_service_is_a_card_and_says_where_it_comes_from() -> None:
    told = {card.name: (card.mode, card.source) for card in drawn().cards}
    assert told == {
        "api": ("dev", "repos/api main"),
        "worker": ("dev", "repos/api main"),
        "web": ("prod", "registry.example/web ^1"),
        "job": ("prod", "job:1"),
        "pg": ("off", "not chosen"),
        "my": ("base", "mysql:8"),
        "made": ("base", "built"),
        "shell": ("base", "sh:1"),
        "spare": ("base", "sh:1"),
        "idle": ("base", "sh:•"),
        "debug": ("profile", "chosen"),
        "other": ("profile", "not chosen"),
    }


def test_an_arrow_leads_to_whoever_answers() -> None:
    drawing = drawn()
    names = {card.key: card.name for card in drawing.cards}
    arrows = {(names[arrow.tail], names[arrow.head], arrow.faint) for arrow in drawing.arrows}
    real, faint = {("web", "api", False), ("api", "my", False)}, {("debug", "shell", True), ("other", "spare", True)}
    assert arrows == real | faint


def test_groups_are_boxes_with_what_is_chosen_and_what_is_not() -> None:
    drawing = drawn()
    cards = {card.key: card for card in drawing.cards}
    assert [(box.name, box.about) for box in drawing.boxes] == [
        ("database", "1-of-N, answers to db"), ("extras", "M-of-N of profiles")]  # fmt: skip
    assert [[(cards[key].name, cards[key].chosen) for key in box.cards] for box in drawing.boxes] == [
        [("pg", False), ("my", True)], [("debug", True), ("other", False)]]  # fmt: skip


def test_a_card_carries_its_own_steps_and_a_clone_that_it_shares() -> None:
    cards = {card.name: card for card in drawn().cards}
    assert {"clone:api", "render:api", "build:api", "up:api"} <= {mark.step for mark in cards["api"].marks}
    assert {"clone:api", "render:worker"} <= {mark.step for mark in cards["worker"].marks}
    assert [mark.kind for mark in cards["web"].marks] == ["resolve", "render", "up"]
    assert [mark.kind for mark in cards["pg"].marks] == ["render"]


def test_what_must_not_be_shown_is_masked_in_sources_and_reasons() -> None:
    drawing = drawn(reasons=("the image is s3cret",))
    assert "s3cret" not in repr(drawing)
    assert Mark("lock", "run", ("the image is •",)) in next(s for s in drawing.stages if s.kind == "lock").marks


def test_notes_tell_what_the_rest_does_not() -> None:
    notes = {card.name: card.notes for card in drawn().cards}
    assert notes["my"] == ("answers to db",)
    assert notes["job"] == ("one-shot",)
    assert notes["shell"] == ("profile debug",)
    assert notes["idle"] == ("profile never", "waits to be started by name")


def test_a_stage_counts_and_takes_the_worst_of_its_steps() -> None:
    run, may, fresh = Mark("a:1", "run"), Mark("a:2", "may run"), Mark("a:3", "fresh")
    assert (Stage("a", (run, may, fresh)).words, Stage("a", (run, may, fresh)).state) == ("1 run, 1 may of 3", "run")
    assert (Stage("a", (may, fresh)).words, Stage("a", (may, fresh)).state) == ("1 may of 2", "may run")
    assert (Stage("a", (fresh,)).words, Stage("a", (fresh,)).state) == ("1 up to date", "fresh")


def test_the_order_of_stages_leads_over_those_that_have_no_step() -> None:
    assert small().order == (("lock", "build"), ("render", "build"))


def test_a_drawing_says_itself_in_a_line() -> None:
    assert small().words == "4 services, 2 groups, 4 steps: 1 run, 1 may of 4"
