"""Modes, groups and profiles: which services run, and as what.

The rules, in one place:
* an option that is not selected is off: it leaves the model;
* who pointed at an alias, or at an option of a 1-of-N group that is off, points at the chosen one;
* soft references (depends_on, links) to an M-of-N option that is off are dropped, hard ones are mistakes;
* selected options, selected profiles and all that they depend on are active without `--profile`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

from hsm_tasks.core.model import Base, Frozen, Group, Keys, Mode, Service, Stack, Tree

Path = tuple[str | int, ...]
NAMESPACES = ("network_mode", "ipc", "pid")


class Finding(Frozen, frozen=True, kw_only=True):
    """A mistake that shows only beside the base: the key path in hsm.yaml, what is wrong, what would be right."""

    path: Path
    message: str
    hint: str = ""


class Form(Frozen, frozen=True, kw_only=True):
    """One service as it is to run.

    `mode` is "base" for a service that hsm.yaml does not name and "off" for an option that is not selected. `image`
    is the reference to pin, still with its ${VARIABLES}; None where there is nothing to pin. `active`: its profiles
    give way. `extra` are the keys that chosen options want their consumers to have.
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

    @property
    def section(self) -> Keys:
        """The compose keys that the present mode adds."""
        if self.service is None:
            return {}
        return {"dev": self.service.dev.keys, "prod": self.service.prod.keys}.get(self.mode, {})


class Chosen(Frozen, frozen=True, kw_only=True):
    """What runs. `targets` maps a name that is no running service to the one that answers for it, or None: nobody.

    `groups` maps each 1-of-N group, by its alias or else its name, to the chosen option. `oneshots` are services whose
    exit 0 is right.
    """

    forms: Mapping[str, Form]
    targets: Mapping[str, str | None]
    groups: Mapping[str, str]
    oneshots: frozenset[str]

    def stands_for(self, name: str) -> str | None:
        """The running service that answers to a service's name or to an alias."""
        if name in self.targets:
            return self.targets[name]
        return name if name in self.forms else None

    def needs(self, name: str) -> tuple[str, ...]:
        """The running services that a running service refers to."""
        return tuple(dict.fromkeys(other for other in _needs(self.forms[name], self.targets) if other in self.forms))


def choose(stack: Stack, base: Base) -> tuple[Chosen, tuple[Finding, ...]]:
    """The choice, and every mistake that shows only beside the base."""
    names = sorted({*base.services, *stack.services})
    targets = _targets(stack)
    profiles = _selected_profiles(stack)
    consumers = _consumers(stack)
    forms = {}
    for name in names:
        form = _form(name, stack, base, profiles)
        forms[name] = _with(form, extra=tuple(consumers.get(name, ()))) if form.mode != "off" else form
    forms = _activate(forms, targets)
    single = (group for group in stack.groups.values() if group.strategy == "1-of-N" and group.selection)
    groups = {group.alias or group.name: group.selection[0] for group in single}
    chosen = Chosen(forms=forms, targets=targets, groups=groups, oneshots=_oneshots(forms, targets))
    return chosen, tuple(_findings(stack, base, chosen))


def _with(form: Form, **changes: object) -> Form:
    fields = {name: getattr(form, name) for name in form.__struct_fields__}
    return Form(**(fields | changes))


def _targets(stack: Stack) -> dict[str, str | None]:
    targets: dict[str, str | None] = {}
    for group in stack.groups.values():
        if group.profiles:
            continue
        chosen = group.selection[0] if group.strategy == "1-of-N" and group.selection else None
        targets |= dict.fromkeys((name for name in group.names if name not in group.selection), chosen)
        if group.alias:
            targets[group.alias] = chosen
    return targets


def _selected_profiles(stack: Stack) -> frozenset[str]:
    groups = (group for group in stack.groups.values() if group.profiles)
    return frozenset(name for group in groups for name in group.selection)


def _consumers(stack: Stack) -> dict[str, list[Keys]]:
    found: dict[str, list[Keys]] = {}
    for group in stack.groups.values():
        for option in group.options:
            if option.name in group.selection:
                for name, keys in option.consumers.items():
                    found.setdefault(name, []).append(keys)
    return found


