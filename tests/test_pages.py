"""The commands of the tutorial and of the how-to pages, run as they stand there, on real servers and a real engine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import images, pages, ports, world
from tests.support.gitserver import GitServer
from tests.support.registry import RegistryServer, busybox_image

DOCS = world.REPOSITORY / "docs"
PAGES = sorted(path for path in DOCS.rglob("*.md") if pages.MARK in path.read_text(encoding="utf-8"))
IMAGES = {
    "registry.example/acme/api": ("1.4.0", "1.5.0"),
    "registry.example/acme/web": ("2.0", "2.1"),
    "registry.example/acme/worker": ("1.0",),
    "postgres": ("16",),
    "mysql": ("8.4",),
    "redis": ("7",),
    "valkey/valkey": ("8",),
    "busybox": ("1.36",),
}


@pytest.fixture(scope="module")
def registry() -> Iterator[RegistryServer]:
    with RegistryServer() as server:
        for name, tags in IMAGES.items():
            for tag in tags:
                said = f"{name.rpartition('/')[2]} {tag}\n".encode()
                serve = ("httpd", "-f", "-p", "80", "-h", "/www")
                image = busybox_image({"www/index.html": said}, cmd=serve, StopSignal="SIGKILL")
                server.push(name, tag, config=image.config, layers=image.layers)
        yield server


def test_the_pages_are_found() -> None:
    assert {"tutorial.md", "howto/existing-project.md", "howto/several-repositories.md", "howto/ci.md"} <= {
        path.relative_to(DOCS).as_posix() for path in PAGES
    }


@pytest.mark.docker
@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(DOCS).as_posix())
def test_what_the_page_says_holds(path: Path, registry: RegistryServer, tmp_path: Path) -> None:
    if not world.engine_ready():
        pytest.skip("no engine answers")
    project = f"hsmdocs{os.getpid()}x{PAGES.index(path)}"
    (tmp_path / "git").mkdir()
    (tmp_path / "home").mkdir()
    (tmp_path / "page").mkdir()
    with GitServer(tmp_path / "git") as git:
        lead = f'[url "{git.url("")}"]\n\tinsteadOf = https://git.example/\n[init]\n\tdefaultBranch = main\n'
        (tmp_path / "home/.gitconfig").write_text(lead)
        environment = {
            **world.docker_settings(tmp_path / "docker"),
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "PYTHONPATH": str(world.REPOSITORY),
            "HOME": str(tmp_path / "home"),
            "GIT_ROOT": str(git.root),
            "COMPOSE_PROJECT_NAME": project,
        }
        names = {"8080": str(ports.free_port()), "project shop": f"project {project}"}
        reader = pages.Reader(tmp_path / "page", environment, names, f"{registry.host}/")
        try:
            reader.follow(path.read_text(encoding="utf-8"))
        finally:
            put_away(project, environment)
            images.put_away(environment, [f"{project}-*", *images.of_registry(registry.host)], [project])


def put_away(project: str, environment: dict[str, str]) -> None:
    """The containers, networks and volumes of the page."""
    docker = shutil.which("docker") or "docker"

    def ask(*words: str) -> list[str]:
        done = subprocess.run((docker, *words), env=environment, capture_output=True, text=True, check=False)
        return done.stdout.split()

    label = f"label=com.docker.compose.project={project}"
    for listed, removed in (
        (("ps", "-aq", "--filter", label), ("rm", "-f", "-v")),
        (("network", "ls", "-q", "--filter", label), ("network", "rm")),
        (("volume", "ls", "-q", "--filter", label), ("volume", "rm")),
    ):
        if there := ask(*listed):
            ask(*removed, *there)
