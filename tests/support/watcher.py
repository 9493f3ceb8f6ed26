"""A `watch` that runs beside a test, as in another terminal."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.commands.bench import Workspace

PATIENCE = 180.0  # only what never comes takes so long
IDLE = "waiting for changes"


def takes_interrupts() -> None:
    """A test that a shell runs in the background ignores ctrl-C, and would hand that on."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Watcher:
    """What it says is in a file; `runs` is how often it has come to rest."""

    def __init__(self, here: Workspace, words: tuple[str, ...]) -> None:
        self.said_to = here.root.parent / "watch.log"
        self.here = here
        here.used_engine = True
        with self.said_to.open("w") as log:
            self.process = subprocess.Popen(
                (here.door, *words), cwd=here.root, env=here.environment(), stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, start_new_session=True, preexec_fn=takes_interrupts,  # noqa: PLW1509, RUF100
            )  # fmt: skip

    @property
    def said(self) -> str:
        return self.said_to.read_text()

    @property
    def runs(self) -> int:
        return self.said.count(IDLE)

    def until(self, there: Callable[[], object], what: str) -> None:
        """Waits for something that must come."""
        end = time.monotonic() + PATIENCE
        while not there():
            assert self.process.poll() is None, f"watch has ended with {self.process.returncode}:\n{self.said}"
            assert time.monotonic() < end, f"no {what}:\n{self.said}"
            time.sleep(0.1)

    def rests(self, runs: int, quiet: float = 0.2) -> None:
        """Waits until it has come to rest so many times; and `quiet` seconds later it has not begun anew. Whoever waits
        for the next run sees a late one, too: they are counted."""
        self.until(lambda: self.runs >= runs, f"end of run {runs}")
        time.sleep(quiet)
        assert self.runs == runs, self.said
        own = [line for line in self.said.splitlines() if not line.startswith("compose watch: ")]
        assert IDLE in own[-1], self.said

    def says(self, pattern: str) -> None:
        self.until(lambda: re.search(pattern, self.said), pattern)

    def end(self, number: int = signal.SIGINT) -> int:
        """Ctrl-C, as a terminal sends it: to the whole group; the exit code."""
        os.killpg(self.process.pid, number)
        return self.process.wait(PATIENCE)

    def beside(self) -> list[str]:
        """The command lines of the compose watches of this project that run."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                line = (folder / "cmdline").read_bytes().decode().split("\0")
            except OSError:
                continue
            if self.here.project in line and "watch" in line:
                found.append(" ".join(line))
        return found


@contextmanager
def watching(here: Workspace, *words: str) -> Iterator[Watcher]:
    """`watch` in a workspace; it is ended with the test."""
    watcher = Watcher(here, words or ("watch",))
    try:
        yield watcher
    finally:
        if watcher.process.poll() is None:
            watcher.end()
