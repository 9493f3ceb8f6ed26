"""What is written about a bundle: compose.yaml, the README for who runs it, and manifest.json for programs.

Secrets are named, never shown: a bundle has the names of variables and of files, and no value of either.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from hsm_tasks.core.bundle import Bundle
from hsm_tasks.core.yamltext import dump

VERSION = 1
COMPOSE, README, MANIFEST = "compose.yaml", "README.md", "manifest.json"
_ORDER = ("name", "services", "networks", "volumes", "configs", "secrets")


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """What a bundle was made of. `commit` None: the workspace is in no git repository; `changed`: it has changes that
    are not committed. `local`: hsm.local.yaml of this machine had a part in it. `lock` is the SHA-256 of hsm.lock.
    `oneshots` are services whose exit 0 is right."""

    stack: str
    hsm: str
    lock: str | None
    commit: str | None = None
    changed: bool = False
    local: bool = False
    oneshots: tuple[str, ...] = ()


class Need(msgspec.Struct, frozen=True, kw_only=True):
    """A file that does not travel: who runs the bundle puts it beside compose.yaml."""

    path: str
    kind: str
    required: bool


def compose_text(bundle: Bundle, stack: str) -> str:
    """compose.yaml."""
    model = {key: _sorted(bundle.model[key]) for key in _ORDER if key in bundle.model}
    return dump(model, f"Made by hsm (doit bundle) of the stack {stack}. Not a place for edits: see {README}.")


def _sorted(value: Any) -> Any:
    match value:
        case Mapping():
            return {key: _sorted(value[key]) for key in sorted(value)}
        case list():
            return [_sorted(item) for item in value]
        case _:
            return value


def manifest(bundle: Bundle, origin: Origin, files: Mapping[str, str], needs: Iterable[Need]) -> str:
    """manifest.json. `files` are those of the bundle, this one apart: path → SHA-256."""
    said = {
        "version": VERSION,
        "stack": origin.stack,
        "project": bundle.model["name"],
        "hsm": origin.hsm,
        "commit": origin.commit,
        "changed": origin.changed,
        "local": origin.local,
        "lock": origin.lock,
        "oneshots": list(origin.oneshots),
        "images": dict(sorted(bundle.images.items())),
        "files": dict(sorted(files.items())),
        "needs": [{"path": need.path, "kind": need.kind, "required": need.required} for need in needs],
        "variables": dict(bundle.variables),
        "external": list(bundle.external),
    }
    return json.dumps(said, indent=2, ensure_ascii=False) + "\n"


def readme(bundle: Bundle, origin: Origin, needs: Iterable[Need]) -> str:
    """README.md: one line to run it, and what has to be there before."""
    made = f"Made by hsm {origin.hsm}" + (f" at commit {origin.commit[:10]}" if origin.commit else "")
    made += " with changes that are not committed" if origin.changed else ""
    parts = [f"# {origin.stack}", "    docker compose up -d --remove-orphans", f"{made}; {MANIFEST} has it all."]
    parts += _section("Put beside compose.yaml before (they do not travel)", (_need(need) for need in needs))
    parts += _section("Variables, from the environment or from a file `.env` beside compose.yaml",
                      (_variable(name, default) for name, default in bundle.variables.items()))
    parts += _section("Must be there already", bundle.external)
    return "\n\n".join(parts) + "\n"


def _section(title: str, lines: Iterable[str]) -> Iterator[str]:
    listed = "\n".join(f"* {line}" for line in lines)
    if listed:
        yield f"{title}:\n\n{listed}"


def _need(need: Need) -> str:
    return f"`{need.path}` ({need.kind}{'' if need.required else ', may be missing'})"


def _variable(name: str, default: str | None) -> str:
    if default == "!":
        return f"`{name}` (compose does not start without it)"
    return f"`{name}`" + (f" (else `{default}`)" if default else "")
