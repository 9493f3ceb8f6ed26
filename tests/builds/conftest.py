"""The servers and workspaces of tests/commands, with an engine."""

from __future__ import annotations

from tests.commands.conftest import live, make, module_workspace, servers

__all__ = ["live", "make", "module_workspace", "servers"]
