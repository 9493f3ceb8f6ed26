"""One command line of hsm: in this process (`call`), or in a fork of it that is killed on its way (`killed`).

A sequence asks compose the same questions again and again, and each takes as long as a whole sync without it. So
`Memo` keeps the real answers of the real tools, by everything that they get: argv, input, environment, and the content
of all files that they could read. tests/model/test_memo.py asks anew and compares. Nothing of hsm's own is kept.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import json
import os
import pickle
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hsm_tasks import door, shortcut
from hsm_tasks.core.errors import CommandFailed
from hsm_tasks.effects import compose, git, process
from hsm_tasks.stack import reading
from tests.support import world

_REAL_CLONE = git.clone
NO_ENGINE = "tcp://127.0.0.1:1"
HSM_FILES = ("hsm.yaml", "hsm.local.yaml", "hsm.lock", "docker-compose.hsm.yml")
# what a kill may fall upon: every moment at which hsm is about to change the world
MOMENTS = ("open", "os.rename", "os.remove", "os.mkdir", "os.chmod", "shutil.rmtree", "subprocess.Popen",
           "socket.connect", "sqlite3.connect", "os.rmdir", "tempfile.mkstemp", "os.listdir", "os.scandir")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Run:
    """`results`: step → ran, fresh, failed or skipped; `reasons` likewise. `code` -9: it was killed. `out`: stdout.
    `short`: the snapshot answered it."""

    code: int
    results: Mapping[str, str]
    reasons: Mapping[str, str]
    said: str
    out: str = ""
    short: bool = False

    @property
    def ran(self) -> tuple[str, ...]:
        return tuple(step for step, result in self.results.items() if result == "ran")


def call(root: Path, environ: Mapping[str, str], *words: str) -> Run:
    """A command line in the folder."""
    log = root.parent / "run.log"
    log.unlink(missing_ok=True)
    said, out = io.StringIO(), io.StringIO()
    streams = contextlib.redirect_stderr(said), contextlib.redirect_stdout(out)
    with _around(root, environ, log), streams[0], streams[1], _answers() as short:
        code = door.main(words)
    return replace(_run(code, log, said.getvalue()), out=out.getvalue(), short=any(short))


@contextlib.contextmanager
def _answers() -> Iterator[list[bool]]:
    """Whether the snapshot was asked, and whether it answered."""
    real, answers = shortcut.taken, list[bool]()

    def taken(argv: Sequence[str]) -> bool:
        answers.append(real(argv))
        return answers[-1]

    shortcut.taken = taken
    try:
        yield answers
    finally:
        shortcut.taken = real


def killed(root: Path, environ: Mapping[str, str], moment: int, *words: str, after: float = 60) -> Run:
    """The same in a fork, which dies of SIGKILL at its nth moment (0: at none), or after some seconds."""
    log, said = root.parent / "run.log", root.parent / "said.log"
    log.unlink(missing_ok=True)
    pid = os.fork()
    if pid == 0:
        code = 2
        git.clone = _REAL_CLONE
        try:
            with contextlib.ExitStack() as stack:
                stream = stack.enter_context(said.open("w"))
                stack.enter_context(contextlib.redirect_stderr(stream))
                stack.enter_context(contextlib.redirect_stdout(stream))
                stack.enter_context(_around(root, environ, log))
                stack.enter_context(moments(moment, _die))
                code = door.main(words)
        finally:
            os._exit(code)
    end = time.monotonic() + after
    while not (found := os.waitpid(pid, os.WNOHANG))[0]:
        if time.monotonic() > end:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.001)
    return _run(os.waitstatus_to_exitcode(found[1]), log, said.read_text())


@functools.cache
def docker_settings(folder: Path) -> dict[str, str]:
    """No logins of the user, and the compose plugin that the user has."""
    return world.docker_settings(folder)


_waiting: list[tuple[int, Callable[[], object]]] = []
_heard: list[bool] = []


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    """Counts down to the moment that is waited for. An audit hook stays for the life of the process."""
    if _waiting and event in MOMENTS and not (event == "open" and not _writes(arguments)):
        left, act = _waiting.pop()
        if left > 1:
            _waiting.append((left - 1, act))
        else:
            act()


@contextlib.contextmanager
def moments(count: int, act: Callable[[], object]) -> Iterator[list[bool]]:
    """Calls `act` at the nth moment of the block; the list is not empty if that came."""
    reached: list[bool] = []
    ended = threading.Event()

    def acting() -> None:
        reached.append(True)
        try:
            act()
        finally:
            ended.set()

    if not _heard:
        sys.addaudithook(_hear)
        _heard.append(True)
    _waiting[:] = [(count, acting)] if count else []
    try:
        yield reached
    finally:
        _waiting.clear()
        if reached:  # in a thread that the run did not wait for
            ended.wait(60)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _writes(arguments: tuple[Any, ...]) -> bool:
    flags = arguments[2]
    return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


def _run(code: int, log: Path, said: str) -> Run:
    lines = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    results = {line["step"]: line["result"] for line in lines}
    return Run(code, results, {line["step"]: line["reason"] for line in lines}, said)


@contextlib.contextmanager
def _around(root: Path, environ: Mapping[str, str], log: Path) -> Iterator[None]:
    before, place = dict(os.environ), Path.cwd()
    for word in [word for word in os.environ if word.startswith(("COMPOSE_", "HSM_", "GIT_"))]:
        del os.environ[word]
    home = root.parent / "home"
    home.mkdir(exist_ok=True)
    os.environ |= {**docker_settings(root.parent / "docker"), "DOCKER_HOST": NO_ENGINE, "HOME": str(home)}
    os.environ |= {"HSM_RUN_LOG": str(log), **environ}
    os.chdir(root)
    reading._asked_before.clear()  # it lives as long as a process of hsm's, which is one command line
    try:
        yield
    finally:
        os.chdir(place)
        os.environ.clear()
        os.environ |= before


# --- real answers, asked once -------------------------------------------------------------------------------------


class Memo:
    """As a context manager, between hsm and two slow tools: `docker compose … config`, and clones of git.

    `world()` tells the state of the repositories. `hits` and `asked` are counted, so that a test can see that it works.
    `doubting`: every answer that was kept is asked for anew, and compared.
    """

    def __init__(self, folder: Path, world: Callable[[], str], *, doubting: bool = False) -> None:
        self.folder, self.world, self.doubting = folder, world, doubting
        self.hits = self.asked = 0
        self._run, self._clone = process.run, git.clone

    def __enter__(self) -> Memo:
        self.folder.mkdir(parents=True, exist_ok=True)
        process.run, git.clone = self._config, self._cloned
        return self

    def __exit__(self, *_: object) -> None:
        process.run, git.clone = self._run, self._clone

    def _config(self, *argv: str, **given: Any) -> process.Done:
        if argv[:2] != ("docker", "compose") or not {"config", "version"} & {*argv}:
            return self._run(*argv, **given)
        root = _root(given.get("cwd"))
        key = self._key(argv, given, root)
        kept = self.folder / key
        if not kept.exists():
            self.asked += 1
            answer = self._answer(argv, given, self._directly)
            # not what it said of files that somebody edited meanwhile, nor that it could not be started, or was ended
            if 0 <= answer[0] < 126 and key == self._key(argv, given, root):
                _put(kept, pickle.dumps(answer))
        else:
            self.hits += 1
            answer = pickle.loads(kept.read_bytes())
            if self.doubting:
                now = self._answer(argv, given)
                assert repr(answer) == repr(now), f"{argv}: {answer} != {now}"
        code, said = answer
        if isinstance(said, str):
            raise CommandFailed(argv, code, said, given.get("explain", ""), given.get("hint", ""))
        return process.Done(code, *said)

    def _answer(
        self, argv: tuple[str, ...], given: Mapping[str, Any], how: Callable[..., process.Done] | None = None
    ) -> tuple[int, str | tuple[str, str]]:
        """Exit code, and what it said: a text where it refused."""
        try:
            done = (how or self._run)(*argv, **given)
        except CommandFailed as error:
            return error.code, error.said
        return done.code, (done.out, done.err)

    def _directly(self, *argv: str, **given: Any) -> process.Done:
        """The plugin itself, without docker's own program around it and without a collector of garbage: a third of the
        work for the same answer."""
        plugin = str(compose.identity_files()[-1])
        given |= {"env": {**(given.get("env") or {}), "GOGC": "off", "GOMAXPROCS": "1"}, "really": ()}
        return self._run(plugin, *argv[2:], **given)

    def _key(self, argv: tuple[str, ...], given: Mapping[str, Any], root: Path | None) -> str:
        """Workspaces lie in different places; what they are told does not depend on it (test_memo.py looks)."""
        around = {**os.environ, **(given.get("env") or {})}
        own = {key: value for key, value in around.items() if key not in ("HSM_RUN_LOG", "HOME", "PWD", "OLDPWD")}
        digest = hashlib.sha256()
        parts: list[object] = [argv, given.get("text_in"), sorted(own.items())]
        if root is not None:
            parts.append(given["cwd"].relative_to(root))
            parts += sorted(_content(root, alone="-" in argv).items())
        for part in parts:
            digest.update(repr(part).replace(str(root), "ROOT").encode())
        return digest.hexdigest()

    def _cloned(self, url: str, directory: Path, **given: Any) -> str:
        asked = {key: value for key, value in given.items() if key not in ("progress", "stall")}
        name = hashlib.sha256(repr((url, sorted(asked.items()), self.world())).encode()).hexdigest()
        kept = self.folder / f"{name}.clone"
        if not kept.exists() or (directory.exists() and any(directory.iterdir())):
            commit = self._clone(url, directory, **given)
            if not kept.exists():
                beside = kept.with_suffix(f".{threading.get_ident()}")
                shutil.copytree(directory, beside, symlinks=True)
                _put(kept.with_suffix(".commit"), commit.encode())
                beside.rename(kept)
            return commit
        if self.doubting:
            assert self._clone(url, directory, **given) == kept.with_suffix(".commit").read_text()
            shutil.rmtree(directory)
        if directory.exists():
            directory.rmdir()
        shutil.copytree(kept, directory, symlinks=True)
        return kept.with_suffix(".commit").read_text()


def _root(folder: Path | None) -> Path | None:
    """The workspace around a folder."""
    around = [] if folder is None else [folder, *folder.parents]
    return next((path for path in around if (path / "pyproject.toml").exists()), None)


def _content(root: Path, *, alone: bool) -> dict[str, bytes]:
    """All files that compose could read: the base and what lies beside it, and the override. `alone`: what it is asked
    about comes by stdin, and names no file; then there is only .env."""
    there = [path for path in (root / "stacks" / "shop").rglob("*") if path.suffix != ".tmp"]  # another step's work
    beside = [path for path in there if path.is_file() and path.name not in HSM_FILES]
    found = [*beside, *(root / ".hsm").glob("*/override.yml")]
    if alone:
        found = [path for path in beside if path.name == ".env"]
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in found}


def _put(path: Path, data: bytes) -> None:
    beside = path.with_suffix(f".{os.getpid()}")
    beside.write_bytes(data)
    beside.replace(path)
