"""A stack whose target is a swarm of one node: this engine, which leaves it at the end of the whole session.

Kernels without IP_VS answer on no service address, so ports are of the node and names are DNS round robin.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.commands.bench import Workspace
from tests.deploy.conftest import Make
from tests.support import ports, swarm
from tests.support.swarm import docker

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


@contextmanager
def workspace(make: Make) -> Iterator[Workspace]:
    """The stack, with WEB as the url of its page; nothing of it is left afterwards."""
    swarm.join()
    port = str(ports.free_port())
    made = make(
        {
            "hsm.yaml": HSM_YAML,
            "docker-compose.yml": BASE.replace("@PORT@", port),
            "note": "a note\n",
            "page.html": "first\n",
            "key.txt": "the key\n",
            "../../.gitignore": "key.txt\n",
        }
    )
    del made.variables["DOCKER_HOST"]
    made.variables["WEB"] = f"http://127.0.0.1:{port}/"
    yield made
    docker("stack", "rm", made.project)
    for _ in range(60):
        if not docker("network", "ls", "-q", "--filter", f"label=com.docker.stack.namespace={made.project}"):
            break
        time.sleep(0.5)


def inside(shop: Workspace, *words: str) -> str:
    service = f"label=com.docker.swarm.service.name={shop.project}_web"
    return docker("exec", docker("ps", "-q", "--filter", service).split()[0], *words)
