"""The plan of a stack: every step, what it reads, what it leaves, and in which order.

The only place that joins paths of generated files, with `needs`, which plans what must be known before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial

from hsm_tasks.core.forms import Chosen, Form, as_map
from hsm_tasks.core.layers import append
from hsm_tasks.core.model import Dev, Keys
from hsm_tasks.core.mounts import binds, is_open, is_remote, rebase, sources
from hsm_tasks.core.needs import clones, image_key, lock, missing_entries, named_images, pins, resolves
from hsm_tasks.core.render import Draft, Site, named_volumes, open_pins, render
from hsm_tasks.core.scene import Paths, Scene
from hsm_tasks.core.steps import Build, Check, Clone, Lock, Merge, Plan, Render, Resolve, Step, Up, label
from hsm_tasks.core.yamltext import Override

__all__ = [
    "Build",
    "Check",
    "Clone",
    "Lock",
    "Merge",
    "Paths",
    "Plan",
    "Render",
    "Resolve",
    "Scene",
    "Step",
    "Up",
    "handed_over",
    "image_key",
    "label",
    "missing_entries",
    "named_images",
    "plan",
    "reachable",
    "synced",
]


def plan(scene: Scene) -> Plan:
    """The steps of a stack. A function of its arguments alone."""
    named = tuple(named_images(scene.committed, scene.base))
    cloned, resolved = tuple(clones(scene)), tuple(resolves(scene, named))
    drafts = {name: _draft(form, scene) for name, form in scene.chosen.forms.items()}
    renders = tuple(_render(form, drafts[name], scene) for name, form in sorted(scene.chosen.forms.items()))
    declared = {name for draft in drafts.values() for name in named_volumes(draft)} - set(scene.base.volumes)
    state = scene.paths.state
    merge = Merge(
        project=scene.project,
        fragments=tuple(render.output for render in renders),
        volumes=tuple(sorted(name for name in declared if "$" not in name)),
        output=f"{state}/override.yml",
    )
    check = Check(
        base=scene.base_digest,
        compose=scene.compose,
        input=merge.output,
        output=scene.paths.beside("docker-compose.hsm.yml"),
    )
    locked = lock(scene, cloned, resolved, named)
    return Plan(clones=cloned, resolves=resolved, lock=locked, renders=renders, merge=merge, check=check,
                later=partial(_after_sync, scene, drafts, renders))


def _after_sync(
    scene: Scene, drafts: Mapping[str, Draft], renders: tuple[Render, ...]
) -> tuple[tuple[Build, ...], tuple[Up, ...]]:
    builds = tuple(_builds(scene, drafts))
    return builds, tuple(_ups(scene, builds, renders))


# --- what is made of it -----------------------------------------------------------------------------------------


def _checkout(form: Form, scene: Scene) -> str | None:
    repository = form.service.repository if form.service else None
    return scene.paths.from_base(scene.paths.checkout(repository)) if repository else None


def _draft(form: Form, scene: Scene) -> Draft:
    return render(form, scene.chosen, Site(checkout=_checkout(form, scene), schema=scene.schema))


def _render(form: Form, draft: Draft, scene: Scene) -> Render:
    state = scene.paths.state
    repository = form.service.repository if form.service and form.mode == "dev" else None
    mounted = sources((draft or {}).get("volumes"))
    return Render(
        name=form.name,
        mode=form.mode,
        draft=draft,
        pins=pins(open_pins(draft), scene),
        mounts=tuple(path if is_open(path) else scene.paths.to_workspace(path) for path in mounted),
        after=(f"clone:{repository.name}",) if repository else (),
        output=f"{state}/fragments/{form.name}.yml",
    )


def _builds(scene: Scene, drafts: Mapping[str, Draft]) -> Iterator[Build]:
    built = {name: keys for name, form in scene.chosen.forms.items() if (keys := _build_keys(form, drafts[name]))}
    for name, keys in sorted(built.items()):
        form = scene.chosen.forms[name]
        dev = form.service.dev if form.service and form.mode == "dev" else Dev()
        context = keys.get("context")
        plain = isinstance(context, str) and "$" not in context and not is_remote(context)
        contexts = (str(place) for place in as_map(keys.get("additional_contexts")).values())
        needed = {place.removeprefix("service:") for place in contexts if place.startswith("service:")}
        yield Build(
            name=name,
            image=form.built_as(scene.project),
            recipe=keys,
            pins=pins(open_pins(keys), scene),
            context=scene.paths.to_workspace(str(context)) if plain else None,
            dockerfile=str(keys.get("dockerfile") or "Dockerfile"),
            hidden=_on_host(binds((form.base or {}).get("volumes"), (drafts[name] or {}).get("volumes")), scene),
            shown=_of_checkout(_watched(dev), form, scene),
            rebuild=None if dev.rebuild is None else _of_checkout(dev.rebuild, form, scene),
            after=tuple(sorted(needed & built.keys() - {name})),
        )


def _build_keys(form: Form, draft: Draft) -> Keys | None:
    if form.mode in ("off", "prod"):
        return None
    drawn = (draft or {}).get("build")
    below = (form.base or {}).get("build")
    keys: Keys | None = drawn.tree if isinstance(drawn, Override) else append(below, drawn)
    return keys


def _watched(dev: Dev) -> Iterator[str]:
    """What a person wants an image to be built anew for."""
    return (str(rule.get("path")) for rule in dev.watch if rule.get("action") == "rebuild")


def _of_checkout(paths: Iterable[str], form: Form, scene: Scene) -> tuple[str, ...]:
    checkout = _checkout(form, scene)
    return _on_host((rebase(path, checkout) for path in paths), scene)


def handed_over(name: str, scene: Scene, draft: Draft) -> tuple[Keys, ...]:
    """The rules of develop.watch that are compose's: all but `rebuild`, which a build step sees to."""
    drawn = (draft or {}).get("develop")
    tree = drawn.tree if isinstance(drawn, Override) else drawn
    form = scene.chosen.forms[name]
    below = (form.base or {}).get("develop") if form.mode != "prod" else None
    given = tree if isinstance(tree, Mapping) else below
    rules = given.get("watch") if isinstance(given, Mapping) else None
    listed = rules if isinstance(rules, list) else []
    return tuple(rule for rule in listed if isinstance(rule, Mapping) and rule.get("action") != "rebuild")


