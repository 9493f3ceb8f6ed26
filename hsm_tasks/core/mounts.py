"""Host paths of a service: build contexts, mounts and watched files, rebased from the checkout to the base's root.

Relative paths in the override are read by compose from the folder of the first base file; a person writes them
relative to the checkout. A mount of ours never makes compose create an empty, root-owned folder.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable, Mapping

from hsm_tasks.core.forms import Form, as_map
from hsm_tasks.core.model import Keys, Tree
from hsm_tasks.core.yamltext import Override, Reset

_COLON = re.compile(r":(?![^{]*\})")
_VARIABLE = re.compile(r"\$\{[^}]*\}|\$\w+")
_PROPAGATION = frozenset({"shared", "rshared", "slave", "rslave", "private", "rprivate"})
_REMOTE = re.compile(r"[a-z][a-z0-9+.-]*:|git@|github\.com/")


def split(text: str) -> list[str]:
    """The parts of a short form between colons, those inside ${…} left alone."""
    return _COLON.split(text)


def rebase(path: str, checkout: str | None) -> str:
    """A path of hsm.yaml as seen from the base's root. Absolute paths, urls, ~ and ${…} stay as they are."""
    if path.startswith(("/", "~", "$")) or _REMOTE.match(path):
        return path
    joined = posixpath.normpath(posixpath.join(checkout or ".", path))
    return joined if joined.startswith((".", "/")) else f"./{joined}"


def build(keys: Keys, checkout: str | None) -> dict[str, Tree]:
    """A build section with its context and additional contexts rebased; the context of a checkout is its root."""
    context = keys.get("context")
    result = {**keys, "context": rebase(context if isinstance(context, str) else ".", checkout)}
    contexts = as_map(keys.get("additional_contexts"))
    if contexts:
        result["additional_contexts"] = {name: rebase(str(path), checkout) for name, path in contexts.items()}
    return result


def watch(rule: Keys, checkout: str | None) -> dict[str, Tree]:
    """A rule of develop.watch with its path rebased."""
    path = rule.get("path")
    return {**rule, "path": rebase(path if isinstance(path, str) else ".", checkout)}


def draw(form: Form, given: object, own: object, checkout: str | None) -> dict[str, object]:
    """The key `volumes` of a fragment, if the mode changes anything there. `given` are mounts as in the base, `own`
    those of the dev section, relative to the checkout."""
    new = [_long(volume, None, _is_path) for volume in given] if isinstance(given, list) else []
    new += [_long(volume, checkout, _is_source_path) for volume in own] if isinstance(own, list) else []
    below = (form.base or {}).get("volumes")
    old = list(below) if isinstance(below, list) else []
    kept = [v for v in old if not _is_source(v, form, checkout)] if form.mode == "prod" else old
    if len(kept) == len(old):
        return {"volumes": new} if new else {}
    # what stays and what is new are one list now: of two mounts at one place compose would refuse the second
    rest = list({_target(volume): volume for volume in [*map(written, kept), *new]}.values())
    return {"volumes": Override(rest) if rest else Reset("list")}


def _target(volume: object) -> str:
    """Where a mount is, in the container."""
    if isinstance(volume, Mapping):
        return str(volume.get("target")).rstrip("/")
    return split(str(volume))[:2][-1].rstrip("/")


def sources(volumes: object) -> tuple[str, ...]:
    """The host paths that must exist before a fragment with these volumes can run, as seen from the base's root."""
    listed = volumes.tree if isinstance(volumes, Override) else volumes
    found = []
    for volume in listed if isinstance(listed, list) else []:
        bind = volume.get("bind") if isinstance(volume, Mapping) else None
        if isinstance(bind, Mapping) and bind.get("create_host_path") is False:
            found.append(str(volume["source"]))
    return tuple(found)


def binds(below: object, drawn: object) -> tuple[str, ...]:
    """The host paths that a container sees: the mounts of a fragment over those of the base, by their targets."""
    whole = isinstance(drawn, Override | Reset)
    own = drawn.tree if isinstance(drawn, Override) else drawn
    mounts: dict[object, Mapping[str, object]] = {}
    for volumes in (None if whole else below, own):
        for volume in volumes if isinstance(volumes, list) else []:
            if isinstance(volume, Mapping):
                mounts[str(volume.get("target")).rstrip("/")] = volume
    return tuple(str(one["source"]) for one in mounts.values() if one.get("type") == "bind" and "source" in one)


def anonymous(volumes: Iterable[object], of_image: Iterable[str]) -> tuple[str, ...]:
    """The paths that only anonymous volumes hold, of these mounts or `of_image`; none where a volume has a name."""
    mounted = [_mounted(volume) for volume in volumes]
    kept = [volume for volume in mounted if volume.get("type", "volume") == "volume"]
    if any(volume.get("source") for volume in kept):
        return ()
    covered = {_target(volume) for volume in mounted}
    return tuple(sorted({*map(_target, kept), *(path for path in of_image if path.rstrip("/") not in covered)}))


