"""The texts of hsm.yaml, of the files that it includes and of hsm.local.yaml to a Stack, or every mistake in them.

each file: text → tree → its form is checked → relative urls are seen from the main hsm.yaml
then:      merged, later over earlier → hsm.local.yaml over it → checked for sense → defaults under services → Stack
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from hsm_tasks.core import giturl, scalars
from hsm_tasks.core.check import check, options, same_url, selection
from hsm_tasks.core.diagnose import did_you_mean
from hsm_tasks.core.errors import Problem
from hsm_tasks.core.findings import Findings
from hsm_tasks.core.layers import append, overlay
from hsm_tasks.core.model import Dev, Group, Keys, Limits, Option, Prod, Repository, Service, Stack
from hsm_tasks.core.places import Source, locate, problem
from hsm_tasks.core.reference import ImageReference
from hsm_tasks.core.schema import (
    DevKeys,
    LocalFile,
    ProdKeys,
    Raw,
    RawGroup,
    RawLimits,
    RawRepository,
    RawService,
    StackFile,
)
from hsm_tasks.core.yamltext import read

__all__ = ["Source", "includes", "load", "locate", "malformed", "problem"]

_Map = Mapping[str, Any]
_Own = TypeVar("_Own", bound=Raw)


def includes(text: str, filename: str) -> tuple[str, ...]:
    """What a file includes, as written. Raises ConfigError only if the text is not YAML; `load` tells the rest."""
    tree, _ = read(text, filename)
    named = tree.get("include") if isinstance(tree, Mapping) else None
    return tuple(name for name in named if isinstance(name, str) and name) if isinstance(named, list) else ()


def malformed(sources: Sequence[Source], local: Source | None = None) -> tuple[Problem, ...]:
    """What is wrong with each file by itself: all that can be told where one that it includes is missing."""
    findings = Findings((*sources, local) if local else sources)
    for source in sources:
        findings.form(source, StackFile)
    if local:
        findings.form(local, LocalFile)
    return tuple(findings.problems)


def load(sources: Sequence[Source], local: Source | None = None, schema: scalars.Schema | None = None) -> Stack:
    """`sources`: included files first, the main hsm.yaml last. With `schema` compose's own keys are checked as well.

    Raises ConfigError with all mistakes of all files.
    """
    findings = Findings((*sources, local) if local else sources)
    whole: dict[str, Any] = {}
    for source in sources:
        whole = overlay(whole, _seen_from_main(findings.form(source, StackFile), source.folder))
    mine = findings.form(local, LocalFile) if local else {}
    if not findings.readable:
        findings.stop()
    named = frozenset(whole.get("services") or ())
    _check_local_groups(whole, mine, findings)
    paths = _own_checkouts(whole, mine, findings)
    whole = overlay(_without_old_versions(whole, mine), _without_paths(mine))
    raw = msgspec.convert(whole, StackFile, strict=False)
    check(raw, findings, named, paths)
    if schema:
        _check_compose_keys(whole, schema, findings)
    findings.stop()
    return _stack(raw, _with_defaults(whole, named), whole.get("groups") or {}, paths)


def _seen_from_main(tree: _Map, folder: str) -> _Map:
    """Relative urls of an included file, relative to the folder of the main one."""
    if folder == ".":
        return tree
    moved = {}
    for name, service in (tree.get("services") or {}).items():
        url = ((service or {}).get("repo") or {}).get("url")
        if url and giturl.is_relative(url):
            path = posixpath.normpath(posixpath.join(folder, url))
            moved[name] = {"repo": {"url": path if path.startswith("../") else f"./{path}"}}
    return overlay(tree, {"services": moved}) if moved else tree


# ---------------------------------------------------------------------------------------------------- hsm.local.yaml


def _services(tree: _Map) -> dict[str, _Map]:
    return {name: service or {} for name, service in (tree.get("services") or {}).items()}


def _check_local_groups(whole: _Map, mine: _Map, findings: Findings) -> None:
    known = whole.get("groups") or {}
    for name in mine.get("groups") or ():
        if name not in known:
            way_out = did_you_mean(name, known) or "take it out of hsm.local.yaml, where a switch may have put it"
            findings.add(("groups", name), "hsm.yaml has no such group", way_out, key=True)
            findings.spoil(("groups", name))


def _own_checkouts(whole: _Map, mine: _Map, findings: Findings) -> dict[str, str]:
    """Service → the person's own checkout."""
    found = {}
    there = _services(whole)
    for name, service in _services(mine).items():
        repo = service.get("repo") or {}
        if repo and not there.get(name, {}).get("repo"):
            near = did_you_mean(name, there) if name not in there else ""
            findings.add(("services", name, "repo"), "hsm.yaml names no repository for this service", near, key=True)
            findings.spoil(("services", name, "repo"))
        if repo.get("path") is not None:
            found[name] = repo["path"]
            if not repo["path"]:
                findings.add(("services", name, "repo", "path"), "the path is empty")
    return found


