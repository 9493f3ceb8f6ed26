"""Values of the core from short texts: a stack, a base, what is chosen, a scene."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hsm_tasks.core import scalars
from hsm_tasks.core.choose import Chosen, Finding, choose
from hsm_tasks.core.load import Source, load
from hsm_tasks.core.lock import Lock
from hsm_tasks.core.model import Base, Pin, Stack
from hsm_tasks.core.needs import named_images
from hsm_tasks.core.plan import Plan
from hsm_tasks.core.render import Site, fill, open_pins, render
from hsm_tasks.core.scene import Paths, Scene
from tests.support.dumped import parse_dump

SCHEMA = scalars.schema_from((Path(scalars.__file__).parent / "compose-spec.json").read_text("utf-8"))
CHECKOUT = "../../repos/api"
REPO = 'repo: {url: "https://git.example/api.git", ref: main}'


def stack(text: str, local: str | None = None) -> Stack:
    """Of the text of hsm.yaml, and of hsm.local.yaml."""
    mine = Source("hsm.local.yaml", local, ".") if local is not None else None
    return load([Source("hsm.yaml", text, ".")], mine, SCHEMA)


def tree(text: str) -> Any:
    """YAML with the types that compose gives."""
    return parse_dump(text, "tree.yml")


def base(text: str) -> Base:
    """The services of a base, in the form in which compose prints them."""
    return Base(name="shop", services=tree(text))


def chosen(hsm: str, services: str) -> Chosen:
    found, findings = choose(stack(hsm), base(services))
    assert not findings, findings
    return found


def findings(hsm: str, services: str) -> list[tuple[str, str]]:
    """(path, message) of each."""
    found: tuple[Finding, ...] = choose(stack(hsm), base(services))[1]
    return [(".".join(map(str, finding.path)), finding.message) for finding in found]


def drawn(hsm: str, services: str, name: str = "api", checkout: str | None = None) -> Any:
    """The draft of a service."""
    here = chosen(hsm, services)
    own = here.forms[name].service
    seen = checkout or (CHECKOUT if own and own.repository else None)
    return render(here.forms[name], here, Site(checkout=seen, schema=SCHEMA))


def fragment(hsm: str, services: str, name: str = "api", healthcheck: bool = False) -> Any:
    """A fragment as a tree; each image that it waits for is `PINNED-service`."""
    draft = drawn(hsm, services, name)
    pins = {hole.key: Pin(image=f"PINNED-{hole.key}", healthcheck=healthcheck) for hole in open_pins(draft)}
    return tree(fill(name, draft, pins))["services"].get(name, {})


PATHS = Paths(stack="stacks/shop", base="stacks/shop", state=".hsm/shop", repos="repos")


def scene(hsm: str, services: str, local: str | None = None, **more: Any) -> Scene:
    """A stack in stacks/shop, with nothing in its locks; images have no variables."""
    return scene_of(stack(hsm), stack(hsm, local), base(services), **more)


def scene_of(committed: Stack, mine: Stack, below: Base, **more: Any) -> Scene:
    """The same of values: the stack as committed and as it is here, and the base."""
    here, there = choose(mine, below)[0], choose(committed, below)[0]
    written = {form.image for either in (committed, mine) for form in named_images(either, below) if form.image}
    values: Mapping[str, Any] = {
        "images": {image: image for image in written},
        "lock": Lock(),
        "local_lock": Lock(),
        "last_lock": Lock(),
        "paths": PATHS,
        "base_digest": "digest",
        "compose": "compose",
        "project": "shop",
    }
    return Scene(
        stack=mine,
        committed=committed,
        base=below,
        chosen=here,
        committed_choice=there,
        schema=SCHEMA,
        **{**values, **more},
    )


def names(plan: Plan) -> list[str]:
    return str(plan).split("\n")
