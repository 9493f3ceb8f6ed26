"""What we ask of git.

A checkout is made whole or not at all, and work in it is never touched: nothing here pulls, resets, cleans, stashes,
forces, or switches a branch under its user. What is fetched goes to where git itself keeps it (refs/remotes/origin), or
below refs/hsm/ when git has no place for it.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from hsm_tasks.core.errors import GitError
from hsm_tasks.effects import files, gitrefs
from hsm_tasks.effects.gitcall import Progress, ask, environment, quiet, refusal, scrub, talk
from hsm_tasks.effects.gitlocal import (
    OLDEST,
    CheckoutState,
    count,
    exclude,
    not_ignored,
    origin,
    refuse_foreign,
    state,
    top_level,
    tracked,
    version,
)
from hsm_tasks.effects.gitrefs import Place, Server
from hsm_tasks.effects.process import Done

__all__ = [
    "OLDEST",
    "Advance",
    "CheckoutState",
    "advance",
    "clone",
    "dead_clones",
    "exclude",
    "look",
    "not_ignored",
    "origin",
    "remote_commit",
    "state",
    "top_level",
    "tracked",
    "version",
]


_KEEP_IGNORED = "--no-overwrite-ignore"  # by itself git writes over ignored files without a word: settings, results


class Advance(msgspec.Struct, frozen=True):
    """What became of a checkout. `commit`: where it should be; `before`: where it was; `reason`: why it was kept, and
    `hint`: what its owner can do about it."""

    kind: Literal["current", "moved", "kept"]
    commit: str
    before: str | None
    reason: str = ""
    hint: str = ""


def clone(
    url: str,
    directory: Path,
    *,
    ref: str,
    commit: str | None = None,
    submodules: bool = False,
    progress: Progress = quiet,
    stall: float | None = None,
) -> str:
    """Make a checkout of `ref` at the locked commit (None: the newest), and return the commit.

    It is made beside its place and moved there when it is whole. What a killed run left beside it is removed first.
    """
    server = gitrefs.server(url, ref, commit, progress, stall)
    directory = directory.absolute()
    beside = files.unfinished(directory)
    try:
        if directory.is_symlink():
            raise GitError(f"{directory} is a link to where no checkout is", "remove it, or mend it, then run it again")
        if directory.exists() and not (directory.is_dir() and not any(directory.iterdir())):
            raise GitError(f"{directory} is there already, and it is not empty", "move it away, then run it again")
        directory.parent.mkdir(parents=True, exist_ok=True)
        files.remove_remains(directory)
        place = _clone_into(beside, server, ref, commit)
        if submodules:
            _update_submodules(beside, server)
        beside.rename(directory)
    except OSError as error:
        hint = "is there space, and may you write there?"
        raise GitError(f"{directory} can not be made: {error.strerror}", hint) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return place.commit


def _clone_into(directory: Path, server: Server, ref: str, commit: str | None) -> Place:
    # two commands: a dead server shows by its silence, a checkout with slow filters (git-lfs) may be silent for long
    arguments = ("clone", "--progress", "--no-checkout", "--origin", "origin", "--", server.url, str(directory))
    done = server.call(*arguments)
    if done.code:
        raise refusal(arguments, done, f"can not clone {scrub(server.url)}")
    first, place = gitrefs.just_cloned(directory, ref)
    first = first or gitrefs.symbolic(directory, "HEAD")
    place = place or gitrefs.known(directory, ref) or gitrefs.newest(directory, server, ref)
    if commit is not None and commit != place.commit:
        place = Place(place.branch, gitrefs.locked_commit(directory, server, ref, commit))
    target = ("-B", place.branch) if place.branch else ("--detach",)
    _do(directory, "checkout", "--quiet", "--progress", *target, place.commit, progress=server.progress)
    if place.branch and place.branch != first:  # for the default branch, clone has written it
        _do(directory, "branch", "--quiet", f"--set-upstream-to=origin/{place.branch}", place.branch)
    if first and first != place.branch:  # clone makes the default branch; a person who asked for another has one only
        ask("branch", "--quiet", "-D", first, at=directory)
    return place


def remote_commit(url: str, ref: str, *, stall: float | None = None) -> str:
    """The commit that a branch, a tag or HEAD of the server is at. A full commit is returned as it is."""
    return gitrefs.ask_server(gitrefs.server(url, ref, stall=stall), ref)


def advance(
    directory: Path,
    *,
    url: str,
    ref: str,
    commit: str | None = None,
    submodules: bool = False,
    back: bool = False,
    progress: Progress = quiet,
    stall: float | None = None,
) -> Advance:
    """Move a checkout to where the server has `ref` now (or to the locked commit), if no work is in the way.

    `back`: a branch may also go back to the locked commit, where all that it leaves behind is on the server's branch.
    """
    server = gitrefs.server(url, ref, commit, progress, stall)
    here = _checkout(directory)
    place = _locked(directory, server, ref, commit) if commit else gitrefs.newest(directory, server, ref)
    if here.commit == place.commit:
        if submodules and not here.changed and _missing_submodules(directory):
            _update_submodules(directory, server)
        return Advance("current", place.commit, here.commit)
    reason = _in_the_way(directory, here, place, ref)
    if reason and back and _published(directory, here, place):
        reason = _step_back(directory, place)
    else:
        reason = reason or _move(directory, place, progress)
    if reason:
        return Advance("kept", place.commit, here.commit, reason, _way_out(here, place))
    if submodules:
        _update_submodules(directory, server)
    return Advance("moved", place.commit, here.commit)


def look(directory: Path, *, url: str, ref: str, stall: float | None = None) -> Advance:
    """What the server has under `ref` now, fetched into the checkout; nothing in it moves. "kept": it is elsewhere."""
    server = gitrefs.server(url, ref, stall=stall)
    here, place = _checkout(directory), gitrefs.newest(directory, server, ref)
    reason = _elsewhere(here, place) if place.branch else ""
    if reason:
        return Advance("kept", place.commit, here.commit, reason, _way_out(here, place))
    return Advance("current", place.commit, here.commit)


def _in_the_way(directory: Path, here: CheckoutState, place: Place, ref: str) -> str:
    """Why a checkout stays as it is; "" where it may move. Stashes and untracked files survive a move."""
    if here.operation or here.conflicts or here.changed:
        return here.unfinished
    if here.commit is None:
        return "it has no commit yet"
    if place.branch is None:
        if here.branch:
            return f"it is on the branch {here.branch}, and {ref} is none"
        return "" if gitrefs.held(directory) else "it is at a commit that is on no branch"
    if elsewhere := _elsewhere(here, place):
        return elsewhere
    counts = _do(directory, "rev-list", "--left-right", "--count", f"HEAD...{place.commit}").out.split()
    ours, theirs = map(int, counts)
    if ours and theirs:
        return f"it has diverged from {place.commit[:12]}: {count(ours, 'commit')} here, {theirs} there"
    return f"it is {count(ours, 'commit')} ahead of {place.commit[:12]}" if ours else ""


def _elsewhere(here: CheckoutState, place: Place) -> str:
    """Where it is, if that is not the branch that is meant: nobody's branch is switched under their hands."""
    if here.branch == place.branch:
        return ""
    where = f"on the branch {here.branch}" if here.branch else "on no branch (HEAD is detached)"
    return f"it is {where}, and not on {place.branch}"


