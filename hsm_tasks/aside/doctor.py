"""`doctor`: what a stack needs of this machine, whether it is there, and what to do where it is not.

Every check is a `Check`; nothing is changed and nothing is locked. `failed` is what stops work, `warning` what may
bite later: only the first makes doctor end with 1. What needs a server is asked at the same time, with short patience.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from hsm_tasks.aside import leftovers
from hsm_tasks.core.checkup import ELSEWHERE, Check, Place, State, file_sharing, free_space
from hsm_tasks.core.errors import HsmError
from hsm_tasks.core.plan import Clone, Resolve, plan
from hsm_tasks.core.reference import ImageReference
from hsm_tasks.effects import compose, docker, git
from hsm_tasks.effects.registry import Registry
from hsm_tasks.effects.web import Bounds
from hsm_tasks.stack import workspace
from hsm_tasks.stack.scene import Opened, Wish, open_stack
from hsm_tasks.stack.workspace import LOCAL, OVERRIDE, STATE, Workspace

VERSION = 1
_PATIENCE = 8.0  # seconds of silence of a git server
_BOUNDS = Bounds(connect=4, read=8, body=15, retries=0)


def gather(start: Path, asked: str | None, environ: Mapping[str, str]) -> list[Check]:
    """Everything, as seen from a folder; of one stack where one is asked for, else of all."""
    found = [*_tools()]
    try:
        here = workspace.find(start)
    except HsmError as error:
        return [*found, _failed("settings", error)]
    if asked and asked not in here.stacks:
        there = ", ".join(here.stacks) or "none"
        return [*found, Check("stacks", "failed", f'there is no stack "{asked}"', f"there are: {there}")]
    opened, checks = _stacks(here, [asked] if asked else list(here.stacks), environ)
    found += [*checks, *_logins(), *_servers(opened), *_disk(here), *_shared(here), *_ignored(here)]
    return [*found, *leftovers.leftovers(here, opened)]


def as_json(checks: Sequence[Check]) -> dict[str, Any]:
    """`ok` is False where doctor ends with 1."""
    rows = [{"about": c.about, "state": c.state, "message": c.message, "hint": c.hint} for c in checks]
    return {"version": VERSION, "ok": healthy(checks), "checks": rows}


def healthy(checks: Iterable[Check]) -> bool:
    """Whether nothing stops work."""
    return all(check.state != "failed" for check in checks)


def as_text(checks: Sequence[Check]) -> str:
    """A line a check, and below it what to do."""
    lines = []
    for check in checks:
        first, *more = check.message.splitlines()
        lines.append(f"{check.state:<8}{check.about:<12}{first}")
        lines += [f"{'':<20}{line}" for line in more]
        lines += [f"{'':<20}hint: {check.hint}"] if check.hint else []
    bad, odd = (sum(check.state == state for check in checks) for state in ("failed", "warning"))
    parts = [f"{bad} failed"] * bool(bad) + [f"{odd} to look at"] * bool(odd)
    return "\n".join([*lines, "", ", ".join(parts) or "all is well"])


def _failed(about: str, error: HsmError, state: State = "failed") -> Check:
    lines = str(error).splitlines()
    last = len(lines) > 1 and lines[-1].startswith("  hint: ")
    return Check(about, state, "\n".join(lines[:-1] if last else lines), lines[-1][8:] if last else "")


# --- the programs -----------------------------------------------------------------------------------------------


def _tools() -> Iterator[Check]:
    yield _try("git", _git)
    yield _try("compose", lambda: f"docker compose {'.'.join(map(str, compose.version()))}")
    yield _try("engine", _engine)


def _try(about: str, ask: Callable[[], str]) -> Check:
    try:
        return Check(about, "ok", ask())
    except HsmError as error:
        return _failed(about, error)


def _git() -> str:
    found, oldest = git.version(), git.OLDEST
    if found < oldest:
        needed = ".".join(map(str, oldest))
        raise HsmError(f"git is {'.'.join(map(str, found))}; hsm needs {needed} or newer", "install a newer git")
    return f"git {'.'.join(map(str, found))}"


def _engine() -> str:
    about = docker.about()
    return f"docker engine {about.version} ({about.system})"


# --- stacks and the servers that they need ----------------------------------------------------------------------


def _stacks(here: Workspace, names: Sequence[str], environ: Mapping[str, str]) -> tuple[list[Opened], list[Check]]:
    opened, checks = [], []
    if not here.stacks:
        checks.append(Check("stacks", "warning", "there is no stack here", "`hsm init` makes one of compose files"))
    for name in names:
        try:
            opened.append(open_stack(here, name, environ, Wish(look=True)))
            services = sum(form.mode != "off" for form in opened[-1].scene.chosen.forms.values())
            checks.append(Check("stack", "ok", f"{name}: {services} services"))
        except HsmError as error:
            checks.append(_failed("stack", error))
    return opened, checks


def _servers(opened: Sequence[Opened]) -> Iterator[Check]:
    """Asks every registry once and every repository once."""
    questions: dict[tuple[str, str], Callable[[], Check]] = {}
    for stack in opened:
        steps = plan(stack.scene).steps
        registry = _registry(stack)
        for host, pin in _one_a_host([step for step in steps if isinstance(step, Resolve)]).items():
            questions.setdefault(("registry", host), partial(_ask_registry, host, pin, registry))
        for step in steps:
            if isinstance(step, Clone) and not step.own:
                url = stack.location(step.repository.url)
                there = (stack.workspace.root / step.directory / ".git").exists()
                questions.setdefault(("repository", url), partial(_ask_git, step, url, there))
    if questions:
        with ThreadPoolExecutor(min(8, len(questions))) as pool:
            yield from pool.map(lambda ask: ask(), [questions[key] for key in sorted(questions)])


def _registry(stack: Opened) -> Registry:
    given = stack.workspace.settings
    return Registry(
        mirrors=given.mirrors, insecure=given.insecure_registries, warn=lambda words: None, bounds=_BOUNDS
    )


def _one_a_host(steps: Sequence[Resolve]) -> dict[str, Resolve]:
    """registry → the image to ask it about: one that it will be asked about, if there is any."""
    found: dict[str, Resolve] = {}
    for step in sorted(steps, key=lambda step: (step.locked is not None, step.name)):
        try:
            found.setdefault(ImageReference.parse(step.image).host, step)
        except ValueError:
            continue  # the sync says what is wrong with it
    return found


def _ask_registry(host: str, step: Resolve, registry: Registry) -> Check:
    """A registry that is not there stops work only where hsm.lock does not know the digests yet."""
    reference = ImageReference.parse(step.image)
    try:
        if step.version or reference.digest:
            registry.tags(reference)
        else:
            registry.digest(reference, reference.tagged)
    except HsmError as error:
        known = step.locked is not None or _engine_has(step.image)
        return _failed("registry", error, "warning" if known or not step.needed else "failed")
    return Check("registry", "ok", f"{host} answers ({step.image})")


def _engine_has(image: str) -> bool:
    """Whether the engine has an image of that name; an engine that is not there has none."""
    try:
        return docker.image_id(image) is not None
    except HsmError:
        return False


def _ask_git(step: Clone, url: str, there: bool) -> Check:
    try:
        git.remote_commit(url, step.repository.ref, stall=_PATIENCE)
    except HsmError as error:
        return _failed("repository", error, "warning" if there or step.ask else "failed")
    return Check("repository", "ok", f"{step.repository.url} answers ({step.repository.ref})")


def _logins() -> Iterator[Check]:
    """The helpers that docker's config names: without them pulls of private images fail, and some of public ones."""
    helpers = docker.login_helpers()
    missing = {helper: hosts for helper, hosts in helpers.items() if not shutil.which(f"docker-credential-{helper}")}
    for helper, hosts in sorted(missing.items()):
        hint = "install it, or take it out of docker's config.json and docker login again"
        yield Check("logins", "warning", f"docker-credential-{helper} is not there ({', '.join(hosts)})", hint)
    if helpers and not missing:
        yield Check("logins", "ok", f"docker-credential-{', docker-credential-'.join(sorted(helpers))}")


