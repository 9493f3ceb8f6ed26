"""What each step does to the world, and through which door. Nothing is decided here: the steps say it all."""

from __future__ import annotations

import contextlib
import posixpath
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar, assert_never

import msgspec

from hsm_tasks.core import lock, merge, render, tags
from hsm_tasks.core.errors import CommandFailed, GitError, HsmError, Kept, RegistryError, mask
from hsm_tasks.core.load import problem
from hsm_tasks.core.model import Pin
from hsm_tasks.core.plan import Build, Check, Clone, Lock, Merge, Render, Resolve, Step, Up
from hsm_tasks.core.reference import ImageReference
from hsm_tasks.effects import compose, docker, files, git
from hsm_tasks.effects.registry import Registry
from hsm_tasks.scene import Opened
from hsm_tasks.workspace import LOCAL, OVERRIDE

T = TypeVar("T")


@dataclass(slots=True)
class World:
    """What the steps of one run share: the stack, the registry's answers, and how to tell a person something.

    `progress(step, words)` is about something under way, `say(words)` is a sentence to keep.
    """

    opened: Opened
    progress: Callable[[str, str], None]
    say: Callable[[str], None]
    registry: Registry = field(init=False)
    _guard: threading.Lock = field(default_factory=threading.Lock)
    _ignored: bool = False

    def __post_init__(self) -> None:
        settings = self.opened.workspace.settings
        self.registry = Registry(mirrors=settings.mirrors, insecure=settings.insecure_registries, warn=self.say)

    def path(self, text: str) -> Path:
        """A path of a step, on this machine."""
        return self.opened.workspace.root / text

    @contextlib.contextmanager
    def once(self) -> Iterator[None]:
        """One thread at a time."""
        with self._guard:
            yield

    def hide(self) -> None:
        """Before the first generated file of a run: git is not to see what is local to one machine."""
        with self._guard:
            if not self._ignored:
                hide_generated(self.opened)
                self._ignored = True


def perform(step: Step, world: World) -> None:
    """Makes a step true. HsmError says what is in the way."""
    match step:
        case Clone():
            _clone(step, world)
        case Resolve():
            _resolve(step, world)
        case Lock():
            _lock(step, world)
        case Render():
            _render(step, world)
        case Merge():
            _merge(step, world)
        case Check():
            _check(step, world)
        case Build():
            compose.build(world.opened.project(), step.name, lambda line: world.progress(f"build:{step.name}", line))
        case Up():
            require(step.mounts, world, f"up:{step.name}")
        case _:
            assert_never(step)


def hide_generated(opened: Opened) -> None:
    """Adds what git would see of ours to the repository's info/exclude, never to a committed file."""
    root, folder = opened.workspace.root.resolve(), opened.workspace.stacks[opened.name]
    top = git.top_level(root)
    if top is None:
        return
    here = root.relative_to(top.resolve()).as_posix()
    ours = [(opened.workspace.settings.repos_dir, "/"), (f"{folder}/{OVERRIDE}", ""), (f"{folder}/{LOCAL}", "")]
    seen = git.not_ignored(top, [posixpath.normpath(f"{here}/{path}") + end for path, end in ours])
    if seen:
        git.exclude(top, [f"/{path}" for path in seen])


# --- clone ------------------------------------------------------------------------------------------------------


def _clone(step: Clone, world: World) -> None:
    directory = world.path(step.directory)
    if step.own:
        if not directory.is_dir():
            raise HsmError(
                f"{step.directory} is not there", "it is the repo.path in hsm.local.yaml: correct it or remove it"
            )
        return _record(step, None, world)
    world.hide()
    if step.ask:
        return _record(step, _asked(step, world), world)
    try:
        commit = _cloned(step, directory, world) if not _holds(directory) else _moved(step, directory, world)
    except GitError as error:
        raise GitError(f"{step.repository.url}: {error.message}", error.hint) from error
    return _record(step, commit, world)


def _holds(directory: Path) -> bool:
    return directory.exists() and (not directory.is_dir() or any(directory.iterdir()))


def _record(step: Clone, commit: str | None, world: World) -> None:
    record = {"repository": step.repository.key, "commit": commit}
    files.write_if_changed(world.path(step.output), msgspec.json.encode(record).decode() + "\n")


def location(step: Clone, world: World) -> str:
    """The url as git needs it: a relative one is a path beside hsm.yaml."""
    url = step.repository.url
    return str((world.opened.folder / url).resolve()) if url.startswith(".") else url


