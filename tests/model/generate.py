"""How hypothesis makes stories: a stack of 2 to 12 services, then edits with syncs between them."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.model import edits
from tests.model.edits import Op, Set
from tests.model.stack import SERVICE, SLOTS, STACK

small = st.integers(0, 30)
slots = st.integers(0, SLOTS - 1)
values = st.integers(0, 10)
sets: st.SearchStrategy[Set] = st.one_of(
    st.builds(Set, slots, st.sampled_from(sorted(SERVICE)), values),
    st.builds(Set, slots, st.sampled_from(sorted(SERVICE)), values),
    st.builds(Set, st.just(-1), st.sampled_from(sorted(STACK)), values),
)
syncs = st.builds(edits.Sync, st.booleans())
rare: st.SearchStrategy[Op] = st.one_of(
    st.builds(edits.Move, st.integers(0, 3), st.integers(0, 4)),
    st.builds(edits.Push, st.integers(0, 2), st.integers(0, 1)),
    st.builds(edits.Publish, st.integers(0, 3)),
    st.builds(edits.Refuse, st.integers(0, 2)),
    st.builds(edits.Allow),
    st.builds(edits.Update, st.integers(-1, 11)),
    st.builds(edits.Touch, small),
    st.builds(edits.Work, st.sampled_from(edits.WORKS), small),
    st.builds(edits.During, st.integers(1, 60), sets),
)
ops: st.SearchStrategy[Op] = st.one_of(
    sets, sets, sets, syncs, syncs, syncs, rare,
    st.builds(edits.Revert, st.integers(1, 6)),
    st.builds(edits.Tamper, st.sampled_from(edits.TAMPERS), st.integers(0, 60)),
    st.builds(edits.Tamper, st.sampled_from(edits.TAMPERS), st.integers(0, 60)),
    st.builds(edits.Switch, st.sampled_from(("dev", "prod", "use", "unuse")), slots),
    st.builds(edits.Kill, st.integers(1, 150)),
)  # fmt: skip
counts = st.integers(2, SLOTS)
stories = st.tuples(counts, st.lists(sets, max_size=25), st.lists(ops, max_size=14))
