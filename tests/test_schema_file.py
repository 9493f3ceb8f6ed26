"""The shipped JSON Schemas: true to the model, kind to what loads, and against what does not."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped, unused-ignore]
from ruamel.yaml import YAML

from hsm_tasks.stack import schemas

ROOT = Path(__file__).resolve().parents[1]
TEXT_ONLY = "strings-stay-strings"  # a bare `010` in a command: hsm takes it for text, an editor for a number


def _loads(stack: Path) -> bool:
    return not (stack / "expected-error.txt").exists() and stack.name != TEXT_ONLY


FILES = [
    *sorted(ROOT.glob("stacks/**/*.yaml")),
    *sorted(path for path in ROOT.glob("tests/stacks/*/hsm*.yaml") if _loads(path.parent)),
]


def examples() -> Iterator[Any]:
    """Every block of YAML in the manual that says which of the two files it is."""
    text = (ROOT / "docs/manual.md").read_text()
    for number, found in enumerate(re.finditer(r"```yaml\n# (hsm(?:\.local)?\.yaml)\b.*?\n(.*?)```", text, re.DOTALL)):
        yield pytest.param(found[1], found[2], id=f"{number}-{found[1]}")


@cache
def checker(name: str) -> Draft202012Validator:
    text = schemas.shipped(schemas.LOCAL if "local" in name else schemas.STACK)
    Draft202012Validator.check_schema(json.loads(text))
    return Draft202012Validator(json.loads(text))


def mistakes(name: str, text: str) -> list[str]:
    """What an editor would underline: YAML 1.2 with its types."""
    tree = YAML(typ="safe", pure=True).load(text)
    errors = checker(name).iter_errors(with_text_keys(tree) or {})
    return [f"{'.'.join(map(str, error.absolute_path))}: {error.message}" for error in errors]


def with_text_keys(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {str(key): with_text_keys(value) for key, value in tree.items()}
    return [with_text_keys(item) for item in tree] if isinstance(tree, list) else tree


@pytest.mark.parametrize("name", [schemas.STACK, schemas.LOCAL])
def test_the_shipped_schema_is_that_of_the_model(name: str) -> None:
    assert schemas.shipped(name) == schemas.made()[name], "run: python -m hsm_tasks.stack.schemas"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_stacks_that_load_pass(path: Path) -> None:
    assert mistakes(path.name, path.read_text()) == []


@pytest.mark.parametrize(("name", "text"), list(examples()))
def test_examples_of_the_manual_pass(name: str, text: str) -> None:
    assert mistakes(name, text) == []


@pytest.mark.parametrize(
    "text",
    [
        "service: {}",
        "mode: develop",
        "services: {api: {mod: dev}}",
        "services: {api: {repo: https://git.example/api.git}}",
        "services: {api: {repo: {branch: main}}}",
        "services: {api: {dev: {image: nginx}}}",
        "services: {api: {prod: {build: .}}}",
        "services: {api: {prod: {replicas: two}}}",
        "services: {api: {dev: {volumes: ./src:/src}}}",
        "services: {api: {dev: {enviroment: {A: b}}}}",
        "services: {api: {dev: {restart: [always]}}}",
        "services: [api]",
        "groups: {database: {strategy: one-of-N}}",
        "groups: {database: {options: {pg: {consumer: {}}}}}",
        "groups: {database: {options: {pg: {consumers: {api: {enviroment: {}}}}}}}",
    ],
)
def test_typical_mistakes_are_underlined(text: str) -> None:
    assert mistakes("hsm.yaml", text)


@pytest.mark.parametrize("text", ["name: shop", "services: {api: {repo: {url: x}}}", "groups: {db: {alias: db}}"])
def test_what_hsm_local_yaml_may_not_set_is_underlined(text: str) -> None:
    assert mistakes("hsm.local.yaml", text)


@pytest.mark.parametrize(
    "text",
    [
        "x-mine: 1",
        "services:",
        "services: {api: }",
        'services: {api: {prod: {version: 1.4, limits: {cpus: 0.5, pids: "9"}}}}',
        "services: {api: {dev: {environment: [A=1], ports: [8080], build: .}}}",
        "services: {api: {repo: {ref: 1234567}}}",
    ],
)
def test_what_hsm_takes_in_several_ways_passes(text: str) -> None:
    assert mistakes("hsm.yaml", text) == []


@pytest.mark.parametrize("name", [schemas.STACK, schemas.LOCAL])
def test_every_key_has_a_description_and_an_example(name: str) -> None:
    schema = json.loads(schemas.shipped(name))
    structs = [schema, *(part for key, part in schema["$defs"].items() if not key.startswith("compose-"))]
    for struct in structs:
        for key, value in struct["properties"].items():
            assert value.get("description"), key
            assert value.get("examples"), key


def test_examples_pass_their_own_schema() -> None:
    for name in (schemas.STACK, schemas.LOCAL):
        schema = json.loads(schemas.shipped(name))
        for struct in (schema, *schema["$defs"].values()):
            for key, value in struct.get("properties", {}).items():
                for example in value.get("examples", ()):
                    inner = {"$defs": schema["$defs"], **value}
                    assert not list(Draft202012Validator(inner).iter_errors(example)), (name, key, example)
