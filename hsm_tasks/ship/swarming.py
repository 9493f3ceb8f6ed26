"""A bundle on a Docker Swarm: converted, given to `docker stack deploy`, and watched until its tasks run.

`stack deploy` ends with 0 even after a rolling update that was rolled back, so the state of each service is read.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping

import msgspec

from hsm_tasks.core.deploy import Seen
from hsm_tasks.core.errors import HsmError
from hsm_tasks.core.manifest import COMPOSE
from hsm_tasks.core.swarm import Asked, convert
from hsm_tasks.core.yamltext import dump
from hsm_tasks.ship.places import Place, Shipment

LOOK, STEADY, PATIENCE = 1.0, 3.0, 3  # seconds between looks, and of staying well; failures of a task that are too many
_FAILED = ("rollback_completed", "rollback_paused", "paused")
_BUSY = ("updating", "rollback_started")
_NAMESPACE = "label=com.docker.stack.namespace"


class _Service(msgspec.Struct, frozen=True):
    """A service of the stack. `update` is the state of its last update, which began at `started`."""

    name: str
    running: bool
    update: str
    started: str


class _Task(msgspec.Struct, frozen=True):
    """A task; `state` is Swarm's sentence ("Running 3 seconds ago")."""

    id: str
    service: str
    desired: str
    state: str
    error: str


def start(where: Place, new: Shipment, text: str) -> None:
    """Deploys the text of `stack`, and waits until all tasks run; HsmError with the last words of what does not."""
    before = {one.name: one.started for one in _services(where)}
    failures = _failures(where)
    where.say("updating the stack")
    argv = ("stack", "deploy", "--detach=true", "--prune", "--with-registry-auth", "-c", "-", where.project)
    explain = f"the swarm of {where.target.name} refuses the stack"
    where.machine.docker(*argv, text_in=text, at=new.folder, explain=explain)
    _wait(where, new, before, failures)


def remove(where: Place) -> None:
    """Takes the stack down, and waits for its networks: a deploy right after it would find them half gone."""
    where.machine.docker("stack", "rm", where.project)
    for _ in range(60):
        left = where.machine.docker("network", "ls", "-q", "--filter", f"{_NAMESPACE}={where.project}")
        if not left.strip():
            return
        time.sleep(LOOK)


def seen(where: Place) -> tuple[Seen, ...]:
    """The tasks that should run, as `status` shows them."""
    return tuple(Seen(one.service, one.id, one.state.partition(" ")[0].lower(), f"{one.state} {one.error}".strip())
                 for one in _tasks(where) if one.desired == "Running" or one.state.startswith("Complete"))


def used(where: Place) -> dict[str, tuple[str, str]]:
    """task → (memory used / limit, cpu), of those on the node that is asked: an engine knows of its own containers."""
    form = '{{.ID}}\t{{.Label "com.docker.swarm.task.id"}}'
    asked = ("ps", "--no-trunc", "--filter", f"{_NAMESPACE}={where.project}", "--format", form)
    tasks = dict(line.split("\t") for line in where.machine.docker(*asked).splitlines())
    return {tasks[container]: use for container, use in where.machine.stats(tuple(tasks)).items()}


def stack(where: Place, new: Shipment, *, tell: bool = True) -> str:
    """The text for `docker stack deploy`. It has values in it, so it is written nowhere.

    HsmError where Swarm has no word for something. `tell`: what is otherwise there is said.
    """
    argv = ("compose", "-p", where.project, "-f", COMPOSE, "config", "--format", "json")
    model = json.loads(where.machine.docker(*argv, at=new.folder, explain="compose can not resolve the bundle"))
    folder = new.folder.resolve()
    needed = {need["path"]: folder / need["path"] for need in new.manifest["needs"]}
    own = {path: hashlib.sha256(file.read_bytes()).hexdigest() for path, file in needed.items() if file.is_file()}
    made = convert(model, Asked(
        project=where.project,
        folder=str(folder),
        digests={**new.release.digests, **own},
        oneshots=frozenset(new.manifest.get("oneshots", ())),
        ports=where.target.ports,
        all_addresses=where.target.all_addresses,
        endpoint=where.target.endpoint,
    ))
    if made.objections:
        lines = "".join(f"\n  {line}" for line in made.objections)
        raise HsmError(f"{new.manifest['stack']} can not run on a swarm:{lines}")
    for note in made.notes if tell else ():
        where.world.say(note)
    return dump(made.model)


