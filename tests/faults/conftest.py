"""The servers and workspaces of tests/commands, and a stage for what goes wrong in the middle of a run."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator

import pytest

from tests.commands.conftest import Make, live, make, servers
from tests.faults.kills import Stage
from tests.model.run import scratch
from tests.support.registry import RegistryServer

__all__ = ["Make", "live", "make", "servers", "stage"]

collect_ignore_glob = [] if os.environ.get("HSM_LONG") else ["*_long.py"]


@pytest.fixture(scope="session")
def stage() -> Iterator[Stage]:
    with scratch() as folder, RegistryServer() as registry:
        name = f"hsmkill{os.getpid()}"
        made = Stage(folder, registry, {"HSM_TEST_MARK": name, "HSM_SNAPSHOT": "off"}, name, random.Random())
        made.fill()
        yield made
