"""Small edits of hsm.local.yaml as text: its comments, its order and its quotes are a person's own and stay.

ruamel.yaml keeps them. It is told, as `yamlread` is, that a plain scalar is text, so that it writes each as it was.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from hsm_tasks.core.errors import ConfigError, Problem
from hsm_tasks.core.model import Mode, Tree
from hsm_tasks.core.yamltext import dump, parse, plain

_NAME: Final = "hsm.local.yaml"
# How people indent: spaces before a key, before what follows a dash, and before the dash itself.
_INDENTS: Final = ((2, 4, 2), (2, 2, 0), (4, 6, 4), (4, 4, 2), (4, 2, 0))
# Only what is empty, and `<<`, is no text.
_RESOLVERS: Final = {
    "": [("tag:yaml.org,2002:null", re.compile(r"^$"))],
    "<": [("tag:yaml.org,2002:merge", re.compile(r"^<<$"))],
}


def set_mode(text: str, service: str, mode: Mode) -> str:
    """The text with `services.SERVICE.mode`; the same text if it says so already."""
    return _set(text, ("services", service, "mode"), mode)


def set_selection(text: str, group: str, selection: tuple[str, ...], one: bool) -> str:
    """The text with `groups.GROUP.selection`: a word where `one` is selected, else a list."""
    path = ("groups", group, "selection")
    there = _at(parse(text, _NAME), path)
    if there is not None and ([there] if isinstance(there, str) else there) == list(selection):
        return text
    return _set(text, path, selection[0] if one else list(selection))


def _set(text: str, path: tuple[str, ...], value: str | list[str]) -> str:
    tree = parse(text, _NAME)
    if _at(tree, path) == value:
        return text
    wanted = _with(tree, path, value)
    if tree is None:  # only comments, or nothing
        return (text if text.endswith("\n") or not text else f"{text}\n") + dump(_nested(path, value))
    edited = _edited(text, path, value)
    if parse(edited, _NAME) != wanted:
        message = "this can not be changed without changing more than that"
        raise ConfigError(Problem(_NAME, 0, 0, ".".join(path), message, f"write {value!r} there yourself"))
    return edited


def _at(tree: Tree, path: tuple[str, ...]) -> Tree:
    for key in path:
        tree = tree.get(key) if isinstance(tree, Mapping) else None
    return tree


def _with(tree: Tree, path: tuple[str, ...], value: str | list[str]) -> Tree:
    if not path:
        return [*value] if isinstance(value, list) else value
    if tree is not None and not isinstance(tree, Mapping):
        raise ConfigError(Problem(_NAME, 0, 0, path[0], "what is there is not a mapping"))
    under = dict(tree or {})
    return {**under, path[0]: _with(under.get(path[0]), path[1:], value)}


def _nested(path: tuple[str, ...], value: str | list[str]) -> Any:
    return {path[0]: _nested(path[1:], value)} if path else value


def _edited(text: str, path: tuple[str, ...], value: str | list[str]) -> str:
    yaml = _editor(text)
    document = yaml.load(text)
    inner = document
    for key in path[:-1]:
        if inner.get(key) is None:
            inner[key] = yaml.map()
        inner = inner[key]
    new = _list(yaml, inner.get(path[-1]), value) if isinstance(value, list) else _word(value)
    if path[-1] in inner:
        inner[path[-1]] = new
    else:
        inner.insert(0, path[-1], new)  # what comes last may have comments behind it that belong to what follows
    return _written(yaml, document)


def _word(value: str) -> str:
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString

    return value if plain(value) else DoubleQuotedScalarString(value)


def _list(yaml: Any, there: Any, value: list[str]) -> Any:
    """The list that is there, so that what stays in it keeps its comments; in one line if there is none."""
    if not isinstance(there, list):
        new = yaml.seq([_word(item) for item in value])
        new.fa.set_flow_style()
        return new
    for index in reversed(range(len(there))):
        if there[index] not in value:
            del there[index]
    there.extend(_word(item) for item in value if item not in there)
    return there


def _editor(text: str) -> Any:
    """An editor that leaves this text as it is, as far as one can be had."""
    editors = [_configured(text, indents) for indents in _INDENTS]
    return next((yaml for yaml in editors if _written(yaml, yaml.load(text)) == text), editors[0])


def _configured(text: str, indents: tuple[int, int, int]) -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.resolver import VersionedResolver

    class PlainIsText(VersionedResolver):
        @property
        def versioned_resolver(self) -> dict[str, list[tuple[str, re.Pattern[str]]]]:
            return _RESOLVERS

    yaml: Any = YAML()
    yaml.Resolver = PlainIsText
    yaml.encoding = None  # text, not bytes
    yaml.preserve_quotes = True
    yaml.width = 1 << 20
    yaml.indent(mapping=indents[0], sequence=indents[1], offset=indents[2])
    yaml.explicit_start = text.startswith("---") or "\n---" in text
    return yaml


class _Pieces(list[str]):
    """What ruamel writes to."""

    write = list.append


def _written(yaml: Any, document: Any) -> str:
    pieces = _Pieces()
    yaml.dump(document, pieces)
    return "".join(pieces)
