"""What containers use of what they may use, from the engine.

It measures a processor for a second or two, so all containers are asked at the same time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from hsm_tasks.effects import enginecall

_AT_A_TIME = 32


class Use(msgspec.Struct, frozen=True):
    """Memory in bytes, cpus as a number of processors. None: not known, or no limit."""

    memory: int | None
    memory_limit: int | None
    cpus: float | None
    cpus_limit: float | None
    pids: int | None
    pids_limit: int | None


def use(containers: Sequence[str]) -> dict[str, Use]:
    """Of running containers, by their ids; one that has ended meanwhile is left out."""
    from concurrent.futures import ThreadPoolExecutor

    if not containers:
        return {}
    with ThreadPoolExecutor(max_workers=min(_AT_A_TIME, len(containers))) as pool:
        found = zip(containers, pool.map(_of, containers), strict=True)
        return {identity: one for identity, one in found if one}


def _of(container: str) -> Use | None:
    stats = enginecall.asked(f"/containers/{container}/stats?stream=false")
    about = enginecall.asked(f"/containers/{container}/json")
    if not isinstance(stats, dict) or not isinstance(about, dict):
        stats, about = _through_the_library(container)
    return _use(stats, about.get("HostConfig") or {}) if stats and about else None


def _through_the_library(container: str) -> tuple[Any, Any]:
    import docker

    with enginecall.engine() as client:
        try:
            return client.stats(container, stream=False), client.inspect_container(container)
        except docker.errors.NotFound:
            return None, None


def _use(stats: Mapping[str, Any], limits: Mapping[str, Any]) -> Use:
    quota, period = limits.get("CpuQuota") or 0, limits.get("CpuPeriod") or 100_000
    cpus = (limits.get("NanoCpus") or 0) / 1e9 or (quota / period if quota > 0 else 0)
    pids = limits.get("PidsLimit") or 0
    return Use(
        memory=_memory(stats.get("memory_stats") or {}),
        memory_limit=limits.get("Memory") or None,
        cpus=_cpus(stats.get("cpu_stats") or {}, stats.get("precpu_stats") or {}),
        cpus_limit=round(cpus, 3) or None,
        pids=(stats.get("pids_stats") or {}).get("current"),
        pids_limit=pids if pids > 0 else None,
    )


def _memory(said: Mapping[str, Any]) -> int | None:
    """As `docker stats` counts it: without the files that the kernel may forget at any time."""
    used, parts = said.get("usage"), said.get("stats") or {}
    if used is None:
        return None
    idle = parts.get("total_inactive_file", parts.get("inactive_file", 0))
    return int(used - idle if idle < used else used)


def _cpus(now: Mapping[str, Any], before: Mapping[str, Any]) -> float | None:
    """How many processors it kept busy between two looks."""
    def moved(*keys: str) -> float:
        new: Any = now
        old: Any = before
        for key in keys:
            new, old = new.get(key) or {}, old.get(key) or {}
        return float(new or 0) - float(old or 0)

    machine = moved("system_cpu_usage")
    if machine <= 0:
        return None
    return round(moved("cpu_usage", "total_usage") / machine * (now.get("online_cpus") or 1), 4)