def _group_of(stack: Stack, name: str) -> Group | None:
    return next((group for group in stack.groups.values() if not group.profiles and name in group.names), None)


def _form(name: str, stack: Stack, base: Base, profiles: frozenset[str]) -> Form:
    service, below, group = stack.services.get(name), base.services.get(name), _group_of(stack, name)
    if group and name not in group.selection:
        return Form(name=name, mode="off", service=service, base=below, option=True)
    image, version = _image(service, below)
    alias = (group.alias,) if group and group.alias else ()
    return Form(
        name=name,
        mode=service.mode if service else "base",
        service=service,
        base=below,
        image=image,
        version=version,
        active=group is not None or not profiles.isdisjoint(_texts((below or {}).get("profiles"))),
        option=group is not None,
        aliases=alias,
    )


def _image(service: Service | None, below: Keys | None) -> tuple[str | None, str | None]:
    """The image to pin. A base service that builds keeps its image as the name of what it builds."""
    own = (below or {}).get("image")
    ready = own if isinstance(own, str) else None
    if service is None:
        return (None if below and "build" in below else ready), None
    if service.mode == "dev":
        return None, None
    return service.prod.image or ready, service.prod.version


def _texts(tree: Tree) -> tuple[str, ...]:
    return tuple(str(item) for item in tree) if isinstance(tree, list) else ()


# --- references -------------------------------------------------------------------------------------------------


def soft(keys: Keys) -> Iterator[str]:
    """The services that depends_on and links of these keys name."""
    depends = keys.get("depends_on")
    if isinstance(depends, Mapping | list):
        yield from (str(name) for name in depends)
    yield from (link.partition(":")[0] for link in _texts(keys.get("links")))


def hard(keys: Keys) -> Iterator[tuple[str, str]]:
    """(key, service) of every reference without which the service can not exist."""
    for item in _texts(keys.get("volumes_from")):
        if not item.startswith("container:"):
            yield "volumes_from", item.partition(":")[0]
    for key in NAMESPACES:
        value = keys.get(key)
        if isinstance(value, str) and value.startswith("service:"):
            yield key, value.removeprefix("service:")
    build = keys.get("build")
    contexts = build.get("additional_contexts") if isinstance(build, Mapping) else None
    for value in contexts.values() if isinstance(contexts, Mapping) else _texts(contexts):
        context = str(value).rpartition("=")[2]
        if context.startswith("service:"):
            yield "build.additional_contexts", context.removeprefix("service:")


def pieces(form: Form) -> tuple[Keys, ...]:
    """All the keys that make up a service, the base first. In prod nothing is built, so a build refers to nobody."""
    below = form.base or {}
    if form.mode == "prod":
        below = {key: value for key, value in below.items() if key not in ("build", "develop")}
    section = dict(form.section)
    if form.mode == "dev" and form.service and form.service.dev.build is not None:
        below = {key: value for key, value in below.items() if key != "build"}
        section["build"] = form.service.dev.build
    return (below, section, *form.extra)


def _needs(form: Form, targets: Mapping[str, str | None]) -> Iterator[str]:
    for keys in pieces(form):
        for name in (*soft(keys), *(name for _, name in hard(keys))):
            target = targets.get(name, name)
            if target is not None and target != form.name:
                yield target


def _activate(forms: Mapping[str, Form], targets: Mapping[str, str | None]) -> dict[str, Form]:
    """Selected profiles and options pull in what they depend on; services that were never active stay as they are."""
    done = {name for name, form in forms.items() if form.active and form.mode != "off"}
    waiting = sorted(done)
    while waiting:
        for name in _needs(forms[waiting.pop()], targets):
            if name in forms and name not in done and forms[name].mode != "off":
                done.add(name)
                waiting.append(name)
    return {name: _with(form, active=name in done) for name, form in forms.items()}


