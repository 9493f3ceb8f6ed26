"""The states that a checkout can be in, and what would be lost of one: the two sides of "hsm never discards work".

Each state is a function that brings a fresh checkout of `main` (two commits, the tag v1) into it. `Work` is what is
there of a person's work: files that git does not keep, the index, stashes, and every commit that a ref or a reflog has.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.support.gitserver import commit, git

State = Callable[[Path], None]
UPSTREAM = {"a.txt": "1\n", "keep.txt": "kept\n", ".gitignore": "*.log\nout/\n", "Dockerfile": "FROM scratch\n"}
NEXT = {"a.txt": "2\n", "theirs.txt": "theirs\n", "mine.log": "theirs\n", "out": "theirs\n", "keep.txt": "theirs\n"}
"""What the server commits after the states are made: each of a person's files is in its way."""


def clean(path: Path) -> None:
    """Nothing of a person's."""


def dirty(path: Path) -> None:
    (path / "keep.txt").write_text("work\n")


def removed(path: Path) -> None:
    (path / "keep.txt").unlink()


def staged(path: Path) -> None:
    (path / "new.txt").write_text("work\n")
    git(path, "add", "new.txt")


def staged_then_gone(path: Path) -> None:
    staged(path)
    (path / "new.txt").unlink()


def hidden(path: Path) -> None:
    """git status does not show it."""
    git(path, "update-index", "--assume-unchanged", "keep.txt")
    dirty(path)


def skipped(path: Path) -> None:
    git(path, "update-index", "--skip-worktree", "keep.txt")
    dirty(path)


def untracked(path: Path) -> None:
    (path / "notes.txt").write_text("work\n")


def untracked_in_the_way(path: Path) -> None:
    (path / "theirs.txt").write_text("work\n")


def ignored(path: Path) -> None:
    (path / "other.log").write_text("work\n")


def ignored_in_the_way(path: Path) -> None:
    (path / "mine.log").write_text("work\n")


def ignored_folder_in_the_way(path: Path) -> None:
    (path / "out").mkdir()
    (path / "out" / "result").write_text("work\n")


def stashed(path: Path) -> None:
    dirty(path)
    git(path, "stash")


def ahead(path: Path) -> None:
    commit(path, {"mine.txt": "work\n"})


def detached(path: Path) -> None:
    git(path, "checkout", "--quiet", "--detach", "HEAD~1")


def detached_ahead(path: Path) -> None:
    detached(path)
    ahead(path)


def other_branch(path: Path) -> None:
    git(path, "switch", "--quiet", "-c", "topic")
    ahead(path)


def amended(path: Path) -> None:
    """What it was before is in the reflog only."""
    ahead(path)
    git(path, "reset", "--quiet", "--hard", "HEAD~1")


def no_commit_yet(path: Path) -> None:
    git(path, "checkout", "--quiet", "--orphan", "fresh")


def rebasing(path: Path) -> None:
    git(path, "switch", "--quiet", "-c", "topic", "HEAD~1")
    commit(path, {"a.txt": "conflict\n"})
    _refused(path, "rebase", "main")


def merging(path: Path) -> None:
    git(path, "switch", "--quiet", "-c", "topic", "HEAD~1")
    commit(path, {"a.txt": "conflict\n"})
    git(path, "switch", "--quiet", "main")
    _refused(path, "merge", "topic")


def picking(path: Path) -> None:
    git(path, "switch", "--quiet", "-c", "topic", "HEAD~1")
    picked = commit(path, {"a.txt": "conflict\n"})
    git(path, "switch", "--quiet", "main")
    _refused(path, "cherry-pick", picked)


def conflicting(path: Path) -> None:
    merging(path)
    (path / ".git" / "MERGE_HEAD").unlink()


def with_worktree(path: Path) -> None:
    git(path, "worktree", "add", "--quiet", "-b", "beside", str(_beside(path)))
    (_beside(path) / "keep.txt").write_text("work\n")


def as_worktree(path: Path) -> None:
    """The checkout itself is a worktree of a repository elsewhere."""
    main = _beside(path)
    path.rename(main)
    git(main, "checkout", "--quiet", "--detach")
    git(main, "worktree", "add", "--quiet", str(path), "main")
    (path / "notes.txt").write_text("work\n")


def linked(path: Path) -> None:
    """A link to a person's own folder."""
    path.rename(_beside(path))
    path.symlink_to(_beside(path))
    dirty(path)


def dangling(path: Path) -> None:
    shutil.rmtree(path)
    path.symlink_to("nowhere")


def submodule_dirty(path: Path) -> None:
    (path / "sub" / "keep.txt").write_text("work\n")


def submodule_ahead(path: Path) -> None:
    commit(path / "sub", {"mine.txt": "work\n"})


def submodule_hidden(path: Path) -> None:
    """The same, where the settings hide it from `git status`."""
    submodule_ahead(path)
    git(path, "config", "submodule.sub.ignore", "all")
    git(path, "config", "diff.ignoreSubmodules", "all")


def other_remote(path: Path) -> None:
    git(path, "remote", "set-url", "origin", "https://git.example/other.git")


def no_remote(path: Path) -> None:
    git(path, "remote", "remove", "origin")
    ahead(path)


