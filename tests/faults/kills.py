"""A command line in a fork of this process, struck by a signal on its way; and what must hold afterwards."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

import yaml

from hsm_tasks import door
from tests.commands.bench import _Untagged
from tests.model.hsm import Run, _around, call
from tests.support.gitserver import commit, git, make_repository
from tests.support.registry import RegistryServer, busybox_image

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
PATIENCE = 60.0
"""Seconds for what a SIGKILL leaves running (git, compose) to come to its own end; nobody can end it for a dead one."""

HSM = """\
name: {project}
services:
  api:
    repo: {{url: "{git}/api", ref: main}}
    dev: {{build: {{context: .}}, volumes: ["./src:/src"], environment: {{DEBUG: "1"}}}}
    prod: {{image: "{registry}/api", version: "^1.0", limits: {{memory: 64M}}}}
  worker: {{mode: dev, repo: {{url: "{git}/worker", ref: main}}}}
  web: {{prod: {{image: "{registry}/web:1.0"}}}}
groups:
  database: {{strategy: 1-of-N, alias: db, options: [pg, my], selection: pg}}
"""
BASE = """\
services:
  api: {{image: "{registry}/api:1.0.0", depends_on: [db]}}
  worker: {{image: "{registry}/worker", depends_on: [db]}}
  web: {{image: "{registry}/web:0.9", depends_on: [api]}}
  pg: {{image: "{registry}/pg:16", volumes: ["data:/data"]}}
  my: {{image: "{registry}/my:8"}}
