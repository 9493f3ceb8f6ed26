"""The servers and workspaces of tests/commands."""

from __future__ import annotations

from tests.commands.conftest import live, make, servers

__all__ = ["live", "make", "servers"]