# --- what became of it -------------------------------------------------------------------------------------------


def _services(where: Place) -> tuple[_Service, ...]:
    asked = ("service", "ls", "--filter", f"{_NAMESPACE}={where.project}", "--format", "{{.Name}}\t{{.Replicas}}")
    replicas = dict(line.split("\t")[:2] for line in where.machine.docker(*asked).splitlines())
    if not replicas:
        return ()
    form = "{{.Spec.Name}}\t{{with .UpdateStatus}}{{.State}}\t{{.StartedAt}}{{else}}\t{{end}}"
    lines = where.machine.docker("service", "inspect", "--format", form, *replicas).splitlines()
    found = []
    for line in lines:
        name, update, started = line.split("\t")
        have, _, want = replicas.get(name, "0/1").split(" ")[0].partition("/")
        found.append(_Service(name.removeprefix(f"{where.project}_"), have == want, update, started))
    return tuple(found)


def _tasks(where: Place) -> tuple[_Task, ...]:
    """The newest first, slot by slot."""
    if not _services_there(where):
        return ()
    form = "{{.ID}}\t{{.Name}}\t{{.DesiredState}}\t{{.CurrentState}}\t{{.Error}}"
    lines = where.machine.docker("stack", "ps", "--no-trunc", "--format", form, where.project).splitlines()
    rows = (line.split("\t") for line in lines)
    return tuple(_Task(row[0], _service_of(row[1], where.project), *row[2:5]) for row in rows if len(row) == 5)


def _services_there(where: Place) -> bool:
    return bool(where.machine.docker("service", "ls", "-q", "--filter", f"{_NAMESPACE}={where.project}").strip())


def _service_of(task: str, project: str) -> str:
    return task.strip().removeprefix(f"{project}_").rpartition(".")[0]


def _failures(where: Place) -> frozenset[str]:
    return frozenset(one.id for one in _tasks(where) if one.state.startswith(("Failed", "Rejected")))


def _wait(where: Place, new: Shipment, before: Mapping[str, str], old: frozenset[str]) -> None:
    oneshots = frozenset(new.manifest.get("oneshots", ()))
    end = time.monotonic() + where.target.wait
    steady: frozenset[str] = frozenset()
    while True:
        services, tasks = _services(where), _tasks(where)
        _refuse_ill(where, services, [one for one in tasks if one.id not in old], before)
        waiting = sorted(one.name for one in services if not _well(one, tasks, oneshots, before))
        now = frozenset(one.id for one in tasks if one.state.startswith("Running"))
        if not waiting and now == steady:
            return
        steady = now if not waiting else frozenset()
        if time.monotonic() > end:
            late = next((one for one in tasks if one.service in waiting), None)
            said = f"\n{_told(where, late)}" if late else ""
            names = ", ".join(waiting) or "tasks keep changing"
            raise HsmError(f"not well after {where.target.wait:g} s: {names}{said}")
        if waiting:
            where.say(f"waiting for {', '.join(waiting)}")
        time.sleep(LOOK if waiting else STEADY)


def _well(one: _Service, tasks: tuple[_Task, ...], oneshots: frozenset[str], before: Mapping[str, str]) -> bool:
    if one.update in _BUSY and one.started != before.get(one.name):
        return False
    newest = next((task for task in tasks if task.service == one.name), None)
    if one.name in oneshots:
        return newest is not None and newest.state.startswith("Complete")
    return one.running


def _refuse_ill(where: Place, services: tuple[_Service, ...], tasks: list[_Task], before: Mapping[str, str]) -> None:
    for one in services:
        failed = [task for task in tasks if task.service == one.name and task.state.startswith(("Failed", "Rejected"))]
        rolled = one.update in _FAILED and one.started != before.get(one.name)
        if rolled or (len(failed) >= PATIENCE and not one.update):
            how = f"its update was {one.update.replace('_', ' ')}" if rolled else f"{len(failed)} of its tasks failed"
            told = _told(where, failed[0]) if failed else ""
            raise HsmError(f"{one.name} does not get well on {where.target.name}: {how}\n{told}".rstrip())


def _told(where: Place, task: _Task) -> str:
    """The last words of a task."""
    try:
        said = where.machine.docker("service", "logs", "--raw", "--tail", "20", task.id)
    except HsmError as error:
        said = error.message
    lines = "".join(f"\n  | {line}" for line in said.splitlines())
    return f"{task.service}: {task.state} {task.error}; its last words:{lines or ' none'}"
