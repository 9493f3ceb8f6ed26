"""The documents say what the program does: each command, setting and key is there, and each example loads."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hsm_tasks.core import load, lock, settings
from hsm_tasks.core.choose import choose
from hsm_tasks.core.model import Base, Settings, Stack
from hsm_tasks.core.render import Site, render
from hsm_tasks.core.scalars import Schema, schema_from, typed
from hsm_tasks.core.schema import DevKeys, LocalFile, ProdKeys, StackFile
from hsm_tasks.core.yamltext import parse
from hsm_tasks.screen.words import COMMANDS, NEEDS_NAME

ROOT = Path(__file__).resolve().parent.parent
README, RUSSIAN, MANUAL, DECISIONS, CHANGES = (
    ROOT / name for name in ("README.md", "README.ru.md", "docs/manual.md", "docs/decisions.md", "CHANGELOG.md")
)
DOCUMENTS = (README, RUSSIAN, MANUAL, DECISIONS, CHANGES, ROOT / "docs/custom-tasks.md")


@cache
def schema() -> Schema:
    return schema_from((ROOT / "hsm_tasks/core/compose-spec.json").read_text(encoding="utf-8"))


def blocks(path: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def examples(name: str) -> list[str]:
    """The YAML blocks of the manual that are a whole file of this name: their first line says so."""
    return [block for block in blocks(MANUAL, "yaml") if block.startswith(f"# {name}\n")]


def section(path: Path, title: str) -> str:
    _, _, rest = path.read_text(encoding="utf-8").partition(f"\n## {title}\n")
    assert rest, f"{path.name} has no section {title}"
    return rest.partition("\n## ")[0]


# --- commands ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [*COMMANDS, "hsm compose"])
def test_every_command_is_in_the_table_of_the_readme_and_in_the_manual(command: str) -> None:
    word = f"{command}:" if command in NEEDS_NAME else command
    rows = [line.split("|")[1] for line in section(README, "Commands").splitlines() if line.startswith("|")]
    assert any(f"`{word}" in row for row in rows), f"README has no row for {command}"
    assert f"`{word}" in section(MANUAL, "Commands"), f"the manual does not speak of {command}"


def test_the_readme_names_no_command_that_there_is_not() -> None:
    rows = [line.split("|")[1] for line in section(README, "Commands").splitlines() if line.startswith("| `")]
    heads = {re.split(r"[: \[]", word)[0] for row in rows[: len(COMMANDS)] for word in re.findall(r"`([^`]+)`", row)}
    own = {"hsm", "list", "info", "forget", "clean", "help"}
    assert heads - own == set(COMMANDS)


def skeleton(path: Path) -> list[object]:
    """What a translation must have in common with its original: headings by level, first cells, links, blocks."""
    text = path.read_text(encoding="utf-8")
    blocks = re.findall(r"^```\w*\n[\s\S]*?^```$|(?:^ {4}.*\n?)+", text, re.MULTILINE)
    words = [[line.partition("  #")[0].split()[:2] for line in block.splitlines()] for block in blocks[1:]]
    cells = re.findall(r"^\| (`[^|]*`|\d+) \|", text, re.MULTILINE)
    links = [link for link in re.findall(r"\]\(([^)]+)\)", text) if not link.startswith("README")]
    return [re.findall(r"^(#+) ", text, re.MULTILINE), cells, sorted(links), len(blocks), words[1:-1]]


def test_the_russian_readme_is_whole() -> None:
    assert skeleton(RUSSIAN) == skeleton(README)


# --- keys ----------------------------------------------------------------------------------------------------------


def keys_of(model: type[msgspec.Struct]) -> Iterator[tuple[str, str]]:
    """(struct, key) of a struct and of every struct below it; compose's own keys of a service left out."""
    own = {"Dev": DevKeys, "Prod": ProdKeys}
    found = msgspec.json.schema_components([model])[1]
    for name, described in found.items():
        known = own[name].__struct_fields__ if name in own else tuple(described.get("properties", ()))
        if name != "Keys":
            yield from ((name, key) for key in known)


@pytest.mark.parametrize(("where", "key"), sorted({*keys_of(StackFile), *keys_of(LocalFile)}))
def test_every_key_of_hsm_yaml_is_explained(where: str, key: str) -> None:
    text = section(MANUAL, "hsm.local.yaml" if where.startswith("Local") else "hsm.yaml, key by key")
    assert re.search(rf"`(?:[\w*]+\.)*{key}(?:\.[\w*]+)*`", text), f"{where}: {key}"


