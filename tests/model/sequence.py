"""One story: a stack, what happens to it, and what must hold after each sync.

Minimality: no step ran whose inputs (oracle.py) and outputs were as it left them. The other promises are in promises.py
and foretold.py.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from hsm_tasks import shortcut
from tests.model import edits
from tests.model.edits import (
    Allow,
    Become,
    During,
    Kill,
    KillAfter,
    Move,
    Op,
    Publish,
    Push,
    Refuse,
    Revert,
    Set,
    Sneak,
    Switch,
    Sync,
    Tamper,
    Touch,
    Update,
    Work,
)
from tests.model.files import written
from tests.model.foretold import Foretold, seen
from tests.model.hsm import Run, call, killed, moments
from tests.model.oracle import SHOP, View, outputs
from tests.model.promises import OVERRIDE, Promises
from tests.model.servers import REPOSITORIES, Servers
from tests.model.stack import State, Writer, Written
from tests.model.words import word_of

LOCAL = f"{SHOP}/hsm.local.yaml"


@dataclass(frozen=True, slots=True)
class Left:
    """How a step left things when it last ended well."""

    inputs: str
    outputs: tuple[str | None, ...]


class Sequence(Promises):
    """`counts` adds up what was done, to see that the generator does what it is meant to do."""

    def __init__(self, folder: Path, servers: Servers, count: int, counts: dict[str, int]) -> None:
        super().__init__(folder, servers, State.plain(count), counts)
        self.past: list[State] = [self.state.copy()]
        self.left: dict[str, Left] = {}
        self.moved = False
        self.honest = True  # nobody has written a digest into hsm.lock by hand
        self.judged: str | None = None  # what check has seen last, where that is known
        self.out = self._write()

    def play(self, ops: Iterable[Op]) -> None:
        """Everything, and a whole check at the end, with all servers up."""
        for op in ops:
            self.story.append(repr(op))
            self.counts[type(op).__name__] = self.counts.get(type(op).__name__, 0) + 1
            self._do(op)
        self.story.append("the end")
        self.servers.allow()
        self._sync(whole=True)

    def _do(self, op: Op) -> None:
        match op:
            case Set() | Become():
                op.on(self.state)
                self._written()
            case Revert():
                self.state = self.past[-1 - op.back % len(self.past)].copy()
                self._written()
            case Tamper():
                path = edits.tamper(op.how, op.which, self.root)
                self.story.append(f"  {path}")
                self.honest = self.honest and not path.startswith("hsm.lock")
                if path.endswith("state.db") and op.how != "touch":
                    self.left.clear()  # who lost his memory may do all again
            case Touch():
                paths = sorted(self.lasting)
                os.utime(self.root / paths[op.which % len(paths)])
            case Work():
                self.story.append(f"  {edits.work(op.how, op.which, self.root / self.out.repos)}")
            case Move() | Push() | Publish():
                edits.move(op, self.servers)
                self.moved = True
            case Refuse():
                self.servers.refuse(op.repo % REPOSITORIES)
            case Allow():
                self.servers.allow()
            case _:
                self._run_op(op)

    def _run_op(self, op: Op) -> None:
        match op:
            case Sync():
                self._sync(whole=op.whole, planned=op.planned)
            case Sneak():
                self._sneak(op)
            case Update():
                self._update(op.slot)
            case Kill():
                self._judged(lambda words: killed(self.root, self.out.environ, op.moment, *words), self._words)
            case KillAfter():
                after = op.milliseconds / 1000
                self._judged(lambda words: killed(self.root, self.out.environ, 0, *words, after=after), self._words)
            case During():
                self._during(op)
            case Switch():
                self._switch(op)
            case _:
                raise AssertionError(op)

    # --- files -----------------------------------------------------------------------------------------------------

    def _written(self) -> None:
        self.past.append(self.state.copy())
        self.out = self._write()

    def _write(self) -> Written:
        out = written(self.state, self.servers)
        for path in self.lasting.keys() - out.files.keys():
            (self.root / path).unlink(missing_ok=True)
        for path, text in out.files.items():
            if self.lasting.get(path) != text:
                file = self.root / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text)
        self.lasting = dict(out.files)
        return out

    # --- runs ------------------------------------------------------------------------------------------------------

    @property
    def _words(self) -> tuple[str, ...]:
        return ("update",) if self.moved else ("sync",)

    def _sync(self, *, whole: bool, planned: bool = False) -> None:
        foretold = self._plan(self._words) if planned else None
        old = self._text(OVERRIDE)
        run = self._judged(lambda words: call(self.root, self.out.environ, *words), self._words)
        for what in foretold.wrong(run, old or "", self._text(OVERRIDE) or "") if foretold else ():
            self._expect(False, what, run)
        if run.code == 0 and whole:
            self._stable()
            self._sound()
            if self.honest:
                self._true(run)

    def _plan(self, words: tuple[str, ...]) -> Foretold:
        """What `plan` says of the next run, and that it writes nothing."""
        self.counts["planned"] = self.counts.get("planned", 0) + 1
        before, view = seen(self.root), self._view()
        said = call(self.root, self.out.environ, "plan", "--json", *words)
        self._expect(said.code == 0, f"plan ends with {said.code}", said)
        now = seen(self.root)
        written = sorted(path for path in {*before, *now} if before.get(path) != now.get(path))
        self._expect(not written, f"plan has written {written}", said)
        return Foretold.parse(said.out, view, update="update" in words)

    def _update(self, slot: int) -> None:
        running = sorted(name for name in self._view().names if name not in self._view().off)
        words = ("update",) if self.moved or slot < 0 or not running else (f"update:{running[slot % len(running)]}",)
        self._judged(lambda words: call(self.root, self.out.environ, *words), words)

    def _judged(self, run: Callable[[tuple[str, ...]], Run], words: tuple[str, ...]) -> Run:
        """A run, then: was its exit right, and did only stale steps run?"""
        before = self._view()
        old = {path: self._text(path) for step in self._known() for path in outputs(step)}
        done = run(words)
        self.story.append(f"  {' '.join(words)}: exit {done.code}; ran: {', '.join(done.ran) or 'nothing'}")
        self.counts["runs"] = self.counts.get("runs", 0) + 1
        self.counts["ran"] = self.counts.get("ran", 0) + len(done.ran)
        self.counts[f"exit {done.code}"] = self.counts.get(f"exit {done.code}", 0) + 1
        right = {0, -9, 1} if self._may_fail() else {0, -9}
        self._expect(done.code in right, f"exit {done.code}", done)
        update = any(word.startswith("update") for word in words)
        self._minimal(done, before, old, update=update)
        self._checked(done)
        self._remember(done, before, old, update=update)
        if done.code == 0 and "update" in words:
            self.moved = False
        return done

    def _checked(self, done: Run) -> None:
        """Check leaves a copy, so no comparison of files would show that it has not judged the base of today."""
        judged, fresh = self._view().judged(), done.results.get("check") == "fresh"
        self._expect(not fresh or self.judged in (None, judged), "check did not run", done)
        self.judged = judged if done.code == 0 else self.judged if fresh else None
        if done.short:
            self._short(done)

    def _known(self) -> set[str]:
        names = self._view().names
        return {*self.left, "lock", "merge", "check", *(f"render:{n}" for n in names), *(f"resolve:{n}" for n in names)}

    def _minimal(self, done: Run, before: View, old: dict[str, str | None], *, update: bool) -> None:
        if done.code not in (0, 1):
            return
        now = View(self.root, self.out, self._grace(), before.locks, before.there)
        for step in done.ran:
            left = self.left.get(step)
            if left is None or (update and not step.startswith(("render", "merge", "check"))):
                continue
            same = left.inputs == now.inputs(step, done.results)
            same = same and left.outputs == tuple(old.get(path, self._text(path)) for path in outputs(step))
            if same and step.startswith(("clone", "resolve")) and self._may_fail():
                continue  # what no server told has to be asked again
            self._expect(not same, f"{step} ran for nothing: {done.reasons[step]}", done)

    def _remember(self, done: Run, before: View, old: dict[str, str | None], *, update: bool) -> None:
        """What ran is known anew; what was stale and did not come to its end is not known any more."""
        after = self._view()
        for step in {*self.left, *done.results}:
            inputs = after.inputs(step, done.results if done.code == 0 else {*self.left, *done.results})
            texts = tuple(self._text(path) for path in outputs(step))
            result = done.results.get(step)
            if result == "ran" and self._may_fail() and step.startswith(("clone", "resolve")):
                self.left.pop(step, None)  # perhaps nobody answered
            elif result == "ran":
                self.left[step] = Left(inputs, texts)
            elif result != "fresh" and done.code != 0 and (left := self.left.get(step)):
                were = tuple(old.get(path) for path in outputs(step))
                begun = result == "failed" or (update and not step.startswith(("render", "merge", "check")))
                if begun or left != Left(inputs, texts) or were != texts:
                    del self.left[step]
        if done.code == 0:  # the rows and files of services that are gone go, so they may begin anew
            self.left = {step: left for step, left in self.left.items() if after.has(step)}
        if update and done.code == 0:  # it moves what it sees, and forgets the rest
            self.left = {step: left for step, left in self.left.items() if step in done.results}

    def _sneak(self, op: Sneak) -> None:
        """As often as it takes until the snapshot answers; then an edit that leaves as little trace as it can."""
        for left in reversed(range(5)):
            time.sleep(shortcut.TICK / 1e9)  # what has just been written is not trusted
            run = self._judged(lambda words: call(self.root, self.out.environ, *words), self._words)
            if run.short or run.code:
                break
            self._expect(bool(left) or self._may_fail(), "no snapshot is ever taken", run)
        times = {path: (self.root / path).stat() for path in self.lasting}
        op.edit.on(self.state)
        self._written()
        for path in self.lasting.keys() & times.keys():
            os.utime(self.root / path, ns=(times[path].st_atime_ns, times[path].st_mtime_ns))
        self._sync(whole=True)

    # --- moments -----------------------------------------------------------------------------------------------------

    def _during(self, op: During) -> None:
        """An edit in the middle of a run: it may see the old or the new, or a mistake between; the next run heals."""
        def edit() -> None:
            op.edit.on(self.state)
            self._written()

        with moments(op.moment, edit) as reached:
            done = call(self.root, self.out.environ, *self._words)
        if not reached:
            edit()
        self.story.append(f"  {' '.join(self._words)}: exit {done.code}; ran: {', '.join(done.ran) or 'nothing'}")
        self._expect(done.code in (0, 1, 3), f"exit {done.code}", done)
        self.judged = None
        self.left = {step: left for step, left in self.left.items() if done.results.get(step) == "fresh"}

    def _switch(self, op: Switch) -> None:
        word, change = word_of(op, self.state, self._view(), Writer(self.state, self.servers))
        if word is None:
            return
        self.story.append(f"  {word}")
        change()
        out = written(self.state, self.servers)
        for path in out.files.keys() | self.lasting.keys():
            if path != LOCAL and out.files.get(path) != self.lasting.get(path):
                self._written()  # this edit of ours reaches further than the word does: no word then
                return
        self.past.append(self.state.copy())
        self.out, self.lasting = out, dict(out.files)
        words = (word, *(self._words if self.moved else ()))
        self._judged(lambda words: call(self.root, self.out.environ, *words), words)
