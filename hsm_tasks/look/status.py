"""What a stack is and what runs of it, gathered as plain values: `status` and `stacks` print them or give them as JSON.

The JSON has a `version`; docs/manual.md describes it. Nothing here takes a lock or changes anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hsm_tasks.core.choose import Form
from hsm_tasks.core.errors import HsmError
from hsm_tasks.effects import docker, enginestats, git
from hsm_tasks.effects.docker import Container
from hsm_tasks.effects.enginestats import Use
from hsm_tasks.stack.scene import Opened
from hsm_tasks.stack.workspace import Workspace
from hsm_tasks.steps.commands import active
from hsm_tasks.steps.world import left_pin

VERSION = 1


def stacks(workspace: Workspace, environ: Mapping[str, str], asked: str | None) -> dict[str, Any]:
    """The stacks of a workspace; `chosen` is the one that commands are about when none is named."""
    try:
        chosen = workspace.pick(asked, environ)
    except HsmError:
        chosen = None
    rows = [{"name": name, "folder": folder, "chosen": name == chosen} for name, folder in workspace.stacks.items()]
    return {"version": VERSION, "stacks": rows}


_ABOUT_SERVICES = ("resolve", "render", "build", "up")
_ASK_ENGINE = ("build", "up")


def status(opened: Opened, *, steps: Sequence[Mapping[str, Any]] = (), stats: bool = False) -> dict[str, Any]:
    """Everything about a stack. `engine` is a sentence where the engine could not be asked, else None.

    `steps` are those of `plan up`: what is not as hsm.yaml says. `stats`: also what the containers use, for which the
    engine needs a second or two.
    """
    trouble, containers = _containers(opened.scene.project)
    used = enginestats.use([one.id for one in containers if one.state == "running"]) if stats else {}
    forms = opened.scene.chosen.forms
    running = set(active(opened.scene.chosen))
    stale = [one for one in steps if one["state"] != "fresh" and not (trouble and _head(one) in _ASK_ENGINE)]
    rows = [_service(opened, form, form.name in running) | _own(form.name, containers, used)
            | {"stale": [one for one in stale if _is_about(one, form)]} for _, form in sorted(forms.items())]
    told = [one["name"] for row in rows for one in row["stale"]]
    return {
        "version": VERSION,
        "stack": opened.name,
        "project": opened.scene.project,
        "engine": trouble,
        "services": rows,
        "groups": [_group(opened, name) for name in opened.scene.stack.groups],
        "strangers": sorted({c.service for c in containers} - set(forms)),
        "stale": [one for one in stale if one["name"] not in told],
    }


def _head(step: Mapping[str, Any]) -> str:
    return str(step["name"]).partition(":")[0]


def _is_about(step: Mapping[str, Any], form: Form) -> bool:
    """Whether a step is about a service; one that others share (a clone) is about all of them."""
    head, _, name = step["name"].partition(":")
    repository = form.service.repository if form.service and form.mode == "dev" else None
    if head == "clone":
        return repository is not None and name == repository.name
    return head in _ABOUT_SERVICES and name == form.name


def _containers(project: str) -> tuple[str | None, tuple[Container, ...]]:
    try:
        return None, docker.containers(project)
    except HsmError as error:
        return error.message, ()


def _service(opened: Opened, form: Form, starts: bool) -> dict[str, Any]:
    profiles = (form.base or {}).get("profiles")
    return {
        "name": form.name,
        "mode": form.mode,
        "group": _group_of(opened, form.name),
        "alias": form.aliases[0] if form.aliases else None,
        "profiles": profiles if isinstance(profiles, list) else [],
        "starts": starts,
        "image": _pin(opened, form),
        "checkout": _checkout(opened, form),
    }


def _own(service: str, containers: tuple[Container, ...], used: Mapping[str, Use]) -> dict[str, Any]:
    own = (one for one in containers if one.service == service and not one.oneoff)
    return {"containers": [_container(one) | {"use": _use(used.get(one.id))} for one in own]}


def _use(use: Use | None) -> dict[str, Any] | None:
    if use is None:
        return None
    return {
        "memory": {"used": use.memory, "limit": use.memory_limit},
        "cpus": {"used": use.cpus, "limit": use.cpus_limit},
        "pids": {"used": use.pids, "limit": use.pids_limit},
    }


def _group_of(opened: Opened, service: str) -> str | None:
    groups = opened.scene.stack.groups.values()
    return next((group.name for group in groups if not group.profiles and service in group.names), None)


def _group(opened: Opened, name: str) -> dict[str, Any]:
    group = opened.scene.stack.groups[name]
    return {
        "name": name,
        "strategy": group.strategy,
        "alias": group.alias,
        "kind": "profiles" if group.profiles else "services",
        "options": list(group.names),
        "selection": list(group.selection),
    }


def _pin(opened: Opened, form: Form) -> dict[str, Any] | None:
    if form.mode == "off" or form.image is None:
        return None
    path = opened.state / "pins" / f"{form.name}.json"
    image = opened.scene.images[form.image]
    pin = left_pin(path)
    if pin is None:
        return {"reference": image, "tag": None, "digest": None}
    return {"reference": pin.image, "tag": pin.tag, "digest": pin.digest}


def _checkout(opened: Opened, form: Form) -> dict[str, Any] | None:
    repository = form.service.repository if form.service else None
    if form.mode != "dev" or repository is None:
        return None
    shown = opened.scene.paths.checkout(repository)
    own = repository.path is not None
    return {"path": shown, "ref": repository.ref, "own": own, **checkout_state(opened.workspace.root / shown)}


def checkout_state(directory: Path) -> dict[str, Any]:
    """What git says of a checkout; `there` False where there is none."""
    state = git.state(directory) if directory.is_dir() else None
    if state is None or not state.is_repository:
        return {"there": False}
    return {
        "there": True,
        "branch": state.branch,
        "commit": state.commit,
        "changed": state.changed,
        "untracked": state.untracked,
        "ahead": state.ahead,
        "behind": state.behind,
        "stashes": state.stashes,
        "operation": state.operation,
    }


def _container(container: Container) -> dict[str, Any]:
    return {
        "name": container.name,
        "state": container.state,
        "health": container.health,
        "exit_code": container.exit_code,
        "ports": list(container.ports),
    }
