"""One pass over the events of libyaml, with all the limits and all the complaints that there are.

Events are read one by one, so what is too deep or too big is refused before memory or stack run out, and building
the tree here costs a quarter of what PyYAML's own loaders need.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

import yaml

from hsm_tasks.core.errors import ConfigError, Problem

Path: TypeAlias = tuple[str | int, ...]

DEEPEST: Final = 100
MOST_NODES: Final = 1_000_000
LONGEST: Final = 8 << 20

NULLS: Final = frozenset({"", "~", "null", "Null", "NULL"})
_ODD_KEYS: Final = NULLS | {"<<"}
CORE: Final = "tag:yaml.org,2002:"
_SCALAR_TAGS: Final = frozenset({"!", *(CORE + kind for kind in ("str", "int", "float", "bool", "null"))})
_UNPRINTABLE: Final = yaml.reader.Reader.NON_PRINTABLE  # a pattern of our own would take 5 ms of each start
_CONFLICT: Final = re.compile(r"^(<{7}|={7}|>{7})( |$)", re.MULTILINE)
_TOO_DEEP: Final = f"nested deeper than {DEEPEST} levels"
_TOO_DEEP_FOR_LIBYAML: Final = "exceeded maximum nesting depth"
"""libyaml 0.2.6 has a bound of its own, at 1000; its scanner reads ahead and so may meet that before we count 100."""
_LINE_ENDS: Final = re.compile("\r\n|[\n\r\x85\u2028\u2029]")


def dotted(path: Path) -> str:
    """The path of a key as people write it: `services.api.ports[0]`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


def run(reader: type[Reader], text: str, filename: str) -> tuple[Any, tuple[Problem, ...]]:
    """What `reader` makes of the text, and the mistakes that leave it readable. Raises ConfigError for the others."""
    text = text.removeprefix("\ufeff")
    if len(text) > LONGEST:
        raise ConfigError(Problem(filename, 1, 1, "", f"the file is longer than {LONGEST >> 20} MiB"))
    if odd := _UNPRINTABLE.search(text.replace("\ufeff", "\ufffe")):  # a mark of byte order in the middle is odd, too
        before = _LINE_ENDS.split(text[: odd.start()])
        message = f"the character U+{ord(text[odd.start()]):04X} may not stand in a YAML file"
        raise ConfigError(Problem(filename, len(before), len(before[-1]) + 1, "", message))
    running = reader(text, filename)
    try:
        return running.document(), tuple(running.problems)
    except yaml.MarkedYAMLError as error:
        raise ConfigError(*running.problems, _syntax_problem(error, text, filename)) from None


class _TooMuch(yaml.MarkedYAMLError):
    """Reading cannot go on, although the syntax is right."""


def _syntax_problem(error: yaml.MarkedYAMLError, text: str, filename: str) -> Problem:
    if conflict := _CONFLICT.search(text):
        line = len(_LINE_ENDS.split(text[: conflict.start()]))
        return Problem(filename, line, 1, "", "a conflict that git left here", "resolve it, then run again")
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    message = error.problem or error.context or "unreadable"
    if isinstance(error, _TooMuch):
        return Problem(filename, line, column, "", message)
    if message == _TOO_DEEP_FOR_LIBYAML:
        return Problem(filename, line, column, "", _TOO_DEEP)
    if error.context and error.context_mark and error.context.startswith("while parsing"):
        message += f" {error.context} that begins in line {error.context_mark.line + 1}"
    return Problem(filename, line, column, "", f"not YAML: {message}", _syntax_hint(error, text, line, column))


def _syntax_hint(error: yaml.MarkedYAMLError, text: str, line: int, column: int) -> str:
    lines = _LINE_ENDS.split(text)
    rest = lines[line - 1][column - 1 :] if line <= len(lines) else ""
    if rest.startswith("\t"):
        return "indent with spaces, not with tabs"
    if rest[:1] in {"@", "`", "%"}:
        return "put the value in quotes"
    if error.problem == "mapping values are not allowed in this context":
        return 'a value with ": " in it needs quotes; a key stands as far left as the keys beside it'
    return ""


class Merge:
    """The key `<<`, which is no text."""