def _mounted(volume: object) -> Mapping[str, object]:
    """The long form. What only a variable says has a name, or is a path."""
    long = _long(volume, None, _is_source_path)
    if isinstance(long, Mapping):
        return long
    return {"type": "volume", "target": str(long)}


def is_open(path: str) -> bool:
    """Whether only the environment says which path it is."""
    return path.startswith("~") or "$" in path


def is_remote(path: str) -> bool:
    """Whether a build context is no folder of this machine."""
    return bool(_REMOTE.match(path))


def _is_source(volume: Tree, form: Form, checkout: str | None) -> bool:
    """Whether a mount of the base brings in the sources that an image already has."""
    source = volume.get("source") if isinstance(volume, Mapping) else None
    if not isinstance(source, str) or not isinstance(volume, Mapping):
        return False
    # compose, which does not know the value here, takes `${DIR}/src:/src` for a named volume
    maybe = volume.get("type") == "bind" or (volume.get("type") == "volume" and "$" in source)
    return maybe and any(_inside(source, root) for root in _roots(form, checkout))


def _roots(form: Form, checkout: str | None) -> list[str]:
    """Where the sources of a service may lie: its checkout, and the contexts that the base and hsm.yaml name."""
    own, below = form.service.dev.build if form.service else None, (form.base or {}).get("build")
    found = [checkout, below.get("context") if isinstance(below, Mapping) else None]
    if own is not None:
        found.append(str(build(own, checkout)["context"]))
    return [root for root in found if isinstance(root, str)]


def _inside(path: str, root: str) -> bool:
    path, root = posixpath.normpath(path), posixpath.normpath(root)
    if root == ".":
        return not path.startswith(("/", "..", "~", "$"))
    return path == root or path.startswith(f"{root}/")


def written(volume: Tree) -> Tree:
    """A mount of the base to be written again. One that compose takes for a named volume only because its source is a
    variable goes back to its short form, where compose decides once it knows the value."""
    if not isinstance(volume, Mapping) or "$" not in str(volume.get("source", "")) or volume.get("type") != "volume":
        return volume
    modes = ["ro"] if volume.get("read_only") else []
    for key in ("bind", "volume"):
        options = volume.get(key)
        for name, value in options.items() if isinstance(options, Mapping) else ():
            if name not in ("selinux", "propagation", "nocopy"):
                return volume  # only the long form can say so, and there the type is what was written
            modes.append(name if name == "nocopy" else str(value))
    return ":".join([str(volume["source"]), str(volume["target"]), *([",".join(modes)] if modes else [])])


def _is_path(source: str) -> bool:
    """Whether a short form mounts a path. Of a variable and a "/" no name of a volume can be made."""
    return source.startswith((".", "/", "~")) or (source.startswith("$") and "/" in _VARIABLE.sub("", source))


def _is_source_path(source: str) -> bool:
    """In the dev section a variable is a path: a named volume has the long form there."""
    return source.startswith("$") or _is_path(source)


def _long(volume: object, checkout: str | None, is_path: Callable[[str], bool]) -> object:
    """The long form of a mount, its source rebased. What has no plain meaning stays as written."""
    if isinstance(volume, Mapping):
        return _rebased(volume, checkout)
    parts = split(str(volume))
    if len(parts) not in (2, 3) or (parts[0].startswith("$") and not is_path(parts[0])):
        return volume
    source, target, modes = parts[0], parts[1], parts[2].split(",") if len(parts) == 3 else []
    if not is_path(source):
        return _with_modes({"type": "volume", "source": source, "target": target}, modes)
    rebased = rebase(source, checkout)
    return _with_modes(
        {"type": "bind", "source": rebased, "target": target, "bind": {"create_host_path": False}}, modes
    )


def _rebased(volume: Mapping[str, object], checkout: str | None) -> dict[str, object]:
    source, kind = volume.get("source"), volume.get("type")
    if kind != "bind" or not isinstance(source, str):
        return dict(volume)
    bind = volume.get("bind")
    options = dict(bind) if isinstance(bind, Mapping) else {}
    return {**volume, "source": rebase(source, checkout), "bind": {"create_host_path": False, **options}}


def _with_modes(volume: dict[str, object], modes: list[str]) -> dict[str, object]:
    """`ro,z` in the long form; compose keeps selinux and propagation under `bind`, of named volumes too."""
    bind, named = volume.get("bind"), {"nocopy": True} if "nocopy" in modes else {}
    options: dict[str, object] = dict(bind) if isinstance(bind, Mapping) else {}
    result = dict(volume)
    for mode in modes:
        if mode == "ro":
            result["read_only"] = True
        elif mode in ("z", "Z"):
            options["selinux"] = mode
        elif mode in _PROPAGATION:
            options["propagation"] = mode
        elif mode in ("cached", "delegated", "consistent"):
            result["consistency"] = mode
    return result | ({"bind": options} if options else {}) | ({"volume": named} if named else {})
