"""The mistakes found so far in the files of a stack, and what can not be judged any more because of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from hsm_tasks.core.diagnose import diagnose, prune
from hsm_tasks.core.errors import ConfigError, Problem
from hsm_tasks.core.places import Source, problem
from hsm_tasks.core.schema import Raw, StackFile
from hsm_tasks.core.yamlread import Path, dotted
from hsm_tasks.core.yamltext import read


class Findings:
    """Collects; `sources` are in merge order, so the last one that has a path is the one to blame."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self.sources = tuple(sources)
        self.problems: list[Problem] = []
        self.readable = True
        self._broken: set[Path] = set()
        self._misspelt: set[Path] = set()
        self._odd: set[str] = set()

    def form(self, source: Source, model: type[Raw]) -> dict[str, Any]:
        """The tree of a file without what has the wrong form, which becomes problems."""
        try:
            tree, problems = read(source.text, source.filename)
        except ConfigError as error:
            self.problems += error.problems
            self.readable = False
            return {}
        self.problems += problems
        self._odd |= {odd.path for odd in problems}
        if isinstance(tree, dict) and model is StackFile:
            tree = {key: value for key, value in tree.items() if not key.startswith("x-")}
        return self._formed({} if tree is None else tree, source, model)

    def _formed(self, tree: Any, source: Source, model: type[Raw]) -> dict[str, Any]:
        try:
            # the word "null" in quotes is text, which msgspec takes for nothing where no text may stand
            msgspec.convert(_as_text(tree) if "null" in source.text.lower() else tree, model, strict=False)
        except msgspec.ValidationError as error:
            mistakes = diagnose(tree, model)
            for found in mistakes:
                self.problems.append(problem([source], found.path, found.message, found.hint, key=found.unknown_key))
                self._broken.add(found.path)
                self._misspelt |= {found.meant} if found.meant else set()
            if not mistakes:  # msgspec is stricter somewhere: its own words are better than none
                self.problems.append(Problem(source.filename, 1, 1, "", str(error)))
            tree = prune(tree, [found.path for found in mistakes]) if mistakes else {}
        assert isinstance(tree, dict)  # every model is a struct
        return tree

    def broken(self, path: Path) -> bool:
        """Whether something at, above or below the path was wrong already, or the key was misspelt."""
        if dotted(path) in self._odd or path in self._misspelt:
            return True
        return any(path[: len(broken)] == broken or broken[: len(path)] == path for broken in self._broken)

    def spoil(self, path: Path) -> None:
        """Whatever is found at, above or below this path later only follows from what was found already."""
        self._broken.add(path)

    def add(self, path: Path, message: str, hint: str = "", *, key: bool = False) -> None:
        """A mistake of meaning, unless it only follows from one of form."""
        if not self.broken(path):
            self.problems.append(problem(self.sources, path, message, hint, key=key))

    def stop(self) -> None:
        """Raises ConfigError if anything was found."""
        if self.problems:
            raise ConfigError(*self.problems)


def _as_text(tree: Any) -> Any:
    """A copy in which no text is a word that msgspec reads as None."""
    if isinstance(tree, dict):
        return {key: _as_text(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_as_text(value) for value in tree]
    return f"{tree}!" if isinstance(tree, str) and tree.lower() == "null" else tree
