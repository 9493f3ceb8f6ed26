"""`hsm …`, and `doit …` too: both doors lead to `main`, so both understand the same words."""

from __future__ import annotations

import contextlib
import difflib
import errno
import os
import sys
from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from msgspec.structs import replace

from hsm_tasks import __version__, api, meaning, shortcut
from hsm_tasks.aside import answers
from hsm_tasks.core.errors import ConfigError, HsmError, known, mistake
from hsm_tasks.core.model import Settings
from hsm_tasks.line import SPEAK_JSON, TAKES_ALL, Line, parse, variables
from hsm_tasks.look import status
from hsm_tasks.screen import report, tables, usage
from hsm_tasks.screen.words import COMMANDS, DOIT, HANDED_OVER, STEPS, Word, bare, not_selected, there_are
from hsm_tasks.stack import schemas, snapshot, workspace
from hsm_tasks.stack.scene import Opened, Wish, open_stack
from hsm_tasks.stack.workspace import STATE, Workspace
from hsm_tasks.steps import commands, own
from hsm_tasks.steps.world import World

if TYPE_CHECKING:
    from hsm_tasks.core.plan import Plan
    from hsm_tasks.run.engine import Session

ASKING = ("list", "info", "tabcompletion")


def console() -> NoReturn:
    """The program `hsm`. Everything is saved by then, and taking Python down politely costs more than a small run."""
    code = _written(main(sys.argv[1:]))
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.flush()
    os._exit(code)


def _written(code: int) -> int:
    """The exit code, once what was printed has arrived: a full disk behind it is a failure, a reader that left is not.
    """
    try:
        sys.stdout.flush()
    except OSError as error:
        if error.errno != errno.EPIPE:
            report.say(f"error: what was printed can not be written: {error.strerror}")
            return code or 1
    return code


def main(argv: Sequence[str]) -> int:
    """Runs a command line in the current folder; the exit code is doit's: 0 done, 1 failed, 2 a bug, 3 a mistake."""
    try:
        with commands.ends_politely():
            return _main(list(argv))
    except HsmError as error:
        report.say(report.explain(error))
        return report.exit_code(error)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        cause = known(error)
        report.say(report.explain(cause))
        return report.exit_code(cause)


def _main(argv: list[str]) -> int:
    if argv[:1] == ["--version"]:
        print(__version__)
        return 0
    argv = _help_first(_json_behind(argv))
    report.keep_secret(partial(_secrets, Path.cwd()))
    told = answers.answer(argv)
    if told is not None:
        return told
    here = workspace.find(Path.cwd())
    if os.environ.get("HSM_RUN_LOG"):
        os.environ["HSM_RUN_LOG"] = str(Path(os.environ["HSM_RUN_LOG"]).absolute())
    os.chdir(here.root)
    api.offer(api.too_early)
    dodo = own.read(here.root, variables(argv))
    line = replace(parse(argv, dodo, cache(partial(meaning.peek, here, dodo, argv))), typed_as=tuple(argv))
    if line.command == "help":
        return _help(here, line)
    if line.command == "run" and line.first.head == "stacks":
        return _stacks(here, line)
    try:
        name = here.pick(line.variables.get("stack"), os.environ)
    except ConfigError:
        if line.command == "list" and not line.variables.get("stack"):
            print(usage.commands())
            return 0
        raise
    return _with_stack(here, name, line)


def _secrets(start: Path) -> tuple[str, ...]:
    """What nobody is to see, as far as a workspace that may be broken tells."""
    try:
        here = workspace.find(start)
    except HsmError:
        here = Workspace(start, Settings(), {})
    return workspace.secret_values(here, os.environ)


def _json_behind(argv: list[str]) -> list[str]:
    """`--json` before the word that it is about goes behind it: among the options there it would be one of doit's."""
    place = next((place for place, arg in enumerate(argv) if arg.partition(":")[0] in SPEAK_JSON), 0)
    early = [arg for arg in argv[:place] if arg == "--json"]
    return [*(arg for arg in argv[:place] if arg != "--json"), *argv[place : place + 1], *early, *argv[place + 1 :]]


def _help_first(argv: list[str]) -> list[str]:
    """`up --help` asks for `help up`. What is handed to another program is for that program to explain."""
    heads = [arg.partition(":")[0] for arg in argv]
    if argv[:1] in (["--help"], ["-h"]):
        return ["help", *argv[1:]]
    asks = bool(heads) and heads[0] in (*COMMANDS, *DOIT) and heads[0] not in (*HANDED_OVER, "logs")
    return ["help", heads[0]] if asks and not {"--help", "-h"}.isdisjoint(argv[1:]) else argv


# --- what needs no stack -----------------------------------------------------------------------------------------


