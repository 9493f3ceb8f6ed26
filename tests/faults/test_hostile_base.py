"""A base of an attacker: whatever the compose files say, hsm ends with a sentence, soon, starts git and docker only,
and writes nowhere but in the workspace.

Most of them are trees as compose would print them, which go through all that is worked out of a base. A few are files,
and go through compose itself.
"""

from __future__ import annotations

import json
import os
import posixpath
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hsm_tasks.core import diagrams, propose
from hsm_tasks.core.bundle import Site, bundle
from hsm_tasks.core.choose import choose
from hsm_tasks.core.drawing import draw
from hsm_tasks.core.errors import ConfigError, HsmError
from hsm_tasks.core.merge import merge
from hsm_tasks.core.model import Base, Pin, Stack
from hsm_tasks.core.plan import Plan, handed_over, label, plan, synced
from hsm_tasks.core.render import fill
from hsm_tasks.core.scene import Scene
from hsm_tasks.stack.reading import base_in
from tests.faults.bases import BESIDE, ENVIRONMENTS, FILES, RIGHT_FILE, Shaper
from tests.faults.hostile import nothing_but_reading, programs
from tests.faults.kills import Stage
from tests.faults.test_trouble import alarm
from tests.model.hsm import call
from tests.support import stage as values
from tests.support.dumped import parse_dump

LONG = bool(os.environ.get("HSM_LONG"))
MANY = 125_000 if LONG else 1500
STACKS = (
    "{}",
    """\
services:
  api: {mode: dev, repo: {url: "https://git.example/api.git"}, dev: {volumes: ["./src:/src"], ports: ["80:80"]}}
  web: {prod: {image: "registry.example/web:1", limits: {memory: 64M}}}
groups: {database: {strategy: 1-of-N, alias: db, options: {pg: {consumers: {api: {environment: {A: b}}}}, my: {}},
         selection: pg}}
""",
    """\
mode: dev
services: {api: {dev: {watch: [{action: rebuild, path: .}]}}, web: {oneshot: true}, job: {prod: {replicas: 2}}}
groups: {more: {strategy: M-of-N, options: [pg, my], selection: [my]},
         tools: {strategy: M-of-N, profiles: [api], selection: []}}
""",
    "{services: {api: {}, web: {mode: dev, dev: {build: ./x}}}, groups: {db: {strategy: 1-of-N, options: [pg, api], "
    "selection: api}}}",
)


def test_no_base_of_an_attacker_makes_a_traceback() -> None:
    seed = random.randrange(1 << 30)
    shaper = Shaper(seed)
    stacks = [values.stack(text) for text in STACKS]
    through = 0
    for number in range(MANY):
        tree = shaper.base()
        try:
            with nothing_but_reading():
                through += as_a_base(tree, stacks[number % len(stacks)], broken=shaper.broken)
        except BaseException:
            print(f"seed {seed}, number {number}:\n{json.dumps(tree)}")  # pytest shows it
            raise
    assert through > MANY / 4, f"only {through} of {MANY} were more than a mistake: seed {seed}"


def as_a_base(tree: Any, stack: Stack, *, broken: bool) -> bool:
    """Whether it got as far as a plan."""
    try:
        base = base_in(json.dumps(tree), ".")
    except HsmError as error:
        assert "Traceback" not in str(error)
        return False
    proposed(base)
    if choose(stack, base)[1]:
        return False
    scene = values.scene_of(stack, stack, base)
    drawn = plan(scene)
    for path in written_by(drawn):
        assert posixpath.normpath(path) == path and path.startswith((".hsm/shop/", "stacks/shop/")), path
    overridden(drawn)
    pictured(scene, drawn)
    if not broken:
        packed(tree, scene)
    return True


def proposed(base: Base) -> None:
    """What init would write can be read, or what is wrong in it is said."""
    made = propose.propose(base, propose.Facts(schema="x", made_from=["docker-compose.yml"]))
    try:
        values.stack(made.config)
    except ConfigError as error:
        assert "Traceback" not in str(error)


def written_by(drawn: Plan) -> Iterator[str]:
    yield from (step.output for step in drawn.clones)
    yield from (step.output for step in drawn.resolves)
    yield from (*(step.output for step in drawn.renders), drawn.merge.output, drawn.check.output)
    yield from (step.healthcheck for step in drawn.resolves if step.healthcheck)
    yield from (path for step in drawn.renders for path in step.pins.values())


