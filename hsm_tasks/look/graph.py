"""`graph`: the stack as a picture. It is drawn from what `plan` knows, takes no lock and writes one file at most."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from hsm_tasks.core import diagrams, picture, sheet
from hsm_tasks.core.drawing import Drawing, draw
from hsm_tasks.core.errors import HsmError, mistake
from hsm_tasks.core.plan import Plan
from hsm_tasks.effects import files, graphviz
from hsm_tasks.stack.scene import Opened
from hsm_tasks.stack.workspace import STATE

USUAL = ("sync", "build", "up")
"""The words that it is about where none are said: then every step that there is to do has its place."""
_HERE = Path(__file__).parents[1] / "page"


class Asked(msgspec.Struct, frozen=True):
    """`out`: a path relative to the workspace, "-" for stdout, None where nobody said. `words` are those of a plan."""

    form: str
    out: str | None
    words: tuple[str, ...]


def asked(rest: Sequence[str]) -> Asked:
    """What stands behind `graph` on the command line, taken apart."""
    values: dict[str, str] = {}
    words: list[str] = []
    waiting = list(rest)
    while waiting:
        word = waiting.pop(0)
        name, equals, value = word.partition("=")
        if name not in ("--format", "--out"):
            words.append(word)
            continue
        if not equals and not waiting:
            raise mistake(f"{name} needs a value", _HINT)
        values[name] = value if equals else waiting.pop(0)
    unknown = [word for word in words if word.startswith("-")]
    if unknown:
        raise mistake(f'graph does not know "{unknown[0]}"', _HINT)
    out = values.get("--out")
    form = values.get("--format") or _ENDINGS.get(Path(out or "").suffix, "html")
    if form not in FORMS:
        raise mistake(f'graph does not know the format "{form}"', _HINT)
    return Asked(form, out, tuple(words))


def shown(question: Asked, opened: Opened, plan: Plan, foreseen: Mapping[str, Any], clean: Callable[[str], str]) -> str:
    """What goes to stdout: the text itself, or the path of the file that it was written to."""
    root, out = opened.workspace.root, question.out
    if out not in (None, "-"):
        _refuse_foreign(root / out)
    text = FORMS[question.form](draw(opened.scene, plan, foreseen, clean))
    if out == "-" or (out is None and question.form in ("mermaid", "dot")):
        return text.removesuffix("\n")
    path = root / out if out else root / STATE / opened.name / f"graph.{question.form}"
    if out is None:
        files.hide_folder(root / STATE)
    elif not path.parent.is_dir():
        raise HsmError(f"{path} can not be written: there is no such folder", "make it, or name another file")
    files.write_out(path, text)
    return str(path)


def _refuse_foreign(path: Path) -> None:
    """What a person has written, or another program, is not drawn over."""
    if not path.is_file():
        return
    with path.open("rb") as file:
        begin = file.read(_ENOUGH)
    if begin and not _OURS.match(begin):
        raise mistake(f"{path} is there, and no picture that `graph` has drawn: it stays as it is", "name another file")


def _svg(drawing: Drawing) -> str:
    return picture.svg(drawing, _arranged(drawing), _assets().picture)


def _html(drawing: Drawing) -> str:
    return picture.page(drawing, _arranged(drawing), _assets())


def _arranged(drawing: Drawing) -> sheet.Sheet:
    steps, services = map(graphviz.layout, sheet.outlines(drawing))
    return sheet.arrange(drawing, (steps, services))


def _assets() -> picture.Assets:
    return picture.Assets(*(files.read(_HERE / name) for name in ("picture.css", "page.css", "page.js")))


FORMS: Final[Mapping[str, Callable[[Drawing], str]]] = {
    "html": _html,
    "svg": _svg,
    "mermaid": diagrams.mermaid,
    "dot": diagrams.dot,
}
_ENDINGS: Final = {".html": "html", ".svg": "svg", ".dot": "dot", ".gv": "dot", ".mmd": "mermaid"}
_ENOUGH: Final = 4096
_OURS: Final = re.compile(
    rb"""<!doctype\ html>\n<html[^>]*>\n<head>\n<meta[^>]*>\n<meta\ http-equiv="Content-Security-Policy"
    |<svg\ xmlns="http://www\.w3\.org/2000/svg"\ class="hsm"
    |flowchart\ LR\n\ \ subgraph\ steps\[
    |digraph\ "[^\n]*"\ {\n\ \ rankdir=LR;\ node\ \[shape=box""",
    re.VERBOSE,
)
"""How each of the formats begins."""
_HINT: Final = f"it takes --format {', '.join(FORMS)}, --out FILE (- for the screen), and the words of a plan"
