"""The engine as a swarm of one node, from the first test that wants one until the whole session ends.

Not only as long as those tests run: an engine that leaves a swarm forgets the names of all containers on it, those of
other tests' compose projects too (libnetwork drops the service records of every network).
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import pytest

from tests.support import ports, world

LABEL = "hsm.tests.bridge"  # of the node, if tests made it one; its value: whose its docker_gwbridge is
BRIDGE = "docker_gwbridge"
_USERS = Path(tempfile.gettempdir(), "hsm-test-swarm.users")  # locked, in common, by each process that uses it
_JOINING = Path(tempfile.gettempdir(), "hsm-test-swarm.joining")


def docker(*words: str) -> str:
    return subprocess.run(["docker", *words], capture_output=True, text=True, check=False).stdout.strip()


@cache
def join() -> int:
    """The lock, an open file, which this process holds until it leaves, or ends."""
    if not world.engine_ready():
        pytest.skip("no engine answers")
    users = os.open(_USERS, os.O_RDWR | os.O_CREAT)
    fcntl.flock(users, fcntl.LOCK_SH)
    with _JOINING.open("w") as joining:
        fcntl.flock(joining, fcntl.LOCK_EX)
        if docker("info", "--format", "{{.Swarm.LocalNodeState}}") == "inactive":
            _init()
        elif not _label():
            pytest.skip("this engine is part of a swarm already: it is not ours to leave")
    return users


def _init() -> None:
    whose = "theirs" if docker("network", "ls", "-q", "--filter", f"name={BRIDGE}") else "ours"
    listen = f"127.0.0.1:{ports.free_port()}"
    command = ["docker", "swarm", "init", "--advertise-addr", "127.0.0.1", "--listen-addr", listen]
    subprocess.run(command, check=True, capture_output=True)
    docker("node", "update", "--label-add", f"{LABEL}={whose}", docker("info", "--format", "{{.Swarm.NodeID}}"))


def leave() -> None:
    """At the end of a session: the swarm that tests made, of this session or a killed one, unless another uses it."""
    if not (_USERS.exists() and shutil.which("docker")):
        return
    if join.cache_info().currsize:
        os.close(join())
    with _USERS.open("w") as users:
        try:
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        whose = _label()
        if whose:
            docker("swarm", "leave", "--force")
        if whose == "ours":
            docker("network", "rm", BRIDGE)


def _label() -> str:
    return docker("node", "inspect", "self", "--format", f'{{{{index .Spec.Labels "{LABEL}"}}}}')
