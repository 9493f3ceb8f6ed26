"""What git knows about folders on this disk, asked without a server and without GitPython: it is asked often."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import msgspec

from hsm_tasks.core.errors import GitError
from hsm_tasks.effects import files, process
from hsm_tasks.effects.gitcall import ask, environment, refusal
from hsm_tasks.effects.process import Done

OLDEST = (2, 35)  # older ones know no `status --porcelain=v2 --show-stash`
_UNDER_WAY = {
    "rebase-merge": "rebase",
    "rebase-apply": "rebase",
    "MERGE_HEAD": "merge",
    "CHERRY_PICK_HEAD": "cherry-pick",
    "REVERT_HEAD": "revert",
    "BISECT_LOG": "bisect",
}


class CheckoutState(msgspec.Struct, frozen=True):
    """How a checkout stands.

    `branch` None: HEAD is detached. `ahead` and `behind` are as of the last fetch, and 0 without an `upstream`.
    `remote` is origin's url as it was written: mask it before it is shown.
    """

    is_repository: bool
    commit: str | None = None
    branch: str | None = None
    upstream: str | None = None
    ahead: int = 0
    behind: int = 0
    changed: int = 0
    untracked: int = 0
    conflicts: int = 0
    stashes: int = 0
    operation: str | None = None
    remote: str | None = None

    @property
    def unfinished(self) -> str:
        """The work on tracked files that is not committed, in words; "" if there is none."""
        if self.operation:
            return f"a {self.operation} is under way"
        if self.conflicts:
            return f"{count(self.conflicts, 'file')} in conflict"
        return f"{count(self.changed, 'changed file')} not committed" if self.changed else ""


def state(directory: Path) -> CheckoutState:
    """How the checkout in this very folder stands; a repository around it does not count."""
    if not (directory / ".git").exists():
        return CheckoutState(False)
    shown = ("--untracked-files=normal", "--ignore-submodules=none")  # whatever the settings would leave out
    _refuse_what_never_ends(directory)
    arguments = ("status", "--porcelain=v2", "--branch", "--show-stash", *shown)
    done = ask(*arguments, at=directory)
    if done.code:
        if "not a git repository" in done.err:
            return CheckoutState(False)
        raise refusal(arguments, done, f"can not read the checkout {directory}")
    folder = _git_folder(directory)
    if _names_a_work_tree(folder):
        _refuse_other_place(directory)
    operation = next((word for name, word in _UNDER_WAY.items() if (folder / name).exists()), None)
    return _read_status(done.out, operation, origin(directory))


def _read_status(text: str, operation: str | None, remote: str | None) -> CheckoutState:
    lines = text.splitlines()
    head = dict(line[2:].split(" ", 1) for line in lines if line.startswith("# "))
    kinds = [line[0] for line in lines]
    ahead, behind = (abs(int(number)) for number in head.get("branch.ab", "+0 -0").split())
    return CheckoutState(
        is_repository=True,
        commit=None if head["branch.oid"] == "(initial)" else head["branch.oid"],
        branch=None if head["branch.head"] == "(detached)" else head["branch.head"],
        upstream=head.get("branch.upstream"),
        ahead=ahead,
        behind=behind,
        changed=kinds.count("1") + kinds.count("2"),
        untracked=kinds.count("?"),
        conflicts=kinds.count("u"),
        stashes=int(head.get("stash", "0")),
        operation=operation,
        remote=remote,
    )


def _git_folder(directory: Path) -> Path:
    """Where git keeps this checkout's own files: `.git`, or what a file of that name says (worktrees, submodules)."""
    dot = directory / ".git"
    if dot.is_dir():
        return dot
    return directory / files.read(dot).removeprefix("gitdir:").strip()


def _common_folder(folder: Path) -> Path:
    """Where what several checkouts share lies: the same folder for most."""
    common = files.read_if_there(folder / "commondir")
    return folder / common.strip() if common else folder


def _refuse_what_never_ends(directory: Path) -> None:
    """git itself would wait for the end of a pipe."""
    dot = directory / ".git"
    inside = (dot / name for name in ("HEAD", "commondir", "config", "config.worktree", "index", "packed-refs"))
    for path in (dot, *inside):
        if files.never_ends(path):
            raise GitError(f"{path} is a pipe or a device: git may wait for its end for ever", "take it away")


def _names_a_work_tree(folder: Path) -> bool:
    """Whether core.worktree may be set: git takes it from these files alone, and follows no include for it."""
    places = (_common_folder(folder) / "config", folder / "config.worktree")
    return any("worktree" in (files.read_if_there(path) or "").casefold() for path in places)


