"""The words that take a stack elsewhere, as they are typed: `bundle`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hsm_tasks import bundling, commands, report
from hsm_tasks.core.errors import mistake
from hsm_tasks.scene import Opened, Wish, open_stack
from hsm_tasks.workspace import STATE, Workspace
from hsm_tasks.world import World


@dataclass(frozen=True, slots=True)
class Asked:
    """What a line asks for: the stack, whether hsm.lock may lack something, and the arguments behind the word."""

    here: Workspace
    stack: str
    environ: Mapping[str, str]
    frozen: bool
    rest: tuple[str, ...]

    def opened(self, *, prod: bool) -> Opened:
        """The stack as it is, or with every service in prod."""
        local = bundling.all_prod if prod else None
        return open_stack(self.here, self.stack, self.environ, Wish(local=local, frozen=self.frozen))


def run(head: str, asked: Asked) -> int:
    """Runs one of words.SHIPPING; the exit code."""
    with commands.holding(asked.here.root / STATE, f"doit {head}", report.say):
        return _bundle(asked)


def _bundle(asked: Asked) -> int:
    values, flags = _options("bundle", asked.rest, ("--out",), ("--tar", "--prod", "--json"))
    opened = asked.opened(prod="--prod" in flags)
    world = World(opened, report.progress, report.say)
    made = bundling.write(bundling.pack(world), world, values.get("--out"), tar="--tar" in flags)
    print(json.dumps(made, indent=2, ensure_ascii=False) if "--json" in flags else _shown(made))
    return 0


def _shown(made: Mapping[str, Any]) -> str:
    said = made["manifest"]
    lines = [f"{made['folder']}: {len(said['images'])} services, {len(said['files']) + 1} files"]
    if "tar" in made:
        lines.append(f"{made['tar']}: sha256:{made['tar_sha256']}")
    return "\n".join(lines)


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
