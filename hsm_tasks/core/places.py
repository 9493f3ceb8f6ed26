"""Where a key path stands: in which of a stack's files, in which line and column.

Only asked after something went wrong, so the texts are read a second time here, places and all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec
import yaml
from msgspec.structs import replace

from hsm_tasks.core.errors import ConfigError, Problem
from hsm_tasks.core.yamlread import Merge, Path, Reader, dotted, run


class Source(msgspec.Struct, frozen=True):
    """One file of a stack: its name as the user is told it, and its folder seen from that of the main hsm.yaml."""

    filename: str
    text: str
    folder: str = "."


class Place(msgspec.Struct, frozen=True, order=True):
    """Line and column in a file, both from 1."""

    line: int
    column: int


class Spot(msgspec.Struct, frozen=True):
    """The place of a value and of the key before it (of the value itself in a list), and what is below it."""

    value: Place
    key: Place
    children: Mapping[str | int, Spot] = msgspec.field(default_factory=dict)

    @property
    def best(self) -> Place:
        """Where people look first: at the value if it begins in the line of its key."""
        return self.value if self.value.line == self.key.line else self.key


def places(text: str) -> Spot | None:
    """The spots of a whole file; None if it is empty or can not be read at all."""
    return _places(text)


@lru_cache(maxsize=32)
def _places(text: str) -> Spot | None:
    try:
        spot, _ = run(_SpotReader, text, "")
    except ConfigError:
        return None
    return spot if isinstance(spot, Spot) else None


def locate(sources: Sequence[Source], path: Path, *, key: bool = False) -> tuple[str, int, int]:
    """File, line and column of the path: in the last source that has it, else of its nearest ancestor.

    What a service has from `defaults` is found there. `key`: the place of the key, not of the value.
    """
    found: tuple[int, Source, Spot] | None = None
    for candidate in _candidates(path):
        for source in reversed(sources):
            depth, spot = _descend(places(source.text), candidate)
            missing = len(candidate) - depth
            if spot and (found is None or missing < found[0]):
                found = (missing, source, spot)
    if found is None:
        return (sources[-1].filename if sources else "", 1, 1)
    missing, source, spot = found
    place = spot.key if key or missing else spot.best
    return (source.filename, place.line, place.column)


def problem(sources: Sequence[Source], path: Path, message: str, hint: str = "", *, key: bool = False) -> Problem:
    """A mistake at the place of the path."""
    filename, line, column = locate(sources, path, key=key)
    return Problem(filename, line, column, dotted(path), message, hint)


def _candidates(path: Path) -> Iterator[Path]:
    yield path
    if len(path) > 3 and path[0] == "services" and path[2] in {"dev", "prod"}:
        yield ("defaults", *path[2:])


def _descend(spot: Spot | None, path: Path) -> tuple[int, Spot | None]:
    """How much of the path there is, and the spot at its end."""
    depth = 0
    for part in path:
        if spot is None or part not in spot.children:
            break
        spot, depth = spot.children[part], depth + 1
    return depth, spot


class _SpotReader(Reader):
    """Reads places in place of values."""

    def scalar(self, event: Any) -> Any:
        return Spot(_place(event), _place(event))

    def collection(self, event: Any, tree: Any) -> Any:
        return Spot(_place(event), _place(event), tree)

    def alias(self, event: Any) -> Any:
        anchored, _ = self.anchors.get(event.anchor, (None, 0))
        return Spot(_place(event), _place(event), anchored.children if anchored else {})

    def sequence(self, depth: int) -> Any:
        return dict(enumerate(super().sequence(depth)))

    def mapping(self, depth: int) -> Any:
        own: dict[str | int, Spot] = {}
        merged: list[Mapping[Any, Spot]] = []
        while type(event := self.next()) is not yaml.MappingEndEvent:
            key = self.key(event, depth)
            spot = self.node(self.next(), depth)
            if key is Merge:
                several = all(isinstance(part, int) for part in spot.children)
                merged += [part.children for part in spot.children.values()] if several else [spot.children]
            elif key is not None:
                own[key] = replace(spot, key=_place(event))
        return self.joined(own, merged)


def _place(event: Any) -> Place:
    return Place(event.start_mark.line + 1, event.start_mark.column + 1)
