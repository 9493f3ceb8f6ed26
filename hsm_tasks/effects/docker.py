"""What we ask of the docker engine, through the docker SDK: what runs, which images there are.

The low-level client is used, because one list call of it answers everything at once (`containers.list` of the other
one asks for each container anew). The engine is the one that the docker command would talk to: DOCKER_HOST, else the
current context. The two questions of each `up` go straight to the engine's socket, where it has one on this machine:
importing the SDK takes longer than all the rest of an `up` that has nothing to do.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from hsm_tasks.core.reference import HUB, ImageReference
from hsm_tasks.effects import enginecall

_LABEL = "com.docker.compose."
_HEALTH = re.compile(r"\((?:health: )?(starting|healthy|unhealthy)\)")
_EXIT = re.compile(r"(?:Exited|Restarting) \((\d+)\)")


class Container(msgspec.Struct, frozen=True):
    """A container of a compose project.

    `state` is the engine's word (created, running, restarting, exited, paused, dead, removing), `status` its sentence
    ("Up 3 minutes (healthy)"). `health` is starting, healthy or unhealthy, None without a healthcheck or when it does
    not run. `exit_code` is known where it has ended. `image_id` is the image that it runs, `config_hash` compose's hash
    of what it was made from. `ports` as in `docker ps`: "127.0.0.1:8080->80/tcp". `oneoff`: made by `compose run`.
    """

    id: str
    service: str
    name: str
    number: int
    state: str
    status: str
    health: str | None
    exit_code: int | None
    image_id: str
    config_hash: str
    networks: tuple[str, ...]
    ports: tuple[str, ...]
    oneoff: bool


def containers(project: str) -> tuple[Container, ...]:
    """All containers of a compose project, running or not, by service and number."""
    # an image that compose built has the project's label as well, and hands it on to whatever is run from it; the
    # hash is put on by compose alone
    labels = [f"{_LABEL}project={project}", f"{_LABEL}config-hash"]
    found = enginecall.asked(f"/containers/json?all=1&filters={enginecall.quoted(json.dumps({'label': labels}))}")
    if found is None:
        with enginecall.engine() as client:
            found = client.containers(all=True, filters={"label": labels})
    return tuple(sorted(map(_container, found), key=lambda one: (one.service, one.oneoff, one.number, one.name)))


def projects() -> dict[str, frozenset[str]]:
    """Every compose project that has containers → the compose files that they were made from."""
    filters = {"label": [f"{_LABEL}config-hash"]}
    found = enginecall.asked(f"/containers/json?all=1&filters={enginecall.quoted(json.dumps(filters))}")
    if found is None:
        with enginecall.engine() as client:
            found = client.containers(all=True, filters=filters)
    named: dict[str, frozenset[str]] = {}
    for one in found:
        labels: Mapping[str, str] = one["Labels"]
        files = frozenset(labels.get(f"{_LABEL}project.config_files", "").split(","))
        project = labels.get(f"{_LABEL}project", "")
        named[project] = named.get(project, frozenset()) | files
    return named


class About(msgspec.Struct, frozen=True):
    """The engine itself; `data` is the folder of its images and volumes, on its machine. `local`: it is reached through
    a socket of this machine; where it runs, its `kernel` tells."""

    version: str
    system: str
    data: str
    kernel: str
    local: bool


def about() -> About:
    """What the engine says of itself; HsmError where it does not answer."""
    with enginecall.engine() as client:
        info: Mapping[str, Any] = client.info()
        local = str(client.base_url).startswith(("http+docker://localhost", "http+docker://localnpipe"))
    return About(
        version=info.get("ServerVersion", "?"),
        system=info.get("OperatingSystem", "?"),
        data=info.get("DockerRootDir", ""),
        kernel=info.get("KernelVersion", ""),
        local=local,
    )


def kept(project: str) -> dict[str, tuple[str, ...]]:
    """The networks and volumes that the engine has of a compose project, by the word that removes them."""
    filters = {"label": [f"{_LABEL}project={project}"]}
    with enginecall.engine() as client:
        networks = client.networks(filters=filters)
        volumes = client.volumes(filters=filters)["Volumes"] or ()
    return {
        "network": tuple(sorted(one["Name"] for one in networks)),
        "volume": tuple(sorted(one["Name"] for one in volumes)),
    }


def login_helpers() -> dict[str, tuple[str, ...]]:
    """The credential helpers that docker's config names → the registries that they are for."""
    path = Path(os.environ.get("DOCKER_CONFIG") or "~/.docker").expanduser() / "config.json"
    try:
        config = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.DecodeError, msgspec.ValidationError):
        return {}
    helpers = config.get("credHelpers")
    named = [(str(helper), str(host)) for host, helper in (helpers if isinstance(helpers, dict) else {}).items()]
    if config.get("credsStore"):
        named.append((str(config["credsStore"]), "all registries"))
    return {helper: tuple(sorted(host for name, host in named if name == helper)) for helper, _ in named}


