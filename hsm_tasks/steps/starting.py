"""`up`: compares what runs with what should, starts compose once where they differ, and waits until all is well."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial

import msgspec
from msgspec.structs import replace

from hsm_tasks.core.errors import Along, CommandFailed, HsmError
from hsm_tasks.core.model import Frozen
from hsm_tasks.core.plan import Up, reachable
from hsm_tasks.effects import compose, docker, files
from hsm_tasks.effects.docker import Container
from hsm_tasks.steps.builds import images
from hsm_tasks.steps.commands import active, interrupted
from hsm_tasks.steps.wanted import Wanted, key, wanted
from hsm_tasks.steps.world import World, require

PATIENCE = 300.0  # seconds that containers have to become well; their own healthchecks usually say it sooner
LOOPING = 10.0  # seconds after which a container that ends and is started again and again is given up
LOOK = 0.25  # seconds between two looks at the engine
LAST_WORDS = 20  # lines
LEFT = "what was started so far is left as it is: `hsm up` goes on, `hsm down` takes it away"
_OF_ONE = re.compile(r"\s*(?P<kind>Container )?(?P<name>\S+)\s+(?P<what>[A-Z][a-z]+)$")  # "Container x-db-1  Started"
_OF_END = re.compile(r"(?i)failed to start|didn.t complete|unhealthy|exited")
_ASKS = re.compile(r"(?i)volume \"(?P<name>[^\"]+)\" exists but doesn't match")
_YOUNG = "Up Less than a second"  # as the engine says of a container that was started just now


class Start(msgspec.Struct):
    """The one compose call of a command line: the first stale `up` step makes it, for all of them, under any `-n`."""

    world: World
    words: frozenset[str]
    _guard: threading.Lock = msgspec.field(default_factory=threading.Lock)
    _seen: _Sight | None = None
    _failure: HsmError | None = None
    _done: bool = False

    def reason(self, step: Up) -> str | None:
        """Words, if compose has something to do for this service or for what it needs; the engine is asked once."""
        if self._seen is None:
            self._seen = _look(self.world, self._started(step.name))
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
                raise Along(f"{step.name} was started with the others, which failed")

    def _start(self, name: str) -> None:
        opened, started = self.world.opened, self._started(name)
        # those that others need are named too, because compose starts nobody whose profile nobody asked for
        usual = "up" in self.words and started <= set(active(opened.scene.chosen))
        before, there = key(opened), dict(wanted(self.world))
        tell = partial(_told, self.world, name)
        try:
            self._prepare(started, tell)
            compose.up(opened.project(), () if usual else sorted(started), tell)
            containers = _wait(self.world, sorted(started))
        except CommandFailed as error:
            raise _explained(self.world, started, error) from error
        except KeyboardInterrupt:
            self.world.say(LEFT)
            raise
        if before is not None and before == key(opened):
            _learn(self.world, started, there, containers)

    def _started(self, name: str) -> frozenset[str]:
        """The services that the words of the line are about (or a step that they do not name), and all these need."""
        chosen = self.world.opened.scene.chosen
        named = {word.removeprefix("up:") for word in self.words if word.startswith("up:")}
        usual = active(chosen) if "up" in self.words else ()
        return frozenset[str]().union(*(reachable(start, chosen) for start in {*named, *usual} or {name}))

    def _prepare(self, names: frozenset[str], tell: Callable[[str], None]) -> None:
        """What `compose up` leaves undone: it starts no paused container, and stops none for a profile."""
        project, there = self.world.opened.project(), _by_service(docker.containers(self.world.opened.scene.project))
        paused = {one.service for found in there.values() for one in found if one.state == "paused"} & names
        if paused:
            compose.unpause(project, sorted(paused), tell)
        gone = _deselected(self.world, there, names)
        if gone:
            compose.remove(project, sorted(gone), tell)


def _told(world: World, starter: str, line: str) -> None:
    """compose's words: whole beside the step that called it, and beside each other one what is said of its service."""
    world.progress(f"up:{starter}", line)
    for asked in _ASKS.finditer(line):  # nobody is there to answer, and no data is lost for want of one
        world.say(f"the volume {asked['name']} is defined otherwise now, and stays as it is with its data\n"
                  f"  hint: to make it anew: `hsm down`, `docker volume rm {asked['name']}`, `hsm up`")
    if said := _OF_ONE.match(line):
        name = said["name"].removeprefix(f"{world.opened.scene.project}-").rpartition("-")[0] or said["name"]
        name = said["name"] if said["kind"] is None else name
        if name != starter and name in world.opened.scene.chosen.forms:
            world.progress(f"up:{name}", said["what"])


