"""How git is called: with the user's own credentials, never with a prompt, and never for longer than a server lives.

`talk` is for what may need a server: GitPython, progress, a limit on silence. `ask` is for the short local questions.
What is done to git's environment, and why:

* GIT_DIR and its kin are taken out: hsm may run in a hook, where they name the repository of the hook.
* The user's GIT_CONFIG_COUNT entries stay (CI hands in tokens so); ours are appended.
* A folder above the checkout is never searched for a repository: in a broken checkout git would work on the user's own.
* `ext::` and other transports that run programs are off. For submodules, whose urls nobody has looked at, git's own
  defaults hold, which refuse local paths as well.
* No hooks while we clone or fetch: a hook of the user's template could fail, ask or change files, and a clone is the
  same on every machine. In a checkout that we move, they run as they do when its owner moves it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hsm_tasks.core.errors import CommandFailed, GitError, mask
from hsm_tasks.core.giturl import PROTOCOLS
from hsm_tasks.effects import process
from hsm_tasks.effects.process import Done

if TYPE_CHECKING:
    from git import Git

Progress = Callable[[str], None]

_STALL = 60.0
_ALIEN = (
    *("GIT_DIR", "GIT_WORK_TREE", "GIT_IMPLICIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_PREFIX"),
    *("GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_NAMESPACE", "GIT_CONFIG", "GIT_SHALLOW_FILE"),
    *("GIT_GRAFT_FILE", "GIT_REPLACE_REF_BASE", "GIT_NO_REPLACE_OBJECTS", "GIT_QUARANTINE_PATH"),
)
_SAFE = {
    "core.fsmonitor": "false",  # names a program to run, in a file that came with the checkout's .git
    "safe.bareRepository": "explicit",  # a folder of the sources may look like a repository, with its own config
    "maintenance.auto": "false",  # it would go on in the background, in a checkout that may be moved next
}
_NO_HOOKS = {"core.hooksPath": os.devnull}
# "Receiving objects:  66% (2/3), 12.33 MiB | 1.50 MiB/s": of one big object only the amount grows
_PROGRESS = re.compile(
    r"(?:remote: )?([\w ]+): +(\d+)% \(\d+/\d+\)(?:, ([\d.]+ \w+)(?: \| ([\d.]+ \w+/s))?)?"
    r"|(?:remote: )?[\w ]+: \d+(?:, done\.)?$"
)
_USERINFO = re.compile(r"//[^/\s'\"]+@")
_QUERY = re.compile(r"([?&][^=&\s]*(?:token|passw|secret|key|auth)[^=&\s]*=)[^&\s'\"]+", re.IGNORECASE)
_SILENCE = logging.NullHandler()
_HINTS = (
    (r"could not read (Username|Password)|Authentication failed|error: 40[13]|terminal prompts disabled",
     "git has no valid login for this server: store one with a credential helper (git help credentials)"),
    (r"Permission denied \(|Host key verification failed|no matching host key",
     "ssh can not log in by itself: connect once by hand, and let an ssh agent hold the key"),
    (r"Could not resolve host|Failed to connect|Connection refused|timed out|unable to connect|no sign of|too slow",
     "is the server up, and is there a way to it?"),
    (r"early EOF|unexpected disconnect|hung up unexpectedly|RPC failed|transfer closed",
     "the line was cut: run it again"),
    (r"transport '\w*' not allowed",
     "this transport is refused here: use https, ssh, git or http"),
    (r"[Rr]epository .* not found|does not (appear to be a git repository|exist)|error: 404",
     "is the url right, and may you read it?"),
    (r"[Nn]o space left|[Ff]ile too large|quota exceeded|write error|unable to (write|create)|can(no|')t write",
     "is there space, and may you write there?"),
    (r"dubious ownership",
     "the folder belongs to another user: see safe.directory in git help config"),
)  # fmt: skip


def quiet(_line: str) -> None:
    """Progress that nobody wants to see."""


def stall_limit() -> float:
    """The seconds of silence after which a server counts as dead, for every transport; the user's own word counts."""
    with contextlib.suppress(KeyError, ValueError):
        return max(1.0, float(os.environ["GIT_HTTP_LOW_SPEED_TIME"]))
    return _STALL


def environment(
    at: Path | None, *, hooks: bool = False, submodules: bool = False, stall: float | None = None
) -> dict[str, str]:
    """What is laid over our own environment for git; `at` is the checkout that it must not look above."""
    env = {"GIT_TERMINAL_PROMPT": "0", "GCM_INTERACTIVE": "never", "GIT_OPTIONAL_LOCKS": "0"}
    env |= {"LC_ALL": "C", "LANGUAGE": "C"}  # we read some of its words
    theirs = os.environ.get("GIT_ALLOW_PROTOCOL")
    if theirs is not None or not submodules:
        env["GIT_ALLOW_PROTOCOL"] = ":".join(p for p in PROTOCOLS if theirs is None or p in theirs.split(":"))
    if stall is not None and "GIT_HTTP_LOW_SPEED_LIMIT" not in os.environ:
        # one byte a second: a server that prepares a large pack says little, and a dead one nothing
        env |= {"GIT_HTTP_LOW_SPEED_LIMIT": "1", "GIT_HTTP_LOW_SPEED_TIME": str(max(1, round(stall)))}
    if at is not None:
        above = os.environ.get("GIT_CEILING_DIRECTORIES", "")
        env["GIT_CEILING_DIRECTORIES"] = f"{above}{os.pathsep if above else ''}{at.resolve().parent}"
    return env | _settings(_SAFE if hooks else {**_SAFE, **_NO_HOOKS})