volumes: {{data: {{}}}}
"""
SOURCES = {"Dockerfile": "FROM {registry}/base:1\nCOPY src /src\nRUN sleep 0.2\n", "src/main": "first\n"}


@dataclass
class Stage:
    """A workspace whose states are kept and brought back, so that each kill falls into the same run."""

    folder: Path
    registry: RegistryServer
    environ: dict[str, str]
    project: str
    chance: random.Random
    durations: dict[tuple[str, tuple[str, ...]], float] = field(default_factory=dict)
    ends: dict[tuple[str, tuple[str, ...]], dict[str, bytes]] = field(default_factory=dict)
    """What a command leaves, by the state that it began with."""
    kills: dict[str, int] = field(default_factory=dict)

    @property
    def root(self) -> Path:
        return self.folder / "workspace"

    def fill(self) -> None:
        """Images, repositories and the workspace, and the states that commands begin with: new, and synced."""
        for name, tags in {"web": ("0.9", "1.0"), "api": ("1.0.0", "1.1.0"), "pg": ("16",), "my": ("8",)}.items():
            for tag in tags:
                image = busybox_image({"note": f"{name} {tag}".encode()})
                self.registry.push(name, tag, config=image.config, layers=image.layers)
        for name in ("base", "worker"):
            image = busybox_image()
            self.registry.push(name, "1" if name == "base" else "latest", config=image.config, layers=image.layers)
        names = {"registry": self.registry.host, "git": str(self.folder / "git"), "project": self.project}
        for name in ("api", "worker"):
            files = {path: text.format(**names) for path, text in SOURCES.items()}
            make_repository(self.folder / "git" / name, {**files, "big": random.Random(0).randbytes(300_000)})
        stack = self.root / "stacks/shop"
        stack.mkdir(parents=True)
        (stack / "hsm.yaml").write_text(HSM.format(**names))
        (stack / "docker-compose.yml").write_text(BASE.format(**names))
        git(self.root, "init", "--quiet")
        commit(self.root, {".gitignore": "repos/\n"})
        self.keep("new")
        self.right(call(self.root, self.environ, "sync"))
        self.keep("synced")
        self.right(call(self.root, self.environ, "dev:api"))
        self.keep("dev")
        for name in ("api", "worker"):
            commit(self.folder / "git" / name, {"src/main": "second\n"})

    def keep(self, name: str) -> None:
        shutil.copytree(self.root, self.folder / name, symlinks=True)

    def bring_back(self, name: str) -> None:
        shutil.rmtree(self.root)
        subprocess.run(["cp", "-a", str(self.folder / name), str(self.root)], check=True)

    def right(self, done: Run) -> None:
        assert done.code == 0, done.said

    def undisturbed(self, name: str, words: tuple[str, ...]) -> None:
        """Once: how long the command takes, and what it leaves."""
        if (name, words) not in self.ends:
            self.bring_back(name)
            begun = time.monotonic()
            self.right(call(self.root, self.environ, *words))
            self.durations[name, words] = time.monotonic() - begun
            self.right(call(self.root, self.environ, "sync"))
            self.ends[name, words] = self.files()

    def strike(self, name: str, words: tuple[str, ...], number: signal.Signals) -> None:
        """One kill, and everything that must hold after it."""
        self.undisturbed(name, words)
        self.bring_back(name)
        after = self.chance.random() * self.durations[name, words] * 1.1
        story = f"{number.name} after {after:.3f} s of {' '.join(words)}"
        code = struck(self.root, self.environ, number, after, *words)
        self.kills[number.name] = self.kills.get(number.name, 0) + 1
        assert code in (0, 130, -number), f"{story}: exit {code}\n{(self.folder / 'said.log').read_text()}"
        self.no_process(story, PATIENCE if number == signal.SIGKILL else 0)
        self.readable(story)
        healed = call(self.root, self.environ, *words)
        assert healed.code == 0, f"{story}; then exit {healed.code}\n{healed.said}"
        assert "warning" not in healed.said, f"{story}; then {healed.said}"
        self.right(call(self.root, self.environ, "sync"))
        mine, right = self.files(), self.ends[name, words]
        other = sorted(path for path in {*mine, *right} if mine.get(path) != right.get(path))
        assert not other, f"{story}: {other} are not those of an undisturbed run"
        again = call(self.root, self.environ, "sync")
        assert not again.ran, f"{story}: then sync runs {again.ran} again, {again.reasons}"

    def files(self) -> dict[str, bytes]:
        """Everything but git's own files, and what hsm remembers of its runs."""
        found = {path.relative_to(self.root).as_posix(): path for path in self.root.rglob("*")}
        own = (".hsm/lock", ".hsm/shop/logs", ".hsm/shop/state.db", ".hsm/shop/snapshot", ".hsm/snapshot")
        seen = {name: path for name, path in found.items() if not name.startswith(own) and ".git/" not in f"{name}/"}
        heads = {f"{name} HEAD": git(self.root / "repos" / name, "rev-parse", "HEAD").encode()
                 for name in ("api", "worker") if (self.root / "repos" / name).exists()}
        # what compose printed may be in another order in its cache; stats of built sources have inodes
        plain = {name: path.read_bytes() for name, path in seen.items() if path.is_file() and "sources" not in name}
        return plain | heads

    def readable(self, story: str) -> None:
        """Whatever is there is whole."""
        stack = self.root / "stacks/shop"
        for path in (stack / "hsm.lock", stack / "hsm.local.yaml", *self.root.glob(".hsm/shop/*/*.yml")):
            if path.exists():
                assert isinstance(yaml.load(path.read_text(), Loader=_Untagged), dict), f"{story}: {path}"
        for path in self.root.glob(".hsm/shop/*/*.json"):
            assert json.loads(path.read_text()), f"{story}: {path}"
        override = stack / "docker-compose.hsm.yml"
        if override.exists():
            assert override.read_text().endswith("\n"), f"{story}: half an override"
        for checkout in self.root.glob("repos/[!.]*"):
            assert git(checkout, "status", "--porcelain") == "", f"{story}: half a checkout"
            git(checkout, "fsck", "--no-progress")

    def no_process(self, story: str, patience: float) -> None:
        """Nothing that the run has started lives on."""
        end = time.monotonic() + patience
        while (left := list(self.living())) and time.monotonic() < end:
            time.sleep(0.02)
        assert not left, f"{story}: still running: {left}"

    def living(self) -> Iterator[str]:
        mark = f"HSM_TEST_MARK={self.environ['HSM_TEST_MARK']}".encode()
        for folder in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if folder.name.isdigit() and mark in (folder / "environ").read_bytes().split(b"\0"):
                    yield (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()


def struck(root: Path, environ: Mapping[str, str], number: int, after: float, *words: str) -> int:
    """Runs the words in a fork, sends it the signal after some seconds, and returns how it ended."""
    pid, said = _fork(root, environ, words)
    time.sleep(after)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
    return _ended(root, pid, said)[0]


def forked(
    root: Path, environ: Mapping[str, str], *words: str, first: Callable[[], None] = lambda: None
) -> tuple[int, str]:
    """Runs the words in a fork that is prepared by `first`; its exit code, and what it said."""
    return _ended(root, *_fork(root, environ, words, first))


def _ended(root: Path, pid: int, said: int) -> tuple[int, str]:
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    with open(said, "rb") as stream:
        text = stream.read().decode(errors="replace")
    (root.parent / "said.log").write_text(text)
    return code, text


def _fork(
    root: Path, environ: Mapping[str, str], words: tuple[str, ...], first: Callable[[], None] = lambda: None
) -> tuple[int, int]:
    """The process, and the pipe with what it says: it may not be able to write files."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writer)
        return pid, reader
    code = 2
    try:
        with open(writer, "w", buffering=1) as said:
            code = _as_a_program(root, environ, words, first, said)
    except KeyboardInterrupt:  # before the program had begun, or after its end
        code = 130
    finally:
        os._exit(code)


def _as_a_program(
    root: Path, environ: Mapping[str, str], words: tuple[str, ...], first: Callable[[], None], said: TextIO
) -> int:
    act: Callable[..., int] = door.main
    log = root.parent / "run.log"
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said), _around(root, environ, log):
        try:
            first()
            return act(words)
        except KeyboardInterrupt:  # it came before main began, or when it had ended
            return 130
