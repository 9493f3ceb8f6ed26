"""A rendered stack to a bundle: the model as it runs elsewhere, the files that go with it, and all that forbids it.

The model is compose's own: base and override together, no variable filled in, no path resolved. Paths of the stack
become paths beside compose.yaml; a path that means something on this machine alone is an objection.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal

import msgspec

from hsm_tasks.core.forms import Form, as_map
from hsm_tasks.core.mounts import split, written
from hsm_tasks.core.reference import ImageReference

Kind = Literal["bind", "env", "config", "secret"]
Model = Mapping[str, Any]

ALLOWED: Final = ("/var/run/docker.sock", "/run/docker.sock", "/etc/localtime")
AROUND: Final = "_workspace"  # holds what lies in the workspace but not in the folder of the base
_DEFAULTED: Final = re.compile(r"\$\{\w+:?-([^{}$]*)\}(.*)", re.DOTALL)
_VARIABLE: Final = re.compile(r"\$(?:\$|([A-Za-z_]\w*)|\{([A-Za-z_]\w*)(?:(:?[-?+])([^{}]*))?)")


class Site(msgspec.Struct, frozen=True):
    """What a path is judged by, all relative to the workspace: the folder of the base, and those of checkouts.

    `allow` are paths of the host that may be mounted where the bundle runs.
    """

    root: str
    checkouts: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()


class Carried(msgspec.Struct, frozen=True, order=True):
    """Something that the model refers to: a path of the workspace, and its place beside compose.yaml.

    `required`: compose does not start without it. `whole` False: a file or a folder that may be made where it runs.
    """

    source: str
    target: str
    kind: Kind
    required: bool = True


class Bundle(msgspec.Struct, frozen=True):
    """`objections` are sentences: while there is one, there is no bundle. `variables` map names to what is taken where
    they are not set; None: nothing, "!": compose refuses to start."""

    model: Model
    carried: tuple[Carried, ...]
    objections: tuple[str, ...]
    images: Mapping[str, str]
    variables: Mapping[str, str | None]
    external: tuple[str, ...]


def bundle(model: Model, forms: Mapping[str, Form], site: Site) -> Bundle:
    """What the rendered `model` of a stack is as a bundle; `forms` are those that it was rendered of."""
    work = _Work(site, forms)
    services = {name: work.service(name, keys) for name, keys in sorted((model.get("services") or {}).items())}
    made: dict[str, Any] = {"name": model["name"], "services": services}
    for kind in ("networks", "volumes"):
        if model.get(kind):
            made[kind] = model[kind]
    for name, keys in sorted((model.get("volumes") or {}).items()):
        work.volume(name, keys or {})
    for kind in ("configs", "secrets"):
        used = _used(services, kind)
        entries = {name: keys for name, keys in (model.get(kind) or {}).items() if name in used}
        if entries:
            made[kind] = {name: work.content(name, keys, kind) for name, keys in sorted(entries.items())}
    return Bundle(
        model=made,
        carried=tuple(sorted(set(work.carried))),
        objections=tuple(work.objections),
        images={name: str(keys["image"]) for name, keys in services.items() if "image" in keys},
        variables=variables(made),
        external=tuple(_external(made)),
    )


def _used(services: Model, kind: str) -> frozenset[str]:
    """The top-level entries that services name; the short form is the name itself."""
    asked = (entry for keys in services.values() for entry in keys.get(kind) or ())
    return frozenset(str(entry.get("source")) if isinstance(entry, Mapping) else str(entry) for entry in asked)


def _external(model: Model) -> Iterator[str]:
    """What must be there before: `network NAME`, `volume NAME`, …"""
    for kind in ("networks", "volumes", "configs", "secrets"):
        for name, keys in sorted((model.get(kind) or {}).items()):
            if keys and keys.get("external"):
                yield f"{kind[:-1]} {keys.get('name') or name}"


class _Owner(msgspec.Struct, frozen=True):
    """Whose path is looked at. A service in dev binds its sources; that it is in dev is objection enough."""

    name: str
    dev: bool = False


class _Work(msgspec.Struct):
    """Collects while it goes through a model."""

    site: Site
    forms: Mapping[str, Form]
    carried: list[Carried] = msgspec.field(default_factory=list)
    objections: list[str] = msgspec.field(default_factory=list)

    def service(self, name: str, keys: Model) -> Model:
        """A service as it stands in the bundle."""
        form = self.forms.get(name)
        if form and form.mode == "dev":
            self.objections.append(f"{name} runs from its sources: `hsm prod:{name}`, or --prod for all")
        else:
            self.objections += _unfit(name, keys, form)
        owner = _Owner(name, dev=form is not None and form.mode == "dev")
        moved = {key: value for key, value in keys.items() if not key.startswith("x-")}
        if "volumes" in keys:
            moved["volumes"] = [self._mount(volume, owner) for volume in keys["volumes"] or ()]
        for key in ("env_file", "label_file"):
            if key in keys:
                moved[key] = self._files(keys[key], owner)
        if "security_opt" in keys:
            moved["security_opt"] = [self._profile(option, owner) for option in keys["security_opt"] or ()]
        return moved

    def volume(self, name: str, keys: Model) -> None:
        """A named volume may be a folder of the host in disguise."""
        options = keys.get("driver_opts") or {}
        device = str(options.get("device") or "")
        if "bind" in str(options.get("o") or "").split(",") and keys.get("driver", "local") == "local":
            if not device.startswith("/"):
                self.objections.append(f"volume {name}: {device} is bound by the engine, which knows no stack's folder")
            else:
                self._place(device, _Owner(f"volume {name}"))

    def content(self, name: str, keys: Model, kind: str) -> Model:
        """A config or a secret."""
        path = keys.get("file")
        if not isinstance(path, str):
            return keys
        owner = _Owner(f"{kind[:-1]} {name}")
        return {**keys, "file": self._carry(path, "config" if kind == "configs" else "secret", owner)}

    def _mount(self, volume: Any, owner: _Owner) -> Any:
        kept = written(volume)
        if isinstance(kept, str):
            return self._short(kept, owner)
        if not isinstance(kept, Mapping) or kept.get("type") != "bind":
            return kept
        return {**kept, "source": self._carry(str(kept.get("source")), "bind", owner, required=False)}

    def _short(self, volume: str, owner: _Owner) -> str:
        """Its source begins with a variable: only a default that is a path can be judged here."""
        parts = split(volume)
        if match := _DEFAULTED.fullmatch(parts[0]):
            path = match[1] + match[2]
            if path.startswith((".", "/", "~")):
                carried = self._carry(path, "bind", owner, required=False)
                if carried.startswith(f"./{AROUND}/"):
                    self._object(owner, path, "lies outside the folder of the base, and a default can not be rewritten")
        return volume

    def _files(self, listed: Any, owner: _Owner) -> Any:
        moved: list[Any] = []
        for item in [listed] if isinstance(listed, str) else listed or ():
            if isinstance(item, Mapping):
                needed = item.get("required") is not False
                moved.append({**item, "path": self._carry(str(item["path"]), "env", owner, required=needed)})
            else:
                moved.append(self._carry(str(item), "env", owner))
        return moved

    def _profile(self, option: Any, owner: _Owner) -> Any:
        """`seccomp:./profile.json` is a file that compose reads."""
        match = re.fullmatch(r"(seccomp[:=])([^{].*)", str(option))
        if not match or match[2] == "unconfined":
            return option
        return match[1] + self._carry(match[2], "config", owner)

    def _carry(self, path: str, kind: Kind, owner: _Owner, *, required: bool = True) -> str:
        """The path as it stands in the bundle. What begins with a variable is the business of who sets it."""
        if path.startswith("$"):
            return path
        place = self._place(path, owner)
        if place is None:
            return path
        source, target = place
        self.carried.append(Carried(source, target, kind, required))
        return f"./{target}"

    def _object(self, owner: _Owner, path: str, why: str) -> None:
        self.objections.append(f"{owner.name}: {path} {why}")

    def _place(self, path: str, owner: _Owner) -> tuple[str, str] | None:
        """(path of the workspace, path of the bundle); None where it stays as written."""
        if path.startswith(("/", "~")):
            if not any(_inside(path, allowed) for allowed in (*ALLOWED, *self.site.allow)):
                self._object(owner, path, "is a path of this machine: if the other has it too, name it in bundle.allow")
            return None
        source = posixpath.normpath(posixpath.join(self.site.root, path))
        if any(_inside(source, checkout) for checkout in self.site.checkouts):
            if not owner.dev:
                self._object(owner, path, "is source: it lies in a checkout")
            return None
        if source == ".." or source.startswith("../"):
            self._object(owner, path, "lies outside the workspace")
            return None
        beside = posixpath.relpath(source, self.site.root or ".")
        if beside == "." or not beside.startswith(".."):
            if beside == ".":
                self._object(owner, path, "is the folder of the stack itself: name what is needed of it")
            return source, beside
        if _inside(posixpath.normpath(self.site.root or "."), source):
            self._object(owner, path, "has the stack in it: name what is needed of it")
            return None
        return source, f"{AROUND}/{source}"


def _inside(path: str, folder: str) -> bool:
    path, folder = posixpath.normpath(path), posixpath.normpath(folder)
    return path == folder or folder == "." or path.startswith(f"{folder}/")


def _unfit(name: str, keys: Model, form: Form | None) -> Iterator[str]:
    """What only a machine with the sources can do, and an image that may be another one tomorrow."""
    unnamed = form is not None and form.mode == "base"
    hint = f" (name it in hsm.yaml: services: {{{name}: {{prod: {{image: …}}}}}})" if unnamed else ""
    if "build" in keys:
        yield f"{name} is built, and sources do not travel{hint}"
        return
    if "develop" in keys:
        yield f"{name} has a key for development: develop{hint}"
    mounted = [volume for volume in keys.get("volumes") or () if isinstance(volume, Mapping)]
    images = [volume.get("source") for volume in mounted if volume.get("type") == "image"]
    images += [keys.get("image")] if "image" in keys or "provider" not in keys else []
    for image in images:
        if not _is_pinned(str(image or "")):
            yield f"{name} has an image without a digest: {image or 'none'} (only what a registry has can be pinned)"


def _is_pinned(image: str) -> bool:
    try:
        return ImageReference.parse(image).digest is not None
    except ValueError:
        return False


def variables(tree: Any) -> dict[str, str | None]:
    """The variables that compose fills in, and their defaults; `$$` is a plain $."""
    found: dict[str, str | None] = {}
    for text in _texts(tree):
        for match in _VARIABLE.finditer(text):
            name = match[1] or match[2]
            if name:
                default = {"-": match[4], "?": "!"}.get((match[3] or "")[-1:]) if match[2] else None
                found[name] = found.get(name) or default
    return dict(sorted(found.items()))


def _texts(tree: Any) -> Iterator[str]:
    """All the text in it. A name in `environment` without a value is a variable too."""
    match tree:
        case str():
            yield tree
        case Mapping():
            passed = as_map(tree.get("environment"))
            yield from (f"${{{name}}}" for name, value in passed.items() if value is None)
            for value in tree.values():
                yield from _texts(value)
        case list():
            for value in tree:
                yield from _texts(value)
        case _:
            return
