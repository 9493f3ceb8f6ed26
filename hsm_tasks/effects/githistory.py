"""The commits between two places of a branch: from a checkout that has them, else from the server, and then not all.

A server is asked for commits alone, without their files, and for no more than a bounded number of them.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import msgspec

from hsm_tasks.core.errors import GitError
from hsm_tasks.effects import gitrefs
from hsm_tasks.effects.gitcall import ask, scrub

DEPTH = 200  # commits that a server is asked for
SHOWN = 20
_LONGEST = 120  # letters of a subject
_FORM = "--format=%H%x1f%cs%x1f%s"


class Commit(msgspec.Struct, frozen=True):
    """`date` is the day of the commit."""

    commit: str
    date: str
    subject: str


class History(msgspec.Struct, frozen=True):
    """The newest commits first, a bounded number of them. `total` None: the old commit was not met on the way back."""

    total: int | None
    newest: tuple[Commit, ...]


def between(url: str, ref: str, old: str, new: str, checkout: Path) -> History | None:
    """What `new` has and `old` has not; None where nobody tells. Nothing in the checkout changes."""
    try:
        server = gitrefs.server(url, ref, new)
        if (checkout / ".git").exists() and _has(checkout, old) and _has(checkout, new):
            return _read(checkout, (), old, new)
        return _asked(server, old, new)
    except (GitError, OSError):
        return None


def _has(repository: Path, commit: str) -> bool:
    return gitrefs.commit_of(repository, commit) is not None


def _asked(server: gitrefs.Server, old: str, new: str) -> History | None:
    with tempfile.TemporaryDirectory(prefix="hsm-") as folder:
        bare, here = Path(folder), ("--git-dir=.",)
        ask("init", "--bare", "--quiet", at=bare)
        wanted = ("fetch", "--quiet", "--no-tags", f"--depth={DEPTH}", "--filter=tree:0", "--", server.url, new)
        if server.call(*here, *wanted, at=bare).code:
            return None
        # of a commit that is not there git would ask the server again: so it is looked for in what came
        came = ask(*here, "rev-list", new, at=bare).out.split()
        if old in came:
            return _read(bare, here, old, new)
        lines = ask(*here, "log", _FORM, f"--max-count={SHOWN}", new, "--", at=bare)
        return History(None, _commits(lines.out)) if lines.code == 0 else None


def _read(repository: Path, here: tuple[str, ...], old: str, new: str) -> History | None:
    span = f"{old}..{new}"
    counted = ask(*here, "rev-list", "--count", span, "--", at=repository)
    lines = ask(*here, "log", _FORM, f"--max-count={SHOWN}", span, "--", at=repository)
    if counted.code or lines.code:
        return None
    return History(int(counted.out), _commits(lines.out))


def _commits(text: str) -> tuple[Commit, ...]:
    rows = (line.split("\x1f", 2) for line in text.split("\n") if line.count("\x1f") >= 2)
    return tuple(Commit(commit, date, _short(scrub(subject))) for commit, date, subject in rows)


def _short(subject: str) -> str:
    subject = "".join(letter if letter.isprintable() else " " for letter in subject)
    return subject if len(subject) <= _LONGEST else f"{subject[: _LONGEST - 1]}…"