def _help(here: Workspace, line: Line) -> int:
    if line.words and str(line.words[0]) != "help":
        from hsm_tasks.run import engine

        head = line.words[0].head
        if head in DOIT and head not in COMMANDS:
            return engine.run(["help", head], [], state_file=None)
        if head not in COMMANDS:
            mine = meaning.peek(here, line.dodo, ())
            if str(line.words[0]) in mine.tasks:
                return engine.run(["help", str(line.words[0])], [], state_file=None, own=list(mine.tasks.values()))
            raise there_are(head, [*COMMANDS, *DOIT, *mine.tasks])
        print(usage.page(head))
        return 0
    print(usage.text())
    return 0


def _stacks(here: Workspace, line: Line) -> int:
    gathered = status.stacks(here, os.environ, line.variables.get("stack"))
    print(report.as_json(gathered) if _wants_json(line) else tables.stacks(gathered))
    return 0


def _wants_json(line: Line) -> bool:
    known = ("--json", *(("--stats",) if line.first.head == "status" else ()))
    unknown = [arg for arg in line.rest if arg not in known]
    if unknown:
        near = difflib.get_close_matches(unknown[0], known, n=1)
        meant = f"did you mean {near[0]}? " if near else ""
        raise mistake(f'{line.first.head} does not know "{unknown[0]}"', f"{meant}it takes {', '.join(known)}")
    return "--json" in line.rest


# --- what is about a stack ---------------------------------------------------------------------------------------


def _with_stack(here: Workspace, name: str, line: Line) -> int:
    if line.command in ASKING or (line.command == "run" and (line.first.head in TAKES_ALL or line.ships)):
        return _ask(here, name, line)
    state = here.root / STATE
    if not state.is_dir():
        opened = open_stack(here, name, os.environ, replace(meaning.wish(line), look=True))
        # a mistake is told before anything is written
        meaning.graph(opened, line, World(opened, report.progress, report.say))
    with commands.holding(state, " ".join((report.door(), *map(str, line.words))), report.say):
        return _run(here, name, line)


def _ask(here: Workspace, name: str, line: Line) -> int:
    """Questions take no lock."""
    head = line.first.head
    if line.command == "run" and line.ships:
        from hsm_tasks.ship import shipping

        target = line.variables.get("target")
        return shipping.run(head, shipping.Asked(here, name, os.environ, line.frozen, line.rest, target, line.words))
    if line.command == "run" and head in ("plan", "graph"):
        return _plan(here, name, line) if head == "plan" else _draw(here, name, line)
    if line.command == "run" and head == "watch":
        return _watch(here, name, line)
    if line.command == "run" and head == "status":
        return _status(here, name, line)
    opened = open_stack(here, name, os.environ, Wish(look=True))
    if line.command != "run":
        return _run_doit(opened, line)
    if head == "compose":
        return commands.passthrough(opened, line.rest)
    service = _service(line.first, opened)
    return commands.shell(opened, service, line.rest) if head == "sh" else commands.logs(opened, service, line.rest)


def _status(here: Workspace, name: str, line: Line) -> int:
    """What is, beside what `up` would do about it."""
    as_json = _wants_json(line)
    opened, _, planned = _foreseen(here, name, replace(line, dodo=None), ["up"], ("up",))
    gathered = status.status(opened, steps=planned["steps"], stats="--stats" in line.rest)
    print(report.as_json(gathered) if as_json else report.clean(tables.status(gathered)))
    return 0


def _plan(here: Workspace, name: str, line: Line) -> int:
    _, _, gathered = _foreseen(here, name, line, [word for word in line.rest if word != "--json"], ("sync",))
    print(report.as_json(gathered) if "--json" in line.rest else report.clean(tables.plan(gathered)))
    return 0


def _draw(here: Workspace, name: str, line: Line) -> int:
    from hsm_tasks.look import graph

    question = graph.asked(line.rest)
    opened, made, gathered = _foreseen(here, name, line, question.words, graph.USUAL)
    print(graph.shown(question, opened, made, gathered, report.clean))
    return 0


def _watch(here: Workspace, name: str, line: Line) -> int:
    from hsm_tasks.look import watching

    given = (f"{key}={value}" for key, value in line.variables.items() if key != "stack")
    asked = watching.Asked(here, name, (line.first, *map(Word.parse, line.rest)), (*line.options, *given), report.say)
    return watching.watch(asked)


def _foreseen(
    here: Workspace, name: str, line: Line, words: Sequence[str], usual: Sequence[str]
) -> tuple[Opened, Plan, dict[str, Any]]:
    """The stack as these words would make it, its plan, and what would run; nothing is written or started."""
    from hsm_tasks.look.preview import preview

    asked = replace(parse(words, line.dodo, partial(meaning.peek, here, line.dodo, words)), variables=line.variables)
    opened = open_stack(here, name, os.environ, replace(meaning.wish(asked), look=True))
    world = World(opened, lambda step, words: None, lambda words: None, looks=True)
    meant, graph = meaning.graph(opened, asked, world)
    return opened, meant.plan, preview(meant.plan, graph, world, meant.selected or usual, meant.own)