def synced(rules: Iterable[Keys], scene: Scene) -> tuple[str, ...]:
    """The host paths that compose brings into a container itself: they ask for no build."""
    return _on_host((str(rule.get("path")) for rule in rules if str(rule.get("action")).startswith("sync")), scene)


def _on_host(paths: Iterable[str], scene: Scene) -> tuple[str, ...]:
    """As seen from the workspace; those that only compose can tell are left out."""
    return tuple(sorted({scene.paths.to_workspace(path) for path in paths if not is_open(path)}))


def _ups(scene: Scene, builds: tuple[Build, ...], renders: tuple[Render, ...]) -> Iterator[Up]:
    built = {build.name for build in builds}
    mounts = {render.name: render.mounts for render in renders}
    for name, form in sorted(scene.chosen.forms.items()):
        if form.mode != "off":
            needed = sorted(reachable(name, scene.chosen))
            yield Up(
                name=name,
                builds=tuple(other for other in needed if other in built),
                mounts=tuple(path for other in needed for path in mounts[other]),
            )


def reachable(name: str, chosen: Chosen) -> frozenset[str]:
    """A service and everything that it depends on, directly or not."""
    found, waiting = {name}, [name]
    while waiting:
        for other in chosen.needs(waiting.pop()):
            if other not in found:
                found.add(other)
                waiting.append(other)
    return frozenset(found)
