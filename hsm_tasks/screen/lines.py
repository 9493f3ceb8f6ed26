"""Lines on a terminal or in a pipe: those that stay, and on a terminal the live ones of the steps that run now."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from typing import IO, Any

from hsm_tasks.shortcut import duration

_PLAIN_SECONDS = 2.0  # between two lines of progress of one step, where no line can be rewritten
_WONDER = 3.0  # seconds after which a live line says how long its step has been running


class Lines:
    """Whole lines only, from any thread."""

    def __init__(self, stream: IO[str]) -> None:
        self.stream = stream
        self._lock = threading.RLock()
        self._live: _Live | None = None
        self._running: dict[str, tuple[float, str]] = {}
        self._spoke: dict[str, float] = {}
        self._lent = 0
        terminal = stream.isatty() and os.environ.get("TERM") != "dumb"
        self.terminal = terminal
        self.colour = terminal and not os.environ.get("NO_COLOR")

    def paint(self, text: str, style: str) -> str:
        return f"\x1b[{style}m{text}\x1b[0m" if self.colour and text else text

    def write(self, text: str) -> None:
        with self._lock:
            if self._live is not None:
                self._live.above(text)
            else:
                self.stream.write(text + "\n")
                self.stream.flush()

    def begin(self, step: str) -> None:
        with self._lock:
            self._running[step] = time.monotonic(), ""
            self._spoke[step] = time.monotonic()
            self._show()

    def end(self, step: str) -> None:
        with self._lock:
            self._running.pop(step, None)

    def progress(self, step: str, text: str) -> None:
        """The newest words of a running step: in its live line, or as a line of their own now and then."""
        with self._lock:
            if step in self._running:
                self._running[step] = self._running[step][0], text
            now = time.monotonic()
            if not self.terminal and now - self._spoke.setdefault(step, now) >= _PLAIN_SECONDS:
                self._spoke[step] = now
                self.write(f"{step}: {text}")

    def _show(self) -> None:
        if self.terminal and self._live is None and not self._lent:
            self._live = _Live(self.stream, self._running, "dim" if self.colour else "")

    def close(self) -> None:
        with self._lock:
            if self._live is not None:
                self._live.stop()
                self._live = None

    def lend(self) -> None:
        """While another program has the terminal, no live line is drawn on it."""
        with self._lock:
            self._lent += 1
            self.close()

    def take_back(self) -> None:
        with self._lock:
            self._lent -= 1
            if self._running:
                self._show()


class _Live:
    """The lines below the last one: a spinner would say no more than these words do."""

    def __init__(self, stream: IO[str], running: Mapping[str, tuple[float, str]], style: str) -> None:
        from rich.console import Console
        from rich.live import Live
        from rich.text import Text

        self._text = Text
        self._running, self._style = running, style
        self._console = Console(file=stream, highlight=False, soft_wrap=True)
        self._live = Live(
            console=self._console,
            get_renderable=self._lines,
            refresh_per_second=8,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live.start()

    def _lines(self) -> Any:
        """Called in rich's own thread, which holds rich's lock: so it must not wait for ours."""
        now = time.monotonic()
        running = [_live_line(step, now - begun, words) for step, (begun, words) in tuple(self._running.items())]
        height = max(1, self._console.height - 2)
        if len(running) > height:
            running[height - 1 :] = [f"and {len(running) - height + 1} more"]
        return self._text("\n".join(running), no_wrap=True, overflow="ellipsis", style=self._style)

    def above(self, text: str) -> None:
        self._console.print(self._text.from_ansi(text), soft_wrap=True)

    def stop(self) -> None:
        self._live.stop()


def _live_line(step: str, seconds: float, words: str) -> str:
    """How long is of interest once one begins to wonder."""
    return f"{step}  {duration(int(seconds))}  {words}" if seconds >= _WONDER else f"{step}  {words}"