def images() -> dict[str, str]:
    """Every name that the engine has for an image (`name:tag`, `name@sha256:…`) → the id of the image."""
    found = enginecall.asked("/images/json")
    if found is None:
        with enginecall.engine() as client:
            found = client.images()
    names = ((name, image) for image in found for name in (*(image["RepoTags"] or ()), *(image["RepoDigests"] or ())))
    return {name: str(image["Id"]) for name, image in names}


def full_name(reference: str) -> str:
    """The name under which `images` has an image; the text itself where it is no reference."""
    try:
        image = ImageReference.parse(reference)
    except ValueError:
        return reference
    name = image.repository.removeprefix("library/") if image.host == HUB else image.name
    return f"{name}@{image.digest}" if image.digest else f"{name}:{image.tagged}"


def image_id(reference: str) -> str | None:
    """The id of an image that the engine has; None where it has none of that name."""
    image = _image(reference)
    return None if image is None else str(image["Id"])


def image_config(reference: str) -> tuple[bool, tuple[str, ...]] | None:
    """Whether an image of the engine has a healthcheck, and the paths of its volumes; None where there is no image."""
    image = _image(reference)
    if image is None:
        return None
    config: Mapping[str, Any] = image.get("Config") or {}
    test = (config.get("Healthcheck") or {}).get("Test") or ["NONE"]
    return test[0] != "NONE", tuple(sorted(config.get("Volumes") or ()))


def is_local_only(reference: str) -> bool:
    """Whether the engine has the image, and no registry ever told it a digest of that repository.

    What was pulled under another name counts for nothing: `docker tag` made this one here. An engine with containerd's
    image store gives a digest to what it built itself too, and the answer is False then: True is certain, False is not.
    """
    image = _image(reference)
    if image is None:
        return False
    repository = full_name(reference.partition("@")[0]).rpartition(":")[0]
    return all(name.partition("@")[0] != repository for name in image.get("RepoDigests") or ())


def logs_tail(container_id: str, lines: int) -> str:
    """The last lines that a container wrote, stdout and stderr together."""
    with enginecall.engine() as client:
        return bytes(client.logs(container_id, tail=lines)).decode("utf-8", "replace")


def _image(reference: str) -> Mapping[str, Any] | None:
    import docker

    with enginecall.engine() as client:
        inspect: Any = client.inspect_image
        try:
            image: Mapping[str, Any] = inspect(reference)
        except docker.errors.ImageNotFound:
            return None
    return image


def _container(one: Mapping[str, Any]) -> Container:
    labels: Mapping[str, str] = one["Labels"]
    status = one.get("Status", "")
    health = _HEALTH.search(status)
    exit_code = _EXIT.search(status)
    number = labels.get(f"{_LABEL}container-number", "")
    return Container(
        id=one["Id"],
        service=labels.get(f"{_LABEL}service", ""),
        name=one["Names"][0].removeprefix("/") if one.get("Names") else one["Id"][:12],
        number=int(number) if number.isdecimal() else 0,
        state=one["State"],
        status=status,
        health=health[1] if health else None,
        exit_code=int(exit_code[1]) if exit_code else None,
        image_id=one["ImageID"],
        config_hash=labels.get(f"{_LABEL}config-hash", ""),
        networks=tuple(sorted(one.get("NetworkSettings", {}).get("Networks") or ())),
        ports=tuple(sorted({_port(port) for port in one.get("Ports") or ()})),
        oneoff=labels.get(f"{_LABEL}oneoff", "").lower() == "true",
    )


def _port(port: Mapping[str, Any]) -> str:
    inside = f"{port['PrivatePort']}/{port.get('Type', 'tcp')}"
    if "PublicPort" not in port:
        return inside
    address = port.get("IP", "")
    address = f"[{address}]" if ":" in address else address
    return f"{address}:{port['PublicPort']}->{inside}"
