"""`bundle`: a stack becomes a folder that runs elsewhere with nothing but docker compose.

Nothing of a sync is needed or changed: the plan is drawn, its fragments are filled and merged in memory, compose puts
base and override together, and `core.bundle` says what travels. git says what does not: what it ignores stays here.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from hsm_tasks import __version__
from hsm_tasks.core.bundle import Bundle, Carried, Site, bundle
from hsm_tasks.core.errors import HsmError
from hsm_tasks.core.manifest import COMPOSE, MANIFEST, README, Need, Origin, compose_text, manifest, readme
from hsm_tasks.core.merge import merge
from hsm_tasks.core.model import Base, Pin, Stack
from hsm_tasks.core.needs import missing_entries
from hsm_tasks.core.plan import Plan, plan
from hsm_tasks.core.render import fill
from hsm_tasks.effects import composebundle, files, git, parcel
from hsm_tasks.effects.parcel import Entry
from hsm_tasks.screen.words import Word
from hsm_tasks.stack.scene import Opened, Texts
from hsm_tasks.stack.switch import switched
from hsm_tasks.stack.workspace import LOCAL, LOCK
from hsm_tasks.steps.pins import find
from hsm_tasks.steps.world import World

DIST = "dist"
_ELSEWHERE = "name another folder with --out, or move it away"
# They say which files compose reads, and a bundle has one
_NOT_FOR_A_BUNDLE = re.compile(r"\s*(export\s+)?(COMPOSE_FILE|COMPOSE_PATH_SEPARATOR|COMPOSE_ENV_FILES)\s*=")


class Packed(msgspec.Struct, frozen=True):
    """A bundle that can be written: its entries (the manifest last), its manifest, and what is to be put beside it."""

    stack: str
    entries: tuple[Entry, ...]
    manifest: Mapping[str, Any]
    needs: tuple[Need, ...]


class _Said(msgspec.Struct, frozen=True):
    """What a manifest must say."""

    stack: str
    images: dict[str, str]
    files: dict[str, str]
    needs: tuple[Need, ...]


def manifest_in(text: str, name: str, hint: str) -> dict[str, Any]:
    """What a bundle says of itself; HsmError where that is none, or cut off."""
    try:
        said = msgspec.json.decode(text, type=dict[str, Any])
        msgspec.convert(said, _Said)
    except msgspec.MsgspecError as error:
        raise HsmError(f"{name}: it is no bundle of hsm any more: {error}", hint) from error
    return said


def all_prod(texts: Texts, stack: Stack, base: Base) -> str | None:
    """hsm.local.yaml as if every service had been switched to prod; it is written nowhere."""
    words = [Word("prod", name) for name, service in sorted(stack.services.items()) if service.mode == "dev"]
    return switched(words, texts, stack, base)


def pack(world: World) -> Packed:
    """The bundle of a stack as it is now; HsmError with everything that forbids it."""
    opened = world.opened
    made, carried = _bundle(world), _Luggage(opened)
    entries = [entry for one in made.carried for entry in carried.entries(one)]
    objections = [*made.objections, *carried.objections]
    if objections:
        lines = "".join(f"\n  {line}" for line in dict.fromkeys(objections))
        raise HsmError(f"{opened.name} can not be bundled:{lines}")
    needs = tuple(sorted(set(carried.needs), key=lambda need: need.path))
    origin = _origin(opened)
    text = compose_text(made, opened.name)
    composebundle.judge(text, opened.files[0].parent)
    entries += [
        *carried.env_file(),
        parcel.text_entry(COMPOSE, text),
        parcel.text_entry(README, readme(made, origin, needs)),
    ]
    unique = {entry.path: entry for entry in entries}
    digests = {path: entry.digest() for path, entry in unique.items()}
    said = manifest(made, origin, digests, needs)
    whole = (*(unique[path] for path in sorted(unique)), parcel.text_entry(MANIFEST, said))
    return Packed(opened.name, whole, msgspec.json.decode(said), needs)


def _bundle(world: World) -> Bundle:
    opened = world.opened
    scene = opened.scene
    if scene.frozen and (missing := missing_entries(scene)):
        lines = "".join(f"\n  {key}" for key in missing)
        raise HsmError(f"hsm.lock would change; it has no entry for{lines}", "run `hsm sync` and commit hsm.lock")
    override = _override(plan(scene), world)
    model = composebundle.rendered(opened.files, opened.files[0].parent, override, opened.environ)
    own = (service.repository for service in scene.stack.services.values())
    checkouts = {scene.paths.checkout(repository) for repository in own if repository and repository.path}
    site = Site(scene.paths.base, (scene.paths.repos, *sorted(checkouts)), scene.stack.allowed)
    return bundle(model, scene.chosen.forms, site)


def _override(drawn: Plan, world: World) -> str:
    """What `sync` would write, from the lock; the registry is asked for what the lock does not have."""
    resolves = {path: step for step in drawn.resolves for path in (step.output, step.healthcheck)}
    found: dict[str, Pin] = {}
    for path in sorted({path for step in drawn.renders for path in step.pins.values()}):
        step = resolves[path]
        found[path] = find(step, world)
        if path == step.output and step.locked is None and found[path].digest and "@" not in step.image:
            world.say(f"hsm.lock has no entry for {step.key}: bundled as the registry says now")
    fragments = [
        fill(step.name, step.draft, {name: found[path] for name, path in step.pins.items()}) for step in drawn.renders
    ]
    return merge(drawn.merge.project, fragments, drawn.merge.volumes)


def _origin(opened: Opened) -> Origin:
    lock, top = files.read_if_there(opened.folder / LOCK), git.top_level(opened.workspace.root)
    state = git.state(top) if top else None
    return Origin(
        stack=opened.name,
        hsm=__version__,
        lock=parcel.text_entry(LOCK, lock).digest() if lock is not None else None,
        commit=state.commit if state else None,
        changed=bool(state and state.unfinished),
        local=(opened.folder / LOCAL).exists(),
        oneshots=tuple(sorted(opened.scene.chosen.oneshots)),
    )


# --- what travels ------------------------------------------------------------------------------------------------


class _Luggage:
    """The files that a bundle takes along, and those that it only names: secrets, and what git ignores."""

    def __init__(self, opened: Opened) -> None:
        self.root = opened.workspace.root
        self.base = opened.files[0].parent
        self.top = git.top_level(self.root)
        self.needs: list[Need] = []
        self.objections: list[str] = []

    def entries(self, one: Carried) -> Iterator[Entry]:
        """What goes into the bundle for it."""
        source = self.root / one.source
        if one.kind == "secret" or "$" in one.source or self._ignored([source]):
            self.needs.append(Need(path=one.target, kind=one.kind, required=one.required))
        elif source.exists() and not source.resolve().is_relative_to(self.root.resolve()):
            self.objections.append(f"{one.source} is a link, or behind one, that leads out of the workspace")
        elif source.is_dir():
            yield from self._folder(one, source)
        elif source.is_file():
            yield parcel.entry(one.target, source)
        elif source.exists():
            self.objections.append(f"{one.source} is neither a file nor a folder")
        elif one.required:
            self.objections.append(f"{one.source} is not there")
        elif one.kind == "bind":
            self.needs.append(Need(path=one.target, kind=one.kind, required=False))

    def _folder(self, one: Carried, source: Path) -> Iterator[Entry]:
        found = list(parcel.walk(one.target, source))
        ignored = self._ignored([self.root / one.source / posixpath.relpath(each.path, one.target) for each in found])
        for each in found:
            path = self.root / one.source / posixpath.relpath(each.path, one.target)
            if each.link and parcel.escapes(each, one.target):
                self.objections.append(f"{path.relative_to(self.root)} is a link that leads out of {one.source}")
            elif path not in ignored:
                yield each

    def env_file(self) -> Iterator[Entry]:
        """`.env` beside the base, from which compose fills in variables; as it is, but for compose's own files."""
        path = self.base / ".env"
        if path.is_file() and not self._ignored([path]):
            kept = (line for line in files.read(path).splitlines() if not _NOT_FOR_A_BUNDLE.match(line))
            yield parcel.text_entry(".env", "".join(f"{line}\n" for line in kept))

    def _ignored(self, paths: Iterable[Path]) -> frozenset[Path]:
        """Those that git ignores; without git, nothing is."""
        wanted = {path: path.relative_to(self.root).as_posix() for path in paths}
        if self.top is None or not wanted:
            return frozenset()
        here = self.root.resolve().relative_to(self.top.resolve()).as_posix()
        asked = {path: posixpath.normpath(f"{here}/{text}") + ("/" if path.is_dir() else "")
                 for path, text in wanted.items()}
        seen = set(git.not_ignored(self.top, asked.values()))
        return frozenset(path for path, text in asked.items() if text not in seen)


