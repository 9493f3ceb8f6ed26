"""A command line, taken apart: doit's command and its options, hsm's words, and what is for the user's own tasks."""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Callable, Mapping, Sequence

import msgspec
from msgspec.structs import replace

from hsm_tasks import shortcut
from hsm_tasks.core.errors import ConfigError, mistake
from hsm_tasks.screen import report
from hsm_tasks.screen.words import COMMANDS, HANDED_OVER, SHIPPING, Word, looks_at_updates
from hsm_tasks.steps import own
from hsm_tasks.steps.own import Dodo, Own

SPEAK_JSON = ("plan", "status", "stacks", "doctor", "update", *SHIPPING)
TAKES_ALL = ("plan", "graph", "watch", "status", "stacks", "logs", "sh", "compose", *SHIPPING)
VARIABLES = ("stack", "frozen", "target")
_HARMLESS = re.compile(r"-n\d*|--process(=\d+)?|-v\d?|--verbosity(=\d)?|-c|--continue|\d+")


class Line(msgspec.Struct, frozen=True):
    """A command line, taken apart: doit's command and its options, `name=value` words, and the words that remain.

    `dodo` is the user's dodo.py, where it says more than the import line.
    """

    command: str
    options: tuple[str, ...]
    words: tuple[Word, ...]
    rest: tuple[str, ...]
    variables: Mapping[str, str] = msgspec.field(default_factory=dict)
    dodo: Dodo | None = None
    typed_as: tuple[str, ...] = ()

    @property
    def again(self) -> str:
        """The line as a person types it once more."""
        return shlex.join((report.door(), *self.typed_as))

    @property
    def first(self) -> Word:
        """The first word; `sync` where there is none."""
        return self.words[0] if self.words else Word("sync")

    @property
    def ships(self) -> bool:
        """Whether it is about another place than this machine."""
        there = "target" in self.variables
        head = self.first.head
        if there and head not in ("plan", "status", *SHIPPING):
            raise mistake("target=NAME is for deploy, rollback, plan deploy and status")
        if head == "update" and self.rest:
            return True
        return head in SHIPPING or (there and head == "status") or (head == "plan" and self.rest[:1] == ("deploy",))

    @property
    def may_skip(self) -> bool:
        """Whether steps that are certain to be fresh need not be put before doit: no option asks for them all."""
        return all(map(_HARMLESS.fullmatch, self.options))

    @property
    def only_starts(self) -> bool:
        """Whether it says nothing but who is to be started."""
        starts = bool(self.words) and all(word.head == "up" for word in self.words)
        return starts and self.may_skip and self.dodo is None

    @property
    def snapshot(self) -> str | None:
        """The stack of whose plain sync a snapshot speaks for this line; None where none does."""
        words = () if self.only_starts else (*self.options, *map(str, self.words))
        return shortcut.asked_stack([*words, *(f"{name}={value}" for name, value in self.variables.items())])

    @property
    def frozen(self) -> bool:
        """Whether hsm.lock must not change."""
        value = self.variables.get("frozen", "no")
        if value not in ("yes", "no"):
            raise mistake(f'frozen={value}: neither "yes" nor "no"')
        return value == "yes"

    @property
    def own_variables(self) -> list[str]:
        """The `name=value` words that are for the user's tasks."""
        return [f"{name}={value}" for name, value in self.variables.items() if name not in VARIABLES]

    def typed(self, selected: Sequence[str]) -> list[str]:
        """The names of tasks as doit is to read them: each with what stands behind it."""
        args = {str(word): word.args for word in self.words}
        return [text for name in selected for text in (name, *args.get(name, ()))]


def variables(argv: Sequence[str]) -> dict[str, str]:
    """The `name=value` words of a command line."""
    return dict(arg.split("=", 1) for arg in argv[: _ours(argv)] if _is_variable(arg))


def _ours(argv: Sequence[str]) -> int:
    """How many of the arguments are for hsm."""
    for place, arg in enumerate(argv):
        if arg.partition(":")[0] in HANDED_OVER:
            return place + 1
        if not (arg.startswith("-") or arg.isdigit() or _is_variable(arg)):
            break
    return len(argv)


def parse(argv: Sequence[str], dodo: Dodo | None = None, peek: Callable[[], Own] = Own) -> Line:
    """Takes a command line apart. Options may stand before and behind the words.

    `peek` gives the user's tasks, since only they know which of the words behind them are theirs.
    """
    from hsm_tasks.run import engine

    given = variables(argv)
    ours = _ours(argv)
    words = [arg for arg in argv[:ours] if not _is_variable(arg)]
    command, options, rest = engine.split([*words, *argv[ours:]])
    takes_all = command == "run" and rest[:1] and (Word.parse(rest[0]).head in TAKES_ALL or looks_at_updates(rest))
    if takes_all:
        _refuse_unknown(given)
        return Line(command, tuple(options), (Word.parse(rest[0]),), tuple(rest[1:]), given, dodo)
    if not rest and dodo is not None and command == "run":
        rest = list(dodo.config.get("default_tasks") or ())
    late, said = _split_all(command, rest, dodo, peek)
    if not (dodo is not None and any(word.head not in own.TAKEN for word in said)):
        _refuse_unknown(given)
    return Line(command, (*options, *late), tuple(said), (), given, dodo)


def _refuse_unknown(given: Mapping[str, str]) -> None:
    unknown = sorted(set(given) - set(VARIABLES))
    if unknown:
        near = difflib.get_close_matches(unknown[0], VARIABLES, n=1)
        meant = f"did you mean {near[0]}=? " if near else ""
        said = f'"{unknown[0]}={given[unknown[0]]}" says nothing to hsm'
        raise mistake(said, f"{meant}known: {', '.join(VARIABLES)}")


def _is_variable(arg: str) -> bool:
    return "=" in arg and not arg.startswith("-")


def _split_all(
    command: str, rest: Sequence[str], dodo: Dodo | None, peek: Callable[[], Own]
) -> tuple[list[str], list[Word]]:
    """Options that stand among the words, and the words."""
    from hsm_tasks.run import engine

    options: list[str] = []
    words: list[Word] = []
    waiting = list(rest)
    while waiting:
        word = Word.parse(waiting.pop(0))
        if command == "run" and dodo is not None and waiting and word.head not in own.TAKEN:
            task = peek().tasks.get(str(word))
            count = own.arguments(task, waiting) if task is not None else 0
            word, waiting = replace(word, args=tuple(waiting[:count])), waiting[count:]
        words.append(word)
        try:
            _, found, waiting = engine.split([command, *waiting])
        except ConfigError as error:
            if word.head in COMMANDS and command == "run":
                said = error.problems[0]
                raise mistake(said.message, said.hint.replace("`help run`", f"`help {word.head}`")) from error
            if word.head in own.TAKEN:
                raise
            hint = f"`help {word}` lists the options of the task, `help {command}` those of doit"
            raise mistake(error.problems[0].message, hint) from error
        options += found
    return options, words