class Reader:
    """One pass over the events of libyaml."""

    def __init__(self, text: str, filename: str) -> None:
        self.filename = filename
        self.problems: list[Problem] = []
        self.path: list[str | int] = []
        self.anchors: dict[str, tuple[Any, int]] = {}
        self.nodes = 0
        self.next: Callable[[], Any] = yaml.CSafeLoader(text).get_event

    def document(self) -> Any:
        self.next()
        if type(self.next()) is yaml.StreamEndEvent:
            return None
        tree = self.node(self.next(), 1)
        self.next()
        after = self.next()
        if type(after) is not yaml.StreamEndEvent:
            self.problem(after, "a second document begins here; a file holds one")
        return tree

    def node(self, event: Any, depth: int) -> Any:
        if type(event) is yaml.AliasEvent:
            return self.alias(event)
        before = self.nodes
        self.count(event, 1)
        if type(event) is yaml.ScalarEvent:
            tree = self.scalar(event)
        elif depth > DEEPEST:
            raise _TooMuch(None, None, _TOO_DEEP, event.start_mark)
        elif type(event) is yaml.MappingStartEvent:
            tree = self.collection(event, self.mapping(depth + 1))
        else:
            tree = self.collection(event, self.sequence(depth + 1))
        if event.anchor is not None:
            self.anchors[event.anchor] = tree, self.nodes - before
        return tree

    def count(self, event: Any, nodes: int) -> None:
        self.nodes += nodes
        if self.nodes > MOST_NODES:
            raise _TooMuch(None, None, f"more than {MOST_NODES} values, aliases counted in full", event.start_mark)

    def alias(self, event: Any) -> Any:
        if event.anchor not in self.anchors:
            self.problem(event, f"the alias *{event.anchor} has no anchor before it")
            return None
        tree, nodes = self.anchors[event.anchor]
        self.count(event, nodes)
        return tree

    def scalar(self, event: Any) -> Any:
        if event.tag is not None and event.tag not in _SCALAR_TAGS:
            return self.foreign(event)
        return None if not event.style and event.value in NULLS and event.tag != "!" else event.value

    def collection(self, event: Any, tree: Any) -> Any:
        kind = "map" if isinstance(tree, dict) else "seq"
        return tree if event.tag in {None, "!", CORE + kind} else self.foreign(event)

    def foreign(self, event: Any) -> Any:
        tag = event.tag.replace(CORE, "!!", 1) if event.tag.startswith(CORE) else event.tag
        self.problem(event, f"the tag {tag} means nothing here", "leave it out")
        return None

    def sequence(self, depth: int) -> list[Any]:
        tree: list[Any] = []
        while type(event := self.next()) is not yaml.SequenceEndEvent:
            self.path.append(len(tree))
            tree.append(self.node(event, depth))
            self.path.pop()
        return tree

    def mapping(self, depth: int) -> dict[str, Any]:
        tree: dict[str, Any] = {}
        merged: list[Mapping[str, Any]] = []
        lines: dict[str | type[Merge], int] = {}
        while type(event := self.next()) is not yaml.MappingEndEvent:
            key = self.key(event, depth)
            self.path.append("?" if key is None else "<<" if key is Merge else key)
            if key in lines:
                self.problem(event, f"the key is there already, in line {lines[key]}", "keep one of the two")
            elif key is not None:
                lines[key] = event.start_mark.line + 1
            value_event = self.next()
            value = self.node(value_event, depth)
            if key is Merge:
                merged.extend(self.merged(value_event, value))
            elif key is not None:
                tree[key] = value
            self.path.pop()
        return self.joined(tree, merged) if merged else tree

    def key(self, event: Any, depth: int) -> Any:
        """The key's text, `Merge`, or None for one that is no text (which is then a problem)."""
        if type(event) is yaml.ScalarEvent and event.tag is None and event.anchor is None:
            if event.style or event.value not in _ODD_KEYS:
                return event.value
            if event.value == "<<":
                return Merge
        value = self.node(event, depth)
        if not isinstance(value, str):
            self.problem(event, "a key must be text", "put it in quotes" if value is None else "")
            return None
        return value

    def merged(self, event: Any, value: Any) -> list[Mapping[str, Any]]:
        parts = value if isinstance(value, list) else [value]
        if all(isinstance(part, dict) for part in parts):
            return parts
        self.problem(event, "<< takes a mapping, or a list of mappings")
        return []

    @staticmethod
    def joined(tree: dict[Any, Any], merged: list[Mapping[Any, Any]]) -> dict[Any, Any]:
        whole: dict[Any, Any] = {}
        for part in reversed(merged):
            whole.update(part)
        whole.update(tree)
        return whole

    def problem(self, event: Any, message: str, hint: str = "") -> None:
        mark = event.start_mark
        where = dotted(tuple(self.path))
        self.problems.append(Problem(self.filename, mark.line + 1, mark.column + 1, where, message, hint))
