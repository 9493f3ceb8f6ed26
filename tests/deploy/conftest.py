"""One registry and one git server for all tests of this folder; workspaces go with all that they started.

A deploy has to watch for seconds whether all stays well. So one story over ssh and one on a swarm are always told, and
what is in files called `*_long.py` takes minutes: `scripts/test --long` has these.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.commands.bench import Servers, Workspace
from tests.commands.conftest import servers

__all__ = ["Make", "make", "servers"]

collect_ignore_glob = [] if os.environ.get("HSM_LONG") else ["*_long.py"]
Make = Callable[[Mapping[str, str]], Workspace]


@pytest.fixture
def make(servers: Servers, tmp_path: Path) -> Iterator[Make]:
    """A workspace in a git repository, without an engine: `make(files)`."""
    made: list[Workspace] = []

    def workspace(files: Mapping[str, str]) -> Workspace:
        one = servers.workspace(tmp_path / f"workspace{len(made)}", "doit", files).without_engine()
        made.append(one)
        one.under_git()
        return one

    yield workspace
    for one in made:
        one.used_engine = True
        one.remove()
