"""The bell rings for what counts, once a burst, wherever it was aimed last."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hsm_tasks.effects.notify import Bell

PATIENCE = 60.0


@pytest.fixture
def bell() -> Iterator[Bell]:
    with Bell(lambda path: "ignored" not in path) as made:
        yield made


def rings(bell: Bell, within: float = PATIENCE) -> bool:
    """Whether it rings."""
    rung = threading.Event()

    def wait() -> None:
        bell.wait()
        rung.set()

    threading.Thread(target=wait, daemon=True).start()
    return rung.wait(within)


def test_a_file_in_a_flat_folder_counts_and_one_below_does_not(bell: Bell, tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    assert bell.aim([tmp_path], [])
    (tmp_path / "below/file").write_text("1")
    time.sleep(1)
    (tmp_path / "file").write_text("1")
    assert rings(bell)


def test_a_file_that_is_replaced_and_one_that_is_new_count(bell: Bell, tmp_path: Path) -> None:
    file, beside = tmp_path / "file", tmp_path / "beside"
    file.write_text("1")
    bell.aim([tmp_path], [])
    beside.write_text("2")
    beside.replace(file)
    assert rings(bell)


def test_folders_that_are_made_later_are_watched_in_depth(bell: Bell, tmp_path: Path) -> None:
    bell.aim([], [tmp_path])
    (tmp_path / "a/b").mkdir(parents=True)
    assert rings(bell)
    (tmp_path / "a/b/file").write_text("1")
    assert rings(bell)


def test_what_does_not_count_does_not_ring(bell: Bell, tmp_path: Path) -> None:
    bell.aim([], [tmp_path])
    (tmp_path / "ignored").write_text("1")
    assert not rings(bell, within=2)


def test_a_burst_rings_once(bell: Bell, tmp_path: Path) -> None:
    bell.aim([], [tmp_path])
    for number in range(300):
        (tmp_path / f"{number}").write_text("1")
    assert rings(bell)
    assert not rings(bell, within=2)


def test_it_is_aimed_anew_only_at_other_folders(bell: Bell, tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    assert bell.aim([one], [other])
    assert not bell.aim([one], [other])
    other.mkdir()
    assert bell.aim([one], [other])
    one.rename(tmp_path / "away")
    one.mkdir()
    assert bell.aim([one], [other])
    (one / "file").write_text("1")
    assert rings(bell)