def _refuse_other_place(directory: Path) -> None:
    """The files of a repository may lie anywhere (core.worktree): git would write there, over whatever it finds."""
    top = _around(directory, "rev-parse", "--show-toplevel").out.rstrip("\n")
    if Path(top or "/") != directory.resolve():
        hint = f"git config --file {directory}/.git/config --unset core.worktree, or move it away, then run it again"
        raise GitError(f"{directory} is in the way: its files are elsewhere, in {top} (core.worktree)", hint)


def refuse_foreign(directory: Path) -> None:
    """GitError where `.git` is that of another checkout: git would move the branch there, under somebody's hands.

    Of a worktree, and of a submodule, the folder that `.git` leads to says so itself.
    """
    dot, folder = directory / ".git", _git_folder(directory)
    if dot.is_dir() and not dot.is_symlink():
        if not (dot / "commondir").exists():
            return
        folder = _common_folder(dot)
    elif (back := files.read_if_there(folder / "gitdir")) is not None:
        if (folder / back.strip()).parent.resolve() == directory.resolve():
            return
    elif _names_a_work_tree(folder):  # it is this one: `state` has looked
        return
    message = f"{directory} is in the way: it uses the repository {folder}, which knows nothing of it"
    raise GitError(message, "make it one of its worktrees (git worktree add), or move it away, then run it again")


def origin(directory: Path) -> str | None:
    """The url of origin, as it was written."""
    config = files.read_if_there(_common_folder(_git_folder(directory)) / "config") or ""
    section = re.search(r'^\[remote "origin"\]\n((?:(?!\[).*\n?)*)', config, re.MULTILINE)
    url = section and re.search(r"^\s*url\s*=\s*(.*?)\s*$", section[1], re.MULTILINE)
    if not url:
        return None
    return re.sub(r"\\(.)", r"\1", url[1].removeprefix('"').removesuffix('"'))


def not_ignored(repository: Path, paths: Iterable[str]) -> list[str]:
    """Those paths (relative to `repository`, folders with a "/" at their end) that git would see: no rule covers them.

    What lies outside, or behind a symbolic link, it does not see.
    """
    wanted = list(paths)
    done = _around(repository, "check-ignore", "--stdin", "-z", text_in="".join(f"{path}\0" for path in wanted))
    if done.code > 1 and len(wanted) > 1:  # git gives up at the first path that is not its own
        return [path for each in wanted for path in not_ignored(repository, [each])]
    if done.code > 1 and re.search("beyond a symbolic link|outside repository", done.err):
        return []
    if done.code > 1:
        raise refusal(("check-ignore", *wanted), done, f"can not ask what {repository} ignores")
    covered = set(done.out.split("\0"))
    return [path for path in wanted if path not in covered]


def tracked(repository: Path, paths: Iterable[str]) -> list[str]:
    """Those paths (relative to `repository`) that git has, or has something below of."""
    wanted = [path for path in paths if not path.startswith("..")]
    done = _around(repository, "ls-files", "-z", "--", *wanted)
    known = [name for name in done.out.split("\0") if name] if wanted and done.code == 0 else []
    return [path for path in wanted if any(name == path or name.startswith(f"{path}/") for name in known)]


def version() -> tuple[int, ...]:
    """The version of git; CommandFailed where there is none."""
    said = process.run("git", "--version").out
    match = re.search(r"(\d+)\.(\d+)(?:\.(\d+))?", said)
    return tuple(int(number) for number in match.groups() if number) if match else (0,)


def exclude(directory: Path, patterns: Iterable[str]) -> None:
    """Add patterns to info/exclude of the repository that `directory` is in: rules that are never committed."""
    arguments = ("rev-parse", "--git-path", "info/exclude")
    done = _around(directory, *arguments)
    if done.code:
        raise GitError(refusal(arguments, done, f"{directory} is in no git repository").message)
    path = directory / done.out.rstrip("\n")
    text = files.read_if_there(path) or ""
    missing = [pattern for pattern in dict.fromkeys(patterns) if pattern not in text.splitlines()]
    if missing:
        end = "" if not text or text.endswith("\n") else "\n"
        files.write_if_changed(path, text + end + "".join(f"{pattern}\n" for pattern in missing))


def top_level(directory: Path) -> Path | None:
    """The root of the work tree that this folder is in; None also where the repository has its files elsewhere."""
    done = _around(directory, "rev-parse", "--show-toplevel")
    top = Path(done.out.rstrip("\n"))
    return None if done.code or not directory.resolve().is_relative_to(top.resolve()) else top


def _around(directory: Path, *arguments: str, text_in: str | None = None) -> Done:
    """Ask the repository that a folder is in, be it the folder's own or one around it."""
    return ask(*arguments, at=directory, env=environment(None), text_in=text_in)


def count(number: int, what: str) -> str:
    """A number of things, in words."""
    return f"{number} {what}{'' if number == 1 else 's'}"
