"""One registry and one git server for all tests of this folder; workspaces go with all that they started."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.commands.bench import Door, Servers, Workspace
from tests.support import world
from tests.support.gitserver import GitServer
from tests.support.registry import RegistryServer

Make = Callable[..., Workspace]
Live = Make  # with an engine


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    folder = tmp_path_factory.mktemp("servers")
    (folder / "git").mkdir()
    with RegistryServer() as registry, GitServer(folder / "git") as git:
        here = Servers(folder, registry, git, world.docker_settings(folder / "docker"))
        here.fill()
        yield here
        here.remove()


@pytest.fixture
def make(servers: Servers, tmp_path: Path) -> Iterator[Make]:
    """Makes a workspace that works without an engine: `make(door, files)`."""
    made: list[Workspace] = []

    def workspace(door: Door = "doit", files: Mapping[str, str] | None = None) -> Workspace:
        root = tmp_path / f"workspace{len(made) or ''}"
        made.append(servers.workspace(root, door, files).without_engine())
        return made[-1]

    yield workspace
    for one in made:
        one.remove()


@pytest.fixture
def live(make: Make) -> Make:
    """As `make`, with an engine."""
    if not world.engine_ready():
        pytest.skip("no engine answers")

    def workspace(door: Door = "doit", files: Mapping[str, str] | None = None) -> Workspace:
        made = make(door, files)
        del made.variables["DOCKER_HOST"]
        return made

    return workspace


@pytest.fixture(scope="module")
def module_workspace(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """As `live`, for a workspace that the tests of a module share."""
    if not world.engine_ready():
        pytest.skip("no engine answers")
    made: list[Workspace] = []

    def workspace(door: Door = "doit", files: Mapping[str, str] | None = None) -> Workspace:
        made.append(servers.workspace(tmp_path_factory.mktemp("shared") / "workspace", door, files))
        return made[-1]

    yield workspace
    for one in made:
        one.remove()
