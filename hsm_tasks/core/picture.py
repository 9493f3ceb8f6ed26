"""A drawing on its sheet, as SVG and as one HTML page. Whatever a person or a registry named is escaped."""

from __future__ import annotations

import base64
import hashlib
import json
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from html import escape
from typing import Any

import msgspec

from hsm_tasks.core.diagrams import SIGNS, told
from hsm_tasks.core.drawing import Card, Drawing, Mark, Stage
from hsm_tasks.core.sheet import Curve, Place, Sheet

_LOOKS = {"run": "run", "may run": "may", "fresh": "fresh"}
_NAME, _SOURCE = 18, 31
"""How many letters fit in a line of a card."""


class Assets(msgspec.Struct, frozen=True):
    """The files that are not of this drawing: the styles of a picture and of a page, and the page's script."""

    picture: str
    page: str
    script: str


# --- SVG ---------------------------------------------------------------------------------------------------------


def svg(drawing: Drawing, sheet: Sheet, style: str) -> str:
    """The picture alone; with an empty style, to be part of a page that has it."""
    width, height = _number(sheet.width), _number(sheet.height)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="hsm" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" role="group" aria-label="{_safe(_title(drawing))}">',
        *((f"<style>{style}</style>",) if style else ()),
        f'<rect class="sheet" width="{width}" height="{height}"/>',
        *(f'<text class="heading" x="24" y="{_number(y)}">{_safe(said)}</text>' for said, y in sheet.headings.items()),
        *_boxes(drawing, sheet.places),
        *_crowds(sheet),
        *(_arrow(curve, drawing) for curve in sheet.curves),
        *(_stage(stage, sheet.places[stage.kind]) for stage in drawing.stages),
        *(_card(card, sheet.places[card.key]) for card in _as_read(drawing, sheet)),
        "</svg>",
    ]
    return "\n".join((*lines, ""))


def _title(drawing: Drawing) -> str:
    return f"Stack {drawing.stack}: {drawing.words}"


def _as_read(drawing: Drawing, sheet: Sheet) -> list[Card]:
    """From the left to the right, and down each column: so the tab key goes."""
    return sorted(drawing.cards, key=lambda card: (sheet.places[card.key].x, sheet.places[card.key].y))


def _boxes(drawing: Drawing, places: Mapping[str, Place]) -> Iterator[str]:
    for number, box in enumerate(drawing.boxes):
        place = places.get(f"box{number}")
        if place:
            room = int(place.width / 6.6)
            name, about = fit(box.name, room), fit(f" {box.about}", max(4, room - len(box.name)))
            yield (
                f'<g class="box"><title>{_safe(f"{box.name}: {box.about}")}</title>{_rect(place, 8)}'
                f'<text x="{_number(place.x + 10)}" y="{_number(place.y + 16)}">'
                f'<tspan class="name">{_safe(name)}</tspan>{_safe(about)}</text></g>'
            )


def _crowds(sheet: Sheet) -> Iterator[str]:
    for key, place in sheet.places.items():
        if key.startswith("crowd"):
            yield f'<g class="crowd">{_rect(place, 8)}</g>'


def _arrow(curve: Curve, drawing: Drawing) -> str:
    faint = any(arrow.faint and arrow.tail in curve.tails and arrow.head == curve.head for arrow in drawing.arrows)
    start, *rest = curve.points
    pieces = " ".join(f"C{' '.join(map(_pair, rest[i : i + 3]))}" for i in range(0, len(rest), 3))
    (x, y), (tip_x, tip_y) = curve.points[-1], curve.tip
    across = ((tip_y - y) / 2, (x - tip_x) / 2)
    wings = f"M{_pair(curve.tip)} L{_pair((x + across[0], y + across[1]))} {_pair((x - across[0], y - across[1]))}Z"
    return (
        f'<g class="arrow{" faint" if faint else ""}" data-tail="{" ".join(curve.tails)}" data-head="{curve.head}">'
        f'<path d="M{_pair(start)} {pieces}"/><path class="tip" d="{wings}"/></g>'
    )


def _stage(stage: Stage, place: Place) -> str:
    told_all = "\n".join((f"{stage.kind}: {stage.words}", *(told(m) for m in stage.marks if m.state != "fresh")))
    inner = f'<text class="name" x="12" y="19">{stage.kind}</text>'
    inner += f'<text class="source" x="12" y="36">{SIGNS[stage.state]} {stage.words}</text>'
    return _group(stage.kind, f"stage {_LOOKS[stage.state]}", place, (told_all, inner))


def _card(card: Card, place: Place) -> str:
    said = "\n".join((f"{card.name}, {card.mode}, {card.source}", *card.notes, *map(told, card.marks)))
    inner = (
        f'<rect class="side" x="0" y="8" width="4" height="{_number(place.height - 16)}" rx="2"/>'
        f'<text class="name" x="12" y="20">{_safe(fit(card.name, _NAME))}</text>'
        f'<text class="mode" x="{_number(place.width - 10)}" y="20">{card.mode}</text>'
        f'<text class="source" x="12" y="37">{_safe(fit(card.source, _SOURCE, left=True))}</text>'
    )
    return _group(card.key, f"{card.mode}{'' if card.chosen else ' unchosen'}", place, (said, inner + _marks(card)))


