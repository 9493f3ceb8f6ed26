"""SIGKILL by the clock: in the midst of git, of compose and of sqlite, where no moment of Python's own is."""

from __future__ import annotations

import random

import pytest

from tests.model.conftest import Tell
from tests.model.edits import Become, KillAfter, Op, Revert, Set, Sync, Tamper


@pytest.mark.parametrize("number", range(4))
def test_after_any_kill_the_next_sync_finishes_the_work(told: Tell, number: int) -> None:
    chance = random.Random(number)
    ops: list[Op] = [Become(slot, slot + number) for slot in range(6)]
    ops += [Set(-1, group, 1) for group in ("db", "db_alias", "extras")]
    for _ in range(6):
        ops.append(KillAfter(chance.randrange(5, 400)))
        edits: list[Op] = [Set(chance.randrange(6), "mode", 1 + chance.randrange(2)), Revert(1)]
        ops.append(chance.choice(edits))
        if chance.random() < 0.3:
            ops.append(Tamper("delete", "override.yml"))
        if chance.random() < 0.5:
            ops.append(Sync(whole=True))
    told(6, ops)
