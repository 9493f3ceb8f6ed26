"""What a clone step does: a checkout is brought, or follows where no work is in the way, or is left as it is."""

from __future__ import annotations

from pathlib import Path

import msgspec

from hsm_tasks.core.errors import GitError, HsmError, Kept, mask
from hsm_tasks.core.plan import Clone
from hsm_tasks.effects import files, git, githistory
from hsm_tasks.effects.githistory import History
from hsm_tasks.steps.world import World


def clone(step: Clone, world: World) -> None:
    """Makes a clone step true, and records the commit that it is about."""
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
        if step.repository.url in error.message:
            raise
        raise GitError(f"{step.repository.url}: {error.message}", error.hint) from error
    return _record(step, commit, world)


def _holds(directory: Path) -> bool:
    return directory.exists() and (not directory.is_dir() or any(directory.iterdir()))


def _record(step: Clone, commit: str | None, world: World) -> None:
    record = {"repository": step.repository.key, "commit": commit}
    files.write_if_changed(world.path(step.output), msgspec.json.encode(record).decode() + "\n")


def _location(step: Clone, world: World) -> str:
    return world.opened.location(step.repository.url)


def newest(step: Clone, world: World) -> str:
    """The commit that the server has for the ref now."""
    return git.remote_commit(_location(step, world), step.repository.ref)


def history(step: Clone, old: str, new: str, world: World) -> History | None:
    """The commits that an update from `old` to `new` brings; None where nobody tells."""
    return githistory.between(_location(step, world), step.repository.ref, old, new, world.path(step.directory))


def _asked(step: Clone, world: World) -> str | None:
    """Only hsm.lock wants to know; a server that does not answer is no failure of this machine's stack."""
    if step.locked:
        return step.locked
    try:
        return git.remote_commit(_location(step, world), step.repository.ref)
    except GitError as error:
        world.say(f"hsm.lock stays without {step.repository.key}: {error.message}")
        return None


def _cloned(step: Clone, directory: Path, world: World) -> str:
    return git.clone(
        _location(step, world),
        directory,
        ref=step.repository.ref,
        commit=step.locked,
        submodules=step.repository.submodules,
        progress=lambda words: world.progress(f"clone:{step.name}", words),
    )


def _moved(step: Clone, directory: Path, world: World) -> str:
    """What an existing checkout is at. It follows a changed lock or an update where no work is in the way."""
    url, ref = _location(step, world), step.repository.ref
    state = git.state(directory)
    if not state.is_repository:
        raise HsmError(f"{step.directory} is in the way: it is not a git repository", "move it elsewhere, then sync")
    if state.remote and state.remote.rstrip("/") not in (url.rstrip("/"), step.repository.url.rstrip("/")):
        hint = "move it elsewhere, or give this repository another repo.name"
        raise HsmError(f"{step.directory} is a checkout of {mask(state.remote)}, not of {step.repository.url}", hint)
    if step.locked is None and not step.move:
        moved = git.look(directory, url=url, ref=ref)
    else:
        submodules = step.repository.submodules
        moved = git.advance(
            directory, url=url, ref=ref, commit=step.locked, submodules=submodules, back=step.frozen
        )
    if moved.kind == "kept":
        if step.frozen:
            raise Kept(f"{step.directory} is not at the locked commit: {moved.reason}", moved.hint)
        world.say(f"{step.directory} stays as it is: {moved.reason}\n  hint: {moved.hint}")
    elif moved.kind == "moved":
        world.say(f"{step.directory}: {(moved.before or '')[:10]} → {moved.commit[:10]}")
    return moved.commit
