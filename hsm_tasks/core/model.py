"""What a stack is made of. `load` makes these values from text; nothing behind it sees the user's own dicts.

A `Tree` is a piece of compose YAML as data: mappings, lists and scalars. In what a person wrote in hsm.yaml every
scalar is still text (or None); `scalars` gives it the type that the compose schema wants. In what compose itself
printed (`Base`) scalars have their types. Trees are shared and never written to.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal, TypeAlias

import msgspec

Tree: TypeAlias = "Mapping[str, Tree] | list[Tree] | str | int | float | bool | None"
Keys: TypeAlias = Mapping[str, Tree]
Mode = Literal["dev", "prod"]
Strategy = Literal["1-of-N", "M-of-N"]
TARGET_KEYS = ("host", "context", "project", "dir", "wait", "swarm", "ports", "addresses", "endpoint")
"""What the settings and hsm.yaml may say of a target; `targets` reads them when one is deployed to."""
FOLDER_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
"""What may be the name of a folder of ours: a target has one, too."""
FOLDER_NAME_RULE = 'letters, digits, ".", "_" and "-", the first a letter, a digit or "_"'


class Frozen(msgspec.Struct, frozen=True, kw_only=True):
    """The base of all values here: equal when their fields are equal."""


class Repository(Frozen, frozen=True, kw_only=True):
    """Where the sources of a service are.

    `url` is as in hsm.yaml; a relative one is relative to the folder of hsm.yaml, also when an included file named it.
    `ref` "HEAD" is the remote's default branch. `name` is the folder below repos_dir. `path` is a person's own checkout
    (hsm.local.yaml), absolute or relative to the folder of hsm.yaml: hsm reads it and never changes it.
    """

    url: str
    name: str
    ref: str = "HEAD"
    submodules: bool = False
    path: str | None = None

    @property
    def key(self) -> str:
        """Its name in hsm.lock."""
        return f"{self.url} {self.ref}"


class Limits(Frozen, frozen=True, kw_only=True):
    """What a service may use: compose's words for memory ("256M") and cpus ("0.50"), and a number of processes; or
    ${VARIABLES}."""

    memory: str | None = None
    cpus: str | None = None
    pids: int | str | None = None


class Dev(Frozen, frozen=True, kw_only=True):
    """How a service runs from its sources. Host paths in `build`, `volumes`, `watch`, `rebuild` are relative to the
    checkout; `keys` are all other compose keys (environment and ports among them), as written."""

    build: Keys | None = None
    volumes: tuple[Tree, ...] = ()
    watch: tuple[Keys, ...] = ()
    rebuild: tuple[str, ...] | None = None
    keys: Keys = {}


class Prod(Frozen, frozen=True, kw_only=True):
    """How a service runs from an image. `image` may hold ${VARIABLES}; `version` is a range over its tags."""

    image: str | None = None
    version: str | None = None
    limits: Limits = Limits()
    replicas: int | str | None = None
    keys: Keys = {}


class Service(Frozen, frozen=True, kw_only=True):
    """A service that hsm.yaml names; `dev` and `prod` have the defaults merged in."""

    name: str
    mode: Mode
    repository: Repository | None = None
    dev: Dev = Dev()
    prod: Prod = Prod()
    oneshot: bool = False


class Option(Frozen, frozen=True, kw_only=True):
    """One alternative of a group: a service, or a profile of the base. `consumers`: service → compose keys for it."""

    name: str
    consumers: Mapping[str, Keys] = {}


class Group(Frozen, frozen=True, kw_only=True):
    """Alternatives. `profiles`: the options are profiles. `alias` only with 1-of-N, where one is selected."""

    name: str
    strategy: Strategy
    options: tuple[Option, ...]
    selection: tuple[str, ...]
    alias: str | None = None
    profiles: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the options, in the order of hsm.yaml."""
        return tuple(option.name for option in self.options)


class Stack(Frozen, frozen=True, kw_only=True):
    """hsm.yaml with its includes, with or without hsm.local.yaml over it.

    `compose`: None where hsm.yaml does not say; one path (whose override file beside it counts) or a list (exactly
    these), relative to the folder of hsm.yaml. `allowed` are host paths that a bundle may mount where it will run,
    `targets` the places that the stack can be deployed to, beside those of the settings.
    """

    name: str | None
    compose: tuple[str, ...] | None
    compose_is_list: bool
    services: Mapping[str, Service]
    groups: Mapping[str, Group]
    allowed: tuple[str, ...] = ()
    targets: Mapping[str, Mapping[str, str]] = {}


class Base(Frozen, frozen=True, kw_only=True):
    """The user's own compose files, as compose reads them: nothing interpolated, no path resolved.

    `name` is the project name that compose would take, `root` the folder that relative paths are relative to, seen from
    the folder of hsm.yaml ("." in most stacks).
    """

    name: str
    services: Mapping[str, Keys]
    volumes: Mapping[str, Tree] = {}
    networks: Mapping[str, Tree] = {}
    root: str = "."


class Settings(Frozen, frozen=True, kw_only=True):
    """`[tool.hsm]` of pyproject.toml."""

    stack: str | None = None
    stacks_dir: str = "stacks"
    repos_dir: str = "repos"
    jobs: int = 8
    insecure_registries: tuple[str, ...] = ()
    mirrors: Mapping[str, str] = {}
    targets: Mapping[str, Mapping[str, str]] = {}


class Pin(Frozen, frozen=True, kw_only=True):
    """What a reference means: written by a resolve step, kept in hsm.lock.

    `image` is what goes into the override: `name:tag@sha256:…`, or the reference as written where only the engine
    has the image (then `digest` is None). `healthcheck` and `volumes` (paths in the container) come from the image's
    config and are known (not None) for options of groups only.
    """

    image: str
    tag: str | None = None
    digest: str | None = None
    healthcheck: bool | None = None
    volumes: tuple[str, ...] | None = None


def without_config(pin: Pin) -> Pin:
    """What every entry of a lock says, and nothing of the image's config."""
    return Pin(image=pin.image, tag=pin.tag, digest=pin.digest)