def _way_out(here: CheckoutState, place: Place) -> str:
    """What the owner of a checkout that was kept can do."""
    if here.operation:
        return f"finish or abort the {here.operation}"
    if here.conflicts:
        return "resolve and commit it"
    if here.changed or here.commit is None:
        return "commit or stash it"
    if here.branch != place.branch:
        where = f"git switch {place.branch}" if place.branch else f"git switch --detach {place.commit[:12]}"
        return f"{where} (keep your commits on a branch), or name your own ref in hsm.local.yaml"
    return "rebase, merge or push it; files of yours that are in the way, move elsewhere"


def _move(directory: Path, place: Place, progress: Progress) -> str:
    """Move HEAD forward; git's own words where it refuses, as it does rather than overwrite a file."""
    how = ("merge", "--quiet", "--progress", "--ff-only") if place.branch else ("checkout", "--quiet", "--detach")
    return _go(directory, (*how, _KEEP_IGNORED, place.commit), environment(directory, hooks=True), progress)


def _published(directory: Path, here: CheckoutState, place: Place) -> bool:
    """Whether a clean checkout of the right branch is ahead by nothing but commits that the server's branches have."""
    if here.unfinished or place.branch is None or here.branch != place.branch:
        return False
    behind = ask("merge-base", "--is-ancestor", place.commit, "HEAD", at=directory)
    theirs = ask("for-each-ref", "--contains", "HEAD", "--count=1", "refs/remotes/origin", "refs/hsm", at=directory)
    return behind.code == 0 and bool(theirs.out)


def _step_back(directory: Path, place: Place) -> str:
    """Set a branch back; git refuses where a file would be overwritten. The server's branch keeps what was left."""
    how = ("checkout", "--quiet", _KEEP_IGNORED, "-B", str(place.branch), place.commit)
    return _go(directory, how, environment(directory, hooks=True))


def _go(directory: Path, how: Sequence[str], env: Mapping[str, str], progress: Progress = quiet) -> str:
    """ctrl-C lets it come to its end: half a move is in the way of the next one, as if it were somebody's work."""
    done = talk(("-C", str(directory), *how), env, progress=progress, spared=True)
    return "; ".join(line.strip() for line in done.err.splitlines()) or "git refuses" if done.code else ""


def _locked(directory: Path, server: Server, ref: str, commit: str) -> Place:
    """The locked commit, from the checkout itself if it has it: no server then."""
    known = gitrefs.known(directory, ref)
    if known and (there := gitrefs.commit_of(directory, commit)):
        return Place(known.branch, there)
    branch = gitrefs.newest(directory, server, ref).branch
    return Place(branch, gitrefs.locked_commit(directory, server, ref, commit))


def _checkout(directory: Path) -> CheckoutState:
    here = state(directory)
    if not here.is_repository:
        raise GitError(f"{directory} is not a checkout of git", "move it away, then run it again")
    refuse_foreign(directory)
    return here


def _do(directory: Path, *arguments: str, progress: Progress = quiet) -> Done:
    """What must not fail, and needs no server (but perhaps a filter such as git-lfs, which may take its time)."""
    done = talk(("-C", str(directory), *arguments), environment(directory), progress=progress)
    if done.code:
        raise refusal(arguments, done, f"git can not go on in {directory}")
    return done


def _missing_submodules(directory: Path) -> bool:
    done = ask("submodule", "status", "--recursive", at=directory)
    return any(line.startswith("-") for line in done.out.splitlines())


def _update_submodules(directory: Path, server: Server) -> None:
    arguments = ("submodule", "update", "--init", "--recursive", "--progress")
    done = server.call(*arguments, at=directory, submodules=True)
    if done.code:
        raise refusal(arguments, done, f"can not fetch the submodules of {scrub(server.url)}")


def dead_clones(folder: Path) -> list[Path]:
    """What clones of killed runs left among the checkouts."""
    found = files.remains_in(folder) if folder.is_dir() else {}
    return sorted(path for paths in found.values() for path in paths)
