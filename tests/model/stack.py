"""What a person has written, as numbers: `State`. And as trees of YAML: `Writer`; files.py makes files of them.

Any numbers make a stack that hsm accepts: what would be a mistake (a dev mode without sources, a reference to a service
that comes later) is left out when the files are made. So any part of a sequence is a sequence, and failures shrink.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.model.servers import IMAGES, LATE, REFS, REPOSITORIES, Servers

SLOTS = 12
# field of a service → how many values it has; 0 is "not there", or the plainest form
SERVICE = {
    "present": 2, "base": 4, "image": 4, "tag": 6, "build": 2, "env": 3, "label": 3, "port": 4, "needs": 11,
    "net": 5, "profile": 3, "volume": 5, "health": 3, "named": 3, "mode": 3, "repo": 8, "dev_build": 3, "dev_env": 3,
    "dev_mount": 3, "dev_port": 3, "dev_watch": 2, "dev_rebuild": 2, "dev_needs": 2, "dev_label": 3, "prod_image": 7,
    "version": 4, "limits": 3, "replicas": 3, "prod_env": 3, "prod_volume": 2, "oneshot": 2, "local_mode": 3,
    "local_env": 3, "local_image": 4, "local_path": 2,
}  # fmt: skip
# of the stack
STACK = {
    "mode": 3, "name": 3, "order": 2, "comment": 3, "compose": 3, "extra": 3, "tag_file": 3, "tag_env": 3, "port": 3,
    "dev_default": 3, "prod_default": 3, "shared_default": 2, "jobs": 2, "repos_dir": 2, "local_stack_mode": 3,
    "db": 2, "db_order": 2, "db_alias": 2, "db_select": 3, "db_local": 4, "db_consumers": 3,
    "extras": 2, "extras_select": 4, "extras_local": 5, "queue": 2, "queue_select": 2, "queue_local": 3,
    "tools": 2, "tools_select": 4, "tools_local": 5,
}  # fmt: skip
DB, EXTRAS, QUEUE = (0, 1, 2), (3, 4), (5, 6)
BASE_TAGS = (":1.0.0", ":1.1.0", ":2.0.0", "", ":${TAG:-1.0.0}", ":${TAG_OF_FILE:-1.1.0}")
PROD_TAGS = ("", ":1.1.0", ":1.2.0", ":latest", ":${TAG:-1.2.0}", f":{LATE}")
RANGES = ("", "^1", "~1.1", ">=1.0,<3")
MIRRORED = "images.example"
Tree = dict[str, Any]


@dataclass
class State:
    """All that a person decides."""

    services: list[dict[str, int]]
    stack: dict[str, int]

    @classmethod
    def plain(cls, count: int) -> State:
        """So many services of the base, each with an image."""
        services = [dict.fromkeys(SERVICE, 0) for _ in range(SLOTS)]
        for number, service in enumerate(services):
            service |= {"present": int(number < count), "base": 1, "image": number % len(IMAGES)}
        return cls(services, dict.fromkeys(STACK, 0))

    def copy(self) -> State:
        return State([dict(service) for service in self.services], dict(self.stack))


@dataclass
class Written:
    """A state as trees and files. `base` is service → keys as compose will read them, `shared` whether an included file
    has defaults, `environ` the environment that goes with it."""

    base: Tree = field(default_factory=dict)
    hsm: Tree = field(default_factory=dict)
    local: Tree = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    environ: dict[str, str] = field(default_factory=dict)
    repos: str = "repos"
    shared: int = 0


def name(slot: int) -> str:
    return f"s{slot}"


class Writer:
    """From numbers to trees and files; leaves out what would be a mistake."""

    def __init__(self, state: State, servers: Servers) -> None:
        self.services, self.stack, self.servers = state.services, state.stack, servers
        self.slots = [slot for slot in range(SLOTS) if state.services[slot]["present"]]

    def trees(self) -> Written:
        """All but the files."""
        out = Written(repos="checkouts" if self.stack["repos_dir"] else "repos")
        out.base = {name(slot): keys for slot in self.slots if (keys := self.base(slot)) is not None}
        named = {name(slot): self.hsm(slot) for slot in self.slots if self.named(slot)}
        out.hsm = filled({"services": named, "groups": dict(self.groups("select")), **self._tops()})
        out.local = self._local()
        tag_env = self.stack["tag_env"]
        out.environ = {"TAG": ("", "1.1.0", "2.0.0")[tag_env]} if tag_env else {}
        out.shared = self.stack["shared_default"]
        return out

    # --- the base --------------------------------------------------------------------------------------------------

    def in_base(self, slot: int) -> bool:
        service = self.services[slot]
        return bool(service["base"] or not service["named"])

    def builds(self, slot: int) -> bool:
        return self.in_base(slot) and bool(self.services[slot]["build"])

    def named(self, slot: int) -> bool:
        return bool(self.services[slot]["named"] or not self.in_base(slot))

    def base(self, slot: int) -> Tree | None:
        if not self.in_base(slot):
            return None
        service = self.services[slot]
        keys: Tree = {}
        if service["build"]:
            keys["build"] = {"context": "./ctx"}
        if not service["build"] or service["tag"] % 2:
            keys["image"] = self.image(service["image"], BASE_TAGS[service["tag"]])
        if service["env"]:
            keys["environment"] = {"BASE": str(service["env"])}
        if service["label"]:
            keys["labels"] = {"base": str(service["label"])}
        if service["health"]:
            test: Any = ["NONE"] if service["health"] == 1 else ["CMD", "true"]
            keys["healthcheck"] = {"test": test}
        if service["profile"]:
            keys["profiles"] = [f"p{service['profile']}"]
        return keys | self._network(slot) | self._volume(slot) | self._needs(slot, service["needs"])

    def image(self, number: int, rest: str) -> str:
        return f"{MIRRORED}/{IMAGES[number]}{rest}"

    def _network(self, slot: int) -> Tree:
        service = self.services[slot]
        port = ("", "8080:80", "127.0.0.1:${PORT:-8081}:80", "9000-9001:90-91")[service["port"]]
        ports: Tree = {"ports": [port]} if port else {}
        net = service["net"]
        if net == 1:
            return {"networks": ["front"], **ports}
        if net == 2 and slot > 6 and self._may_need(slot - 1, slot):
            return {"network_mode": f"service:{name(slot - 1)}"}
        if net == 3 and slot > 6 and self._may_need(0, slot):
            return {"network_mode": f"service:{name(0)}"}
        if net == 4 and slot > 2 and self._may_need(1, slot):
            return {"ipc": f"service:{name(1)}", **ports}
        return ports

    def _volume(self, slot: int) -> Tree:
        volume = self.services[slot]["volume"]
        if volume == 4:
            return {"volumes_from": [f"{name(0)}:ro"]} if slot > 2 and self._may_need(0, slot) else {}
        source = ("", f"data-{slot}:/data", "./conf:/conf:ro", "./ctx/src:/src")[volume]
        return {"volumes": [source]} if source else {}

    def _needs(self, slot: int, needs: int) -> Tree:
        if needs == 9:
            return {"links": [f"{name(0)}:dbx"]} if slot > 2 and self._may_need(0, slot) else {}
        started, healthy = {"condition": "service_started"}, {"condition": "service_healthy"}
        done = {"condition": "service_completed_successfully"}
        wanted: list[list[tuple[int | str, Tree]]] = [
            [], [(slot - 1, started)], [("db", started)], [("db", healthy)], [(0, healthy)], [(3, started)],
            [(slot - 1, done)], [("queue", healthy)], [("db", started), (slot - 1, started)], [],
            [(5, healthy), (1, started)],
        ]  # fmt: skip
        found = {
            name(who) if isinstance(who, int) else who: how
            for who, how in wanted[needs]
            if (self._may_need(who, slot) if isinstance(who, int) else self._has_alias(who, slot))
        }
        return {"depends_on": found} if found else {}

    def _may_need(self, other: int, slot: int) -> bool:
        """Only services before it, and none that a profile may hide."""
        option = any(other in self.options(slots) for slots in (DB, EXTRAS, QUEUE))
        return 0 <= other < slot and other in self.slots and (option or not self.services[other]["profile"])

    def _has_alias(self, alias: str, slot: int) -> bool:
        if alias == "db":
            return bool(self.stack["db_alias"]) and slot > max(DB) and bool(self.options(DB))
        return slot > max(QUEUE) and bool(self.options(QUEUE))

    # --- hsm.yaml --------------------------------------------------------------------------------------------------

    def repo(self, slot: int) -> tuple[int, str] | None:
        number = self.services[slot]["repo"]
        return ((number - 1) % REPOSITORIES, REFS[(number - 1) // REPOSITORIES]) if number else None

    def can_dev(self, slot: int) -> bool:
        return self.repo(slot) is not None or self.builds(slot)

    def hsm(self, slot: int) -> Tree:
        service, repo, keys = self.services[slot], self.repo(slot), Tree()
        mode = ("", "dev", "prod")[service["mode"]]
        if not self.can_dev(slot) and (mode == "dev" or 2 in (self.stack["mode"], self.stack["local_stack_mode"])):
            mode = "prod"
        if mode:
            keys["mode"] = mode
        if repo:
            keys["repo"] = {"url": self.servers.url(repo[0]), "ref": repo[1], "name": f"r{repo[0]}-{repo[1]}"}
        if self.can_dev(slot) and (dev := self._dev(slot)):
            keys["dev"] = dev
        if prod := self._prod(slot):
            keys["prod"] = prod
        if service["oneshot"]:
            keys["oneshot"] = "true"
        return keys or {"oneshot": "false"}

    def _dev(self, slot: int) -> Tree:
        service, keys = self.services[slot], Tree()
        if self.repo(slot):
            builds: list[Tree | None] = [None, {"context": ".", "target": "dev"}, {"context": ".", "args": {"A": "1"}}]
            mount = ("", "./src:/app/src", "./conf:/conf:ro")[service["dev_mount"]]
            keys |= {"build": builds[service["dev_build"]]} if service["dev_build"] else {}
            keys |= {"volumes": [mount]} if mount else {}
            keys |= {"watch": [{"action": "rebuild", "path": "src"}]} if service["dev_watch"] else {}
            keys |= {"rebuild": ["Dockerfile"]} if service["dev_rebuild"] else {}
        for key, word in (("dev_env", "environment"), ("dev_label", "labels")):
            if service[key]:
                keys[word] = {"DEV": str(service[key])}
        if service["dev_port"] and "network_mode" not in (self.base(slot) or {}):
            keys["ports"] = [("", "127.0.0.1:5678:5678", "8088:80")[service["dev_port"]]]
        if service["dev_needs"]:
            keys |= self._needs(slot, 8)
        return keys

    def _prod(self, slot: int) -> Tree:
        service, keys = self.services[slot], Tree()
        number = service["prod_image"] or (0 if "image" in (self.base(slot) or {}) else 1)
        if number:
            tag = PROD_TAGS[number - 1]
            keys["image"] = self.image((service["image"] + number) % len(IMAGES), tag)
            if RANGES[service["version"]] and not tag:
                keys["version"] = RANGES[service["version"]]
        keys |= {"limits": {"memory": f"{service['limits']}6M"}} if service["limits"] else {}
        keys |= {"replicas": str(service["replicas"])} if service["replicas"] else {}
        keys |= {"environment": {"PROD": str(service["prod_env"])}} if service["prod_env"] else {}
        keys |= {"volumes": [f"more-{slot}:/more"]} if service["prod_volume"] else {}
        return keys

    def options(self, slots: tuple[int, ...]) -> tuple[int, ...]:
        """The options of a group, in its order; none where the group is not there."""
        word = {DB: "db", EXTRAS: "extras", QUEUE: "queue"}[slots]
        found = tuple(slot for slot in slots if slot in self.slots)
        if not self.stack[word] or (word != "extras" and len(found) < 2):
            return ()
        return tuple(reversed(found)) if word == "db" and self.stack["db_order"] else found

    def profiles(self) -> list[str]:
        found = {self.services[slot]["profile"] for slot in self.slots if self.in_base(slot)} - {0}
        return [f"p{number}" for number in sorted(found)] if self.stack["tools"] else []

    def groups(self, word: str) -> Iterator[tuple[str, Tree]]:
        """`word` "select": the groups of hsm.yaml; "local": the selections of hsm.local.yaml."""
        shift = int(word == "local")
        for group, slots in (("db", DB), ("queue", QUEUE)):
            chosen = self.stack[f"{group}_{word}"] - shift
            if (there := self.options(slots)) and chosen >= 0:
                selection = {"selection": name(there[chosen % len(there)])}
                yield group, selection if shift else self._single(group, there) | selection
        for group, names in (("extras", [name(slot) for slot in self.options(EXTRAS)]), ("tools", self.profiles())):
            bits = self.stack[f"{group}_{word}"] - shift
            if names and bits >= 0:
                selected: Tree = {"selection": [each for bit, each in enumerate(names) if bits >> bit & 1]}
                key = "profiles" if group == "tools" else "options"
                yield group, selected if shift else {"strategy": "M-of-N", key: names, **selected}

    def _single(self, group: str, there: tuple[int, ...]) -> Tree:
        keys: Tree = {"strategy": "1-of-N", "options": [name(slot) for slot in there]}
        if group == "queue" or self.stack["db_alias"]:
            keys["alias"] = group
        consumers = [slot for slot in self.slots if slot > max(QUEUE)][: self.stack["db_consumers"]]
        if group == "db" and consumers:
            keys["options"] = {
                name(slot): {"consumers": {name(to): {"environment": {"DB": name(slot)}} for to in consumers}}
                for slot in there
            }
        return keys

    def _tops(self) -> Tree:
        given, keys = self.stack, Tree()
        keys |= {"mode": ("", "prod", "dev")[given["mode"]]} if given["mode"] else {}
        keys |= {"name": ("", "alpha", "beta")[given["name"]]} if given["name"] else {}
        if given["mode"] == 2:  # defaults of a mode that a service can not have are none of ours to test
            keys["mode"] = "dev"
        defaults: Tree = {}
        if given["dev_default"]:
            defaults["dev"] = {"environment": {"DEFAULT": str(given["dev_default"])}}
        if given["prod_default"]:
            defaults["prod"] = {"limits": {"pids": f"{given['prod_default']}00"}}
        compose = (None, "docker-compose.yml", ["docker-compose.yml", "extra.yml"])[given["compose"]]
        return keys | ({"defaults": defaults} if defaults else {}) | ({"compose": compose} if compose else {})

    # --- hsm.local.yaml ----------------------------------------------------------------------------

    def _local(self) -> Tree:
        users = [self.repo(slot) for slot in self.slots if self.named(slot)]
        services = {}
        for slot in (slot for slot in self.slots if self.named(slot)):
            service, keys = self.services[slot], Tree()
            if service["local_mode"] == 2 or (service["local_mode"] == 1 and self.can_dev(slot)):
                keys["mode"] = ("", "dev", "prod")[service["local_mode"]]
            if service["local_env"] and self.can_dev(slot):
                keys["dev"] = {"environment": {"LOCAL": str(service["local_env"])}}
            if service["local_image"]:
                tag = ("", ":1.0.0", ":2.0.0", ":${TAG:-1.1.0}")[service["local_image"]]
                keys["prod"] = {"image": self.image(service["image"], tag)} | (
                    {"version": None} if "version" in self._prod(slot) else {}
                )
                if keys["prod"].pop("version", 0) is None:
                    keys["prod"]["image"] = self.image(service["image"], "")
            repo = self.repo(slot)
            if service["local_path"] and repo and users.count(repo) == 1:
                keys["repo"] = {"path": f"../../../mine/r{repo[0]}"}
            if keys:
                services[name(slot)] = keys
        mode = self.stack["local_stack_mode"]
        top: Tree = {"mode": ("", "prod", "dev")[mode]} if mode else {}
        return filled({**top, "services": services, "groups": dict(self.groups("local"))})


def filled(tree: Tree) -> Tree:
    """Without what says nothing."""
    return {key: value for key, value in tree.items() if value not in ({}, None)}