def used(described: Mapping[str, Any], tree: Any, parts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(struct, key) of what stands in an example."""
    if not isinstance(tree, Mapping):
        return
    for one in described.get("anyOf", ()):
        yield from used(one, tree, parts)
    if isinstance(each := described.get("additionalProperties"), Mapping):
        for below in tree.values():
            yield from used(each, below, parts)
    name = described.get("$ref", "").rpartition("/")[2]
    for key, below in parts[name]["properties"].items() if name else ():
        if key in tree:
            yield name, key
            yield from used(below, tree[key], parts)


@pytest.mark.parametrize(("model", "name"), [(StackFile, "hsm.yaml"), (LocalFile, "hsm.local.yaml")])
def test_every_key_has_an_example(model: type[msgspec.Struct], name: str) -> None:
    (top,), parts = msgspec.json.schema_components([model])
    shown = {pair for text in examples(name) for pair in used(top, parse(text, name), parts)}
    assert set(keys_of(model)) - shown == set()


@pytest.mark.parametrize("key", [field.name for field in msgspec.structs.fields(Settings)])
def test_every_setting_is_in_the_example_of_the_settings(key: str) -> None:
    text = section(MANUAL, "Settings")
    assert re.search(rf"^(?:{key} = |\[tool\.hsm\.{key}[.\]])", text, re.MULTILINE)


# --- examples ------------------------------------------------------------------------------------------------------


def test_every_yaml_block_of_the_manual_says_which_file_it_is() -> None:
    names = ("hsm.yaml", "hsm.local.yaml", "hsm.lock", "docker-compose.yml")
    assert sum(len(examples(name)) for name in names) == len(blocks(MANUAL, "yaml"))
    assert all(examples(name) for name in names)


BESIDE = """
groups: {database: {strategy: 1-of-N, options: [postgres, mysql], selection: postgres}}
"""


@pytest.mark.parametrize("text", examples("hsm.yaml"))
def test_every_hsm_yaml_of_the_manual_loads(text: str) -> None:
    included = [load.Source(f"../{name}", BESIDE, "..") for name in load.includes(text, "hsm.yaml")]
    stack = load.load([*included, load.Source("hsm.yaml", text)], None, schema())
    assert stack != Stack(name=None, compose=None, compose_is_list=False, services={}, groups={})


def test_the_local_file_of_the_manual_fits_the_whole_example() -> None:
    (local,) = examples("hsm.local.yaml")
    stack = load.load(
        [load.Source("hsm.yaml", examples("hsm.yaml")[0])], load.Source("hsm.local.yaml", local), schema()
    )
    assert stack.groups["database"].selection == ("mysql",)


@pytest.mark.parametrize("mine", [None, examples("hsm.local.yaml")[0]], ids=["as committed", "with the local file"])
def test_the_whole_example_fits_its_base(mine: str | None) -> None:
    (text,) = examples("docker-compose.yml")
    services = parse(text, "docker-compose.yml")
    assert isinstance(services, dict)
    base = Base(name="shop", services={name: typed(keys, schema()) for name, keys in services["services"].items()})
    local = load.Source("hsm.local.yaml", mine) if mine else None
    stack = load.load([load.Source("hsm.yaml", examples("hsm.yaml")[0])], local, schema())
    chosen, findings = choose(stack, base)
    assert findings == ()
    assert all(
        render(form, chosen, Site(checkout="../../repos/x", schema=schema())) is not None
        for form in chosen.forms.values()
        if form.mode != "off"
    )


@pytest.mark.parametrize("text", examples("hsm.lock"))
def test_the_lock_of_the_manual_is_a_lock_and_written_as_hsm_writes_it(text: str) -> None:
    assert lock.dump(lock.parse(text, "hsm.lock")) == text.partition("\n")[2]


@pytest.mark.parametrize("text", blocks(MANUAL, "toml"))
def test_the_settings_of_the_manual_are_read(text: str) -> None:
    assert settings.parse(text, "pyproject.toml") != Settings()


# --- links ---------------------------------------------------------------------------------------------------------


def links(path: Path) -> list[str]:
    return [link for link in re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8")) if "://" not in link]


def anchors(path: Path) -> set[str]:
    """The names that a heading gets on the usual sites."""
    titles = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_relative_links_lead_to_files_and_headings(path: Path) -> None:
    for link in links(path):
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        assert target.exists(), f"{path.name}: {link}"
        assert not anchor or anchor in anchors(target), f"{path.name}: {link}"


def test_the_reading_order_names_files_that_are_there_and_the_package_repeats_it() -> None:
    table = [line for line in section(README, "Reading the code").splitlines() if re.match(r"\| \d", line)]
    files = [re.findall(r"\]\(([^)]+)\)", line)[0] for line in table]
    assert len(files) >= 5
    assert all((ROOT / name).is_file() for name in files)
    told = (ROOT / "hsm_tasks/__init__.py").read_text(encoding="utf-8")
    named = set(re.findall(r"[\w/]+\.py", told))
    assert {"core/model.py", "core/plan.py", "steps/tasks.py", "steps/actions.py"} <= named


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_no_document_speaks_of_one_machine(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"(?<![\w.])/(?:work|tmp|home|root)/", text)
