"""What an update moves: shown by `update --dry-run` and `update --check` without moving it, and by `update` afterwards.

A row is old and new, as plain values. Of what moves a registry is asked when the images were made, and a server which
commits lie between; where they do not tell, nothing is said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from hsm_tasks.core import lock
from hsm_tasks.core.model import Pin
from hsm_tasks.core.plan import Clone, Resolve, plan
from hsm_tasks.effects import files
from hsm_tasks.effects.githistory import History
from hsm_tasks.screen import tables
from hsm_tasks.stack.workspace import LOCK
from hsm_tasks.steps.checkouts import history, newest
from hsm_tasks.steps.pins import about, find
from hsm_tasks.steps.world import World

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

VERSION = 1
Row = dict[str, Any]


def outdated(world: World) -> dict[str, Any]:
    """Each entry of hsm.lock that the update is about. Registries and servers are asked, and nothing is changed."""
    images, repositories = _steps(world)
    moving = {key: step for key, step in images.items() if step.move}
    following = {key: step for key, step in repositories.items() if step.move and not step.own}
    scene = world.opened.scene
    old = lock.Lock(images={**scene.local_lock.images, **scene.lock.images},
                    repositories={**scene.local_lock.repositories, **scene.lock.repositories})
    with _pool(world) as pool:
        pins = dict(zip(moving, pool.map(partial(find, world=world), moving.values()), strict=True))
        commits = dict(zip(following, pool.map(partial(newest, world=world), following.values()), strict=True))
    rows = _rows(old, lock.Lock(images=pins, repositories=commits), {*pins, *commits}, world)
    return {"version": VERSION, "stack": world.opened.name, "outdated": sum(row["moves"] for row in rows),
            "entries": rows}


def report_update(world: World) -> None:
    """Says what an update has moved."""
    before, path = world.opened.scene.lock, world.opened.folder / LOCK
    after = lock.parse(files.read_if_there(path) or "version: 1\n", str(path))
    moved = [key for key in {*before.images, *after.images} if before.images.get(key) != after.images.get(key)]
    moved += [key for key in {*before.repositories, *after.repositories}
              if before.repositories.get(key) != after.repositories.get(key)]
    rows = _rows(before, after, moved, world)
    # an entry may only have come to say more: of a new option the healthcheck is recorded, too
    world.say(tables.moves(rows) if any(row["moves"] for row in rows) else "hsm.lock: nothing has moved")


def _rows(old: lock.Lock, new: lock.Lock, keys: Iterable[str], world: World) -> list[Row]:
    """Images first, each kind by its keys."""
    images, repositories = _steps(world)
    wanted = sorted(keys)
    asked: list[Callable[[], Row]] = [
        partial(_image, key, (old.images.get(key), new.images.get(key)), images.get(key), world)
        for key in wanted if key in old.images or key in new.images
    ]
    asked += [
        partial(_repository, key, (old.repositories.get(key), new.repositories.get(key)), repositories.get(key), world)
        for key in wanted if key in old.repositories or key in new.repositories
    ]
    with _pool(world) as pool:
        return list(pool.map(lambda ask: ask(), asked))


def _steps(world: World) -> tuple[dict[str, Resolve], dict[str, Clone]]:
    """Who resolves an entry of hsm.lock, by its key."""
    drawn = plan(world.opened.scene)
    images = {step.key: step for step in reversed(drawn.resolves)}
    return images, {step.repository.key: step for step in reversed(drawn.clones)}


def _pool(world: World) -> ThreadPoolExecutor:
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(max_workers=world.opened.workspace.settings.jobs)


def _image(key: str, pair: tuple[Pin | None, Pin | None], step: Resolve | None, world: World) -> Row:
    old, new = pair
    moves = (old and (old.tag, old.digest)) != (new and (new.tag, new.digest))
    shown = [_pin(pin, step if moves else None, world) for pin in pair]
    return {"kind": "image", "key": key, "service": step.service if step else None,
            "old": shown[0], "new": shown[1], "moves": moves}


def _pin(pin: Pin | None, step: Resolve | None, world: World) -> dict[str, str | None] | None:
    """A registry counts what is asked of it, so only of what moves it is asked more."""
    if pin is None:
        return None
    said = about(step, pin.digest, world) if step and pin.digest else None
    return {"tag": pin.tag, "digest": pin.digest,
            "version": said.version if said else None, "created": said.created if said else None}


def _repository(key: str, pair: tuple[str | None, str | None], step: Clone | None, world: World) -> Row:
    old, new = pair
    between = history(step, old, new, world) if step and old and new and old != new else None
    return {
        "kind": "repository",
        "key": key,
        "checkout": step.name.partition(":")[0] if step else None,
        "old": {"commit": old} if old else None,
        "new": {"commit": new} if new else None,
        "moves": old != new,
        "commits": _commits(between) if between else None,
    }


def _commits(between: History) -> Mapping[str, Any]:
    newest = [{"commit": one.commit, "date": one.date, "subject": one.subject} for one in between.newest]
    return {"total": between.total, "newest": newest}
