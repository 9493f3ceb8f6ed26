"""Small workspaces for tests that run hsm as a process, through either door, on a real registry and a real git server.

The stack of most tests is below: a page (web) in front of an api, a 1-of-N database that answers to `db`, an M-of-N
group, a profile and a one-shot. All images are busybox, and serve their own name over http.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from hsm_tasks.effects import compose
from tests.support import images, world
from tests.support.gitserver import GitServer, commit, make_repository
from tests.support.registry import RegistryServer, busybox_image

Door = Literal["doit", "hsm"]
DOORS: tuple[Door, Door] = ("doit", "hsm")
DODO = (world.REPOSITORY / "dodo.py").read_text()
NO_ENGINE = "tcp://127.0.0.1:1"
CHECK = {"Test": ["CMD", "true"], "Interval": 200_000_000, "Retries": 3, "StartInterval": 100_000_000}
NUMBER = 0

HSM_YAML = """\
services:
  api:
    repo: {url: "@GIT@/api.git", ref: main}
    dev:
      volumes: ["./www:/www"]
      environment: {DEBUG: "1"}
    prod: {image: "@REG@/api", version: "^1.0", limits: {memory: 64M}}
  web:
    prod: {image: "@REG@/web:1.0"}
groups:
  database:
    strategy: 1-of-N
    alias: db
    options:
      pg: {consumers: {api: {environment: {DATABASE_URL: "pg://db"}}}}
      my: {consumers: {api: {environment: {DATABASE_URL: "my://db"}}}}
    selection: pg
  extras:
    strategy: M-of-N
    options: [metrics, tracing]
    selection: [metrics]
  tools:
    strategy: M-of-N
    profiles: [debug]
    selection: []
"""
BASE = """\
services:
  web:
    image: @REG@/web:0.9
    ports: ["127.0.0.1:${WEB_PORT:-0}:80"]
    depends_on: {api: {condition: service_started}}
  api:
    image: @REG@/api:1.0.0
    depends_on: {db: {condition: service_healthy}, job: {condition: service_completed_successfully}}
  job:
    image: @REG@/web:0.9
    command: ["true"]
  pg:
    image: @REG@/pg:16
    volumes: ["pg-data:/data"]
  my:
    image: @REG@/my:8
  metrics:
    image: @REG@/metrics
  tracing:
    image: @REG@/metrics
  toolbox:
    image: @REG@/web:1.0
    profiles: [debug]
volumes:
  pg-data:
