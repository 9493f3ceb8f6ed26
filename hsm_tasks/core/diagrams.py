"""A drawing as text for other programs: mermaid and dot. Names come from people, so everything is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from hsm_tasks.core.drawing import Card, Drawing, Mark, Stage, State

SIGNS = {"run": "●", "may run": "◌", "fresh": "✓"}
_LONGEST = 80
_STALE = {"run": "fill:#fde3cf,stroke:#c2410c,color:#431407", "may": "fill:#fdf3cd,stroke:#a16207,color:#422006"}
_OFF = "fill:none,stroke:#888,color:#888,stroke-dasharray:4 3"


def mermaid(drawing: Drawing) -> str:
    """A flowchart, as pages on code hosts draw it."""
    return "\n".join((*_mermaid(drawing), ""))


def _mermaid(drawing: Drawing) -> Iterator[str]:
    yield "flowchart LR"
    yield f"  subgraph steps[{_said(drawing.words)}]"
    yield from (f"    {_node(stage.kind)}([{_said(_of_stage(stage))}])" for stage in drawing.stages)
    yield from (f"    {_node(one)} --> {_node(other)}" for one, other in drawing.order)
    yield "  end"
    boxed = {key for box in drawing.boxes for key in box.cards}
    cards = {card.key: card for card in drawing.cards}
    for number, box in enumerate(drawing.boxes):
        yield f"  subgraph g{number}[{_said(f'{box.name} ({box.about})')}]"
        yield from (f"    {key}[{_said(*_of_card(cards[key]))}]" for key in box.cards)
        yield "  end"
    yield from (f"  {card.key}[{_said(*_of_card(card))}]" for card in drawing.cards if card.key not in boxed)
    yield from (f"  {arrow.tail} {'-.->' if arrow.faint else '-->'} {arrow.head}" for arrow in drawing.arrows)
    yield from _classes(drawing)


def _classes(drawing: Drawing) -> Iterator[str]:
    """The colours: of what is stale, and of what is not chosen."""
    states = [(_node(stage.kind), stage.state) for stage in drawing.stages]
    states += [(card.key, _worst(card.marks)) for card in drawing.cards if card.chosen]
    named = {"run": [key for key, state in states if state == "run"],
             "may": [key for key, state in states if state == "may run"],
             "off": [card.key for card in drawing.cards if not card.chosen]}  # fmt: skip
    for name, style in {**_STALE, "off": _OFF}.items():
        if named[name]:
            yield f"  classDef {name} {style}"
            yield f"  class {','.join(named[name])} {name}"


def _said(*lines: str) -> str:
    """A label: whatever could mean something to mermaid or to HTML becomes a number."""
    return f'"{"<br>".join("".join(map(_letter, line)) for line in lines)}"'


def _letter(letter: str) -> str:
    plain = letter.isalnum() or letter in " -_.,:/@+" or letter in "●◌✓→…"
    return letter if plain else " " if letter.isspace() else f"#{ord(letter)};"


def dot(drawing: Drawing) -> str:
    """For graphviz; reasons are tooltips."""
    return "\n".join((*_dot(drawing), ""))


def _dot(drawing: Drawing) -> Iterator[str]:
    yield f"digraph {quoted(drawing.stack)} {{"
    yield '  rankdir=LR; node [shape=box style="rounded" fontname="sans-serif"]; graph [fontname="sans-serif"];'
    yield f"  subgraph cluster_steps {{ label={quoted(drawing.words)};"
    for stage in drawing.stages:
        tip = quoted(*(told(mark) for mark in stage.marks if mark.state != "fresh"))
        yield f"    {_node(stage.kind)} [label={quoted(_of_stage(stage))} tooltip={tip}{_dot_colour(stage.state)}];"
    yield from (f"    {_node(one)} -> {_node(other)};" for one, other in drawing.order)
    yield "  }"
    for number, box in enumerate(drawing.boxes):
        listed = "; ".join(box.cards)
        yield f"  subgraph cluster_{number} {{ label={quoted(f'{box.name} ({box.about})')}; {listed}; }}"
    for card in drawing.cards:
        colour = _dot_colour(_worst(card.marks)) if card.chosen else ' style="rounded,dashed" color=gray fontcolor=gray'
        tip = quoted(*map(told, card.marks))
        yield f"  {card.key} [label={quoted(*_of_card(card))} tooltip={tip}{colour}];"
    for arrow in drawing.arrows:
        yield f"  {arrow.tail} -> {arrow.head}{' [style=dotted]' if arrow.faint else ''};"
    yield "}"


def _dot_colour(state: str) -> str:
    colour = {"run": "#fde3cf", "may run": "#fdf3cd"}.get(state)
    return f' style="rounded,filled" fillcolor="{colour}"' if colour else ""


def quoted(*lines: str) -> str:
    """A string of dot, with its own line breaks and no other escapes."""
    escaped = (" ".join(line.replace("\0", "").split()).replace("\\", "\\\\").replace('"', '\\"') for line in lines)
    return '"' + "\\n".join(escaped).replace("&", "&amp;") + '"'


# --- words that both have ----------------------------------------------------------------------------------------


def _node(kind: str) -> str:
    return f"stage_{kind}"


def _of_stage(stage: Stage) -> str:
    return f"{stage.kind}: {stage.words}"


def _of_card(card: Card) -> tuple[str, ...]:
    """The lines of a card: what it is, and why it is stale."""
    return (f"{card.name} ({card.mode})", card.source, *(told(m, _LONGEST) for m in card.marks if m.state != "fresh"))


def told(mark: Mark, longest: int = 0) -> str:
    """`● render:api: config changed: image`."""
    said = ": ".join((f"{SIGNS[mark.state]} {mark.step}", *(("; ".join(mark.reasons),) if mark.reasons else ())))
    return f"{said[: longest - 1]}…" if longest and len(said) > longest else said


def _worst(marks: Iterable[Mark]) -> State:
    return Stage("", tuple(marks)).state
