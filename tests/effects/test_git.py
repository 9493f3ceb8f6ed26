from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hsm_tasks.core.errors import GitError
from hsm_tasks.core.giturl import check_ref
from hsm_tasks.effects import git, gitcall, process
from tests.support.gitserver import GitServer, commit, make_repository
from tests.support.gitserver import git as plain_git
from tests.support.terminal import under_a_terminal

BIG = os.urandom(300_000)


@pytest.fixture(autouse=True)
def _own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No git configuration of this machine, and no proxy before 127.0.0.1."""
    for name in [name for name in os.environ if name.startswith("GIT_") or name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / ".config"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("GIT_ALLOW_PROTOCOL", "file:http:git:ssh")
    (home / ".gitconfig").write_text("[user]\n name = Ada\n email = ada@example.org\n[advice]\n detachedHead = false\n")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GitServer]:
    (tmp_path / "srv").mkdir()
    with GitServer(tmp_path / "srv") as running:
        yield running


@pytest.fixture
def api(server: GitServer) -> Path:
    """The repository `api` on the server: main (two commits), a branch dev, a tag v1 on the first commit."""
    path = server.root / "api"
    make_repository(path, {"a.txt": "1\n", "keep.txt": "kept\n"})
    plain_git(path, "tag", "-a", "v1", "-m", "version 1")
    plain_git(path, "branch", "dev")
    commit(path, {"a.txt": "2\n"})
    return path


@pytest.fixture
def url(server: GitServer, api: Path) -> str:
    return server.url("api")


@pytest.fixture
def there(tmp_path: Path) -> Path:
    return tmp_path / "repos" / "api"


@pytest.fixture
def checkout(url: str, there: Path) -> Path:
    git.clone(url, there, ref="main")
    return there


def head(path: Path, name: str = "HEAD") -> str:
    return plain_git(path, "rev-parse", f"{name}^{{commit}}")


def left_over(path: Path) -> list[str]:
    return [entry.name for entry in path.parent.iterdir() if entry.name != path.name] if path.parent.exists() else []


def set_config(*lines: str) -> None:
    with (Path.home() / ".gitconfig").open("a") as config:
        config.write("\n".join(lines) + "\n")


# clone


def test_the_amount_is_told_where_git_tells_it() -> None:
    heard: list[str] = []
    ear = gitcall._Ear(heard.append)
    for line in ("Receiving objects:  66% (2/3)", "Receiving objects:  66% (2/3), 12.33 MiB | 1.50 MiB/s"):
        ear(line)
    assert heard == ["receiving objects 66%", "receiving objects 66% (12.33 MiB, 1.50 MiB/s)"]
    assert not ear.words


def test_a_branch_is_cloned_with_the_branch_checked_out(url: str, api: Path, there: Path) -> None:
    heard: list[str] = []
    assert git.clone(url, there, ref="dev", progress=heard.append) == head(api, "dev")
    state = git.state(there)
    assert (state.branch, state.upstream, state.ahead, state.behind) == ("dev", "origin/dev", 0, 0)
    assert state.remote == url
    assert (there / "a.txt").read_text() == "1\n"
    assert plain_git(there, "branch", "--format=%(refname:short)") == "dev"
    assert plain_git(there, "status", "--porcelain") == ""
    assert any(words.startswith("receiving objects 100%") for words in heard)
    assert not left_over(there)


def test_the_default_branch_is_cloned_for_head(url: str, api: Path, there: Path) -> None:
    assert git.clone(url, there, ref="HEAD") == head(api)
    assert git.state(there).branch == "main"


@pytest.mark.parametrize("ref", ["v1", "refs/tags/v1"])
def test_a_tag_is_cloned_detached(url: str, api: Path, there: Path, ref: str) -> None:
    assert git.clone(url, there, ref=ref) == head(api, "v1")
    assert git.state(there).branch is None
    assert plain_git(there, "branch", "--list", "main") == ""


@pytest.mark.parametrize("length", [40, 9])
def test_a_commit_is_cloned_detached(url: str, api: Path, there: Path, length: int) -> None:
    wanted = head(api, "v1")
    assert git.clone(url, there, ref=wanted[:length]) == wanted
    assert git.state(there).branch is None


def test_a_ref_that_is_neither_branch_nor_tag_is_cloned_detached(url: str, api: Path, there: Path) -> None:
    wanted = commit(api, {"a.txt": "proposed\n"})
    plain_git(api, "update-ref", "refs/pull/1/head", wanted)
    plain_git(api, "reset", "--quiet", "--hard", "HEAD~1")
    assert git.clone(url, there, ref="refs/pull/1/head") == wanted
    assert git.remote_commit(url, "refs/pull/1/head") == wanted
    assert git.advance(there, url=url, ref="refs/pull/1/head").kind == "current"


def test_a_branch_is_cloned_at_its_locked_commit(url: str, api: Path, there: Path) -> None:
    locked = head(api, "main~1")
    assert git.clone(url, there, ref="main", commit=locked) == locked
    state = git.state(there)
    assert (state.branch, state.commit, state.upstream, state.behind) == ("main", locked, "origin/main", 1)


def test_a_tag_that_moved_is_cloned_at_its_locked_commit(url: str, api: Path, there: Path) -> None:
    locked = head(api, "v1")
    plain_git(api, "tag", "--force", "v1", "main")
    assert git.clone(url, there, ref="v1", commit=locked) == locked
    assert git.state(there).branch is None


def test_a_locked_commit_that_no_branch_has_any_more_is_fetched_by_itself(url: str, api: Path, there: Path) -> None:
    locked = head(api)
    plain_git(api, "reset", "--quiet", "--hard", "HEAD~1")
    assert git.clone(url, there, ref="main", commit=locked) == locked


@pytest.mark.parametrize("commit", ["1" * 40, "1234567"])
def test_a_locked_commit_that_is_gone_is_an_error_about_the_lock(url: str, there: Path, commit: str) -> None:
    with pytest.raises(GitError, match=f"no more the commit {commit[:12]} that hsm.lock names for main") as error:
        git.clone(url, there, ref="main", commit=commit)
    assert "`hsm update` moves" in error.value.hint
    assert not there.exists()
    assert not left_over(there)


@pytest.mark.parametrize(("ref", "hint"), [("mian", 'did you mean "main"?'), ("zzz", "it has dev, main, v1")])
def test_a_ref_that_does_not_exist_is_named(url: str, there: Path, ref: str, hint: str) -> None:
    with pytest.raises(GitError, match=f'no branch, tag or commit "{ref}"') as error:
        git.clone(url, there, ref=ref)
    assert error.value.hint == hint
    with pytest.raises(GitError, match=f'no branch, tag or commit "{ref}"') as error:
        git.remote_commit(url, ref)
    assert error.value.hint == hint
    assert not there.exists()


def test_an_empty_repository_is_an_error_that_says_so(server: GitServer, there: Path) -> None:
    plain_git(server.root, "init", "--quiet", "--bare", "empty")
    with pytest.raises(GitError, match="it is empty"):
        git.clone(server.url("empty"), there, ref="HEAD")


def test_a_head_that_points_nowhere_asks_for_a_ref(server: GitServer, url: str, api: Path, there: Path) -> None:
    plain_git(api, "symbolic-ref", "HEAD", "refs/heads/gone")
    with pytest.raises(GitError, match="no default branch") as error:
        git.clone(url, there, ref="HEAD")
    assert "it has dev, main, v1" in error.value.hint


def test_a_server_whose_head_is_on_no_branch_is_cloned_detached(url: str, api: Path, there: Path) -> None:
    plain_git(api, "checkout", "--quiet", "--detach", "v1")
    detached = commit(api, {"a.txt": "nowhere else\n"})
    assert git.clone(url, there, ref="HEAD") == detached
    assert git.state(there).branch is None
    commit(api, {"a.txt": "detached\n"})
    assert git.advance(there, url=url, ref="HEAD").kind == "moved"
    assert git.state(there).commit == head(api)


@pytest.mark.parametrize("form", ["{}", "{}.git", "file://{}", "file://{}.git"])
def test_a_path_is_cloned_too(api: Path, there: Path, form: str) -> None:
    plain_git(api.parent, "clone", "--quiet", "--bare", "api", "api.git")
    assert git.clone(form.format(api), there, ref="main") == head(api)
    assert git.advance(there, url=form.format(api), ref="main").kind == "current"
    assert git.remote_commit(form.format(api), "v1") == head(api, "v1")


def test_an_empty_folder_is_filled_and_any_other_is_left_alone(url: str, there: Path) -> None:
    there.mkdir(parents=True)
    git.clone(url, there, ref="main")
    (there / "mine").write_text("work")
    with pytest.raises(GitError, match="not empty") as error:
        git.clone(url, there, ref="main")
    assert error.value.hint
    assert (there / "mine").read_text() == "work"


def test_a_place_that_can_not_be_written_is_an_error_and_no_bug(url: str, there: Path) -> None:
    there.parent.mkdir()
    there.symlink_to(there.parent / "nowhere")
    with pytest.raises(GitError, match="is a link to where no checkout is"):
        git.clone(url, there, ref="main")
    assert not left_over(there)
    there.parent.joinpath("file").write_text("")
    with pytest.raises(GitError, match="can not be made"):
        git.clone(url, there.parent / "file" / "api", ref="main")


def test_many_are_cloned_at_once(server: GitServer, tmp_path: Path) -> None:
    wanted = {f"r{n}": make_repository(server.root / f"r{n}", {"n": f"{n}\n"}) for n in range(8)}
    with ThreadPoolExecutor(8) as pool:
        made = pool.map(lambda name: git.clone(server.url(name), tmp_path / "repos" / name, ref="main"), wanted)
    assert list(made) == list(wanted.values())
    assert sorted(path.name for path in (tmp_path / "repos").iterdir()) == sorted(wanted)


def test_submodules_come_along_and_move_along(server: GitServer, url: str, api: Path, there: Path) -> None:
    lib = server.root / "lib"
    first = make_repository(lib, {"lib.txt": "1\n"})
    plain_git(api, "submodule", "--quiet", "add", "../lib", "lib")
    commit(api, {})
    git.clone(url, there, ref="main")
    assert not (there / "lib" / "lib.txt").exists()
    assert git.advance(there, url=url, ref="main", submodules=True).kind == "current"
    assert head(there / "lib") == first
    second = commit(lib, {"lib.txt": "2\n"})
    plain_git(api / "lib", "pull", "--quiet", "origin", "main")
    commit(api, {})
    assert git.advance(there, url=url, ref="main", submodules=True).kind == "moved"
    assert head(there / "lib") == second
    whole = there.with_name("whole")
    git.clone(url, whole, ref="main", submodules=True)
    assert (whole / "lib" / "lib.txt").read_text() == "2\n"
    assert git.state(whole).changed == 0


@pytest.mark.parametrize("bad", ["ext::sh -c touch% proof", "file:///nowhere"])
def test_a_submodule_can_neither_run_a_program_nor_read_the_disk(
    url: str, api: Path, there: Path, bad: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GIT_ALLOW_PROTOCOL")
    (api / ".gitmodules").write_text(f'[submodule "x"]\n path = x\n url = {bad}\n')
    plain_git(api, "update-index", "--add", "--cacheinfo", f"160000,{head(api)},x")
    plain_git(api, "add", ".gitmodules")
    plain_git(api, "commit", "--quiet", "-m", "bad")
    with pytest.raises(GitError, match="not allowed"):
        git.clone(url, there, ref="main", submodules=True)
    assert not there.exists()


# logins


@pytest.fixture
def private(server: GitServer, url: str) -> str:
    server.login = ("ada", "hunter2-secret")
    return url


def test_the_users_own_credential_helper_is_asked(server: GitServer, private: str, api: Path, there: Path) -> None:
    set_config("[credential]", " helper = store")
    (Path.home() / ".git-credentials").write_text(f"http://ada:hunter2-secret@127.0.0.1:{server.port}\n")
    assert git.clone(private, there, ref="main") == head(api)
    commit(api, {"a.txt": "3\n"})
    assert git.advance(there, url=private, ref="main").kind == "moved"
    assert "hunter2" not in (there / ".git" / "config").read_text()


def test_settings_that_come_in_the_environment_stay(
    private: str, api: Path, there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "http.extraHeader")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "Authorization: Basic YWRhOmh1bnRlcjItc2VjcmV0")
    assert git.clone(private, there, ref="main") == head(api)


def test_settings_in_the_environment_that_are_broken_are_for_git_to_explain(
    url: str, there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CONFIG_COUNT", "many")
    with pytest.raises(GitError, match="bogus count"):
        git.clone(url, there, ref="main")


@pytest.mark.parametrize("stored", ["", "http://ada:wrong-secret@127.0.0.1:{port}\n"])
def test_without_a_valid_login_it_fails_at_once_even_on_a_terminal(
    server: GitServer, private: str, there: Path, stored: str
) -> None:
    set_config("[credential]", " helper = store")
    (Path.home() / ".git-credentials").write_text(stored.format(port=server.port))
    code = f"""