def a_file(path: Path) -> None:
    shutil.rmtree(path)
    path.write_text("work\n")


def no_repository(path: Path) -> None:
    shutil.rmtree(path / ".git")
    dirty(path)


def broken_repository(path: Path) -> None:
    (path / ".git" / "HEAD").unlink()
    dirty(path)


def empty_folder(path: Path) -> None:
    shutil.rmtree(path)
    path.mkdir()


STATES: Mapping[str, State] = {state.__name__.replace("_", "-"): state for state in (
    clean, dirty, removed, staged, staged_then_gone, hidden, skipped, untracked, untracked_in_the_way, ignored,
    ignored_in_the_way, ignored_folder_in_the_way, stashed, ahead, detached, detached_ahead, other_branch, amended,
    no_commit_yet, rebasing, merging, picking, conflicting, with_worktree, as_worktree, linked, dangling,
    submodule_dirty, submodule_ahead, submodule_hidden, other_remote, no_remote, a_file, no_repository,
    broken_repository, empty_folder,
)}  # fmt: skip


def _beside(path: Path) -> Path:
    """A folder of the person's, outside of the workspace."""
    folder = path.parent.parent.parent / "elsewhere"
    folder.mkdir(exist_ok=True)
    return folder / path.name


def _refused(path: Path, *arguments: str) -> None:
    with contextlib.suppress(RuntimeError):
        git(path, *arguments)
        raise AssertionError(f"git {arguments} should stop at a conflict")


# --- what is there -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Work:
    """`files`: bytes of what git could not give back; `kept`: index entries, stashes and operations; `commits`: all
    that a ref or a reflog has, of the submodules too."""

    files: Mapping[str, bytes]
    kept: Mapping[str, str]
    commits: frozenset[str]

    def lost(self, after: Work) -> list[str]:
        """What of this is not there afterwards."""
        gone = [f"the file {name}" for name, data in self.files.items() if after.files.get(name) != data]
        gone += [f"the {name}: {text!r}, now {after.kept.get(name)!r}"
                 for name, text in self.kept.items() if after.kept.get(name) != text]
        return gone + [f"the commit {commit}" for commit in sorted(self.commits - after.commits)]


_seen: dict[Path, tuple[object, Work]] = {}


def work(path: Path) -> Work:
    """What is there of a person's work, beside the checkout too; git is asked only where a file has changed."""
    there = [file for place in (path, _beside(path)) for file in (place, *sorted(place.rglob("*")))]
    stamp = [(str(file), *_stat(file)) for file in there]
    if path not in _seen or _seen[path][0] != stamp:
        _seen[path] = stamp, _work(path)
    return _seen[path][1]


def _stat(file: Path) -> tuple[int, ...]:
    with contextlib.suppress(FileNotFoundError):
        found = file.lstat()
        return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino
    return ()


def _work(path: Path) -> Work:
    places = [path, _beside(path)]
    files: dict[str, bytes] = {}
    kept: dict[str, str] = {}
    commits: set[str] = set()
    for place in places:
        if place.is_symlink():
            kept[f"link {place}"] = str(place.readlink())
        if place.is_file():
            files[str(place)] = place.read_bytes()
        elif _ask(place, "rev-parse", "--git-dir") and (place / ".git").exists():
            for repository in (place, place / "sub"):
                _look(repository, files, kept, commits)
        elif place.is_dir():
            files |= {str(file): file.read_bytes() for file in place.rglob("*") if file.is_file()}
    return Work(files, kept, frozenset(commits))


def _look(path: Path, files: dict[str, bytes], kept: dict[str, str], commits: set[str]) -> None:
    if not (path / ".git").exists():
        return
    committed = {line.partition("\t")[2]: line.split()[2] for line in _ask(path, "ls-tree", "-r", "HEAD").splitlines()}
    for file in path.rglob("*"):
        name = file.relative_to(path).as_posix()
        if not file.is_file() or ".git" in file.parts or name.startswith("sub/"):
            continue
        data = file.read_bytes()
        if committed.get(name) != hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest():
            files[str(file)] = data
    index = _ask(path, "diff", "--cached", "--raw", "--ignore-submodules=none")
    gone = _ask(path, "ls-files", "--deleted")
    seen = {"index": index, "removed": gone, "stashes": _ask(path, "stash", "list")}
    folder = Path(_ask(path, "rev-parse", "--absolute-git-dir"))
    for name in ("MERGE_HEAD", "CHERRY_PICK_HEAD", "rebase-merge/onto"):
        if (folder / name).exists():
            seen[name] = (folder / name).read_text()
    kept.update({f"{what} of {path}": text for what, text in seen.items() if text})
    every = ("rev-list", "--all", "--reflog")
    commits.update((_ask(path, *every, "HEAD") or _ask(path, *every)).split())


def _ask(path: Path, *arguments: str) -> str:
    """What git answers; "" where it can not."""
    if not path.is_dir():
        return ""
    environment = {**os.environ, "GIT_CEILING_DIRECTORIES": str(path.parent), "GIT_OPTIONAL_LOCKS": "0"}
    done = subprocess.run(["git", *arguments], cwd=path, env=environment, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""
