"""The steps that are certain to be fresh, so that doit need not be told of them.

What doit and `Fingerprint` would ask of a step is asked here by number instead of by object, and only the plain answer
counts: the same parts, the same files to read and to leave, each with the stat that it had when it was seen, and
nothing before it that may run. Whatever is not quite so is for doit to judge, which may still find it fresh. A run
after one edit so looks at a handful of tasks, and not at thousands.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from hsm_tasks.run.fingerprint import Part, part_digest
from hsm_tasks.run.seen import same_file

Row = Mapping[str, Any]


class Claim(msgspec.Struct):
    """What a step says of itself. `needs`: the steps before it. `parts` and `doubt` are asked only where it matters.

    `doubt` gives a reason (anything true) why files and parts do not say it all.
    """

    name: str
    needs: tuple[str, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    parts: Callable[[], Mapping[str, Part]]
    doubt: Callable[[], object]


def certain(claims: Iterable[Claim], row: Callable[[str], Row]) -> dict[str, Claim]:
    """Those that are certain, by name; `claims` come in an order in which the steps could run."""
    found: dict[str, Claim] = {}
    looked = _Looked()
    for claim in claims:
        known = all(name in found for name in claim.needs)
        if known and _as_recorded(claim, row(claim.name), looked) and not claim.doubt():
            found[claim.name] = claim
    return found


def _as_recorded(claim: Claim, row: Row, looked: _Looked) -> bool:
    values = row.get("_values_:", {})
    if "parts" not in values or "ignore:" in row or set(row.get("deps:", ())) != set(claim.inputs):
        return False
    files = all(looked.same(path, row.get(path)) for path in claim.inputs)
    files = files and all(looked.same(path, values["out"].get(path)) for path in claim.outputs)
    return files and values["parts"] == {name: part_digest(part) for name, part in claim.parts().items()}


class _Looked:
    """Each file is looked at once: what one step leaves is what the next one reads."""

    def __init__(self) -> None:
        self._stats: dict[str, os.stat_result | None] = {}

    def same(self, path: str, seen: list[Any] | None) -> bool:
        if path not in self._stats:
            try:
                self._stats[path] = os.stat(path)  # noqa: PTH116 - thousands in each run, as in seen
            except OSError:
                self._stats[path] = None
        found = self._stats[path]
        return found is not None and seen is not None and same_file(found, seen)
