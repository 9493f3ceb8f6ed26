"""The story that the README tells, played by scripts/demo on real parts; it checks each answer itself."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ANSWERS = (
    "web 1.1.0 > api 1.5.0: hello > postgres 16.2",
    "web 1.1.0 > api dev: hello > postgres 16.2",
    "web 1.1.0 > api dev: good morning > postgres 16.2",
    "web 1.1.0 > api dev: good morning > mysql 8.4.0",
    "model 0.3.0 > api dev: good morning > mysql 8.4.0",
)


@pytest.mark.docker
def test_the_story_of_the_demo_holds_and_leaves_nothing_behind() -> None:
    before = _status()
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("HSM_STACK", "COV_"))}
    done = subprocess.run(
        [str(ROOT / "scripts" / "demo")],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=environment,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    for answer in ANSWERS:
        assert answer in done.stdout
    assert re.search(r"doit sync\n\d+ steps up to date", done.stdout), "a second sync ran something"
    assert _status() == before


def _status() -> str:
    return subprocess.run(
        ["git", "status", "--porcelain"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
