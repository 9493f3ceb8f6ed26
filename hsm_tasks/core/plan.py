"""The plan of a stack: every step, what it reads, what it leaves, and in which order.

The only place that joins paths of generated files, with `needs`, which plans what must be known before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property

from hsm_tasks.core.forms import Chosen, Form, as_map
from hsm_tasks.core.layers import append
from hsm_tasks.core.model import Dev, Keys
from hsm_tasks.core.mounts import binds, is_open, is_remote, rebase, sources
from hsm_tasks.core.needs import Needs, clones, image_key, lock, missing_entries, named_images, pins, resolves
from hsm_tasks.core.render import Draft, Site, named_volumes, open_pins, render
from hsm_tasks.core.scene import Paths, Scene
from hsm_tasks.core.steps import Build, Check, Clone, Lock, Merge, Render, Resolve, Step, Up, label
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


class Plan:
    """The steps of a stack: a function of the scene alone.

    Each step is made once, when it is asked for: a run that starts one service of a thousand draws but a few.
    """

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._drafts: dict[str, Draft] = {}
        self._recipes: dict[str, Keys | None] = {}
        self._builds: dict[str, Build | None] = {}
        self._ups: dict[str, Up | None] = {}
        self._needs = Needs(scene)

    def __str__(self) -> str:
        return "\n".join(label(step) for step in self.steps)

    @cached_property
    def clones(self) -> tuple[Clone, ...]:
        """The checkouts, and the commits that only hsm.lock wants to know."""
        return tuple(clones(self._needs))

    @cached_property
    def resolves(self) -> tuple[Resolve, ...]:
        """The images that are pinned."""
        return tuple(resolves(self._needs))

    @cached_property
    def lock(self) -> Lock:
        """Writes hsm.lock."""
        return lock(self._needs, self.clones, self.resolves)

    @cached_property
    def renders(self) -> tuple[Render, ...]:
        """The fragments, one for each service."""
        forms = sorted(self._scene.chosen.forms.items())
        return tuple(_render(form, self.draft(name), self._scene) for name, form in forms)

    @cached_property
    def merge(self) -> Merge:
        """Joins the fragments."""
        declared = {name for render in self.renders for name in named_volumes(render.draft)}
        mine = declared - set(self._scene.base.volumes)
        return Merge(
            project=self._scene.project,
            fragments=tuple(render.output for render in self.renders),
            volumes=tuple(sorted(name for name in mine if "$" not in name)),
            output=f"{self._scene.paths.state}/override.yml",
        )

    @cached_property
    def check(self) -> Check:
        """Has compose judge the override."""
        return Check(
            base=self._scene.base_digest,
            compose=self._scene.compose,
            input=self.merge.output,
            output=self._scene.paths.beside("docker-compose.hsm.yml"),
        )

    @cached_property
    def builds(self) -> tuple[Build, ...]:
        """The images to build."""
        return tuple(step for name in sorted(self._scene.chosen.forms) if (step := self.build(name)))

    @cached_property
    def ups(self) -> tuple[Up, ...]:
        """The services to start."""
        return tuple(step for name in sorted(self._scene.chosen.forms) if (step := self.up(name)))

    @property
    def later(self) -> tuple[Step, ...]:
        """Those that come after a sync."""
        return (*self.builds, *self.ups)

    @cached_property
    def of_sync(self) -> tuple[Step, ...]:
        """Those that a sync is made of, in an order in which they could run one by one."""
        return (*self.clones, *self.resolves, self.lock, *self.renders, self.merge, self.check)

    @property
    def steps(self) -> tuple[Step, ...]:
        """All of them, flat, in such an order."""
        return (*self.of_sync, *self.later)

    # --- one by one

    def draft(self, name: str) -> Draft:
        """What is drawn of a service."""
        if name not in self._drafts:
            self._drafts[name] = _draft(self._scene.chosen.forms[name], self._scene)
        return self._drafts[name]

    def build(self, name: str) -> Build | None:
        """None where no image is built for that service, or there is no such service."""
        if name not in self._builds:
            self._builds[name] = self._make_build(name)
        return self._builds[name]

    def up(self, name: str) -> Up | None:
        """None for a service that does not run, or that there is not."""
        if name not in self._ups:
            self._ups[name] = self._make_up(name)
        return self._ups[name]

    def _make_build(self, name: str) -> Build | None:
        keys = self._recipe(name)
        if keys is None:
            return None
        form = self._scene.chosen.forms[name]
        others = tuple(sorted(other for other in _contexts(keys) - {name} if self._recipe(other) is not None))
        return _build(form, keys, self.draft(name), others, self._scene)

    def _make_up(self, name: str) -> Up | None:
        chosen = self._scene.chosen
        if name not in chosen.forms or chosen.forms[name].mode == "off":
            return None
        needed = sorted(reachable(name, chosen))
        return Up(
            name=name,
            builds=tuple(other for other in needed if self._recipe(other) is not None),
            mounts=tuple(path for other in needed for path in _mounts(self.draft(other), self._scene)),
        )

    def _recipe(self, name: str) -> Keys | None:
        """The build section of a service whose image is built."""
        if name not in self._recipes:
            form = self._scene.chosen.forms.get(name)
            builds = form is not None and form.mode in ("dev", "base")
            self._recipes[name] = _build_keys(self._scene.chosen.forms[name], self.draft(name)) if builds else None
        return self._recipes[name]


def plan(scene: Scene) -> Plan:
    """The steps of a stack."""
    return Plan(scene)


# --- what is made of it -----------------------------------------------------------------------------------------


def _checkout(form: Form, scene: Scene) -> str | None:
    repository = form.service.repository if form.service else None
    return scene.paths.from_base(scene.paths.checkout(repository)) if repository else None


def _draft(form: Form, scene: Scene) -> Draft:
    return render(form, scene.chosen, Site(checkout=_checkout(form, scene), schema=scene.schema))


def _render(form: Form, draft: Draft, scene: Scene) -> Render:
    state = scene.paths.state
    repository = form.service.repository if form.service and form.mode == "dev" else None
    return Render(
        name=form.name,
        mode=form.mode,
        draft=draft,
        pins=pins(open_pins(draft), scene),
        mounts=_mounts(draft, scene),
        after=(f"clone:{repository.name}",) if repository else (),
        output=f"{state}/fragments/{form.name}.yml",
    )


def _mounts(draft: Draft, scene: Scene) -> tuple[str, ...]:
    mounted = sources((draft or {}).get("volumes"))
    return tuple(path if is_open(path) else scene.paths.to_workspace(path) for path in mounted)


def _build(form: Form, keys: Keys, draft: Draft, after: tuple[str, ...], scene: Scene) -> Build:
    dev = form.service.dev if form.service and form.mode == "dev" else Dev()
    context = keys.get("context")
    plain = isinstance(context, str) and "$" not in context and not is_remote(context)
    return Build(
        name=form.name,
        image=form.built_as(scene.project),
        recipe=keys,
        pins=pins(open_pins(keys), scene),
        context=scene.paths.to_workspace(str(context)) if plain else None,
        dockerfile=str(keys.get("dockerfile") or "Dockerfile"),
        hidden=_on_host(binds((form.base or {}).get("volumes"), (draft or {}).get("volumes")), scene),
        shown=_of_checkout(_watched(dev), form, scene),
        rebuild=None if dev.rebuild is None else _of_checkout(dev.rebuild, form, scene),
        after=after,
    )


def _contexts(keys: Keys) -> set[str]:
    """The services whose images a build starts from."""
    contexts = (str(place) for place in as_map(keys.get("additional_contexts")).values())
    return {place.removeprefix("service:") for place in contexts if place.startswith("service:")}


def _build_keys(form: Form, draft: Draft) -> Keys | None:
    drawn = (draft or {}).get("build")
    below = (form.base or {}).get("build")
    keys: Keys | None = drawn.tree if isinstance(drawn, Override) else append(below, drawn)
    return keys or None


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


def reachable(name: str, chosen: Chosen) -> frozenset[str]:
    """A service and everything that it depends on, directly or not."""
    found, waiting = {name}, [name]
    while waiting:
        for other in chosen.needs(waiting.pop()):
            if other not in found:
                found.add(other)
                waiting.append(other)
    return frozenset(found)
