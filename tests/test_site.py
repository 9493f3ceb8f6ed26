"""The site builds from docs/ without a warning, and its reference is that of the model."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

from tests.support.world import REPOSITORY


def test_the_site_builds_without_a_warning_and_each_page_is_in_its_navigation(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", "docs", str(tmp_path / "site")],
        cwd=REPOSITORY, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    front = (tmp_path / "site/index.html").read_text(encoding="utf-8")
    for page in REPOSITORY.glob("docs/**/*.md"):
        assert f'href="{page.relative_to(REPOSITORY / "docs").with_suffix(".html")}"' in front or page.stem == "index"


def test_the_reference_is_that_of_the_model() -> None:
    place = REPOSITORY / "scripts/reference.py"
    spec = importlib.util.spec_from_file_location("reference", place)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.PLACE.read_text(encoding="utf-8") == module.page(), "run: python scripts/reference.py"
