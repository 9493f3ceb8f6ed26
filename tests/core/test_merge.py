"""Fragments to one override."""

from __future__ import annotations

import pytest

from hsm_tasks.core.merge import HEADER, merge


def test_fragments_are_joined_below_the_name_of_the_project() -> None:
    fragments = ["services:\n  a:\n    image: a\n", "services: {}\n", "services:\n  b: !reset null\n"]
    assert merge("shop", fragments, []) == HEADER + "name: shop\nservices:\n  a:\n    image: a\n  b: !reset null\n"


def test_volumes_that_nobody_declares_are_declared() -> None:
    assert merge("shop", [], ["b", "a"]) == HEADER + "name: shop\nvolumes:\n  a: {}\n  b: {}\n"


def test_a_name_that_looks_like_a_number_stays_text() -> None:
    assert merge("0123", [], []) == HEADER + 'name: "0123"\n'


def test_what_is_no_fragment_is_a_bug() -> None:
    with pytest.raises(ValueError, match="not a fragment"):
        merge("shop", ["nonsense"], [])