def overridden(drawn: Plan) -> None:
    """Each fragment is about its own service, and nothing in it has become something else on the way through YAML."""
    fragments = []
    for step in drawn.renders:
        text = fill(step.name, step.draft, {key: Pin(image="a@sha256:0", healthcheck=True) for key in step.pins})
        assert set(parse_dump(text, "fragment.yml")["services"]) <= {step.name}
        fragments.append(text)
    whole = parse_dump(merge(drawn.merge.project, fragments, drawn.merge.volumes), "override.yml")
    assert set(whole) <= {"name", "services", "volumes"}
    assert set(whole.get("services", {})) <= {step.name for step in drawn.renders}


def pictured(scene: Scene, drawn: Plan) -> None:
    steps = [{"name": label(step), "state": "run", "reasons": ["x"]} for step in drawn.steps]
    picture = draw(scene, drawn, {"stack": "shop", "steps": steps}, str)
    assert diagrams.mermaid(picture)
    assert diagrams.dot(picture)
    for step in drawn.renders:
        synced(handed_over(step.name, scene, step.draft), scene)


def packed(model: Any, scene: Scene) -> None:
    made = bundle(model, scene.chosen.forms, Site("stacks/shop", ("repos",)))
    for one in made.carried:
        for path in (one.source, one.target):
            assert posixpath.normpath(path) == path and not path.startswith(("/", "..")), path


RUN = random.Random(os.environ.get("PYTEST_XDIST_TESTRUNUID"))  # the same choice in each process of a run
EACH = tuple(FILES) if LONG else tuple(sorted(FILES))[RUN.randrange(20) :: 20]
"""Each goes through compose a few times, so it takes a second."""
PROGRAMS = {"git", "docker", "docker-compose", "env"}


@pytest.mark.parametrize("what", EACH)
def test_a_compose_file_of_an_attacker_costs_a_sentence(stage: Stage, what: str) -> None:
    own = laid_out(stage)
    data = FILES[what]
    (own / "docker-compose.yml").write_bytes(data if isinstance(data, bytes) else data.encode(errors="surrogatepass"))
    judged(stage, what)


@pytest.mark.parametrize("what", tuple(ENVIRONMENTS) if LONG else sorted(ENVIRONMENTS)[RUN.randrange(14) :: 14])
def test_an_env_file_of_an_attacker_costs_a_sentence(stage: Stage, what: str) -> None:
    own = laid_out(stage)
    data = ENVIRONMENTS[what]
    (own / ".env").write_bytes(data if isinstance(data, bytes) else data.encode())
    judged(stage, what)


def laid_out(stage: Stage) -> Path:
    """A new workspace, with what hostile files lead to beside them."""
    stage.bring_back("new")
    own = stage.root / "stacks/shop"
    (own / "docker-compose.yml").write_text(RIGHT_FILE)
    for name, text in BESIDE.items():
        (own / name).write_text(text)
    os.mkfifo(own / "pipe")
    with (own / "huge.yml").open("wb") as huge:
        huge.truncate(100 << 20)
    return own


def judged(stage: Stage, what: str) -> None:
    here = sorted(Path.cwd().iterdir())
    for words in (("--continue", "sync"), ("plan", "use:my", "up"), ("status",), ("--continue", "dev:api")):
        outside = around(stage)
        with programs() as started, alarm(what, 120):
            done = call(stage.root, stage.environ, *words)
        story = f"{what}, {words}: exit {done.code}\n{done.said[:5000]}"
        assert done.code in (0, 1, 3), story
        assert "Traceback" not in done.said, story
        assert {Path(program).name for program in started} <= PROGRAMS, f"{story}\n{started}"
        assert around(stage) == outside, story
        for path in stage.root.rglob("*"):
            assert path.relative_to(stage.root).parts[0] in USUAL, f"{story}\n{path}"
    assert sorted(Path.cwd().iterdir()) == here, what


USUAL = {".git", ".gitignore", ".hsm", "stacks", "repos", "pyproject.toml"}


def around(stage: Stage) -> dict[str, int]:
    """What lies outside the workspace, by its time; a folder of sources has git's own files."""
    found = (path for path in stage.folder.rglob("*") if stage.root not in (path, *path.parents))
    kept = (path for path in found if path.name not in ("run.log", "said.log") and path.is_file())
    return {str(path): path.lstat().st_mtime_ns for path in kept}