from pathlib import Path
from hsm_tasks.core.errors import GitError
from hsm_tasks.effects import git
try:
    git.clone({private!r}, Path({str(there)!r}), ref="main")
except GitError as error:
    print(error)
"""
    begin = time.monotonic()
    said = under_a_terminal([sys.executable, "-c", code])
    assert time.monotonic() - begin < 10
    assert said.startswith(f"can not clone {private}")
    assert "hint: git has no valid login" in said
    assert "$ git clone" in said
    assert "wrong-secret" not in said
    assert "Traceback" not in said
    assert not left_over(there)


def test_a_token_that_git_itself_repeats_is_masked(private: str, there: Path) -> None:
    token_url = private.replace("//", "//ghp_0123456789abcdef@")
    set_config(f'[url "{token_url}"]', f" insteadOf = {private}")
    with pytest.raises(GitError) as error:
        git.clone(private, there, ref="main")
    assert "ghp_" not in str(error.value)
    assert "could not read Password for 'http://***@127.0.0.1" in str(error.value)


@pytest.mark.parametrize(
    "text", ["http://a:p@ss@h/x", "http://t0ken@h/x", "ssh://u:p@[::1]/x", "https://h/x?a=1&private_token=abc"]
)
def test_what_may_be_a_secret_is_masked(text: str) -> None:
    masked = gitcall.scrub(f"fatal: '{text}' is bad")
    assert "***" in masked
    assert not any(secret in masked for secret in ("p@ss", "ss@", "t0ken", "u:p", "abc"))


# servers that fail


def test_a_server_that_is_not_there_is_an_error_with_the_command_and_a_hint(tmp_path: Path, there: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/api"
    with pytest.raises(GitError, match=r"(?s)can not clone .*\$ git clone .*exit 128.*Failed to connect") as error:
        git.clone(url, there, ref="main")
    assert error.value.hint == "is the server up, and is there a way to it?"
    with pytest.raises(GitError, match="can not ask"):
        git.remote_commit(url, "main")


def test_a_repository_that_is_not_there_is_an_error(server: GitServer, there: Path) -> None:
    with pytest.raises(GitError, match="can not clone") as error:
        git.clone(server.url("nothing"), there, ref="main")
    assert error.value.hint == "is the url right, and may you read it?"


@pytest.mark.parametrize("mode", ["silent", "stall"])
def test_a_server_that_falls_silent_is_given_up(server: GitServer, there: Path, mode: str) -> None:
    make_repository(server.root / "big", {"big": BIG})
    server.mode = "silent" if mode == "silent" else "stall"
    begin = time.monotonic()
    with pytest.raises(GitError, match=r"Operation too slow|no sign of life for 1 s"):
        git.clone(server.url("big"), there, ref="main", stall=1)
    assert time.monotonic() - begin < 8
    assert not left_over(there)
    server.mode = "ok"
    git.clone(server.url("big"), there, ref="main")


def test_a_git_daemon_that_falls_silent_is_given_up(there: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        begin = time.monotonic()
        with pytest.raises(GitError, match=r"no sign of life for 0.4 s"):
            git.clone(f"git://127.0.0.1:{deaf.getsockname()[1]}/api", there, ref="main", stall=0.4)
        assert time.monotonic() - begin < 8
    assert not left_over(there)


def test_the_users_own_limit_on_silence_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    assert gitcall.stall_limit() == 60
    monkeypatch.setenv("GIT_HTTP_LOW_SPEED_TIME", "7")
    assert gitcall.stall_limit() == 7
    monkeypatch.setenv("GIT_HTTP_LOW_SPEED_TIME", "soon")
    assert gitcall.stall_limit() == 60


def test_a_line_that_is_cut_leaves_nothing(server: GitServer, there: Path) -> None:
    make_repository(server.root / "big", {"big": BIG})
    server.mode = "cut"
    with pytest.raises(GitError, match="can not clone"):
        git.clone(server.url("big"), there, ref="main")
    assert not there.exists()
    assert not left_over(there)


def wait_for(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_kill_in_the_middle_leaves_nothing_that_counts(server: GitServer, there: Path) -> None:
    wanted = make_repository(server.root / "big", {"big": BIG})
    url = server.url("big")
    server.mode = "stall"
    code = f"""
