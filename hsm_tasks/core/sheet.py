"""Where everything of a drawing stands on the sheet, in pixels from the upper left corner.

A layout engine places what is connected; it is told sizes and names of ours, and no word of a person's. What has no
connection is set below in rows: an engine would put it all in one endless column.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from hsm_tasks.core.drawing import Drawing

CARD, STAGE = (224, 68), (128, 46)
GAP, MARGIN, HEADING = 18, 24, 30
_INCH = 72
_FEW = 6
"""More services than these that need the same others, and that nobody needs, stand together with one arrow for all."""
Point = tuple[float, float]


class Place(msgspec.Struct, frozen=True):
    """A rectangle."""

    x: float
    y: float
    width: float
    height: float


class Curve(msgspec.Struct, frozen=True):
    """An arrow: the start, then three points for each piece of a Bézier curve; `tip` is where it ends.

    `tails` are the cards that it starts from: several, where a crowd has one arrow.
    """

    tails: tuple[str, ...]
    head: str
    points: tuple[Point, ...]
    tip: Point


class Sheet(msgspec.Struct, frozen=True):
    """`places` has the cards, the stages (by their kinds), the boxes (`box0`, …) and the crowds (`crowd0`, …)."""

    places: Mapping[str, Place]
    curves: tuple[Curve, ...]
    width: float
    height: float
    headings: Mapping[str, float]
    """A part of the sheet, and where its heading stands."""


class Crowd(msgspec.Struct, frozen=True):
    """Cards that need the same others, in rows of `columns`."""

    key: str
    cards: tuple[str, ...]
    heads: tuple[str, ...]

    @property
    def columns(self) -> int:
        """So many that it is a little wider than high."""
        return max(2, round(math.sqrt(len(self.cards) * 1.2 * CARD[1] / CARD[0])))

    @property
    def size(self) -> tuple[int, int]:
        """With a margin all around."""
        rows = math.ceil(len(self.cards) / self.columns)
        return self.columns * (CARD[0] + GAP) + GAP, rows * (CARD[1] + GAP) + GAP


def crowds(drawing: Drawing) -> tuple[Crowd, ...]:
    """The crowds of a drawing, in its order."""
    heads: dict[str, tuple[str, ...]] = {}
    for arrow in drawing.arrows:
        heads[arrow.tail] = (*heads.get(arrow.tail, ()), arrow.head)
    bound = {arrow.head for arrow in drawing.arrows} | {key for box in drawing.boxes for key in box.cards}
    alike: dict[tuple[str, ...], list[str]] = {}
    for tail, there in heads.items():
        if tail not in bound:
            alike.setdefault(there, []).append(tail)
    large = [(there, tails) for there, tails in alike.items() if len(tails) > _FEW]
    return tuple(Crowd(f"crowd{number}", tuple(tails), there) for number, (there, tails) in enumerate(large))


# --- what the engine is asked -------------------------------------------------------------------------------------


def outlines(drawing: Drawing) -> tuple[str, str]:
    """The two questions, in dot: the row of the stages, and the services that are connected."""
    stages = _outline({stage.kind: STAGE for stage in drawing.stages}, drawing.order, ())
    together = crowds(drawing)
    inside = {key for crowd in together for key in crowd.cards}
    nodes = {key: CARD for key in _connected(drawing) if key not in inside} | {one.key: one.size for one in together}
    edges = [(arrow.tail, arrow.head) for arrow in drawing.arrows if arrow.tail not in inside]
    edges += [(one.key, head) for one in together for head in one.heads]
    return stages, _outline(nodes, edges, tuple(box.cards for box in drawing.boxes))


def _outline(nodes: Mapping[str, tuple[int, int]], edges: Iterable[tuple[str, str]],
             boxes: Iterable[tuple[str, ...]]) -> str:
    lines = [f"digraph {{ rankdir=LR; nodesep={GAP / _INCH:.3f}; ranksep=0.8; splines=true;",
             'node [shape=box fixedsize=true label=""]; edge [arrowsize=0.7];']  # fmt: skip
    for number, keys in enumerate(boxes):
        lines.append(f"subgraph cluster_{number} {{ margin={MARGIN}; {'; '.join(keys)} }}")
    for key, (width, height) in nodes.items():
        lines.append(f"{key} [width={width / _INCH:.4f} height={height / _INCH:.4f}];")
    lines += [f"{tail} -> {head};" for tail, head in edges]
    return "\n".join((*lines, "}"))


def _connected(drawing: Drawing) -> list[str]:
    """The cards that have an arrow or a box, in the order of the drawing."""
    ends = {key for arrow in drawing.arrows for key in (arrow.tail, arrow.head)}
    ends |= {key for box in drawing.boxes for key in box.cards}
    return [card.key for card in drawing.cards if card.key in ends]


# --- what it answered ---------------------------------------------------------------------------------------------


def arrange(drawing: Drawing, answers: tuple[str, str]) -> Sheet:
    """The sheet, of the engine's two answers (graphviz's json0)."""
    together = {one.key: one for one in crowds(drawing)}
    stages, services = (_Answer(answer, MARGIN) for answer in answers)
    below: float = HEADING + MARGIN
    stages.move(below)
    headings = {"steps": below - 12.0}
    below += stages.height + MARGIN + HEADING
    headings["services"] = below - 12.0
    services.move(below)
    below += services.height + (GAP if services.height else 0)
    places = {**stages.places, **services.places}
    for one in together.values():
        corner = (places[one.key].x + GAP, places[one.key].y + GAP)
        places |= _rows(one.cards, one.columns, corner)
    rest = [card.key for card in drawing.cards if card.key not in places]
    width = max(services.width, stages.width, 5 * (CARD[0] + GAP))
    places |= _rows(rest, max(1, min(int((width + GAP) // (CARD[0] + GAP)), 8)), (MARGIN, below))
    right = max((place.x + place.width for place in places.values()), default=0)
    bottom = max((place.y + place.height for place in places.values()), default=below)
    curves = tuple(
        replace(curve, tails=together[tail].cards) if (tail := curve.tails[0]) in together else curve
        for curve in (*stages.curves, *services.curves)
    )
    return Sheet(places, curves, math.ceil(right + MARGIN), math.ceil(bottom + MARGIN), headings)


def _rows(keys: Sequence[str], columns: int, corner: Point) -> dict[str, Place]:
    found = {}
    for number, key in enumerate(keys):
        row, column = divmod(number, columns)
        x, y = corner[0] + column * (CARD[0] + GAP), corner[1] + row * (CARD[1] + GAP)
        found[key] = Place(round(x, 1), round(y, 1), *CARD)
    return found


class _Answer:
    """One of graphviz's answers, turned upside down: its y grows upward."""

    def __init__(self, text: str, left: float) -> None:
        tree: dict[str, Any] = json.loads(text)
        _, _, self.width, self.height = _numbers(tree.get("bb", "0,0,0,0"))
        self.left, self.top = left, 0.0
        objects = tree.get("objects", [])
        self.names = {one["_gvid"]: _name(one["name"]) for one in objects}
        self._boxes = {_name(one["name"]): _numbers(one["bb"]) for one in objects if "bb" in one}
        self._nodes = {one["name"]: one for one in objects if "pos" in one}
        self._edges = tree.get("edges", [])
        if not self._nodes:
            self.width = self.height = 0

    def move(self, top: float) -> None:
        """It begins there."""
        self.top = top

    def _point(self, x: float, y: float) -> Point:
        return round(self.left + x, 1), round(self.top + self.height - y, 1)

    @property
    def places(self) -> dict[str, Place]:
        """Of its nodes and boxes."""
        found = {}
        for name, (left, low, right, high) in self._boxes.items():
            found[name] = Place(*self._point(left, high), round(right - left, 1), round(high - low, 1))
        for name, node in self._nodes.items():
            x, y = _numbers(node["pos"])
            width, height = float(node["width"]) * _INCH, float(node["height"]) * _INCH
            found[name] = Place(*self._point(x - width / 2, y + height / 2), round(width, 1), round(height, 1))
        return found

    @property
    def curves(self) -> tuple[Curve, ...]:
        """Of its edges."""
        return tuple(self._curve(edge) for edge in self._edges if "pos" in edge)

    def _curve(self, edge: Mapping[str, Any]) -> Curve:
        parts = edge["pos"].split()
        tip = self._point(*_numbers(parts[0].removeprefix("e,"))) if parts[0].startswith("e,") else None
        points = tuple(self._point(*_numbers(part)) for part in parts if not part.startswith(("e,", "s,")))
        return Curve((self.names[edge["tail"]],), self.names[edge["head"]], points, tip or points[-1])


def _name(name: str) -> str:
    return name.replace("cluster_", "box")


def _numbers(text: str) -> list[float]:
    return [float(number) for number in text.split(",")]
