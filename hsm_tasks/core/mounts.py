"""Host paths of a service: build contexts, mounts and watched files, rebased from the checkout to the base's root.

Relative paths in the override are read by compose from the folder of the first base file; a person writes them
relative to the checkout. A mount of ours never makes compose create an empty, root-owned folder.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping

from hsm_tasks.core.choose import Form
from hsm_tasks.core.model import Keys, Tree
from hsm_tasks.core.yamltext import Override, Reset

_COLON = re.compile(r":(?![^{]*\})")
_PROPAGATION = frozenset({"shared", "rshared", "slave", "rslave", "private", "rprivate"})
_REMOTE = re.compile(r"[a-z][a-z0-9+.-]*:|git@")


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
    contexts = keys.get("additional_contexts")
    if isinstance(contexts, Mapping):
        result["additional_contexts"] = {name: rebase(str(path), checkout) for name, path in contexts.items()}
    return result


def watch(rule: Keys, checkout: str | None) -> dict[str, Tree]:
    """A rule of develop.watch with its path rebased."""
    path = rule.get("path")
    return {**rule, "path": rebase(path if isinstance(path, str) else ".", checkout)}


def draw(form: Form, given: object, own: object, checkout: str | None) -> dict[str, object]:
    """The key `volumes` of a fragment, if the mode changes anything there. `given` are mounts as in the base, `own`
    those of the dev section, relative to the checkout."""
    new = [_long(volume, None) for volume in given] if isinstance(given, list) else []
    new += [_long(volume, checkout) for volume in own] if isinstance(own, list) else []
    below = (form.base or {}).get("volumes")
    old = list(below) if isinstance(below, list) else []
    kept = [v for v in old if not _is_source(v, form, checkout)] if form.mode == "prod" else old
    if len(kept) == len(old):
        return {"volumes": new} if new else {}
    rest = [*(_written(volume) for volume in kept), *new]
    return {"volumes": Override(rest) if rest else Reset("list")}


def sources(volumes: object) -> tuple[str, ...]:
    """The host paths that must exist before a fragment with these volumes can run, as seen from the base's root."""
    listed = volumes.tree if isinstance(volumes, Override) else volumes
    found = []
    for volume in listed if isinstance(listed, list) else []:
        bind = volume.get("bind") if isinstance(volume, Mapping) else None
        if isinstance(bind, Mapping) and bind.get("create_host_path") is False:
            found.append(str(volume["source"]))
    return tuple(path for path in found if "$" not in path and not path.startswith("~"))


def _is_source(volume: Tree, form: Form, checkout: str | None) -> bool:
    """Whether a mount of the base brings in the sources that an image already has."""
    if not isinstance(volume, Mapping) or volume.get("type") != "bind":
        return False
    source = volume.get("source")
    context = (form.base or {}).get("build")
    context = context.get("context") if isinstance(context, Mapping) else None
    roots = [root for root in (checkout, context) if isinstance(root, str)]
    return isinstance(source, str) and any(_inside(source, root) for root in roots)


def _inside(path: str, root: str) -> bool:
    path, root = posixpath.normpath(path), posixpath.normpath(root)
    if root == ".":
        return not path.startswith(("/", "..", "~", "$"))
    return path == root or path.startswith(f"{root}/")


def _written(volume: Tree) -> Tree:
    """A mount of the base to be written again. Compose takes `${DIR}/x:/x` for a named volume: it stays short."""
    if not isinstance(volume, Mapping) or "$" not in str(volume.get("source", "")) or volume.get("type") != "volume":
        return volume
    mode = ":ro" if volume.get("read_only") else ""
    return f"{volume['source']}:{volume['target']}{mode}"


def _long(volume: object, checkout: str | None) -> object:
    """The long form of a mount, its source rebased. What has no plain meaning stays as written."""
    if isinstance(volume, Mapping):
        return _rebased(volume, checkout)
    parts = split(str(volume))
    if len(parts) not in (2, 3) or parts[0].startswith("$"):
        return volume
    source, target, modes = parts[0], parts[1], parts[2].split(",") if len(parts) == 3 else []
    if not source.startswith((".", "/", "~")):
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
    kind = str(volume["type"])
    under = volume.get(kind)
    options: dict[str, object] = dict(under) if isinstance(under, Mapping) else {}
    for mode in modes:
        if mode == "ro":
            volume = {**volume, "read_only": True}
        elif mode in ("z", "Z"):
            options["selinux"] = mode
        elif mode in _PROPAGATION:
            options["propagation"] = mode
        elif mode == "nocopy":
            options["nocopy"] = True
        elif mode in ("cached", "delegated", "consistent"):
            volume = {**volume, "consistency": mode}
    return {**volume, kind: options} if options else volume
