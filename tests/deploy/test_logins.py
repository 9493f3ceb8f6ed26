"""A registry that wants a password: the login of the machine that deploys is handed on, as docker does it."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commands.bench import Servers, Workspace
from tests.deploy import sshd
from tests.deploy.conftest import Make
from tests.support import images, world
from tests.support.registry import PASSWORD, USER, RegistryServer, busybox_image

pytestmark = pytest.mark.docker


@pytest.fixture
def private(servers: Servers) -> Iterator[RegistryServer]:
    """A registry with one image, which the engine does not keep. Before `make`: first the containers go."""
    with RegistryServer(auth=True) as registry:
        image = busybox_image({"a": b"a"}, cmd=("sleep", "1000"), StopSignal="SIGKILL")
        registry.push("app", "1", config=image.config, layers=image.layers)
        yield registry
        images.put_away({**os.environ, **servers.docker}, images.of_registry(registry.host))


def logged_in(shop: Workspace, folder: Path, host: str) -> None:
    """Gives a workspace a docker configuration of its own, with a login."""
    world.docker_settings(folder)
    login = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    (folder / "config.json").write_text(json.dumps({"auths": {host: {"auth": login}}}))
    shop.variables["DOCKER_CONFIG"] = str(folder)


def test_a_target_pulls_with_the_login_of_who_deploys(private: RegistryServer, make: Make, tmp_path: Path) -> None:
    if not world.engine_ready() or sshd.SSHD is None:
        pytest.skip("no engine answers, or openssh-server is missing")
    with sshd.running(tmp_path / "server", shared=True) as (url, programs):
        shop = make({
            "hsm.yaml": f'services: {{}}\ntargets: {{there: {{host: "{url}", dir: "{tmp_path}/there", wait: "30"}}}}\n',
            "docker-compose.yml": f"services: {{app: {{image: '{private.host}/app:1', init: true}}}}\n",
        })
        shop.variables["PATH"] = f"{programs}:{shop.environment()['PATH']}"
        logged_in(shop, tmp_path / "docker", private.host)
        shop.run("sync")
        del shop.variables["DOCKER_CONFIG"]
        refused = shop.run("deploy", "target=there", code=1)
        assert "docker compose pull failed on there" in refused.err
        assert not shop.containers()
        logged_in(shop, tmp_path / "docker", private.host)
        shop.run("deploy", "target=there")
        assert set(shop.containers()) == {"app"}
        assert PASSWORD not in (tmp_path / "there/current.tar").read_bytes().decode("latin-1")