def _service(word: Word, opened: Opened) -> str:
    chosen = opened.scene.chosen
    running = [name for name, form in chosen.forms.items() if form.mode != "off"]
    if not word.name:
        if word.head == "logs":
            return ""
        raise bare(word, running)
    service = chosen.meant(word.name)
    if service is None:
        raise there_are(str(word), [f"{word.head}:{name}" for name in running])
    if service not in running:
        raise not_selected(word, service)
    return service


def _run(here: Workspace, name: str, line: Line) -> int:
    try:
        opened = open_stack(here, name, os.environ, meaning.wish(line))
    except HsmError as error:
        way_out = commands.without_hsm(line.words, here.root / STATE / name)
        error.hint = "\n  hint: ".join(filter(None, (error.hint, way_out)))
        raise
    schemas.keep_if_named(opened.texts.sources[-1].text, here.root / STATE)
    return _run_doit(opened, line)


def _run_doit(opened: Opened, line: Line) -> int:
    from hsm_tasks.run import engine

    world = World(opened, report.progress, report.say, looks=line.command in ASKING)
    if line.command != "run":
        meant, graph = meaning.graph(opened, line, world)
        session = _session(opened, line)
        session["own"] = list(meant.own.tasks.values())
        return engine.run([line.command, *line.options, *meant.selected], graph, **session)
    return _do(opened, line, world)


def _do(opened: Opened, line: Line, world: World) -> int:
    """A run of the steps that the words of the line need."""
    from hsm_tasks.run import certain, engine
    from hsm_tasks.steps import stale, tasks

    meant = meaning.meant(opened, line, world)
    made, selected = meant.plan, meant.selected
    commands.keep_switch(opened, report.say)  # only now: every word of the line means something
    if line.frozen:
        commands.refuse_new_entries(opened)
    records = engine.Records(opened.state / "state.db")
    asked = line.snapshot
    held = shortcut.holding(asked) if line.only_starts and asked is not None else None
    if held is None:
        commands.forget_gone(opened)
        known = certain.certain(stale.claims(made, world), records.backend.row) if line.may_skip else {}
    else:
        known = stale.settled(held.steps)
    graph, fresh = tasks.needed_tasks(made, world, selected, selected or ["sync"], known, meant.own)
    report.keep_logs(partial(commands.keep_log, opened.state / "logs"))
    by_hand = f"to do it by hand: {commands.compose_line(opened)}"
    session = _session(opened, line)
    session["own"] = own.needed(meant.own, selected)
    session["records"], session["certain"] = records, tuple(fresh)
    session["mask"] = report.clean
    if held is None:
        session["on_fresh"] = partial(_keep_snapshot, opened, made, line, report.clean(by_hand))
    code = engine.run(["run", *line.options, *line.own_variables, *line.typed(selected)], graph, **session)
    if code == 0 and selected in ([], ["sync"]):
        report.say(by_hand)
    return code


def _session(opened: Opened, line: Line) -> Session:
    return {
        "state_file": opened.state / "state.db",
        "reporter": report.Reporter,
        "jobs": opened.workspace.settings.jobs,
        "default_tasks": ["sync"],
        "on_interrupt": _interrupt,
        "again": line.again,
        "config": line.dodo.config if line.dodo else {},
        "gone": partial(_is_gone, opened),
    }


def _interrupt() -> None:
    report.hush()
    commands.interrupt()


def _is_gone(opened: Opened, step: str) -> bool:
    """Whether a step can not come back by a switch of a mode or a selection: what it is about is no longer named."""
    head, _, rest = step.partition(":")
    name = rest.partition(":")[0]
    if head not in STEPS:
        return False  # the user's own: what their functions give may differ from run to run
    if opened.scene.everything and head in ("clone", "resolve"):
        return True  # an update of everything moves what it sees; what it does not see would be believed as it was
    if head == "clone":
        services = (*opened.scene.stack.services.values(), *opened.scene.committed.services.values())
        return name not in {service.repository.name for service in services if service.repository}
    return bool(rest) and name not in opened.scene.chosen.forms


def _keep_snapshot(opened: Opened, made: Plan, line: Line, last_words: str, steps: list[str], files: list[str]) -> None:
    """Of a plain sync, or of the one that stands before a start: `shortcut` knows of no other."""
    from hsm_tasks.steps import stale, tasks

    asked = line.snapshot
    if asked is not None:
        synced = [name for name in steps if tasks.is_of_sync(name)]
        snapshot.keep(opened, made, asked, last_words, synced, [*files, *stale.files(made, frozenset(synced))])
