"""What a command line means for a stack: the wishes that its reading follows, its plan, and the tasks that it names."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache, partial
from typing import TYPE_CHECKING, NamedTuple

from hsm_tasks import api
from hsm_tasks.line import Line, variables
from hsm_tasks.screen.words import SWITCHES, Word, resolve
from hsm_tasks.stack.scene import Opened, Wish, open_stack
from hsm_tasks.stack.switch import switched
from hsm_tasks.stack.workspace import Workspace
from hsm_tasks.steps import own
from hsm_tasks.steps.own import Dodo, Own
from hsm_tasks.steps.world import World

if TYPE_CHECKING:
    from hsm_tasks.core.plan import Plan
    from hsm_tasks.steps.tasks import Task


def peek(here: Workspace, dodo: Dodo | None, argv: Sequence[str]) -> Own:
    """The user's tasks, before the line is understood and its switches applied: it is their options that count."""
    asked = variables(argv).get("stack")
    api.offer(cache(lambda: open_stack(here, here.pick(asked, os.environ), os.environ, Wish(look=True))))
    return own.tasks(dodo, argv)


def wish(line: Line) -> Wish:
    updates = [word for word in line.words if word.head == "update"]
    everything = any(not word.name for word in updates)
    return Wish(
        local=partial(switched, line.words) if any(word.head in SWITCHES for word in line.words) else None,
        move=frozenset(word.name for word in updates if word.name),
        everything=everything,
        frozen=line.frozen,
    )


class Meant(NamedTuple):
    """What a line is about: the plan, the names of the tasks that its words mean, and all tasks of the user."""

    plan: Plan
    selected: list[str]
    own: Own


def meant(opened: Opened, line: Line, world: World) -> Meant:
    from hsm_tasks.core.plan import plan
    from hsm_tasks.steps import stale, tasks

    api.offer(lambda: opened)
    made, chosen = plan(opened.scene), opened.scene.chosen
    if line.dodo is None:
        return Meant(made, resolve(line.words, tasks.names(made, world), chosen), Own())
    known = tuple(tasks.names(made, world))
    mine = own.tasks(line.dodo, [text for word in line.words for text in (str(word), *word.args)])
    own.tied(mine, known, lambda word: resolve([Word.parse(word)], known, chosen))
    own.meet(mine, stale.leaving(made), opened.workspace.root)
    return Meant(made, resolve(line.words, (*known, *mine.tasks), chosen), mine)


def graph(opened: Opened, line: Line, world: World) -> tuple[Meant, list[Task]]:
    """What the line means, and all tasks of hsm."""
    from hsm_tasks.steps import tasks

    found = meant(opened, line, world)
    return found, tasks.tasks(found.plan, world, found.selected, found.own)
