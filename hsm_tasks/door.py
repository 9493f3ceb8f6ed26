"""`doit …` in a workspace: the one import line of its dodo.py.

doit itself can not be told the words of a command line before it makes the graph, takes every `name=value`, keeps its
state until the end of a run and calls a bug exit 3. So when doit asks this object for its tasks, it hands the command
line to the same `main` that `hsm` calls, and ends with its exit code: both doors are one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NoReturn

DOIT_CONFIG = {"backend": "json", "dep_file": ".hsm/never-written.json", "verbosity": 0}


class Door:
    """What doit finds in the namespace of dodo.py."""

    def create_doit_tasks(self) -> Iterator[dict[str, Any]]:
        """Called by doit when it loads the tasks; it never comes back."""
        self._open()

    def _open(self) -> NoReturn:
        from hsm_tasks.cli import console

        console()


hsm = Door()
