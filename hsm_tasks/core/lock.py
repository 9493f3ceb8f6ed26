"""hsm.lock: what the references and refs of a stack mean, as text and as values.

    version: 1
    images:
      "registry.example/acme/api ^1.4": {tag: 1.5.0, digest: "sha256:…"}
    repositories:
      "https://git.example/acme/api.git main": {commit: "…"}

One line an entry, sorted, so that git merges two people's additions. Options of groups also have `healthcheck` and
`volumes`, where they are known from the image.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

import msgspec

from hsm_tasks.core.diagnose import diagnose
from hsm_tasks.core.errors import ConfigError, Problem
from hsm_tasks.core.model import Frozen, Pin
from hsm_tasks.core.places import Source, problem
from hsm_tasks.core.reference import DIGEST, TAG, ImageReference
from hsm_tasks.core.schema import Raw
from hsm_tasks.core.yamlread import Path
from hsm_tasks.core.yamltext import parse as parse_yaml
from hsm_tasks.core.yamltext import plain

VERSION: Final = 1
_COMMIT: Final = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
# Text to every reader of YAML, although it begins with a digit: the usual tag.
_PLAIN_VERSION: Final = re.compile(r"[0-9]+(\.[0-9]+){2,}(-[A-Za-z][A-Za-z0-9.]*)?")
_LONGEST_KEY: Final = 1000  # YAML wants "? " before longer ones
_VALUES: Final = frozenset({"tag", "digest", "commit"})
_DELETE: Final = "delete the entry: the next sync writes it anew"


class Lock(Frozen, frozen=True):
    """`images`: "REFERENCE RANGE" or "REFERENCE" → pin. `repositories`: "URL REF" → commit."""

    images: Mapping[str, Pin] = {}
    repositories: Mapping[str, str] = {}


class _Image(Raw):
    tag: str | None = None
    digest: str | None = None
    healthcheck: bool | None = None
    volumes: list[str] | None = None


class _Repository(Raw):
    commit: str | None = None


class _File(Raw):
    version: str | None = None
    images: dict[str, _Image] | None = None
    repositories: dict[str, _Repository] | None = None


@lru_cache(maxsize=8)  # it is read when the plan is made, and again to see whether `lock` would write anything
def parse(text: str, filename: str) -> Lock:
    """Raises ConfigError with all mistakes. An empty text is an empty lock."""
    tree: Any = parse_yaml(text, filename)
    if tree is None:
        return Lock()
    source = Source(filename, text)
    _check_version(tree, source)
    raw = _form(tree, source)
    problems = [
        problem([source], path, message, _DELETE, key=path[-1] not in _VALUES)
        for path, message in (*_wrong_images(raw.images or {}), *_wrong_commits(raw.repositories or {}))
    ]
    if problems:
        raise ConfigError(*problems)
    return Lock(
        images={key: _pin(key, image) for key, image in (raw.images or {}).items()},
        repositories={key: entry.commit or "" for key, entry in (raw.repositories or {}).items()},
    )


def dump(lock: Lock) -> str:
    """The one text of a lock."""
    lines = [f"version: {VERSION}"]
    for name, entries in (
        ("images", {key: _image_entry(pin) for key, pin in lock.images.items() if pin.digest}),
        ("repositories", {key: f"commit: {_quoted(commit)}" for key, commit in lock.repositories.items()}),
    ):
        lines.append(f"{name}:" if entries else f"{name}: {{}}")
        for key in sorted(entries):
            quoted = _quoted(key)
            before = f"  {quoted}:" if len(quoted) < _LONGEST_KEY else f"  ? {quoted}\n  :"
            lines.append(f"{before} {{{entries[key]}}}")
    return "\n".join(lines) + "\n"


def _check_version(tree: Any, source: Source) -> None:
    """Before anything else: a newer file may have another form."""
    version = tree.get("version") if isinstance(tree, Mapping) else None
    if version == str(VERSION):
        return
    if isinstance(version, str) and re.fullmatch(r"[0-9]+", version):
        message = f"the file was written by a newer hsm (version {version}, this one knows {VERSION})"
        raise ConfigError(problem([source], ("version",), message, "update hsm"))
    raise ConfigError(problem([source], ("version",), f'a lock begins with "version: {VERSION}"'))


def _form(tree: Any, source: Source) -> _File:
    try:
        return msgspec.convert(tree, _File, strict=False)
    except msgspec.ValidationError as error:
        found = diagnose(tree, _File)
        problems = [problem([source], at.path, at.message, at.hint, key=at.unknown_key) for at in found]
        raise ConfigError(*(problems or [Problem(source.filename, 1, 1, "", str(error))])) from None


def _wrong_images(images: Mapping[str, _Image]) -> list[tuple[Path, str]]:
    wrong: list[tuple[Path, str]] = []
    for key, image in images.items():
        path = ("images", key)
        try:
            ImageReference.parse(key.partition(" ")[0])
        except ValueError as error:
            wrong.append((path, str(error)))
        if image.digest is None or not DIGEST.fullmatch(image.digest):
            wrong.append(((*path, "digest"), "a digest is sha256: and 64 hexadecimal digits in lower case"))
        if image.tag is not None and not TAG.fullmatch(image.tag):
            wrong.append(((*path, "tag"), f'"{image.tag}" is not a tag'))
    return wrong


def _wrong_commits(repositories: Mapping[str, _Repository]) -> list[tuple[Path, str]]:
    return [
        (("repositories", key, "commit"), "a commit is 40 or 64 hexadecimal digits in lower case")
        for key, entry in repositories.items()
        if entry.commit is None or not _COMMIT.fullmatch(entry.commit)
    ]


def _pin(key: str, image: _Image) -> Pin:
    name = ImageReference.parse(key.partition(" ")[0]).name
    assert image.digest is not None  # looked at before
    return Pin(
        image=str(ImageReference(name, image.tag, image.digest)),
        tag=image.tag,
        digest=image.digest,
        healthcheck=image.healthcheck,
        volumes=None if image.volumes is None else tuple(image.volumes),
    )


def _image_entry(pin: Pin) -> str:
    parts = [] if pin.tag is None else [f"tag: {_tag(pin.tag)}"]
    parts.append(f"digest: {_quoted(pin.digest or '')}")
    if pin.healthcheck is not None:
        parts.append(f"healthcheck: {'true' if pin.healthcheck else 'false'}")
    if pin.volumes is not None:
        parts.append(f"volumes: [{', '.join(map(_quoted, sorted(pin.volumes)))}]")
    return ", ".join(parts)


def _tag(tag: str) -> str:
    return tag if plain(tag) or _PLAIN_VERSION.fullmatch(tag) else _quoted(tag)


def _quoted(text: str) -> str:
    quoted = json.dumps(text, ensure_ascii=False)
    if quoted.isprintable():
        return quoted
    return "".join(char if char.isprintable() else f"\\U{ord(char):08X}" for char in quoted)