def _asked(step: Clone, world: World) -> str | None:
    """Only hsm.lock wants to know; a server that does not answer is no failure of this machine's stack."""
    if step.locked:
        return step.locked
    try:
        return git.remote_commit(location(step, world), step.repository.ref)
    except GitError as error:
        world.say(f"hsm.lock stays without {step.repository.key}: {error.message}")
        return None


def _cloned(step: Clone, directory: Path, world: World) -> str:
    return git.clone(
        location(step, world),
        directory,
        ref=step.repository.ref,
        commit=step.locked,
        submodules=step.repository.submodules,
        progress=lambda words: world.progress(f"clone:{step.name}", words),
    )


def _moved(step: Clone, directory: Path, world: World) -> str:
    """What an existing checkout is at. It follows a changed lock or an update where no work is in the way."""
    url, ref = location(step, world), step.repository.ref
    state = git.state(directory)
    if not state.is_repository:
        raise HsmError(f"{step.directory} is in the way: it is not a git repository", "move it elsewhere, then sync")
    if state.remote and state.remote.rstrip("/") not in (url.rstrip("/"), step.repository.url.rstrip("/")):
        hint = "move it elsewhere, or give this repository another repo.name"
        raise HsmError(f"{step.directory} is a checkout of {mask(state.remote)}, not of {step.repository.url}", hint)
    if step.locked is None and not step.move:
        return git.fetch_commit(directory, url=url, ref=ref)
    moved = git.advance(
        directory, url=url, ref=ref, commit=step.locked, submodules=step.repository.submodules
    )
    if moved.kind == "kept":
        if step.frozen:
            raise Kept(f"{step.directory} is not at the locked commit: {moved.reason}", "commit, push or stash it")
        world.say(f"{step.directory} stays as it is: {moved.reason}")
    elif moved.kind == "moved":
        world.say(f"{step.directory}: {(moved.before or '')[:10]} → {moved.commit[:10]}")
    return moved.commit


# --- resolve ----------------------------------------------------------------------------------------------------


def _resolve(step: Resolve, world: World) -> None:
    try:
        pin = _pin(step, world)
    except RegistryError as error:
        if step.needed:
            raise RegistryError(f"{step.image}: {error.message}", error.hint) from error
        world.say(f"hsm.lock stays without {step.key}: {error.message}")
        pin = Pin(image=step.image)
    files.write_if_changed(world.path(step.output), msgspec.json.encode(pin).decode() + "\n")


def known_pin(step: Resolve) -> Pin | None:
    """The pin that needs nobody to be asked: the lock has it, or the reference itself. None where it must be asked."""
    reference, locked = _reference(step), step.locked
    if locked and locked.digest:
        pin = _pinned(reference, locked.tag or reference.tag, locked.digest)
    elif reference.digest:
        pin = _pinned(reference, reference.tag, reference.digest)
    else:
        return None
    if not step.config:
        return pin
    if locked and locked.healthcheck is not None:
        return msgspec.structs.replace(pin, healthcheck=locked.healthcheck, volumes=locked.volumes or ())
    return None


def _reference(step: Resolve) -> ImageReference:
    try:
        return ImageReference.parse(step.image)
    except ValueError as error:
        raise HsmError(f'"{step.image}" is no image reference: {error}') from error


def _pinned(reference: ImageReference, tag: str | None, digest: str) -> Pin:
    image = reference.pinned(tag, digest) if tag else f"{reference.name}@{digest}"
    return Pin(image=image, tag=tag, digest=digest)


def _pin(step: Resolve, world: World) -> Pin:
    known, reference, locked = known_pin(step), _reference(step), step.locked
    if known:
        return known
    tag, digest = (locked.tag, locked.digest) if locked else (reference.tag, reference.digest)
    if digest is None:
        try:
            tag = _tag(step, reference, world)
            digest = world.registry.digest(reference, tag)
        except RegistryError as error:
            return _only_here(step, error, world)
    pin = _pinned(reference, tag, digest)
    if not step.config:
        return pin
    config = world.registry.config(reference, digest)
    return msgspec.structs.replace(pin, healthcheck=config.healthcheck, volumes=config.volumes)


def _tag(step: Resolve, reference: ImageReference, world: World) -> str:
    if step.version is None:
        return reference.tagged
    there = world.registry.tags(reference)
    tag = tags.newest(there, step.version)
    if tag is None:
        shown = ", ".join(there[-10:]) or "none"
        raise HsmError(f"no tag of {reference.name} is in the range {step.version}", f"its tags, the last ten: {shown}")
    return tag


