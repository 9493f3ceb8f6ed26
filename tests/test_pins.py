"""requirements-dev.txt has all that pyproject.toml asks for, each at one version with hashes, and names no index."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "requirements-dev.txt").read_text()
FOUND = re.findall(r"^([\w.-]+)==([^\s;\\]+)", TEXT, re.MULTILINE)
PINNED = {canonicalize_name(name): version for name, version in FOUND}


def test_every_dependency_is_pinned_within_its_range() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    wanted = [*project["project"]["dependencies"], *extras["docs"], *extras["test"]]
    for requirement in map(Requirement, [*wanted, *project["build-system"]["requires"]]):
        pinned = PINNED.get(canonicalize_name(requirement.name))
        assert pinned and requirement.specifier.contains(pinned), f"{requirement}: {pinned}; run scripts/pin"


def test_everything_that_is_pinned_has_hashes_and_no_index_is_named() -> None:
    for entry in re.split(r"^(?=[\w.-]+==)", TEXT, flags=re.MULTILINE)[1:]:
        assert "--hash=sha256:" in entry, entry
    assert "://" not in TEXT
    assert "index" not in TEXT
