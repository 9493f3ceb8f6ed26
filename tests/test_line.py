"""A command line, taken apart."""

from __future__ import annotations

import pytest

from hsm_tasks.core.errors import ConfigError
from hsm_tasks.line import parse, variables


@pytest.mark.parametrize(
    ("before", "handed"),
    [
        (("compose",), ("run", "-e", "A=1", "api", "stack=x")),
        (("stack=shop", "compose"), ("exec", "api", "sh", "-c", "x=1; echo hi")),
        (("-n", "4", "stack=shop", "compose"), ("ps",)),
        (("stack=shop", "sh:api"), ("psql", "host=db")),
    ],
)
def test_what_another_program_reads_is_handed_over_as_it_is(before: tuple[str, ...], handed: tuple[str, ...]) -> None:
    line = parse((*before, *handed))
    assert (str(line.first), line.rest) == (before[-1], handed)
    assert line.variables == variables((*before, *handed)) == ({"stack": "shop"} if "stack=shop" in before else {})


def test_of_all_other_words_variables_may_stand_behind() -> None:
    assert parse(("logs:api", "--tail=3", "stack=shop")).variables == {"stack": "shop"}
    assert parse(("up:api", "stack=shop")).variables == {"stack": "shop"}
    with pytest.raises(ConfigError, match="says nothing to hsm"):
        parse(("up:api", "compose", "A=1"))