# --- is it already right? ----------------------------------------------------------------------------------------


class Made(Frozen, frozen=True, kw_only=True):
    """What compose made of a service when it was started here last: of `hash`, `around` and `beside` (see Wanted; here
    with the containers' ids) it made containers with the hash `label`. `named`: only because somebody named it."""

    hash: str
    around: str
    beside: str
    label: str
    named: bool = False


class _Sight(msgspec.Struct):
    """What the engine has of a project and its images, and what compose wants and has made before."""

    containers: Mapping[str, list[Container]]
    wanted: Mapping[str, Wanted]
    made: Mapping[str, Made]
    strangers: tuple[str, ...]
    images: dict[str, str | None]

    def image(self, reference: str) -> str | None:
        """The engine's id of an image."""
        name = docker.full_name(reference)
        if name not in self.images:
            self.images[name] = docker.image_id(reference)
        return self.images[name]


def _look(world: World, started: frozenset[str]) -> _Sight:
    opened = world.opened
    there = _by_service(docker.containers(opened.scene.project))
    running = {name for name, form in opened.scene.chosen.forms.items() if form.mode != "off"}
    strangers = tuple(sorted({*(set(there) - running), *_deselected(world, there, started)}))
    if not there:
        return _Sight(there, {}, {}, strangers, {})
    return _Sight(there, wanted(world), _load(world), strangers, {**images(world)})


def _deselected(world: World, there: Iterable[str], started: frozenset[str]) -> set[str]:
    """Services that run because a profile was selected, and now it is not."""
    chosen, made = world.opened.scene.chosen, _load(world)
    usual = {*active(chosen), *started}
    known = (name for name in there if name in chosen.forms and chosen.forms[name].mode != "off")
    return {name for name in known if name not in usual and name in made and not made[name].named}


def _by_service(containers: Iterable[Container]) -> dict[str, list[Container]]:
    found: dict[str, list[Container]] = {}
    for container in containers:
        if not container.oneoff:
            found.setdefault(container.service, []).append(container)
    return found


def _reason(world: World, name: str, seen: _Sight) -> str | None:
    there, want = seen.containers.get(name, []), seen.wanted.get(name)
    if want is None:
        return None if there and seen.wanted else "not running"
    if len(there) != want.count:
        return f"{len(there)} of {want.count} containers" if there else "not running"
    made = seen.made.get(name)
    label = _label(want, made, seen.containers)
    if label is None:
        return "its networks or volumes changed"
    oneshot = name in world.opened.scene.chosen.oneshots
    return next((why for why in (_other(one, want, label, seen, oneshot=oneshot) for one in there) if why), None)


def _other(container: Container, want: Wanted, label: str, seen: _Sight, *, oneshot: bool) -> str | None:
    if container.config_hash != label:
        return "its configuration changed"
    if container.image_id != seen.image(want.image):
        return "its image changed"
    if not _well(container, oneshot=oneshot):
        return container.status.lower()
    missing = [name for name in want.networks if name not in container.networks]
    return f"not on the network {', '.join(missing)}" if missing and container.state == "running" else None


def _label(want: Wanted, made: Made | None, containers: Mapping[str, list[Container]]) -> str | None:
    """The hash that containers should carry: what compose made of the same the last time, else its own word for it.

    None: a network or a volume is defined otherwise now, of which that hash says nothing.
    """
    if made is None or made.hash != want.hash:
        return want.hash
    if made.around != want.around:
        return None
    return made.label if made.beside == _ids(want, containers) else want.hash


def _ids(want: Wanted, containers: Mapping[str, list[Container]]) -> str:
    """The containers that a service is tied to."""
    return " ".join(sorted(one.id for name in want.beside for one in containers.get(name, ())))


def _well(container: Container, *, oneshot: bool) -> bool:
    if container.state == "exited":
        return oneshot and container.exit_code == 0
    return container.state == "running" and container.health in (None, "healthy")