def _marks(card: Card) -> str:
    """A small sign for each step; what only hsm.lock wants to know is said in words alone."""
    drawn, x = [], 10
    for mark in card.marks:
        if mark.step.count(":") == 1:
            width = max(34, 19 + round(6.3 * len(mark.kind)))
            drawn.append(
                f'<g class="mark {_LOOKS[mark.state]}"><rect x="{x}" y="44" width="{width}" height="17" rx="4"/>'
                f'<text x="{x + 6}" y="56.5" textLength="{width - 11}" lengthAdjust="spacingAndGlyphs">'
                f"{SIGNS[mark.state]} {mark.kind}</text></g>"
            )
            x += width + 4
    return "".join(drawn)


def _group(key: str, classes: str, place: Place, content: tuple[str, str]) -> str:
    said, inner = content
    outer = _rect(Place(0, 0, place.width, place.height), 7)
    return (
        f'<g class="card {classes}" id="{key}" tabindex="0" role="img" aria-label="{_safe(said)}" '
        f'transform="translate({_pair((place.x, place.y))})"><title>{_safe(said)}</title>{outer}{inner}</g>'
    )


def _rect(place: Place, round_by: int) -> str:
    x, y, width, height = map(_number, (place.x, place.y, place.width, place.height))
    return f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="{round_by}"/>'


def fit(text: str, room: int, left: bool = False) -> str:
    """As much of the text as fits, wide letters counted twice; with `left`, its end is what counts."""
    widths = [2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text]
    if sum(widths) <= room:
        return text
    kept, used = 0, 1
    for width in reversed(widths) if left else widths:
        if used + width > room:
            break
        kept, used = kept + 1, used + width
    return f"…{text[len(text) - kept :]}" if left else f"{text[:kept]}…"


def _safe(text: str) -> str:
    """For an element or an attribute; XML can not even name most control characters."""
    return escape("".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in text)).replace("\n", "&#10;")


def _pair(point: tuple[float, float]) -> str:
    return ",".join(map(_number, point))


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


# --- HTML --------------------------------------------------------------------------------------------------------


def page(drawing: Drawing, sheet: Sheet, assets: Assets) -> str:
    """One file that asks nothing of anybody: its policy forbids every request, and every script but its own."""
    script = f"\n{assets.script}"
    seal = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{seal}'"
    rows = "\n".join(_row(mark) for stage in drawing.stages for mark in stage.marks)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{_safe(drawing.stack)}: the stack</title>
<style>
{assets.picture}{assets.page}</style>
</head>
<body class="hsm">
<header>
<h1>{_safe(drawing.stack)}</h1>
<p>{_safe(drawing.words)}</p>
{_LEGEND}
<div class="tools"><label>Find <input type="search" id="find"></label>
<label><input type="checkbox" id="stale"> only what is stale</label>
<button id="farther" aria-label="smaller">&minus;</button><button id="closer" aria-label="larger">+</button>
<button id="whole">fit</button></div>
</header>
<main tabindex="0" aria-label="The picture">
{svg(drawing, sheet, "")}</main>
<aside id="about" aria-live="polite">
<p>Point at a card, or move to it with the tab key, to see its steps and their reasons. A click or the enter key keeps
it, the escape key lets it go.</p>
</aside>
<footer><details><summary>All steps, as a table</summary>
<table><thead><tr><th>Step<th>State<th>Why</thead><tbody>
{rows}
</tbody></table></details></footer>
<script type="application/json" id="about-all">{_json(_about(drawing))}</script>
<script>{script}</script>
</body>
</html>
"""


_LEGEND = (
    '<p class="legend"><b class="dev">dev</b> from sources, <b class="prod">prod</b> from an image, '
    '<b class="base">base</b> as the compose file says; <b class="run">● runs</b>, '
    '<b class="may">◌ may run</b>, ✓ up to date</p>'
)


def _row(mark: Mark) -> str:
    said = f"{SIGNS[mark.state]} {mark.state}"
    why = _safe("; ".join(mark.reasons))
    return f'<tr><td>{_safe(mark.step)}<td class="state {_LOOKS[mark.state]}">{said}<td>{why}'


def _about(drawing: Drawing) -> dict[str, Any]:
    """All that the page's panel says, by the key of a card."""
    needs: dict[str, list[str]] = {}
    needed: dict[str, list[str]] = {}
    for arrow in drawing.arrows:
        needs.setdefault(arrow.tail, []).append(arrow.head)
        needed.setdefault(arrow.head, []).append(arrow.tail)
    found = {}
    for card in drawing.cards:
        ways = {"needs": needs.get(card.key, []), "needed": needed.get(card.key, [])}
        words = {"name": card.name, "mode": card.mode, "source": card.source, "notes": list(card.notes)}
        found[card.key] = {**words, **ways, "marks": _told(card.marks)}
    for stage in drawing.stages:
        words = {"name": stage.kind, "mode": stage.words, "source": "", "notes": []}
        found[stage.kind] = {**words, "needs": [], "needed": [], "marks": _told(stage.marks)}
    return found


def _told(marks: Iterable[Mark]) -> list[dict[str, Any]]:
    return [
        {"step": mark.step, "state": mark.state, "look": _LOOKS[mark.state], "sign": SIGNS[mark.state],
         "reasons": list(mark.reasons)}
        for mark in marks
    ]  # fmt: skip


def _json(tree: object) -> str:
    """JSON that can stand inside of a script element."""
    text = json.dumps(tree, separators=(",", ":"))  # ASCII only
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
