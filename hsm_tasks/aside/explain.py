"""`hsm explain`: the page of errors, a section at a time.

hsm_tasks/errors.md is the page; docs/errors.md is a copy of it, which `python -m hsm_tasks.aside.explain` renews.
"""

from __future__ import annotations

import re
from pathlib import Path

from hsm_tasks.core import codes
from hsm_tasks.core.errors import mistake
from hsm_tasks.effects import files

_PAGE = Path(__file__).parents[1] / "errors.md"
_COPY = Path(__file__).parents[2] / "docs" / "errors.md"


def page() -> str:
    """All of it."""
    return files.read(_PAGE)


def section(code: str) -> str:
    """The section of a code that there is."""
    parts = re.split(r"^(?=## )", page(), flags=re.MULTILINE)
    return next(part for part in parts if part.startswith(f"## {code} ")).rstrip() + "\n"


def overview() -> str:
    """Every code and its kind, a line each."""
    return "\n".join(f"{code}  {kind.title}" for code, kind in codes.CODES.items())


def explain(words: str) -> str:
    """The sections that a code, or a message as it was shown, is about."""
    asked = [word.strip("[],").upper() for word in words.split()]
    known = all(word in codes.CODES for word in asked)
    found = tuple(asked) if known else codes.mentioned(words)
    if not found and all(re.fullmatch(r"H?\d+", word) for word in asked):
        raise mistake(f'there is no "{words}"', f"the codes are {', '.join(codes.CODES)}")
    if not found:
        raise mistake(f'there is no "{words}" among the messages of hsm', "`hsm explain` lists the kinds")
    return "\n".join(map(section, found)).rstrip()


if __name__ == "__main__":
    files.write_if_changed(_COPY, page())
