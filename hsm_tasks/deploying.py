"""`deploy`, `rollback`, `status target=…`: a bundle goes to another machine, and comes back where it does not get well.

What ran before is kept on the target, as the bundle that it was: `current.tar` and `previous.tar` in our folder there,
with the files that containers mount in `files/`. So any machine may deploy, and any other may roll back.
"""

from __future__ import annotations

import io
import posixpath
import shlex
import shutil
import tarfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from hsm_tasks.bundling import Packed
from hsm_tasks.core.bundle import AROUND
from hsm_tasks.core.deploy import Change, Release, Seen, Verdict, changes, judge, located
from hsm_tasks.core.errors import HsmError
from hsm_tasks.core.manifest import COMPOSE, MANIFEST
from hsm_tasks.core.targets import Target
from hsm_tasks.core.yamltext import dump
from hsm_tasks.effects import composebundle, files, machine, parcel
from hsm_tasks.effects.machine import Machine
from hsm_tasks.effects.parcel import Entry
from hsm_tasks.scene import Opened
from hsm_tasks.world import World

CURRENT, PREVIOUS, NEXT = "current.tar", "previous.tar", "next.tar"
HERE = "deploy.yaml"  # the bundle's model with the paths of the target
LOOK, STEADY = 1.0, 3.0  # seconds between two looks, and that containers must stay as they are


@dataclass(frozen=True, slots=True)
class Place:
    """A stack on a target: our folder there, the compose project, and a folder here to work in."""

    target: Target
    machine: Machine
    directory: str
    project: str
    work: Path
    world: World

    @property
    def opened(self) -> Opened:
        """The stack."""
        return self.world.opened

    def say(self, words: str) -> None:
        """A line of progress."""
        self.world.progress(f"deploy:{self.target.name}", words)


@dataclass(frozen=True, slots=True)
class Shipment:
    """A bundle on its way: unpacked here in `folder`, as tar, and as what it says of itself."""

    tar: bytes
    folder: Path
    release: Release
    manifest: dict[str, Any]

    @property
    def wanted(self) -> tuple[str, ...]:
        """The services that a plain `up` starts."""
        return tuple(name for name, keys in self.release.model["services"].items() if not keys.get("profiles"))

    @property
    def name(self) -> str:
        """What people call it."""
        commit = str(self.manifest.get("commit") or "no commit")[:10]
        return f"{commit}{' with changes' if self.manifest.get('changed') else ''}"


def place(world: World, target: Target) -> Place:
    """Where a stack is, or will be, on a target. It asks the machine, and makes our folder there."""
    reached = machine.machine(target)
    project = target.project or world.opened.scene.project
    work = world.opened.state / "targets" / target.name
    work.mkdir(parents=True, exist_ok=True)
    kept = target.directory
    if reached.ssh is None and kept is None:
        kept = str((work / "place").resolve())
    return Place(target, reached, reached.folder(kept, project), project, work, world)


# --- bundles -----------------------------------------------------------------------------------------------------


def shipment(where: Place, packed: Packed) -> Shipment:
    """A bundle that was just made."""
    path = where.work / NEXT
    parcel.tar(path, packed.entries, ".")
    return _unpacked(where, path.read_bytes(), "next")


def kept(where: Place, name: str) -> Shipment | None:
    """A bundle that is kept on the target; None where there is none."""
    data = where.machine.read(f"{where.directory}/{name}")
    return _unpacked(where, data, name.partition(".")[0]) if data is not None else None


def _unpacked(where: Place, data: bytes, name: str) -> Shipment:
    folder = where.work / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        tar.extractall(folder, filter="data")
    said = msgspec.json.decode(files.read(folder / MANIFEST))
    model = composebundle.rendered([folder / COMPOSE], folder, "services: {}\n")
    return Shipment(data, folder, Release(model, said["files"]), said)


def planned(where: Place, new: Shipment) -> tuple[Change, ...]:
    """What a deploy would do, service by service."""
    old = kept(where, CURRENT)
    return changes(old.release if old else None, new.release)


