"""What compose says of a base: asked anew only when something that it depends on has changed.

Both caches lie in .hsm/STACK. Each is one file: a key on its first line, compose's words below it.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from hsm_tasks.core.errors import HsmError
from hsm_tasks.core.model import Base, Frozen
from hsm_tasks.effects import compose, files

_VARIABLE = re.compile(r"\$\{?([A-Za-z_][A-Za-z0-9_]*)")
_SERVICE = re.compile(r"[a-zA-Z0-9._-]+")
_ASK = "look at it with `docker compose config --no-interpolate`"


_asked_before: dict[str, str] = {}


class Cached(msgspec.Struct, frozen=True):
    """What compose said under a key, and the file that remembers it. No key: something was edited while it was asked,
    so nobody knows what it has read, and nothing is remembered."""

    key: str
    text: str
    path: Path

    @classmethod
    def read(cls, path: Path, key: str, ask: Callable[[], str], still: Callable[[], bool]) -> Cached:
        """From the file, or from compose: once a process, since a first run reads a stack twice and keeps it late.
        `still`: whether the key is what it was."""
        head, _, text = (files.read_own(path) or "").partition("\n")
        if head == key and text:
            return cls(key, text, path)
        if key not in _asked_before:
            text = ask()
            if not still():
                return cls("", text, path)
            _asked_before[key] = text
        return cls(key, _asked_before[key], path)

    def keep(self) -> None:
        """In `.hsm`, for the next run."""
        if not self.key:
            return
        files.hide_folder(self.path.parent.parent)
        files.write_own(self.path, f"{self.key}\n{self.text}")


class Reading(msgspec.Struct, frozen=True):
    """A base as compose reads it, in the folder of its first file. `environ` is what compose sees."""

    base: Base
    files: tuple[Path, ...]
    environ: Mapping[str, str]
    said: Cached

    def still(self) -> bool:
        """Whether all that compose has read is as it was."""
        return self.said.key == _key_now(self.files, self.environ)

    @property
    def root(self) -> Path:
        """The folder that compose takes relative paths from."""
        return self.files[0].parent

    @property
    def digest(self) -> str:
        """Of compose's words."""
        return files.digest(self.said.text.encode())


def read_base(folder: Path, state: Path, base_files: tuple[Path, ...], environ: Mapping[str, str]) -> Reading:
    """The base of a stack whose hsm.yaml is in `folder`."""
    root = base_files[0].parent
    key, cache = compose.base_key(base_files, root, environ), state / "base.json"

    def still() -> bool:
        return key == _key_now(base_files, environ)

    said = Cached.read(cache, key, lambda: compose.read_base(base_files, root, environ), still)
    return Reading(base_in(said.text, posixpath.relpath(root, folder)), base_files, environ, said)


def _key_now(base_files: tuple[Path, ...], environ: Mapping[str, str]) -> str | None:
    """None in the midst of an edit, where the files say nothing that makes sense."""
    try:
        return compose.base_key(base_files, base_files[0].parent, environ)
    except HsmError:
        return None


class _Said(Frozen, frozen=True, kw_only=True):
    """As much as hsm relies on in what compose prints; what stands below that is looked at where it is used."""

    name: str
    services: dict[str, dict[str, Any]] | None = None
    volumes: dict[str, Any] | None = None
    networks: dict[str, Any] | None = None


def base_in(text: str, root: str) -> Base:
    """The base in compose's own words. Names of services become names of files, so compose's rule for them is ours."""
    try:
        said = msgspec.json.decode(text, type=_Said)
    except msgspec.MsgspecError as error:
        raise HsmError(f"compose can not read the base as hsm needs it: {error}", _ASK) from error
    for name, keys in (said.services or {}).items():
        if not _SERVICE.fullmatch(name):
            raise HsmError(f"compose can not read the base as hsm needs it: {name!r} is no name of a service", _ASK)
        if isinstance(keys.get("build"), list | int | float):
            raise HsmError(f"compose can not read the base as hsm needs it: the build of {name} is no mapping", _ASK)
    return Base(name=said.name, services=said.services or {}, volumes=said.volumes or {},
                networks=said.networks or {}, root=root)  # fmt: skip


def image_values(images: frozenset[str], reading: Reading) -> tuple[dict[str, str], Cached | None]:
    """Image references as written → with their variables put in; and the cache to keep, where compose was needed."""
    templates = sorted(image for image in images if "$" in image)
    plain = {image: image for image in images if "$" not in image}
    if not templates:
        return plain, None
    names = sorted({name for image in templates for name in _VARIABLE.findall(image)})
    values = [(name, reading.environ.get(name)) for name in names]
    key = files.digest(repr((reading.said.key, templates, values)).encode("utf-8", "surrogateescape"))
    cache = reading.said.path.with_name("references.json")
    said = Cached.read(cache, key, lambda: msgspec.json.encode(_asked(templates, reading)).decode(), reading.still)
    return {**plain, **msgspec.json.decode(said.text)}, said


def _asked(templates: list[str], reading: Reading) -> dict[str, str]:
    """A file that the base includes may have variables of its own: then compose is asked for the base's images."""
    below = {name: str(keys["image"]) for name, keys in reading.base.services.items() if "image" in keys}
    values: dict[str, str] = {}
    if any("$" in image for image in below.values()) and _leads_on(reading):
        filled = compose.base_images(reading.files, reading.root, reading.environ)
        values = {image: filled[name] for name, image in below.items() if image in templates and name in filled}
    rest = [image for image in templates if image not in values]
    return values | dict(zip(rest, compose.interpolate(rest, reading.root, reading.environ), strict=True))


def _leads_on(reading: Reading) -> bool:
    """Whether the base is made of more than the files that compose is given, and the env file beside them."""
    return bool({*compose.sources(reading.files)} - {*reading.files, reading.root / ".env"})