def _without_paths(mine: _Map) -> _Map:
    services = {
        name: {**service, "repo": {key: value for key, value in service["repo"].items() if key != "path"}}
        if service.get("repo")
        else service
        for name, service in _services(mine).items()
    }
    groups = mine.get("groups")
    return {key: value for key, value in {**mine, "services": services, "groups": groups}.items() if value is not None}


def _without_old_versions(whole: _Map, mine: _Map) -> _Map:
    """My own image with a tag takes the place of image and version together."""
    dropped = {
        name: {"prod": {"version": None}}
        for name, service in _services(mine).items()
        if (prod := service.get("prod")) and "version" not in prod and _is_exact(prod.get("image"))
    }
    return overlay(whole, {"services": dropped}) if dropped else whole


def _is_exact(image: str | None) -> bool:
    try:
        reference = ImageReference.parse(image or "")
    except ValueError:
        return False
    return bool(reference.tag or reference.digest)


# ------------------------------------------------------------------------------------------------------ compose's keys


def _check_compose_keys(whole: _Map, schema: scalars.Schema, findings: Findings) -> None:
    sections: list[tuple[tuple[str, ...], Any]] = [
        (("defaults", mode), (whole.get("defaults") or {}).get(mode)) for mode in ("dev", "prod")
    ]
    for name, service in _services(whole).items():
        sections += [(("services", name, mode), service.get(mode)) for mode in ("dev", "prod")]
    for name, group in (whole.get("groups") or {}).items():
        choices = (group or {}).get("options")
        for option, said in (choices if isinstance(choices, Mapping) else {}).items():
            for consumer, keys in ((said or {}).get("consumers") or {}).items():
                sections.append((("groups", name, "options", option, "consumers", consumer), keys))
    for path, keys in sections:
        for below, message in scalars.check(_as_compose(keys or {}), schema):
            said, _, meant = message.partition(" (did you mean ")
            hint = f"did you mean {meant.removesuffix(')')}" if meant else ""
            findings.add((*path, *(below[1:] if below[0] == "develop" and "watch" in keys else below)), said, hint)


def _as_compose(keys: _Map) -> Keys:
    """`watch` of hsm.yaml is `develop.watch` of compose."""
    return {**keys, "develop": {"watch": keys["watch"]}} if "watch" in keys else keys


# ------------------------------------------------------------------------------------------------------------- values


def _with_defaults(whole: _Map, named: frozenset[str]) -> dict[str, _Map]:
    """Every service with the defaults under its dev and prod, where hsm.yaml itself names it."""
    defaults = {mode: keys for mode, keys in (whole.get("defaults") or {}).items() if keys}
    return {
        name: {**service, **{mode: append(keys, service.get(mode)) for mode, keys in defaults.items()}}
        if name in named
        else service
        for name, service in _services(whole).items()
    }


