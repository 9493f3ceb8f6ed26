"""Where a stack can be deployed to: `[tool.hsm.targets.NAME]` of the settings, or `targets.NAME` in hsm.yaml."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Final

import msgspec

from hsm_tasks.core.errors import ConfigError, mistake
from hsm_tasks.core.model import TARGET_KEYS

WAIT: Final = 120.0  # seconds that a deploy has to become healthy
_SSH: Final = re.compile(r"ssh://(?:(?P<user>[A-Za-z0-9_][\w.-]*)@)?(?P<host>[A-Za-z0-9][\w.-]*)(?::(?P<port>[0-9]+))?/?")
_CONTEXT: Final = re.compile(r"[A-Za-z0-9][\w.+-]*")
_PROJECT: Final = re.compile(r"[a-z0-9][a-z0-9_-]*")


class Ssh(msgspec.Struct, frozen=True):
    """A machine that ssh reaches; None: what ssh itself takes."""

    host: str
    user: str | None = None
    port: str | None = None


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """A place to deploy to.

    `host` is an ssh:// url, or `context` a docker context. `directory` is the folder on that machine where files and
    bundles are kept; None: a default. `wait` in seconds. A swarm publishes ports in mode `ports` (ingress or host), on
    all addresses only if `all_addresses` says so, and finds services by `endpoint` (vip or dnsrr).
    """

    name: str
    host: str | None = None
    context: str | None = None
    project: str | None = None
    directory: str | None = None
    wait: float = WAIT
    swarm: bool = False
    ports: str = "ingress"
    all_addresses: bool = False
    endpoint: str = "vip"


def pick(name: str | None, known: Mapping[str, Mapping[str, str]]) -> Target:
    """The target of that name, or ConfigError with those that there are."""
    there = ", ".join(sorted(known)) or "none; add one to [tool.hsm.targets] or to targets in hsm.yaml"
    if not name:
        raise mistake("deploy to where?", f"say target=NAME; there are: {there}")
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        meant = f"did you mean {near[0]}? " if near else ""
        raise mistake(f'there is no target "{name}"', f"{meant}there are: {there}")
    return _read(name, known[name])


def _read(name: str, said: Mapping[str, str]) -> Target:
    for key in said:
        if key not in TARGET_KEYS:
            raise _wrong(name, key, "unknown key", f"known here: {', '.join(TARGET_KEYS)}")
    host, context = said.get("host"), said.get("context")
    if (host is None) == (context is None):
        raise mistake(f"target {name}: either host or context must say where it is", 'host = "ssh://user@server"')
    if host is not None and ssh(host) is None:
        raise _wrong(name, "host", f'"{host}" is not ssh://HOST, with USER@ before HOST and :PORT behind it if needed',
                     "for anything else make a docker context, and say context = NAME")
    if context is not None and not _CONTEXT.fullmatch(context):
        raise _wrong(name, "context", f'"{context}" is not the name of a docker context', "docker context ls")
    if (project := said.get("project")) is not None and not _PROJECT.fullmatch(project):
        raise _wrong(name, "project", f'"{project}" is not a name for a compose project', "")
    if (directory := said.get("dir")) is not None and not directory.startswith("/"):
        raise _wrong(name, "dir", f'"{directory}" is not an absolute path', "")
    return Target(
        name=name,
        host=host,
        context=context,
        project=project,
        directory=directory,
        wait=_seconds(name, said.get("wait")),
        swarm=_one_of(name, said, "swarm", ("no", "yes")) == "yes",
        ports=_one_of(name, said, "ports", ("ingress", "host")),
        all_addresses=_one_of(name, said, "addresses", ("as written", "all")) == "all",
        endpoint=_one_of(name, said, "endpoint", ("vip", "dnsrr")),
    )


def ssh(url: str) -> Ssh | None:
    """The parts of an ssh:// url; None where it is none."""
    match = _SSH.fullmatch(url)
    return Ssh(match["host"], match["user"], match["port"]) if match else None


def _one_of(name: str, said: Mapping[str, str], key: str, words: tuple[str, ...]) -> str:
    """The word that is said; the first where none is."""
    word = said.get(key, words[0])
    if word not in words:
        raise _wrong(name, key, f'"{word}" is not one of {", ".join(words)}', "")
    return word


def _seconds(name: str, text: str | None) -> float:
    if text is None:
        return WAIT
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
        raise _wrong(name, "wait", f'"{text}" is not a number of seconds', "")
    return float(text)


def _wrong(name: str, key: str, message: str, hint: str) -> ConfigError:
    return mistake(f"target {name}: {key}: {message}", hint)