def _oneshots(forms: Mapping[str, Form], targets: Mapping[str, str | None]) -> frozenset[str]:
    found = {name for name, form in forms.items() if form.service and form.service.oneshot}
    for form in forms.values():
        for keys in pieces(form) if form.mode != "off" else ():
            depends = keys.get("depends_on")
            for name, how in depends.items() if isinstance(depends, Mapping) else ():
                if isinstance(how, Mapping) and how.get("condition") == "service_completed_successfully":
                    found.add(targets.get(name, name) or name)
    return frozenset(found)


# --- what is wrong ----------------------------------------------------------------------------------------------


def _findings(stack: Stack, base: Base, chosen: Chosen) -> Iterator[Finding]:
    for name, service in stack.services.items():
        yield from _service_findings(service, base.services.get(name))
    for group in stack.groups.values():
        yield from _group_findings(group, stack, base)
    for form in chosen.forms.values():
        if form.mode != "off":
            yield from _hard_findings(form, stack, chosen)
            yield from _alias_findings(form, stack)


def _service_findings(service: Service, below: Keys | None) -> Iterator[Finding]:
    at: Path = ("services", service.name)
    keys = below or {}
    sources = service.repository or service.dev.build is not None or "build" in keys
    if below is None and not sources and not service.prod.image:
        yield Finding(
            path=at,
            message=f'the compose files have no service "{service.name}"',
            hint="correct the name, or give the service a repo or a prod.image of its own",
        )
    elif service.mode == "dev" and not sources:
        yield Finding(
            path=(*at, "mode"),
            message="a service with neither repo nor build can only be prod",
            hint=f"add services.{service.name}.repo, or set its mode to prod",
        )
    elif service.mode == "prod" and not (service.prod.image or keys.get("image")):
        yield Finding(
            path=at,
            message="prod needs an image, and neither prod.image nor the compose files name one",
            hint=f"add services.{service.name}.prod.image, or `mode: dev` to build it",
        )


def _group_findings(group: Group, stack: Stack, base: Base) -> Iterator[Finding]:
    at: Path = ("groups", group.name)
    services = {*base.services, *stack.services}
    if group.profiles:
        known = {name for keys in base.services.values() for name in _texts(keys.get("profiles"))}
        word, where = "profile", "profiles"
    else:
        known, word, where = services, "service", "options"
    for option in group.options:
        if option.name not in known:
            names = ", ".join(sorted(known)) or "none"
            yield Finding(path=(*at, where, option.name), message=f'"{option.name}" is no {word} of this stack',
                          hint=f"there are: {names}")
        for consumer in option.consumers:
            if consumer not in services:
                yield Finding(path=(*at, where, option.name, "consumers", consumer),
                              message=f'"{consumer}" is no service of this stack')
    if group.alias in services:
        yield Finding(path=(*at, "alias"), message=f'"{group.alias}" is the name of a service',
                      hint="an alias has one owner: choose another alias, or rename the service")


def _hard_findings(form: Form, stack: Stack, chosen: Chosen) -> Iterator[Finding]:
    for keys in pieces(form):
        for key, name in hard(keys):
            if name in chosen.targets and chosen.targets[name] is None:
                group = _group_of(stack, name)
                where = ("groups", group.name, "selection") if group else ("groups",)
                yield Finding(
                    path=where,
                    message=f'"{form.name}" can not run without "{name}" ({key}), which is not selected',
                    hint=f"doit use:{name}",
                )


def _alias_findings(form: Form, stack: Stack) -> Iterator[Finding]:
    mode = next((keys["network_mode"] for keys in reversed(pieces(form)) if "network_mode" in keys), None)
    group = _group_of(stack, form.name)
    if form.aliases and group and isinstance(mode, str):
        yield Finding(
            path=("groups", group.name, "alias"),
            message=f'"{form.name}" has network_mode "{mode}", so it can not answer to "{group.alias}" on a network',
            hint="give the option networks of its own, or the group no alias",
        )


def missing(names: Iterable[str], chosen: Chosen) -> tuple[str, ...]:
    """Those of the names that no running service answers to."""
    return tuple(name for name in names if chosen.stands_for(name) is None)
