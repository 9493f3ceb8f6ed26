"""Where a stack is deployed, and the bundles that go there: made here, or kept there from before."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import msgspec

from hsm_tasks.core.deploy import Release
from hsm_tasks.core.errors import HsmError
from hsm_tasks.core.manifest import COMPOSE, MANIFEST
from hsm_tasks.core.targets import Target
from hsm_tasks.effects import composebundle, files, machine, parcel
from hsm_tasks.effects.machine import Machine
from hsm_tasks.ship.bundling import Packed, manifest_in
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
    wanted = target.directory
    if reached.ssh is None and wanted is None:
        wanted = str(_on_this_machine(world, target, project, tell=work is None))
    if work is None:
        own.mkdir(parents=True, exist_ok=True)
        own.chmod(0o700)  # a secret may be worked on here
    directory = reached.folder(wanted, project, make=work is None)
    return Place(target, reached, directory, project, work or own, world)


def _on_this_machine(world: World, target: Target, project: str, *, tell: bool) -> Path:
    """The folder of a context without ssh; two contexts are two engines. What an older hsm has put below .hsm stays
    there, where containers mount it."""
    other = f"@{target.context}" if target.context != "default" else ""
    try:
        new = Path.home() / ".local/share/hsm" / f"{project}{other}"
    except RuntimeError as error:
        raise HsmError(f"the target {target.name} has no folder: {error}", 'name one: dir = "/srv/NAME"') from error
    old = (world.opened.state / "targets" / target.name / "place").resolve()
    if _holds_a_bundle(new) or not _holds_a_bundle(old):
        return new
    if tell:
        words = f"stack rm {project}" if target.swarm else f"compose -p {project} down"
        world.say(f"{target.name} has its files in {old}, so do not delete that; to have them in {new}: "
                  f"`docker --context {target.context} {words}`, move the folder there, and deploy again")
    return old


def _holds_a_bundle(folder: Path) -> bool:
    return any((folder / name).exists() for name in (CURRENT, NEXT))


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
    said = _opened(where, folder, data, f"{where.directory}/{name}.tar")
    model = composebundle.rendered([folder / COMPOSE], folder, "services: {}\n")
    return Shipment(data, folder, Release(model, said["files"]), said)


def _opened(where: Place, folder: Path, data: bytes, path: str) -> dict[str, Any]:
    """Puts a bundle into the folder; its manifest."""
    try:
        parcel.untar(folder, data)
        return manifest_in(files.read_if_there(folder / MANIFEST) or "", MANIFEST, parcel.CUT_OFF)
    except HsmError as error:
        place = f"{path} of {where.target.name}"
        raise HsmError(f"{place}: {error.message}", error.hint) from error
