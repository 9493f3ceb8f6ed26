"""What compose would make of the stack now: of each service its hash, image, number, networks and recipe.

It is asked in two calls and remembered under .hsm/STACK/compose.json, with a digest of everything that the answer
depends on: an `up` that finds nothing changed calls no compose at all. What may hold a secret is kept as a digest.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from hsm_tasks.core.forms import NAMESPACES, Form, as_map
from hsm_tasks.core.model import Frozen
from hsm_tasks.effects import composemodel, files
from hsm_tasks.stack.scene import Opened
from hsm_tasks.steps.world import World

VERSION = 1
_SECTIONS = ("networks", "volumes", "configs", "secrets")


class Recipe(Frozen, frozen=True, kw_only=True):
    """How an image is made. `context` is absolute; None: it is not on this machine. `contexts`: more folders, by name.

    `services` are those whose images are contexts, `parts` digests of the remaining keys (arguments, target, …).
    """

    context: str | None
    dockerfile: str | None
    contexts: Mapping[str, str]
    services: tuple[str, ...]
    parts: Mapping[str, str]


class Wanted(Frozen, frozen=True, kw_only=True):
    """One service. `hash` is compose's own, `around` a digest of the networks and volumes that it uses as they are
    defined, `beside` the services whose containers its own are tied to."""

    hash: str
    image: str
    count: int
    networks: tuple[str, ...]
    around: str
    beside: tuple[str, ...]
    recipe: Recipe | None = None


class _Answer(Frozen, frozen=True, kw_only=True):
    version: int
    key: str
    services: Mapping[str, Wanted]


def wanted(world: World) -> Mapping[str, Wanted]:
    """The services, those of inactive profiles too, as far as they load. Asked once a run, after the sync."""
    with world.guard:
        if "wanted" not in world.memo:
            world.memo["wanted"] = _remembered(world)
    services: Mapping[str, Wanted] = world.memo["wanted"]
    return services


def key(opened: Opened) -> str | None:
    """A digest of all that compose's answer depends on; None where that is not to be known."""
    read = tuple(read_by_services(opened))
    if any("$" in path for path in read):
        return None
    root = opened.files[0].parent
    return composemodel.model_key(opened.project(), [root / path for path in read], opened.environ)


def recipe(build: Mapping[str, Any]) -> Recipe:
    """Of a build section as compose fills it in: paths absolute, values in place, each $ of a value written $$."""
    context = _place(build.get("context", "."))
    local = context.startswith("/")
    contexts = {name: _place(place) for name, place in as_map(build.get("additional_contexts")).items()}
    named = {name: place for name, place in contexts.items() if not place.startswith(("/", "service:"))}
    aside = ("context", "dockerfile", "additional_contexts")
    parts = {name: _digest(value) for name, value in build.items() if name not in aside}
    parts |= {"additional_contexts": _digest(named)} if named else {}
    parts |= {} if local else {"context": _digest(context)}
    inline = "dockerfile_inline" in build
    return Recipe(
        context=context if local else None,
        dockerfile=None if inline else _place(build.get("dockerfile") or "Dockerfile"),
        contexts={name: place for name, place in contexts.items() if place.startswith("/")},
        services=tuple(sorted(p.removeprefix("service:") for p in contexts.values() if p.startswith("service:"))),
        parts=parts,
    )


def _place(written: object) -> str:
    return str(written).replace("$$", "$")


def _remembered(world: World) -> Mapping[str, Wanted]:
    opened = world.opened
    now, place = key(opened), opened.state / "compose.json"
    old = _load(place)
    if old is not None and now == old.key:
        return old.services
    services = _ask(opened)
    if now is not None and not world.looks and now == key(opened):  # edited meanwhile: nobody knows what was read
        answer = _Answer(version=VERSION, key=now, services=services)
        files.write_if_changed(place, msgspec.json.encode(answer).decode())
    return services


def _load(place: Path) -> _Answer | None:
    text = files.read_if_there(place)
    try:
        found = msgspec.json.decode(text, type=_Answer) if text else None
    except msgspec.DecodeError:
        return None
    return found if found is not None and found.version == VERSION else None


def _ask(opened: Opened) -> dict[str, Wanted]:
    project = opened.project()
    text = composemodel.read_model(project)
    model, hashes = json.loads(text), composemodel.hashes(project, text)
    services: Mapping[str, Mapping[str, Any]] = model.get("services") or {}
    return {name: _wanted(name, keys, model, hashes.get(name, "")) for name, keys in services.items()}


def _wanted(name: str, keys: Mapping[str, Any], model: Mapping[str, Any], hashed: str) -> Wanted:
    networks = model.get("networks") or {}
    used = {section: list(_used(section, keys)) for section in _SECTIONS}
    defined = {section: {n: (model.get(section) or {}).get(n) for n in names} for section, names in used.items()}
    build = keys.get("build")
    return Wanted(
        hash=hashed,
        image=str(keys.get("image") or f"{model['name']}-{name}"),
        count=_count(keys),
        networks=tuple(sorted(str((networks.get(n) or {}).get("name", n)) for n in used["networks"])),
        around=_digest(defined),
        beside=_beside(keys),
        recipe=recipe(build) if build else None,
    )


def _used(section: str, keys: Mapping[str, Any]) -> Iterator[str]:
    """The networks, volumes, … of the project that a service names."""
    for item in keys.get(section) or ():
        if isinstance(item, str):
            yield item
        elif item.get("source") and item.get("type", "volume") == "volume":
            yield str(item["source"])


def _count(keys: Mapping[str, Any]) -> int:
    if "provider" in keys:
        return 0
    replicas = (keys.get("deploy") or {}).get("replicas", keys.get("scale"))
    return 1 if replicas is None else int(replicas)


def _beside(keys: Mapping[str, Any]) -> tuple[str, ...]:
    """Those whose namespaces or volumes a container has: compose writes the ids of their containers into its hash."""
    spaces = (str(keys.get(space) or "") for space in NAMESPACES)
    names = [space.removeprefix("service:") for space in spaces if space.startswith("service:")]
    lent = (str(item) for item in keys.get("volumes_from") or ())
    names += [item.partition(":")[0] for item in lent if not item.startswith("container:")]
    return tuple(sorted(set(names)))


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:32]


def read_by_services(opened: Opened) -> Iterator[str]:
    """The env and label files of all services, relative to the folder of the first base file."""
    for form in opened.scene.chosen.forms.values():
        yield from map(os.path.expanduser, _read_by(form))  # compose knows `~`, too


def _read_by(form: Form) -> Iterator[str]:
    for keys in form.pieces:
        for named in ("env_file", "label_file"):
            given = keys.get(named)
            for item in given if isinstance(given, list) else [given] if given else []:
                yield str(item.get("path", "")) if isinstance(item, Mapping) else str(item)
