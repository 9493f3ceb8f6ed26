"""How the docker engine is asked: through the docker SDK, or at its socket, where it has one on this machine.

The engine is the one that the docker command would talk to: DOCKER_HOST, else the current context.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from hsm_tasks.core.errors import HsmError, mask

if TYPE_CHECKING:
    from docker import APIClient

TIMEOUT = 60  # seconds for an answer of the engine


@contextlib.contextmanager
def engine() -> Iterator[APIClient]:
    """A connection, closed at the end. Whatever goes wrong with it becomes one sentence."""
    import docker
    import requests

    try:
        # ssh hosts: the user's own ssh with its config and keys, as the docker command does it
        client = docker.from_env(timeout=TIMEOUT, use_ssh_client=True).api
        try:
            yield client
        finally:
            client.close()
    except (docker.errors.DockerException, requests.exceptions.RequestException, OSError) as error:
        raise _explained(error) from error


def _socket() -> str | None:
    """The path of the engine's socket, where the docker command would use one."""
    host = os.environ.get("DOCKER_HOST", "")
    if host:
        return host.removeprefix("unix://") if host.startswith("unix:///") else None
    if os.environ.get("DOCKER_CONTEXT", "default") != "default":
        return None
    config = Path(os.environ.get("DOCKER_CONFIG") or "~/.docker").expanduser() / "config.json"
    with contextlib.suppress(OSError, msgspec.DecodeError, AttributeError):
        if msgspec.json.decode(config.read_bytes()).get("currentContext", "default") != "default":
            return None
    return "/var/run/docker.sock"


def quoted(text: str) -> str:
    """As a part of a path that is asked for."""
    return "".join(letter if letter.isalnum() else f"%{ord(letter):02X}" for letter in text)


def asked(path: str) -> Any:
    """The answer to one question, asked at the engine's socket; None: ask through the SDK, which can explain more.

    HTTP/1.0 without the library for it: no chunks, and the answer ends with the connection.
    """
    place = _socket()
    if place is None:
        return None
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
            line.settimeout(TIMEOUT)
            line.connect(place)
            line.sendall(f"GET {path} HTTP/1.0\r\nHost: docker\r\n\r\n".encode())
            with line.makefile("rb") as stream:
                head, _, body = stream.read().partition(b"\r\n\r\n")
        if head.split(None, 2)[1:2] != [b"200"]:
            return None
        return msgspec.json.decode(body)
    except (OSError, msgspec.DecodeError):
        return None


def _explained(error: Exception) -> HsmError:
    said = mask(str(error))
    if "Permission denied" in said or "PermissionError" in said:
        hint = "add yourself to the group docker (sudo usermod -aG docker $USER), and log in again"
        return HsmError("you may not talk to the docker engine", hint)
    if "paramiko" in said:
        return HsmError("the docker engine is at the other end of ssh", "pip install 'docker[ssh]'")
    if "Connection" in said or "No such file" in said or "Error while fetching server API version" in said:
        hint = "start docker; or see DOCKER_HOST and `docker context ls`, if it is elsewhere"
        return HsmError("the docker engine does not answer", hint)
    return HsmError(f"the docker engine said no: {said}")
