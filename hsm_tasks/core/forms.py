"""The forms that services take, as values: what `choose` decides and all that follows works with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Literal

from hsm_tasks.core.model import Frozen, Keys, Mode, Service, Tree

NAMESPACES = ("network_mode", "ipc", "pid")
_REFERRING = frozenset({"depends_on", "links", "volumes_from", "build", *NAMESPACES})


class Form(Frozen, frozen=True, kw_only=True, dict=True):
    """One service as it is to run.

    `mode` is "base" for a service that hsm.yaml does not name and "off" for an option that is not selected. `image`
    is the reference to pin, still with its ${VARIABLES}; None where there is nothing to pin. `active`: its profiles
    give way. `extra` are the keys that chosen options want their consumers to have. `attached`: it stands for an image
    that the service only mounts or builds with.
    """

    name: str
    mode: Mode | Literal["base", "off"]
    service: Service | None = None
    base: Keys | None = None
    image: str | None = None
    version: str | None = None
    active: bool = False
    option: bool = False
    aliases: tuple[str, ...] = ()
    extra: tuple[Keys, ...] = ()
    attached: bool = False

    @property
    def section(self) -> Keys:
        """The compose keys that the present mode adds."""
        if self.service is None:
            return {}
        return {"dev": self.service.dev.keys, "prod": self.service.prod.keys}.get(self.mode, {})

    @property
    def own_build(self) -> Keys | None:
        """The build that takes the place of the base's: of the dev section, or all of a checkout. None: there is none.
        """
        if self.mode != "dev" or self.service is None:
            return None
        return {} if self.service.dev.build is None and self.service.repository else self.service.dev.build

    @cached_property
    def refers(self) -> bool:
        """Whether it has any key that may refer to somebody; most services have none."""
        return not all(map(_REFERRING.isdisjoint, self.pieces))

    @cached_property
    def named(self) -> frozenset[str]:
        """Every name of a service that it refers to."""
        speaking = self.pieces if self.refers else ()
        return frozenset(name for keys in speaking for name in (*soft(keys), *(name for _, name in hard(keys))))

    @cached_property
    def pieces(self) -> tuple[Keys, ...]:
        """All the keys that make up the service, the base first. In prod nothing is built, so a build counts nowhere.
        """
        build = self.own_build
        dropped = ("build", "develop") if self.mode == "prod" else ("build",) if build is not None else ()
        below = {key: value for key, value in (self.base or {}).items() if key not in dropped}
        own: Keys = {"build": build} if build is not None else {}
        return (below, self.section, own, *self.extra)

    def built_as(self, project: str) -> str:
        """The image that a build of the service makes: in dev never that of the base, which a registry may have."""
        named = None if self.mode == "dev" else (self.base or {}).get("image")
        return named if isinstance(named, str) else f"{project}-{self.name}"

    @property
    def network_mode(self) -> Tree:
        """Its network mode, unless later keys name networks: compose takes one of the two only."""
        for keys in reversed(self.pieces):
            if keys.get("networks") or "network_mode" in keys:
                return keys.get("network_mode")
        return None

    @property
    def profiles(self) -> tuple[str, ...]:
        """All its profiles. A service that has some is started by a plain `up` only if it is `active`."""
        return tuple(dict.fromkeys(name for keys in self.pieces for name in texts(keys.get("profiles"))))


class Chosen(Frozen, frozen=True, kw_only=True):
    """What runs. `targets` maps a name that is no running service to the one that answers for it, or None: nobody.

    `groups` maps each 1-of-N group, by its alias or else its name, to the chosen option. `oneshots` are services whose
    exit 0 is right. `enabled` are the profiles that COMPOSE_PROFILES asks for; they only count for what `up` starts.
    """

    forms: Mapping[str, Form]
    targets: Mapping[str, str | None]
    groups: Mapping[str, str]
    oneshots: frozenset[str]
    enabled: frozenset[str] = frozenset()

    def starts(self, form: Form) -> bool:
        """Whether a plain `up` starts it."""
        asked = "*" in self.enabled or not self.enabled.isdisjoint(form.profiles)
        return form.mode != "off" and (form.active or not form.profiles or asked)

    def meant(self, name: str) -> str | None:
        """The service that a person means, by its own name (it may be off) or by an alias; None: there is none."""
        return name if name in self.forms else self.targets.get(name)

    def stands_for(self, name: str) -> str | None:
        """The running service that answers to a service's name or to an alias."""
        if name in self.targets:
            return self.targets[name]
        return name if name in self.forms else None

    def needs(self, name: str) -> tuple[str, ...]:
        """The running services that a running service refers to."""
        return tuple(other for other in needs(self.forms[name], self.targets) if other in self.forms)


def texts(tree: Tree) -> tuple[str, ...]:
    """The items of a list; nothing of anything else."""
    return tuple(str(item) for item in tree) if isinstance(tree, list) else ()


def as_map(value: object) -> dict[str, object]:
    """The map form of what compose also takes as a list: `A=1` or a bare name."""
    if isinstance(value, Mapping):
        return dict(value)
    pairs = (str(item).partition("=") for item in value) if isinstance(value, list) else ()
    return {name: text if equals else None for name, equals, text in pairs}


# --- references: who names whom ---------------------------------------------------------------------------------


def soft(keys: Keys) -> Iterator[str]:
    """The services that depends_on and links of these keys name."""
    depends = keys.get("depends_on")
    if isinstance(depends, Mapping | list):
        yield from (str(name) for name in depends)
    yield from (link.partition(":")[0] for link in texts(keys.get("links")))


def hard(keys: Keys) -> Iterator[tuple[str, str]]:
    """(key, service) of every reference without which the service can not exist."""
    for item in texts(keys.get("volumes_from")):
        if not item.startswith("container:"):
            yield "volumes_from", item.partition(":")[0]
    for key in NAMESPACES:
        value = keys.get(key)
        if isinstance(value, str) and value.startswith("service:"):
            yield key, value.removeprefix("service:")
    build = keys.get("build")
    for context in as_map(build.get("additional_contexts")).values() if isinstance(build, Mapping) else ():
        if isinstance(context, str) and context.startswith("service:"):
            yield "build.additional_contexts", context.removeprefix("service:")


def needs(form: Form, targets: Mapping[str, str | None]) -> tuple[str, ...]:
    """Who answers to the names that the service refers to, itself apart."""
    found = {targets.get(name, name) for name in form.named}
    return tuple(sorted(name for name in found if name is not None and name != form.name))
