"""`watch`: keeps a stack true while files change. Each burst of changes leads to one `up`, a process of its own.

What counts is what the stack is made of, by value: the files that a person writes, and for each image the digest that
its build step has, too. So a touched file, an atomic save of the same bytes, an ignored file or what a run itself
writes wakes nobody. Compose has its own `watch` beside, for the rules that bring files into a running container.
"""

from __future__ import annotations

import contextlib
import gc
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from hsm_tasks.core.errors import HsmError, mistake
from hsm_tasks.core.model import Keys
from hsm_tasks.core.plan import Plan, handed_over, plan, synced
from hsm_tasks.core.yamltext import Override, dump
from hsm_tasks.effects import files, process, sources
from hsm_tasks.effects.notify import Bell
from hsm_tasks.screen.report import door
from hsm_tasks.screen.words import Word, services
from hsm_tasks.stack import workspace
from hsm_tasks.stack.scene import Opened, Wish, open_stack
from hsm_tasks.stack.snapshot import base_files
from hsm_tasks.stack.workspace import CONFIG, LOCAL, LOCK, STATE, Workspace
from hsm_tasks.steps import builds
from hsm_tasks.steps.commands import active
from hsm_tasks.steps.wanted import read_by_services
from hsm_tasks.steps.world import World

ENDED = (129, 130, 143)
"""The codes of a run that a person or the system has ended: hangup, ctrl-C, termination."""
_OWN = frozenset({STATE, ".git", "docker-compose.hsm.yml"})
_SOURCES = "the sources of "
_START = "import sys; sys.argv[0] = {0!r}; sys.path.append({1!r}); from hsm_tasks.door import console; console()"


class Asked(msgspec.Struct, frozen=True):
    """The stack, the words of the line (`watch`, or `watch:SERVICE` several times), the options of its runs, and how to
    say something."""

    here: Workspace
    stack: str
    line: tuple[Word, ...]
    options: tuple[str, ...]
    say: Callable[[str], None]

    @property
    def services(self) -> tuple[str, ...]:
        """None of them: all that a plain `up` starts."""
        return tuple(word.name for word in self.line if word.name)

    @property
    def words(self) -> tuple[str, ...]:
        """The command line of each run."""
        ups = tuple(f"up:{name}" for name in self.services) or ("up",)
        return (*self.options, *ups, f"stack={self.stack}")


class Sight(msgspec.Struct, frozen=True):
    """What the stack is made of now: the values of its files and of its builds, and where to look for changes.

    `rules` are those of compose's own watch, by service; `opened` is None while hsm.yaml can not be read.
    """

    named: tuple[Path, ...]
    values: Mapping[str, object]
    flat: frozenset[Path]
    deep: frozenset[Path]
    rules: Mapping[str, Sequence[Keys]]
    opened: Opened | None = None


def watch(asked: Asked) -> int:
    """Runs until it is interrupted; what it has begun ends with it."""
    _refuse_strangers(asked)
    gc.enable()
    with Bell(_counts) as bell, contextlib.ExitStack() as last:
        watcher = _Watcher(asked, bell)
        last.callback(watcher.let_go)
        return watcher.go()


def _refuse_strangers(asked: Asked) -> None:
    """Words that are none of watch's, and services that nobody has. What else is wrong the first run tells."""
    first, *others = asked.line
    other = [word for word in others if word.head != "watch" or not (word.name and first.name)]
    if other:
        raise mistake(f'watch does not know "{other[0]}"', "it takes services: watch, or watch:SERVICE…")
    if not first.name:
        return
    try:
        opened = _open(asked, asked.here)
    except HsmError:
        return
    _about_whom(opened, asked, plan(opened.scene))


def _counts(path: str) -> bool:
    """Whether it could matter that this file has changed; what it holds decides."""
    return _OWN.isdisjoint(Path(path).parts)


class _Watcher(msgspec.Struct):
    asked: Asked
    bell: Bell
    beside: process.Beside | None = None
    handed: object = None

    def go(self) -> int:
        seen, again = self.look(None), False
        while True:
            code = self.run()
            if code in ENDED:
                return code
            after = self.look(seen)
            missed = [name for name in _changed(seen, after) if not _made_by_the_run(name, seen)]
            seen = after
            if missed and not again:
                again = True
                self.asked.say(f"watch: {_listed(missed)} changed meanwhile")
                continue
            if code == 0:
                self.hand_over(after)
            self.asked.say(f"watch: {_about(after)}; ctrl-C ends it")
            seen, again = self.wait(after), False

    def wait(self, seen: Sight) -> Sight:
        """Until the stack is made of something else."""
        while True:
            self.bell.wait()
            if self.beside is not None and self.beside.code is not None:
                self.asked.say(f"watch: docker compose watch has ended with {self.beside.code}")
                self.let_go()
            now = self.look(seen)
            changed = _changed(seen, now)
            if changed:
                self.asked.say(f"watch: {_listed(changed)} changed")
                return now
            seen = now

    def look(self, before: Sight | None) -> Sight:
        """What there is to see now. Where the bell was aimed anew, one looks again: what was between is not lost."""
        found = _look(self.asked, before)
        return _look(self.asked, found) if self.bell.aim(found.flat, found.deep) else found

    def run(self) -> int:
        """One `hsm up`. It takes the lock, and gives it back; in a process of its own nothing is remembered wrongly."""
        start = _START.format(door(), str(Path(__file__).parents[2]))
        return process.attach(sys.executable, "-P", "-c", start, *self.asked.words, cwd=self.asked.here.root)

    # --- compose's own watch -------------------------------------------------------------------------------------

    def hand_over(self, seen: Sight) -> None:
        """Lets compose watch what is its affair: anew, where that has changed."""
        if seen.opened is None:
            return
        project, rules = seen.opened.project(), {name: list(map(dict, given)) for name, given in seen.rules.items()}
        wanted = (project, rules, [files.read_if_there(path) for path in project.files]) if rules else None
        if wanted == self.handed and (self.beside is None or self.beside.code is None):
            return
        self.let_go()
        self.handed = wanted
        if wanted is not None:
            extra = seen.opened.state / "watch.yml"
            files.write_if_changed(extra, _only(rules))
            words = ("watch", "--no-up", "--quiet", "--", *sorted(rules))
            argv = replace(project, files=(*project.files, extra)).argv(*words)
            self.beside = process.Beside(argv, self._heard, project.folder)

    def _heard(self, line: str) -> None:
        if line.strip():
            self.asked.say(f"compose watch: {line}")

    def let_go(self) -> None:
        """Ends compose's watch, if it runs."""
        self.handed, beside, self.beside = None, self.beside, None
        if beside is not None:
            beside.end()


