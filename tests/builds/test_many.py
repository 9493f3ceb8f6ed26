"""Many services: builds with bounded parallelism where plain compose fails ("no such job"), and one call to start them.

30 of them, and 100 with HSM_LONG.
"""

from __future__ import annotations

import os

import pytest

from tests.commands.bench import Workspace
from tests.commands.conftest import Make

pytestmark = pytest.mark.docker
MANY = 100 if os.environ.get("HSM_LONG") else 30
DOCKERFILE = "FROM scratch\nARG NUMBER\nENV NUMBER=$NUMBER\nCOPY file /\n"


def stack(shared: bool) -> dict[str, str]:
    """A stack of services that are built, each of a folder of its own or all of the same."""
    files = {"hsm.yaml": "services: {}\n"}
    services = []
    for number in range(MANY):
        folder = "src/all" if shared else f"src/s{number}"
        files |= {f"{folder}/Dockerfile": DOCKERFILE, f"{folder}/file": f"{folder}\n"}
        services.append(f"  s{number}: {{build: {{context: ./{folder}, args: {{NUMBER: '{number}'}}}}}}\n")
    return files | {"docker-compose.yml": "services:\n" + "".join(services)}


def builds(here: Workspace, *words: str) -> set[str]:
    return {step for step in here.ran(*words) if step.startswith("build:")}


@pytest.mark.parametrize("shared", [False, True], ids=["own folders", "one folder"])
def test_all_are_built_and_then_only_what_changed(live: Make, shared: bool) -> None:
    here = live("hsm", stack(shared))
    everyone = {f"build:s{number}" for number in range(MANY)}
    assert builds(here, "-n", "8", "build") == everyone
    images = here.engine("images", "-q", "--filter", f"reference={here.project}-*").split()
    assert len(set(images)) == MANY
    assert builds(here, "build") == set()
    (here.stack / ("src/all/file" if shared else "src/s7/file")).write_text("other\n")
    assert builds(here, "build:s7") == {"build:s7"}
    assert builds(here, "build") == (everyone - {"build:s7"} if shared else set())
