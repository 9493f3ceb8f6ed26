"""Text to the types that the compose schema wants, place by place.

hsm.yaml is read with every scalar as text: a commit `0123456`, a port `22:22` and `no` stay what a person wrote. What
goes on to compose is typed here, by compose's own schema (compose-spec.json beside this file):

    the schema at that place allows          and the text is              it becomes
    text, numbers and booleans               anything                     text (environment, labels, args: free text)
    a mapping with keys of one's own: text   anything                     text (logging options, driver_opts)
    a boolean                                true, false                  a boolean
    a number, and the key is `mode`          octal (0440, 0o440)          a number, as YAML has it
    an integer or a number                   a decimal without 0s before  a number
    a number and no text                     -1, 0.5                      a number
    anything else                            anything                     text

Where both are allowed compose takes "3" and 3 alike (tried on every place of the table), so `${VARIABLES}` and odd
spellings stay text and compose has the last word.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import msgspec

from hsm_tasks.core.model import Keys, Tree

Path: TypeAlias = tuple[str | int, ...]
_Raw: TypeAlias = Mapping[str, Any]

_DECIMAL = re.compile(r"0|[1-9][0-9]{0,17}")  # longer ones do not fit compose's integers
_SIGNED = re.compile(r"-?(?:0|[1-9][0-9]{0,17})")
_FRACTION = re.compile(r"-?[0-9]+\.[0-9]+")
_OCTAL = re.compile(r"0o?[0-7]+")
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
# compose takes these too where text is allowed, with a warning; 1, t and "" it does not
_BOOLEAN_WORDS = frozenset({"true", "false", "yes", "no", "y", "n", "on", "off"})
_CLOSING = ("additionalProperties", "unevaluatedProperties")
_ANY_KEY = frozenset({"^.+$", ".+"})
# the schema says number or boolean here, and means a word as well
_WORDS_ALLOWED = frozenset({"count", "group_add", "provenance", "sbom", "published", "expose", "ports"})


class Place(msgspec.Struct, frozen=True):
    """What may stand at one place: all the alternatives of the schema (oneOf, anyOf, allOf, $ref) as one.

    `types` are JSON schema's words; empty means that the schema does not say. `free`: text stays text here.
    `closed`: no other keys than `names` and `patterns`.
    """

    types: frozenset[str]
    enum: tuple[str, ...]
    names: Mapping[str, tuple[_Raw, ...]]
    patterns: tuple[tuple[re.Pattern[str], _Raw], ...]
    items: tuple[_Raw, ...]
    closed: bool
    free: bool


class Schema(msgspec.Struct, frozen=True, eq=False):
    """The compose schema. Places are resolved when they are first met, and once."""

    definitions: Mapping[str, _Raw]
    _places: dict[tuple[int, ...], Place] = msgspec.field(default_factory=dict)
    _children: dict[tuple[int, str], Place | None] = msgspec.field(default_factory=dict)

    @property
    def service(self) -> Place:
        """A whole service."""
        return self.resolve((self.definitions["service"],))

    def resolve(self, raws: tuple[_Raw, ...]) -> Place:
        """The place that these pieces of the schema describe together."""
        key = tuple(map(id, raws))  # they live as long as `definitions`
        if key not in self._places:
            self._places[key] = _place([part for raw in raws for part in self._parts(raw)])
        return self._places[key]

    def child(self, place: Place, name: str) -> Place | None:
        """The place below the key `name`; None where the schema does not know such a key."""
        key = (id(place), name)
        if key not in self._children:
            raws = place.names.get(name) or tuple(raw for pattern, raw in place.patterns if pattern.search(name))
            self._children[key] = self.resolve(raws) if raws else None
        return self._children[key]

    def item(self, place: Place) -> Place | None:
        """The place of each item of a list."""
        return self.resolve(place.items) if place.items else None

    def _parts(self, raw: _Raw) -> Iterator[_Raw]:
        if "$ref" in raw:
            yield from self._parts(self.definitions[raw["$ref"].rpartition("/")[2]])
        yield raw
        for word in ("oneOf", "anyOf", "allOf"):
            for part in raw.get(word, ()):
                yield from self._parts(part)


def schema_from(text: str) -> Schema:
    """The schema in the text of compose-spec.json."""
    return Schema(json.loads(text)["$defs"])


def typed(keys: Keys, schema: Schema) -> dict[str, Tree]:
    """The service (or a part of one: any of its keys) with each scalar of the type that compose wants there."""
    result = _typed(keys, schema.service, schema, "")
    assert isinstance(result, dict)  # `keys` is a mapping
    return result


def check(keys: Keys, schema: Schema) -> list[tuple[Path, str]]:
    """What compose is sure to refuse in a service: a value of the wrong kind, an unknown key below the service's own.

    The keys of the service itself are for the caller to check (hsm.yaml has some of its own).
    """
    found: list[tuple[Path, str]] = []
    for name, tree in keys.items():
        place = schema.child(schema.service, name)
        if place is not None:
            found += _problems(tree, place, schema, (name,))
    return found


def _place(parts: list[_Raw]) -> Place:
    types: set[str] = set()
    names: dict[str, tuple[_Raw, ...]] = {}
    patterns: list[tuple[re.Pattern[str], _Raw]] = []
    for part in parts:
        declared = part.get("type", ())
        types.update((declared,) if isinstance(declared, str) else declared)
        for name, raw in part.get("properties", {}).items():
            names[name] = (*names.get(name, ()), raw)
        patterns += [(re.compile(regex), raw) for regex, raw in part.get("patternProperties", {}).items()]
    return Place(
        types=frozenset(types),
        enum=tuple(word for part in parts for word in part.get("enum", ())),
        names=names,
        patterns=tuple(patterns),
        items=tuple(part["items"] for part in parts if "items" in part),
        closed=any(part.get(word) is False for part in parts for word in _CLOSING),
        free={"string", "boolean", "number"} <= types,
    )


def _typed(tree: Tree, place: Place | None, schema: Schema, key: str) -> Tree:
    if isinstance(tree, str):
        return _scalar(tree, place, key) if place is not None else tree
    if isinstance(tree, Mapping):
        return {name: _typed(value, _below(place, name, schema), schema, name) for name, value in tree.items()}
    if isinstance(tree, list):
        item = schema.item(place) if place is not None else None
        return [_typed(value, item, schema, key) for value in tree]
    return tree


def _below(place: Place | None, name: str, schema: Schema) -> Place | None:
    """The place of a key, for its type: a mapping whose keys are the user's own leaves text alone where it may."""
    if place is None:
        return None
    below = schema.child(place, name)
    if below is None or name in place.names or "string" not in below.types:
        return below
    return None if any(pattern.pattern in _ANY_KEY for pattern, _ in place.patterns) else below


