"""`build`: what an image is made of, by value, and whether the engine still has the one that was made.

An image is made of its recipe (with the values of its variables), the Dockerfile, and what the build can see of its
contexts. Under .hsm/STACK/images.json is the id of each image as it was built here: another id under that name, or
none, makes the step stale. Whose image it is does not matter, since services may share a name.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from hsm_tasks.core.errors import HsmError
from hsm_tasks.core.model import Keys, Pin
from hsm_tasks.core.plan import Plan
from hsm_tasks.core.render import closed
from hsm_tasks.core.steps import Build
from hsm_tasks.effects import compose, composemodel, docker, files, sources
from hsm_tasks.effects.sources import View
from hsm_tasks.steps.wanted import Recipe, recipe, wanted
from hsm_tasks.steps.world import World, keep_in, left_pin

CHANGED = "changed while it was built"
Parts = dict[str, str | None]


def parts(step: Build, world: World) -> Parts:
    """What an image is made of, by name. Where that can not be told, the step is stale, and compose says why."""
    try:
        made = _in_place(step, world)
        found: Parts = {f"build.{name}": value for name, value in made.parts.items()}
        found |= {f"image of {name}": docker.image_id(_image_of(name, world)) for name in made.services}
        found |= _contents(step, made, world)
    except HsmError as error:
        return {"recipe": f"unknown: {error.message}"}
    world.memo["parts", step.name] = found
    return {**found, "place": os.path.relpath(made.context or "/", world.opened.workspace.root)}


def settled(step: Build, world: World) -> Parts:
    """The parts that were no longer the same when the build had ended: nobody knows which of them it saw."""
    before: Parts | None = world.memo.get(("parts", step.name))
    if before is None:
        return {}
    after = _contents(step, _recipe(step, world), world, anew=True)
    return {name: CHANGED for name, value in after.items() if before.get(name, value) != value}


def reason(step: Build, world: World) -> str | None:
    """Words, if it is to be built whatever it is made of."""
    if _recipe(step, world).context is None:
        return "its context is not on this machine: only the builder knows whether it changed"
    there = images(world).get(docker.full_name(step.image))
    if there is None:
        return f"the engine has no image {step.image}"
    return None if there == _built(world).get(step.image) else f"{step.image} is another image than was built here"


def build(step: Build, world: World) -> None:
    """Builds the image, and remembers which one came of it."""
    try:
        _build(step, world)
    except HsmError as error:
        error.untouched = True  # the name is given to an image when it is whole: the engine has the one that it had
        raise
    there = docker.image_id(step.image)
    with world.guard:
        if there is not None:
            images(world)[docker.full_name(step.image)] = there
            text = msgspec.json.encode({**_built(world), step.image: there}, order="sorted").decode()
            files.write_if_changed(_record(world), text)


def _build(step: Build, world: World) -> None:
    context = _in_place(step, world).context
    if context is not None and not Path(context).is_dir():
        hint = "correct build.context in the dev section (it is relative to the checkout), or in the base"
        raise HsmError(f"build:{step.name}: the context {context} is not there", hint)
    compose.build(world.opened.project(), step.name, lambda line: world.progress(f"build:{step.name}", line))


def folders(step: Build, world: World) -> tuple[Path, ...]:
    """Where the files lie that an image is made of; none where that can not be told."""
    try:
        made = _in_place(step, world)
    except HsmError:
        return ()
    if made.context is None:
        return ()
    context = Path(os.path.realpath(made.context))
    named = _paths(step.rebuild, world) if step.rebuild is not None else (context,)
    files_of = (*named, *((context / made.dockerfile,) if made.dockerfile else ()), *map(Path, made.contexts.values()))
    return tuple(path if path.is_dir() else path.parent for path in files_of)


# --- the recipe and what it takes in -----------------------------------------------------------------------------


def _recipe(step: Build, world: World) -> Recipe:
    known = wanted(world).get(step.name) if not world.looks or world.memo.get("settled") else None
    if known is not None and known.recipe is not None:
        return known.recipe
    if "recipes" not in world.memo:  # the override may not be there yet, or not be what it will be
        world.memo["recipes"] = _foreseen(world, {one.name: one for one in (step, *_all(world))})
    found: Recipe = world.memo["recipes"][step.name]
    return found


def _all(world: World) -> tuple[Build, ...]:
    made: Plan | None = world.memo.get("plan")
    return made.builds if made else ()


def _in_place(step: Build, world: World) -> Recipe:
    """The recipe, none of whose folders is led elsewhere by the sources themselves: that would not even be read."""
    made = _recipe(step, world)
    folders_of = (*((made.context,) if made.context else ()), *made.contexts.values())
    dockerfile = (Path(made.context or "/") / made.dockerfile,) if made.dockerfile else ()
    keep_in((*map(Path, folders_of), *dockerfile), world, f"build:{step.name}")
    return made


def _foreseen(world: World, steps: Mapping[str, Build]) -> Mapping[str, Recipe]:
    """Of build sections as they are written, without the project around them."""
    opened = world.opened
    written = {name: _written(step, world) for name, step in steps.items()}
    filled = composemodel.filled_in_builds(written, opened.files[0].parent, opened.environ)
    return {name: recipe(build) for name, build in filled.items()}


def _written(step: Build, world: World) -> Keys:
    """The build section, with the pins that are known."""
    pins = {key: left_pin(world.path(path)) or Pin(image=key) for key, path in step.pins.items()}
    keys: Keys = closed(step.recipe, pins)
    return keys


def _contents(step: Build, made: Recipe, world: World, *, anew: bool = False) -> Parts:
    if made.context is None:
        return {}
    context = Path(os.path.realpath(made.context))
    dockerfile = context / made.dockerfile if made.dockerfile else None
    view = View(
        context=context,
        ignore=sources.ignore_file(context, dockerfile),
        hidden=_paths(step.hidden, world),
        shown=_paths(step.shown, world),
        only=_paths(step.rebuild, world) if step.rebuild is not None else None,
    )
    found: Parts = {"sources": _seen(view, world, anew)}
    if dockerfile:
        found["Dockerfile"] = sources.content(dockerfile)
    for name, place in made.contexts.items():
        folder = Path(os.path.realpath(place))
        found[f"context {name}"] = _seen(View(folder, sources.ignore_file(folder, None)), world, anew)
    return found


def _seen(view: View, world: World, anew: bool) -> str | None:
    """Services that share a checkout share the look at it."""
    if anew or view not in world.memo:
        cache = world.opened.state / "sources" / sources.cache_name(repr(view))
        world.memo[view] = sources.digest(view, cache, keep=not world.looks)
    digest: str | None = world.memo[view]
    return digest


def _paths(paths: tuple[str, ...], world: World) -> tuple[Path, ...]:
    """As the context: without links, but what a path itself is called stays."""
    absolute = (world.path(path) for path in paths)
    return tuple(Path(os.path.realpath(path.parent), path.name) for path in absolute)


# --- the engine --------------------------------------------------------------------------------------------------


def _image_of(name: str, world: World) -> str:
    known = wanted(world).get(name)
    return known.image if known else f"{world.opened.scene.project}-{name}"


def images(world: World) -> dict[str, str]:
    """All images of the engine, asked once a run; what is built meanwhile is put in."""
    if "images" not in world.memo:
        world.memo["images"] = docker.images()
    found: dict[str, str] = world.memo["images"]
    return found


def _record(world: World) -> Path:
    return world.opened.state / "images.json"


def _built(world: World) -> Mapping[str, str]:
    text = files.read_if_there(_record(world))
    try:
        return msgspec.json.decode(text, type=dict[str, str]) if text else {}
    except msgspec.DecodeError:
        return {}
