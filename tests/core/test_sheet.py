"""Where things stand: nothing on top of anything else, groups around their options, crowds in rows."""

from __future__ import annotations

import itertools

import pytest

from hsm_tasks.core.drawing import Drawing
from hsm_tasks.core.sheet import Place, Sheet, arrange, crowds, outlines
from hsm_tasks.effects.graphviz import layout
from tests.core.drawings import HOSTILE, crowd, hostile, small


def arranged(drawing: Drawing) -> Sheet:
    stages, services = outlines(drawing)
    return arrange(drawing, (layout(stages), layout(services)))


def inside(inner: Place, outer: Place) -> bool:
    return (outer.x <= inner.x and inner.x + inner.width <= outer.x + outer.width
            and outer.y <= inner.y and inner.y + inner.height <= outer.y + outer.height)  # fmt: skip


def apart(one: Place, other: Place) -> bool:
    return (one.x + one.width <= other.x or other.x + other.width <= one.x
            or one.y + one.height <= other.y or other.y + other.height <= one.y)  # fmt: skip


@pytest.mark.parametrize("drawing", [small(), hostile(), crowd(5), crowd(40), crowd(200)])
def test_no_card_covers_another_and_all_lie_on_the_sheet(drawing: Drawing) -> None:
    sheet = arranged(drawing)
    places = [sheet.places[card.key] for card in drawing.cards]
    places += [sheet.places[stage.kind] for stage in drawing.stages]
    assert all(apart(one, other) for one, other in itertools.combinations(places, 2))
    whole = Place(0, 0, sheet.width, sheet.height)
    assert all(inside(place, whole) for place in sheet.places.values())


def test_a_box_lies_around_its_options_and_around_nobody_else() -> None:
    sheet = arranged(small())
    box = sheet.places["box0"]
    assert {card.key for card in small().cards if inside(sheet.places[card.key], box)} == {"s2", "s3"}


def test_arrows_lead_from_left_to_right() -> None:
    sheet = arranged(small())
    for curve in sheet.curves:
        assert sheet.places[curve.tails[0]].x < sheet.places[curve.head].x
        assert (len(curve.points) - 1) % 3 == 0


def test_many_that_need_the_same_have_one_arrow() -> None:
    (together,) = crowds(crowd(40))
    assert together.cards == tuple(f"s{number}" for number in range(40))
    sheet = arranged(crowd(40))
    (curve,) = sheet.curves
    assert (curve.tails, curve.head) == (together.cards, "db")
    assert all(inside(sheet.places[key], sheet.places["crowd0"]) for key in together.cards)
    assert crowds(crowd(6)) == ()


def test_the_same_drawing_gives_the_same_sheet_and_no_word_of_a_person_reaches_the_engine() -> None:
    assert arranged(small()) == arranged(small())
    assert not any(piece in question for question in outlines(hostile()) for piece in HOSTILE.split())
