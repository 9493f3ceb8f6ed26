"""`up`: compares what runs with what should, starts compose once where they differ, and waits until all is well."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from hsm_tasks.commands import active
from hsm_tasks.core.choose import Form
from hsm_tasks.core.errors import HsmError
from hsm_tasks.core.plan import Up, reachable
from hsm_tasks.effects import compose, docker
from hsm_tasks.effects.docker import Container
from hsm_tasks.world import World, read_pin, require

PATIENCE = 300.0  # seconds that containers have to become well; their own healthchecks usually say it sooner
LOOK = 0.25  # seconds between two looks at the engine
SETTLE = 0.5  # seconds that a container without a healthcheck has to show that it does not end at once


@dataclass(slots=True)
class Start:
    """The one compose call of a command line: the first stale `up` step makes it, for all of them, under any `-n`."""

    world: World
    words: frozenset[str]
    _guard: threading.Lock = field(default_factory=threading.Lock)
    _seen: _Sight | None = None
    _failure: HsmError | None = None
    _done: bool = False

    def reason(self, step: Up) -> str | None:
        """Words, if compose has something to do for this service or for what it needs; the engine is asked once."""
        if self._seen is None:
            self._seen = _look(self.world)
        if self._seen.strangers:
            return f"{', '.join(self._seen.strangers)} no longer part of the stack"
        own = _reason(self.world, step.name, self._seen)
        if own:
            return own
        others = sorted(reachable(step.name, self.world.opened.scene.chosen) - {step.name})
        wrong = ((other, _reason(self.world, other, self._seen)) for other in others)
        return next((f"{other}: {why}" for other, why in wrong if why), None)

    def up(self, step: Up) -> None:
        """A step's part in it: its mounts are there, and what was started is well."""
        require(step.mounts, self.world, f"up:{step.name}")
        with self._guard:
            if not self._done:
                self._done = True
                try:
                    self._start(step.name)
                except HsmError as error:
                    self._failure = error
                    raise
            elif self._failure:
                raise HsmError(f"{step.name} was started with the others, which failed")

    def _start(self, name: str) -> None:
        opened = self.world.opened
        usual = set(active(opened.scene.chosen))
        named = {word.removeprefix("up:") for word in self.words if word.startswith("up:")} or {name}
        everything = "up" in self.words
        services = () if everything and named <= usual | {name} else sorted(named | (usual if everything else set()))
        compose.up(opened.project(), tuple(services), lambda line: self.world.progress("up", line))
        wanted = services or sorted(usual)
        _wait(self.world, sorted({other for start in wanted for other in reachable(start, opened.scene.chosen)}))


# --- is it already right? ----------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Sight:
    """What the engine has of a project, what compose would make of each service, and image ids as they are asked."""

    containers: dict[str, list[Container]]
    hashes: dict[str, str]
    strangers: tuple[str, ...]
    images: dict[str, str | None] = field(default_factory=dict)

    def image(self, reference: str) -> str | None:
        """The engine's id of an image."""
        if reference not in self.images:
            self.images[reference] = docker.image_id(reference)
        return self.images[reference]


def _look(world: World) -> _Sight:
    opened = world.opened
    there = _by_service(docker.containers(opened.scene.project))
    running = {name for name, form in opened.scene.chosen.forms.items() if form.mode != "off"}
    hashes = compose.hashes(opened.project()) if there else {}
    return _Sight(there, hashes, tuple(sorted(set(there) - running)))


def _by_service(containers: Iterable[Container]) -> dict[str, list[Container]]:
    found: dict[str, list[Container]] = {}
    for container in containers:
        if not container.oneoff:
            found.setdefault(container.service, []).append(container)
    return found


def _reason(world: World, name: str, seen: _Sight) -> str | None:
    form = world.opened.scene.chosen.forms[name]
    there = seen.containers.get(name, [])
    if len(there) != _count(form):
        return f"{len(there)} of {_count(form)} containers" if there else "not running"
    oneshot = name in world.opened.scene.chosen.oneshots
    image = _image(world, form)
    for container in there:
        if container.config_hash != seen.hashes.get(name):
            return "its configuration changed"
        if image and container.image_id != seen.image(image):
            return "its image changed"
        if not _well(container, oneshot=oneshot):
            return container.status.lower()
    return None


def _count(form: Form) -> int:
    base = form.base or {}
    deploy = base.get("deploy")
    below = deploy.get("replicas") if isinstance(deploy, dict) else base.get("scale")
    own = form.service.prod.replicas if form.service and form.mode == "prod" else None
    count = own if own is not None else below
    return int(count) if isinstance(count, int | str) and str(count).isdigit() else 1


def _image(world: World, form: Form) -> str | None:
    """The image that a container of this service should have been made of."""
    opened = world.opened
    if form.image:
        return read_pin(opened.state / "pins" / f"{form.name}.json").image
    own = (form.base or {}).get("image")
    if form.mode == "base" and isinstance(own, str):
        return None if "$" in own else own
    return f"{opened.scene.project}-{form.name}"


def _well(container: Container, *, oneshot: bool) -> bool:
    if container.state == "exited":
        return oneshot and container.exit_code == 0
    return container.state == "running" and container.health in (None, "healthy")


# --- wait --------------------------------------------------------------------------------------------------------


def _wait(world: World, wanted: list[str], clock: Callable[[], float] = time.monotonic) -> None:
    """Until every wanted service is well; HsmError with the last words of the first that can not become so."""
    oneshots = world.opened.scene.chosen.oneshots
    end = clock() + PATIENCE
    settled = False
    while True:
        containers = [c for c in docker.containers(world.opened.scene.project) if c.service in wanted and not c.oneoff]
        for container in containers:
            _refuse_ill(container, container.service in oneshots)
        waiting = [c for c in containers if not _well(c, oneshot=c.service in oneshots)]
        missing = set(wanted) - {container.service for container in containers}
        if not waiting and not missing:
            if settled or all(container.health or container.state == "exited" for container in containers):
                return
            settled = True
            time.sleep(SETTLE)
            continue
        if clock() > end:
            names = sorted(missing | {container.service for container in waiting})
            raise HsmError(f"not well after {PATIENCE:.0f} s: {', '.join(names)}", "look at `doit logs:SERVICE`")
        for container in waiting:
            world.progress(f"up:{container.service}", container.status)
        time.sleep(LOOK)


def _refuse_ill(container: Container, oneshot: bool) -> None:
    ended = container.state in ("exited", "dead") and not (oneshot and container.exit_code == 0)
    if not ended and container.health != "unhealthy":
        return
    said = docker.logs_tail(container.id, 20)
    lines = "".join(f"\n  | {line}" for line in said.splitlines())
    how = f"ended with exit {container.exit_code}" if ended else "is unhealthy"
    raise HsmError(f"{container.service}: its container {how}; its last words:{lines or ' none'}",
                   f"doit logs:{container.service}")
