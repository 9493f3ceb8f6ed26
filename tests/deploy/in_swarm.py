"""A stack whose target is a swarm of one node: this engine, which is left afterwards.

Kernels without IP_VS answer on no service address, so ports are of the node and names are DNS round robin.
"""

from __future__ import annotations

import fcntl
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.commands.bench import Workspace
from tests.deploy.conftest import Make
from tests.support import ports, world

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
    deploy: {update_config: {monitor: 1s}, rollback_config: {monitor: 1s, order: stop-first}}
  job: {image: "@REG@/web:0.9", command: ["true"]}
configs: {page: {file: ./page.html}}
secrets: {key: {file: ./key.txt}}
"""


def docker(*words: str) -> str:
    return subprocess.run(["docker", *words], capture_output=True, text=True, check=False).stdout


@contextmanager
def node() -> Iterator[None]:
    """A swarm, as long as the block runs; whoever else tests here waits for its end."""
    if not world.engine_ready():
        pytest.skip("no engine answers")
    with Path(tempfile.gettempdir(), "hsm-test-swarm.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if docker("info", "--format", "{{.Swarm.LocalNodeState}}").strip() != "inactive":
            pytest.skip("this engine is part of a swarm already: it is not ours to leave")
        bridge = docker("network", "ls", "-q", "--filter", "name=docker_gwbridge").strip()
        listen = f"127.0.0.1:{ports.free_port()}"
        command = ["docker", "swarm", "init", "--advertise-addr", "127.0.0.1", "--listen-addr", listen]
        subprocess.run(command, check=True, capture_output=True)
        try:
            yield
        finally:
            docker("swarm", "leave", "--force")
            if not bridge:
                docker("network", "rm", "docker_gwbridge")


@contextmanager
def workspace(make: Make) -> Iterator[Workspace]:
    """The stack, with WEB as the url of its page; nothing of it is left afterwards."""
    port = str(ports.free_port())
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
