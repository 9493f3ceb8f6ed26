"""The memo tells what the tools would tell: each kept answer is asked for anew here."""

from __future__ import annotations

from tests.model.edits import Become, Op, Revert, Set, Sync
from tests.model.run import scratch, stage, tell


def test_what_was_kept_is_what_the_tools_say_now() -> None:
    first: list[Op] = [Become(slot, slot + 1) for slot in range(6)]
    ops: list[Op] = [*first, Sync(True), Set(-1, "tag_env", 1), Sync(True), Revert(1), Set(-1, "name", 1), Sync(True)]
    with scratch() as place, stage(place / "stage", place / "memo", doubting=True) as (servers, memo):
        tell(place / "stage", servers, 6, ops)
        assert memo.hits > 1
        assert memo.asked > 3
