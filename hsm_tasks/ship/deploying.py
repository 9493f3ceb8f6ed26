"""`deploy`, `rollback`, `status target=…`: a bundle goes to another machine, and comes back where it does not get well.

What ran before is kept on the target, as the bundle that it was: `current.tar` and `previous.tar` in our folder there,
with the files that containers mount in `files/`. So any machine may deploy, and any other may roll back.
"""

from __future__ import annotations

import getpass
import posixpath
import shlex
import shutil
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

from hsm_tasks.core.bundle import AROUND
from hsm_tasks.core.deploy import Change, Seen, changes, located, sources
from hsm_tasks.core.errors import HsmError
from hsm_tasks.core.manifest import COMPOSE
from hsm_tasks.core.yamltext import dump
from hsm_tasks.effects import parcel
from hsm_tasks.effects.parcel import Entry
from hsm_tasks.ship import rolling, swarming
from hsm_tasks.ship.places import CURRENT, NEXT, PREVIOUS, Place, Shipment, kept, place, shipment

__all__ = ["Place", "Shipment", "alone", "deploy", "place", "planned", "rollback", "shipment", "status"]

def planned(where: Place, new: Shipment) -> tuple[Change, ...]:
    """What a deploy would do, service by service."""
    old = kept(where, CURRENT)
    return changes(old.release if old else None, new.release)


# --- deploy ------------------------------------------------------------------------------------------------------


def alone(where: Place) -> AbstractContextManager[None]:
    """The target for one deploy at a time, from whatever machine."""
    who = f"{getpass.getuser()}@{socket.gethostname()} since {time.strftime('%F %T %Z')}"
    return where.machine.alone(where.directory, who, lambda whom: where.world.say(
        f"{where.target.name} is being deployed to: waiting for {whom}"))


def deploy(where: Place, new: Shipment, tell: Callable[[tuple[Change, ...]], None]) -> None:
    """Brings a bundle to a target; `tell` hears first what changes. HsmError where it does not get well; then what ran
    before runs again."""
    old = kept(where, CURRENT)
    tell(changes(old.release if old else None, new.release))
    _bring(where, new, old, tried=False)


def rollback(where: Place) -> Shipment:
    """Brings back what ran before the last deploy, and keeps that one as the previous. Before a deploy that came to no
    end, that is the current bundle."""
    before = kept(where, CURRENT if where.machine.has(f"{where.directory}/{NEXT}") else PREVIOUS)
    if before is None:
        raise HsmError(f"{where.target.name} has nothing to go back to", "there was no deploy before the last one")
    _bring(where, before, kept(where, CURRENT), tried=True)
    return before


def _bring(where: Place, new: Shipment, old: Shipment | None, *, tried: bool) -> None:
    where.say("sending the bundle")
    _send_files(where, new)
    start = _prepared(where, new, old, tried=tried)
    where.machine.write(f"{where.directory}/{NEXT}", new.tar, 0o600)  # as long as it is there, the end is open
    try:
        start()
    except HsmError as error:
        raise _taken_back(where, old, new, error) from error
    except KeyboardInterrupt:
        where.world.say(_half_done(where, old, new))
        raise
    _settle(where)


def _prepared(where: Place, new: Shipment, old: Shipment | None, *, tried: bool) -> Callable[[], None]:
    """All that can go wrong before anything changes: what the target refuses, images that can not be had. The answer
    updates, and waits until all is well; HsmError with the last words of what is not."""
    if where.target.swarm:
        return partial(swarming.start, where, new, swarming.stack(where, new, tell=not tried))
    model = located(new.release.model, posixpath.join(where.directory, "files"), new.release.digests)
    (new.folder / rolling.HERE).write_text(dump(model), encoding="utf-8")
    rolling.pull(where, new)
    return partial(rolling.start, where, new, old, tried=tried)


def _settle(where: Place) -> None:
    """What is well becomes the current bundle, and what was current the previous one."""
    same = f"if cmp -s {NEXT} {CURRENT}; then rm -f {NEXT}; exit; fi"
    moves = f"if test -f {CURRENT}; then mv -f {CURRENT} {PREVIOUS}; fi; mv -f {NEXT} {CURRENT}"
    where.machine.shell(f"cd {shlex.quote(where.directory)} && {{ {same}; {moves}; }}")


