"""Modes, groups and profiles: which services run, and as what.

The rules, in one place:
* an option that is not selected is off: it leaves the model;
* who pointed at an alias, or at an option of a 1-of-N group that is off, points at the chosen one;
* soft references (depends_on, links) to an M-of-N option that is off are dropped, hard ones are mistakes;
* selected options, selected profiles and all that they depend on are active without `--profile`.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from hsm_tasks.core.forms import Chosen, Form, needs
from hsm_tasks.core.model import Base, Group, Keys, Service, Stack
from hsm_tasks.core.objections import Finding, objections

__all__ = ["Chosen", "Finding", "Form", "choose"]


def choose(stack: Stack, base: Base) -> tuple[Chosen, tuple[Finding, ...]]:
    """The choice, and every mistake that shows only beside the base."""
    targets, consumers = _targets(stack), _consumers(stack)
    selected = frozenset(name for group in stack.groups.values() if group.profiles for name in group.selection)
    forms = {}
    for name in sorted({*base.services, *stack.services}):
        form = _form(stack.services.get(name), base.services.get(name), _group_of(stack, name), name)
        if form.mode != "off":
            form = replace(form, extra=tuple(consumers.get(name, ())))
        forms[name] = replace(form, active=form.option or not selected.isdisjoint(form.profiles))
    forms = _activate(forms, targets)
    single = (group for group in stack.groups.values() if group.strategy == "1-of-N" and not group.profiles)
    groups = {group.alias or group.name: group.selection[0] for group in single}
    chosen = Chosen(forms=forms, targets=targets, groups=groups, oneshots=_oneshots(forms, targets))
    return chosen, tuple(objections(stack, base, chosen))


def _targets(stack: Stack) -> dict[str, str | None]:
    targets: dict[str, str | None] = {}
    for group in stack.groups.values():
        if group.profiles:
            continue
        chosen = group.selection[0] if group.strategy == "1-of-N" else None
        targets |= dict.fromkeys((name for name in group.names if name not in group.selection), chosen)
        if group.alias:
            targets[group.alias] = chosen
    return targets


def _consumers(stack: Stack) -> dict[str, list[Keys]]:
    """service → what the chosen options want it to have, in an order that does not depend on that of hsm.yaml."""
    found: dict[str, list[Keys]] = {}
    for _, group in sorted(stack.groups.items()):
        for option in sorted(group.options, key=lambda option: option.name):
            if option.name in group.selection:
                for name, keys in option.consumers.items():
                    found.setdefault(name, []).append(keys)
    return found


def _group_of(stack: Stack, name: str) -> Group | None:
    return next((group for group in stack.groups.values() if not group.profiles and name in group.names), None)


def _form(service: Service | None, below: Keys | None, group: Group | None, name: str) -> Form:
    if group and name not in group.selection:
        return Form(name=name, mode="off", service=service, base=below, option=True)
    image, version = _image(service, below)
    return Form(
        name=name,
        mode=service.mode if service else "base",
        service=service,
        base=below,
        image=image,
        version=version,
        option=group is not None,
        aliases=(group.alias,) if group and group.alias else (),
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


def _activate(forms: Mapping[str, Form], targets: Mapping[str, str | None]) -> dict[str, Form]:
    """Selected profiles and options pull in what they depend on; services that were never active stay as they are."""
    done = {name for name, form in forms.items() if form.active and form.mode != "off"}
    waiting = sorted(done)
    while waiting:
        for name in needs(forms[waiting.pop()], targets):
            if name in forms and name not in done:
                done.add(name)
                waiting.append(name)
    return {name: replace(form, active=name in done) for name, form in forms.items()}


def _oneshots(forms: Mapping[str, Form], targets: Mapping[str, str | None]) -> frozenset[str]:
    found = {name for name, form in forms.items() if form.service and form.service.oneshot}
    for form in forms.values():
        for keys in form.pieces if form.mode != "off" else ():
            depends = keys.get("depends_on")
            for name, how in depends.items() if isinstance(depends, Mapping) else ():
                if isinstance(how, Mapping) and how.get("condition") == "service_completed_successfully":
                    found.add(targets.get(name, name) or name)
    return frozenset(found)
