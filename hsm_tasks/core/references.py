"""The references of a service to others, rewired to those that run.

A reference is drawn only where something about it changes: a target that is not there gives way to the one that
answers for it, or goes. Who was rewired carries the label `hsm.group.ALIAS`, so that a switch recreates it: compose's
own hash of a service does not count depends_on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import msgspec

from hsm_tasks.core.forms import NAMESPACES, Chosen, Form, as_map
from hsm_tasks.core.yamltext import Override, Reset

KEYS = ("depends_on", "links", "volumes_from", *NAMESPACES)
HEALTHY, STARTED = "service_healthy", "service_started"
Entry = Mapping[str, object]
_PLAIN: Entry = {"condition": STARTED, "required": True}
_NOBODY: Mapping[str, Entry] = {}
_STRONGEST_FIRST = ("service_completed_successfully", HEALTHY, STARTED)


class Condition(msgspec.Struct, frozen=True):
    """Stands in a draft for service_healthy, if the image of this service has a healthcheck, else service_started."""

    service: str

    @property
    def key(self) -> str:
        """As that of `Pinned`: no image is called so."""
        return f"{self.service} (healthcheck)"


def draw(form: Form, section: Mapping[str, object], chosen: Chosen) -> dict[str, object]:
    """The keys with references, as they must be written over the base; those of a build are `contexts`."""
    below = form.base or {}
    keys = _depends(form, section, chosen) | _lists(form, section, chosen) if form.refers else {}
    for key in NAMESPACES:
        rewired = _namespace(section.get(key, below.get(key)), chosen)
        if rewired != below.get(key):
            keys[key] = rewired
    labels = _labels(form, chosen) if form.named else {}
    if labels:
        keys["labels"] = as_map(section.get("labels")) | labels
    return keys


def contexts(build: object, chosen: Chosen) -> dict[str, object]:
    """Those additional contexts of a build that need another target."""
    pairs = as_map(build.get("additional_contexts")) if isinstance(build, Mapping) else {}
    rewired = {name: (value, _namespace(value, chosen)) for name, value in pairs.items()}
    return {name: new for name, (old, new) in rewired.items() if new != old}


def _target(name: str, form: Form, chosen: Chosen) -> str | None:
    target = chosen.targets.get(name, name)
    return None if target == form.name and name != form.name else target


# --- depends_on -------------------------------------------------------------------------------------------------


def _depends(form: Form, section: Mapping[str, object], chosen: Chosen) -> dict[str, object]:
    below = _entries((form.base or {}).get("depends_on"))
    asked = {**below, **_entries(section.get("depends_on"), below)}
    wanted: dict[str, Entry] = {}
    for name, entry in asked.items():
        target = _target(name, form, chosen)
        if target is not None:
            wanted[target] = _joined(wanted.get(target), entry)
    full = {name: _judged(name, entry, chosen) for name, entry in wanted.items()}
    if all(full.get(name) == entry for name, entry in below.items()):
        added = {name: entry for name, entry in full.items() if name not in below}
        return {"depends_on": added} if added else {}
    if not full:
        return {"depends_on": Reset("map")}
    return {"depends_on": Override(full) if below else full}


def _entries(depends: object, under: Mapping[str, Entry] = _NOBODY) -> dict[str, Entry]:
    """name → {condition, required, …}, of the list form or the map form; what a map leaves out is as it is `under` it.
    """
    if isinstance(depends, list):
        return {str(name): _PLAIN for name in depends}
    entries = depends.items() if isinstance(depends, Mapping) else ()
    return {
        name: {**under.get(name, _PLAIN), **(entry if isinstance(entry, Mapping) else {})} for name, entry in entries
    }


def _joined(one: Entry | None, other: Entry) -> Entry:
    """Two references that became one ask for what the stronger asks for."""
    if one is None:
        return other
    conditions = {one["condition"], other["condition"]}
    condition = next((name for name in _STRONGEST_FIRST if name in conditions), STARTED)
    strict = {key: True for key in ("required", "restart") if one.get(key) or other.get(key)}
    return {**one, **other, "condition": condition, **strict}


def _judged(name: str, entry: Entry, chosen: Chosen) -> Entry:
    """A healthcheck condition is kept only where the chosen one of 1-of-N has a healthcheck: the condition was written
    for its neighbour, perhaps. Of any other service it is the base's own word, and compose judges it."""
    form = chosen.forms.get(name)
    if entry["condition"] != HEALTHY or form is None or name not in chosen.groups.values():
        return entry
    known = _has_healthcheck(form)
    if known is None:
        return {**entry, "condition": Condition(name) if form.image else STARTED}
    return entry if known else {**entry, "condition": STARTED}


def _has_healthcheck(form: Form) -> bool | None:
    """What the compose keys say of a healthcheck; None where only the image knows."""
    found: bool | None = None
    for keys in form.pieces:
        check = keys.get("healthcheck")
        if not isinstance(check, Mapping):
            continue
        test = check.get("test")
        if str(check.get("disable")).lower() == "true" or test in ("NONE", ["NONE"]):
            found = False
        elif test is not None:
            found = True
    return found


# --- the others -------------------------------------------------------------------------------------------------


_Rewire = Callable[[str, Form, Chosen], "str | None"]


def _lists(form: Form, section: Mapping[str, object], chosen: Chosen) -> dict[str, object]:
    keys: dict[str, object] = {}
    for key, rewire in (("links", _link), ("volumes_from", _volumes_from)):
        below, own = _items((form.base or {}).get(key)), _items(section.get(key))
        old = list(_rewired(below, rewire, form, chosen))
        new = list(_rewired(own, rewire, form, chosen))
        if old != below:
            keys[key] = Override([*old, *new]) if old or new else Reset("list")
        elif new:
            keys[key] = new
    return keys


def _items(value: object) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else []


def _rewired(items: list[str], rewire: _Rewire, form: Form, chosen: Chosen) -> Iterator[str]:
    for item in items:
        text = rewire(item, form, chosen)
        if text is not None:
            yield text


def _link(text: str, form: Form, chosen: Chosen) -> str | None:
    """`db` and `postgres:db`: who called it by a name goes on calling it so."""
    name, colon, called = text.partition(":")
    target = _target(name, form, chosen)
    if target is None or target == name:
        return text if target else None
    return f"{target}:{called if colon else name}"


def _volumes_from(text: str, form: Form, chosen: Chosen) -> str | None:
    name, colon, mode = text.partition(":")
    if name == "container":
        return text
    target = _target(name, form, chosen)
    return None if target is None else f"{target}{colon}{mode}"


def _namespace(value: object, chosen: Chosen) -> object:
    if not isinstance(value, str) or not value.startswith("service:"):
        return value
    name = value.removeprefix("service:")
    return f"service:{chosen.targets.get(name, name)}"


def _labels(form: Form, chosen: Chosen) -> dict[str, str]:
    """The groups that this service refers to, by alias or by any option, and what answers for them."""
    answering = {chosen.stands_for(name) for name in form.named} - {None, form.name}
    return {f"hsm.group.{group}": option for group, option in sorted(chosen.groups.items()) if option in answering}
