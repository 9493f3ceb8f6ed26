"""Where things are: the workspace, its settings and its stacks."""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from hsm_tasks.core import settings
from hsm_tasks.core.errors import ConfigError, HsmError, mistake
from hsm_tasks.core.model import Settings
from hsm_tasks.effects import files

CONFIG, LOCAL, LOCK, OVERRIDE = "hsm.yaml", "hsm.local.yaml", "hsm.lock", "docker-compose.hsm.yml"
SETTINGS = "pyproject.toml"
STATE = ".hsm"
TAKEN = frozenset({".gitignore", "lock", "lock.holder", "snapshot", "hsm.schema.json", "hsm.local.schema.json"})
"""The files of hsm's own in `.hsm`, where each stack has a folder of its name."""


class Workspace(msgspec.Struct, frozen=True):
    """A folder with stacks. `stacks` maps their names to their folders, relative to `root`."""

    root: Path
    settings: Settings
    stacks: Mapping[str, str]
    begun: int = 0
    """When the search for it began, in ns: before that nothing was read."""

    def pick(self, asked: str | None, environ: Mapping[str, str]) -> str:
        """The stack that is meant: the command line, HSM_STACK, the settings, the only one; else ConfigError."""
        name = asked or environ.get("HSM_STACK") or self.settings.stack
        there = ", ".join(self.stacks) or "none"
        if name in self.stacks:
            return str(name)
        if name:
            by = " (HSM_STACK asks for it)" if not asked and environ.get("HSM_STACK") else ""
            message, hint = f'there is no stack "{name}"{by}', f"stacks of this workspace: {there}"
            if asked or by:
                raise mistake(message, hint)
            raise ConfigError(settings.problem(files.read(self.root / SETTINGS), SETTINGS, ("stack",), message, hint))
        if len(self.stacks) == 1:
            return next(iter(self.stacks))
        if not self.stacks:
            looked = f"{CONFIG} and {self.settings.stacks_dir}/*/{CONFIG} were looked for, here and above"
            raise mistake(f"no {CONFIG} here", f"`hsm init` makes one of your compose files ({looked})")
        raise mistake("which stack? This workspace has several", f"say stack=NAME or set HSM_STACK; there are: {there}")

    def refuse_taken(self, name: str) -> None:
        """ConfigError where the state of a stack of that name would lie where hsm has a file."""
        if name in TAKEN:
            folder = (self.root / self.stacks[name]).name
            message = f'"{name}" is not a name for a stack: {STATE}/{name} is a file of hsm\'s own'
            raise mistake(message, f"rename the folder {folder}")


def find(start: Path) -> Workspace:
    """The workspace that a folder belongs to: the nearest with stacks or with [tool.hsm], else the nearest hsm.yaml."""
    begun = time.time_ns()
    folders = (start, *start.parents)
    for folder in folders:
        found = _settings(folder)
        declared, given = found is not None, found or Settings()
        stacks = _stacks(folder, given)
        if declared or any(path != "." for path in stacks.values()):
            return Workspace(folder, given, stacks, begun)
    for folder in folders:
        if (folder / CONFIG).is_file():
            return Workspace(folder, Settings(), _stacks(folder, Settings()), begun)
    return Workspace(start, Settings(), {})


def places(here: Workspace) -> Iterator[Path]:
    """Every path on which it depends that `find` gives this workspace for its own root. Some are not there."""
    yield from _places(here.root, here.settings)
    if all(folder == "." for folder in here.stacks.values()):  # then a workspace further up may go before
        for folder in here.root.parents:
            yield from _places(folder, Settings())


def _places(folder: Path, given: Settings) -> Iterator[Path]:
    inside = folder / given.stacks_dir
    yield from (folder / SETTINGS, folder / CONFIG, inside)
    with contextlib.suppress(OSError), os.scandir(inside) as entries:
        yield from (inside / entry.name / CONFIG for entry in entries)


_SECRET = re.compile(r"pass|token|secret|key|credential|auth|dsn", re.IGNORECASE)


def secret_values(workspace: Workspace, environ: Mapping[str, str]) -> tuple[str, ...]:
    """What must never be shown: the values of variables whose names say so, of the environment and of the env files
    beside each hsm.yaml (`.env`, `.env.*`, `*.env`)."""
    pairs = list(environ.items())
    for folder in workspace.stacks.values():
        for path in sorted(path for path in (workspace.root / folder).glob("*.env*") if path.is_file()):
            with contextlib.suppress(HsmError):
                pairs += _assignments(files.read_if_there(path) or "")
    secret = {value for name, value in pairs if len(value) > 3 and _SECRET.search(name)}
    # a key of many lines is shown line by line; a short one (`}`) is no secret by itself
    return tuple(secret | {line for value in secret for line in value.splitlines() if len(line) > 7})


def _assignments(text: str) -> Iterator[tuple[str, str]]:
    """The variables of an env file; a value that is followed by a comment with it and without."""
    lines = iter(text.splitlines())
    for line in lines:
        name, _, value = line.removeprefix("export ").partition("=")
        quote = value.lstrip()[:1]
        if quote in ("'", '"') and quote not in value.lstrip()[1:]:  # it goes on until the quote ends
            for more in lines:
                value += f"\n{more.partition(quote)[0]}"
                if quote in more:
                    break
        for form in dict.fromkeys((value, value.partition(" #")[0])):
            yield name.strip(), form.strip().strip("'\"")


def _settings(folder: Path) -> Settings | None:
    """The settings of a folder; None where its pyproject.toml does not speak of hsm."""
    text = files.read_if_there(folder / SETTINGS)
    return settings.parse(text, SETTINGS) if text else None


def _stacks(folder: Path, given: Settings) -> dict[str, str]:
    inside = folder / given.stacks_dir
    found = {}
    if inside.is_dir():
        with os.scandir(inside) as entries:
            names = sorted(entry.name for entry in entries if entry.is_dir())
        found = {name: f"{given.stacks_dir}/{name}" for name in names if (inside / name / CONFIG).is_file()}
    if not found and (folder / CONFIG).is_file():
        found = {_plain(folder.name): "."}
    return found


def _plain(name: str) -> str:
    """A folder's name as the name of a stack."""
    kept = "".join(letter if letter.isalnum() or letter in "._-" else "-" for letter in name)
    return kept.strip(".-") or "stack"
