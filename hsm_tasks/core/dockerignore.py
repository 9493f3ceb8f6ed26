"""A .dockerignore as the builder reads it (moby/patternmatcher): the last line that matches a path, or a folder above
it, decides; `!` takes back.

    ignored = compile_rules(text)
    ignored.matches("node_modules/x/y.js"), ignored.may_take_back("node_modules")
"""

from __future__ import annotations

import itertools
import posixpath
import re
from collections.abc import Iterator

import msgspec


class Rules(msgspec.Struct, frozen=True):
    """`groups`: (taken back, pattern) in the order of the file; `exceptions`: what the `!` lines begin with."""

    groups: tuple[tuple[bool, re.Pattern[str]], ...] = ()
    exceptions: tuple[str, ...] = ()

    def matches(self, path: str) -> bool:
        """Whether the builder does not see this path, which is relative to the context."""
        for taken_back, pattern in reversed(self.groups):
            if pattern.fullmatch(path):
                return not taken_back
        return False

    def may_take_back(self, folder: str) -> bool:
        """Whether something below an ignored folder may be seen all the same."""
        inside = f"{folder}/"
        return any(inside.startswith(start) or start.startswith(inside) for start in self.exceptions)


def compile_rules(text: str) -> Rules:
    """Of the text of a .dockerignore."""
    lines = list(_lines(text))
    groups = []
    for taken_back, group in itertools.groupby(lines, key=lambda line: line[0]):
        joined = "|".join(_expression(pattern) for _, pattern in group)
        groups.append((taken_back, re.compile(f"(?:{joined})(?:/.*)?", re.DOTALL)))
    return Rules(tuple(groups), tuple(_start(pattern) for taken_back, pattern in lines if taken_back))


def _lines(text: str) -> Iterator[tuple[bool, str]]:
    for line in text.removeprefix("\ufeff").splitlines():
        if line.startswith("#"):
            continue
        pattern = line.strip()
        taken_back = pattern.startswith("!")
        pattern = pattern.removeprefix("!").strip()
        if pattern:
            clean = posixpath.normpath(pattern.replace("//", "/"))
            yield taken_back, clean[1:] if len(clean) > 1 and clean[0] == "/" else clean


_TOKEN = re.compile(r"\*\*/?|\*|\?|\\.|\[[^\]]*\]|.", re.DOTALL)


def _expression(pattern: str) -> str:
    """The pattern as a regular expression; one that can not be read matches nothing."""
    tokens = _TOKEN.findall(pattern)
    made = "".join(_piece(token, last=number == len(tokens)) for number, token in enumerate(tokens, 1))
    try:
        re.compile(made)
    except re.error:
        return "(?!)"
    return made if pattern != "." else ".*"


def _piece(token: str, last: bool) -> str:
    if token.startswith("**"):
        return ".*" if last else "(?:.*/)?"
    if token in ("*", "?"):
        return {"*": "[^/]*", "?": "[^/]"}[token]
    if token[0] == "[" and len(token) > 1:
        return f"[{token[1:-1].replace('[', chr(92) + '[')}]"
    return re.escape(token[1:] if token[0] == "\\" and len(token) > 1 else token)


def _start(pattern: str) -> str:
    """What every path that the pattern matches begins with, down to its last whole folder."""
    plain = re.split(r"[*?\[\\]", pattern, maxsplit=1)[0]
    return f"{plain}/" if plain == pattern else plain.rpartition("/")[0] + "/" if "/" in plain else ""
