"""A folder of ours on the disk of a target; its shell is that of this machine here."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
import threading
from pathlib import Path

import pytest

from hsm_tasks.core.errors import HsmError
from hsm_tasks.effects.machine import Machine
from tests.support import world

HERE = Machine("here", {})


def tar(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as made:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            made.addfile(info, io.BytesIO(data))
        folder = tarfile.TarInfo("./empty folder")
        folder.type = tarfile.DIRTYPE
        made.addfile(folder)
    return out.getvalue()


def test_the_files_of_a_tar_take_their_places_and_others_stay(tmp_path: Path) -> None:
    place = tmp_path / "the files"
    place.mkdir()
    (place / "mine").write_text("mine")
    (place / "a").write_text("old")
    HERE.unpack(tar({"./a": b"new", "./deep/it's $(x)": b"b"}), str(place))
    assert (place / "a").read_text() == "new"
    assert (place / "deep/it's $(x)").read_text() == "b"
    assert (place / "mine").read_text() == "mine"
    assert (place / "empty folder").is_dir()
    assert [path.name for path in tmp_path.iterdir()] == ["the files"]


def test_what_can_not_be_unpacked_whole_changes_nothing(tmp_path: Path) -> None:
    place = tmp_path / "files"
    place.mkdir()
    (place / "a").write_text("old")
    whole = tar({"./a": b"new", "./b": b"x" * 100_000})
    with pytest.raises(HsmError, match="can not be used"):
        HERE.unpack(whole[:50_000], str(place))
    assert {path.name: path.read_text() for path in place.iterdir()} == {"a": "old"}
    assert [path.name for path in tmp_path.iterdir()] == ["files"]


def test_one_works_on_a_folder_and_the_other_waits_for_it(tmp_path: Path) -> None:
    heard: list[str] = []
    waiting, entered = threading.Event(), threading.Event()

    def busy(whom: str) -> None:
        heard.append(whom)
        waiting.set()

    def other() -> None:
        with HERE.alone(str(tmp_path), "second", busy):
            entered.set()

    with HERE.alone(str(tmp_path), "first of us", busy):
        thread = threading.Thread(target=other)
        thread.start()
        assert waiting.wait(60)
        assert heard == ["first of us"]
        assert not entered.is_set()
    thread.join(60)
    assert entered.is_set()


def test_who_is_killed_leaves_no_lock(tmp_path: Path) -> None:
    program = (
        "import sys, time\nfrom hsm_tasks.effects.machine import Machine\n"
        "with Machine('here', {}).alone(sys.argv[1], 'x', print):\n    print('in', flush=True)\n    time.sleep(1000)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(world.REPOSITORY)}
    killed = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, env=environment)
    assert killed.stdout is not None
    assert killed.stdout.readline() == b"in\n"
    killed.kill()
    killed.wait()
    killed.stdout.close()
    with HERE.alone(str(tmp_path), "next", print):
        pass


def test_a_folder_that_is_not_there_can_not_be_locked(tmp_path: Path) -> None:
    with pytest.raises(HsmError, match="can not be locked"), HERE.alone(str(tmp_path / "no"), "x", print):
        pass
