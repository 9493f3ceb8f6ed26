"""Files are whole, keep their permissions, and take the place of nothing but files."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from hsm_tasks.effects import files


@pytest.mark.parametrize("umask", [0o022, 0o027, 0o002])
def test_a_new_file_has_what_the_umask_leaves_and_an_old_one_keeps_what_it_has(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        files.write_if_changed(tmp_path / "new", "text")
        (tmp_path / "old").touch()
        (tmp_path / "old").chmod(0o606)
        files.write_if_changed(tmp_path / "old", "text")
    finally:
        os.umask(before)
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o666 & ~umask
    assert (tmp_path / "old").stat().st_mode & 0o777 == 0o606
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "old"]


def test_a_device_is_not_replaced() -> None:
    """It would be, for whoever may write in /dev."""
    with pytest.raises(OSError, match="a device, a pipe or a socket is there"):
        files.beside(Path("/dev/null"))


def test_a_link_to_a_device_gives_way_and_the_device_does_not(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/dev/zero")
    files.write_if_changed(tmp_path / "link", "text")
    assert (tmp_path / "link").read_text() == "text"
    assert Path("/dev/zero").is_char_device()


def test_what_a_killed_run_left_goes_with_the_next_file_and_what_is_being_made_stays(tmp_path: Path) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    left = [f".a.json.{pid}-x.tmp" for pid in (dead.pid, os.getpid())] + [f".b.json.{dead.pid}-x.tmp"]
    for name in left:
        (tmp_path / name).touch()
    assert files.remains(tmp_path / "a.json") == [tmp_path / left[0]]
    files.write_if_changed(tmp_path / "a.json", "text")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*left[1:], "a.json"])
