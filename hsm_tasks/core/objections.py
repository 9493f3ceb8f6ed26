"""The mistakes of hsm.yaml that show only beside the base: names that nobody has, services that can not run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from hsm_tasks.core.forms import NAMESPACES, Chosen, Form, hard, texts
from hsm_tasks.core.model import Base, Frozen, Group, Keys, Service, Stack

Path = tuple[str | int, ...]


class Finding(Frozen, frozen=True, kw_only=True):
    """A mistake: the key path in hsm.yaml, what is wrong, what would be right."""

    path: Path
    message: str
    hint: str = ""


def objections(stack: Stack, base: Base, chosen: Chosen) -> Iterator[Finding]:
    """All the mistakes that show beside the base."""
    for name, service in stack.services.items():
        yield from _of_service(service, base.services.get(name))
    known = _known_profiles(stack, base)
    services = frozenset({*base.services, *stack.services})
    for group in stack.groups.values():
        yield from _of_options(group, known if group.profiles else services, services)
        if group.alias in services:
            yield Finding(path=("groups", group.name, "alias"), message=f'"{group.alias}" is the name of a service',
                          hint="an alias has one owner: choose another alias, or rename the service")
    options = {name: group for group in stack.groups.values() if not group.profiles for name in group.names}
    for form in chosen.forms.values():
        if form.mode != "off":
            yield from _of_hard_references(form, options, chosen)
            yield from _of_alias(form, options)


def _of_service(service: Service, below: Keys | None) -> Iterator[Finding]:
    at: Path = ("services", service.name)
    keys = below or {}
    sources = service.repository or service.dev.build is not None or "build" in keys
    image = service.prod.image or keys.get("image")
    if below is None and not sources and not image:
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
    elif service.mode == "prod" and not image:
        yield Finding(
            path=at,
            message="prod needs an image, and neither prod.image nor the compose files name one",
            hint=f"add services.{service.name}.prod.image, or `mode: dev` to build it",
        )
    if service.prod.version and not service.prod.image and "@" in str(image):
        yield Finding(
            path=(*at, "prod", "version"),
            message=f"a version stands beside the digest in the image of the compose files ({image})",
            hint=f"leave the version out, or add services.{service.name}.prod.image without a digest",
        )


def _known_profiles(stack: Stack, base: Base) -> frozenset[str]:
    sections = [keys for service in stack.services.values() for keys in (service.dev.keys, service.prod.keys)]
    return frozenset(name for keys in (*base.services.values(), *sections) for name in texts(keys.get("profiles")))


def _of_options(group: Group, known: frozenset[str], services: frozenset[str]) -> Iterator[Finding]:
    word, where = ("profile", "profiles") if group.profiles else ("service", "options")
    for option in group.options:
        at: Path = ("groups", group.name, where, option.name)
        if option.name not in known:
            names = ", ".join(sorted(known)) or "none"
            yield Finding(path=at, message=f'"{option.name}" is no {word} of this stack', hint=f"there are: {names}")
        for consumer in option.consumers:
            if consumer not in services:
                yield Finding(path=(*at, "consumers", consumer), message=f'"{consumer}" is no service of this stack')


def _of_hard_references(form: Form, options: Mapping[str, Group], chosen: Chosen) -> Iterator[Finding]:
    for keys in form.pieces if form.named else ():
        for key, name in hard(keys):
            if name not in chosen.targets:
                continue
            target = chosen.targets[name]
            if target is None:
                yield Finding(
                    path=("groups", options[name].name, "selection"),
                    message=f'"{form.name}" can not run without "{name}" ({key}), which is not selected',
                    hint=f"`hsm use:{name}` selects it",
                )
            elif target == form.name and key in NAMESPACES:
                yield Finding(
                    path=("groups", options[target].name, "selection"),
                    message=f'"{form.name}" has {key} "service:{name}", for which it answers itself',
                    hint=f"take {key} out of one of the two, or select another option",
                )


def _of_alias(form: Form, options: Mapping[str, Group]) -> Iterator[Finding]:
    mode = form.network_mode
    if form.aliases and isinstance(mode, str):
        alias = form.aliases[0]
        yield Finding(
            path=("groups", options[form.name].name, "alias"),
            message=f'"{form.name}" has network_mode "{mode}", so it can not answer to "{alias}" on a network',
            hint="give the option networks of its own, or the group no alias",
        )
