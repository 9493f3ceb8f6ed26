"""A `.git` of a stranger, and .gitmodules of a server: git writes in no other place than the checkout, and starts no
program but those that SECURITY.md says it starts: filters and hooks that came with a `.git` of one's own."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.commands.bench import Servers
from tests.faults.conftest import Make
from tests.faults.test_trouble import alarm
from tests.support.gitserver import commit, git

Way = Callable[[Path, Path], None]


def work_tree(checkout: Path, elsewhere: Path) -> None:
    """The files are another folder's."""
    shutil.copytree(checkout, elsewhere, ignore=shutil.ignore_patterns(".git"))
    git(checkout, "config", "core.worktree", str(elsewhere))


def work_tree_of_its_own(checkout: Path, elsewhere: Path) -> None:
    """The same in the other file that git takes it from."""
    shutil.copytree(checkout, elsewhere, ignore=shutil.ignore_patterns(".git"))
    git(checkout, "config", "extensions.worktreeConfig", "true")
    git(checkout, "config", "--worktree", "core.worktree", str(elsewhere))


def git_file(checkout: Path, elsewhere: Path) -> None:
    """`.git` says that the repository is that of another checkout."""
    shutil.copytree(checkout, elsewhere)
    shutil.rmtree(checkout / ".git")
    (checkout / ".git").write_text(f"gitdir: {elsewhere}/.git\n")


def git_link(checkout: Path, elsewhere: Path) -> None:
    shutil.copytree(checkout, elsewhere)
    shutil.rmtree(checkout / ".git")
    (checkout / ".git").symlink_to(elsewhere / ".git")


def common(checkout: Path, elsewhere: Path) -> None:
    """Branches and objects are another repository's."""
    shutil.copytree(checkout, elsewhere)
    (checkout / ".git" / "commondir").write_text(f"{elsewhere}/.git\n")


def piped(checkout: Path, elsewhere: Path) -> None:
    """Nobody will ever write into it."""
    elsewhere.mkdir()
    (checkout / ".git" / "config").unlink()
    os.mkfifo(checkout / ".git" / "config")


WAYS: Mapping[str, Way] = {way.__name__.replace("_", "-"): way for way in (
    work_tree, work_tree_of_its_own, git_file, git_link, common, piped)}  # fmt: skip


def stack_of(names: tuple[str, ...], repository: str, more: str = "") -> dict[str, str]:
    lines = [f'  {name}: {{repo: {{url: "@GIT@/{repository}.git", ref: main, name: {name}{more}}}}}' for name in names]
    base = "".join(f"  {name}: {{image: scratch, build: .}}\n" for name in names)
    return {"hsm.yaml": "mode: dev\nservices:\n" + "\n".join(lines) + "\n", "docker-compose.yml": f"services:\n{base}"}