def _stack(raw: StackFile, trees: Mapping[str, _Map], groups: _Map, paths: Mapping[str, str]) -> Stack:
    spelled = _spellings(raw)
    services = {}
    for name, said in (raw.services or {}).items():
        service = said or RawService()
        repository = _repository(service.repo, spelled, paths.get(name)) if service.repo else None
        services[name] = Service(
            name=name,
            mode=service.mode or raw.mode or "prod",
            repository=repository,
            dev=_dev(trees[name].get("dev") or {}),
            prod=_prod(trees[name].get("prod") or {}),
            oneshot=bool(service.oneshot),
        )
    return Stack(
        name=raw.name,
        compose=(raw.compose,) if isinstance(raw.compose, str) else tuple(raw.compose) if raw.compose else None,
        compose_is_list=isinstance(raw.compose, list),
        services=services,
        groups={
            name: _group(name, said or RawGroup(), groups[name] or {}) for name, said in (raw.groups or {}).items()
        },
        allowed=tuple(raw.bundle.allow or ()) if raw.bundle else (),
        targets=raw.targets or {},
    )


def _spellings(raw: StackFile) -> dict[str, str]:
    """One way to write each url, so that services which mean the same repository also say the same."""
    urls = {service.repo.url for service in (raw.services or {}).values() if service and service.repo}
    spelled: dict[str, str] = {}
    for url in sorted(url for url in urls if url is not None):
        spelled.setdefault(same_url(url), url)
    return spelled


def _repository(raw: RawRepository, spelled: Mapping[str, str], path: str | None) -> Repository:
    assert raw.url is not None  # `check` has seen to it
    return Repository(
        url=spelled[same_url(raw.url)],
        name=raw.name or giturl.default_name(raw.url),
        ref=raw.ref or "HEAD",
        submodules=bool(raw.submodules),
        path=path,
    )


def _split(tree: _Map, own: type[_Own]) -> tuple[_Own, dict[str, Any]]:
    """The keys that hsm reads itself, and compose's."""
    names = own.__struct_fields__
    known = msgspec.convert({key: tree[key] for key in names if key in tree}, own, strict=False)
    return known, {key: value for key, value in tree.items() if key not in names}


def _dev(tree: _Map) -> Dev:
    raw, keys = _split(tree, DevKeys)
    return Dev(
        build={"context": raw.build} if isinstance(raw.build, str) else raw.build,
        volumes=tuple(raw.volumes or ()),
        watch=tuple(raw.watch or ()),
        rebuild=None if raw.rebuild is None else tuple(raw.rebuild),
        keys=keys,
    )


def _prod(tree: _Map) -> Prod:
    raw, keys = _split(tree, ProdKeys)
    limits = raw.limits or RawLimits()
    return Prod(
        image=raw.image,
        version=raw.version,
        limits=Limits(memory=limits.memory, cpus=limits.cpus, pids=_number(limits.pids)),
        replicas=_number(raw.replicas),
        keys=keys,
    )


def _number(text: str | None) -> int | str | None:
    """`check` has seen to it that it is a number, or has a variable in it."""
    return text if text is None or "$" in text else int(text)


def _group(name: str, raw: RawGroup, tree: _Map) -> Group:
    assert raw.strategy is not None  # `check` has seen to it
    said = tree["options"] if isinstance(tree.get("options"), Mapping) else {}
    names, selected = list(options(raw)), selection(raw)
    return Group(
        name=name,
        strategy=raw.strategy,
        options=tuple(Option(name=option, consumers=_consumers(said.get(option))) for option in names),
        selection=tuple(
            option for option in names if option in selected
        ),  # the order in which it was written means nothing
        alias=raw.alias,
        profiles=raw.profiles is not None,
    )


def _consumers(option: _Map | None) -> dict[str, Keys]:
    return {service: keys or {} for service, keys in ((option or {}).get("consumers") or {}).items()}
