"""Images that a service needs besides its own: mounts of `type: image`, and build contexts `docker-image://…`.

They are pinned as its own image is. A fragment says so in the long form, over what the base says at that place.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from hsm_tasks.core.forms import Form, as_map
from hsm_tasks.core.layers import append
from hsm_tasks.core.yamltext import Override, Reset

CONTEXT = "docker-image://"


class Pinned(msgspec.Struct, frozen=True):
    """Stands in a draft for a pinned image: of a service, or (`image`, as written) one that it mounts or builds with.

    `before` is what stands before it in the text.
    """

    service: str
    image: str = ""
    before: str = ""

    @property
    def key(self) -> str:
        """The name of its pin among those that a fragment needs."""
        return f"{self.service} {self.image}" if self.image else self.service


def attached(form: Form) -> tuple[str, ...]:
    """The references, as written, that the service mounts or builds with."""
    mounted = {image for volume in _mounts(form) if (image := _image(volume))}
    return tuple(sorted(mounted | set(_contexts(form).values())))


def pin(form: Form, keys: Mapping[str, object]) -> dict[str, object]:
    """The keys of a fragment, with holes for the images that are mounted or built with."""
    result = dict(keys)
    volumes = _pinned_volumes(form, keys.get("volumes"))
    if volumes is not None:
        result["volumes"] = volumes
    contexts = {name: Pinned(form.name, image, CONTEXT) for name, image in _contexts(form).items()}
    if contexts:
        result["build"] = _with_contexts(keys.get("build"), contexts)
    return result


def _mounts(form: Form) -> Iterator[object]:
    for keys in form.pieces:
        volumes = keys.get("volumes")
        yield from volumes if isinstance(volumes, list) else ()
    if form.mode == "dev" and form.service:
        yield from form.service.dev.volumes


def _image(volume: object) -> str:
    """The image that is mounted; "" for another kind of mount."""
    is_one = isinstance(volume, Mapping) and volume.get("type") == "image"
    return str(volume.get("source") or "") if is_one and isinstance(volume, Mapping) else ""


def _contexts(form: Form) -> dict[str, str]:
    """name → image, of what the service is built with."""
    if form.mode in ("off", "prod"):
        return {}
    builds = [keys["build"] for keys in form.pieces if keys.get("build")]
    if not builds:  # most services are not built, and this is asked of each of them in each of its modes
        return {}
    build: Any = {}
    for keys in builds:
        build = append(build, keys, "build")
    places = as_map(build.get("additional_contexts")) if isinstance(build, Mapping) else {}
    texts = {name: str(place) for name, place in places.items()}
    return {name: text.removeprefix(CONTEXT) for name, text in texts.items() if text.startswith(CONTEXT)}


def _pinned_volumes(form: Form, drawn: object) -> object:
    """What `volumes` of the fragment becomes; None where it says nothing of images."""
    whole = isinstance(drawn, Override | Reset)
    own = _listed(drawn.tree if isinstance(drawn, Override) else drawn)
    taken = {_target(volume) for volume in own}
    below = [] if whole else _listed((form.base or {}).get("volumes"))
    volumes = [*(volume for volume in below if _image(volume) and _target(volume) not in taken), *own]
    if not any(_image(volume) for volume in volumes):
        return None
    pinned = [{**volume, "source": Pinned(form.name, _image(volume))} if _image(volume) else volume
              for volume in volumes]
    return Override(pinned) if whole else pinned


def _listed(volumes: object) -> list[Any]:
    return list(volumes) if isinstance(volumes, list) else []


def _target(volume: object) -> str:
    return str(volume.get("target")).rstrip("/") if isinstance(volume, Mapping) else ""


def _with_contexts(drawn: object, contexts: Mapping[str, Pinned]) -> object:
    if isinstance(drawn, Override):
        return Override(append(drawn.tree, {"additional_contexts": contexts}))
    return append(drawn or {}, {"additional_contexts": contexts})
