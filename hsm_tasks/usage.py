"""What there is to say about words: the lines of `hsm help`."""

from __future__ import annotations

from hsm_tasks import tables
from hsm_tasks.words import COMMANDS

_USAGE = """\
usage: hsm [OPTIONS] [WORD…] [stack=NAME] [frozen=yes]
       doit … does the same where a dodo.py is

Words:"""
_END = """\
doit's own commands: list, info STEP, forget, clean, help WORD. Options of a run: -n JOBS, --continue, -a, -v0.
Exit codes: 0 done, 1 a step failed, 2 a bug in hsm, 3 hsm.yaml, the settings or the command line is wrong."""


def commands() -> str:
    """A line for each."""
    return tables.columns([(name, text) for name, text in sorted(COMMANDS.items())])


def text() -> str:
    """All of it."""
    return f"{_USAGE}\n\n{commands()}\n\n{_END}"