from pathlib import Path
from hsm_tasks.effects import git
git.clone({url!r}, Path({str(there)!r}), ref="main")
"""
    with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL) as killed:
        wait_for(lambda: any(there.parent.glob(".api.*.tmp/.git/objects/pack/tmp_pack_*")))
        killed.send_signal(signal.SIGKILL)
    assert not there.exists()  # git itself may have ended, and put away what it had, or not
    server.mode = "ok"
    assert git.clone(url, there, ref="main") == wanted
    assert not left_over(there)


def test_what_a_living_process_makes_beside_is_left_alone(url: str, there: Path) -> None:
    theirs = there.with_name(f".api.{os.getppid()}-abc.tmp")
    other = there.with_name(".api.me-abc.tmp")
    init = there.with_name(".api.1-abc.tmp")
    huge = there.with_name(f".api.{'9' * 30}-abc.tmp")
    for folder in (theirs, other, init, huge):
        folder.mkdir(parents=True)
    git.clone(url, there, ref="main")
    assert sorted(left_over(there)) == sorted([theirs.name, other.name, init.name, huge.name])


def test_an_interrupt_ends_a_clone_in_a_thread(server: GitServer, there: Path) -> None:
    make_repository(server.root / "big", {"big": BIG})
    server.mode = "stall"
    errors: list[GitError] = []

    def work() -> None:
        with pytest.raises(GitError) as error:
            git.clone(server.url("big"), there, ref="main")
        errors.append(error.value)

    thread = threading.Thread(target=work)
    thread.start()
    wait_for(lambda: any(there.parent.glob(".api.*.tmp/.git/objects/pack/tmp_pack_*")))
    process.interrupt()
    thread.join(10)
    assert errors
    assert not left_over(there)


def test_ctrl_c_while_git_talks_ends_git(server: GitServer, there: Path) -> None:
    make_repository(server.root / "big", {"big": BIG})
    server.mode = "stall"
    code = f"""
