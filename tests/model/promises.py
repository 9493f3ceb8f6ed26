"""What must hold after a sync, whatever came before it; sequence.py tells the stories.

Soundness: override, fragments and hsm.lock are, byte for byte, those of a first sync in a fresh copy. Stability: a sync
right after a sync runs nothing. Where the snapshot answers, the long way says the same.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import yaml

from hsm_tasks import shortcut
from tests.model.hsm import Run, call
from tests.model.oracle import LOCKS, SHOP, STATE, View
from tests.model.servers import LATE, Servers
from tests.model.stack import State, Written

OVERRIDE = f"{SHOP}/docker-compose.hsm.yml"


class BrokenError(AssertionError):
    """A promise is broken; the message is the whole story."""


class Promises:
    """A workspace (`root`), what a person wrote in it (`state`; as files `lasting`), and a place for a fresh copy."""

    out: Written

    def __init__(self, folder: Path, servers: Servers, state: State, counts: dict[str, int]) -> None:
        self.servers, self.state, self.counts = servers, state, counts
        self.root, self.copy = folder / "w", folder / "f"
        for place in (self.root, self.copy):
            shutil.rmtree(place, ignore_errors=True)
        self.root.mkdir(parents=True)
        self.lasting: dict[str, str] = {}
        self.story: list[str] = []

    def _short(self, done: Run) -> None:
        """The snapshot has said that there is nothing to do: so says the long way, which leaves no snapshot."""
        self.counts["short"] = self.counts.get("short", 0) + 1
        files = self._results()
        long = call(self.root, {**self.out.environ, shortcut.OFF: "off"}, "sync")
        self._expect(not long.short and long.code == 0 and not long.ran, "the snapshot was wrong", long)
        self._expect(list(long.results) == list(done.results), "the snapshot knows other steps", long)
        self._expect(files == self._results(), "the snapshot overlooked a file", long)

    def _stable(self) -> None:
        files = self._results()
        again = call(self.root, self.out.environ, "sync")
        self._expect(again.code == 0, f"the second sync ends with {again.code}", again)
        if not self._may_fail():
            self._expect(not again.ran, "the second sync is not stable", again)
        self._expect(files == self._results(), "the second sync changes files", again)

    def _sound(self) -> None:
        shutil.rmtree(self.copy, ignore_errors=True)
        local = (".hsm", "repos", "checkouts", "docker-compose.hsm.yml")
        shutil.copytree(self.root, self.copy, ignore=shutil.ignore_patterns(*local))
        first = call(self.copy, self.out.environ, "sync")
        if first.code == 1 and self._may_fail():
            return
        self.counts["compared"] = self.counts.get("compared", 0) + 1
        self._expect(first.code == 0, f"a first sync in a fresh copy ends with {first.code}", first)
        mine, fresh = self._results(), self._results(self.copy)
        for path in sorted({*mine, *fresh}):
            if mine.get(path) != fresh.get(path):
                texts = f"--- here\n{mine.get(path)}\n--- in a fresh copy\n{fresh.get(path)}"
                self._expect(False, f"{path} is not that of a first sync in a fresh copy\n{texts}", first)

    def _true(self, run: Run) -> None:
        """The copy has our hsm.lock, so it would believe a wrong entry: each must be what the registry says."""
        text = self._text(f"{SHOP}/hsm.lock") or ""
        entries = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))["images"]
        for key, entry in entries.items():
            reference, _, versions = key.partition(" ")
            image, _, tag = reference.rpartition("/")[2].partition(":")
            right = entry["digest"] == self.servers.answer(image, tag, versions)
            self._expect(right, f"hsm.lock has another image for {key} than the registry", run)

    def _results(self, root: Path | None = None) -> dict[str, str]:
        root = root or self.root
        paths = [*(root / STATE / "fragments").glob("*.yml"), root / OVERRIDE, root / SHOP / "hsm.lock"]
        found = {path.relative_to(root).as_posix(): path.read_text() for path in paths if path.exists()}
        base = self._text(f"{STATE}/base.json", root)  # what compose said of the base is believed as long as its key
        return found | {"base.json": (base or "").partition("\n")[2]}

    def _expect(self, fine: bool, what: str, run: Run) -> None:
        if not fine:
            story = "\n".join(self.story)
            log = "\n".join(f"  {step}: {run.results[step]} ({run.reasons[step]})" for step in run.results)
            raise BrokenError(f"{what}\n\n{story}\n\nthe last run:\n{log}\n{run.said}")

    # --- moments -----------------------------------------------------------------------------------------------------

    def _view(self) -> View:
        there = frozenset(path.parent.name for path in (self.root / self.out.repos).glob("*/.git"))
        return View(self.root, self.out, self._grace(), {path: self._text(path) or "" for path in LOCKS}, there)

    def _grace(self) -> str:
        """What extra.yml says, where compose reads it."""
        given = self.state.stack
        return repr(given["extra"] if given["extra"] or given["compose"] == 2 else None)

    def _text(self, path: str, root: Path | None = None) -> str | None:
        file = (root or self.root) / path
        return file.read_text(errors="replace") if file.exists() else None

    def _may_fail(self) -> bool:
        texts = "".join(self.lasting.values())
        return bool(self.servers.refused) or any(f"/{image}:{LATE}" in texts for image in self.servers.lacks_late)
