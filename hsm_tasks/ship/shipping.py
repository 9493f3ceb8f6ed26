"""The words that take a stack elsewhere, as they are typed: `bundle`, `deploy`, `rollback`, and `status target=…`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
from msgspec.structs import replace

from hsm_tasks.core import targets
from hsm_tasks.core.deploy import Change
from hsm_tasks.core.errors import mistake
from hsm_tasks.screen import report, tables
from hsm_tasks.screen.words import SHIPPING, Word, there_are
from hsm_tasks.ship import bundling, deploying
from hsm_tasks.stack.scene import Opened, Wish, open_stack
from hsm_tasks.stack.workspace import STATE, Workspace
from hsm_tasks.steps import commands, outdated
from hsm_tasks.steps.world import World

LOOKS = ("--dry-run", "--check", "--json")


class Asked(msgspec.Struct, frozen=True):
    """What a line asks for: the stack, whether hsm.lock may lack something, and the arguments behind the word.

    `work` is a folder to work in for who only looks: nothing else is written then, and no lock is taken.
    """

    here: Workspace
    stack: str
    environ: Mapping[str, str]
    frozen: bool
    rest: tuple[str, ...]
    target: str | None = None
    words: tuple[Word, ...] = ()
    work: Path | None = None

    def opened(self, *, prod: bool) -> Opened:
        """The stack as it is, or with every service in prod."""
        local = bundling.all_prod if prod else None
        wish = Wish(local=local, frozen=self.frozen, look=self.work is not None)
        return open_stack(self.here, self.stack, self.environ, wish)


def run(head: str, asked: Asked) -> int:
    """Runs one of words.SHIPPING, or `plan` or `status` of a target; the exit code."""
    words: dict[str, Callable[[Asked], int]] = {
        "bundle": _bundle, "deploy": _deploy, "rollback": _rollback, "plan": _plan, "status": _status,
        "update": _update}
    if head not in SHIPPING:  # it only looks
        with TemporaryDirectory(prefix="hsm-") as work:
            return words[head](replace(asked, work=Path(work)))
    with commands.holding(asked.here.root / STATE, f"{report.door()} {head}", report.say):
        return words[head](asked)


def _bundle(asked: Asked) -> int:
    values, flags = _options("bundle", asked.rest, ("--out",), ("--tar", "--prod", "--json"))
    opened = asked.opened(prod="--prod" in flags)
    world = World(opened, report.progress, report.say)
    made = bundling.write(bundling.pack(world), world, values.get("--out"), tar="--tar" in flags)
    print(report.as_json(made) if "--json" in flags else _shown(made))
    return 0


def _shown(made: Mapping[str, Any]) -> str:
    said = made["manifest"]
    lines = [f"{made['folder']}: {len(said['images'])} services, {len(said['files']) + 1} files"]
    if "tar" in made:
        lines.append(f"{made['tar']}: sha256:{made['tar_sha256']}")
    return "\n".join(lines)


# --- targets -----------------------------------------------------------------------------------------------------


def _place(asked: Asked, opened: Opened) -> deploying.Place:
    target = targets.pick(asked.target, {**asked.here.settings.targets, **opened.scene.stack.targets})
    return deploying.place(World(opened, _progress(), report.say), target, asked.work)


def _progress() -> Callable[[str, str], None]:
    """No doit draws what a deploy is at: a line for each step of it, and for all that is said again the first only."""
    said: set[str] = set()

    def progress(_: str, words: str) -> None:
        line = words.rstrip()
        if line and line not in said:
            said.add(line)
            report.say(line)

    return progress


def _ready(
    asked: Asked, head: str, rest: Sequence[str], *more: str
) -> tuple[deploying.Place, deploying.Shipment, bool]:
    """Where to, what, and whether the answer is to be JSON."""
    _, flags = _options(head, rest, (), ("--prod", *more))
    opened = asked.opened(prod="--prod" in flags)
    where = _place(asked, opened)
    return where, deploying.shipment(where, bundling.pack(where.world)), "--json" in flags


def _deploy(asked: Asked) -> int:
    where, new, _ = _ready(asked, "deploy", asked.rest)
    with deploying.alone(where):
        deploying.deploy(where, new, lambda changed: report.say(_changes(where, changed)))
    report.say(f"{where.target.name} runs {new.name}")
    return 0


def _plan(asked: Asked) -> int:
    where, new, as_json = _ready(asked, "plan deploy", asked.rest[1:], "--json")
    changed = deploying.planned(where, new)
    rows = [{"service": one.service, "state": one.kind, "reasons": list(one.reasons)} for one in changed]
    said = {"version": 1, "stack": asked.stack, "target": where.target.name, "services": rows}
    print(report.as_json(said) if as_json else _changes(where, changed))
    return 0


def _changes(where: deploying.Place, changed: Sequence[Change]) -> str:
    todo = [one for one in changed if one.kind != "keep"]
    head = f"{len(todo)} of {len(changed)} services change on {where.target.name} (project {where.project})"
    rows = [(f"  {one.service}", one.kind, "; ".join(one.reasons)) for one in todo]
    return "\n".join([head, *([tables.columns(rows)] if rows else [])])


def _rollback(asked: Asked) -> int:
    _options("rollback", asked.rest, (), ())
    where = _place(asked, asked.opened(prod=False))
    with deploying.alone(where):
        before = deploying.rollback(where)
    report.say(f"{where.target.name} runs {before.name} again")
    return 0


def _status(asked: Asked) -> int:
    _, flags = _options("status", asked.rest, (), ("--json",))
    said = deploying.status(_place(asked, asked.opened(prod=False)))
    print(report.as_json(said) if "--json" in flags else _state(said))
    return 0


def _state(said: Mapping[str, Any]) -> str:
    current, previous = _release(said["current"]), _release(said["previous"])
    head = f"{said['stack']} on {said['target']} (project {said['project']}): {current}; before it: {previous}"
    rows = [("SERVICE", "IMAGE", "CONTAINERS", "MEMORY", "CPU")]
    for row in said["services"]:
        image = (row["image"] or "").partition("@")
        shown = f"{image[0]}@{image[2][7:19]}" if image[2] else "-"
        for one in row["containers"] or [{"status": "-", "memory": None, "cpu": None}]:
            rows.append((row["name"], shown, one["status"], one["memory"] or "", one["cpu"] or ""))
    return f"{head}\n\n{tables.columns(rows)}"


def _release(about: Mapping[str, Any] | None) -> str:
    if about is None:
        return "nothing"
    return f"{(about['commit'] or 'no commit')[:10]}{' with changes' if about['changed'] else ''}"


# --- update ------------------------------------------------------------------------------------------------------


def _update(asked: Asked) -> int:
    """What an update would move; with --check the answer is an exit code as well."""
    more = [Word.parse(text) for text in asked.rest if not text.startswith("-")]
    _, flags = _options("update", [text for text in asked.rest if text.startswith("-")], (), LOOKS)
    words = (*asked.words, *more)
    if other := next((word for word in words if word.head != "update"), None):
        raise mistake(f'"{other}" does not go with {" and ".join(sorted(flags))}', "say update, or update:SERVICE …")
    if flags == {"--json"}:
        raise mistake("update --json prints what would move, and does not move it", "say --dry-run or --check with it")
    names = frozenset(word.name for word in words if word.name)
    everything = len(names) < len(words)
    wish = Wish(move=names, everything=everything, frozen=asked.frozen, look=True)
    opened = open_stack(asked.here, asked.stack, asked.environ, wish)
    if unknown := sorted(name for name in names if opened.scene.chosen.meant(name) is None):
        raise there_are(f"update:{unknown[0]}", [f"update:{name}" for name in opened.scene.chosen.forms])
    said = outdated.outdated(World(opened, report.progress, report.say, looks=True))
    print(report.as_json(said) if "--json" in flags else report.clean(_moves(said)))  # there are words of others in it
    return 1 if "--check" in flags and said["outdated"] else 0


def _moves(said: Mapping[str, Any]) -> str:
    head = f"{said['outdated']} of {len(said['entries'])} entries would move (stack {said['stack']})"
    return f"{head}\n{tables.moves(said['entries'])}" if said["outdated"] else head


# --- options -----------------------------------------------------------------------------------------------------


def _options(
    head: str, rest: Sequence[str], taking: Sequence[str], alone: Sequence[str]
) -> tuple[dict[str, str], frozenset[str]]:
    """The options behind a word: those that take a value (`--out DIR` or `--out=DIR`), and those that stand alone."""
    values, flags, waiting = {}, set(), list(rest)
    while waiting:
        name, equals, value = waiting.pop(0).partition("=")
        if name in taking:
            if not equals and not waiting:
                raise mistake(f"{head} {name} needs a value")
            values[name] = value if equals else waiting.pop(0)
        elif name in alone and not equals:
            flags.add(name)
        else:
            raise mistake(f'{head} does not know "{name}"', f"it takes {', '.join((*taking, *alone))}")
    return values, frozenset(flags)