def _only(rules: Mapping[str, Sequence[Any]]) -> str:
    """A compose file that leaves these rules to compose, and no others."""
    watched = {name: {"develop": {"watch": Override(list(given))}} for name, given in sorted(rules.items())}
    return dump({"services": watched}, "What `watch` leaves to docker compose. Made by hsm.")


# --- what the stack is made of ------------------------------------------------------------------------------------


def _look(asked: Asked, before: Sight | None) -> Sight:
    try:
        here = workspace.find(asked.here.root)
        if asked.stack not in here.stacks:
            raise mistake(f'there is no stack "{asked.stack}"')
        return _seen(_open(asked, here), asked)
    except HsmError:  # the run has told it
        known = before or Sight(_least(asked), {}, frozenset(), frozenset(), {})
        values = {**known.values, **_values(known.named, asked.here.root)}
        return replace(known, values=values, flat=known.flat | _folders(known.named), opened=None)


def _open(asked: Asked, here: Workspace) -> Opened:
    return open_stack(here, asked.stack, os.environ, Wish(look=True))


def _least(asked: Asked) -> tuple[Path, ...]:
    """What must be there to become a stack."""
    folder = asked.here.root / asked.here.stacks[asked.stack]
    return (asked.here.root / "pyproject.toml", folder / CONFIG, folder / LOCAL)


def _seen(opened: Opened, asked: Asked) -> Sight:
    root, made, world = opened.workspace.root, plan(opened.scene), _quiet(opened)
    named = tuple(dict.fromkeys((*_least(asked), *_written(opened))))
    values, deep = _values(named, root), set[Path]()
    rules = {name: given for name in _about_whom(opened, asked, made) if (given := _rules(name, opened, made))}
    ups = {name for step in made.ups if step.name in _about_whom(opened, asked, made) for name in step.builds}
    world.memo["plan"] = made
    for step in made.builds:
        if step.name in ups:
            brought = synced(_rules(step.name, opened, made), opened.scene)
            parts = builds.parts(replace(step, hidden=(*step.hidden, *brought)), world)
            values[f"{_SOURCES}{step.name}"] = {k: v for k, v in parts.items() if not k.startswith("image of ")}
            deep |= set(builds.folders(step, world))
    above = frozenset(path.parent for path in deep)  # a folder that is gone comes back there
    return Sight(named, values, _folders(named) | above, frozenset(deep), rules, opened)


def _quiet(opened: Opened) -> World:
    return World(opened, lambda step, words: None, lambda words: None, looks=True)


def _about_whom(opened: Opened, asked: Asked, made: Plan) -> frozenset[str]:
    """The services that a run is about, and those that they need; ConfigError for a word that means none."""
    chosen = opened.scene.chosen
    named = [word for word in asked.line if word.name]
    names = services(named, [step.name for step in made.ups], chosen) or active(chosen)
    needed = {step.name: step.builds for step in made.ups}
    return frozenset(names) | {other for name in names for other in needed.get(name, ())}


def _rules(name: str, opened: Opened, made: Plan) -> tuple[Keys, ...]:
    return handed_over(name, opened.scene, made.draft(name))


def _written(opened: Opened) -> Iterator[Path]:
    """Every file of the stack that a person writes, or might write."""
    root, below = opened.workspace.root, opened.files[0].parent
    yield from (root / source.filename for source in opened.texts.all)
    yield opened.folder / LOCK
    yield from (root / path for path in base_files(opened) if path.name != opened.override.name)
    yield from (below / path for path in read_by_services(opened) if "$" not in path)


def _values(named: Sequence[Path], root: Path) -> dict[str, object]:
    return {os.path.relpath(path, root): sources.content(path) for path in named}


def _folders(named: Sequence[Path]) -> frozenset[Path]:
    return frozenset(path.parent for path in named)


def _changed(before: Sight, now: Sight) -> list[str]:
    names = dict.fromkeys((*before.values, *now.values))
    return [name for name in names if before.values.get(name) != now.values.get(name)]


def _made_by_the_run(name: str, before: Sight) -> bool:
    """hsm.lock, or a checkout that was not there: nobody has edited that while the run was at work."""
    known = before.values.get(name)
    return name.endswith(LOCK) or (isinstance(known, Mapping) and known.get("sources", "") is None)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) < 5 else f"{', '.join(names[:4])} and {len(names) - 4} more"


def _about(seen: Sight) -> str:
    count = sum(name.startswith(_SOURCES) for name in seen.values)
    beside = f", and docker compose watches {_listed(sorted(seen.rules))}" if seen.rules else ""
    images = f" and the sources of {count} image{'' if count == 1 else 's'}" if count else ""
    return f"waiting for changes in {len(seen.named)} files{images}{beside}"
