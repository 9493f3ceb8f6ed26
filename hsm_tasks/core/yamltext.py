"""YAML text to a tree, every scalar as the text that was written, and trees back to text, always in the same way.

Rules of this file:
* A plain scalar is text, whatever YAML 1.1 or 1.2 would make of it; only null and `<<` mean something.
* What compose reads from `dump` is what was given: no anchors, strings in double quotes unless plainly strings.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, Literal, TypeAlias

import msgspec
import yaml

from hsm_tasks.core.errors import ConfigError, Problem
from hsm_tasks.core.model import Tree
from hsm_tasks.core.yamlread import CORE, Reader, run

Output: TypeAlias = "Mapping[str, Output] | Sequence[Output] | Reset | Override | str | int | float | bool | None"


class Reset(msgspec.Struct, frozen=True):
    """`!reset`: compose takes away what the base has. `empty` stands behind the tag; compose reads all three alike."""

    empty: Literal["null", "list", "map"] = "null"


class Override(msgspec.Struct, frozen=True):
    """`!override`: compose takes `tree` in place of what the base has, and does not merge the two."""

    tree: Any


# ---------------------------------------------------------------------------------------------------- text to tree


def parse(text: str, filename: str) -> Tree:
    """The tree, scalars as text (or None). Raises ConfigError with all mistakes that were found."""
    tree, problems = read(text, filename)
    if problems:
        raise ConfigError(*problems)
    return tree


@lru_cache(maxsize=16)  # a stack is loaded twice, with and without hsm.local.yaml
def read(text: str, filename: str) -> tuple[Tree, tuple[Problem, ...]]:
    """The tree, and the mistakes that leave it readable: equal keys, keys that are no text, foreign tags."""
    return run(Reader, text, filename)


# ---------------------------------------------------------------------------------------------------- tree to text


def dump(tree: Output, header: str = "") -> str:
    """The text of a file that compose reads as meant. `header` becomes comment lines on top; keys keep their order."""
    text: str = yaml.dump(tree, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10**6)
    return "".join(f"# {line}".rstrip() + "\n" for line in header.splitlines()) + text


class _Dumper(yaml.CSafeDumper):
    """PyYAML quotes by the rules of YAML 1.1; compose reads 0o17, 1e3 and 08 as numbers, so these rules are ours."""

    def ignore_aliases(self, data: Any) -> bool:
        return True  # compose ignores !reset behind an alias


_PLAIN: Final = re.compile(r"[A-Za-z_/][A-Za-z0-9_./\-]*\Z")
_WORD: Final = re.compile(r"(?i:y|n|yes|no|on|off|true|false|null|inf|nan)\Z")
_EMPTY: Final[dict[str, Output]] = {"null": None, "list": [], "map": {}}


def plain(text: str) -> bool:
    """Whether every reader of YAML takes the text for text, without quotes."""
    return bool(_PLAIN.match(text)) and not _WORD.match(text)


def flow(tree: Any) -> str:
    """A value on one line, as people write it: quotes only where they are needed."""
    match tree:
        case Mapping():
            return "{" + ", ".join(f"{flow(str(key))}: {flow(value)}" for key, value in tree.items()) + "}"
        case list():
            return f"[{', '.join(map(flow, tree))}]"
        case str():
            return tree if plain(tree) or tree == "." else json.dumps(tree, ensure_ascii=False)
        case _:
            return json.dumps(tree)


def _text(dumper: yaml.CSafeDumper, text: str) -> yaml.Node:
    return dumper.represent_scalar(CORE + "str", text, style=None if plain(text) else '"')


def _reset(dumper: yaml.CSafeDumper, value: Reset) -> yaml.Node:
    return _tagged(dumper, "!reset", _EMPTY[value.empty])


def _override(dumper: yaml.CSafeDumper, value: Override) -> yaml.Node:
    return _tagged(dumper, "!override", value.tree)


def _tagged(dumper: yaml.CSafeDumper, tag: str, tree: Output) -> yaml.Node:
    node = dumper.represent_data(tree)
    node.tag = tag
    return node


_Dumper.add_representer(str, _text)
_Dumper.add_representer(Reset, _reset)
_Dumper.add_representer(Override, _override)
_Dumper.add_multi_representer(
    Mapping,  # type: ignore[type-abstract]
    lambda dumper, data: dumper.represent_dict(data),
)
