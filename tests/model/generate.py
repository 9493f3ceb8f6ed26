"""How hypothesis makes stories: a stack of 2 to 12 services, then rounds of some edits and a run."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.model import edits
from tests.model.edits import Op, Set
from tests.model.stack import SERVICE, SLOTS, STACK

small, values = st.integers(0, 30), st.integers(1, 10)
GROUPS = ("db", "db_alias", "db_consumers", "extras", "queue", "tools")
SWITCHES = ("dev", "prod", "use", "unuse")
Story = tuple[int, list[Op]]


def _sets(count: int) -> st.SearchStrategy[Op]:
    """Mostly of services that are there; `present` adds and removes them."""
    slots = st.integers(0, count - 1)
    of_service = st.builds(Set, slots, st.sampled_from(sorted(SERVICE)), values)
    of_stack = st.builds(Set, st.just(-1), st.sampled_from(sorted(STACK)), values)
    coming = st.builds(Set, st.integers(0, SLOTS - 1), st.just("present"), values)
    kinds = st.builds(edits.Become, slots, small)
    return st.one_of(of_service, of_service, of_service, of_stack, of_stack, coming, kinds)


def _edits(count: int) -> st.SearchStrategy[Op]:
    sets = _sets(count)
    hands = st.builds(edits.Tamper, st.sampled_from(edits.TAMPERS), st.integers(0, 60))
    return st.one_of(
        sets, sets, sets, sets, hands, hands,
        st.builds(edits.Revert, st.integers(1, 6)),
        st.builds(edits.Work, st.sampled_from(edits.WORKS), small),
        st.one_of(
            st.builds(edits.Move, st.integers(0, 3), st.integers(0, 4)),
            st.builds(edits.Push, st.integers(0, 2), st.integers(0, 1)),
            st.builds(edits.Publish, st.integers(0, 3)),
            st.builds(edits.Refuse, st.integers(0, 2)),
            st.builds(edits.Allow),
            st.builds(edits.Touch, small),
        ),
    )  # fmt: skip


def _runs(count: int) -> st.SearchStrategy[Op]:
    sync = st.builds(edits.Sync, st.booleans(), st.booleans())
    return st.one_of(
        sync, sync, sync,
        st.builds(edits.Kill, st.integers(1, 150)),
        st.builds(edits.Switch, st.sampled_from(SWITCHES), small),
        st.one_of(
            st.builds(edits.Update, st.integers(-1, 11)),
            st.builds(edits.During, st.integers(1, 60), _sets(count)),
            st.builds(edits.Sneak, _sets(count)),
        ),
    )  # fmt: skip


def _rounds(count: int) -> st.SearchStrategy[list[Op]]:
    one = st.tuples(st.lists(_edits(count), min_size=1, max_size=3), _runs(count))
    return st.lists(one, min_size=3, max_size=8).map(lambda found: [op for edit, run in found for op in (*edit, run)])


def _story(count: int) -> st.SearchStrategy[Story]:
    kinds = st.tuples(*(st.builds(edits.Become, st.just(slot), small) for slot in range(count)))
    groups = st.lists(st.builds(Set, st.just(-1), st.sampled_from(GROUPS), st.just(1)), max_size=6)
    parts = st.tuples(kinds, groups, st.lists(_sets(count), max_size=20), _rounds(count))
    return parts.map(lambda found: (count, [op for part in found for op in part]))


stories: st.SearchStrategy[Story] = st.integers(2, SLOTS).flatmap(_story)
