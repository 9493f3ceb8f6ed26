"""`doit deploy` to a swarm of one node, which is left afterwards.

Kernels without IP_VS answer on no service address, so ports are of the node and names are DNS round robin.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator

import pytest

from tests.commands.bench import Servers, Workspace
from tests.deploy.conftest import Make
from tests.deploy.test_ssh import asked
from tests.support import world

pytestmark = pytest.mark.docker

HSM_YAML = """\
services:
  web: {prod: {image: "@REG@/web:1.0", limits: {memory: 64M}}}
  job: {oneshot: true}
targets:
  swarm: {context: default, swarm: "yes", ports: host, endpoint: dnsrr, addresses: all, wait: "60"}
"""
BASE = """\
services:
  web:
    image: @REG@/web:0.9
    init: true
    ports: ["127.0.0.1:@PORT@:80"]
    volumes: ["./note:/note:ro"]
    configs: [{source: page, target: /www/page.html}]
    secrets: [key]
    networks: {default: {aliases: [front]}}
  job: {image: "@REG@/web:0.9", command: ["true"]}
configs: {page: {file: ./page.html}}
secrets: {key: {file: ./key.txt}}
"""


def docker(*words: str) -> str:
    return subprocess.run(["docker", *words], capture_output=True, text=True, check=False).stdout


@pytest.fixture(scope="module")
def swarm() -> Iterator[None]:
    if not world.engine_ready():
        pytest.skip("no engine answers")
    if docker("info", "--format", "{{.Swarm.LocalNodeState}}").strip() != "inactive":
        pytest.skip("this engine is part of a swarm already: it is not ours to leave")
    bridge = docker("network", "ls", "-q", "--filter", "name=docker_gwbridge").strip()
    listen = f"127.0.0.1:{world.free_port()}"
    command = ["docker", "swarm", "init", "--advertise-addr", "127.0.0.1", "--listen-addr", listen]
    subprocess.run(command, check=True, capture_output=True)
    yield
    docker("swarm", "leave", "--force")
    if not bridge:
        docker("network", "rm", "docker_gwbridge")


@pytest.fixture
def shop(make: Make, swarm: None) -> Iterator[Workspace]:
    port = str(world.free_port())
    made = make({
        "hsm.yaml": HSM_YAML,
        "docker-compose.yml": BASE.replace("@PORT@", port),
        "note": "a note\n",
        "page.html": "first\n",
        "key.txt": "the key\n",
        "../../.gitignore": "key.txt\n",
    })
    del made.variables["DOCKER_HOST"]
    made.variables["WEB"] = f"http://127.0.0.1:{port}/"
    yield made
    docker("stack", "rm", made.project)
    for _ in range(60):
        if not docker("network", "ls", "-q", "--filter", f"label=com.docker.stack.namespace={made.project}").strip():
            break
        time.sleep(0.5)


def inside(shop: Workspace, *words: str) -> str:
    service = f"label=com.docker.swarm.service.name={shop.project}_web"
    return docker("exec", docker("ps", "-q", "--filter", service).split()[0], *words)


def test_a_stack_is_deployed_updated_broken_and_rolled_back(shop: Workspace, servers: Servers) -> None:
    url = shop.variables["WEB"]
    shop.run("deploy", "target=swarm")
    assert world.ask(url) == "web 1.0\n"
    assert world.ask(f"{url}page.html") == "first\n"
    assert inside(shop, "cat", "/note", "/run/secrets/key").splitlines() == ["a note", "the key"]

    servers.push("web", "1.1")
    shop.edit("hsm.yaml", "web:1.0", "web:1.1")
    shop.write("page.html", "second\n")
    with asked(url) as answers:
        shop.run("deploy", "target=swarm")
    assert world.ask(url) == "web 1.1\n"
    assert world.ask(f"{url}page.html") == "second\n"
    print(f"requests that failed during an update: {answers['failed']} of {answers.total()}")

    shop.edit("docker-compose.yml", "init: true\n", "init: true\n    command: [sh, -c, 'echo broken; exit 7']\n")
    with asked(url) as answers:
        broken = shop.run("deploy", "target=swarm", code=1)
    assert "its update was rollback completed" in broken.err
    assert "| broken" in broken.err
    assert world.ask(url) == "web 1.1\n"
    print(f"requests that failed during a deploy that was rolled back: {answers['failed']} of {answers.total()}")

    shop.run("rollback", "target=swarm")
    assert world.ask(url) == "web 1.0\n"
    assert world.ask(f"{url}page.html") == "first\n"
    states = {row["name"]: row["containers"] for row in shop.run("status", "target=swarm", "--json").json()["services"]}
    assert states["web"][0]["state"] == "running"


def test_what_a_swarm_has_no_word_for_is_refused_before_anything_starts(shop: Workspace) -> None:
    shop.edit("docker-compose.yml", "    init: true\n", "    privileged: true\n")
    failed = shop.run("deploy", "target=swarm", code=1)
    assert "web: privileged: a swarm has nothing like it" in failed.err
    assert shop.project not in docker("stack", "ls")


def test_a_first_deploy_that_fails_leaves_no_stack(shop: Workspace) -> None:
    shop.edit("docker-compose.yml", "init: true\n", "init: true\n    command: [sh, -c, 'echo broken; exit 7']\n")
    failed = shop.run("deploy", "target=swarm", code=1)
    assert "of its tasks failed" in failed.err
    assert "| broken" in failed.err
    assert shop.project not in docker("stack", "ls")
