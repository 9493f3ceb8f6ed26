"""What makes a step stale, and the words for it.

Rules, each held by a test:
* A row is one statement: "made from these parts and these files, the outputs had this content". It is written at
  once and whole, when the step has ended well; while the step runs, and after it failed, there is no such statement.
  So a kill at any moment, followed by any edit or revert, never makes stale work look fresh.
* Only digests are stored, and texts that the caller marked as safe: a part may hold a secret.

What is seen of a file is in `seen`; how doit keeps and reads the rows, in `records`.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from hsm_tasks.core.errors import HsmError
from hsm_tasks.run.seen import TRUST, Seen, see, shown, stat_of, unchanged

_PARAMETERS = [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in ("task", "values")]


class Words(NamedTuple):
    """A part that may be stored and shown in clear, as `text` (by default the value), in the reason of a later run."""

    value: str
    text: str = ""

    @property
    def shown(self) -> str:
        return self.text or self.value


Part: TypeAlias = str | Words | None


def part_digest(part: Part) -> str | None:
    """What is stored of a part."""
    value = part.value if isinstance(part, Words) else part
    return None if value is None else hashlib.sha256(value.encode()).hexdigest()[:32]


class Fingerprint:
    """The one `uptodate` object of a task (doit would let two overwrite each other).

    `parts`: all that the step depends on besides its file_dep, by value and by the name that a reason gives it; or a
    function that gives them when the step's turn has come.
    `outputs`: the files (not folders) that the step writes; each must exist when its action has ended.
    `extra`: asked last, in the main thread, for a reason of its own to run; None: none. If it raises HsmError the step
    runs, and meets the same trouble where it can say so.
    `settled`: the values of some of the parts as they are once the action has ended, to be stored in their place.
    """

    # doit calls inspect.signature() on each uptodate object; with this attribute that costs nothing.
    __signature__ = inspect.Signature(_PARAMETERS)

    def __init__(
        self,
        parts: Mapping[str, Part] | Callable[[], Mapping[str, Part]],
        outputs: Sequence[Path | str] = (),
        extra: Callable[[], str | None] | None = None,
        settled: Callable[[], Mapping[str, Part]] | None = None,
    ) -> None:
        self._later = parts if callable(parts) else None
        self.parts: dict[str, Part] = {} if callable(parts) else dict(parts)
        self.outputs = tuple(str(path) for path in outputs)
        self.extra, self.settled = extra, settled
        self.reason = ""
        self.renewed = False
        self._sealed: dict[str, Any] | None = None

    def __repr__(self) -> str:
        return self.reason or "up to date"

    @functools.cached_property
    def _digests(self) -> dict[str, str | None]:
        """Not made for commands that never ask (`list`)."""
        return {name: part_digest(part) for name, part in self.parts.items()}

    def _look(self) -> None:
        """Parts that only now can be known: what they are made of may be the work of an earlier step of this run."""
        if self._later is not None:
            self.parts, self._later = dict(self._later()), None
            self._digests = {name: part_digest(part) for name, part in self.parts.items()}

    def __call__(self, task: Any, values: Mapping[str, Any]) -> bool:
        self._look()
        task.value_savers.append(self._values)
        self.renewed = False
        if "parts" in values:
            self.reason = self._other_parts(values) or self._other_outputs(values["out"]) or self._other_world()
        else:
            self.reason = str(values.get("ended", "first run"))
        return not self.reason

    def _other_parts(self, values: Mapping[str, Any]) -> str:
        old, texts = values["parts"], values["words"]
        if old == self._digests:
            return ""
        changed = [name for name, digest in self._digests.items() if old.get(name, "") != digest]
        changed += [name for name in old if name not in self._digests]
        return "config changed: " + ", ".join(name + self._from_to(name, texts.get(name)) for name in changed)

    def _from_to(self, name: str, before: str | None) -> str:
        part = self.parts.get(name)
        if before is None or not isinstance(part, Words) or before == part.shown:
            return ""
        short = all(len(text) <= 40 and text.isprintable() for text in (before, part.shown))
        return f" ({before} → {part.shown})" if short else ""

    def _other_outputs(self, seen: Mapping[str, Seen]) -> str:
        return "; ".join(filter(None, (self._other_output(path, seen.get(path)) for path in self.outputs)))

    def _other_output(self, path: str, seen: Seen | None) -> str:
        if seen is None:
            return f"{shown(path)} is new"
        try:
            stat = stat_of(os.stat(path))  # noqa: PTH116
        except OSError:
            return f"{shown(path)} is gone"
        before = seen[:TRUST]
        if not unchanged(path, seen, stat):
            return f"{shown(path)} was edited by hand"
        self.renewed = self.renewed or seen[:TRUST] != before
        return ""

    def _other_world(self) -> str:
        try:
            return (self.extra() if self.extra else None) or ""
        except HsmError as error:
            return error.message.partition("\n")[0]

    def seal(self) -> None:
        """To be called when the action has ended, in its thread: what comes later is an edit by somebody else."""
        self._look()
        late = self.settled() if self.settled else {}
        assert late.keys() <= self.parts.keys(), "what settles is a part"
        parts = {**self.parts, **late}
        texts = {name: part.shown for name, part in parts.items() if isinstance(part, Words)}
        digests = {name: part_digest(part) for name, part in parts.items()}
        self._sealed = {"parts": digests, "words": texts, "out": {path: see(path) for path in self.outputs}}

    def _values(self) -> dict[str, Any]:
        if self._sealed is None:
            self.seal()
        assert self._sealed is not None
        return self._sealed


def fingerprint_of(task: Any) -> Fingerprint | None:
    """The Fingerprint of a doit task, if it has one."""
    return next((check for check, _, _ in task.uptodate if isinstance(check, Fingerprint)), None)
