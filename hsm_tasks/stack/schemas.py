"""The JSON Schemas of hsm.yaml and hsm.local.yaml that are shipped: made of the model, printed, put where editors look.

`python -m hsm_tasks.stack.schemas` writes them anew after a change of the model; a test says when that was forgotten.
"""

from __future__ import annotations

import json
from pathlib import Path

import msgspec

from hsm_tasks.core import editors
from hsm_tasks.core.schema import LocalFile, StackFile
from hsm_tasks.effects import files

STACK, LOCAL = "hsm.schema.json", "hsm.local.schema.json"
_HERE = Path(__file__).parents[1]


def shipped(name: str) -> str:
    """The text of STACK or LOCAL."""
    return files.read(_HERE / name)


def made() -> dict[str, str]:
    """Both texts, as the model has them now."""
    spec = json.loads(files.read(_HERE / "core" / "compose-spec.json"))
    models: dict[str, tuple[type[msgspec.Struct], str]] = {
        STACK: (StackFile, "hsm.yaml"),
        LOCAL: (LocalFile, "hsm.local.yaml"),
    }
    schemas = {name: editors.schema(model, title, spec) for name, (model, title) in models.items()}
    return {name: json.dumps(schema, indent=1, ensure_ascii=False) + "\n" for name, schema in schemas.items()}


def keep(state: Path) -> None:
    """Puts them below .hsm, where the first line of hsm.yaml points to after `hsm init`; git does not see them."""
    files.hide_folder(state)
    for name in (STACK, LOCAL):
        files.write_if_changed(state / name, shipped(name))


def keep_if_named(config: str, state: Path) -> None:
    """For who has an hsm.yaml of somebody else's `hsm init`: its first line leads to files that git did not bring."""
    if f"/{STACK}" in config:
        keep(state)


if __name__ == "__main__":
    for name, text in made().items():
        files.write_if_changed(_HERE / name, text)
