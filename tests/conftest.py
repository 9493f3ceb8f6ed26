"""What all tests share: one flag, and their order."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write anew what tests/stacks expects, for review")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that need an engine first: they take the longest, and a worker that begins with one last is waited for."""
    long = {item.path for item in items if item.get_closest_marker("docker")}
    items.sort(key=lambda item: item.path not in long)
