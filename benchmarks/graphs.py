"""The graph of a sync for other tools: the same steps, files and edges, for ninja and for doit as it comes."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

from benchmarks.workspaces import DATABASES, WATCHERS, Shape

Node = dict[str, list[str] | str]

DODO = '''\
import json
from pathlib import Path
from doit.tools import config_changed

DOIT_CONFIG = {"backend": "sqlite3", "default_tasks": ["sync"], "verbosity": 0}


def touch(targets):
    for target in targets:
        Path(target).write_text("made")


def task_step():
    for node in json.loads(Path("graph.json").read_text()):
        yield {
            "name": node["name"],
            "actions": [touch],
            "file_dep": node["in"],
            "targets": node["out"],
            "uptodate": [config_changed({"config": node["config"]})],
        }


def task_sync():
    return {"actions": None, "task_dep": ["step:lock", "step:check"]}
'''


def nodes(shape: Shape) -> Iterator[Node]:
    """Steps in an order in which they could run."""
    images = [*shape.prod, *((*DATABASES[:1], *WATCHERS[:1]) if shape.groups else ())]
    off = [*DATABASES[1:], *WATCHERS[1:]] if shape.groups else []
    pins, clones = {name: f"pins/{name}.json" for name in images}, {name: f"clones/{name}.json" for name in shape.dev}
    fragments = {name: f"fragments/{name}.yml" for name in (*shape.names, *images, *off)}
    yield from (_node("resolve", name, [], [path]) for name, path in pins.items())
    yield from (_node("clone", name, [], [path]) for name, path in clones.items())
    yield {"name": "lock", "in": [*pins.values(), *clones.values()], "out": ["hsm.lock"], "config": "lock"}
    for name, path in fragments.items():
        above = pins.get(name) or clones.get(name)
        yield _node("render", name, [above] if above else [], [path])
    yield {"name": "merge", "in": [*fragments.values()], "out": ["override.yml"], "config": "merge"}
    yield {"name": "check", "in": ["override.yml"], "out": ["docker-compose.hsm.yml"], "config": "check"}


def _node(step: str, name: str, above: list[str], made: list[str]) -> Node:
    return {"name": f"{step}:{name}", "in": above, "out": made, "config": f"{step} {name}"}


def make_ninja(folder: Path, shape: Shape) -> Path:
    """build.ninja, built once."""
    folder.mkdir(parents=True)
    lines = ["rule step", "  command = touch $out # $config", "  description = $config", ""]
    for node in nodes(shape):
        lines += [f"build {' '.join(node['out'])}: step {' '.join(node['in'])}", f"  config = {node['config']}"]
    (folder / "build.ninja").write_text("\n".join([*lines, "default hsm.lock docker-compose.hsm.yml", ""]))
    subprocess.run(["ninja", "--quiet"], cwd=folder, check=True)
    return folder


def make_doit(folder: Path, shape: Shape, doit: str) -> Path:
    """A plain dodo.py, run once."""
    for name in ("pins", "clones", "fragments"):
        (folder / name).mkdir(parents=True)
    (folder / "dodo.py").write_text(DODO)
    (folder / "graph.json").write_text(json.dumps(list(nodes(shape))))
    subprocess.run([doit, "sync"], cwd=folder, check=True, capture_output=True)
    return folder
