"""What doctor concludes of numbers and places."""

from __future__ import annotations

import pytest

from hsm_tasks.core.checkup import Place, file_sharing, free_space

HERE, DESKTOP, FAR = Place(True, "6.1", "6.1"), Place(True, "24.1", "6.10-linuxkit"), Place(False, "6.1", "6.1")


@pytest.mark.parametrize(
    ("engine", "folder", "state", "said"),
    [
        (HERE, "/srv/shop", "ok", "can mount every folder"),
        (DESKTOP, "/home/ada/shop", "ok", "in a virtual machine"),
        (DESKTOP, "/Volumes/work/shop", "ok", "in a virtual machine"),
        (DESKTOP, "/srv/shop", "warning", "is /srv/shop shared with it?"),
        (FAR, "/home/ada/shop", "warning", "on another machine"),
    ],
)
def test_what_the_engine_can_mount(engine: Place, folder: str, state: str, said: str) -> None:
    found = file_sharing(engine, folder, "/home/ada")
    assert (found.state, said in found.message) == (state, True)
    assert bool(found.hint) == (state != "ok")


@pytest.mark.parametrize(("free", "state"), [(6 << 30, "ok"), (1 << 30, "warning"), (100 << 20, "failed")])
def test_how_much_is_free(free: int, state: str) -> None:
    found = free_space(free, "the workspace", "free some space")
    assert (found.state, found.hint) == (state, "" if state == "ok" else "free some space")
