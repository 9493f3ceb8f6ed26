"""What there is to say about words: the lines of `hsm help`, and a page about each. Completion has its options here."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping

from hsm_tasks.screen import tables
from hsm_tasks.screen.words import ALONE, ASIDE, COMMANDS, HANDED_OVER, SHIPPING

_USAGE = """\
usage: hsm [OPTIONS] [WORD…] [stack=NAME] [frozen=yes]
       doit … does the same where a dodo.py is

Words:"""
_END = """\
doit's own commands: list, info STEP, forget, clean, help WORD. Options of a run: -n JOBS, --continue, -a, -v0.
Exit codes: 0 done, 1 a step failed, 2 a bug in hsm, 3 hsm.yaml, the settings or the command line is wrong.
`hsm help WORD` tells more of one: its options, and examples."""

RUN: Mapping[str, str] = {
    "-n JOBS": "how many steps at a time",
    "--continue": "go on after a failure with what does not depend on it",
    "-a": "run fresh steps too",
    "-v0": "tell failures only",
    "-v2": "name fresh steps too",
}
_FLAGS = re.compile(r" \(-[^)]*\)$")
_JSON = {"--json": "the same for programs"}
_PROD = {"--prod": "take every service in its prod form"}
OPTIONS: Mapping[str, Mapping[str, str]] = {
    "update": {"--dry-run": "show what would move, and move nothing", "--check": "the same; exit 1 if anything would",
               "--json": "beside one of these two: for programs"},
    "plan": _JSON,
    "graph": {"--format=html": "one page that works offline (the default)", "--format=svg": "the picture alone",
              "--format=mermaid": "text for a README", "--format=dot": "text for graphviz",
              "--out=FILE": "where to; its ending stands for the format; - is the screen; foreign files stay"},
    "status": {"--stats": "what containers use of their limits", **_JSON},
    "bundle": {"--out=DIR": "another folder than dist/STACK", "--tar": "write DIR.tar as well", **_PROD, **_JSON},
    "deploy": _PROD,
    "logs": {"-f": "follow", "--tail=N": "the last lines only", "--since=TIME": "from a time on", "-t": "with times"},
    "stacks": _JSON,
    "doctor": _JSON,
}  # fmt: skip
EXAMPLES: Mapping[str, Mapping[str, str]] = {
    "sync": {"sync": "makes docker-compose.hsm.yml; starts nothing",
             "sync frozen=yes": "fails if hsm.lock would change: for a CI"},
    "up": {"up": "all that plain compose would start", "up:api up:web": "these two, and what they need",
           "use:mysql up -n 8": "switch the database first; eight steps at a time"},
    "down": {"down": "volumes stay"},
    "stop": {"stop:api": "until the next up"},
    "restart": {"restart:api": "the same container, started anew"},
    "build": {"build": "all that is stale", "build:api": "one image"},
    "dev": {"dev:api up": "the api from its sources, at once", "prod:api up": "and back"},
    "prod": {"prod:api up": "the api from its image, at once", "dev:api up": "and back"},
    "use": {"use:mysql up": "instead of the other member of its group", "use:grafana up": "beside others (M-of-N)"},
    "unuse": {"unuse:grafana up": "it goes, and volumes stay"},
    "update": {"update up": "move everything, and run it", "update:api": "only what the api runs from",
               "update --check": "is anything outdated?"},
    "plan": {"plan": "of a sync", "plan dev:api up": "of these words, which are not done"},
    "watch": {"watch": "all that is up", "watch:api": "one service"},
    "graph": {"graph": "prints the path of a page", "graph --format=mermaid": "prints text",
              "graph use:mysql up --out=mysql.svg": "of these words, which are not done"},
    "status": {"status": "what runs, from what", "status --stats": "with memory, cpus and processes",
               "status target=live": "what was deployed there"},
    "bundle": {"bundle --prod --tar": "dist/STACK.tar runs with docker compose alone"},
    "deploy": {"plan deploy target=live": "what would change there", "deploy target=live": "bring it there"},
    "rollback": {"rollback target=live": "back to what ran before"},
    "logs": {"logs": "of all", "logs:api -f --tail=20": "of one, and on"},
    "sh": {"sh:api": "a shell", "sh:db psql -U shop": "a command"},
    "compose": {"compose ps": "any command of docker compose", "compose config": "what compose makes of the stack"},
    "stacks": {"stacks": "* marks the one that is meant"},
    "doctor": {"doctor": "of all stacks", "doctor stack=shop": "of one"},
    "init": {"init": "of what compose itself would take", "init a.yml b.yml": "of these, in their order"},
    "schema": {"schema > hsm.schema.json": "of hsm.yaml", "schema local > local.schema.json": "of hsm.local.yaml"},
    "explain": {"explain": "the kinds of messages", "explain H103": "one of them"},
    "completion": {'eval "$(hsm completion bash)"': "in ~/.bashrc; zsh alike in ~/.zshrc, after compinit",
                   "completion fish > ~/.config/fish/completions/hsm.fish": "for fish"},
}  # fmt: skip


def commands() -> str:
    """A line for each."""
    return tables.columns([(name, text) for name, text in sorted(COMMANDS.items())])


def text() -> str:
    """All of it."""
    return f"{_USAGE}\n\n{commands()}\n\n{_END}"


def page(head: str) -> str:
    """All about one of the words."""
    return "\n".join(_page(head))


def options(head: str) -> Mapping[str, str]:
    """What may stand behind a word: of questions their own, else those of a run."""
    return {**({} if head in ALONE else RUN), **OPTIONS.get(head, {})}


def _page(head: str) -> Iterator[str]:
    usage, gap, said = COMMANDS[head].partition("  ")
    usage, said = (usage, said) if gap else (head, usage)
    taken, behind = options(head), "" if head in (*ASIDE, *HANDED_OVER, "stacks") else " [stack=NAME]"
    frozen = " [frozen=yes]" if head not in ALONE or head in SHIPPING else ""
    yield f"usage: hsm {usage}{' [OPTIONS]' if taken else ''}{behind}{frozen}"
    yield ""
    said = _FLAGS.sub("", said)  # they have lines of their own here
    yield textwrap.fill(f"{said[:1].upper()}{said[1:]}.", 100)
    if taken:
        yield from ("", "options:", tables.columns([(f"  {name}", text) for name, text in taken.items()]))
    lines = [(f"  {line if ' hsm ' in line or '(hsm' in line else f'hsm {line}'}", text)
             for line, text in EXAMPLES[head].items()]  # fmt: skip
    yield from ("", "examples:", tables.columns(lines))