def _settings(wanted: Mapping[str, str]) -> dict[str, str]:
    try:
        first = int(os.environ.get("GIT_CONFIG_COUNT") or "0")
    except ValueError:
        return {}  # git says itself what is wrong with it
    env = {"GIT_CONFIG_COUNT": str(first + len(wanted))}
    for number, (key, value) in enumerate(wanted.items(), first):
        env |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return env


def ask(*arguments: str, at: Path, env: Mapping[str, str] | None = None, text_in: str | None = None) -> Done:
    """Ask git about the checkout `at` (no other is found), without a server; the caller looks at the code."""
    env = environment(at) if env is None else env
    return process.run(*_argv("-C", str(at), *arguments), env=env, text_in=text_in, ok=tuple(range(256)))


def talk(
    arguments: Sequence[str],
    env: Mapping[str, str],
    *,
    progress: Progress = quiet,
    limit: float | None = None,
    spared: bool = False,
) -> Done:
    """Let git do what may need a server; the caller looks at the code. After `limit` seconds of silence it is ended.

    `spared`: an interrupt of ours does not end it; whoever is interrupted waits for it.
    """
    git = _gitpython()
    from git.cmd import handle_process_output

    ear = _Ear(progress)
    out: list[str] = []
    release_interrupts = process.hold_interrupts()
    try:
        child = git.execute(
            _argv(*arguments),
            env=dict(env),
            as_process=True,
            universal_newlines=True,
            errors="replace",
            start_new_session=True,
        )
    except BaseException:
        release_interrupts()
        raise
    with _alive(child, release_interrupts, spared) as program, _ended_when_silent(program.pid, ear, limit):
        handle_process_output(child, out.append, ear, decode_streams=False)
        code = program.wait()
    return Done(code if code >= 0 else 128 - code, "".join(out), scrub("\n".join(ear.words)))


def refusal(arguments: Sequence[str], done: Done, explain: str) -> GitError:
    """The error for what git said: one sentence, the command, its words whole, and what may help."""
    said = done.err or done.out
    hint = next((hint for pattern, hint in _HINTS if re.search(pattern, said)), "")
    whole = CommandFailed(("git", *map(scrub, arguments)), done.code, scrub(said), explain)
    return GitError(whole.message, hint)


def scrub(text: str) -> str:
    """The text without what may be a password or a token in a url."""
    return mask(_QUERY.sub(r"\1***", _USERINFO.sub("//***@", text)))


def _argv(*arguments: str) -> list[str]:
    """GitPython can add to the environment and not take away from it: env(1) can, and is then git itself."""
    alien = [name for name in _ALIEN if name in os.environ]
    return [*(["env"] if alien else []), *(part for name in alien for part in ("-u", name)), "git", *arguments]


def _gitpython() -> Git:
    """GitPython, which asks for git's version when it is first imported: not at our own import."""
    if shutil.which("git") is None:
        raise GitError("git is not on the PATH", "install git")
    logging.getLogger("git").addHandler(_SILENCE)  # it would print what we say in our own words
    from git import Git

    return Git()


class _Ear:
    """Listens to git: hands on progress in short words, keeps the rest, and knows when it last heard anything."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.words: list[str] = []
        self.heard = time.monotonic()
        self._last = ""

    def __call__(self, line: str) -> None:
        self.heard = time.monotonic()
        found = _PROGRESS.match(line)
        if not found:
            self.words.append(line.rstrip())
        elif found[1]:
            amount = ", ".join(part for part in (found[3], found[4]) if part)
            text = f"{found[1].strip().lower()} {found[2]}%{amount and f' ({amount})'}"
            if text != self._last:
                self._last = text
                self.progress(text)


@contextlib.contextmanager
def _alive(child: Git.AutoInterrupt, release_interrupts: Callable[[], None], spared: bool) -> Iterator[Any]:
    program = child.proc
    assert program is not None
    pid = program.pid
    if not spared:
        process.adopt(pid)
    try:
        release_interrupts()
        yield program
    except BaseException:
        if not spared:
            process.end(pid)
        raise
    finally:
        program.wait()
        process.release(pid)


@contextlib.contextmanager
def _ended_when_silent(pid: int, ear: _Ear, limit: float | None) -> Iterator[None]:
    """End git when it has been silent for too long: over git:// and ssh it knows no such limit itself."""
    if limit is None:
        yield
        return
    over = threading.Event()
    patience = limit * 1.25 + 1  # over http git gives up by itself, and has better words for it

    def watch() -> None:
        while not over.wait(max(0.02, ear.heard + patience - time.monotonic())):
            if time.monotonic() - ear.heard >= patience:
                ear.words.append(f"hsm ended git: no sign of life for {limit:g} s")
                process.end(pid)
                return

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
