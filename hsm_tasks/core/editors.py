"""The model as a JSON Schema for editors: msgspec's schema of the structs, and compose's own words for compose's keys.

Editors read YAML with its types, hsm reads every scalar as text: so `cpus: 0.5` is right where the model says text, and
`pids: "200"` where it says a number.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from hsm_tasks.core.examples import EXAMPLES
from hsm_tasks.core.schema import StackFile

_COMPOSE: Final = "compose-"
# own keys of dev whose values are compose's
_AS_COMPOSE: Final = {
    "build": f"#/$defs/{_COMPOSE}service/properties/build",
    "volumes": f"#/$defs/{_COMPOSE}service/properties/volumes",
    "watch": f"#/$defs/{_COMPOSE}development/properties/watch",
}
_NUMBER: Final = {"type": ["integer", "string", "null"], "pattern": r"^-?[0-9]+$|\$"}
_NUMBERS: Final = frozenset({"pids", "replicas"})  # text in the model, because of ${VARIABLES}


def schema(model: type[msgspec.Struct], filename: str, compose: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of a file, whole in itself. `compose` is compose-spec.json."""
    made = msgspec.json.schema(model)
    theirs = {**compose["$defs"], "service": {"properties": _service_keys(compose["$defs"], "service")}}
    defs = {_plain(name): _struct(struct, theirs) for name, struct in made["$defs"].items()}
    top = defs.pop(model.__name__)
    if model is StackFile:
        top["patternProperties"] = {"^x-": {"description": "Whatever you like: hsm passes over it."}}
    used = _reachable(theirs, "service")
    defs |= {_COMPOSE + name: _prefixed(theirs[name]) for name in sorted(used)}
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": filename}
    return {**head, **top, "$defs": defs}


def _service_keys(theirs: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The keys of a service, which the compose schema puts together of several parts."""
    parts = (part["$ref"].rpartition("/")[2] for part in theirs[name].get("allOf", ()))
    keys = {key: value for part in parts for key, value in _service_keys(theirs, part).items()}
    own: Mapping[str, Any] = theirs[name].get("properties", {})
    return {**keys, **own}


def _plain(name: str) -> str:
    """The names of the structs are nobody's business."""
    return name.removeprefix("Raw")


def _struct(struct: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, Any]:
    keys = {key: _key(key, value, theirs) for key, value in struct["properties"].items()}
    said = {"description": struct["description"]} if "description" in struct else {}
    return {"type": "object", **said, "properties": keys, "additionalProperties": False}


def _key(name: str, value: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, Any]:
    """One key of a struct. What has no type in the model is a key of a compose service."""
    said = {word: value[word] for word in ("description", "examples") if word in value}
    if not said.keys() | (value.keys() - {"default"}):
        own = theirs["service"]["properties"][name].get("description", f"As `{name}` of a compose service.")
        reference = {"$ref": f"#/$defs/{_COMPOSE}service/properties/{name}"}
        return {"description": own, "examples": [EXAMPLES[name]], "anyOf": [reference, {"type": "null"}]}
    if name in _AS_COMPOSE and _is_loose(value):
        return {**said, "anyOf": [{"$ref": _AS_COMPOSE[name]}, {"type": "null"}]}
    return {**(_NUMBER if name in _NUMBERS else _lenient(value)), **said}


def _is_loose(value: Any) -> bool:
    """Whether it allows mappings with any keys: those of compose, which the model does not repeat."""
    if isinstance(value, Mapping):
        return dict(value) == {"type": "object"} or any(_is_loose(item) for item in value.values())
    return isinstance(value, list) and any(map(_is_loose, value))


def _lenient(value: Any) -> Any:
    """The same, for YAML with types instead of text; without msgspec's defaults, which are all null."""
    if isinstance(value, list):
        return [_lenient(item) for item in value]
    if not isinstance(value, Mapping):
        return value
    if "$ref" in value:
        return {"$ref": f"#/$defs/{_plain(value['$ref'].rpartition('/')[2])}"}
    if value.get("type") == "string":
        return {"type": ["string", "number"]}
    return {key: _lenient(item) for key, item in value.items() if key not in ("default", "description", "examples")}


def _prefixed(value: Any) -> Any:
    if isinstance(value, list):
        return [_prefixed(item) for item in value]
    if not isinstance(value, Mapping):
        return value
    refs = {key: f"#/$defs/{_COMPOSE}{item.rpartition('/')[2]}" for key, item in value.items() if key == "$ref"}
    return {key: _prefixed(item) for key, item in value.items()} | refs


def _reachable(theirs: Mapping[str, Any], *names: str) -> set[str]:
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += _references(theirs[name])
    return found


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"].rpartition("/")[2]
        value = list(value.values())
    for item in value if isinstance(value, list) else ():
        yield from _references(item)
