"""A stack and its steps as a picture, before anybody has drawn it: cards, boxes around them, arrows between them.

Every service is a card and carries its own steps; what all services share (lock, merge, check) stands in the row of
stages. So a picture of 200 services has 200 cards, and not a thousand boxes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

import msgspec
from msgspec.structs import replace

from hsm_tasks.core.forms import Form
from hsm_tasks.core.model import Group
from hsm_tasks.core.plan import Build, Clone, Plan, Render, Resolve, Step, Up, label
from hsm_tasks.core.scene import Scene

State = Literal["run", "may run", "fresh"]
STAGES = ("clone", "resolve", "lock", "render", "merge", "check", "build", "up")
ORDER = (
    ("clone", "lock"), ("resolve", "lock"), ("clone", "render"), ("resolve", "render"), ("render", "merge"),
    ("merge", "check"), ("lock", "build"), ("check", "build"), ("build", "up"),
)  # fmt: skip
"""Which stage waits for which."""


class Mark(msgspec.Struct, frozen=True):
    """A step, as people type it, and what would become of it."""

    step: str
    state: State
    reasons: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """`render` of `render:api`."""
        return self.step.partition(":")[0]


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """A service, or a profile that a group has as an option. `source` is where it comes from, in words."""

    key: str
    name: str
    mode: str
    source: str
    chosen: bool = True
    notes: tuple[str, ...] = ()
    marks: tuple[Mark, ...] = ()


class Box(msgspec.Struct, frozen=True):
    """A group: its name, what it is in words, and the keys of its options."""

    name: str
    about: str
    cards: tuple[str, ...]


class Arrow(msgspec.Struct, frozen=True):
    """From the card of who needs to the card of who is needed; `faint` from a profile to its services."""

    tail: str
    head: str
    faint: bool = False


class Stage(msgspec.Struct, frozen=True):
    """All steps of a kind."""

    kind: str
    marks: tuple[Mark, ...]

    @property
    def state(self) -> State:
        """The worst of its steps."""
        states = {mark.state for mark in self.marks}
        return "run" if "run" in states else "may run" if "may run" in states else "fresh"

    @property
    def words(self) -> str:
        """How many of them would run."""
        runs, may = (sum(mark.state == state for mark in self.marks) for state in ("run", "may run"))
        some = [f"{runs} run" if runs else "", f"{may} may" if may else ""]
        count = len(self.marks)
        told = ", ".join(part for part in some if part)
        return f"{told} of {count}" if told else f"{count} up to date"


class Drawing(msgspec.Struct, frozen=True, kw_only=True):
    """All that a picture shows."""

    stack: str
    project: str
    cards: tuple[Card, ...]
    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]
    stages: tuple[Stage, ...]

    @property
    def order(self) -> tuple[tuple[str, str], ...]:
        """Which of its stages waits for which: over one that has no step, too."""
        pairs = list(ORDER)
        for gone in set(STAGES) - {stage.kind for stage in self.stages}:
            before, after = [a for a, b in pairs if b == gone], [b for a, b in pairs if a == gone]
            pairs = [pair for pair in pairs if gone not in pair] + [(a, b) for a in before for b in after]
        return tuple(sorted(set(pairs), key=lambda pair: (STAGES.index(pair[0]), STAGES.index(pair[1]))))

    @property
    def words(self) -> str:
        """The whole of it in one line."""
        marks = [mark for stage in self.stages for mark in stage.marks]
        stale = Stage("", tuple(marks)).words
        running = sum(card.mode not in ("off", "profile") for card in self.cards)
        return f"{running} services, {len(self.boxes)} groups, {len(marks)} steps: {stale}"


def draw(scene: Scene, plan: Plan, foreseen: Mapping[str, Any], clean: Callable[[str], str]) -> Drawing:
    """The drawing of a stack. `foreseen` is what `plan` says of it; `clean` masks what no one is to see."""
    steps = foreseen["steps"]
    marks = {one["name"]: Mark(one["name"], one["state"], tuple(map(clean, one["reasons"]))) for one in steps}
    own = _own_steps(scene, plan, marks)
    keys = {name: f"s{number}" for number, name in enumerate(scene.chosen.forms)}
    cards = [_service(form, scene, keys[name], own.get(name, ())) for name, form in scene.chosen.forms.items()]
    cards = [replace(card, source=clean(card.source), notes=tuple(map(clean, card.notes))) for card in cards]
    boxes, arrows = [], list(_needs(scene, keys))
    for number, group in enumerate(scene.stack.groups.values()):
        options = {name: f"p{number}x{place}" for place, name in enumerate(group.names)} if group.profiles else keys
        boxes.append(Box(group.name, _about(group), tuple(options[name] for name in group.names)))
        if group.profiles:
            cards += _profiles(group, options)
            arrows += _profiled(scene, options, keys)
    return Drawing(
        stack=foreseen["stack"],
        project=scene.project,
        cards=tuple(cards),
        boxes=tuple(boxes),
        arrows=tuple(arrows),
        stages=tuple(_stages(plan, marks)),
    )


def _own_steps(scene: Scene, plan: Plan, marks: Mapping[str, Mark]) -> dict[str, tuple[Mark, ...]]:
    """service → its steps; a clone is that of each service which runs from it."""
    found: dict[str, list[Mark]] = {}
    for step in plan.steps:
        mark = marks.get(label(step))
        for name in _about_whom(step, scene) if mark else ():
            assert mark is not None
            found.setdefault(name, []).append(mark)
    return {name: tuple(own) for name, own in found.items()}


def _about_whom(step: Step, scene: Scene) -> tuple[str, ...]:
    match step:
        case Clone():
            return tuple(name for name, form in scene.chosen.forms.items() if _checkout(form) == step.name)
        case Resolve():
            return (step.service,)
        case Render() | Build() | Up():
            return (step.name,)
        case _:
            return ()


def _checkout(form: Form) -> str | None:
    repository = form.service.repository if form.service and form.mode == "dev" else None
    return repository.name if repository else None


def _service(form: Form, scene: Scene, key: str, marks: tuple[Mark, ...]) -> Card:
    notes = [f"answers to {alias}" for alias in form.aliases]
    notes += [f"profile {name}" for name in form.profiles]
    notes += ["one-shot"] if form.name in scene.chosen.oneshots else []
    notes += ["waits to be started by name"] if form.mode != "off" and form.profiles and not form.active else []
    chosen = form.mode != "off"
    source = _source(form, scene)
    return Card(key=key, name=form.name, mode=form.mode, source=source, chosen=chosen, notes=tuple(notes), marks=marks)


def _source(form: Form, scene: Scene) -> str:
    """Where a service comes from."""
    repository = form.service.repository if form.service else None
    if form.mode == "off":
        return "not chosen"
    if form.mode == "dev" and repository:
        ref = "" if repository.ref == "HEAD" else f" {repository.ref}"
        return f"{scene.paths.checkout(repository)}{ref}"
    if form.image is not None and not (form.mode == "base" and "build" in (form.base or {})):
        image = scene.images.get(form.image, form.image)
        return f"{image} {form.version}" if form.version else image
    return "built"


def _about(group: Group) -> str:
    alias = f", answers to {group.alias}" if group.alias else ""
    return f"{group.strategy}{' of profiles' if group.profiles else ''}{alias}"


def _profiles(group: Group, keys: Mapping[str, str]) -> Iterator[Card]:
    for name in group.names:
        chosen = name in group.selection
        source = "chosen" if chosen else "not chosen"
        yield Card(key=keys[name], name=name, mode="profile", source=source, chosen=chosen)


def _needs(scene: Scene, keys: Mapping[str, str]) -> Iterator[Arrow]:
    for name, form in scene.chosen.forms.items():
        if form.mode != "off":
            yield from (Arrow(keys[name], keys[other]) for other in scene.chosen.needs(name))


def _profiled(scene: Scene, options: Mapping[str, str], keys: Mapping[str, str]) -> Iterator[Arrow]:
    for name, form in scene.chosen.forms.items():
        yield from (Arrow(options[profile], keys[name], faint=True) for profile in form.profiles if profile in options)


def _stages(plan: Plan, marks: Mapping[str, Mark]) -> Iterator[Stage]:
    found: dict[str, list[Mark]] = {}
    for step in plan.steps:
        if label(step) in marks:
            found.setdefault(marks[label(step)].kind, []).append(marks[label(step)])
    yield from (Stage(kind, tuple(found[kind])) for kind in STAGES if kind in found)