# --- deploy ------------------------------------------------------------------------------------------------------


def deploy(where: Place, new: Shipment) -> None:
    """Brings a bundle to a target. HsmError where it does not get well; then what ran before runs again."""
    start = _starter(where)
    old = kept(where, CURRENT)
    _transfer(where, new)
    try:
        start(where, new)
    except HsmError as error:
        raise _taken_back(where, old, error) from error
    _settle(where)


def rollback(where: Place) -> Shipment:
    """Brings back what ran before the last deploy, and keeps that one as the previous."""
    before = kept(where, PREVIOUS)
    if before is None:
        raise HsmError(f"{where.target.name} has nothing to go back to", "there was no deploy before the last one")
    deploy(where, before)
    return before


def _starter(where: Place) -> Callable[[Place, Shipment], None]:
    if where.target.swarm:
        raise HsmError("a swarm can not be deployed to yet")
    return _start


def _settle(where: Place) -> None:
    """What is well becomes the current bundle, and what was current the previous one."""
    same = f"if cmp -s {NEXT} {CURRENT}; then rm -f {NEXT}; exit; fi"
    moves = f"if test -f {CURRENT}; then mv -f {CURRENT} {PREVIOUS}; fi; mv -f {NEXT} {CURRENT}"
    where.machine.shell(f"cd {shlex.quote(where.directory)} && {{ {same}; {moves}; }}")


def _taken_back(where: Place, old: Shipment | None, error: HsmError) -> HsmError:
    """Starts what ran before, or nothing; the answer tells both stories."""
    if old is None:
        where.say("nothing ran before: taking it down")
        _compose(where, where.work / "next", "down", "--remove-orphans")
        return HsmError(f"{error.message}\nnothing ran there before, so its containers are removed again", error.hint)
    where.say(f"going back to {old.name}")
    try:
        _send_files(where, old)
        _starter(where)(where, old)
    except HsmError as second:
        return HsmError(f"{error.message}\nand what ran before ({old.name}) does not come back: {second.message}")
    return HsmError(f"{error.message}\nrolled back: {old.name} runs again", error.hint)


# --- transfer ----------------------------------------------------------------------------------------------------


def _transfer(where: Place, new: Shipment) -> None:
    where.say("sending the bundle")
    _send_files(where, new)
    where.machine.write(f"{where.directory}/{NEXT}", new.tar, 0o600)


def _send_files(where: Place, new: Shipment) -> None:
    """The files that containers mount, and what does not travel with a bundle but is here."""
    mounted = [parcel.entry(path, new.folder / path) for path in sorted(new.release.digests)
               if path != COMPOSE and (new.folder / path).is_file()]
    needed = [entry for need in new.manifest["needs"] for entry in _needed(where, new, need)]
    if not where.machine.disk and any(_binds(new)):
        raise HsmError(f"{where.target.name} is an engine whose disk nobody reaches, and the stack mounts files",
                       'name it by ssh (host = "ssh://…"), or use a swarm, which carries configs and secrets itself')
    if mounted or needed:
        path = where.work / "files.tar"
        parcel.tar(path, [*mounted, *needed], ".")
        where.machine.unpack(path.read_bytes(), f"{where.directory}/files")


def _binds(new: Shipment) -> list[str]:
    from hsm_tasks.core.deploy import sources

    model = new.release.model
    return [path for keys in model["services"].values() for path in sources(keys, model)]


