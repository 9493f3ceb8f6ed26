"""Where things are, seen from the workspace and from the base."""

from __future__ import annotations

import pytest

from hsm_tasks.core.model import Repository
from hsm_tasks.core.scene import Paths


def paths(stack: str = "stacks/shop", base: str = "stacks/shop") -> Paths:
    return Paths(stack=stack, base=base, state=".hsm/shop", repos="repos")


def test_a_checkout_lies_among_the_others() -> None:
    assert paths().checkout(Repository(url="u", name="api")) == "repos/api"


@pytest.mark.parametrize(
    ("path", "seen"), [("../../../api", "../api"), ("./mine", "stacks/shop/mine"), ("/home/me/api", "/home/me/api")]
)
def test_a_checkout_of_mine_is_relative_to_the_stack(path: str, seen: str) -> None:
    assert paths().checkout(Repository(url="u", name="api", path=path)) == seen


@pytest.mark.parametrize(
    ("base", "seen"), [("stacks/shop", "../../repos/api"), ("", "repos/api"), ("compose", "../repos/api")]
)
def test_compose_sees_a_path_from_the_base_and_it_leads_back(base: str, seen: str) -> None:
    here = paths(base=base)
    assert here.from_base("repos/api") == seen
    assert here.to_workspace(seen) == "repos/api"


def test_an_absolute_path_is_the_same_from_everywhere() -> None:
    assert paths().from_base("/home/me/api") == paths().to_workspace("/home/me/api") == "/home/me/api"
