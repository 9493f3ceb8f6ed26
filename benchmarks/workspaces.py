"""Workspaces of any size for benchmarks, ready to sync without a network.

A third of the services is dev, each with a checkout of its own; the rest are images, half of them with a variable in
the reference. Two groups: a database (1-of-N) and what watches over it (M-of-N). hsm.lock is complete.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

STACK = "bench"
DATABASES, WATCHERS = ("postgres", "mysql"), ("metrics", "tracing")
GIT = ("git", "-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "init.defaultBranch=main")
DOCKERFILE = "FROM scratch\nCOPY busybox /bin/busybox\nCOPY src /app/src\nCMD [\"/bin/busybox\", \"sleep\", \"9999\"]\n"


@dataclass(frozen=True, slots=True)
class Shape:
    """How many services; where images and repositories are said to be; `locked`: hsm.lock and checkouts are there."""

    services: int
    registry: str = "registry.example"
    git: str = "http://git.example/acme"
    every_dev: int = 3
    locked: bool = True
    groups: bool = True

    @property
    def names(self) -> list[str]:
        return [f"s{number:04}" for number in range(self.services - (4 if self.groups else 0))]

    @property
    def dev(self) -> list[str]:
        return self.names[:: self.every_dev] if self.every_dev else []

    @property
    def prod(self) -> list[str]:
        return [name for name in self.names if name not in set(self.dev)]

    def url(self, name: str) -> str:
        return f"{self.git}/{name}.git"


def make(root: Path, shape: Shape) -> Path:
    """The workspace, with a dodo.py, a git repository around it and one stack; returns the folder of the stack."""
    folder = root / "stacks" / STACK
    folder.mkdir(parents=True)
    (root / "dodo.py").write_text("from hsm_tasks.door import DOIT_CONFIG, hsm  # noqa: F401\n")
    (root / "pyproject.toml").write_text(f'[tool.hsm]\nstack = "{STACK}"\ninsecure_registries = ["{shape.registry}"]\n')
    (root / ".gitignore").write_text("/repos/\n.hsm/\nhsm.local.yaml\ndocker-compose.hsm.yml\n")
    (folder / ".env").write_text(f"REGISTRY={shape.registry}\n")
    (folder / "hsm.yaml").write_text("".join(_config(shape)))
    (folder / "docker-compose.yml").write_text("".join(_base(shape)))
    subprocess.run([*GIT, "init", "-q", str(root)], check=True)
    if shape.locked:
        commit = _checkouts(root / "repos", shape)
        (folder / "hsm.lock").write_text("".join(_lock(shape, commit)))
    return folder


def _config(shape: Shape) -> Iterable[str]:
    yield "name: hsm-bench\nmode: prod\nservices:\n"
    dev = set(shape.dev)
    for number, name in enumerate(shape.names):
        yield f"  {name}:\n"
        if name in dev:
            yield f'    mode: dev\n    repo: {{url: "{shape.url(name)}", ref: main}}\n    dev:\n'
            yield f'      volumes: ["./src:/app/src"]\n      environment: {{LOG_LEVEL: debug, NUMBER: "{number}"}}\n'
        else:
            yield f"    prod:\n      image: {_image(name, number)}\n      limits: {{memory: 256M, cpus: \"0.50\"}}\n"
    yield from _GROUPS if shape.groups else ()


_GROUPS = (
    "groups:\n  database:\n    strategy: 1-of-N\n    alias: db\n",
    "    options: [postgres, mysql]\n    selection: postgres\n",
    "  watching:\n    strategy: M-of-N\n    options: [metrics, tracing]\n    selection: [metrics]\n",
)


def _image(name: str, number: int) -> str:
    return f'"${{REGISTRY}}/acme/{name}:1.{number}.0"' if number % 2 else f"registry.example/acme/{name}:1.{number}.0"


def _base(shape: Shape) -> Iterable[str]:
    yield "x-common: &common\n  restart: unless-stopped\n  logging: {driver: json-file}\n\nservices:\n"
    for number, name in enumerate(shape.names):
        yield f"  {name}:\n    <<: *common\n    image: {_image(name, number)}\n"
        yield f'    environment: {{PEER: "http://{shape.names[number - 1]}:80/", NUMBER: "{number}"}}\n'
        yield "    networks: [back]\n"
        yield "    depends_on: {db: {condition: service_started}}\n" if shape.groups and number % 5 == 0 else ""
    for name in (*DATABASES, *WATCHERS) if shape.groups else ():
        yield f"  {name}:\n    image: registry.example/acme/{name}:1.0.0\n    networks: [back]\n"
        yield f'    volumes: ["{name}-data:/data"]\n'
    yield "networks:\n  back:\n"
    if shape.groups:
        yield "volumes:\n" + "".join(f"  {name}-data:\n" for name in (*DATABASES, *WATCHERS))


def _lock(shape: Shape, commit: str) -> Iterable[str]:
    numbers = {name: number for number, name in enumerate(shape.names)}
    entries = {}
    for name in shape.prod:
        number = numbers[name]
        host = shape.registry if number % 2 else "registry.example"
        entries[f"{host}/acme/{name}:1.{number}.0"] = f'tag: 1.{number}.0, digest: "{_digest(name)}"'
    for name in (*DATABASES, *WATCHERS) if shape.groups else ():
        known = f'tag: 1.0.0, digest: "{_digest(name)}", healthcheck: false, volumes: []'
        entries[f"registry.example/acme/{name}:1.0.0"] = known
    yield "version: 1\nimages:\n"
    yield from (f'  "{key}": {{{entries[key]}}}\n' for key in sorted(entries))
    yield "repositories:\n" if shape.dev else "repositories: {}\n"
    yield from (f'  "{shape.url(name)} main": {{commit: "{commit}"}}\n' for name in shape.dev)


def _digest(name: str) -> str:
    return f"sha256:{hashlib.sha256(name.encode()).hexdigest()}"


def repository(path: Path, files: dict[str, bytes | str]) -> str:
    """A git repository with one commit on main, which is returned."""
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    when = {"GIT_AUTHOR_DATE": "2026-01-02T03:04:05Z", "GIT_COMMITTER_DATE": "2026-01-02T03:04:05Z"}
    for words in (("init", "-q"), ("add", "-A"), ("commit", "-q", "-m", "first")):
        subprocess.run([*GIT, *words], cwd=path, check=True, env=_environment() | when)
    said = subprocess.run([*GIT, "rev-parse", "HEAD"], cwd=path, check=True, capture_output=True, text=True)
    return said.stdout.strip()


def _environment() -> dict[str, str]:
    import os

    return {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}


def _checkouts(repos: Path, shape: Shape) -> str:
    """One repository, copied: each copy with the url of its own."""
    model = repos / ".model"
    commit = repository(model, {"src/main.txt": "hello\n", "Dockerfile": DOCKERFILE})
    subprocess.run([*GIT, "update-ref", "refs/remotes/origin/main", commit], cwd=model, check=True)
    settings = (model / ".git" / "config").read_text()
    shutil.rmtree(model / ".git" / "hooks", ignore_errors=True)
    for name in shape.dev:
        shutil.copytree(model, repos / name, symlinks=True)
        remote = f'[remote "origin"]\n\turl = {shape.url(name)}\n\tfetch = +refs/heads/*:refs/remotes/origin/*\n'
        (repos / name / ".git" / "config").write_text(settings + remote)
    shutil.rmtree(model)
    return commit
