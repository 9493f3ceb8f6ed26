"""In which order the words of a command line come.

Most words only say what is wanted, and the graph knows the order. But `down`, `stop` and `restart` act at once, and so
do the user's own tasks: each of these waits for the words before it, and what starts later waits for it. They part a
line into stages, and all `up` words of one stage make one compose call.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property

import msgspec

from hsm_tasks.steps.own import Own

_AT_ONCE = ("down", "stop", "restart")


class Order(msgspec.Struct, frozen=True, dict=True):
    """The order of these words. `usual` are the services that plain `up` starts."""

    words: tuple[str, ...]
    own: Own
    usual: tuple[str, ...]

    @cached_property
    def stages(self) -> tuple[frozenset[str], ...]:
        """The `up` words of each stage; what own tasks need counts as if it had been said where they stand."""
        found: list[set[str]] = [set()]
        for word in self.words:
            found[-1].update(self._starts(word))
            if self._parts(word):
                found.append(set())
        return tuple(frozenset(one) for one in found)

    @property
    def ups(self) -> frozenset[str]:
        """The `up` words of the whole line."""
        return frozenset().union(*self.stages)

    @cached_property
    def _stage_of(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for number, stage in enumerate(self.stages):
            for up in self._expanded(stage):
                found.setdefault(up, number)
        return found

    def stage_of(self, up: str) -> int:
        """The number of the stage in which a service is started: the first that asks for it."""
        return self._stage_of.get(up, 0)

    def waits(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """(task, the tasks that it has to wait for besides those that it needs)."""
        seen: set[str] = set()
        parting: list[tuple[str, ...]] = [()]
        for place, word in enumerate(self.words):
            if self._parts(word):
                meant = self._own_tasks(word) if word in self.own.tasks else (word,)
                later = [name for name in meant if name not in seen]
                seen.update(later)
                yield from ((name, self.words[:place]) for name in later)
                parting.append((*parting[-1], word))
        yield from ((up, parting[number]) for up, number in self._stage_of.items() if number)

    def _parts(self, word: str) -> bool:
        return word in self.own.tasks or word.partition(":")[0] in _AT_ONCE

    def _starts(self, word: str) -> Iterator[str]:
        if word not in self.own.tasks:
            yield from (one for one in (word,) if one.partition(":")[0] == "up")
            return
        for name in self._own_tasks(word):
            yield from (need for need in self.own.needs(name) if need.partition(":")[0] == "up")

    def _own_tasks(self, word: str) -> Sequence[str]:
        """The user's tasks that a word is about, with all of theirs that these need."""
        found, waiting = {word: None}, [word]
        while waiting:
            for need in self.own.needs(waiting.pop()):
                if need in self.own.tasks and need not in found:
                    found[need] = None
                    waiting.append(need)
        return tuple(found)

    def _expanded(self, ups: Iterable[str]) -> Iterator[str]:
        for up in sorted(ups):
            yield from [up] if ":" in up else [f"up:{name}" for name in self.usual]
