"""The files of a state: hsm.yaml and what it includes, hsm.local.yaml, the base in several files, .env, settings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

from tests.model.servers import Servers
from tests.model.stack import MIRRORED, State, Tree, Writer, Written, filled, name


def written(state: State, servers: Servers) -> Written:
    """A state with its files, by their paths below the workspace."""
    writer = Writer(state, servers)
    out = writer.trees()
    out.files = dict(_files(writer, out))
    return out


def _files(writer: Writer, out: Written) -> Iterator[tuple[str, str]]:
    shop, order = "stacks/shop", writer.stack["order"]
    split = {name(slot) for slot in writer.slots if writer.services[slot]["named"] == 2}
    shared = {key: out.hsm["services"][key] for key in split}
    main = {**out.hsm, "services": {k: v for k, v in out.hsm.get("services", {}).items() if k not in split}}
    common: Tree = filled({"services": shared})
    if writer.stack["shared_default"]:
        common["defaults"] = {"prod": {"labels": {"shared": "yes"}}, "dev": {"labels": {"shared": "yes"}}}
    if common:
        main["include"] = ["../common.yaml"]
        yield "stacks/common.yaml", _text(order, common)
    yield f"{shop}/hsm.yaml", f"# comment {writer.stack['comment']}\n{_text(order, filled(main))}"
    if out.local:
        yield f"{shop}/hsm.local.yaml", _text(order, out.local)
    yield from _base_files(writer, shop, out)
    env = {"TAG": ("", "1.1.0", "1.2.0")[writer.stack["tag_file"]], "PORT": ("", "8085", "8086")[writer.stack["port"]]}
    if lines := [f"{key}={value}\n" for key, value in env.items() if value]:
        yield f"{shop}/.env", "".join(lines)
    settings = f'mirrors = {{"{MIRRORED}" = "{writer.servers.registry.url}"}}\nrepos_dir = "{out.repos}"\n'
    yield "pyproject.toml", f"[tool.hsm]\njobs = {2 + 4 * writer.stack['jobs']}\n{settings}"
    yield f"{shop}/ctx/src/a", "a\n"
    yield f"{shop}/conf/a", "a\n"


def _base_files(writer: Writer, shop: str, out: Written) -> Iterator[tuple[str, str]]:
    """base 2: in an included file, where it needs nobody; base 3: it extends a template."""
    order = writer.stack["order"]
    places: dict[str, Tree] = {"docker-compose.yml": {}, "more.yml": {}}
    templates: Tree = {}
    for slot in (slot for slot in writer.slots if name(slot) in out.base):
        keys, place = out.base[name(slot)], "docker-compose.yml"
        linked = {"depends_on", "links", "volumes_from", "network_mode", "ipc", "networks", "volumes"} & keys.keys()
        if writer.services[slot]["base"] == 2 and not linked:
            place = "more.yml"
            if "build" in keys:  # compose tells the paths of an included file from the root of the base, without ./
                out.base[name(slot)] = {**keys, "build": {**keys["build"], "context": "ctx"}}
        if writer.services[slot]["base"] == 3 and "environment" in keys:
            templates[name(slot)] = {"environment": keys["environment"]}
            keys = {key: value for key, value in keys.items() if key != "environment"}
            keys["extends"] = {"file": "template.yml", "service": name(slot)}
        places[place][name(slot)] = keys
    volumes: Tree = {f"data-{slot}": {} for slot in writer.slots if f"data-{slot}:/data" in repr(out.base)}
    tops: Tree = {"include": ["more.yml"]} if places["more.yml"] else {}
    tops |= {"volumes": volumes} if volumes else {}
    tops |= {"networks": {"front": {}}} if "front" in repr(out.base) else {}
    for path, services in places.items():
        if services or path == "docker-compose.yml":
            yield f"{shop}/{path}", _text(order, {"services": services, **(tops if path[0] == "d" else {})})
    if templates:
        yield f"{shop}/template.yml", _text(order, {"services": templates})
    first = next(iter(places["docker-compose.yml"]), None)
    over: Tree = {"services": {first: {"stop_grace_period": f"{writer.stack['extra']}s"}} if first else {}}
    yield f"{shop}/extra.yml", _text(order, over)
    if writer.stack["extra"] and first:
        yield f"{shop}/docker-compose.override.yml", _text(order, over)


def _text(order: int, tree: Tree) -> str:
    if order:
        tree = _reversed(tree)
    return str(yaml.dump(tree, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper), sort_keys=False))




def _reversed(tree: Any) -> Any:
    """Mappings the other way round: the same to every reader of YAML."""
    if isinstance(tree, dict):
        return {key: _reversed(tree[key]) for key in reversed(tree)}
    return [_reversed(item) for item in tree] if isinstance(tree, list) else tree
