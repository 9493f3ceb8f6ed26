"""The table `tool.hsm` of pyproject.toml to Settings, or every mistake in it.

tomli tells no places of values, so the line of a key is looked up in the text once something is wrong with it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any, Final, TypeAlias

import msgspec
import tomli

from hsm_tasks.core.diagnose import did_you_mean
from hsm_tasks.core.errors import ConfigError, Problem
from hsm_tasks.core.model import FOLDER_NAME, FOLDER_NAME_RULE, TARGET_KEYS, Settings

_Found: TypeAlias = Iterator[tuple[tuple[str, ...], str, str]]  # path, message, hint
_Path: TypeAlias = tuple[str, ...]

_HOST: Final = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:]+\])(:[0-9]{1,5})?(/[0-9]{1,3})?")
_MIRROR: Final = re.compile(r"https?://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:]+\])(:[0-9]{1,5})?(/[^?#\s]*)?", re.IGNORECASE)
_TABLE: Final = re.compile(r"\s*\[\s*([^\[\]]+?)\s*\]\s*(#.*)?")
_KEY: Final = re.compile(
    r"\s*((?:[A-Za-z0-9_-]+|\"[^\"]*\"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|\"[^\"]*\"|'[^']*'))*)\s*="
)
_PART: Final = re.compile(r"[A-Za-z0-9_-]+|\"[^\"]*\"|'[^']*'")
_HERE: Final = ("tool", "hsm")
_FOLDERS: Final = ("stacks_dir", "repos_dir")


def parse(text: str, filename: str) -> Settings | None:
    """The settings; None where the text has no table `tool.hsm`. Raises ConfigError with all mistakes."""
    table = _table(text, filename)
    if table is None:
        return None
    problems = [problem(text, filename, path, message, hint) for path, message, hint in _mistakes(table)]
    if problems:
        raise ConfigError(*problems)
    return msgspec.convert(table | {key: _plain(table[key]) for key in _FOLDERS if key in table}, Settings)


def _plain(folder: str) -> str:
    """`./repos/` is `repos`: steps and settings compare paths as texts."""
    return str(PurePosixPath(folder))


def problem(text: str, filename: str, path: _Path, message: str, hint: str = "") -> Problem:
    """A mistake at a key of `tool.hsm`."""
    return Problem(filename, *_place(text, (*_HERE, *path)), ".".join((*_HERE, *path)), message, hint)


def _table(text: str, filename: str) -> dict[str, Any] | None:
    if "hsm" not in text:
        return None
    try:
        tool = tomli.loads(text).get("tool", {})
    except tomli.TOMLDecodeError as error:
        raise ConfigError(Problem(filename, error.lineno, error.colno, "", f"not TOML: {error.msg}")) from None
    except RecursionError:
        raise ConfigError(Problem(filename, 1, 1, "", "not TOML that can be read: nested too deeply")) from None
    if not isinstance(tool, Mapping) or "hsm" not in tool:
        return None
    table = tool["hsm"]
    if not isinstance(table, dict):
        raise ConfigError(problem(text, filename, (), "must be a table"))
    return table


def _mistakes(table: Mapping[str, Any]) -> _Found:
    for key, value in table.items():
        if key in _CHECKS:
            yield from _CHECKS[key](key, value)
        else:
            known = ", ".join(_CHECKS)
            yield (key,), "unknown key", did_you_mean(key, _CHECKS) or f"known here: {known}"
    stacks, repos = (str(table.get(f"{key}_dir", key)) for key in ("stacks", "repos"))
    if _plain(stacks) == _plain(repos):
        yield ("repos_dir",), "checkouts need a folder of their own, apart from stacks_dir", ""


def _check_stack(key: str, value: Any) -> _Found:
    if not isinstance(value, str) or not FOLDER_NAME.fullmatch(value):
        yield (key,), f"{_shown(value)} is not the name of a stack", ""


def _check_jobs(key: str, value: Any) -> _Found:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        yield (key,), f"{_shown(value)} is not a number of jobs (1 or more)", ""


def _check_folder(key: str, value: Any) -> _Found:
    if not isinstance(value, str) or not value or "\\" in value or not value.isprintable():
        yield (key,), f"{_shown(value)} is not a path", 'write it with "/", relative to the workspace'
        return
    path = PurePosixPath(value)
    if path.is_absolute() or ".." in path.parts or value.startswith("~"):
        yield (key,), f"{_shown(value)} does not lie inside the workspace", "a path relative to the workspace is needed"
    elif path.parts[:1] in {(".git",), (".hsm",)}:
        yield (key,), f"{_shown(value)} is a folder that {path.parts[0][1:]} keeps for itself", ""
    elif not path.parts and key == "repos_dir":
        yield (key,), "checkouts need a folder of their own", ""


def _check_registries(key: str, value: Any) -> _Found:
    if not isinstance(value, list):
        yield (key,), f"must be a list of hosts, not {_shown(value)}", ""
        return
    for item in value:
        if not isinstance(item, str) or not _HOST.fullmatch(item):
            yield (key,), f"{_shown(item)} is not a host or host:port", "leave out what stands before the host"


def _check_mirrors(key: str, value: Any) -> _Found:
    if not isinstance(value, Mapping):
        yield (key,), f"must be a table, not {_shown(value)}", ""
        return
    for registry, url in value.items():
        if not _HOST.fullmatch(registry) or "/" in registry:
            yield (key, registry), f"{_shown(registry)} is not a registry (a host or host:port)", ""
        if isinstance(url, str) and "@" in url.partition("://")[2].partition("/")[0]:
            yield (key, registry), "there is a user or a password in the url", "docker login HOST keeps it instead"
        elif not isinstance(url, str) or not _MIRROR.fullmatch(url):
            yield (key, registry), f"{_shown(url)} is not an http or https url", ""


def _check_targets(key: str, value: Any) -> _Found:
    if not isinstance(value, Mapping):
        yield (key,), f"must be a table, not {_shown(value)}", ""
        return
    for name, target in value.items():
        if not FOLDER_NAME.fullmatch(name):
            yield (key, name), f"{_shown(name)} is not a name for a target", FOLDER_NAME_RULE
        if not isinstance(target, Mapping):
            yield (key, name), f"must be a table, not {_shown(target)}", ""
            continue
        for word, said in target.items():
            if word not in TARGET_KEYS:
                near = did_you_mean(word, TARGET_KEYS) or f"known here: {', '.join(TARGET_KEYS)}"
                yield (key, name, word), "unknown key", near
            elif not isinstance(said, str):
                yield (key, name, word), f"must be text, not {_shown(said)}", ""


_CHECKS: Final[dict[str, Callable[[str, Any], _Found]]] = {
    "stack": _check_stack,
    "stacks_dir": _check_folder,
    "repos_dir": _check_folder,
    "jobs": _check_jobs,
    "insecure_registries": _check_registries,
    "mirrors": _check_mirrors,
    "targets": _check_targets,
}


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return "a table"
    return "a list" if isinstance(value, list) else json.dumps(value, default=str, ensure_ascii=False)


def _place(text: str, path: _Path) -> tuple[int, int]:
    """Line and column of a key; of the longest part of its path that has a line of its own."""
    best, place = 0, (1, 1)
    table: _Path = ()
    for number, line in enumerate(text.splitlines(), 1):
        if header := _TABLE.fullmatch(line):
            table = found = _parts(header[1])
            column = line.index("[") + 1
        elif key := _KEY.match(line):
            found, column = (*table, *_parts(key[1])), key.start(1) + 1
        else:
            continue
        if best < len(found) <= len(path) and path[: len(found)] == found:
            best, place = len(found), (number, column)
    return place


def _parts(dotted: str) -> _Path:
    return tuple(part.strip("\"'") for part in _PART.findall(dotted))
