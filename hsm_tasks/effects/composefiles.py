"""Which files a base is made of: those that compose is given, and those that they lead to.

`base_files` answers as compose would; `sources` adds what they include and extend, so that a change in any of them is
seen. Nothing is interpreted beyond that: the base is read by compose itself (`compose.read_base`), without values.
Hence two refusals: a path with a variable in it, which compose does not follow then, and a remote include (git, oci),
whose content can not be known without fetching it at each start.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from hsm_tasks.core.errors import HsmError
from hsm_tasks.core.yamlread import MOST_NODES
from hsm_tasks.effects import files as disk

GENERATED = "docker-compose.hsm.yml"
# in the order in which compose looks for them; its override is found by its own name, whatever the name of the base
_NAMES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
_OVERRIDES = (
    "compose.override.yml",
    "compose.override.yaml",
    "docker-compose.override.yml",
    "docker-compose.override.yaml",
)
_REMOTE = re.compile(r"(?:oci:|git@|github\.com/|[a-z][a-z0-9+.-]*://)")
_INCLUDES = re.compile(rb"\binclude[\"']?\s*:")
_EXTENDS = re.compile(rb"\bextends[\"']?\s*:")
_FILE = re.compile(rb"\bfile[\"']?\s*:")  # extends without it stays in its own file
_ASSIGNMENT = re.compile(r"\s*(?:export\s+)?([A-Za-z_][\w.]*)\s*[=:]\s*(.*?)\s*")
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")

# YAML as it was written: every scalar is text, tags (!reset, !override) are passed over
_Node: TypeAlias = "Mapping[str, _Node] | list[_Node] | str"


def surroundings(env: Mapping[str, str] | None) -> dict[str, str]:
    """The environment that a program gets from us: ours, and over it `env`."""
    return {**os.environ, **(env or {})}


def base_files(
    folder: Path, compose: tuple[str, ...] | None, is_list: bool, env: Mapping[str, str] | None = None
) -> tuple[Path, ...]:
    """The user's own compose files, in order.

    `compose` None: what compose itself takes in `folder` (COMPOSE_FILE, else the usual names; parent folders are not
    searched). One path: that file, and its override file where there is one. A list: exactly these.
    """
    if compose is None:
        return _without_generated(_named_by_environment(folder, env)) or _usual(folder)
    files = _without_generated([clean(folder / name) for name in compose])
    _all_exist(files, "`compose:` in hsm.yaml names it")
    if not files:
        raise HsmError(f"{folder}: no compose file is left", f"{GENERATED} is made by hsm and can not be the base")
    return files if is_list else (*files, *_override_of(files[0]))


def candidates(folder: Path, first: Path) -> tuple[Path, ...]:
    """Where `base_files` looks besides the files that it gave, `first` being the first of those."""
    overrides = {first.with_name(f"{first.stem}.override{suffix}") for suffix in (first.suffix, ".yml", ".yaml")}
    return (*(folder / name for name in (*_NAMES, *_OVERRIDES)), *sorted(overrides))


def env_files(folder: Path, env: Mapping[str, str] | None = None) -> tuple[Path, ...]:
    """The files that compose takes variables from when it runs in `folder`; they need not exist."""
    around = surroundings(env)
    if around.get("COMPOSE_DISABLE_ENV_FILE", "").lower() in ("1", "t", "true"):
        return ()
    named = around.get("COMPOSE_ENV_FILES", "")
    return tuple(folder / name for name in named.split(",") if name) or (folder / ".env",)


def sources(files: Sequence[Path]) -> tuple[Path, ...]:
    """All files that the base depends on, these first: what they include and extend, and the env files beside them.

    Env files of services are not read here and do not count. A file that is named and not there is listed as well.
    """
    root = files[0].parent  # compose takes every relative path of the given files from there
    seen: set[tuple[Path, Path, bool]] = set()
    found = [path for file in files for path in _follow(file, root, True, seen)]
    return tuple(dict.fromkeys([*found, clean(root / ".env")]))


def refuse_endless(files: Sequence[Path]) -> None:
    """HsmError for what compose would read for ever, or until there is no memory left: a pipe, a device, a file that is
    too long, aliases that stand for more than anybody means."""
    for path in sources(files):
        why = _endless(path)
        if why:
            raise HsmError(f"compose can not read the base: {path} {why}", "put another file there, or do not name it")


def _endless(path: Path) -> str:
    if disk.never_ends(path):
        return "is a pipe or a device"
    with contextlib.suppress(OSError):
        if path.is_file() and path.stat().st_size > disk.LONGEST:
            return f"is longer than {disk.LONGEST >> 20} MiB"
    data = content(path) or b""
    return f"has aliases that stand for more than {MOST_NODES} values" if _is_bomb(data) else ""


def _is_bomb(data: bytes) -> bool:
    return b"*" in data and b"&" in data and _unfolded(data) > MOST_NODES


def _unfolded(data: bytes) -> int:
    """How many values there are with each alias written out; not counted further than `MOST_NODES`."""
    import yaml

    anchors: dict[str, int] = {}
    open_: list[tuple[str | None, int]] = []
    total = 0
    with contextlib.suppress(yaml.YAMLError, UnicodeDecodeError):  # compose will say what is wrong
        for event in yaml.parse(data, Loader=getattr(yaml, "CBaseLoader", yaml.BaseLoader)):
            if isinstance(event, yaml.AliasEvent):
                total += anchors.get(str(event.anchor), 0)
            elif isinstance(event, yaml.CollectionStartEvent):
                total += 1
                open_.append((event.anchor, total))
            elif isinstance(event, yaml.CollectionEndEvent):
                anchor, before = open_.pop()
                anchors |= {anchor: total - before + 1} if anchor else {}
            elif isinstance(event, yaml.ScalarEvent):
                total += 1
                anchors |= {event.anchor: 1} if event.anchor else {}
            if total > MOST_NODES:
                break
    return total


def content(path: Path) -> bytes | None:
    """What is in a file; None where it can not be read."""
    try:
        return disk.content(path)
    except OSError:
        return None


def clean(path: Path) -> Path:
    """The path without `..`, links left alone: as compose does it."""
    return Path(os.path.normpath(path))


def profiles(folder: Path, env: Mapping[str, str] | None = None) -> frozenset[str]:
    """What COMPOSE_PROFILES says, when compose runs in `folder`."""
    named = _variables(folder, env).get("COMPOSE_PROFILES", "").split(",")
    return frozenset(name.strip() for name in named if name.strip())


def project_name(folder: Path, env: Mapping[str, str] | None = None) -> str:
    """What COMPOSE_PROJECT_NAME says, when compose runs in `folder`: it goes before the `name:` of any file."""
    return _variables(folder, env).get("COMPOSE_PROJECT_NAME", "")


def _named_by_environment(folder: Path, env: Mapping[str, str] | None) -> list[Path]:
    known = _variables(folder, env)
    separator = known.get("COMPOSE_PATH_SEPARATOR") or os.pathsep
    files = [clean(folder / name) for name in known.get("COMPOSE_FILE", "").split(separator) if name]
    _all_exist(files, "COMPOSE_FILE names it, in the environment or in .env")
    return files


def _variables(folder: Path, env: Mapping[str, str] | None) -> dict[str, str]:
    """Those of the environment, and of the env files below them."""
    around = surroundings(env)
    variables = dict[str, str]()
    for file in reversed(env_files(folder, env)):
        if disk.never_ends(file):
            raise HsmError(f"{file} is a pipe or a device: compose may wait for its end for ever", "put a file there")
        variables = {**_assignments(content(file) or b"", around), **variables}
    return {**variables, **{name: value for name, value in around.items() if value}}


def _assignments(data: bytes, around: Mapping[str, str]) -> dict[str, str]:
    """The variables in an env file, as far as the names of files need them: quotes, comments, plain ${NAME}."""
    if b"COMPOSE_" not in data:
        return {}
    values: dict[str, str] = {}

    def known(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        return around.get(name) or values.get(name, "")

    for line in data.decode("utf-8", "replace").splitlines():
        match = _ASSIGNMENT.fullmatch(line)
        if match is None:
            continue
        name, value = match.groups()
        quote = value[:1] if value[:1] in ("'", '"') else ""
        value = value[1:].partition(quote)[0] if quote else re.split(r"(?:^|\s)#", value)[0].rstrip()
        values[name] = value if quote == "'" else _VARIABLE.sub(known, value)
    return values


def _usual(folder: Path) -> tuple[Path, ...]:
    for name in _NAMES:
        if (folder / name).is_file():
            overrides = (folder / override for override in _OVERRIDES)
            return (folder / name, *[path for path in overrides if path.is_file()][:1])
    hint = f"write {_NAMES[2]} there, or name your compose files under `compose:` in hsm.yaml"
    raise HsmError(f"{folder}: there is no compose file", hint)


def _override_of(file: Path) -> tuple[Path, ...]:
    """docker-compose.prod.yml: docker-compose.prod.override.yml, or the same with .yaml."""
    other = {".yml": ".yaml", ".yaml": ".yml"}.get(file.suffix, file.suffix)
    for suffix in (file.suffix, other):
        override = file.with_name(f"{file.stem}.override{suffix}")
        if override.is_file():
            return (override,)
    return ()


def _without_generated(files: Sequence[Path]) -> tuple[Path, ...]:
    return tuple(file for file in files if file.name != GENERATED)


def _all_exist(files: Sequence[Path], who: str) -> None:
    for file in files:
        if file.name != GENERATED and not file.is_file():
            raise HsmError(f"{file}: there is no such compose file", who)


def _follow(file: Path, base: Path, with_includes: bool, seen: set[tuple[Path, Path, bool]]) -> Iterator[Path]:
    """`base` is what relative paths in the file are relative to. compose passes over the includes of extended files."""
    yield clean(file)
    place = (clean(file), clean(base), with_includes)
    data = content(file)
    if place in seen or data is None or not _leads_on(data):
        return
    seen.add(place)
    for document in _documents(data):
        for include in _list(document.get("include")) if with_includes else ():
            yield from _follow_include(include, file, base, seen)
        for service in _mapping(document.get("services")).values():
            name = next((text for text in _extended(service) if isinstance(text, str)), None)
            if name is not None:
                target = base / _local(name, file)
                yield from _follow(target, target.parent, False, seen)


def _follow_include(include: _Node, file: Path, base: Path, seen: set[tuple[Path, Path, bool]]) -> Iterator[Path]:
    entry = include if isinstance(include, Mapping) else {"path": include}
    paths = [base / _local(name, file) for name in _list(entry.get("path")) if isinstance(name, str)]
    if not paths:
        return
    directory = entry.get("project_directory")
    root = base / _local(directory, file) if isinstance(directory, str) else paths[0].parent
    for path in paths:
        yield from _follow(path, root, True, seen)
    named = [name for name in _list(entry.get("env_file")) if isinstance(name, str)]
    yield from (clean(path) for path in [base / _local(name, file) for name in named] or [root / ".env"])


def _extended(service: _Node) -> Iterator[_Node | None]:
    """The `extends.file` of a service, also where a merge key (<<) brings it in."""
    mapping = _mapping(service)
    yield _mapping(mapping.get("extends")).get("file")
    for merged in _list(mapping.get("<<")):
        yield from _extended(merged)


def _local(name: str, file: Path) -> str:
    if "$" in name:
        raise HsmError(
            f"{file}: hsm can not follow {name}: it reads the base without the values of variables",
            "write the path out, or choose between the files with COMPOSE_FILE or `compose:` in hsm.yaml",
        )
    if _REMOTE.match(name):
        raise HsmError(f"{file}: hsm does not read a base from afar: {name}", "clone it, and include the local file")
    return name


def _leads_on(data: bytes) -> bool:
    """Whether it is worth parsing: a large base takes a fifth of a second."""
    return bool(_INCLUDES.search(data) or (_EXTENDS.search(data) and _FILE.search(data)))


def _documents(data: bytes) -> list[Mapping[str, _Node]]:
    import yaml  # only the few files that lead on to others are parsed

    loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)  # makes text only, of any tag
    if _is_bomb(data):
        return []  # `refuse_endless` says so
    try:
        documents = list(yaml.load_all(data, Loader=loader))
    except yaml.YAMLError:
        return []  # compose will say what is wrong
    return [_mapping(document) for document in documents]


def _mapping(node: _Node | None) -> Mapping[str, _Node]:
    return node if isinstance(node, Mapping) else {}


def _list(node: _Node | None) -> list[_Node]:
    if node is None or node == "":
        return []
    return node if isinstance(node, list) else [node]
