"""What `dump` of core/yamltext has written, read back."""

from __future__ import annotations

import re
from typing import Any, Final

from hsm_tasks.core.errors import ConfigError
from hsm_tasks.core.model import Tree
from hsm_tasks.core.yamlread import NULLS, Reader, run
from hsm_tasks.core.yamltext import Override, Reset


def parse_dump(text: str, filename: str) -> Any:
    """The inverse of `dump`: numbers, booleans, `Reset` and `Override` come back as they were given."""
    tree, problems = run(_DumpReader, text, filename)
    if problems:
        raise ConfigError(*problems)
    return tree


class _DumpReader(Reader):
    """Reads what `dump` wrote."""

    def scalar(self, event: Any) -> Any:
        if event.tag == "!reset":
            return Reset()
        value = event.value if event.style else _typed(event.value)
        return Override(value) if event.tag == "!override" else value

    def collection(self, event: Any, tree: Any) -> Any:
        if event.tag == "!reset":
            return Reset("map" if isinstance(tree, dict) else "list")
        return Override(tree) if event.tag == "!override" else tree


_WORDS: Final[dict[str, Tree]] = {
    "true": True,
    "false": False,
    ".inf": float("inf"),
    "-.inf": float("-inf"),
    ".nan": float("nan"),
}
_INTEGER: Final = re.compile(r"-?[0-9]+\Z")
_FLOAT: Final = re.compile(r"-?[0-9]+(\.[0-9]*)?(e[-+]?[0-9]+)?\Z")


def _typed(text: str) -> Tree:
    if text in NULLS:
        return None
    if _INTEGER.match(text):
        return int(text)
    return float(text) if _FLOAT.match(text) else _WORDS.get(text, text)
