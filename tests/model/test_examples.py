"""Stories that once broke a promise, as short as they came out, each with what was wrong."""

from __future__ import annotations

import pytest

from tests.model.conftest import Tell
from tests.model.edits import Become, During, Kill, Op, Revert, Set, Switch, Sync, Tamper

FIRST = [*((slot, 0) for slot in (0, 1, 2, 3, 4, 6, 7, 8, 9)), (5, 2), (10, 9)]
def edited(moment: int) -> list[Op]:
    """An image that is another one for a moment, in a base of which nothing is known yet."""
    return [Set(1, "label", 1), Set(1, "env", moment), During(moment, Set(0, "image", 1)), Set(0, "image", 0)]


GROUPS: list[Op] = [Set(-1, "db", 1), Set(-1, "queue", 1)]
BROKEN: dict[str, tuple[int, list[Op]]] = {
    "an option and a service share an image, so their pins said different things": (5, [Set(-1, "db", 1)]),
    "an option on this machine alone shares its image, and what that says went into hsm.lock": (
        11,
        [Become(0, 11), Become(8, 7), Set(-1, "db", 1), Set(0, "build", 1), Sync(), Set(-1, "comment", 1)],
    ),
    "last.lock is another file of ours": (2, [Sync(), Tamper("other", "last.lock")]),
    "local.lock is no text any more: every sync ended with exit 3": (2, [Sync(), Tamper("garbage", "local.lock")]),
    "local.lock was edited, and taken at its word": (
        4,
        [Become(3, 11), Set(3, "local_image", 2), Sync(), Tamper("edit", "local.lock")],
    ),
    "last.lock is no text any more": (2, [Sync(), Tamper("garbage", "last.lock")]),
    "the cached base was edited, and taken at its word": (2, [Sync(), Tamper("edit", "base.json")]),
    "a pin is no JSON any more": (2, [Sync(), Tamper("garbage", "s0.json"), Tamper("delete", "hsm.lock")]),
    "a person's own checkout was looked at by each sync": (
        2,
        [Become(0, 0), Become(1, 0), Set(0, "local_path", 1), Become(0, 1), Sync()],
    ),
    "a service that goes to dev and back had its image resolved anew": (
        3,
        [Become(0, 2), Set(0, "local_mode", 2), Sync(), Set(0, "local_mode", 1), Sync(), Set(0, "local_mode", 2)],
    ),
    "the switch of an option that is off went to the option that is chosen": (
        2,
        [Become(0, 6), Become(1, 0), Set(-1, "db", 1), Switch("dev", 0), Sync(), Revert(1)],
    ),
    "in prod the context of the dev section was looked for beside the base, and its binds were dropped": (
        8,
        [Become(0, 1), Set(0, "volume", 2), Sync(), Set(0, "dev_build", 1), Sync()],
    ),
    "the oracle: a commit that is only asked for is no checkout": (
        6,
        [Become(1, 4), Become(5, 4), Set(-1, "db", 1), Set(5, "local_mode", 2), Sync(), Set(0, "present", 2), Sync()],
    ),
    "the oracle: whether the chosen option has a healthcheck changes who waits for it": (
        11,
        [*(Become(slot, kind) for slot, kind in FIRST), *GROUPS, Sync(), Set(5, "named", 0), Sync()],
    ),
    "the base was edited while compose read it, and then put back: what it had read was believed": (
        2,
        [Sync(), *(op for moment in (17, 18, 19) for op in (*edited(moment), Sync(True)))],
    ),
    "plan: whoever looked at the state after a kill brought its files in order": (
        4,
        [Become(0, 0), Become(1, 4), Sync(), Set(0, "dev_env", 1), Kill(40), Sync(True, planned=True)],
    ),
    "plan: a state that was emptied after a kill was made anew": (
        4,
        [Become(0, 0), Become(1, 0), Sync(), Set(0, "base", 1), Kill(1), Tamper("empty", "state.db"),
         Sync(True, planned=True)],
    ),
    "an image of an option of this machine alone was asked for again as its entry moved to hsm.lock": (
        2,
        [Become(0, 27), Set(-1, "db", 1), Become(0, 11), Set(0, "base", 1), Sync(), Set(-1, "comment", 1), Sync(),
         Set(4, "present", 1), Sync(True)],
    ),
    "plan: the override was no text any more, so there was no plan": (
        2,
        [Sync(), Tamper("garbage", "docker-compose.hsm.yml"), Sync(True, planned=True)],
    ),
    "plan: hsm.lock may be written, it said, although nobody had to be asked": (
        4,
        [Become(0, 0), Become(1, 1), Sync(), Tamper("delete", "s2.json"), Sync(True, planned=True)],
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_it_does_not_break_again(told: Tell, what: str) -> None:
    told(*BROKEN[what])