# --- the disk ---------------------------------------------------------------------------------------------------


def _disk(here: Workspace) -> Iterator[Check]:
    seen: set[int] = set()
    for what, place, hint in (
        ("the workspace", here.root, "free some space"),
        ("the engine's data", _data_root(), "docker system df shows what takes it, docker system prune frees some"),
    ):
        if place is None or not place.is_dir() or place.stat().st_dev in seen:
            continue
        seen.add(place.stat().st_dev)
        yield free_space(shutil.disk_usage(place).free, what, hint)


def _data_root() -> Path | None:
    try:
        return Path(docker.about().data)
    except HsmError:
        return None


def _shared(here: Workspace) -> Iterator[Check]:
    try:
        about = docker.about()
    except HsmError:
        host = os.environ.get("DOCKER_HOST", "")
        if host and not host.startswith(("unix://", "npipe://")):
            where = f"the engine is on another machine ({host.partition('://')[0]}://…)"
            yield Check("sharing", "warning", where, ELSEWHERE)
        return
    place = Place(about.local, os.uname().release, about.kernel)
    yield file_sharing(place, str(here.root.resolve()), str(Path.home()))


def _ignored(here: Workspace) -> Iterator[Check]:
    """What is local to one machine must not be seen by git, and still less be committed."""
    top = git.top_level(here.root)
    if top is None:
        return
    ours = [f"{folder}/{name}" for folder in here.stacks.values() for name in (OVERRIDE, LOCAL)]
    paths = [os.path.relpath(here.root.resolve() / path, top) for path in (*ours, STATE, here.settings.repos_dir)]
    folders = {os.path.relpath(here.root.resolve() / path, top) for path in (STATE, here.settings.repos_dir)}
    committed = git.tracked(top, paths)
    if committed:
        hint = f"git rm -r --cached {' '.join(committed)}, and commit"
        yield Check("git rules", "warning", f"in git, and local to one machine: {', '.join(committed)}", hint)
    seen = git.not_ignored(top, [f"{path}/" if path in folders else path for path in paths if path not in committed])
    seen = [path for path in seen if path != f"{STATE}/" and not path.endswith(f"/{STATE}/")]  # it ignores itself
    if seen:
        hint = "the next sync adds rules to .git/info/exclude; for everybody, add them to .gitignore"
        yield Check("git rules", "warning", f"no rule of git covers {', '.join(seen)}", hint)
    elif not committed:
        yield Check("git rules", "ok", "git does not see what is local to this machine")
