"""What the engine answers, and what is said where it does not."""

from __future__ import annotations

import gc
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from hsm_tasks.core.errors import HsmError
from hsm_tasks.effects import docker, process
from tests.support.registry import RegistryServer, busybox_image, import_busybox

COMPOSE = """
services:
  web:
    build: .
    image: NAME-web:1
    stop_grace_period: 0s
    ports: ["127.0.0.1::8080"]
    networks: [default, back]
    scale: 2
  sick:
    image: NAME-web:1
    stop_grace_period: 0s
    healthcheck: {test: [CMD, /bin/busybox, "false"], interval: 1s, retries: 1}
  done: {image: "NAME-web:1", command: [sh, -c, "echo out; echo err >&2; exit 3"], healthcheck: {disable: true}}
networks: {back: {}}
"""
DOCKERFILE = """
FROM NAME:1
VOLUME ["/data", "/cache"]
EXPOSE 8080
HEALTHCHECK --interval=1s CMD ["/bin/busybox", "true"]
CMD ["sleep", "1000"]
"""


@pytest.fixture(scope="module")
def name(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A running project of this name, with images of its own; nothing of it is left afterwards."""
    folder = tmp_path_factory.mktemp("docker")
    name = f"hsm-test-{uuid.uuid4().hex[:12]}"
    import_busybox(f"{name}:1")
    (folder / "Dockerfile").write_text(DOCKERFILE.replace("NAME", name), encoding="utf-8")
    (folder / "compose.yaml").write_text(COMPOSE.replace("NAME", name), encoding="utf-8")
    compose = ("docker", "compose", "-p", name)
    try:
        process.run(*compose, "build", "web", cwd=folder)
        process.run(*compose, "up", "-d", "--no-build", cwd=folder)
        process.run(*compose, "run", "-d", "--no-deps", "web", "sleep", "1000", cwd=folder)
        # what a compose-built image is run as by hand has the labels of the project, and is none of its containers
        process.run("docker", "run", "-d", "--name", f"{name}-stranger", f"{name}-web:1", "sleep", "1000")
        yield name
    finally:
        process.run("docker", "rm", "-fv", f"{name}-stranger", ok=(0, 1))
        process.run(*compose, "down", "-v", "--remove-orphans", "-t", "0", cwd=folder, ok=(0, 1))
        process.run("docker", "image", "rm", f"{name}:1", f"{name}-web:1", ok=(0, 1))


def settled(name: str) -> dict[tuple[str, int, bool], docker.Container]:
    """The containers, as soon as their healthchecks have spoken and the short one has ended."""
    deadline = time.monotonic() + 90
    while True:
        found = docker.containers(name)
        if not any(one.health == "starting" or (one.service, one.state) == ("done", "running") for one in found):
            return {(one.service, one.number, one.oneoff): one for one in found}
        assert time.monotonic() < deadline, found
        time.sleep(0.2)


@pytest.mark.docker
class TestEngine:
    def test_the_containers_of_a_project_are_all_there_with_their_state(self, name: str) -> None:
        found = settled(name)
        assert {key for key in found if not key[2]} == {
            ("done", 1, False),
            ("sick", 1, False),
            ("web", 1, False),
            ("web", 2, False),
        }
        assert [key[0] for key in found if key[2]] == ["web"]
        web = found["web", 1, False]
        assert (web.name, web.state, web.health, web.exit_code) == (f"{name}-web-1", "running", "healthy", None)
        assert web.networks == (f"{name}_back", f"{name}_default")
        assert len(web.ports) == 1
        assert web.ports[0].startswith("127.0.0.1:")
        assert web.ports[0].endswith("->8080/tcp")
        assert web.image_id == docker.image_id(f"{name}-web:1")
        assert len(web.config_hash) == 64
        done = found["done", 1, False]
        assert (done.state, done.health, done.exit_code, done.ports) == ("exited", None, 3, ())

    def test_an_unhealthy_container_is_seen(self, name: str) -> None:
        sick = settled(name)["sick", 1, False]
        assert (sick.state, sick.health) == ("running", "unhealthy")

    def test_a_project_without_containers_has_none(self) -> None:
        assert docker.containers("hsm-test-no-such-project") == ()

    def test_images_are_known_by_name(self, name: str) -> None:
        found = docker.image_id(f"{name}-web:1")
        assert found is not None
        assert found.startswith("sha256:")
        assert docker.image_id(found) == found
        assert docker.image_config(f"{name}-web:1") == (True, ("/cache", "/data"))
        assert docker.image_config(f"{name}:1") == (False, ())
        assert docker.is_local_only(f"{name}:1")

    def test_an_image_that_is_not_there_is_none(self, name: str) -> None:
        assert docker.image_id(f"{name}:no-such-tag") is None
        assert docker.image_config(f"{name}:no-such-tag") is None
        assert not docker.is_local_only(f"{name}:no-such-tag")

    def test_a_digest_of_another_repository_does_not_make_it_one_of_a_registry(self) -> None:
        with RegistryServer() as registry:
            image = busybox_image()
            registry.push("hsm-test/pulled", "1", config=image.config, layers=image.layers)
            name, alias = f"{registry.host}/hsm-test/pulled:1", f"{registry.host}/loc/alias:1"
            try:
                process.run("docker", "pull", name)
                process.run("docker", "tag", name, alias)
                process.run("docker", "tag", name, f"{registry.host}/hsm-test/pulled:2")
                assert not docker.is_local_only(name)
                assert not docker.is_local_only(f"{registry.host}/hsm-test/pulled:2")
                assert docker.is_local_only(alias)
            finally:
                names = (alias, name, f"{registry.host}/hsm-test/pulled:2")
                process.run("docker", "image", "rm", *names, ok=(0, 1))

    def test_the_last_lines_of_a_container_can_be_read(self, name: str) -> None:
        done = settled(name)["done", 1, False]
        assert sorted(docker.logs_tail(done.id, 10).split()) == ["err", "out"]
        assert len(docker.logs_tail(done.id, 1).split()) == 1

    def test_what_the_engine_refuses_is_told_in_its_words(self) -> None:
        with pytest.raises(HsmError, match="No such container: hsm-test-none"):
            docker.logs_tail("hsm-test-none", 1)


@pytest.mark.parametrize("host", ["tcp://127.0.0.1:1", "tcp://no-such-host.invalid:1"])
def test_without_an_engine_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv("DOCKER_HOST", host)
    with pytest.raises(HsmError, match="does not answer") as caught:
        docker.containers("any")
    assert "start docker" in caught.value.hint


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the SDK forgets to close that socket
def test_a_socket_that_is_not_there_is_an_engine_that_does_not_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    with pytest.raises(HsmError, match="the docker engine does not answer"):
        docker.about()
    gc.collect()  # here, and not in some other test


def test_the_current_context_is_honoured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    process.run("docker", "context", "create", "away", "--docker", "host=tcp://127.0.0.1:1")
    process.run("docker", "context", "use", "away")
    with pytest.raises(HsmError, match="the docker engine does not answer"):
        docker.about()


def test_a_host_that_is_nonsense_is_told_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "bogus")
    with pytest.raises(HsmError, match="port is required"):
        docker.about()
