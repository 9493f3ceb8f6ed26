"""Says that something has changed below some folders. What it was, and whether it matters, is for others to judge."""

from __future__ import annotations

import contextlib
import os
import queue
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from hsm_tasks.core.errors import HsmError

if TYPE_CHECKING:
    from watchfiles._rust_notify import RustNotify

QUIET, LONGEST = 0.4, 10.0
"""A burst is over when nothing has happened for so many seconds; it is cut where it lasts longer."""
_STEP = 100  # ms
_POLLING = "WATCHFILES_FORCE_POLLING"  # as watchfiles itself: for file systems that tell nothing


class Bell:
    """Rings for what happens directly in the folders `flat`, and anywhere below the folders `deep`."""

    def __init__(self, counts: Callable[[str], bool]) -> None:
        self._counts = counts
        self._rung: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._aimed: object = None

    def __enter__(self) -> Bell:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()

    def aim(self, flat: Iterable[Path], deep: Iterable[Path]) -> bool:
        """Watches these from now on; whether they are others. A folder that was made anew is another one."""
        kinds = ((False, _there(flat)), (True, _there(deep)))
        if kinds == self._aimed:
            return False
        self._stop.set()
        self._stop, self._aimed = threading.Event(), kinds
        for recursive, folders in kinds:
            if folders:
                self._listen(_notify(sorted(folders), recursive), self._stop)
        return True

    def _listen(self, notify: RustNotify, stop: threading.Event) -> None:
        def listen() -> None:
            with notify:
                while not stop.is_set():
                    seen = notify.watch(_STEP, _STEP, 0, stop)
                    if isinstance(seen, set) and any(self._counts(path) for _, path in seen):
                        self._rung.put(True)

        threading.Thread(target=listen, name="notify", daemon=True).start()

    def wait(self) -> None:
        """Until something has happened, and nothing more does."""
        self._rung.get()
        end = time.monotonic() + LONGEST
        with contextlib.suppress(queue.Empty):
            while time.monotonic() < end:
                self._rung.get(timeout=QUIET)


def _there(paths: Iterable[Path]) -> dict[str, int]:
    found = {}
    for path in paths:
        with contextlib.suppress(OSError):
            if path.is_dir():
                found[str(path)] = path.stat().st_ino
    return found


def _notify(folders: list[str], recursive: bool) -> RustNotify:
    from watchfiles._rust_notify import RustNotify, WatchfilesRustInternalError

    try:
        return RustNotify(folders, False, bool(os.environ.get(_POLLING)), 300, recursive, True)
    except (OSError, WatchfilesRustInternalError) as error:
        hint = f"where it says limit or too many: raise fs.inotify.max_user_watches, or set {_POLLING}=1"
        raise HsmError(f"the files can not be watched: {error}", hint) from error