def _scalar(text: str, place: Place, key: str) -> Tree:  # the table of the module's docstring, line by line
    types = place.types
    if place.free or not types:
        return text
    if "boolean" in types and text in _BOOLEANS:
        return _BOOLEANS[text]
    if "integer" in types or "number" in types:
        if key == "mode" and _OCTAL.fullmatch(text):  # compose refuses "01777" for a tmpfs
            return int(text.removeprefix("0o").removeprefix("0") or "0", 8)
        if _DECIMAL.fullmatch(text):
            return int(text)
        if "string" not in types and _SIGNED.fullmatch(text):
            return int(text)
        if "string" not in types and "number" in types and _FRACTION.fullmatch(text):
            return float(text)
    return text


def _problems(tree: Tree, place: Place, schema: Schema, path: Path) -> Iterator[tuple[Path, str]]:
    wrong = _wrong_kind(tree, place, path)
    if wrong:
        yield path, wrong
    elif isinstance(tree, Mapping):
        for name, value in tree.items():
            below = schema.child(place, name)
            if below is not None:
                yield from _problems(value, below, schema, (*path, name))
            elif place.closed:
                yield (*path, name), _unknown(name, place)
    elif isinstance(tree, list):
        item = schema.item(place)
        for index, value in enumerate(tree):
            if item is not None:
                yield from _problems(value, item, schema, (*path, index))


def _wrong_kind(tree: Tree, place: Place, path: Path) -> str:
    """Why this can not stand here, "" where it can. None is let through: compose takes an empty key in most places."""
    types = place.types
    if tree is None or not types or (isinstance(tree, str) and "$" in tree):
        return ""
    if isinstance(tree, Mapping):
        return "" if "object" in types else f"must be {_words(place)}, not a mapping"
    if isinstance(tree, list):
        return "" if "array" in types else f"must be {_words(place)}, not a list"
    if not isinstance(tree, str):
        return ""
    if types <= {"object", "array", "null"}:
        return f'must be {_words(place)}, not "{tree}"'
    return _wrong_text(tree, place, next((key for key in reversed(path) if isinstance(key, str)), ""))


def _wrong_text(text: str, place: Place, key: str) -> str:
    types = place.types
    if place.enum and types <= {"string"} and text not in place.enum:
        return f'"{text}" is not one of {", ".join(place.enum)}{_suggestion(text, place.enum)}'
    if place.free or key in _WORDS_ALLOWED or not isinstance(_scalar(text, place, key), str):
        return ""
    if "boolean" in types:
        taken = "string" in types and text.lower() in _BOOLEAN_WORDS
        return "" if taken else f'"{text}" is not true or false'
    if types & {"integer", "number"}:
        taken = "string" in types and re.search(r"\d", text) is not None
        return "" if taken else f'"{text}" is not a number'
    return ""


def _unknown(name: str, place: Place) -> str:
    if not place.names:
        return "compose does not take such a name here"
    return f"compose knows no such key here{_suggestion(name, tuple(place.names))}"


def _suggestion(word: str, known: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(word, known, 1)
    return f' (did you mean "{near[0]}"?)' if near else ""


_IN_WORDS = {
    "object": "a mapping",
    "array": "a list",
    "boolean": "true or false",
    "number": "a number",
    "string": "text",
}


def _words(place: Place) -> str:
    types = {"number" if word == "integer" else word for word in place.types}
    return " or ".join(words for word, words in _IN_WORDS.items() if word in types)
