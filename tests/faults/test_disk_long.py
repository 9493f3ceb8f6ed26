"""A disk that fills up: a small file system in memory (mounting needs root), with less and less room on it.

Every run ends with a sentence, nothing is left half, and once there is room the next run ends as an undisturbed one.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.kills import Stage, forked
from tests.model.hsm import call
from tests.model.run import scratch
from tests.support.registry import RegistryServer

ROOM = 16 << 20
LEFT = (0, 1 << 12, 1 << 13, 1 << 14, 1 << 15, 1 << 16, 1 << 17, 1 << 18, 1 << 19, 1 << 20)
"""Bytes: from less than a page to more than any of the runs needs."""
RUNS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("new", ("sync",)),
    ("synced", ("dev:api",)),
    ("dev", ("update",)),
    ("synced", ("bundle", "--prod", "--out", "parcel")),
)


class Disk(Stage):
    """A stage whose workspace is a file system of its own."""

    def bring_back(self, name: str) -> None:
        for path in self.root.iterdir():
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        subprocess.run(["cp", "-a", f"{self.folder / name}/.", str(self.root)], check=True)

    def leave(self, room: int) -> Path:
        """A file that takes all the room but this."""
        there = os.statvfs(self.root)
        filler = self.root / "filler"
        with filler.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, there.f_bavail * there.f_frsize - room)
        return filler


@pytest.fixture(scope="module")
def disk() -> Iterator[Disk]:
    with scratch() as folder, RegistryServer() as registry:
        made = Disk(folder, registry, {"HSM_SNAPSHOT": "off"}, f"hsmdisk{os.getpid()}", random.Random())
        made.root.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "tmpfs", str(made.root)], check=True)
        try:
            made.fill()
            yield made
        finally:
            subprocess.run(["umount", str(made.root)], check=True)


@pytest.mark.parametrize(("state", "words"), RUNS, ids=[" ".join(words) for _, words in RUNS])
def test_a_disk_that_is_full_costs_the_run_and_nothing_else(disk: Disk, state: str, words: tuple[str, ...]) -> None:
    disk.undisturbed(state, words)
    codes = []
    for room in LEFT:
        disk.bring_back(state)
        filler = disk.leave(room)
        code, said = forked(disk.root, disk.environ, *words)
        codes.append(code)
        assert code in (0, 1, 3), f"{room}: exit {code}\n{said}"
        assert "Traceback" not in said, f"{room}: {said}"
        assert code == 0 or "space" in said, f"{room}: {said}"
        filler.unlink()
        disk.readable(f"{' '.join(words)} with {room} bytes left")
        disk.right(call(disk.root, disk.environ, *words))
        disk.right(call(disk.root, disk.environ, "sync"))
        mine, right = disk.files(), disk.ends[state, words]
        other = sorted(name for name in {*mine, *right} if mine.get(name) != right.get(name) and "/pins/" not in name)
        assert not other, f"{room}: {other}"
    assert codes[0] and not codes[-1], f"no disk was full, or none was not: {codes}"
