"""How services of a running stack become others on one engine: which way each takes, in which order, and whether they
can be taken one by one at all."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final, Literal

from hsm_tasks.core.deploy import Seen
from hsm_tasks.core.forms import as_map

Model = Mapping[str, Any]
Way = Literal["beside", "tried", "in place"]
_SHARED: Final = ("network_mode", "ipc", "pid", "cgroup")
_ADDRESSES: Final = ("ipv4_address", "ipv6_address", "mac_address")


def way(keys: Model, *, oneshot: bool = False) -> Way:
    """beside: the old one stops when the new one is well. tried: it holds a port or a name of the machine, so the new
    one has to get well without them first, and then takes its place. in place: two of it must not run at a time.

    What `deploy.update_config.order` says counts; else two may run where no volume is written to.
    """
    order = (((keys.get("deploy") or {}).get("update_config")) or {}).get("order")
    alone = oneshot or order == "stop-first" or _unique(keys) or (order is None and _writes(keys))
    if alone:
        return "in place"
    return "tried" if _published(keys) or keys.get("container_name") else "beside"


def _writes(keys: Model) -> bool:
    return any(not _read_only(volume) for volume in keys.get("volumes") or ())


def _read_only(volume: object) -> bool:
    if isinstance(volume, Mapping):
        return volume.get("type") == "tmpfs" or volume.get("read_only") is True
    return str(volume).endswith(":ro")


def _unique(keys: Model) -> bool:
    """It has something that the machine has once: an address, a device, a namespace."""
    networks = keys.get("networks")
    given = networks.values() if isinstance(networks, Mapping) else ()
    addressed = any(one.get(key) for one in given if isinstance(one, Mapping) for key in _ADDRESSES)
    return addressed or any(keys.get(key) for key in (*_SHARED, "mac_address", "devices"))


def _published(keys: Model) -> bool:
    return any(not isinstance(port, Mapping) or port.get("published") for port in keys.get("ports") or ())


def one_by_one(model: Model) -> bool:
    """Whether services can be renewed each by itself; not where compose has to renew one with another."""
    services = model["services"].values()
    tied = any(str(keys.get(key) or "").startswith("service:") for keys in services for key in _SHARED)
    tied = tied or any(keys.get("volumes_from") for keys in services)
    restarts = (one for keys in services for one in as_map(keys.get("depends_on")).values())
    tied = tied or any(isinstance(one, Mapping) and one.get("restart") for one in restarts)
    return not tied and all(replicas(keys) is not None for keys in services)


def replicas(keys: Model) -> int | None:
    """How many containers it has; None where a variable says it."""
    said = keys.get("scale", (keys.get("deploy") or {}).get("replicas", 1))
    return int(said) if str(said).isdecimal() else None


def order(services: Mapping[str, Model]) -> tuple[str, ...]:
    """By name, but each behind what it depends on."""
    placed: dict[str, None] = {}

    def place(name: str) -> None:
        if name in placed or name in under_way or name not in services:
            return
        under_way.add(name)
        for needed in sorted(as_map(services[name].get("depends_on"))):
            place(needed)
        placed[name] = None

    under_way: set[str] = set()
    for name in sorted(services):
        place(name)
    return tuple(placed)


def right(containers: Collection[Seen], digest: str, wanted: int, *, oneshot: bool) -> bool:
    """Whether nothing is to be done: all are made from what is wanted, and run, or ended well."""
    well = (one.ended_well if oneshot else one.well for one in containers)
    return len(containers) == wanted and all(one.digest == digest for one in containers) and all(well)


def strangers(containers: Iterable[Seen], model: Model) -> tuple[Seen, ...]:
    """Containers of services that the model no longer has."""
    return tuple(one for one in containers if one.service not in model["services"])
