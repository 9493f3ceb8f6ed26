"""The words of a command line: which there are, what they are about, and whom they mean.

Words are text like `sync`, `up:api`, `dev:api`. Switch words change hsm.local.yaml before anything else happens; the
others are tasks. A word about a service takes its name, an alias, or a pattern (`up:ap*`).
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase

import msgspec

from hsm_tasks.core.choose import Chosen
from hsm_tasks.core.errors import ConfigError, mistake

SWITCHES = ("dev", "prod", "use", "unuse")
SHIPPING = ("bundle", "deploy", "rollback")  # they take the stack elsewhere
COMMANDS: Mapping[str, str] = {
    "sync": "clone, resolve, lock, render, merge and check: all that compose needs (the default)",
    "up": "up[:SERVICE]  sync, build what is stale, start, and wait until healthy",
    "down": "stop and remove the containers of the stack; volumes stay",
    "stop": "stop:SERVICE  stop the containers of a service",
    "restart": "restart:SERVICE  restart the containers of a service",
    "build": "build[:SERVICE]  build the images whose sources or recipe changed",
    "dev": "dev:SERVICE  run a service from its sources from now on, then sync",
    "prod": "prod:SERVICE  run a service from its ready image from now on, then sync",
    "use": "use:OPTION  select an option of a group, then sync",
    "unuse": "unuse:OPTION  deselect an option of an M-of-N group, then sync",
    "update": "update[:SERVICE]  move pins to what the registry and the branch say now (--dry-run, --check, --json)",
    "plan": "plan [WORDS…]  what would run and why, and the diff of the override, without doing it (--json)",
    "watch": "watch[:SERVICE]  keep the stack up and true while files change, until ctrl-C",
    "graph": "graph [WORDS…]  the stack and its steps as a picture (--format html, svg, mermaid or dot; --out FILE)",
    "status": "services, modes, groups, pins, checkouts and containers (--stats, --json)",
    "bundle": "a folder that runs elsewhere with docker compose alone (--out DIR, --tar, --prod, --json)",
    "deploy": "deploy target=NAME  bring the bundle to a target; back goes what does not get well (--prod)",
    "rollback": "rollback target=NAME  bring back what ran there before the last deploy",
    "logs": "logs[:SERVICE]  the logs of the containers, as compose shows them (-f)",
    "sh": "sh:SERVICE  a shell in the container of a service",
    "compose": "compose ARGS…  docker compose with the right files and project (as `hsm compose`)",
    "stacks": "the stacks of the workspace (--json)",
    "doctor": "whether this machine has what the stacks need, and what to do where it has not (--json)",
    "init": "init [FILE…]  a first hsm.yaml of the compose files that are here (only as `hsm init`)",
    "schema": "schema [local]  the JSON Schema of hsm.yaml, or of hsm.local.yaml, for editors",
    "explain": "explain [CODE]  what a message means, and what to do",
    "completion": "completion SHELL  the script that completes hsm's words: bash, zsh or fish",
}
DOIT = ("run", "list", "info", "forget", "clean", "ignore", "reset-dep", "tabcompletion")
STEPS = ("clone", "resolve", "lock", "render", "merge", "check", "build", "up")
ASIDE = ("doctor", "init", "schema", "explain", "completion")  # not about one stack that works
# questions: nothing else on their line
ALONE = (*ASIDE, *SHIPPING, "plan", "graph", "watch", "status", "stacks", "logs", "sh", "compose")
HANDED_OVER = ("compose", "sh")  # nothing behind them is for hsm: another program reads it
NEEDS_NAME = ("stop", "restart", "sh", *SWITCHES)
ABOUT_SERVICES = ("up", "build", "stop", "restart", "logs", "sh", "watch", "update", "render", "resolve")


def looks_at_updates(words: Sequence[str]) -> bool:
    """Whether a line asks what an update would move, and is not to move it."""
    return words[0].partition(":")[0] == "update" and not {"--dry-run", "--check", "--json"}.isdisjoint(words)


class Word(msgspec.Struct, frozen=True):
    """`head:name`, or `head` alone (then `name` is empty). `args`: what stands behind it for a task of the user."""

    head: str
    name: str = ""
    args: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Word:
        """Of one argument of the command line."""
        head, colon, name = text.partition(":")
        if colon and not name:
            raise mistake(f'"{text}" names nothing after the colon')
        return cls(head, name)

    def __str__(self) -> str:
        return f"{self.head}:{self.name}" if self.name else self.head


def there_are(word: str, names: Iterable[str]) -> ConfigError:
    """The refusal of a name that nobody has, with the names that there are."""
    known = sorted(set(names))
    near = difflib.get_close_matches(word, known, n=1)
    meant = f"did you mean {near[0]}? " if near else ""
    return mistake(f'there is no "{word}"', f"{meant}there are: {', '.join(known) or 'none'}")


def bare(word: Word, names: Iterable[str]) -> ConfigError:
    """The refusal of a word that needs a name."""
    known = ", ".join(f"{word.head}:{name}" for name in sorted(names))
    return mistake(f'"{word.head}" needs a name', f"one of: {known or 'none'}")


def not_selected(word: Word, service: str) -> ConfigError:
    """The refusal of a word about an option that is off: it has no containers, and another answers in its place."""
    return mistake(f'"{word}": {service} is an option that is not selected', f"select it first: use:{service}")


def resolve(words: Sequence[Word], known: Collection[str], chosen: Chosen) -> list[str]:
    """The names of the tasks that the words mean, in their order; ConfigError for a word that means none.

    `known` may be slow to go through: that is done only where a word is a pattern, or is not in it.
    """
    found: list[str] = []
    for word in words:
        found += _tasks(word, known, chosen)
    return list(dict.fromkeys(found))


def _tasks(word: Word, known: Collection[str], chosen: Chosen) -> list[str]:
    text = str(word)
    if word.head in ALONE:
        raise mistake(f'"{text}" stands alone: it can not follow other words', f"ask it by itself: `hsm {text}`")
    if not word.name and word.head in NEEDS_NAME:
        raise bare(word, [name.partition(":")[2] for name in known if name.startswith(f"{word.head}:")])
    if text in known:
        return [text]
    if word.head in SWITCHES:  # it was understood when it was applied: an alias, perhaps
        return ["sync"]
    return _named(word, known, chosen)


def services(words: Iterable[Word], starts: Iterable[str], chosen: Chosen) -> list[str]:
    """Whom words about services mean, of those that start; ConfigError for a word that means nobody."""
    named = list(words)
    known = [f"{head}:{name}" for head in {word.head for word in named} for name in starts]
    found = (name for word in named for name in _named(word, known, chosen))
    return list(dict.fromkeys(name.partition(":")[2] for name in found))


def _named(word: Word, known: Collection[str], chosen: Chosen) -> list[str]:
    text = str(word)
    if word.head in ABOUT_SERVICES:
        service = chosen.meant(word.name)
        if service and f"{word.head}:{service}" in known:
            return [f"{word.head}:{service}"]
        if service and chosen.forms[service].mode == "off":
            raise not_selected(word, service)
    matching = [name for name in known if fnmatchcase(name, text)] if set(text) & set("*?[") else []
    if not matching:
        raise _unknown(word, known)
    return matching


def _unknown(word: Word, known: Collection[str]) -> ConfigError:
    """Of a step or a command that there is not: who has the right head is told the names, who has not, the heads."""
    same = [name for name in known if name.startswith(f"{word.head}:")] if word.name else []
    if same or (word.name and word.head in known):
        if same or word.head in (*ABOUT_SERVICES, *NEEDS_NAME):
            return there_are(str(word), same)
        return mistake(f'there is no "{word}"', f'"{word.head}" takes no name')
    heads = [*ASIDE, *(name for name in known if ":" not in name and not name.startswith("_"))]
    near = difflib.get_close_matches(word.head, heads, n=1) if word.name else []
    if near and f"{near[0]}:{word.name}" in known:
        return mistake(f'there is no "{word}"', f"did you mean {near[0]}:{word.name}?")
    return there_are(str(word) if not word.name else word.head, heads)
