"""One stage for the stories that are written down here."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence

import pytest

from tests.model.edits import Op
from tests.model.run import scratch, stage, tell

Tell = Callable[[int, Sequence[Op]], None]


@pytest.fixture(scope="session")
def told() -> Iterator[Tell]:
    """Plays a story: how many plain services there are at first, and what happens."""
    with scratch() as place, stage(place / "stage", place / "memo") as (servers, _):
        yield lambda count, ops: tell(place / "stage", servers, count, ops)

# 300 sequences take ten minutes beside other work; until they are quicker, `scripts/test --long` has them.
collect_ignore = [] if os.environ.get("HSM_LONG") else ["test_sequences.py"]
