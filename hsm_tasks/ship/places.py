"""Where a stack is deployed, and the bundles that go there: made here, or kept there from before."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import msgspec

from hsm_tasks.core.deploy import Release
from hsm_tasks.core.manifest import COMPOSE, MANIFEST
from hsm_tasks.core.targets import Target
from hsm_tasks.effects import composebundle, files, machine, parcel
from hsm_tasks.effects.machine import Machine
from hsm_tasks.ship.bundling import Packed
from hsm_tasks.stack.scene import Opened
from hsm_tasks.steps.world import World

CURRENT, PREVIOUS, NEXT = "current.tar", "previous.tar", "next.tar"


class Place(msgspec.Struct, frozen=True):
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


class Shipment(msgspec.Struct, frozen=True):
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
    def oneshots(self) -> tuple[str, ...]:
        """The services whose exit 0 is right."""
        return tuple(self.manifest.get("oneshots", ()))

    @property
    def name(self) -> str:
        """What people call it."""
        commit = str(self.manifest.get("commit") or "no commit")[:10]
        return f"{commit}{' with changes' if self.manifest.get('changed') else ''}"


def place(world: World, target: Target, work: Path | None = None) -> Place:
    """Where a stack is, or will be, on a target. `work` is a folder for who only looks, and then nothing is made there.
    """
    reached = machine.machine(target)
    project = target.project or world.opened.scene.project
    own = world.opened.state / "targets" / target.name
    kept = target.directory
    if reached.ssh is None and kept is None:
        kept = str((own / "place").resolve())
    if work is None:
        own.mkdir(parents=True, exist_ok=True)
        own.chmod(0o700)  # a secret may be worked on here
    directory = reached.folder(kept, project, make=work is None)
    return Place(target, reached, directory, project, work or own, world)


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
    parcel.untar(folder, data)
    said = msgspec.json.decode(files.read(folder / MANIFEST))
    model = composebundle.rendered([folder / COMPOSE], folder, "services: {}\n")
    return Shipment(data, folder, Release(model, said["files"]), said)