from pathlib import Path
from hsm_tasks.effects import git
try:
    git.clone({server.url("big")!r}, Path({str(there)!r}), ref="main")
except KeyboardInterrupt:
    print("interrupted")
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as ours:
        wait_for(lambda: any(there.parent.glob(".api.*.tmp/.git/objects/pack/tmp_pack_*")))
        ours.send_signal(signal.SIGINT)
        assert ours.communicate()[0] == b"interrupted\n"
    assert not left_over(there)


def test_without_git_it_is_said_what_to_install(url: str, there: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(there.parent))
    with pytest.raises(GitError, match="git is not on the PATH") as error:
        git.clone(url, there, ref="main")
    assert error.value.hint == "install git"


# hostile words


@pytest.mark.parametrize(
    ("bad_url", "ref", "commit"),
    [
        ("ext::sh -c touch% proof", "main", None),
        ("--upload-pack=touch proof", "main", None),
        ("fd::3", "main", None),
        ("ssh://-oProxyCommand=touch proof/x", "main", None),
        ("http://ada:pass@h/a", "main", None),
        ("http://h/a", "--upload-pack=touch proof", None),
        ("http://h/a", "a..b", None),
        ("http://h/a", "main", "--detach"),
        ("http://h/a", "main", "HEAD~1"),
    ],
)
def test_hostile_words_never_reach_git(
    bad_url: str, ref: str, commit: str | None, checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(GitError, match="git is not asked"):
        git.clone(bad_url, tmp_path / "x", ref=ref, commit=commit)
    with pytest.raises(GitError, match="git is not asked") as error:
        git.advance(checkout, url=bad_url, ref=ref, commit=commit)
    assert "pass@" not in str(error.value)
    if commit is None:
        with pytest.raises(GitError, match="git is not asked"):
            git.remote_commit(bad_url, ref)
        with pytest.raises(GitError, match="git is not asked"):
            git.look(checkout, url=bad_url, ref=ref)
    assert not (tmp_path / "proof").exists()


def test_a_url_that_the_users_git_turns_into_a_program_does_not_run(
    url: str, there: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_config(f'[url "ext::sh -c touch% {tmp_path}/proof "]', f" insteadOf = {url}", "[protocol]", " allow = always")
    monkeypatch.setenv("GIT_ALLOW_PROTOCOL", "ext:http")
    with pytest.raises(GitError, match="not allowed") as error:
        git.clone(url, there, ref="main")
    assert "transport" in error.value.hint
    assert not (tmp_path / "proof").exists()


@pytest.mark.parametrize(
    "wrap", ["{}", "x/{}", "{}.lock", ".{}", "{}.", "{}/", "/{}", "{}*", "{}?", "{}[", "{}\\", "@"]
)
def test_refs_are_judged_as_git_judges_them(wrap: str) -> None:
    for ref in ("main", "a/b", "ü", "a.b", "-q", "--help", "a..b", "a@{1}", "a b", "a:b", "a~1", "a^"):
        name = wrap.format(ref)
        theirs = process.run("git", "check-ref-format", "--allow-onelevel", name, ok=(0, 1, 128, 129)).code == 0
        assert (check_ref(name) is None) == (theirs and not name.startswith("-")), name


def test_hooks_of_the_users_template_do_not_run_in_a_clone(url: str, there: Path, tmp_path: Path) -> None:
    hooks = tmp_path / "template" / "hooks"
    hooks.mkdir(parents=True)
    for name in ("post-checkout", "reference-transaction"):
        (hooks / name).write_text(f"#!/bin/sh\ntouch {tmp_path}/proof\n")
        (hooks / name).chmod(0o755)
    set_config("[init]", f" templateDir = {tmp_path}/template")
    git.clone(url, there, ref="main")
    git.look(there, url=url, ref="dev")
    assert (there / ".git" / "hooks" / "post-checkout").exists()
    assert not (tmp_path / "proof").exists()


def test_the_environment_of_a_hook_does_not_lead_astray(
    url: str, api: Path, there: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_repository(tmp_path / "outer", {"x": "1"})
    before = head(tmp_path / "outer")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "outer" / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(tmp_path / "outer"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "outer" / ".git" / "index"))
    git.clone(url, there, ref="v1")
    assert git.advance(there, url=url, ref="main", commit=None).kind == "kept"
    assert git.state(there).untracked == 0
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name)
    assert head(tmp_path / "outer") == before
    assert head(there) == head(api, "v1")


# what the server has


@pytest.mark.parametrize(("ref", "name"), [("HEAD", "main"), ("dev", "dev"), ("v1", "v1"), ("refs/heads/dev", "dev")])
def test_the_server_is_asked_where_a_ref_is(url: str, api: Path, ref: str, name: str) -> None:
    assert git.remote_commit(url, ref) == head(api, name)


def test_a_full_commit_needs_no_server() -> None:
    assert git.remote_commit("http://127.0.0.1:9/none", "a" * 40) == "a" * 40


def test_a_shortened_commit_is_looked_up_on_the_server(url: str, api: Path) -> None:
    assert git.remote_commit(url, head(api, "v1")[:8]) == head(api, "v1")
    with pytest.raises(GitError, match='"0000000"'):
        git.remote_commit(url, "0000000")


# the state of a checkout


def test_a_folder_that_is_no_checkout_is_none_even_inside_another(tmp_path: Path) -> None:
    make_repository(tmp_path / "outer", {"x": "1"})
    inner = tmp_path / "outer" / "inner"
    (inner / ".git").mkdir(parents=True)
    assert not git.state(inner).is_repository
    (inner / ".git").rmdir()
    assert not git.state(inner).is_repository
    assert not git.state(tmp_path / "nowhere").is_repository


def test_a_broken_checkout_never_acts_on_the_repository_around_it(tmp_path: Path, url: str) -> None:
    outer = tmp_path / "outer"
    before = make_repository(outer, {"x": "1", "inner/y": "2"})
    (outer / "x").write_text("my work")
    (outer / "inner" / ".git").mkdir()
    for act in (git.advance, git.look):
        with pytest.raises(GitError, match="not a checkout"):
            act(outer / "inner", url=url, ref="main")
    assert head(outer) == before
    assert (outer / "x").read_text() == "my work"
    assert "origin" not in plain_git(outer, "for-each-ref")


def test_the_state_counts_what_is_there(checkout: Path) -> None:
    (checkout / "keep.txt").write_text("stash me\n")
    plain_git(checkout, "stash")
    commit(checkout, {"new.txt": "mine\n"})
    (checkout / "a.txt").write_text("changed\n")
    plain_git(checkout, "mv", "keep.txt", "kept.txt")
    (checkout / "untracked").write_text("")
    set_config("[status]", " showUntrackedFiles = no")
    state = git.state(checkout)
    assert (state.changed, state.untracked, state.stashes, state.ahead, state.behind) == (2, 1, 1, 1, 0)
    assert state.commit == head(checkout)
    assert (state.conflicts, state.operation) == (0, None)


def test_a_checkout_without_a_commit_or_a_server_has_a_state(tmp_path: Path) -> None:
    plain_git(tmp_path, "init", "--quiet", "new")
    state = git.state(tmp_path / "new")
    assert (state.is_repository, state.commit, state.branch, state.remote) == (True, None, "main", None)


def test_a_damaged_checkout_is_an_error_with_gits_own_words(checkout: Path) -> None:
    (checkout / ".git" / "index").write_text("rubbish")
    with pytest.raises(GitError, match=r"(?s)can not read the checkout.*index file"):
        git.state(checkout)


def test_a_url_in_quotes_is_read(checkout: Path) -> None:
    plain_git(checkout, "config", "remote.origin.url", "/srv/a;b")
    assert git.state(checkout).remote == "/srv/a;b"


# advance


@pytest.mark.parametrize("ref", ["main", "HEAD", "refs/heads/main"])
def test_a_clean_checkout_follows_its_branch(checkout: Path, url: str, api: Path, ref: str) -> None:
    before = head(checkout)
    assert git.advance(checkout, url=url, ref=ref) == git.Advance("current", before, before)
    after = commit(api, {"a.txt": "3\n"})
    assert git.advance(checkout, url=url, ref=ref) == git.Advance("moved", after, before)
    state = git.state(checkout)
    assert (state.commit, state.branch, state.behind, state.changed) == (after, "main", 0, 0)


def test_a_commit_is_fetched_and_nothing_moves(checkout: Path, url: str, api: Path) -> None:
    before = head(checkout)
    after = commit(api, {"a.txt": "3\n"})
    assert git.look(checkout, url=url, ref="main").commit == after
    assert git.look(checkout, url=url, ref=after).commit == after
    assert git.look(checkout, url=url, ref=after[:9]).commit == after
    assert git.look(checkout, url=url, ref="v1").commit == head(api, "v1")
    assert (head(checkout), git.state(checkout).behind) == (before, 1)
    with pytest.raises(GitError, match='"nope"'):
        git.look(checkout, url=url, ref="nope")
    with pytest.raises(GitError, match="1111"):
        git.look(checkout, url=url, ref="1" * 40)
    with pytest.raises(GitError, match="1111"):
        git.look(checkout, url=url, ref="1" * 7)


def test_a_checkout_on_another_branch_is_left_there_and_told_so(checkout: Path, url: str) -> None:
    plain_git(checkout, "switch", "--quiet", "-c", "mine")
    before = head(checkout)
    found = git.look(checkout, url=url, ref="main")
    assert (found.kind, found.reason) == ("kept", "it is on the branch mine, and not on main")
    assert found.hint.startswith("git switch main (keep your commits on a branch)")
    assert (head(checkout), git.state(checkout).branch) == (before, "mine")


def test_a_detached_checkout_follows_a_tag(url: str, api: Path, there: Path) -> None:
    git.clone(url, there, ref="v1")
    plain_git(api, "tag", "--force", "v1", "main")
    assert git.advance(there, url=url, ref="v1").kind == "moved"
    assert git.state(there).commit == head(api, "main")
    plain_git(api, "tag", "v2", commit(api, {"a.txt": "v2\n"}))
    plain_git(api, "reset", "--quiet", "--hard", "HEAD~1")
    for ref in ("v2", "v1", "v2"):
        assert git.advance(there, url=url, ref=ref).kind == "moved"
    assert head(there) == head(api, "v2")


def test_a_locked_commit_that_is_here_needs_no_server(checkout: Path, url: str, api: Path, server: GitServer) -> None:
    after = commit(api, {"a.txt": "3\n"})
    git.look(checkout, url=url, ref="main")
    asked = len(server.requests)
    assert git.advance(checkout, url=url, ref="main", commit=after).kind == "moved"
    assert git.advance(checkout, url=url, ref="HEAD", commit=after).kind == "current"
    assert len(server.requests) == asked


def test_a_checkout_moves_to_exactly_the_locked_commit(checkout: Path, url: str, api: Path) -> None:
    locked = commit(api, {"a.txt": "3\n"})
    commit(api, {"a.txt": "4\n"})
    assert git.advance(checkout, url=url, ref="main", commit=locked).kind == "moved"
    assert head(checkout) == locked


def test_a_checkout_that_is_past_the_locked_commit_is_kept(checkout: Path, url: str, api: Path) -> None:
    kept = git.advance(checkout, url=url, ref="main", commit=head(api, "main~1"))
    assert (kept.kind, kept.reason) == ("kept", f"it is 1 commit ahead of {head(api, 'main~1')[:12]}")


def test_a_locked_commit_that_is_gone_is_an_error_in_a_checkout_too(checkout: Path, url: str) -> None:
    with pytest.raises(GitError, match=r"hsm\.lock"):
        git.advance(checkout, url=url, ref="main", commit="1" * 40)


def test_a_branch_that_became_a_tag_is_found(checkout: Path, url: str, api: Path) -> None:
    git.look(checkout, url=url, ref="dev")
    plain_git(api, "branch", "--delete", "dev")
    plain_git(api, "tag", "dev")
    assert git.look(checkout, url=url, ref="dev").commit == head(api)


def test_a_server_that_goes_away_is_an_error(checkout: Path, url: str, server: GitServer) -> None:
    server.__exit__()
    for ref in ("main", "HEAD"):
        with pytest.raises(GitError, match=r"(?s)can not (fetch|ask).*\$ git") as error:
            git.advance(checkout, url=url, ref=ref)
        assert "server up" in error.value.hint


def test_another_origin_is_left_as_it_is(checkout: Path, url: str, api: Path, server: GitServer) -> None:
    make_repository(server.root / "fork", {"x": "1"})
    plain_git(checkout, "remote", "set-url", "origin", server.url("fork"))
    before = head(checkout, "origin/main")
    after = commit(api, {"a.txt": "3\n"})
    assert git.advance(checkout, url=url, ref="main").kind == "moved"
    assert (head(checkout), head(checkout, "origin/main")) == (after, before)


def dirty(path: Path) -> None:
    (path / "keep.txt").write_text("work\n")


def staged(path: Path) -> None:
    dirty(path)
    plain_git(path, "add", "--all")


def ahead(path: Path) -> None:
    commit(path, {"mine.txt": "work\n"})


def other_branch(path: Path) -> None:
    plain_git(path, "switch", "--quiet", "-c", "topic")


def detached(path: Path) -> None:
    plain_git(path, "checkout", "--quiet", "--detach")


def in_the_way(path: Path) -> None:
    (path / "theirs.txt").write_text("mine\n")


def rebasing(path: Path) -> None:
    plain_git(path, "switch", "--quiet", "-c", "topic", "HEAD~1")
    commit(path, {"a.txt": "conflict\n"})
    with pytest.raises(RuntimeError, match=r"CONFLICT|could not apply"):
        plain_git(path, "rebase", "main")


def merging(path: Path) -> None:
    plain_git(path, "branch", "topic", "HEAD~1")
    plain_git(path, "switch", "--quiet", "topic")
    commit(path, {"a.txt": "conflict\n"})
    plain_git(path, "switch", "--quiet", "main")
    with pytest.raises(RuntimeError):
        plain_git(path, "merge", "topic")


def conflict(path: Path) -> None:
    merging(path)
    (path / ".git" / "MERGE_HEAD").unlink()


@pytest.mark.parametrize(
    ("work", "reason"),
    [
        (dirty, "1 changed file not committed"),
        (staged, "1 changed file not committed"),
        (ahead, "it has diverged"),
        (other_branch, "it is on the branch topic, and not on main"),
        (detached, "it is on no branch (HEAD is detached), and not on main"),
        (in_the_way, "untracked working tree files would be overwritten"),
        (rebasing, "a rebase is under way"),
        (merging, "a merge is under way"),
        (conflict, "1 file in conflict"),
    ],
)
def test_work_is_never_touched(checkout: Path, url: str, api: Path, work: Callable[[Path], None], reason: str) -> None:
    work(checkout)
    before = snapshot(checkout)
    after = commit(api, {"a.txt": "3\n", "theirs.txt": "theirs\n"})
    for locked in (None, after):
        kept = git.advance(checkout, url=url, ref="main", commit=locked)
        assert (kept.kind, kept.commit) == ("kept", after)
        assert reason in kept.reason
    assert snapshot(checkout) == before


def snapshot(path: Path) -> tuple[object, ...]:
    """The work tree, the index, the stashes and where HEAD and the local branches are."""
    files = {str(f): f.read_bytes() for f in path.rglob("*") if f.is_file() and ".git" not in f.parts}
    answers = [("symbolic-ref", "HEAD"), ("rev-parse", "HEAD"), ("ls-files", "--stage"), ("stash", "list")]
    said = []
    for question in answers:
        try:
            said.append(plain_git(path, *question))
        except RuntimeError:
            said.append("")
    return (files, *said, plain_git(path, "for-each-ref", "refs/heads"))


def test_commits_that_are_not_pushed_are_kept(checkout: Path, url: str) -> None:
    ahead(checkout)
    ahead_commit = head(checkout)
    kept = git.advance(checkout, url=url, ref="main")
    assert (kept.kind, kept.reason) == ("kept", f"it is 1 commit ahead of {kept.commit[:12]}")
    assert head(checkout) == ahead_commit


def test_a_rewritten_branch_is_kept(checkout: Path, url: str, api: Path) -> None:
    plain_git(api, "reset", "--quiet", "--hard", "HEAD~1")
    commit(api, {"a.txt": "rewritten\n"})
    kept = git.advance(checkout, url=url, ref="main")
    assert (kept.kind, kept.reason[:20]) == ("kept", "it has diverged from")
    assert "1 commit here, 1 there" in kept.reason


def test_commits_on_no_branch_are_kept(url: str, api: Path, there: Path) -> None:
    git.clone(url, there, ref="v1")
    mine = commit(there, {"mine.txt": "work\n"})
    kept = git.advance(there, url=url, ref="v1")
    assert (kept.kind, kept.reason) == ("kept", "it is at a commit that is on no branch")
    assert head(there) == mine


def test_a_branch_made_on_a_tag_is_kept(url: str, api: Path, there: Path) -> None:
    git.clone(url, there, ref="v1")
    ahead(there)
    other_branch(there)
    assert git.advance(there, url=url, ref="v1").reason == "it is on the branch topic, and v1 is none"


def test_a_checkout_without_a_commit_is_kept(url: str, there: Path) -> None:
    there.mkdir(parents=True)
    plain_git(there, "init", "--quiet")
    plain_git(there, "remote", "add", "origin", url)
    assert git.advance(there, url=url, ref="main").reason == "it has no commit yet"


def test_stashes_and_untracked_files_survive_a_move(checkout: Path, url: str, api: Path) -> None:
    dirty(checkout)
    plain_git(checkout, "stash")
    (checkout / "note").write_text("mine")
    after = commit(api, {"a.txt": "3\n"})
    assert git.advance(checkout, url=url, ref="main").kind == "moved"
    assert head(checkout) == after
    assert (checkout / "note").read_text() == "mine"
    assert git.state(checkout).stashes == 1


def test_a_move_runs_the_hooks_that_the_owner_of_the_checkout_set_up(
    checkout: Path, url: str, api: Path, tmp_path: Path
) -> None:
    hook = checkout / ".git" / "hooks" / "post-merge"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    hook.chmod(0o755)
    commit(api, {"a.txt": "3\n"})
    assert git.advance(checkout, url=url, ref="main").kind == "moved"
    assert (tmp_path / "ran").exists()


# ignore rules


def test_paths_that_no_rule_covers_are_told_and_then_excluded(checkout: Path) -> None:
    (checkout / ".gitignore").write_text("/repos/\n*.log\n")
    wanted = ["repos/", ".hsm/", "stacks/shop/docker-compose.hsm.yml", "x.log", "ä.yml"]
    missing = [".hsm/", "stacks/shop/docker-compose.hsm.yml", "ä.yml"]
    assert git.not_ignored(checkout, wanted) == missing
    git.exclude(checkout, missing)
    git.exclude(checkout, missing)
    assert git.not_ignored(checkout, wanted) == []
    assert (checkout / ".git" / "info" / "exclude").read_text().splitlines()[-3:] == missing
    assert plain_git(checkout, "status", "--porcelain") == "?? .gitignore"


def test_what_git_does_not_see_needs_no_rule(checkout: Path) -> None:
    (checkout / "repos").symlink_to(checkout.parent)
    assert git.not_ignored(checkout, ["repos/x", "../outside", "seen", "/etc/passwd"]) == ["seen"]


def test_a_rule_is_added_after_a_line_without_an_end(checkout: Path) -> None:
    file = checkout / ".git" / "info" / "exclude"
    file.write_text("mine")
    git.exclude(checkout, ["/x", "/x"])
    assert file.read_text() == "mine\n/x\n"


def test_rules_of_a_worktree_go_to_its_repository(checkout: Path, tmp_path: Path, url: str) -> None:
    tree = tmp_path / "tree"
    plain_git(checkout, "worktree", "add", "--quiet", str(tree))
    (tree / "sub").mkdir()
    git.exclude(tree / "sub", ["*.tmp"])
    assert (checkout / ".git" / "info" / "exclude").read_text().endswith("*.tmp\n")
    assert git.not_ignored(tree, ["a.tmp"]) == []
    state = git.state(tree)
    assert (state.is_repository, state.branch, state.remote) == (True, "tree", url)


def test_the_root_of_the_repository_around_a_folder_is_found(checkout: Path, tmp_path: Path) -> None:
    (checkout / "sub").mkdir()
    assert git.top_level(checkout / "sub") == checkout
    assert git.top_level(tmp_path) is None


def test_outside_of_a_repository_there_is_nothing_to_ignore(tmp_path: Path) -> None:
    with pytest.raises(GitError, match="is in no git repository"):
        git.exclude(tmp_path, ["x"])
    with pytest.raises(GitError, match="can not ask"):
        git.not_ignored(tmp_path, ["x"])


def test_importing_us_does_not_import_gitpython() -> None:
    code = "import sys; import hsm_tasks.effects.git; assert 'git' not in sys.modules"
    assert process.run(sys.executable, "-c", code) == process.Done(0, "", "")


def test_the_test_server_serves_as_a_program(server: GitServer, api: Path) -> None:
    argv = [sys.executable, "-m", "tests.support.gitserver", str(server.root), "0", "ada", "pass"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        address = program.stdout.readline().split()[-1]
        set_config("[credential]", " helper = store")
        (Path.home() / ".git-credentials").write_text(address.replace("//", "//ada:pass@") + "\n")
        assert git.remote_commit(f"{address}api", "main") == head(api)
        program.terminate()


# back to a locked commit


def test_a_branch_goes_back_where_the_server_has_all_that_it_leaves(url: str, api: Path, checkout: Path) -> None:
    first = head(api)
    commit(api, {"a.txt": "3\n"})
    second = head(api)
    git.advance(checkout, url=url, ref="main")
    (checkout / "mine.txt").write_text("untracked\n")
    assert git.advance(checkout, url=url, ref="main", commit=first).kind == "kept"
    assert git.advance(checkout, url=url, ref="main", commit=first, back=True).kind == "moved"
    assert head(checkout) == first
    assert head(checkout, "origin/main") == second
    assert git.state(checkout).branch == "main"
    assert (checkout / "mine.txt").read_text() == "untracked\n"


def test_a_branch_does_not_go_back_over_work(url: str, api: Path, checkout: Path) -> None:
    first = head(api)
    commit(api, {"a.txt": "3\n"})
    git.advance(checkout, url=url, ref="main")
    published = head(checkout)
    (checkout / "a.txt").write_text("mine\n")
    assert git.advance(checkout, url=url, ref="main", commit=first, back=True).kind == "kept"
    plain_git(checkout, "commit", "--quiet", "--all", "--message", "mine")
    assert git.advance(checkout, url=url, ref="main", commit=first, back=True).kind == "kept"
    plain_git(checkout, "checkout", "--quiet", "-b", "other", published)
    assert git.advance(checkout, url=url, ref="main", commit=first, back=True).kind == "kept"
    assert git.state(checkout).branch == "other"


MOVING = """
import sys, threading
from pathlib import Path
from hsm_tasks.effects import git
from hsm_tasks.steps import commands
ended = threading.Event()
def move():
    git.advance(Path(sys.argv[1]), url=sys.argv[2], ref="main")
    ended.set()
if sys.argv[3] == "main":
    move()
threading.Thread(target=move).start()
try:
    ended.wait()
except KeyboardInterrupt:
    commands.interrupt()
    ended.wait()
    raise
"""


@pytest.mark.parametrize("where", ["main", "thread"])
def test_ctrl_c_in_the_middle_of_a_move_leaves_no_half_checkout(
    checkout: Path, url: str, api: Path, tmp_path: Path, where: str
) -> None:
    begun = tmp_path / "begun"
    commit(api, {"a.txt": "3\n", "b.txt": "new\n", "keep.txt": "moved\n"})
    plain_git(checkout, "config", "filter.slow.smudge", f"touch {begun}; sleep 0.5; cat")
    (checkout / ".git/info/attributes").write_text("* filter=slow\n")
    program = subprocess.Popen([sys.executable, "-c", MOVING, str(checkout), url, where], stderr=subprocess.PIPE)
    end = time.monotonic() + 60
    while not begun.exists() and time.monotonic() < end:
        time.sleep(0.01)
    program.send_signal(signal.SIGINT)
    said = program.communicate(timeout=60)[1].decode()
    assert program.returncode in (1, 130, -signal.SIGINT), said
    assert head(checkout) == head(api), said
    assert plain_git(checkout, "status", "--porcelain") == ""