def bytes_in(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_git_writes_in_no_other_place_than_the_checkout(make: Make, servers: Servers, tmp_path: Path) -> None:
    servers.repository("strange", {"a.txt": "1\n", "b.txt": "1\n"})
    here = make("doit", stack_of(tuple(WAYS), "strange"))
    here.run("sync")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for name, way in WAYS.items():
        way(here.root / "repos" / name, elsewhere / name)
    before = bytes_in(elsewhere)
    for words in (("sync",), ("update",), ("status",), ("plan", "update"), ("doctor",)):
        servers.commit("strange", {"a.txt": f"{words}\n"})
        with alarm(str(words), 120):
            done = here.run(*(("--continue",) if words[0] in ("sync", "update") else ()), *words, code=None)
        assert done.code in (0, 1, 3), (words, done.both)
        assert "Traceback" not in done.both, (words, done.both)
        assert bytes_in(elsewhere) == before, (words, done.both)
        if words[0] == "update":
            for name in WAYS:
                about = done.err.partition(f"repos/{name} ")[2] or done.err.partition(f"repos/{name}/.git")[2]
                assert "hint: " in about[:400], f"{name}: {done.err}"


def test_a_workspace_whose_files_git_has_elsewhere_is_no_bug(make: Make, tmp_path: Path) -> None:
    here = make()
    here.under_git()
    (tmp_path / "other").mkdir()
    here.git("config", "core.worktree", str(tmp_path / "other"))
    for words in (("sync",), ("status",), ("plan",), ("doctor",), ("bundle", "--prod")):
        done = here.run(*words, code=None)
        assert done.code in (0, 1, 3), (words, done.both)
        assert "Traceback" not in done.both, (words, done.both)
    assert not list((tmp_path / "other").iterdir())


SETTINGS = (
    "core.sshCommand", "core.gitProxy", "core.pager", "core.editor", "core.askPass", "core.fsmonitor",
    "sequence.editor", "gpg.program", "diff.external", "credential.helper", "diff.x.command", "diff.x.textconv",
    "merge.x.driver",
    "core.alternateRefsCommand", "interactive.diffFilter", "uploadpack.packObjectsHook", "remote.origin.uploadpack",
    "browser.x.cmd", "man.x.cmd", "difftool.x.cmd", "submodule.x.update", "trailer.x.cmd", "alias.status",
    "alias.fetch", "alias.merge", "alias.rev-parse",
)  # fmt: skip
"""Each names a program. None of them has anything to do in a checkout over http."""


def test_no_program_that_a_config_names_is_started_but_filters_and_hooks(
    make: Make, servers: Servers, tmp_path: Path
) -> None:
    servers.repository("programs", {"a.txt": "1\n", "b.dat": "1\n", ".gitattributes": "*.txt diff=x merge=x\n"})
    here = make("doit", stack_of(("one",), "programs"))
    here.run("sync")
    checkout, marks = here.root / "repos/one", tmp_path / "marks"
    marks.mkdir()
    for name in SETTINGS:
        bang = "!" if name.startswith(("alias.", "submodule.", "credential.")) else ""
        git(checkout, "config", name, f"{bang}touch {marks}/{name}; false #")
    url = servers.git.url("programs.git")
    git(checkout, "config", f"url.ext::sh -c touch% {marks}/ext.insteadOf", url[:10])
    git(checkout, "config", "protocol.ext.allow", "always")
    git(checkout, "config", "protocol.allow", "always")
    git(checkout, "config", "remote.origin.vcs", "touch")
    evil = tmp_path / "more.config"
    core = f'fsmonitor = "touch {marks}/included; false #"\n  attributesFile = {tmp_path}/attributes'
    evil.write_text(f"[core]\n  {core}\n")
    (tmp_path / "attributes").write_text("* filter=x\n")
    git(checkout, "config", "include.path", str(evil))
    (checkout / ".git/objects/info").mkdir(exist_ok=True)
    (checkout / ".git/objects/info/alternates").write_text("/dev/zero\n/etc\n")
    for words in (("status",), ("plan", "update"), ("sync",), ("update",), ("update", "--dry-run"), ("doctor",)):
        servers.commit("programs", {"a.txt": f"{words}\n"})
        with alarm(str(words), 120):
            done = here.run(*words, code=None)
        assert done.code in (0, 1, 3), (words, done.both)
        assert "Traceback" not in done.both, (words, done.both)
        assert not list(marks.iterdir()), (words, done.both)


MODULES: Mapping[str, str] = {
    "option": '[submodule "x"]\n path = x\n url = -u./touch\n',
    "upload": '[submodule "x"]\n path = x\n url = "--upload-pack=touch @MARK@"\n',
    "ext": '[submodule "x"]\n path = x\n url = "ext::sh -c touch% @MARK@"\n',
    "file": '[submodule "x"]\n path = x\n url = file:///etc\n',
    "local": '[submodule "x"]\n path = x\n url = /etc\n',
    "command": '[submodule "x"]\n path = x\n url = @GIT@/modest.git\n update = "!touch @MARK@"\n',
    "dots": '[submodule "../../../x"]\n path = x\n url = @GIT@/modest.git\n',
    "name": '[submodule "x/../../../../hooks"]\n path = x\n url = @GIT@/modest.git\n',
    "path": '[submodule "x"]\n path = ../../x\n url = @GIT@/modest.git\n',
    "inside": '[submodule "x"]\n path = .git/hooks\n url = @GIT@/modest.git\n',
    "line": '[submodule "x"]\n path = "x\\r"\n url = @GIT@/modest.git\n',
    "lines": '[submodule "x"]\n path = x\n url = "https://h/x\\nhost=other"\n',
    "broken": '[submodule "x"\n path = x\n',
    "itself": '[submodule "x"]\n path = x\n url = ./\n',
    "missing": "",
}


def test_gitmodules_of_a_server_start_nothing_and_lead_nowhere(make: Make, servers: Servers, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    inner = servers.repository("modest", {"post-checkout": f"#!/bin/sh\ntouch {mark}\n"})
    for name, text in MODULES.items():
        _with_submodule(servers, f"modules-{name}", servers.filled(text).replace("@MARK@", str(mark)), inner)
    _with_submodule(servers, "modules-link", servers.filled(MODULES["command"]).partition(" update")[0], inner, "y/x")
    names = (*MODULES, "link")
    files = stack_of(names, "modules", ", submodules: true")
    for name in names:
        files["hsm.yaml"] = files["hsm.yaml"].replace("@GIT@/modules.git", f"@GIT@/modules-{name}.git", 1)
    here = make("doit", files)
    before = sorted(path.name for path in tmp_path.iterdir())
    for words in (("--continue", "sync"), ("--continue", "update"), ("status",)):
        with alarm(str(words), 300):
            done = here.run(*words, code=None)
        assert done.code in (0, 1, 3), done.both
        assert "Traceback" not in done.both, done.both
        assert sorted(path.name for path in tmp_path.iterdir()) == before, done.both
        left = [path for path in (here.root / "repos").iterdir() if path.name not in names]
        assert not left, (left, done.both)
        assert not (here.root / "x").exists()


def _with_submodule(servers: Servers, name: str, text: str, inner: str, at: str = "x") -> None:
    """A repository with these .gitmodules, a gitlink, and where `at` is in a folder, a link of that folder's name."""
    servers.repository(name, {"a.txt": "1\n"})
    source = servers.source(name)
    if text:
        (source / ".gitmodules").write_text(text)
        git(source, "add", ".gitmodules")
    own = git(source, "rev-parse", "HEAD") if name.endswith("itself") else inner
    git(source, "update-index", "--add", "--cacheinfo", f"160000,{own},{at}")
    git(source, "commit", "--quiet", "-m", "a submodule")
    if "/" in at:
        git(source, "rm", "--quiet", "--cached", at)
        (source / "y").symlink_to("../../..")
        commit(source, {})


@pytest.fixture(autouse=True)
def _no_prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_TERMINAL_PROMPT", "0")
