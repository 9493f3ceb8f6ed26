"""What all tests share: one flag, their order, and patience."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

from tests.support import swarm

settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")  # a machine that is busy is no failure of what is tested


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write anew what tests/stacks expects, for review")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The random stories first, then files that need an engine, the quick ones of the core last: a worker that begins
    late with a long file is waited for."""
    engine = {item.path for item in items if item.get_closest_marker("docker")}
    items.sort(key=lambda item: (
        item.path.stem != "test_sequences", item.path not in engine, item.path.parent.name == "core",
    ))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Of the whole session: the process that workers belong to ends after the last of them."""
    if not hasattr(session.config, "workerinput"):
        swarm.leave()
