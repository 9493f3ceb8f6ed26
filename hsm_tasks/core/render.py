"""One service to the draft of its override fragment.

A draft is the fragment as a tree of compose keys in which two things are still open, because only a resolve step knows
them: which digest an image has (`Pinned`) and whether an image brings a healthcheck (`Condition`). `fill` closes them.
Tags (!reset, !override) stand only where the base has the key: each costs compose time, and none is needed elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hsm_tasks.core import mounts, references
from hsm_tasks.core.choose import Chosen, Form
from hsm_tasks.core.model import Limits, Pin, Tree
from hsm_tasks.core.references import Condition
from hsm_tasks.core.scalars import Schema, typed
from hsm_tasks.core.yamltext import Override, Reset, dump

Draft = Mapping[str, object] | None


@dataclass(frozen=True, slots=True)
class Pinned:
    """Stands in a draft for the pinned image of a service."""

    service: str


@dataclass(frozen=True, slots=True)
class Site:
    """Where a service is drawn: its checkout as seen from the root of the base (None: no repository)."""

    checkout: str | None
    schema: Schema


def render(form: Form, chosen: Chosen, site: Site) -> Draft:
    """The draft of a service's fragment; None where the service leaves the model."""
    if form.mode == "off":
        return None
    section = _section(form, site)
    keys = _rest(section)
    if form.mode == "dev":
        keys |= _dev(form, site)
    elif form.image:
        keys |= {"image": Pinned(form.name)}
    if form.mode == "prod":
        keys |= _prod(form, section)
    keys |= _ports(form, section) | _volumes(form, section, site)
    keys |= references.draw(form, section, chosen)
    keys |= _networks(form, section)
    if form.active and (form.base or {}).get("profiles"):
        keys["profiles"] = Reset("list")
    return {key: keys[key] for key in sorted(keys)}


def fill(name: str, draft: Draft, pins: Mapping[str, Pin]) -> str:
    """The text of a fragment. `pins` has every service that `open_pins` names."""
    if draft is None:
        return dump({"services": {name: Reset("null")}})
    return dump({"services": {name: _fill(draft, pins)} if draft else {}})


def open_pins(draft: object) -> frozenset[str]:
    """The services whose pins a draft waits for."""
    match draft:
        case Pinned() | Condition():
            return frozenset({draft.service})
        case Override():
            return open_pins(draft.tree)
        case Mapping():
            return frozenset().union(*(open_pins(value) for value in draft.values()))
        case list():
            return frozenset().union(*(open_pins(value) for value in draft))
        case _:
            return frozenset()


def _fill(value: Any, pins: Mapping[str, Pin]) -> Any:
    match value:
        case Pinned():
            return pins[value.service].image
        case Condition():
            return "service_healthy" if pins[value.service].healthcheck else "service_started"
        case Override():
            return Override(_fill(value.tree, pins))
        case Mapping():
            return {key: _fill(value[key], pins) for key in sorted(value)}
        case list():
            return [_fill(item, pins) for item in value]
        case _:
            return value


# --- what a mode adds -------------------------------------------------------------------------------------------

DRAWN = ("build", "develop", "networks", "ports", "profiles", "volumes", *references.KEYS)


def _section(form: Form, site: Site) -> dict[str, object]:
    """The keys of the mode and of the chosen options, typed: maps by key, lists appended."""
    merged: dict[str, object] = {}
    for keys in (form.section, *form.extra):
        merged = _merged(merged, typed(keys, site.schema))
    return merged


def _merged(under: Mapping[str, object], over: Mapping[str, object]) -> dict[str, object]:
    result = dict(under)
    for key, value in over.items():
        old = result.get(key)
        if isinstance(old, list) and isinstance(value, list):
            result[key] = [*old, *value]
        elif isinstance(old, Mapping | list) and isinstance(value, Mapping | list):
            result[key] = _merged(as_map(old), as_map(value))
        else:
            result[key] = value
    return result


