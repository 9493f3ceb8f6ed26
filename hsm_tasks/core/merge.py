"""Fragments to one override.

Each fragment is the text of one service, made by `render`; so merging is joining, in the order of their names, below
the project's name and above the volumes that only the override knows.
"""

from __future__ import annotations

from collections.abc import Iterable

from hsm_tasks.core.yamltext import dump

HEADER = """\
# Made by hsm from hsm.yaml; not a place for edits: the next sync makes it anew.
# What should change goes into hsm.yaml, or for this machine alone into hsm.local.yaml.
"""
_HEAD, _EMPTY = "services:\n", "services: {}\n"


def merge(project: str, fragments: Iterable[str], volumes: Iterable[str]) -> str:
    """The text of the override. `volumes` are named volumes to declare."""
    bodies = [body for body in (_body(fragment) for fragment in fragments) if body]
    services = _HEAD + "".join(bodies) if bodies else ""
    declared = dump({"volumes": {name: {} for name in sorted(volumes)}}) if volumes else ""
    return HEADER + dump({"name": project}) + services + declared


def _body(fragment: str) -> str:
    if fragment == _EMPTY:
        return ""
    if not fragment.startswith(_HEAD):
        raise ValueError("not a fragment of render")
    return fragment.removeprefix(_HEAD)
