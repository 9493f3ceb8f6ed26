"""One service to the draft of its override fragment.

A draft is the fragment as a tree of compose keys in which two things are still open, because only a resolve step knows
them: which digest an image has (`Pinned`) and whether an image brings a healthcheck (`Condition`). `fill` closes them.
Tags (!reset, !override) stand only where the base has the key: each costs compose time, and none is needed elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from hsm_tasks.core import attached, mounts, references
from hsm_tasks.core.attached import Pinned
from hsm_tasks.core.forms import Chosen, Form, as_map
from hsm_tasks.core.layers import append
from hsm_tasks.core.model import Keys, Limits, Pin, Tree
from hsm_tasks.core.references import Condition
from hsm_tasks.core.scalars import Schema, typed
from hsm_tasks.core.yamltext import Override, Reset, dump

Draft = Mapping[str, object] | None


class Site(msgspec.Struct, frozen=True):
    """Where a service is drawn: its checkout as seen from the root of the base (None: no repository)."""

    checkout: str | None
    schema: Schema


def render(form: Form, chosen: Chosen, site: Site) -> Draft:
    """The draft of a service's fragment; None where the service leaves the model."""
    if form.mode == "off":
        return None
    section = _section(form, site)
    keys = _rest(section) | ({"image": Pinned(form.name)} if form.image else {})
    if form.mode == "dev":
        keys |= _without(("image", "pull_policy"), form, section) | _develop(form, section, site)
    if form.mode == "prod":
        keys |= _prod(form, section)
    else:
        keys |= _build(form, section, chosen, site)
    keys |= _displaced(form, keys) | _ports(form, section) | _volumes(form, section, site)
    keys |= references.draw(form, section, chosen) | _networks(form, section) | _profiles(form, section)
    drawn: dict[str, object] = _sorted(attached.pin(form, keys))
    return drawn


def fill(name: str, draft: Draft, pins: Mapping[str, Pin]) -> str:
    """The text of a fragment. `pins` has the key of everything that `open_pins` names."""
    if draft is None:
        return dump({"services": {name: Reset("null")}})
    return dump({"services": {name: closed(draft, pins)} if draft else {}})


def open_pins(draft: object) -> frozenset[Pinned | Condition]:
    """The pins that a draft waits for, and those of which only the healthcheck counts."""
    match draft:
        case str():  # most are, and Mapping is slow to ask for
            return frozenset()
        case Pinned():
            return frozenset({replace(draft, before="")})
        case Condition():
            return frozenset({draft})
        case Override():
            return open_pins(draft.tree)
        case Mapping():
            return frozenset().union(*(open_pins(value) for value in draft.values()))
        case list():
            return frozenset().union(*(open_pins(value) for value in draft))
        case _:
            return frozenset()


def closed(value: Any, pins: Mapping[str, Pin]) -> Any:
    """A draft, or a part of one, with its holes filled."""
    match value:
        case Pinned():
            return value.before + pins[value.key].image
        case Condition():
            return "service_healthy" if pins[value.key].healthcheck else "service_started"
        case Override():
            return Override(closed(value.tree, pins))
        case Mapping():
            return {key: closed(item, pins) for key, item in value.items()}
        case list():
            return [closed(item, pins) for item in value]
        case _:
            return value


def _sorted(value: Any) -> Any:
    """In one order, whatever the order of the keys in hsm.yaml."""
    match value:
        case str():
            return value
        case Override():
            return Override(_sorted(value.tree))
        case Mapping():
            return {key: _sorted(value[key]) for key in sorted(value)}
        case list():
            return [_sorted(item) for item in value]
        case _:
            return value


# --- what a mode adds -------------------------------------------------------------------------------------------

DRAWN = ("build", "develop", "networks", "ports", "profiles", "volumes", *references.KEYS)


def _section(form: Form, site: Site) -> dict[str, object]:
    """The keys of the mode and of the chosen options, typed: maps by key, lists appended."""
    merged: Keys = {}
    for keys in (form.section, *form.extra):
        merged = append(merged, keys)
    return {**typed(merged, site.schema)}


def _rest(section: Mapping[str, object]) -> dict[str, object]:
    return {key: value for key, value in section.items() if key not in DRAWN}


def _without(keys: tuple[str, ...], form: Form, section: Mapping[str, object]) -> dict[str, object]:
    """Takes keys of the base away, where hsm.yaml does not say what they are to be."""
    return {key: Reset("null") for key in keys if key in (form.base or {}) and key not in section}


def _build(form: Form, section: Mapping[str, object], chosen: Chosen, site: Site) -> dict[str, object]:
    """How an image is made: of the checkout, or as the base says, with what chosen options want of their consumers."""
    below, own, asked = (form.base or {}).get("build"), form.own_build, as_map(section.get("build"))
    if own is None:
        rewired = references.contexts(append(below or {}, asked), chosen)
        changed = append(asked, {"additional_contexts": rewired} if rewired else {})
        return {"build": changed} if changed and below is not None else {}
    drawn = append(as_map(typed({"build": mounts.build(own, site.checkout)}, site.schema)["build"]), asked)
    rewired = references.contexts(drawn, chosen)
    if rewired:
        drawn = append(drawn, {"additional_contexts": rewired})
    return {"build": drawn if below is None else Override(drawn)}


