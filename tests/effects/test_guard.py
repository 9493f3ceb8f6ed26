"""The lock of a workspace; tests/faults/test_together.py has whole runs at once."""

from __future__ import annotations

import fcntl
import os
import threading
from pathlib import Path

from hsm_tasks.effects.guard import held


def test_who_waited_for_a_lock_file_that_is_gone_waits_for_the_one_that_is_there(tmp_path: Path) -> None:
    said: list[str] = []
    spoken = threading.Semaphore(0)
    inside = threading.Event()

    def say(words: str) -> None:
        said.append(words)
        spoken.release()

    def second() -> None:
        with held(tmp_path, "second", say) as waited:
            assert waited
            inside.set()

    thread = threading.Thread(target=second)
    with held(tmp_path, "first", say):
        thread.start()
        spoken.acquire()
        (tmp_path / "lock").unlink()
        third = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
        fcntl.flock(third, fcntl.LOCK_EX)
    spoken.acquire()
    assert not inside.is_set()
    os.close(third)
    thread.join(60)
    assert inside.is_set()
    assert said[0] == f"waiting for process {os.getpid()} (first)"


def test_a_lock_that_was_left_is_taken_without_a_word(tmp_path: Path) -> None:
    for _ in range(2):
        with held(tmp_path, "one", lambda words: None) as waited:
            assert not waited
            assert (tmp_path / "lock.holder").read_text() == f"process {os.getpid()} (one)\n"
    assert not (tmp_path / "lock.holder").exists()
    assert (tmp_path / "lock").exists()
