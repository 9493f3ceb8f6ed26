"""What is left of stacks, clones and checkouts that are gone, for `doctor`. Nothing is removed here."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from hsm_tasks.core.checkup import Check
from hsm_tasks.core.errors import HsmError
from hsm_tasks.effects import docker, files, git
from hsm_tasks.stack.scene import Opened
from hsm_tasks.stack.workspace import OVERRIDE, STATE, Workspace

_PROJECT = re.compile(r"^name: \"?([a-z0-9][a-z0-9_-]*)\"?$", re.MULTILINE)


def leftovers(here: Workspace, opened: Sequence[Opened]) -> Iterator[Check]:
    """All of it, or one answer that there is nothing. `opened`: the stacks that could be read."""
    found = [*_old_projects(here, opened), *_old_networks_and_volumes(here, opened), *_old_states(here)]
    found += _dead_clones(here)
    if len(opened) == len(here.stacks):
        found += _old_checkouts(here, opened)
    yield from found or [Check("leftovers", "ok", "none")]


def _gone(here: Workspace) -> list[Path]:
    """The states of stacks that are no longer there."""
    return [path for path in _folders(here.root / STATE) if path.name not in here.stacks]


def _old_states(here: Workspace) -> Iterator[Check]:
    for path in _gone(here):
        shown = f"{STATE}/{path.name}"
        hint = f"rm -r {shown}"
        if kept := sorted(path.glob("targets/*/place/*.tar")):  # an older hsm had them here
            places = ", ".join(sorted({os.path.relpath(one.parent, here.root) for one in kept}))
            hint = f"{places} may be mounted by what was deployed: take that down, then {hint}"
        yield Check("leftovers", "warning", f"{shown} is the state of a stack that is gone", hint)


def _old_networks_and_volumes(here: Workspace, opened: Sequence[Opened]) -> Iterator[Check]:
    """Of the projects of stacks that are gone: what they were called, their states still know."""
    texts = (files.read_if_there(path / "override.yml") or "" for path in _gone(here))
    named = {found[1] for text in texts if (found := _PROJECT.search(text))}
    for project in sorted(named - {stack.scene.project for stack in opened}):
        for kind, names in _kept(project).items():
            if names:
                after = ", if nobody needs their data" if kind == "volume" else ""
                hint = f"docker {kind} rm {' '.join(names)}{after}"
                what = f"{kind}s of the project {project}, whose stack is gone: {', '.join(names)}"
                yield Check("leftovers", "warning", what, hint)


def _kept(project: str) -> Mapping[str, Sequence[str]]:
    try:
        return {} if project in docker.projects() else docker.kept(project)
    except HsmError:
        return {}


def _dead_clones(here: Workspace) -> Iterator[Check]:
    for path in git.dead_clones(here.root / here.settings.repos_dir):
        shown = os.path.relpath(path, here.root)
        yield Check("leftovers", "warning", f"{shown} is of a clone that was killed", f"rm -r {shown}")


def _old_checkouts(here: Workspace, opened: Sequence[Opened]) -> Iterator[Check]:
    services = [service for stack in opened for service in stack.scene.stack.services.values()]
    named = {service.repository.name for service in services if service.repository}
    for path in _folders(here.root / here.settings.repos_dir):
        if path.name not in named and not path.name.startswith(".") and (path / ".git").exists():
            shown = os.path.relpath(path, here.root)
            hint = f"hsm never removes a checkout: look for work with `git -C {shown} status`, then remove it"
            yield Check("leftovers", "warning", f"{shown} is a checkout that no stack names", hint)


def _folders(place: Path) -> list[Path]:
    return sorted(path for path in place.iterdir() if path.is_dir()) if place.is_dir() else []


def _old_projects(here: Workspace, opened: Sequence[Opened]) -> Iterator[Check]:
    """Compose projects that were started from a folder of this workspace, and that no stack of it is now."""
    try:
        projects = docker.projects()
    except HsmError:
        return
    known = {stack.scene.project for stack in opened}
    unknown = {here.root.resolve() / folder for folder in here.stacks.values()}
    unknown -= {stack.folder.resolve() for stack in opened}  # a broken stack does not say what its project is
    for project, paths in sorted(projects.items()):
        folders = {Path(path).parent for path in paths if path.endswith(f"/{OVERRIDE}")}
        mine = {folder for folder in folders if folder.resolve().is_relative_to(here.root.resolve())}
        if mine and project not in known and not any(folder.resolve() in unknown for folder in mine):
            shown = ", ".join(sorted(os.path.relpath(folder, here.root) for folder in mine))
            hint = f"docker compose -p {re.sub(r'[^a-z0-9_-]', '', project)} down (volumes stay)"
            yield Check("leftovers", "warning", f"containers of the project {project}, once of {shown}", hint)
