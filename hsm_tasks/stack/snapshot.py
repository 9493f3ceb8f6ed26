"""Writes down what a sync that did nothing depended on, so that the next one can be answered by `shortcut`.

It is written by runs in which every step was fresh, and only by those: then "nothing is stale" was seen, not concluded.
A file counts as the one that the run read if it has not changed since before the run began, by a clock's tick or more.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from hsm_tasks import shortcut
from hsm_tasks.core import dodofile
from hsm_tasks.core.errors import HsmError
from hsm_tasks.core.plan import Plan
from hsm_tasks.core.steps import Clone
from hsm_tasks.effects import compose, files
from hsm_tasks.shortcut import Snapshot
from hsm_tasks.stack.scene import Opened, read_texts
from hsm_tasks.stack.workspace import LOCAL, LOCK, STATE, places

_VARIABLE = re.compile(r"\$\{?([A-Za-z_][A-Za-z0-9_]*)")
_ALWAYS = ("HOME", "PATH")  # by them docker and its plugin are found
_LIBRARIES = ("doit", "msgspec", "yaml")


def keep(opened: Opened, plan: Plan, asked: str, last_words: str, steps: Iterable[str], made: Iterable[str]) -> None:
    """After a sync of which every step was fresh. `made`: the files that the steps read and leave.

    Writes nothing where something counts that can not be told by looking at files, or has changed a moment ago.
    """
    if os.environ.get(shortcut.OFF) == "off" or not _told_by_files(plan) or not _is_quiet(Path("dodo.py")):
        return
    with contextlib.suppress(HsmError, OSError):  # another stack is broken, or the disk is full: the next run is slower
        paths = sorted({*_sources(opened), *made, *_around(opened)})
        names = sorted({*_ALWAYS, *_variables(opened)})
        _write(opened, asked, Snapshot(
            key=shortcut.key(names, asked),
            last_words=last_words,
            stats=shortcut.stats(paths),
            names=names,
            paths=paths,
            there=sorted(_checkout(step) for step in plan.clones if not step.ask),
            steps=steps,
        ))


def _checkout(step: Clone) -> str:
    """A person's own need be no repository, only be there."""
    return step.directory if step.own else f"{step.directory}/.git"


def _write(opened: Opened, asked: str, found: Snapshot) -> None:
    """Everything but the snapshot is written by now, so a file is either as the run saw it, or younger than that."""
    begun = opened.workspace.begun
    if all(ctime == -1 or shortcut.is_calm(ctime, begun) for ctime in shortcut.ctimes(found.stats)):
        files.put(Path(shortcut.place(asked)), shortcut.text(found).encode("utf-8", "surrogateescape"))


def _told_by_files(plan: Plan) -> bool:
    """An image that only the engine has is asked for again by each sync; compose may have to be asked who it is."""
    unknown = any(step.locked is None and "@" not in step.image for step in plan.resolves)
    return not unknown and bool(compose.identity_files())


def _sources(opened: Opened) -> Iterator[str]:
    """What people wrote, of this stack and of the others; and what they might write yet."""
    here, folder = opened.workspace, Path(opened.workspace.stacks[opened.name])
    yield from map(str, places(here))
    for name, other in here.stacks.items():
        yield from (source.filename for source in read_texts(here, name).all)
        yield f"{other}/{LOCAL}"
    yield str(folder / LOCK)
    yield from map(str, base_files(opened))


def base_files(opened: Opened) -> tuple[Path, ...]:
    """All that the base is made of, and what would become a part of it: includes, extends, env files."""
    given = opened.files
    env_files = {*compose.env_files(opened.folder, opened.environ), *compose.env_files(given[0].parent, opened.environ)}
    return (*compose.candidates(opened.folder, given[0]), *given, *compose.sources(given), *sorted(env_files))


def _around(opened: Opened) -> Iterator[str]:
    """What hsm keeps besides the files of steps; and hsm itself, what it is made of, and compose."""
    state = f"{STATE}/{opened.name}"
    yield from (f"{STATE}/.gitignore", f"{state}/base.json", f"{state}/references.json")
    # a file that no step is about would be removed from there
    yield from (f"{state}/{name}" for name in ("fragments", "pins", "healthchecks"))
    yield from (f"{state}/state.db{end}" for end in ("", "-wal", "-journal"))
    yield from map(str, compose.identity_files())
    yield "dodo.py"
    yield from (str(path) for path in Path(__file__).parents[1].rglob("*") if path.suffix in (".py", ".json"))
    yield from (str(sys.modules[library].__file__) for library in _LIBRARIES if library in sys.modules)


def _variables(opened: Opened) -> Iterator[str]:
    """Every variable that any text mentions."""
    for text in (*(source.text for source in opened.texts.all), *map(files.read_if_there, set(base_files(opened)))):
        yield from _VARIABLE.findall(text or "")


def _is_quiet(dodo: Path) -> bool:
    """Whether nothing that a dodo.py does could change what a sync depends on."""
    text = files.read_if_there(dodo) or ""
    return not dodofile.is_door(text) or dodofile.is_quiet(text)
