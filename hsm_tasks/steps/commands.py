"""The commands that are no steps: what compose does for a service, what an update moved, why a step is stale."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from hsm_tasks.core.choose import Chosen
from hsm_tasks.core.errors import CommandFailed, HsmError
from hsm_tasks.core.model import Keys, Stack
from hsm_tasks.core.mounts import anonymous
from hsm_tasks.core.plan import Clone, Resolve, missing_entries
from hsm_tasks.effects import compose, docker, files, guard, process
from hsm_tasks.screen.words import Word
from hsm_tasks.stack.scene import Opened, read_texts, stacks_of
from hsm_tasks.stack.workspace import LOCAL
from hsm_tasks.steps.world import World, hide_generated, left_commit, left_pin


def active(chosen: Chosen) -> tuple[str, ...]:
    """The services that plain `up` starts: those without a profile that waits to be named."""
    return tuple(form.name for form in chosen.forms.values() if chosen.starts(form))


def clean(paths: list[str], *, dryrun: bool = False) -> Iterator[str]:
    """`doit clean`: what hsm generated, and nothing else. A sentence for each file."""
    for path in paths:
        if os.path.lexists(path):
            if not dryrun:
                files.remove(Path(path))
            yield f"would remove {path}" if dryrun else f"removed {path}"


_LOGS = 50  # files; the oldest go


def keep_log(folder: Path, step: str, text: str) -> str:
    """Writes the log of a step that failed, over that of the last time; where it lies, "" where it can not be."""
    name = "".join(letter if letter.isalnum() or letter in "._-" else "-" for letter in step)
    path = folder / f"{name}.log"
    try:
        files.write_if_changed(path, text)
        for old in sorted(folder.glob("*.log"), key=lambda one: -one.stat().st_mtime)[_LOGS:]:
            old.unlink(missing_ok=True)
    except (HsmError, OSError):  # a full disk, perhaps the very reason of the failure: that is to be told, not this
        return ""
    return os.path.relpath(path)


def forget_gone(opened: Opened) -> None:
    """Before a run: the fragments and the pins of services that are gone, and what a killed run has left unfinished.

    No step could do it: one that was killed between two steps may leave a fragment that no step of today is about.
    """
    known = opened.scene.chosen.forms
    for folder in (opened.state / name for name in ("fragments", "pins", "healthchecks")):
        names = os.listdir(folder) if folder.is_dir() else []  # noqa: PTH208 - a thousand Paths take their time
        for name in names:
            if name.rpartition(".")[0].partition("@")[0] not in known:
                files.remove(folder / name)


# --- why a step is stale, beyond the values that it carries -------------------------------------------------------


def clone_reason(step: Clone, world: World) -> str | None:
    """Words, if the checkout itself says so."""
    if step.frozen and not (step.own or step.ask):
        return "frozen: the checkout must be at the locked commit"
    if step.move:
        return "update"
    if step.own:
        return None if world.path(step.directory).is_dir() else f"{step.directory} is not there"
    if step.ask:
        known = step.locked or left_commit(world.path(step.output))
        return None if known else f"no server had {step.repository.key}"
    return None if (world.path(step.directory) / ".git").exists() else f"{step.directory} is not there"


def resolve_reason(step: Resolve, world: World) -> str | None:
    """Words, if the pin is not one to rely on."""
    if step.move:
        return "update"
    pin = left_pin(world.path(step.output))
    if pin and pin.digest is None and (step.frozen or not step.needed or not docker.is_local_only(step.image)):
        return f"no registry had {step.image}"
    return None


# --- compose, with the right files --------------------------------------------------------------------------------


def down(world: World) -> None:
    """Containers and networks go, those of inactive profiles and orphans too; volumes stay."""
    with _way_out(Word("down"), world):
        compose.down(world.opened.project(), lambda line: world.progress("down", line))


def stop(world: World, name: str) -> None:
    """The containers of a service end."""
    with _way_out(Word("stop", name), world):
        compose.stop(world.opened.project(), (name,), lambda line: world.progress("stop", line))


def restart(world: World, name: str) -> None:
    """The containers of a service start anew."""
    compose.restart(world.opened.project(), (name,), lambda line: world.progress("restart", line))


def logs(opened: Opened, name: str | None, options: tuple[str, ...] = ()) -> int:
    """What compose shows; its exit code."""
    return compose.logs(opened.project(), (name,) if name else (), options)


def shell(opened: Opened, name: str, words: tuple[str, ...] = ()) -> int:
    """A shell, or a program, in a service's container; its exit code."""
    return compose.shell(opened.project(), name, words or ("sh",))