def _taken_back(where: Place, old: Shipment | None, new: Shipment, error: HsmError) -> HsmError:
    """Starts what ran before, or nothing; the answer tells both stories."""
    if old is None:
        where.say("nothing ran before: taking it down")
        if where.target.swarm:
            swarming.remove(where)
        else:
            rolling.stop(where, new.folder)
        _forget(where)
        return HsmError(f"{error.message}\nnothing ran there before, so its containers are removed again", error.hint)
    where.say(f"going back to {old.name}")
    try:
        _send_files(where, old)
        _prepared(where, old, new, tried=True)()
    except HsmError as second:
        return HsmError(f"{error.message}\nand what ran before ({old.name}) does not come back: {second.message}")
    _forget(where)
    return HsmError(f"{error.message}\nrolled back: {old.name} runs again", error.hint)


def _forget(where: Place) -> None:
    """The bundle that was on its way: what ran before runs again, so there is nothing left to go on with."""
    where.machine.shell(f"rm -f {shlex.quote(f'{where.directory}/{NEXT}')}")


def _half_done(where: Place, old: Shipment | None, new: Shipment) -> str:
    """What whoever interrupts a deploy has to know."""
    name = where.target.name
    goes_on = f"`hsm deploy target={name}` goes on"
    if old is None:
        return f"{name} may run some of the services: {goes_on}"
    goes_back = f"`hsm rollback target={name}` goes back"
    return f"{name} may run services of both {old.name} and {new.name}: {goes_on}, {goes_back}"


# --- transfer ----------------------------------------------------------------------------------------------------


def _send_files(where: Place, new: Shipment) -> None:
    """The files that containers mount, and what does not travel with a bundle but is here."""
    mounted = [parcel.entry(path, new.folder / path) for path in sorted(new.release.digests)
               if path != COMPOSE and (new.folder / path).is_file()]
    needed = [entry for need in new.manifest["needs"] for entry in _needed(where, new, need)]
    if where.target.swarm:
        return  # it carries configs and secrets itself
    if not where.machine.disk and any(_binds(new)):
        raise HsmError(f"{where.target.name} is an engine whose disk nobody reaches, and the stack mounts files",
                       'name it by ssh (host = "ssh://…"), or use a swarm, which carries configs and secrets itself')
    _say_what_is_new(where, new, needed)
    if mounted or needed:
        path = where.work / "files.tar"
        try:
            parcel.tar(path, [*mounted, *needed], ".")
            where.machine.unpack(path.read_bytes(), f"{where.directory}/files")
        finally:
            path.unlink(missing_ok=True)  # there may be secrets in it


def _say_what_is_new(where: Place, new: Shipment, needed: Sequence[Entry]) -> None:
    """A secret is no part of a bundle, so another one renews nothing: whoever changed it has to know."""
    model = new.release.model
    mounts = {name: frozenset(sources(keys, model)) for name, keys in model["services"].items()}
    secret = [one for one in needed if any(one.path in paths for paths in mounts.values())]
    there = where.machine.digests(f"{where.directory}/files", [one.path for one in secret])
    for one in secret:
        if there.get(one.path) not in (None, one.digest()):
            names = ", ".join(sorted(name for name, paths in mounts.items() if one.path in paths))
            where.world.say(f"{one.path} has changed; what already runs of {names} sees it after a restart")


def _binds(new: Shipment) -> list[str]:
    model = new.release.model
    return [path for keys in model["services"].values() for path in sources(keys, model)]


def _needed(where: Place, new: Shipment, need: dict[str, Any]) -> list[Entry]:
    """A file that a bundle only names: from this workspace, else it must be on the target already."""
    root, base = where.opened.workspace.root, where.opened.files[0].parent
    path = need["path"]
    source = root / path.removeprefix(f"{AROUND}/") if path.startswith(f"{AROUND}/") else base / path
    there = f"{where.directory}/files/{path}"
    if source.is_file():
        if need["kind"] == "env" or where.target.swarm:
            (new.folder / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, new.folder / path)
        return [parcel.entry(path, source)]
    if (need["kind"] == "env" or where.target.swarm) and (data := where.machine.read(there)) is not None:
        (new.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (new.folder / path).write_bytes(data)
    elif need["required"] and not where.machine.has(there):
        raise HsmError(f"{path} does not travel with a bundle, and it is neither here nor on {where.target.name}",
                       f"put it there as {there}")
    return []


# --- status ------------------------------------------------------------------------------------------------------


def status(where: Place) -> dict[str, Any]:
    """What runs on a target, beside what was deployed: plain values, for people and for JSON."""
    now, before = kept(where, CURRENT), kept(where, PREVIOUS)
    seen = swarming.seen(where) if where.target.swarm else where.machine.containers(where.project)
    running = tuple(one.id for one in seen if one.state == "running")
    used = swarming.used(where) if where.target.swarm else where.machine.stats(running)
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
