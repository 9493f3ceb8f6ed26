"""Whether what stands in hsm.yaml makes sense by itself, without the base: names, urls, images, groups."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Final

from hsm_tasks.core import giturl, tags
from hsm_tasks.core.diagnose import did_you_mean
from hsm_tasks.core.findings import Findings
from hsm_tasks.core.model import FOLDER_NAME, FOLDER_NAME_RULE, TARGET_KEYS
from hsm_tasks.core.reference import ImageReference
from hsm_tasks.core.schema import ProdKeys, RawGroup, RawLimits, RawOption, RawRepository, StackFile
from hsm_tasks.core.yamlread import Path

_NAME: Final = re.compile(r"[a-zA-Z0-9._][a-zA-Z0-9._-]*")
_PROJECT: Final = re.compile(r"[a-z0-9][a-z0-9_-]*")
_FOLDER: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]*")
_MEMORY: Final = re.compile(r"[0-9]+(\.[0-9]+)? ?([bkmgtp]|[kmgtp]i?b)?", re.IGNORECASE)
_COUNT: Final = re.compile(r"0|[1-9][0-9]{0,17}")
_CPUS: Final = re.compile(r"[0-9]*\.?[0-9]+")
_NAME_RULE: Final = 'letters, digits, ".", "_" and "-", the first no "-"'


def check(raw: StackFile, findings: Findings, named: Collection[str], own_checkouts: Collection[str]) -> None:
    """`raw` has all files merged, defaults not yet under the services; they are for those that hsm.yaml itself `named`.

    `own_checkouts` are services whose sources do not lie among the shared ones.
    """
    _check_top(raw, findings)
    services = raw.services or {}
    default = raw.defaults.prod if raw.defaults else None
    _check_prod(("defaults", "prod"), default, None, findings)
    for name, service in services.items():
        _check_name(("services", name), name, "service", findings)
        if service and service.repo:
            _check_repository(("services", name, "repo"), service.repo, findings)
        under = default if name in named else None
        _check_prod(("services", name, "prod"), service.prod if service else None, under, findings)
    _check_shared_names(raw, own_checkouts, findings)
    for name, group in (raw.groups or {}).items():
        _check_name(("groups", name), name, "group", findings)
        _check_group(("groups", name), group or RawGroup(), findings)
    _check_owners(raw, findings)
    for name, target in (raw.targets or {}).items():
        if not FOLDER_NAME.fullmatch(name):
            findings.add(("targets", name), f'"{name}" is not a name for a target', FOLDER_NAME_RULE, key=True)
        for key in sorted(set(target) - set(TARGET_KEYS)):
            near = did_you_mean(key, TARGET_KEYS) or f"known here: {', '.join(TARGET_KEYS)}"
            findings.add(("targets", name, key), "unknown key", near, key=True)


def _check_top(raw: StackFile, findings: Findings) -> None:
    if raw.name is not None and not _PROJECT.fullmatch(raw.name):
        rule = 'lower case letters, digits, "_" and "-", the first a letter or a digit'
        findings.add(("name",), f'"{raw.name}" is not a name for a compose project ({rule})')
    if raw.compose is not None and not all(raw.compose or [""]):
        findings.add(("compose",), "names no file", "leave the key out for what compose itself would take")
    if not all(raw.include or ()):
        findings.add(("include",), "names no file")
    for number, path in enumerate((raw.bundle.allow if raw.bundle else None) or ()):
        if not path.startswith(("/", "~/")) or path == "/":
            hint = "paths of the stack itself travel with a bundle, so they need no leave"
            findings.add(("bundle", "allow", str(number)), f'"{path}" is not an absolute path of the host', hint)


def _check_name(path: Path, name: str, noun: str, findings: Findings) -> None:
    if not _NAME.fullmatch(name):
        findings.add(path, f'"{name}" is not a name for a {noun} ({_NAME_RULE})', key=True)


# ----------------------------------------------------------------------------------------------------- repositories


def _check_repository(path: Path, repo: RawRepository, findings: Findings) -> None:
    if repo.url is None:
        findings.add((*path, "url"), "the url of the repository is missing")
    elif wrong := giturl.check_url(repo.url):
        message, _, hint = wrong.partition(": ")
        findings.add((*path, "url"), message, hint)
    elif repo.name is None and not _FOLDER.fullmatch(giturl.default_name(repo.url)):
        findings.add((*path, "url"), "no name for a folder can be taken from the url", "set repo.name")
    if repo.ref is not None and (wrong := giturl.check_ref(repo.ref)):
        findings.add((*path, "ref"), wrong)
    if repo.name is not None and not _FOLDER.fullmatch(repo.name):
        rule = 'letters, digits, ".", "_", "+" and "-", the first a letter, a digit or "_"'
        findings.add((*path, "name"), f'"{repo.name}" is not a name for a folder ({rule})')


def same_url(url: str) -> str:
    """Equal for urls that mean the same: two ways to write one relative path."""
    return posixpath.normpath(url) if giturl.is_relative(url) else url


def _check_shared_names(raw: StackFile, apart: Collection[str], findings: Findings) -> None:
    first: dict[str, tuple[str, tuple[str, str]]] = {}
    for name, service in sorted((raw.services or {}).items()):
        repo = service.repo if service else None
        if repo is None or name in apart or repo.url is None or giturl.check_url(repo.url):
            continue
        folder = repo.name or giturl.default_name(repo.url)
        wanted = (same_url(repo.url), repo.ref or "HEAD")
        other, taken = first.setdefault(folder, (name, wanted))
        if taken != wanted:
            what = "another url" if taken[0] != wanted[0] else f'another ref ("{taken[1]}")'
            message = f'the checkout "{folder}" is also that of service "{other}", with {what}'
            hint = f"set repo.name of one of them, or the same url and ref for {name} and {other}"
            findings.add(("services", name, "repo"), message, hint)


# ------------------------------------------------------------------------------------------------------------ images


def _check_prod(path: Path, prod: ProdKeys | None, under: ProdKeys | None, findings: Findings) -> None:
    """`under` are the defaults, which complete `prod` but are checked by themselves."""
    prod = prod or ProdKeys()
    reference = _reference((*path, "image"), prod.image, findings)
    if reference is None and prod.image is None and under and under.image:
        reference = _parse(under.image)
    if prod.version is not None and (wrong := tags.check_range(prod.version)):
        findings.add((*path, "version"), wrong)
    version = prod.version if prod.version is not None else under.version if under else None
    if version is not None and reference and (reference.tag or reference.digest):
        what = f'the digest "{reference.digest}"' if reference.digest else f'the tag "{reference.tag}"'
        hint = "keep one of the two: a version is a range over the tags of the image"
        findings.add((*path, "version"), f'"{version}" stands beside {what} in the image', hint)
    _check_limits((*path, "limits"), prod.limits or RawLimits(), findings)
    if prod.replicas is not None and "$" not in prod.replicas and not _COUNT.fullmatch(prod.replicas):
        findings.add((*path, "replicas"), f'"{prod.replicas}" is not a number of containers (0 or more)')


def _reference(path: Path, image: str | None, findings: Findings) -> ImageReference | None:
    if image is None or "$" in image:
        return None
    try:
        return ImageReference.parse(image)
    except ValueError as error:
        findings.add(path, str(error))
        return None


def _parse(image: str) -> ImageReference | None:
    try:
        return ImageReference.parse(image)
    except ValueError:
        return None


def _check_limits(path: Path, limits: RawLimits, findings: Findings) -> None:
    if limits.memory is not None and "$" not in limits.memory and not _MEMORY.fullmatch(limits.memory):
        findings.add((*path, "memory"), f'"{limits.memory}" is not an amount of memory', "write it like 256M or 1.5G")
    if limits.cpus is not None and "$" not in limits.cpus and not _CPUS.fullmatch(limits.cpus):
        findings.add((*path, "cpus"), f'"{limits.cpus}" is not a number of processors', 'write it like "0.50"')
    pids = limits.pids
    if pids is not None and "$" not in pids and pids != "-1" and not (_COUNT.fullmatch(pids) and pids != "0"):
        findings.add((*path, "pids"), f'"{pids}" is not a number of processes (1 or more, -1 for no limit)')


# ------------------------------------------------------------------------------------------------------------ groups


def options(group: RawGroup) -> dict[str, RawOption]:
    """The options of a group by name, whatever form they were written in."""
    if group.profiles is not None:
        return {name: RawOption() for name in group.profiles}
    if isinstance(group.options, Mapping):
        return {name: option or RawOption() for name, option in group.options.items()}
    return {name: RawOption() for name in group.options or ()}


def selection(group: RawGroup) -> list[str]:
    """What is selected, in the order that it was written."""
    return [group.selection] if isinstance(group.selection, str) else group.selection or []


def _check_group(path: Path, group: RawGroup, findings: Findings) -> None:
    key = "options" if group.profiles is None else "profiles"
    if group.strategy is None:
        findings.add((*path, "strategy"), "the strategy is missing (1-of-N or M-of-N)")
    if group.options is not None and group.profiles is not None:
        findings.add((*path, "profiles"), "a group has either options or profiles", "make two groups of it")
    if not options(group) and not findings.broken((*path, "profiles")):
        findings.add((*path, key), f"there are no {key} to choose from")
    for name in _repeated(group.options if isinstance(group.options, list) else group.profiles or []):
        findings.add((*path, key), f'"{name}" stands there twice')
    for name in options(group):
        if not _NAME.fullmatch(name):
            findings.add((*path, key), f'"{name}" is not a name for an option ({_NAME_RULE})')
    _check_selection(path, group, findings)
    _check_alias((*path, "alias"), group, findings)


def _check_selection(path: Path, group: RawGroup, findings: Findings) -> None:
    if findings.broken((*path, "options")) or findings.broken((*path, "profiles")):
        return
    known, selected = options(group), selection(group)
    for name in selected:
        if name not in known:
            hint = did_you_mean(name, known) or f"the options are {', '.join(known)}"
            findings.add((*path, "selection"), f'"{name}" is not an option of this group', hint if known else "")
    for name in _repeated(selected):
        findings.add((*path, "selection"), f'"{name}" stands there twice')
    if group.strategy == "1-of-N" and len(selected) != 1:
        has = f"{len(selected)} are selected" if selected else "none is selected"
        findings.add((*path, "selection"), f"exactly one option is needed, {has}", f"choose from {', '.join(known)}")


def _check_alias(path: Path, group: RawGroup, findings: Findings) -> None:
    if group.alias is None:
        return
    if not _NAME.fullmatch(group.alias):
        findings.add(path, f'"{group.alias}" is not a name that services can be reached by ({_NAME_RULE})')
    if group.strategy == "M-of-N":
        findings.add(path, "an alias needs the strategy 1-of-N: only one service can answer to it")
    elif group.profiles is not None:
        findings.add(path, "an alias needs options that are services, not profiles")


def _check_owners(raw: StackFile, findings: Findings) -> None:
    """An option belongs to one group, an alias too, and no service has the name of an alias."""
    groups = {name: group or RawGroup() for name, group in (raw.groups or {}).items()}
    owners: dict[str, str] = {}
    for name, group in groups.items():
        for option in options(group):
            if owners.setdefault(option, name) != name:
                path = ("groups", name, "options" if group.profiles is None else "profiles")
                findings.add(path, f'"{option}" belongs to the group "{owners[option]}" already')
    services = {*(raw.services or ()), *_service_options(groups.values())}
    aliases: dict[str, str] = {}
    for name, group in groups.items():
        if group.alias is None:
            continue
        path = ("groups", name, "alias")
        if group.alias in services:
            findings.add(
                path, f'"{group.alias}" is the name of a service', "a name has one owner: choose another alias"
            )
        elif aliases.setdefault(group.alias, name) != name:
            findings.add(path, f'"{group.alias}" is the alias of the group "{aliases[group.alias]}" already')


def _service_options(groups: Iterable[RawGroup]) -> Iterator[str]:
    for group in groups:
        if group.profiles is None:
            yield from options(group)


def _repeated(names: Iterable[str]) -> list[str]:
    seen: set[str] = set()
    repeated = []
    for name in names:
        if name in seen:
            repeated.append(name)
        seen.add(name)
    return sorted(set(repeated))