def as_map(value: object) -> dict[str, object]:
    """The map form of what compose also takes as a list: `A=1` or a bare name."""
    if isinstance(value, Mapping):
        return dict(value)
    pairs = (str(item).partition("=") for item in value) if isinstance(value, list) else ()
    return {name: text if equals else None for name, equals, text in pairs}


def _rest(section: Mapping[str, object]) -> dict[str, object]:
    return {key: value for key, value in section.items() if key not in DRAWN}


def _dev(form: Form, site: Site) -> dict[str, object]:
    assert form.service is not None
    below, dev = form.base or {}, form.service.dev
    keys: dict[str, object] = {key: Reset("null") for key in ("image", "pull_policy") if key in below}
    if site.checkout is not None or dev.build is not None:
        build = typed({"build": mounts.build(dev.build or {}, site.checkout)}, site.schema)["build"]
        keys["build"] = Override(build) if "build" in below else build
    if dev.watch:
        watch: list[Tree] = [mounts.watch(rule, site.checkout) for rule in dev.watch]
        develop = typed({"develop": {"watch": watch}}, site.schema)["develop"]
        keys["develop"] = Override(develop) if "develop" in below else develop
    return keys


def _prod(form: Form, section: Mapping[str, object]) -> dict[str, object]:
    assert form.service is not None
    below, prod = form.base or {}, form.service.prod
    keys: dict[str, object] = {key: Reset("null") for key in ("build", "develop") if key in below}
    if below.get("pull_policy") == "build":
        keys["pull_policy"] = Reset("null")
    deploy = _deploy(prod.limits, prod.replicas)
    if deploy:
        under = section.get("deploy")
        keys["deploy"] = _merged(under, deploy) if isinstance(under, Mapping) else deploy
    return keys | {key: Reset("null") for key in _displaced(prod.limits, prod.replicas) if key in below}


def _deploy(limits: Limits, replicas: int | None) -> dict[str, object]:
    asked = {"memory": limits.memory, "cpus": limits.cpus, "pids": limits.pids}
    given = {key: value for key, value in asked.items() if value is not None}
    deploy: dict[str, object] = {"resources": {"limits": given}} if given else {}
    return deploy | ({} if replicas is None else {"replicas": replicas})


def _displaced(limits: Limits, replicas: int | None) -> list[str]:
    """The old keys that compose does not allow beside their newer forms under `deploy`."""
    pairs = (("mem_limit", limits.memory), ("cpus", limits.cpus), ("pids_limit", limits.pids), ("scale", replicas))
    return [key for key, value in pairs if value is not None]


def _ports(form: Form, section: Mapping[str, object]) -> dict[str, object]:
    new = section.get("ports")
    if not isinstance(new, list) or not new:
        return {}
    below = (form.base or {}).get("ports")
    old = list(below) if isinstance(below, list) else []
    taken = {container_port(port) for port in new}
    kept = [port for port in old if container_port(port) not in taken]
    return {"ports": new if len(kept) == len(old) else Override([*kept, *new])}


def container_port(port: object) -> tuple[str, str]:
    """(port, protocol) inside the container, of compose's long or short form."""
    if isinstance(port, Mapping):
        return str(port.get("target")), str(port.get("protocol") or "tcp")
    target, _, protocol = mounts.split(str(port))[-1].partition("/")
    return target, protocol or "tcp"


def _volumes(form: Form, section: Mapping[str, object], site: Site) -> dict[str, object]:
    sources = form.service.dev.volumes if form.service and form.mode == "dev" else ()
    own = typed({"volumes": list(sources)}, site.schema)["volumes"]
    return mounts.draw(form, section.get("volumes"), own, site.checkout)


def _networks(form: Form, section: Mapping[str, object]) -> dict[str, object]:
    below, own = as_map((form.base or {}).get("networks")), as_map(section.get("networks"))
    if not form.aliases:
        return {"networks": own} if own else {}
    joined = {**below, **own} or {"default": None}
    return {"networks": {name: _answering(own.get(name), form.aliases) for name in joined}}


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
    return frozenset(str(volume["source"]) for volume in mounted if volume.get("type") == "volume" and "source" in volume)
