"""`update --dry-run` and `update --check`: what an update would move, without moving it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from hsm_tasks.checkouts import newest
from hsm_tasks.core.model import Pin
from hsm_tasks.core.plan import Clone, Resolve, plan
from hsm_tasks.pins import find
from hsm_tasks.world import World

VERSION = 1


def outdated(world: World) -> dict[str, Any]:
    """Each entry of hsm.lock that the update is about: old and new, plain values. Registries and servers are asked."""
    drawn, jobs = plan(world.opened.scene), world.opened.workspace.settings.jobs
    images = {step.key: step for step in reversed(drawn.resolves) if step.move}
    repositories = {step.repository.key: step for step in reversed(drawn.clones) if step.move and not step.own}
    with ThreadPoolExecutor(max_workers=jobs) as pool:
        pins = pool.map(lambda step: find(step, world), images.values())
        commits = pool.map(lambda step: newest(step, world), repositories.values())
        rows = [*_images(images, dict(zip(images, pins, strict=True)), world),
                *_repositories(repositories, dict(zip(repositories, commits, strict=True)), world)]
    return {"version": VERSION, "stack": world.opened.name, "outdated": sum(row["moves"] for row in rows),
            "entries": rows}


def _images(steps: dict[str, Resolve], pins: dict[str, Pin], world: World) -> Iterator[dict[str, Any]]:
    scene = world.opened.scene
    for key, step in sorted(steps.items()):
        old, new = scene.lock.images.get(key) or scene.local_lock.images.get(key), pins[key]
        yield {
            "kind": "image",
            "key": key,
            "service": step.service,
            "old": {"tag": old.tag, "digest": old.digest} if old else None,
            "new": {"tag": new.tag, "digest": new.digest},
            "moves": old is None or (old.tag, old.digest) != (new.tag, new.digest),
        }


def _repositories(steps: dict[str, Clone], commits: dict[str, str], world: World) -> Iterator[dict[str, Any]]:
    scene = world.opened.scene
    for key, step in sorted(steps.items()):
        old, new = scene.lock.repositories.get(key) or scene.local_lock.repositories.get(key), commits[key]
        yield {
            "kind": "repository",
            "key": key,
            "checkout": step.name.partition(":")[0],
            "old": {"commit": old} if old else None,
            "new": {"commit": new},
            "moves": old != new,
        }
