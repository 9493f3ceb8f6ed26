"""Image references: `name[:tag][@digest]`, by the grammar of distribution/reference (docker's own).

Where docker fills in what is missing (docker.io, library/, latest), the properties do so too; the text that the user
wrote is kept beside it, because that is what goes into hsm.lock and into the override.
"""

from __future__ import annotations

import re

import msgspec

HUB = "docker.io"
TAG = re.compile(r"\w[\w.-]{0,127}", re.ASCII)
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
LONGEST_NAME = 255  # as in distribution/reference, the host included

_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_HOST = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-fA-F:]+\])(?::[0-9]{{1,5}})?")
_COMPONENT = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*")
_IMAGE_ID = re.compile(r"[0-9a-f]{64}")
_BEFORE_TAG = re.compile(r"(.*?)(?::([^/:]*))?", re.DOTALL)


class ImageReference(msgspec.Struct, frozen=True):
    """`name` is as written, with the host if it was written; `tag` and `digest` are None where they were not."""

    name: str
    tag: str | None = None
    digest: str | None = None

    @classmethod
    def parse(cls, text: str) -> ImageReference:
        """Raises ValueError with a sentence that says what is wrong with the text."""
        _check_characters(text)
        rest, at, digest = text.partition("@")
        if at and not DIGEST.fullmatch(digest):
            raise ValueError(f'the digest "{digest}" is not sha256: and 64 hexadecimal digits in lower case')
        name, tag = _split_tag(rest)
        if tag == "":
            raise ValueError("the tag is empty: nothing stands behind the colon")
        if tag is not None and not TAG.fullmatch(tag):
            raise ValueError(
                f'the tag "{tag}" is not a tag: up to 128 letters, digits, "_", "." and "-", the first no "." or "-"'
            )
        _check_name(name)
        return cls(name, tag, digest or None)

    @property
    def host(self) -> str:
        """The registry, as docker names it; "docker.io" where the name has none."""
        first, _ = _split_host(self.name)
        return HUB if first in ("", "index.docker.io") else first

    @property
    def repository(self) -> str:
        """What the registry calls it: `library/postgres` for an official image of Docker Hub."""
        _, path = _split_host(self.name)
        return f"library/{path}" if self.host == HUB and "/" not in path else path

    @property
    def tagged(self) -> str:
        """The tag that docker would take."""
        return self.tag or "latest"

    def pinned(self, tag: str, digest: str) -> str:
        """What goes into the override: the tag is for people, the digest is what the engine goes by."""
        return f"{self.name}:{tag}@{digest}"

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag is not None else ""
        return f"{self.name}{tag}@{self.digest}" if self.digest else f"{self.name}{tag}"


def _check_characters(text: str) -> None:
    if not text:
        raise ValueError("the image reference is empty")
    if len(text) > LONGEST_NAME + 1 + 128 + 1 + 71:
        raise ValueError(f"the image reference is too long ({len(text)} characters)")
    if not text.isprintable():
        raise ValueError("the image reference has a control character or a line break in it")
    if " " in text:
        raise ValueError(f'the image reference "{text}" has a space in it')
    if "://" in text:
        raise ValueError(f'the image reference "{text}" is a url: leave out what stands before the host')


def _split_tag(text: str) -> tuple[str, str | None]:
    """A colon before the last slash belongs to a host with a port, and so does none at all."""
    match = _BEFORE_TAG.fullmatch(text)
    assert match
    return match[1], match[2]


def _split_host(name: str) -> tuple[str, str]:
    first, slash, path = name.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return first, path
    return "", name


def _check_name(name: str) -> None:
    host, path = _split_host(name)
    if not name:
        raise ValueError("the image reference has no name before its tag or digest")
    if len(name) > LONGEST_NAME:
        raise ValueError(f"the image name is too long ({len(name)} characters, at most {LONGEST_NAME})")
    if host and not _HOST.fullmatch(host):
        raise ValueError(f'the registry "{host}" in the image name is not a host or host:port')
    if _IMAGE_ID.fullmatch(name):
        raise ValueError(f'"{name}" is the id of an image, not its name')
    for component in path.split("/"):
        _check_component(component, name)


def _check_component(component: str, name: str) -> None:
    if _COMPONENT.fullmatch(component):
        return
    if not component:
        raise ValueError(f'the image name "{name}" has an empty part: one "/" too many, or nothing after it')
    if _COMPONENT.fullmatch(component.lower()):
        raise ValueError(f'the image name "{name}" must be in lower case: "{component}"')
    raise ValueError(
        f'"{component}" in the image name "{name}" is not allowed: '
        'lower case letters and digits, with single ".", "_", "__" or any "-" between them'
    )
