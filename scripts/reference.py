"""Writes docs/reference.md: every key of hsm.yaml and hsm.local.yaml, made of the schemas that hsm ships.

`python scripts/reference.py` after a change of the model; a test says when that was forgotten.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hsm_tasks.core.schema import DevKeys, ProdKeys, Raw
from hsm_tasks.core.yamltext import flow
from hsm_tasks.stack import schemas

PLACE = Path(__file__).resolve().parents[1] / "docs" / "reference.md"
HEAD = """\
# Every key

<!-- Made by scripts/reference.py of the model; do not edit. -->

This page is made of the JSON Schemas that `hsm schema` and `hsm schema local` print, and that editors use through the
first line of hsm.yaml. Every key is optional. What the keys do together, and how files are merged, is in the
[manual](manual.md). A `*` stands for a name of yours.
"""
COMPOSE = "Besides the keys below, any key of a compose service{but} may stand here and goes into the override.\n"
OWN: Mapping[str, type[Raw]] = {"Dev": DevKeys, "Prod": ProdKeys}
BUT = {"Dev": " but `image`", "Prod": " but `build` and `develop`"}


def page() -> str:
    """The whole page."""
    return "\n".join([HEAD, *_file(schemas.STACK, "hsm.yaml"), *_file(schemas.LOCAL, "hsm.local.yaml")])


def _file(name: str, title: str) -> Iterator[str]:
    schema = json.loads(schemas.shipped(name))
    yield f"## {title}\n"
    yield from _keys(schema, "", schema["$defs"])


def _keys(struct: Mapping[str, Any], path: str, defs: Mapping[str, Any], name: str = "") -> Iterator[str]:
    """The keys of one struct, each followed by what may stand below it; without those that are compose's own."""
    own = OWN[name].__struct_fields__ if name in OWN else tuple(struct["properties"])
    for key in own:
        value = struct["properties"][key]
        yield f"### `{path}{key}`\n"
        yield f"{value['description']}\n"
        yield from _values(value)
        yield from _examples(key, value["examples"])
        for kind, part, below in _below(value, f"{path}{key}", defs):
            if kind == "Keys":
                continue
            if kind in OWN:
                yield COMPOSE.format(but=BUT[kind])
            yield from _keys(part, f"{below}.", defs, kind)


def _values(value: Mapping[str, Any]) -> Iterator[str]:
    allowed = [word for part in (value, *value.get("anyOf", ())) for word in part.get("enum", ()) if word is not None]
    if allowed:
        yield f"One of {', '.join(f'`{word}`' for word in allowed)}.\n"


def _examples(key: str, examples: list[Any]) -> Iterator[str]:
    yield "```yaml"
    yield from (f"{key}: {flow(example)}" for example in examples)
    yield "```\n"


def _below(
    value: Mapping[str, Any], path: str, defs: Mapping[str, Any]
) -> Iterator[tuple[str, Mapping[str, Any], str]]:
    """(name, struct, path) of the structs that the key may hold: itself one, or a mapping from names to them."""
    for part in (value, *value.get("anyOf", ())):
        named = part.get("additionalProperties")
        each = (named, *named.get("anyOf", ())) if isinstance(named, Mapping) else ()
        for choice, where in ((part, path), *((choice, f"{path}.*") for choice in each)):
            name = choice.get("$ref", "").rpartition("/")[2]
            if name in defs and not name.startswith("compose-"):
                yield name, defs[name], where


if __name__ == "__main__":
    PLACE.write_text(page(), encoding="utf-8")
