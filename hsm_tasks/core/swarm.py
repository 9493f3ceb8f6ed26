"""A resolved compose model to one that `docker stack deploy` takes: what Swarm has no word for is converted or refused.

Input is what `docker compose config` prints of a bundle: variables filled in, paths resolved, one form for each key.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

Model = Mapping[str, Any]

# Swarm takes them as they are
_KEPT: Final = frozenset(
    """
    cap_add cap_drop command dns dns_search entrypoint environment expose extra_hosts healthcheck hostname image init
    isolation labels logging read_only stdin_open stop_grace_period stop_signal sysctls tty ulimits user working_dir
    """.split()  # noqa: SIM905 - words are easier to read without quotes
)
# They say something about one machine, or nothing that a swarm would do otherwise
_DROPPED: Final = {
    "annotations": "",
    "attach": "",
    "container_name": "its containers have names of their own",
    "depends_on": "there is no order, so it has to wait for what it needs",
    "links": "services are found by their names",
    "platform": "",
    "profiles": "",
    "pull_policy": "",
    "runtime": "",
}
_LIMITS: Final = {"mem_limit": "memory", "cpus": "cpus", "pids_limit": "pids"}
_RESTART: Final = {"always": "any", "unless-stopped": "any", "no": "none"}
_NUMBER: Final = re.compile(r"[0-9]+")
_LOOPBACK: Final = ("127.", "::1", "localhost")


class Asked(msgspec.Struct, frozen=True):
    """How the target wants it. `folder` is where the bundle is unpacked, `digests` its files: path → SHA-256."""

    project: str
    folder: str
    digests: Mapping[str, str]
    oneshots: frozenset[str] = frozenset()
    ports: str = "ingress"
    all_addresses: bool = False
    endpoint: str = "vip"


class Swarm(msgspec.Struct, frozen=True):
    """`notes` are sentences on what is otherwise in a swarm; with an objection there is nothing to deploy."""

    model: Model
    notes: tuple[str, ...]
    objections: tuple[str, ...]


def convert(model: Model, asked: Asked) -> Swarm:
    """The model of a stack."""
    work = _Work(asked)
    made: dict[str, Any] = {"services": {}}
    for name, keys in sorted(model["services"].items()):
        made["services"][name] = work.service(name, keys)
    for kind in ("networks", "volumes"):
        if model.get(kind):
            made[kind] = {name: _named(keys) for name, keys in model[kind].items()}
    for kind in ("configs", "secrets"):
        entries = {name: work.content(name, keys, kind) for name, keys in (model.get(kind) or {}).items()}
        entries |= work.configs if kind == "configs" else {}
        if entries:
            made[kind] = entries
    return Swarm(made, tuple(dict.fromkeys(work.notes)), tuple(work.objections))


def _named(keys: Model | None) -> Model:
    """The name of the project is put before by the stack; only what is external keeps its own."""
    if not keys:
        return {}
    kept = {key: value for key, value in keys.items() if value not in ({}, None)}
    return kept if kept.get("external") else {key: value for key, value in kept.items() if key != "name"}


class _Work(msgspec.Struct):
    asked: Asked
    notes: list[str] = msgspec.field(default_factory=list)
    objections: list[str] = msgspec.field(default_factory=list)
    configs: dict[str, Any] = msgspec.field(default_factory=dict)

    def service(self, name: str, keys: Model) -> Model:
        """A service as Swarm takes it."""
        made: dict[str, Any] = {key: value for key, value in keys.items() if key in _KEPT and value is not None}
        known = {*_KEPT, *_DROPPED, *_LIMITS, "deploy", "networks", "ports", "volumes", "configs", "secrets", "restart",
                 "scale", "mem_reservation", "tmpfs"}
        for key in sorted(set(keys) - known):
            if keys[key] not in (None, False, [], {}):
                self.objections.append(f"{name}: {key}: a swarm has nothing like it")
        for key, why in _DROPPED.items():
            if why and keys.get(key):
                self.notes.append(f"{name}: {key} means nothing to a swarm: {why}")
        environment = keys.get("environment") or {}
        made["environment"] = {key: value for key, value in environment.items() if value is not None}
        made["deploy"] = self._deploy(name, keys)
        for key, value in (
            ("networks", {network: given or {} for network, given in (keys.get("networks") or {}).items()}),
            ("ports", [self._port(name, port) for port in keys.get("ports") or ()]),
            ("volumes", list(self._volumes(name, keys))),
            ("secrets", list(keys.get("secrets") or ())),
            ("configs", [*(keys.get("configs") or ()), *self._bound(keys)]),
        ):
            if value:
                made[key] = value
        return {key: value for key, value in made.items() if value not in ({}, [])}

    # --- deploy --------------------------------------------------------------------------------------------------

    def _deploy(self, name: str, keys: Model) -> Model:
        given = keys.get("deploy") or {}
        deploy: dict[str, Any] = {key: value for key, value in given.items() if value not in (None, {})}
        if "scale" in keys:
            deploy.setdefault("replicas", int(keys["scale"]))
        resources = self._resources(keys, deploy.get("resources") or {})
        if resources:
            deploy["resources"] = resources
        order = "stop-first" if self._holds_on(keys) else "start-first"
        changing = {"order": order, "monitor": "5s", "parallelism": 1}
        deploy["update_config"] = {**changing, "failure_action": "rollback", **(deploy.get("update_config") or {})}
        deploy.setdefault("rollback_config", changing)
        deploy.setdefault("restart_policy", self._restart(name, keys))
        if self.asked.endpoint == "dnsrr":
            deploy.setdefault("endpoint_mode", "dnsrr")
        return {key: value for key, value in deploy.items() if value}

    def _holds_on(self, keys: Model) -> bool:
        """Whether two of it can not run side by side: it has a volume, or a port of the node."""
        return bool(keys.get("volumes")) or (bool(keys.get("ports")) and self.asked.ports == "host")

    def _resources(self, keys: Model, given: Model) -> Model:
        limits = {new: keys[old] for old, new in _LIMITS.items() if keys.get(old)} | (given.get("limits") or {})
        reserved = {"memory": keys["mem_reservation"]} if keys.get("mem_reservation") else {}
        reserved |= given.get("reservations") or {}
        for kind in (limits, reserved):
            kind |= {key: str(kind[key]) for key in ("cpus", "memory") if key in kind}
        return {name: kind for name, kind in (("limits", limits), ("reservations", reserved)) if kind}

    def _restart(self, name: str, keys: Model) -> Model:
        written = str(keys.get("restart") or "")
        if name in self.asked.oneshots or written.startswith("on-failure"):
            attempts = written.partition(":")[2]
            if attempts and not _NUMBER.fullmatch(attempts):
                self.objections.append(f"{name}: restart: {written} names no number of attempts")
                return {}
            return {"condition": "on-failure", **({"max_attempts": int(attempts)} if attempts else {})}
        return {"condition": _RESTART[written]} if written in _RESTART else {}

    # --- ports, volumes, files -----------------------------------------------------------------------------------

    def _port(self, name: str, port: Model) -> Model:
        host = str(port.get("host_ip") or "")
        if host.startswith(_LOOPBACK) and not self.asked.all_addresses:
            self.objections.append(f"{name}: port {port['target']} is for {host} alone, and a swarm publishes on all "
                                   'addresses of a node: say addresses = "all" for the target, or publish it otherwise')
        made: dict[str, Any] = {"target": int(port["target"]), "protocol": port.get("protocol", "tcp"),
                                "mode": self.asked.ports}
        published = str(port.get("published") or "")
        if published and not _NUMBER.fullmatch(published):
            self.objections.append(f"{name}: a swarm publishes one port, not {published}")
        elif published:
            made["published"] = int(published)
        return made

    def _inside(self, volume: Model) -> str | None:
        """The path in the bundle, of what is bound from there."""
        folder, source = self.asked.folder, str(volume.get("source") or "")
        inside = volume.get("type") == "bind" and source.startswith(f"{folder}/")
        return posixpath.relpath(source, folder) if inside else None

    def _volumes(self, name: str, keys: Model) -> Iterator[Model]:
        for volume in keys.get("volumes") or ():
            inside = self._inside(volume)
            if inside is None:
                yield {key: value for key, value in volume.items() if key != "bind" and value not in (None, {})}
                if volume.get("type") == "bind" and volume.get("source") not in ("/etc/localtime",):
                    self.notes.append(f"{name}: {volume['source']} must be on every node")
                elif volume.get("type") == "volume":
                    self.notes.append(f"{name}: the volume {volume.get('source')} is another one on each node")
            elif inside not in self.asked.digests or not volume.get("read_only"):
                self.objections.append(f"{name}: {inside}: nodes of a swarm share no folder: bind single files, "
                                       "read-only (they become configs), or use a volume")
        for path in keys.get("tmpfs") or ():
            yield {"type": "tmpfs", "target": str(path).partition(":")[0]}

    def _bound(self, keys: Model) -> Iterator[Model]:
        """Single files that are bound read-only, as configs."""
        for volume in keys.get("volumes") or ():
            inside = self._inside(volume)
            if inside is not None and inside in self.asked.digests and volume.get("read_only"):
                name = f"file-{self.asked.digests[inside][:12]}"
                self.configs[name] = {"name": f"{self.asked.project}_{name}", "file": volume["source"]}
                yield {"source": name, "target": volume["target"]}

    def content(self, name: str, keys: Model, kind: str) -> Model:
        """A config or secret. One of Swarm can not be changed, so its name has what it holds in it."""
        if keys.get("external"):
            return _named(keys)
        if "file" not in keys:
            self.objections.append(f"{kind[:-1]} {name}: a swarm takes it from a file, or as external")
            return keys
        digest = self.asked.digests.get(posixpath.relpath(keys["file"], self.asked.folder), "")
        return {"name": f"{self.asked.project}_{name}{f'-{digest[:12]}' if digest else ''}", "file": keys["file"]}