# --- writing -----------------------------------------------------------------------------------------------------


def write(packed: Packed, world: World, out: str | None, *, tar: bool) -> dict[str, Any]:
    """Writes the folder, and with `tar` the same beside it as a tar. What a person put into the folder stays there."""
    opened = world.opened
    world.hide()
    folder = opened.workspace.root / (out or f"{DIST}/{opened.name}")
    if out is None:
        _hide(opened)
    before = parcel.known(folder, MANIFEST)
    old = manifest_in(before, str(folder / MANIFEST), _ELSEWHERE)["files"] if before is not None else {}
    parcel.write(folder, packed.entries, old)
    result: dict[str, Any] = {"version": 1, "stack": packed.stack, "folder": out or f"{DIST}/{opened.name}"}
    if tar:
        result["tar"] = f"{result['folder'].rstrip('/')}.tar"
        result["tar_sha256"] = parcel.tar(opened.workspace.root / result["tar"], packed.entries, packed.stack)
    for need in packed.needs:
        world.say(f"{need.path} does not travel ({need.kind}): put it beside {COMPOSE} where the bundle runs")
    return result | {"manifest": packed.manifest}


def _hide(opened: Opened) -> None:
    """dist/ is generated: git is not to see it."""
    top = git.top_level(opened.workspace.root)
    if top is None:
        return
    here = opened.workspace.root.resolve().relative_to(top.resolve()).as_posix()
    seen = git.not_ignored(top, [posixpath.normpath(f"{here}/{DIST}") + "/"])
    git.exclude(top, [f"/{path}" for path in seen])
