"""The servers and workspaces of tests/commands."""

from __future__ import annotations

from tests.commands.conftest import Make, live, make, servers

__all__ = ["Make", "live", "make", "servers"]
