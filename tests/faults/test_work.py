"""hsm never discards work: every state of a checkout against every command that touches checkouts.

All states stand side by side in one workspace, a service and a checkout for each; so each command is one run, and the
commands follow each other: what one of them has left, the next one must leave as well. Before each of them the server
has moved on, so that there is something to follow.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.commands.bench import Servers, Workspace
from tests.faults.checkouts import NEXT, STATES, UPSTREAM, Work, work
from tests.support.gitserver import commit, git

SUBMODULES = [name for name in STATES if name.startswith("submodule")]
QUIET = ("clean", "ignored", "stashed", "untracked", "amended", "with-worktree", "as-worktree", "empty-folder")
"""The states that are in nobody's way, so that a checkout follows, or is made."""


@dataclass
class Place:
    """The workspace with one checkout in each state, and what is there of work."""

    workspace: Workspace
    servers: Servers
    before: dict[str, Work]
    number: int = 0

    def move_on(self) -> None:
        """The server has one commit more, on main and on next; the first with every file that could be in the way."""
        self.number += 1
        for name in ("work", "work-sub"):
            source = self.servers.source(name)
            for path, text in NEXT.items():
                (source / path).write_text(text)
            git(source, "add", "--force", *NEXT)
            commit(source, {f"more{self.number}.txt": "theirs\n"})
            git(source, "branch", "--force", "next", "main")

    def path(self, name: str) -> Path:
        return self.workspace.root / "repos" / name

    def lost(self) -> list[str]:
        """What is gone since the beginning, of all states."""
        return [f"{name}: {gone}" for name in STATES for gone in self.before[name].lost(work(self.path(name)))]


@pytest.fixture(scope="module")
def servers_with_work(servers: Servers) -> Servers:
    servers.repository("work-module", {"keep.txt": "kept\n"})
    for name in ("work", "work-sub"):
        servers.repository(name, UPSTREAM)
        if name == "work-sub":
            url = servers.git.url("work-module.git")
            git(servers.source(name), "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", url, "sub")
        git(servers.source(name), "tag", "v1")
        commit(servers.source(name), {"a.txt": "1 and a half\n"})
    return servers


def hsm_yaml(ref: str = "main", url: str = "@GIT@/{}.git", leave: str = "") -> str:
    lines = ["mode: dev", "services:"]
    for name in STATES:
        where, more = ("work-sub", ", submodules: true") if name in SUBMODULES else ("work", "")
        if name != leave:
            lines.append(f'  {name}: {{repo: {{url: "{url.format(where)}", ref: {ref}, name: {name}{more}}}}}')
    return "\n".join(lines) + "\n"


@pytest.fixture
def place(servers_with_work: Servers, tmp_path: Path) -> Iterator[Place]:
    base = "services:\n" + "".join(f"  {name}: {{image: scratch, build: .}}\n" for name in STATES)
    files = {"hsm.yaml": hsm_yaml(), "docker-compose.yml": base}
    workspace = servers_with_work.workspace(tmp_path / "workspace", "doit", files).without_engine()
    workspace.run("sync")
    for name, state in STATES.items():
        state(workspace.root / "repos" / name)
    here = Place(workspace, servers_with_work, {})
    here.before |= {name: work(here.path(name)) for name in STATES}
    yield here
    workspace.remove()


def all_of(word: str) -> tuple[str, ...]:
    return tuple(f"{word}:{name}" for name in STATES)


def to_other_ref(place: Place) -> None:
    place.workspace.write("hsm.yaml", f"name: {place.workspace.project}\n" + hsm_yaml("next"))


def to_other_url(place: Place) -> None:
    text = hsm_yaml(url="@GIT@/work-module.git").replace(", submodules: true", "")
    place.workspace.write("hsm.yaml", f"name: {place.workspace.project}\n{text}")


def as_it_was(place: Place) -> None:
    place.workspace.write("hsm.yaml", f"name: {place.workspace.project}\n" + hsm_yaml())


def no_lock(place: Place) -> None:
    (place.workspace.stack / "hsm.lock").unlink()


def no_state(place: Place) -> None:
    shutil.rmtree(place.workspace.root / ".hsm")


def everybody_leaves(place: Place) -> None:
    place.workspace.write("hsm.yaml", f"name: {place.workspace.project}\nservices: {{}}\n")


def rewritten(place: Place) -> None:
    """The history of the server is another one now."""
    for name in ("work", "work-sub"):
        git(place.servers.source(name), "commit", "--quiet", "--amend", "-m", "another history")


def nothing(place: Place) -> None:
    """No edit before the command."""


COMMANDS: tuple[tuple[Callable[[Place], None], tuple[str, ...]], ...] = (
    (nothing, all_of("update")),
    (nothing, ("sync",)),
    (nothing, ("sync", "frozen=yes")),
    (nothing, all_of("prod")),
    (nothing, all_of("dev")),
    (to_other_ref, ("update",)),
    (to_other_url, ("sync",)),
    (as_it_was, ("clean",)),
    (nothing, ("forget",)),
    (no_state, ("sync",)),
    (nothing, ("build",)),
    (rewritten, ("update",)),
    (everybody_leaves, ("update",)),
)
MORE = (
    (as_it_was, ("update",)),
    (nothing, ("sync", "frozen=yes")),
    (nothing, ("plan", "update")),
    (nothing, ("status",)),
    (to_other_ref, ("sync",)),
    (to_other_url, ("update",)),
    (as_it_was, ("sync",)),
    (no_lock, ("sync",)),
    (no_state, ("update",)),
    (nothing, ("up",)),
    (nothing, ("-n", "0", "-a", "sync")),
    (rewritten, ("sync", "frozen=yes")),
)
"""What `scripts/test --long` does after them."""


def test_no_command_takes_work_away(place: Place) -> None:
    for edit, words in (*COMMANDS, *(MORE if os.environ.get("HSM_LONG") else ())):
        place.move_on()
        edit(place)
        options = () if words[0] in ("plan", "status", "clean", "forget") else ("--continue",)
        done = place.workspace.run(*options, *words, code=None)
        assert done.code in (0, 1, 3), f"{words}: {done.both}"
        assert not place.lost(), f"{edit.__name__}, then {' '.join(words)}: {place.lost()}\n{done.both}"
        if words == all_of("update"):
            judge_words(place, done.err)


def judge_words(place: Place, said: str) -> None:
    """A checkout whose owner has to do something is named with a way out; every other one has followed."""
    for name in STATES:
        if name in QUIET:
            assert (place.path(name) / "theirs.txt").exists(), f"{name} does not follow: {said}"
        else:
            about = said.partition(f"repos/{name} ")[2].partition("\nrepos/")[0]
            assert "hint: " in about[:600], f"{name}: {said}"