def _only_here(step: Resolve, error: RegistryError, world: World) -> Pin:
    """An image that no registry has but the engine has is used as written."""
    if step.version is not None or not docker.is_local_only(step.image):
        raise error
    if step.frozen:
        hint = "push it, or name an image that a registry has"
        raise HsmError(f"{step.image} is only in this engine; a frozen sync refuses it", hint) from error
    world.say(f"{step.image} is only in this engine: used as written, without a digest and without a lock entry")
    config = docker.image_config(step.image) if step.config else None
    if config is None:
        return Pin(image=step.image)
    return Pin(image=step.image, healthcheck=config[0], volumes=config[1])


def read_pin(path: Path) -> Pin:
    """What a resolve step left."""
    return msgspec.json.decode(files.read(path), type=Pin)


# --- lock, render, merge, check ---------------------------------------------------------------------------------


def read_commit(path: Path) -> str | None:
    """The commit that a clone step left."""
    commit = msgspec.json.decode(files.read(path)).get("commit")
    return commit if isinstance(commit, str) else None


def _lock(step: Lock, world: World) -> None:
    images = {key: read_pin(world.path(path)) for key, path in step.images.items()}
    pins = {key: pin for key, pin in images.items() if pin.digest}
    commits = {key: read_commit(world.path(path)) for key, path in step.repositories.items()}
    heads = {key: commit for key, commit in commits.items() if commit}
    for path, mine in ((step.output, True), (step.local_output, False)):
        target = world.path(path)
        text = files.read_if_there(target)
        old = lock.parse(text, path) if text is not None else lock.Lock()
        new = lock.Lock(
            images=_entries(old.images, pins, step, mine), repositories=_entries(old.repositories, heads, step, mine)
        )
        files.write_if_changed(target, lock.dump(new))
        if mine:
            files.write_if_changed(world.path(step.copy), lock.dump(new))


def _entries(old: Mapping[str, T], found: Mapping[str, T], step: Lock, mine: bool) -> dict[str, T]:
    """The entries of one of the two files: what was there, and what was found and belongs into it."""
    kept = {key: value for key, value in old.items() if not step.drop or (mine and key in step.known)}
    return kept | {key: value for key, value in found.items() if (key in step.committed) == mine}


def require(mounts: tuple[str, ...], world: World, step: str) -> None:
    """A mount never makes an empty folder that belongs to root: what it mounts must be there."""
    gone = [path for path in mounts if not world.path(path).exists()]
    if gone:
        raise HsmError(
            f"{step} mounts what is not there: {', '.join(gone)}",
            "create it, or correct the volumes of the dev section (paths are relative to the checkout)",
        )


def _render(step: Render, world: World) -> None:
    require(step.mounts, world, f"render:{step.name}")
    pins = {name: read_pin(world.path(path)) for name, path in step.pins.items()}
    files.write_if_changed(world.path(step.output), render.fill(step.name, step.draft, pins))


def _merge(step: Merge, world: World) -> None:
    fragments = [files.read(world.path(path)) for path in step.fragments]
    _forget_others(step, world)
    files.write_if_changed(world.path(step.output), merge.merge(step.project, fragments, step.volumes))


def _forget_others(step: Merge, world: World) -> None:
    """The fragments of services that are gone go too."""
    known = {world.path(path).name for path in step.fragments}
    folder = world.opened.state / "fragments"
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.name not in known:
            files.remove(path)


def _check(step: Check, world: World) -> None:
    opened = world.opened
    try:
        compose.check(opened.files, opened.files[0].parent, world.path(step.input), opened.environ)
    except CommandFailed as error:
        raise _explained(error, opened) from error
    world.hide()
    files.write_if_changed(world.path(step.output), files.read(world.path(step.input)))


def _explained(error: CommandFailed, opened: Opened) -> HsmError:
    """compose's own words, with the line of hsm.yaml that they are about, where that can be told."""
    cause = compose.cause(error.said)
    service = opened.scene.stack.services.get(cause[1]) if len(cause) > 1 else None
    if service is None:
        return HsmError(error.message, error.hint)
    section = (*cause[:2], service.mode, *cause[2:])
    place = problem(opened.texts.all, section, "compose does not accept base and override together")
    return HsmError(f"{place}\n{error.message}", error.hint)