def _develop(form: Form, section: Mapping[str, object], site: Site) -> dict[str, object]:
    given = as_map(section.get("develop"))
    if form.service and form.service.dev.watch:
        rules: list[Tree] = [mounts.watch(rule, site.checkout) for rule in form.service.dev.watch]
        given = append(given, typed({"develop": {"watch": rules}}, site.schema)["develop"])
    if not given:
        return {}
    return {"develop": Override(given) if "develop" in (form.base or {}) else given}


def _prod(form: Form, section: Mapping[str, object]) -> dict[str, object]:
    assert form.service is not None
    keys = _without(("build", "develop"), form, {})
    if (form.base or {}).get("pull_policy") == "build":
        keys |= _without(("pull_policy",), form, section)
    deploy = _deploy(form.service.prod.limits, form.service.prod.replicas)
    return keys | ({"deploy": append(section.get("deploy") or {}, deploy)} if deploy else {})


def _deploy(limits: Limits, replicas: int | str | None) -> dict[str, object]:
    asked = {"memory": limits.memory, "cpus": limits.cpus, "pids": limits.pids}
    given = {key: value for key, value in asked.items() if value is not None}
    deploy: dict[str, object] = {"resources": {"limits": given}} if given else {}
    return deploy | ({} if replicas is None else {"replicas": replicas})


# compose refuses these beside their newer forms under `deploy`
_OLDER = {
    "mem_limit": ("resources", "limits", "memory"),
    "cpus": ("resources", "limits", "cpus"),
    "pids_limit": ("resources", "limits", "pids"),
    "mem_reservation": ("resources", "reservations", "memory"),
    "scale": ("replicas",),
}


def _displaced(form: Form, keys: Mapping[str, object]) -> dict[str, object]:
    """Takes those old keys of the base away whose newer forms are given."""
    deploy, base = keys.get("deploy"), form.base or {}
    return _without(tuple(old for old in _OLDER if old in base and _at(deploy, _OLDER[old]) is not None), form, keys)


def _at(tree: object, path: tuple[str, ...]) -> object:
    for key in path:
        tree = tree.get(key) if isinstance(tree, Mapping) else None
    return tree


def _ports(form: Form, section: Mapping[str, object]) -> dict[str, object]:
    new = section.get("ports")
    if not isinstance(new, list) or not new:
        return {}
    below = (form.base or {}).get("ports")
    old = list(below) if isinstance(below, list) else []
    taken = frozenset().union(*(container_ports(port) for port in new))
    kept = [port for port in old if not container_ports(port) <= taken]
    return {"ports": new if len(kept) == len(old) else Override([*kept, *new])}


_RANGE, _LAST_PORT = re.compile(r"([0-9]{1,5})-([0-9]{1,5})"), 65535


def container_ports(port: object) -> frozenset[tuple[str, str]]:
    """The (port, protocol) pairs inside the container, of compose's long or short form. The short form may be a range;
    a variable is a port of its own, and so is what can be none: compose judges it."""
    if isinstance(port, Mapping):
        return frozenset({(str(port.get("target")), str(port.get("protocol") or "tcp"))})
    target, _, protocol = mounts.split(str(port))[-1].partition("/")
    found = _RANGE.fullmatch(target)
    if found and int(found[1]) <= int(found[2]) <= _LAST_PORT:
        return frozenset((str(number), protocol or "tcp") for number in range(int(found[1]), int(found[2]) + 1))
    return frozenset({(target, protocol or "tcp")})


def _volumes(form: Form, section: Mapping[str, object], site: Site) -> dict[str, object]:
    sources = form.service.dev.volumes if form.service and form.mode == "dev" else ()
    own = typed({"volumes": list(sources)}, site.schema)["volumes"]
    return mounts.draw(form, section.get("volumes"), own, site.checkout)


def _networks(form: Form, section: Mapping[str, object]) -> dict[str, object]:
    below, own = as_map((form.base or {}).get("networks")), as_map(section.get("networks"))
    if "network_mode" in section and not own:  # compose refuses the two together
        return _without(("networks",), form, {})
    mode = _without(("network_mode",), form, {}) if own else {}
    if not form.aliases:
        return {"networks": own, **mode} if own else {}
    joined = {**below, **own} or {"default": None}
    return {"networks": {name: _answering(own.get(name), form.aliases) for name in joined}, **mode}


def _profiles(form: Form, section: Mapping[str, object]) -> dict[str, object]:
    if form.active:
        return {"profiles": Reset("list")} if (form.base or {}).get("profiles") else {}
    return {"profiles": section["profiles"]} if section.get("profiles") else {}


def _answering(network: object, aliases: tuple[str, ...]) -> dict[str, object]:
    keys: dict[str, object] = dict(network) if isinstance(network, Mapping) else {}
    own = keys.get("aliases")
    listed = list(own) if isinstance(own, list) else []
    return keys | {"aliases": [*listed, *(alias for alias in aliases if alias not in listed)]}


def named_volumes(draft: Draft) -> frozenset[str]:
    """The named volumes that a fragment mounts, so that the override can declare those that nobody declared."""
    volumes = (draft or {}).get("volumes")
    listed = volumes.tree if isinstance(volumes, Override) else volumes
    mounted = [volume for volume in listed if isinstance(volume, Mapping)] if isinstance(listed, list) else []
    named = (volume.get("source") for volume in mounted if volume.get("type") == "volume")
    return frozenset(str(source) for source in named if source)
