"""A deploy as values: a bundle's model with the paths of the target, what it changes there, and how it fares."""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, Literal

import msgspec

from hsm_tasks.core.forms import as_map
from hsm_tasks.core.mounts import split
from hsm_tasks.core.reference import ImageReference

Model = Mapping[str, Any]
FILES: Final = "hsm.files"  # a label: changed files change it, so compose makes the container anew
_DEFAULT: Final = re.compile(r"(\$\{\w+:?-)(\.[^{}$]*)(\}.*)", re.DOTALL)


def located(model: Model, directory: str, digests: Mapping[str, str]) -> Model:
    """The model of a bundle for an engine whose host has the bundle's files below `directory`.

    `digests`: path in the bundle → SHA-256, of the files that are known. Env files stay relative: compose reads them
    where it runs.
    """
    services = {name: _service(keys, model, directory, digests) for name, keys in model["services"].items()}
    made = {**model, "services": services}
    for kind in ("configs", "secrets"):
        if kind in model:
            made[kind] = {name: _content(keys, directory) for name, keys in model[kind].items()}
    return made


def _service(keys: Model, model: Model, directory: str, digests: Mapping[str, str]) -> Model:
    mounted = digest_of(sources(keys, model), digests)
    moved = {**keys, "labels": as_map(keys.get("labels")) | {FILES: mounted}} if mounted else dict(keys)
    if "volumes" in keys:
        moved["volumes"] = [_mount(volume, directory) for volume in keys["volumes"]]
    return moved


def _mount(volume: Any, directory: str) -> Any:
    if isinstance(volume, str):
        parts = split(volume)
        match = _DEFAULT.fullmatch(parts[0])
        return ":".join([match[1] + _there(match[2], directory) + match[3], *parts[1:]]) if match else volume
    if volume.get("type") != "bind" or not str(volume.get("source", "")).startswith("."):
        return volume
    return {**volume, "source": _there(volume["source"], directory)}


def _content(keys: Model, directory: str) -> Model:
    path = keys.get("file")
    return {**keys, "file": _there(path, directory)} if isinstance(path, str) and path.startswith(".") else keys


def _there(path: str, directory: str) -> str:
    return posixpath.normpath(posixpath.join(directory, path))


def sources(keys: Model, model: Model) -> tuple[str, ...]:
    """The paths of the bundle that a service mounts: binds, configs and secrets."""
    found = [str(v["source"]) for v in keys.get("volumes") or () if isinstance(v, Mapping) and v.get("type") == "bind"]
    for kind in ("configs", "secrets"):
        for entry in keys.get(kind) or ():
            name = str(entry.get("source")) if isinstance(entry, Mapping) else str(entry)
            found.append(str((model.get(kind) or {}).get(name, {}).get("file") or ""))
    return tuple(posixpath.normpath(path) for path in found if path.startswith("."))


def digest_of(paths: Iterable[str], digests: Mapping[str, str]) -> str:
    """One short word for the content of files and folders of a bundle; "" where none of them is known."""
    wanted = sorted({path for path in paths})
    known = [(path, digests[path]) for path in sorted(digests)
             if any(path == one or path.startswith(f"{one}/") for one in wanted)]
    return hashlib.sha256(repr(known).encode()).hexdigest()[:16] if known else ""


# --- what changes ------------------------------------------------------------------------------------------------


class Release(msgspec.Struct, frozen=True):
    """A bundle that was or will be deployed: its model, and path → SHA-256 of its files."""

    model: Model
    digests: Mapping[str, str]


class Change(msgspec.Struct, frozen=True):
    """What a deploy does to a service, and why."""

    service: str
    kind: Literal["add", "change", "remove", "keep"]
    reasons: tuple[str, ...] = ()


def changes(old: Release | None, new: Release) -> tuple[Change, ...]:
    """One for each service of the old and the new, by name."""
    before = old.model["services"] if old else {}
    after = new.model["services"]
    return tuple(_change(name, before.get(name), after.get(name), old, new) for name in sorted({*before, *after}))


def _change(name: str, before: Model | None, after: Model | None, old: Release | None, new: Release) -> Change:
    if after is None:
        return Change(name, "remove", ("it is no longer part of the stack",))
    if before is None or old is None:
        return Change(name, "add")
    reasons = [*_differences(before, after), *_files(after, old, new)]
    return Change(name, "change" if reasons else "keep", tuple(reasons))


def _differences(before: Model, after: Model) -> Iterator[str]:
    for key in sorted({*before, *after}):
        if before.get(key) == after.get(key):
            continue
        if key == "image":
            yield f"image {_shown(before.get(key))} → {_shown(after.get(key))}"
        elif key in ("environment", "labels"):
            was, now = as_map(before.get(key)), as_map(after.get(key))
            names = [name for name in sorted({*was, *now}) if was.get(name) != now.get(name)]
            yield f"{key}: {', '.join(names)}"  # never the values: there may be a secret among them
        else:
            yield key if key in before and key in after else f"{key} {'is new' if key in after else 'is gone'}"


def _files(after: Model, old: Release, new: Release) -> Iterator[str]:
    mounted = sources(after, new.model)
    listed = after.get("env_file") or ()
    read = [str(one["path"]) if isinstance(one, Mapping) else str(one) for one in listed]
    wanted = {*mounted, *(posixpath.normpath(path) for path in read)}
    changed = sorted(path for path in wanted if digest_of([path], old.digests) != digest_of([path], new.digests))
    if changed:
        yield f"files: {', '.join(changed)}"


def _shown(image: object) -> str:
    try:
        reference = ImageReference.parse(str(image))
    except ValueError:
        return str(image)
    return f"{reference.tag or ''}@{(reference.digest or '')[7:19]}"


# --- how it fares ------------------------------------------------------------------------------------------------


class Seen(msgspec.Struct, frozen=True):
    """A container on the target; `status` is the engine's sentence ("Up 3 seconds (health: starting)"), `digest` what
    compose made it from."""

    service: str
    id: str
    state: str
    status: str
    digest: str = ""

    @property
    def exit_code(self) -> int | None:
        """Where it has ended."""
        match = re.search(r"\((\d+)\)", self.status) if self.state in ("exited", "restarting", "dead") else None
        return int(match[1]) if match else None

    @property
    def ended_well(self) -> bool:
        """What is right for a one-shot."""
        return self.state == "exited" and self.exit_code == 0

    @property
    def well(self) -> bool:
        """Running, and healthy where it has a healthcheck."""
        return self.state == "running" and "(unhealthy)" not in self.status and "(health: starting)" not in self.status


class Verdict(msgspec.Struct, frozen=True):
    """`ill` can not become well by itself; `waiting` may. None of both: all is well."""

    ill: tuple[Seen, ...] = ()
    waiting: tuple[str, ...] = ()

    @property
    def well(self) -> bool:
        """Nothing to wait for."""
        return not self.ill and not self.waiting


def judge(seen: Iterable[Seen], wanted: Iterable[str], oneshots: Iterable[str]) -> Verdict:
    """Of the containers of the services that should run; what else the project has is somebody else's affair."""
    expected, ends = frozenset(wanted), frozenset(oneshots)
    containers = [one for one in seen if one.service in expected]
    ill, waiting = [], []
    for one in containers:
        done = one.service in ends and one.ended_well
        if "(unhealthy)" in one.status or (one.state in ("exited", "dead") and not done):
            ill.append(one)
        elif not done and not one.well:
            waiting.append(one.service)
    missing = expected - {one.service for one in containers}
    return Verdict(tuple(ill), tuple(sorted({*waiting, *missing})))
