"""A bundle on an engine with compose: started as a whole, or a running stack renewed service by service.

Compose renews a container by stopping it first, and starts nothing before all that it depends on has been looked at.
So what runs already is taken by services here, in their order, and where two of one may run at a time, the new one has
to get well before anything happens to the old one: see `core.roll`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path

from hsm_tasks.core.deploy import Seen, Verdict, judge
from hsm_tasks.core.errors import HsmError
from hsm_tasks.core.roll import one_by_one, order, replicas, right, strangers, way
from hsm_tasks.effects.machine import TRIAL
from hsm_tasks.ship.places import Place, Shipment

HERE = "deploy.yaml"  # the bundle's model with the paths of the target
LOOK, STEADY = 1.0, 3.0  # seconds between two looks, and that containers must stay as they are
PATIENCE = 3  # restarts in a row that are too many


def start(where: Place, new: Shipment, old: Shipment | None, *, tried: bool = False) -> None:
    """Makes the bundle run, and waits until it is well; HsmError with the last words of what is not. `tried`: it ran
    before, so what has to be in place at once goes there at once."""
    where.say("updating")
    _sweep(where)
    seen = where.machine.containers(where.project)
    running = any(one.state == "running" for one in seen)
    if running and old is not None and _alike(old, new) and one_by_one(new.release.model):
        _Renewal(where, new, seen, tried).run()
    else:
        compose(where, new.folder, "up", "-d", "--no-build", "--remove-orphans")
    _until_well(where, lambda: where.machine.containers(where.project), _started(new), new.oneshots)


def _started(new: Shipment) -> list[str]:
    """The services that have containers: one of which there are to be none is not waited for."""
    return [name for name in new.wanted if replicas(new.release.model["services"][name]) != 0]


def stop(where: Place, folder: Path) -> None:
    """Removes the containers, where nothing ran before."""
    _sweep(where)
    compose(where, folder, "down", "--remove-orphans")


def pull(where: Place, new: Shipment) -> None:
    """Everything that can not be had is missed before anything changes."""
    where.say("pulling images")
    compose(where, new.folder, "pull", "--quiet", "--policy", "missing")


def compose(where: Place, folder: Path, *words: str) -> None:
    """`docker compose WORDS` there, of the bundle in a folder here."""
    argv = ("compose", "-p", where.project, "--progress", "plain", "-f", HERE, *words)
    explain = f"docker compose {words[0]} failed on {where.target.name}"

    def hear(line: str) -> None:
        if line.startswith(" ") and " Skipped " not in line:  # else warnings, at every call, and ids
            where.say(line)

    where.machine.stream(*argv, at=folder, on_line=hear, explain=explain)


def _alike(old: Shipment, new: Shipment) -> bool:
    """Whether networks and volumes stay as they are: compose has to stop containers to change these."""
    return all(old.release.model.get(kind) == new.release.model.get(kind) for kind in ("networks", "volumes"))


def _sweep(where: Place) -> None:
    """Removes what a run that was killed has tried."""
    _remove(where, where.machine.containers(where.project, trials=True))


def _remove(where: Place, containers: Iterable[Seen]) -> None:
    ids = [one.id for one in containers]
    if ids:
        where.machine.stream("stop", *ids, at=where.work, on_line=lambda _: None, explain="a container does not stop")
        where.machine.docker("rm", "--force", "--volumes", *ids)


class _Renewal:
    """A running stack becomes another one, service by service."""

    def __init__(self, where: Place, new: Shipment, seen: tuple[Seen, ...], tried: bool) -> None:
        self.where, self.new, self.seen, self.tried = where, new, seen, tried
        self.services = {name: new.release.model["services"][name] for name in new.wanted}
        argv = ("compose", "-p", where.project, "-f", HERE, "config", "--hash", "*")
        said = where.machine.docker(*argv, at=new.folder, explain="compose can not read the bundle")
        self.digests = dict(line.split(None, 1) for line in said.splitlines())

    def run(self) -> None:
        for name in order(self.services):
            there = self._of(name, self.seen)
            wanted = replicas(self.services[name]) or 0
            if not right(there, self.digests[name], wanted, oneshot=name in self.new.oneshots):
                self._renew(name, there, wanted)
        _remove(self.where, strangers(self.seen, self.new.release.model))

    def _renew(self, name: str, there: tuple[Seen, ...], wanted: int) -> None:
        how = way(self.services[name], oneshot=name in self.new.oneshots)
        runs = any(one.well for one in there)
        if how == "beside" and runs and wanted:
            return self._beside(name, there, wanted)
        if how == "tried" and runs and wanted and not self.tried:
            self._try(name)
        self.where.say(f"renewing {name} in its place")
        self._up(name)
        return _until_well(self.where, lambda: self._now(name), [name] if wanted else [], self.new.oneshots, steady=0)

    def _beside(self, name: str, there: tuple[Seen, ...], wanted: int) -> None:
        self.where.say(f"starting the new {name} beside the old one")
        old = tuple(one for one in there if not (one.well and one.digest == self.digests[name]))
        need = max(0, wanted - (len(there) - len(old)))
        self._up(name, "--no-recreate", "--scale", f"{name}={len(there) + need}")

        def young() -> tuple[Seen, ...]:
            known = {one.id for one in old}
            return tuple(one for one in self._now(name) if one.id not in known)

        try:
            _until_well(self.where, young, [name], ())
        except HsmError:
            _remove(self.where, young())
            raise
        _remove(self.where, [*old, *young()[wanted:]])

    def _try(self, name: str) -> None:
        """A container of it with neither its ports nor its names on the network, only to see whether it gets well."""
        self.where.say(f"trying the new {name} beside the old one")
        called = f"{self.where.project}-{name}-hsm-trial"
        words = ("run", "--detach", "--no-deps", "--name", called, "--label", f"{TRIAL}=yes", name)
        try:
            compose(self.where, self.new.folder, *words)
            _until_well(self.where, lambda: self.where.machine.containers(self.where.project, trials=True), [name], ())
        finally:
            _sweep(self.where)

    def _up(self, name: str, *words: str) -> None:
        compose(self.where, self.new.folder, "up", "-d", "--no-build", "--no-deps", *words, name)

    def _now(self, name: str) -> tuple[Seen, ...]:
        return self._of(name, self.where.machine.containers(self.where.project))

    @staticmethod
    def _of(name: str, seen: Iterable[Seen]) -> tuple[Seen, ...]:
        return tuple(one for one in seen if one.service == name)


# --- waiting -----------------------------------------------------------------------------------------------------


def _until_well(
    where: Place, look: Callable[[], tuple[Seen, ...]], wanted: Iterable[str], oneshots: Iterable[str],
    *, steady: float = STEADY,
) -> None:
    """Until what is seen is well, and has been for `steady` seconds without a restart; HsmError where it gets ill."""
    end, expected, ends = time.monotonic() + where.target.wait, frozenset(wanted), tuple(oneshots)
    first: dict[str, int] = {}
    before: dict[str, int] | None = None
    while True:
        seen = tuple(one for one in look() if one.service in expected)
        verdict = judge(seen, expected, ends)
        counts = where.machine.restarts(seen)
        first = {**counts, **first}
        falling = (one for one in seen if one.id in counts and counts[one.id] - first[one.id] >= PATIENCE)
        if ill := (*verdict.ill, *falling):
            raise HsmError(_ill(where, ill[0]))
        if verdict.well and (not steady or counts == before):
            return
        before = counts if verdict.well else None
        if time.monotonic() > end:
            raise HsmError(_late(where, seen, verdict))
        if verdict.waiting:
            where.say(f"waiting for {', '.join(verdict.waiting)}")
        time.sleep(steady if verdict.well else LOOK)


def _ill(where: Place, one: Seen) -> str:
    said = "".join(f"\n  | {line}" for line in where.machine.last_words(one.id).splitlines())
    return f"{one.service} does not get well on {where.target.name}: {one.status}; its last words:{said or ' none'}"


def _late(where: Place, seen: tuple[Seen, ...], verdict: Verdict) -> str:
    late = next((one for one in seen if one.service in verdict.waiting), None)
    names = ", ".join(verdict.waiting) or "a container that keeps restarting"
    first = f"not well after {where.target.wait:g} s: {names}"
    return f"{first}\n{_ill(where, late)}" if late else first
