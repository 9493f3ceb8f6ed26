"""The memo tells what the tools would tell: each kept answer is asked for anew here."""

from __future__ import annotations

from tests.model.edits import Become, During, Op, Revert, Set, Sync, Tamper
from tests.model.run import scratch, stage, tell


def test_an_answer_about_files_that_were_edited_meanwhile_is_not_kept() -> None:
    ops: list[Op] = [Sync()]
    for moment in (17, 18, 19):  # around the start of compose
        ops += [Set(1, "label", 1), Set(1, "env", moment), During(moment, Set(0, "image", 1))]
        ops += [Set(0, "image", 0), Sync(), Tamper("delete", "base.json"), Sync()]
    with scratch() as place, stage(place / "stage", place / "memo", doubting=True) as (servers, memo):
        tell(place / "stage", servers, 2, ops)
        assert memo.hits


def test_what_was_kept_is_what_the_tools_say_now() -> None:
    first: list[Op] = [Become(slot, slot + 1) for slot in range(6)]
    ops: list[Op] = [*first, Sync(True), Set(-1, "tag_env", 1), Sync(True), Revert(1), Set(-1, "name", 1), Sync(True)]
    with scratch() as place, stage(place / "stage", place / "memo", doubting=True) as (servers, memo):
        tell(place / "stage", servers, 6, ops)
        assert memo.hits > 1
        assert memo.asked > 3
