"""One stage for the stories that are written down here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pytest

from tests.model.edits import Op
from tests.model.run import scratch, stage, tell

Tell = Callable[[int, Sequence[Op]], None]


@pytest.fixture(scope="module")
def told() -> Iterator[Tell]:
    """Plays a story: how many plain services there are at first, and what happens. While it is there, the memo answers
    for the tools: it must be gone before the tests of another file begin."""
    with scratch() as place, stage(place / "stage", place / "memo") as (servers, _):
        yield lambda count, ops: tell(place / "stage", servers, count, ops)