"""
SOURCES = {
    "Dockerfile": "FROM @REG@/base:1\nCOPY www /www\nCOPY note /note\n",
    "www/index.html": "api from sources\n",
    "note": "first\n",
    ".dockerignore": "README\n",
}


@dataclass
class Servers:
    """A registry with the images of the stack, and the repository `api.git`."""

    folder: Path
    registry: RegistryServer
    git: GitServer
    docker: Mapping[str, str]
    made: list[Workspace] = field(default_factory=list)

    def fill(self) -> None:
        """The images and the repository."""
        for name, tags in {"web": ("0.9", "1.0"), "api": ("1.0.0", "1.1.0"), "pg": ("16",), "my": ("8",)}.items():
            for tag in tags:
                self.push(name, tag)
        self.push("metrics", "latest")
        self.push("base", "1", text="base")
        self.repository("api", SOURCES)

    def push(self, name: str, tag: str, *, text: str = "", created: str | None = None, **config: Any) -> str:
        """An image that serves its own name and tag over http, under HOST/NAME:TAG; its digest."""
        health: dict[str, Any] = {"Healthcheck": CHECK} if name in ("pg", "my") else {}
        serve = ("httpd", "-f", "-p", "80", "-h", "/www")
        image = busybox_image(
            {"www/index.html": f"{text or f'{name} {tag}'}\n".encode()},
            cmd=serve,
            **{"StopSignal": "SIGKILL", **health, **config},
        )
        return self.registry.push(name, tag, config=image.config, layers=image.layers, created=created)

    def repository(self, name: str, files: Mapping[str, str]) -> str:
        """A repository that is served as NAME.git; its first commit."""
        return make_repository(self.source(name), {path: self.filled(text) for path, text in files.items()})

    def source(self, name: str) -> Path:
        """Where the repository lies, to commit to it."""
        return self.git.root / f"{name}.git"

    def commit(self, name: str, files: Mapping[str, str]) -> str:
        """One commit more on the branch that is checked out there."""
        return commit(self.source(name), files)

    def filled(self, text: str) -> str:
        """The text with the addresses of these servers."""
        return text.replace("@REG@", self.registry.host).replace("@GIT@", self.git.url("").rstrip("/"))

    def workspace(self, root: Path, door: Door = "doit", files: Mapping[str, str] | None = None) -> Workspace:
        """A workspace of one stack: `doit` in stacks/shop below a dodo.py, `hsm` in a folder with nothing but hsm.yaml
        and the base. `files` replaces or adds files, by their paths below the stack."""
        global NUMBER  # noqa: PLW0603, RUF100 - each workspace has a project of its own
        NUMBER += 1
        name = f"hsmcmd{os.getpid()}x{NUMBER}"
        made = Workspace(root, door, name, self, root / "stacks/shop" if door == "doit" else root)
        root.mkdir(parents=True, exist_ok=True)
        if door == "doit":
            (root / "dodo.py").write_text(DODO)
        given = {"hsm.yaml": HSM_YAML, "docker-compose.yml": BASE, **(files or {})}
        for path, text in given.items():
            made.write(path, f"name: {name}\n{text}" if path == "hsm.yaml" and "name:" not in text[:6] else text)
        self.made.append(made)
        return made

    def remove(self) -> None:
        """Everything that the engine has of these tests."""
        for made in self.made:
            made.remove()
        names = [*images.of_registry(self.registry.host), f"hsmcmd{os.getpid()}x*"]
        images.put_away({**os.environ, **self.docker}, names, [made.project for made in self.made])

    def call(self, *command: str) -> str:
        """What a program says on stdout, whatever becomes of it."""
        environment = {**os.environ, **self.docker}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
        return done.stdout


@dataclass
class Done:
    """What a command left: its exit code, and its two streams."""

    code: int
    out: str
    err: str

    @property
    def both(self) -> str:
        return f"exit {self.code}\n--- stdout\n{self.out}--- stderr\n{self.err}"

    def json(self) -> Any:
        return json.loads(self.out)


@dataclass
class Workspace:
    """A workspace on disk. `stack` is the folder of its hsm.yaml."""

    root: Path
    door: Door
    project: str
    servers: Servers
    stack: Path
    variables: dict[str, str] = field(default_factory=dict)
    used_engine: bool = False

    def environment(self) -> dict[str, str]:
        """Nothing of the user's own settings but the PATH and where the engine is."""
        home = self.servers.folder / "home"
        home.mkdir(exist_ok=True)
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        own = {"PATH": path, "HOME": str(home), "PYTHONPATH": str(world.REPOSITORY)}  # not what may be installed
        return {**own, **self.servers.docker, **self.variables}

    def without_engine(self) -> Workspace:
        """From now on there is no engine, for this workspace."""
        self.variables["DOCKER_HOST"] = NO_ENGINE
        return self

    def run(self, *words: str, code: int | None = 0, at: Path | None = None, **variables: str) -> Done:
        """A command line behind `doit` or `hsm`, without a terminal. `code` is what it must end with."""
        return self._run(words, code, at, variables)

    def _run(self, words: Sequence[str], code: int | None, at: Path | None, variables: Mapping[str, str]) -> Done:
        environment = {**self.environment(), **variables}
        self.used_engine |= environment.get("DOCKER_HOST") != NO_ENGINE
        done = subprocess.run(
            (self.door, *words),
            cwd=at or self.root,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        result = Done(done.returncode, done.stdout, done.stderr)
        assert code is None or result.code == code, f"{self.door} {' '.join(words)}: {result.both}"
        return result

    def steps(self, *words: str, code: int = 0, **variables: str) -> dict[str, str]:
        """What became of each step of a run: its name → ran, fresh, failed or skipped, as HSM_RUN_LOG tells."""
        return {line["step"]: line["result"] for line in self._lines(words, code, variables)}

    def lines(self, *words: str, code: int = 0, **variables: str) -> list[dict[str, Any]]:
        """The lines of HSM_RUN_LOG of one run."""
        return self._lines(words, code, variables)

    def _lines(self, words: Sequence[str], code: int, variables: Mapping[str, str]) -> list[dict[str, Any]]:
        log = self.root.parent / f"{self.root.name}.log"
        log.unlink(missing_ok=True)
        self._run(words, code, None, {**variables, "HSM_RUN_LOG": str(log)})
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    def ran(self, *words: str, **variables: str) -> set[str]:
        """The steps that a run did not find fresh."""
        return {line["step"] for line in self._lines(words, 0, variables) if line["result"] == "ran"}

    def spy_on_docker(self, log: Path) -> None:
        """From now on each call of docker, and each of compose's plugin that docker does not make, is noted."""
        folder, plugin = self.root.parent / "spy", compose.identity_files()[-1]
        shutil.copytree(self.environment()["DOCKER_CONFIG"], folder, symlinks=True)
        (folder / "cli-plugins" / plugin.name).unlink(missing_ok=True)
        for name, real, noted in (
            ("docker", shutil.which("docker"), f'echo "docker $*" >> "{log}"'),
            (f"cli-plugins/{plugin.name}", plugin,
             f'case $1 in compose | docker-cli*) ;; *) echo "docker compose $*" >> "{log}" ;; esac'),
        ):
            (folder / name).write_text(f'#!/bin/sh\n{noted}\nexec "{real}" "$@"\n')
            (folder / name).chmod(0o755)
        self.variables["DOCKER_CONFIG"] = str(folder)
        self.variables["PATH"] = os.pathsep.join([str(folder), self.environment()["PATH"]])

    # --- files ---------------------------------------------------------------------------------------------------

    def write(self, path: str, text: str) -> Path:
        """A file below the stack's folder, with the addresses of the servers."""
        file = self.stack / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(self.servers.filled(text))
        return file

    def edit(self, path: str, old: str, new: str) -> None:
        """Replace a piece that is in the file once."""
        text = (self.stack / path).read_text()
        old, new = self.servers.filled(old), self.servers.filled(new)
        assert text.count(old) == 1, f"{text.count(old)} times in {path}: {old}"
        (self.stack / path).write_text(text.replace(old, new))

    def read(self, path: str) -> str:
        return (self.stack / path).read_text()

    @property
    def override(self) -> str:
        return self.read("docker-compose.hsm.yml")

    @property
    def services(self) -> dict[str, Any]:
        """service → its keys in the override: scalars as text, tags left out."""
        services: dict[str, Any] = yaml.load(self.override, Loader=_Untagged)["services"]
        return services

    @property
    def entries(self) -> dict[str, dict[str, dict[str, str]]]:
        """hsm.lock: `images` and `repositories`."""
        entries: dict[str, dict[str, dict[str, str]]] = yaml.load(self.lock, Loader=_Untagged)
        return entries

    @property
    def lock(self) -> str:
        return self.read("hsm.lock")

    @property
    def checkout(self) -> Path:
        """Of the api."""
        return self.root / "repos/api"

    def files(self) -> dict[str, bytes]:
        """Everything below the root, checkouts and .git left out."""
        found = {path.relative_to(self.root).as_posix(): path for path in self.root.rglob("*") if path.is_file()}
        return {name: path.read_bytes() for name, path in sorted(found.items()) if not _foreign(name)}

    def changed(self, before: Mapping[str, bytes]) -> set[str]:
        """The files that are new, gone or other than before; what hsm remembers of its own runs is left out."""
        now = self.files()
        names = {name for name in {*now, *before} if now.get(name) != before.get(name)}
        return {name for name in names if not name.endswith(("/state.db", "/snapshot"))}

    def under_git(self) -> None:
        """Makes the workspace a git repository with everything in it committed."""
        self.git("init", "--quiet")
        commit(self.root, {}, "The workspace")

    def git(self, *words: str) -> str:
        from tests.support.gitserver import git

        return git(self.root, *words)

    # --- the engine ----------------------------------------------------------------------------------------------

    def engine(self, *words: str) -> str:
        """docker WORDS, and what it says."""
        return self.servers.call("docker", *words)

    def containers(self) -> dict[str, str]:
        """service → the id of its container, of what runs."""
        return dict(self._listed())

    def ended(self) -> set[str]:
        """The services with containers that do not run."""
        return {name for name, _ in self._listed("--all")} - {name for name, _ in self._listed()}

    def _listed(self, *scope: str) -> Iterator[tuple[str, str]]:
        form = '{{.Label "com.docker.compose.service"}} {{.ID}}'
        label = f"label=com.docker.compose.project={self.project}"
        for line in sorted(self.engine("ps", *scope, "--filter", label, "--format", form).splitlines()):
            name, identity = line.split()
            yield name, identity

    def volumes(self) -> set[str]:
        return set(self.engine("volume", "ls", "-q", "--filter", f"name={self.project}_").split())

    def fetch(self, service: str, host: str, pattern: str = "") -> str:
        """What a service gets over http from another one, asked from inside its container."""
        # wget of a busybox that is linked against glibc can not look a name up: nslookup and nc need nobody
        address = f"$(nslookup {host} | awk '/^Address/ {{last = $2}} END {{print last}}')"
        ask = f"printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 2 {address} 80"
        container, answer = self.containers()[service], ""
        for _ in range(60):
            answer = self.engine("exec", container, "sh", "-c", ask).replace("\r", "").partition("\n\n")[2]
            if answer and re.search(pattern, answer):
                return answer.strip()
            time.sleep(0.1)
        raise AssertionError(f"{service} gets {answer!r} from {host}, which does not match {pattern!r}")

    def remove(self) -> None:
        """Containers, networks and volumes of the project."""
        if not self.used_engine:
            return
        label = f"label=com.docker.compose.project={self.project}"
        if there := self.engine("ps", "-aq", "--filter", label).split():
            self.engine("rm", "-f", "-v", *there)
        if there := self.engine("network", "ls", "-q", "--filter", label).split():
            self.engine("network", "rm", *there)
        if there := self.engine("volume", "ls", "-q", "--filter", label).split():
            self.engine("volume", "rm", *there)


class _Untagged(yaml.BaseLoader):
    """Reads `!reset` and `!override` as what stands behind them."""


def _plain(loader: Any, _suffix: str, node: Any) -> Any:
    kinds = {"mapping": loader.construct_mapping, "sequence": loader.construct_sequence}
    return kinds[node.id](node, deep=True) if node.id in kinds else loader.construct_scalar(node)


_Untagged.add_multi_constructor("!", _plain)


def _foreign(name: str) -> bool:
    return name.startswith(("repos/", ".git/")) or name.endswith(".pyc")