def _needed(where: Place, new: Shipment, need: dict[str, Any]) -> list[Entry]:
    """A file that a bundle only names: from this workspace, else it must be on the target already."""
    root, base = where.opened.workspace.root, where.opened.files[0].parent
    path = need["path"]
    source = root / path.removeprefix(f"{AROUND}/") if path.startswith(f"{AROUND}/") else base / path
    there = f"{where.directory}/files/{path}"
    if source.is_file():
        if need["kind"] == "env":
            (new.folder / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, new.folder / path)
        return [parcel.entry(path, source)]
    if need["kind"] == "env" and (data := where.machine.read(there)) is not None:
        (new.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (new.folder / path).write_bytes(data)
    elif need["required"] and not where.machine.has(there):
        raise HsmError(f"{path} does not travel with a bundle, and it is neither here nor on {where.target.name}",
                       f"put it there as {there}")
    return []


# --- compose -----------------------------------------------------------------------------------------------------


def _start(where: Place, new: Shipment) -> None:
    """Pulls, updates, and waits until all is well; HsmError with the last words of what is not."""
    directory = posixpath.join(where.directory, "files")
    model = located(new.release.model, directory, new.release.digests)
    (new.folder / HERE).write_text(dump(model), encoding="utf-8")
    where.say("pulling images")
    _compose(where, new.folder, "pull", "--quiet", "--policy", "missing")
    where.say("updating")
    _compose(where, new.folder, "up", "-d", "--no-build", "--remove-orphans")
    _wait(where, new)


def _compose(where: Place, folder: Path, *words: str) -> None:
    argv = ("compose", "-p", where.project, "--progress", "plain", "-f", HERE, *words)
    explain = f"docker compose {words[0]} failed on {where.target.name}"
    where.machine.stream(*argv, at=folder, on_line=where.say, explain=explain)


def _wait(where: Place, new: Shipment) -> None:
    end = time.monotonic() + where.target.wait
    steady: tuple[str, ...] | None = None
    while True:
        seen = where.machine.containers(where.project)
        verdict = judge(seen, new.wanted, new.manifest.get("oneshots", ()))
        if verdict.ill:
            raise HsmError(_ill(where, verdict.ill[0]))
        now = where.machine.restarts(seen) if verdict.well else None
        if now is not None and now == steady:
            return
        steady = now
        if time.monotonic() > end:
            raise HsmError(_late(where, seen, verdict))
        if verdict.waiting:
            where.say(f"waiting for {', '.join(verdict.waiting)}")
        time.sleep(STEADY if now is not None else LOOK)


def _ill(where: Place, one: Seen) -> str:
    said = "".join(f"\n  | {line}" for line in where.machine.last_words(one.id).splitlines())
    return f"{one.service} does not get well on {where.target.name}: {one.status}; its last words:{said or ' none'}"


def _late(where: Place, seen: tuple[Seen, ...], verdict: Verdict) -> str:
    late = next((one for one in seen if one.service in verdict.waiting), None)
    names = ", ".join(verdict.waiting) or "a container that keeps restarting"
    first = f"not well after {where.target.wait:g} s: {names}"
    return f"{first}\n{_ill(where, late)}" if late else first


# --- status ------------------------------------------------------------------------------------------------------


def status(where: Place) -> dict[str, Any]:
    """What runs on a target, beside what was deployed: plain values, for people and for JSON."""
    now, before = kept(where, CURRENT), kept(where, PREVIOUS)
    seen = where.machine.containers(where.project)
    used = where.machine.stats(tuple(one.id for one in seen if one.state == "running"))
    names = sorted({*(now.wanted if now else ()), *(one.service for one in seen)})
    return {
        "version": 1,
        "stack": where.opened.name,
        "target": where.target.name,
        "project": where.project,
        "current": _about(now),
        "previous": _about(before),
        "services": [_service(name, now, seen, used) for name in names],
    }


def _about(one: Shipment | None) -> dict[str, Any] | None:
    return {key: one.manifest.get(key) for key in ("commit", "changed", "hsm", "lock")} if one else None


def _service(
    name: str, now: Shipment | None, seen: tuple[Seen, ...], used: dict[str, tuple[str, str]]
) -> dict[str, Any]:
    containers = [{"id": one.id[:12], "state": one.state, "status": one.status,
                   "memory": used.get(one.id, (None, None))[0], "cpu": used.get(one.id, (None, None))[1]}
                  for one in seen if one.service == name]
    return {"name": name, "image": now.manifest["images"].get(name) if now else None, "containers": containers}
