"""Every message that a user can meet has a code, and every code has a section in the page of errors."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from hsm_tasks.aside import explain
from hsm_tasks.core import codes

ROOT = Path(__file__).resolve().parents[2]
RAISED = {"mistake", "HsmError", "GitError", "RegistryError", "ImageNotFound", "Kept", "problem", "Problem", "Finding",
          "Mistake", "refusal"}  # fmt: skip
PLACE_OF_MESSAGE = {"Problem": 4, "Mistake": 1, "refusal": 2, "problem": 2}
VALUE_ERRORS = {"reference.py", "tags.py"}  # their sentences become messages
RETURNED = {"giturl.py"}
PASSED_ON = re.compile(r"X(: X)?(\n.*)?", re.DOTALL)  # what another program, or another message, says
FILLED_IN = {"X is not X", "X is not X (X)"}  # diagnose says of what kind a value is not


def messages() -> Iterator[tuple[str, str]]:
    """(where, the message with X for what is filled in) of everything that is raised as a mistake or a failure."""
    for path in sorted((ROOT / "hsm_tasks").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            where = f"{path.name}:{getattr(node, 'lineno', 0)}"
            for text in _texts(node, path.name):
                if text not in FILLED_IN and not PASSED_ON.fullmatch(text):
                    yield where, text


def _texts(node: ast.AST, file: str) -> Iterator[str]:
    if isinstance(node, ast.Call):
        name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        said = {word.arg: word.value for word in node.keywords}
        if name in RAISED:
            place = 1 if ast.unparse(node.func) == "self.problem" else PLACE_OF_MESSAGE.get(name, 0)
            yield from _spelled(said.get("message") or (node.args[place] if len(node.args) > place else None))
        if name == "add" and ast.unparse(node.func).startswith("findings") and len(node.args) > 1:
            yield from _spelled(node.args[1])
        if name == "ValueError" and file in VALUE_ERRORS and node.args:
            yield from _spelled(node.args[0])
        yield from _spelled(said.get("explain"))
    if isinstance(node, ast.Return) and file in RETURNED:
        yield from _spelled(node.value)
    if isinstance(node, ast.Yield) and file == "settings.py" and isinstance(node.value, ast.Tuple):
        yield from _spelled(node.value.elts[1])
    if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in ("message", "explain"):
        yield from _spelled(node.value)


def _spelled(node: ast.AST | None) -> Iterator[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
        yield node.value
    elif isinstance(node, ast.JoinedStr):
        yield "".join(str(part.value) if isinstance(part, ast.Constant) else "X" for part in node.values)
    elif isinstance(node, ast.IfExp):
        yield from (*_spelled(node.body), *_spelled(node.orelse))


MESSAGES = sorted(set(messages()))


def test_the_messages_are_found_at_all() -> None:
    assert len(MESSAGES) > 150


@pytest.mark.parametrize(("where", "text"), MESSAGES, ids=[where for where, _ in MESSAGES])
def test_every_message_has_a_code(where: str, text: str) -> None:
    assert codes.of(text), f"{where}: {text!r} is of no kind in core/codes.py"


def test_every_kind_has_messages() -> None:
    assert {codes.of(text) for _, text in MESSAGES} >= set(codes.CODES)


@pytest.mark.parametrize("code", codes.CODES)
def test_every_code_has_a_section_with_an_example(code: str) -> None:
    section = explain.section(code)
    assert section.startswith(f"## {code} {codes.CODES[code].title}\n")
    assert "\n    " in section, "an example"
    assert len(section) < 2500


@pytest.mark.parametrize("code", codes.CODES)
def test_the_example_of_a_section_is_of_its_code(code: str) -> None:
    shown = "\n".join(line[4:] for line in explain.section(code).splitlines() if line.startswith("    "))
    assert code in codes.mentioned(shown), shown


def test_the_page_in_docs_is_the_one_that_is_shipped() -> None:
    assert (ROOT / "docs/errors.md").read_text() == explain.page(), "run: python -m hsm_tasks.aside.explain"


def test_no_section_is_of_a_code_that_there_is_not() -> None:
    assert re.findall(r"^## (\S+)", explain.page(), re.MULTILINE) == list(codes.CODES)


def test_codes_are_found_below_places_and_once_each() -> None:
    text = (
        'stacks/shop/hsm.yaml:3:5: services.api: unknown key\n  hint: did you mean "dev"?\n'
        'hsm.yaml:4:5: services."a: b".mode: "x" is not a mode (dev or prod)\nhsm.yaml:9:1: unknown key\n'
    )
    assert codes.mentioned(text) == ("H103", "H106")
    assert codes.mentioned("something else\n  hint: unknown key") == ()