# --- what compose made -------------------------------------------------------------------------------------------


def _load(world: World) -> Mapping[str, Made]:
    text = files.read_if_there(world.opened.state / "started.json")
    try:
        return msgspec.json.decode(text, type=dict[str, Made]) if text else {}
    except msgspec.DecodeError:
        return {}


def _learn(world: World, names: Iterable[str], there: Mapping[str, Wanted], found: Iterable[Container]) -> None:
    """Compose has just judged these services: their containers are what it makes of them."""
    containers = _by_service(found)
    made = {name: one for name, one in _load(world).items() if name in there}
    chosen = world.opened.scene.chosen
    usual = active(replace(chosen, enabled=frozenset()))  # who that starts compose leaves running later
    for name in names:
        labels = {container.config_hash for container in containers.get(name, ())}
        if name in there and len(labels) == 1:
            want = there[name]
            ids, label, named = _ids(want, containers), labels.pop(), name not in usual
            made[name] = Made(hash=want.hash, around=want.around, beside=ids, label=label, named=named)
    files.write_if_changed(world.opened.state / "started.json", msgspec.json.encode(made, order="sorted").decode())


# --- wait --------------------------------------------------------------------------------------------------------


def _wait(world: World, names: list[str], clock: Callable[[], float] = time.monotonic) -> tuple[Container, ...]:
    """Until every one of these services is well; HsmError with the last words of the first that can not become so.

    One-shots may take all the time that they want.
    """
    oneshots = world.opened.scene.chosen.oneshots
    wants = wanted(world)
    begun = clock()
    while True:
        everything = docker.containers(world.opened.scene.project)
        containers = [one for one in everything if one.service in names and not one.oneoff]
        for container in containers:
            _refuse_ill(container, container.service in oneshots, patient=clock() < begun + LOOPING)
        waiting = [c for c in containers if not _settled(c, oneshot=c.service in oneshots)]
        there = {container.service for container in containers}
        missing = {name for name in names if name not in there and (name not in wants or wants[name].count)}
        if not waiting and not missing:
            return everything
        late = sorted((missing | {container.service for container in waiting}) - oneshots)
        if late and clock() > begun + PATIENCE:
            raise HsmError(f"not well after {PATIENCE:.0f} s: {', '.join(late)}", "look at `hsm logs:SERVICE`")
        for container in waiting:
            world.progress(f"up:{container.service}", container.status)
        if interrupted.wait(LOOK):
            world.say(LEFT)
            raise HsmError("interrupted")


def _settled(container: Container, *, oneshot: bool) -> bool:
    """Well, and not only since it was started a moment ago, where no healthcheck says so; a one-shot has ended."""
    if oneshot:
        return container.state == "exited" and container.exit_code == 0
    young = container.health is None and container.status.startswith(_YOUNG)
    return _well(container, oneshot=False) and not young


def _refuse_ill(container: Container, oneshot: bool, *, patient: bool = False) -> None:
    ended = container.state in ("exited", "dead") and not (oneshot and container.exit_code == 0)
    looping = container.state == "restarting" and container.exit_code != 0 and not patient
    if ended or looping or container.health == "unhealthy":
        how = "is unhealthy" if not (ended or looping) else f"ended with exit {container.exit_code}"
        again = ", again and again" if looping else ""
        raise HsmError(f"{container.service}: its container {how}{again}; its last words:{_said(container)}",
                       f"`hsm logs:{container.service}` has them all")


def _said(container: Container) -> str:
    said = docker.logs_tail(container.id, LAST_WORDS)
    return "".join(f"\n  | {line}" for line in said.splitlines()) or " none"


def _explained(world: World, names: Iterable[str], error: CommandFailed) -> HsmError:
    """What compose says of a container that ended, with what that one said itself."""
    if interrupted.is_set() or error.code in (130, 137, 143):
        world.say(LEFT)
        return error
    if not _OF_END.search(error.said):  # one that had ended before is not to blame
        return error
    try:
        found = docker.containers(world.opened.scene.project)
        for container in found:
            if container.service in names and not container.oneoff:
                _refuse_ill(container, container.service in world.opened.scene.chosen.oneshots)
    except HsmError as ill:
        return HsmError(f"{ill.message}\n{error.message}", ill.hint)
    return error