def passthrough(opened: Opened, words: tuple[str, ...]) -> int:
    """`hsm compose …`: plain compose with the right files and project; its exit code."""
    return compose.passthrough(opened.project(), words)


_PROJECT = re.compile(r"^name: \W?([a-z0-9][a-z0-9_-]*)\W?$", re.MULTILINE)


def compose_line(opened: Opened) -> str:
    """What a person would type instead of `doit up`, in the root of the workspace."""
    root, project = opened.workspace.root, opened.scene.project
    shown = [f"-f {shlex.quote(os.path.relpath(path, root))}" for path in (*opened.files, opened.override)]
    if compose.project_name(opened.files[0].parent, opened.environ) not in ("", project):
        shown.insert(0, f"-p {project}")  # else the variable would go before the name in the override
    return f"docker compose {' '.join(shown)} up -d --remove-orphans"


def without_hsm(words: Sequence[Word], state: Path) -> str:
    """How to end what runs, where hsm can not read the stack; "" for other words, and before a first sync."""
    ends = [word for word in words if word.head in ("down", "stop")]
    with contextlib.suppress(HsmError):
        project = _PROJECT.search(files.read_if_there(state / "override.yml") or "")
        if ends and project:
            said = " ".join(shlex.quote(part) for part in (ends[0].head, ends[0].name) if part)
            return f"without hsm: docker compose -p {project[1]} {said}"
    return ""


@contextlib.contextmanager
def _way_out(word: Word, world: World) -> Iterator[None]:
    """Where compose can not fill in the files, it can end what runs by the name of the project."""
    try:
        yield
    except CommandFailed as error:
        if "interpolating" in error.said:
            error.hint = error.hint or without_hsm([word], world.opened.state)
        raise


def holding(folder: Path, command: str, say: Callable[[str], None]) -> AbstractContextManager[bool]:
    """The workspace for one run alone."""
    return guard.held(folder, command, say)


def ends_politely() -> AbstractContextManager[None]:
    """While a command line runs: SIGTERM and SIGHUP end it as ctrl-C does."""
    return process.all_as_ctrl_c()


interrupted = threading.Event()


def interrupt() -> None:
    """Ends every program that a step has started, and every wait."""
    interrupted.set()
    process.ask_others_to_end()
    process.interrupt()


def keep_switch(opened: Opened, say: Callable[[str], None]) -> None:
    """Writes hsm.local.yaml, if the words of the command line changed it; and warns of what a switch leaves behind."""
    local, found = opened.texts.local, opened.texts.found
    path = opened.folder / LOCAL
    if local is None or local.text == found:
        return
    if files.read_if_there(path) != found:
        raise HsmError(f"{local.filename} was edited at this very moment: nothing is done, the edit is kept",
                       "say the same again")
    before, _ = stacks_of(read_texts(opened.workspace, opened.name))
    for words in _left_behind(before, opened):
        say(words)
    hide_generated(opened)
    files.edit(path, local.text, opened.workspace.root)


def _left_behind(before: Stack, opened: Opened) -> Iterator[str]:
    """A sentence for each option that is left with data that nothing will find again."""
    scene = opened.scene
    for group in before.groups.values():
        for name in set(group.selection) - set(scene.stack.groups[group.name].selection):
            paths = () if group.profiles else _anonymous(name, before, opened)
            if paths:
                yield (
                    f"{name} keeps {', '.join(paths)} only in anonymous volumes: a later switch back does not find "
                    "that data again (give it a named volume in the compose file)"
                )


def _anonymous(name: str, before: Stack, opened: Opened) -> tuple[str, ...]:
    """The paths in a service's container that only anonymous volumes hold."""
    service = before.services.get(name)
    dev = service is not None and service.mode == "dev"  # then a pin that is left from prod says nothing of what ran
    sections: list[Keys] = [opened.scene.base.services.get(name, {})]
    if service:
        sections += [service.dev.keys, {"volumes": [*service.dev.volumes]}] if dev else [service.prod.keys]
    mounted = [volume for keys in sections if isinstance(listed := keys.get("volumes"), list) for volume in listed]
    pin = None if dev else left_pin(opened.state / "pins" / f"{name}.json")
    return anonymous(mounted, (pin.volumes or ()) if pin else ())


# --- the lock ------------------------------------------------------------------------------------------------------


def refuse_new_entries(opened: Opened) -> None:
    """A frozen sync names what hsm.lock lacks, and does nothing."""
    missing = missing_entries(opened.scene)
    if missing:
        lines = "".join(f"\n  {key}" for key in missing)
        hint = "run `hsm sync` and commit hsm.lock (an image that only the engine has never gets an entry)"
        raise HsmError(f"hsm.lock would change; it has no entry for{lines}", hint)
