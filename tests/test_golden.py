"""Every folder below tests/stacks is one stack and what becomes of it: a rule of hsm.yaml each, from text to text.

    hsm.yaml  hsm.local.yaml  hsm.lock  docker-compose.yml  .env     what a person has
    local.lock                   what .hsm/STACK/local.lock says of hsm.local.yaml (optional)
    beside/                      what lies beside the folder of the stack (../common.yaml, ../other/...)
    expected.yml                 docker-compose.hsm.yml, byte for byte
    expected-plan.txt            the steps (optional)
    effective.yml                what compose makes of base and override: the parts that matter; null means "not there"
    expected-error.txt           in place of the three: what the person is told

The lock of a case is complete, so no registry and no git server is asked; compose itself reads the base and judges the
result. `pytest --update-golden` writes the expected files anew; the diff is for a person to read.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from hsm_tasks.core.errors import ConfigError
from hsm_tasks.core.plan import Clone, Plan, Up, plan
from hsm_tasks.effects import files, process
from hsm_tasks.stack import workspace
from hsm_tasks.stack.scene import Opened, open_stack
from hsm_tasks.steps.actions import perform
from hsm_tasks.steps.world import World, places
from tests.support.dumped import parse_dump

CASES = Path(__file__).parent / "stacks"
NAMES = sorted(path.name for path in CASES.iterdir())
NOTHING_LOCAL = "version: 1\nimages: {}\nrepositories: {}\n"
EXPECTED = frozenset({"expected.yml", "expected-plan.txt", "effective.yml", "expected-error.txt", "beside"})


@pytest.fixture(autouse=True)
def no_settings_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("COMPOSE_", "HSM_"))]:
        monkeypatch.delenv(name)


@pytest.fixture
def update(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--update-golden"))


@pytest.mark.parametrize("name", [name for name in NAMES if not (CASES / name / "expected-error.txt").exists()])
def test_a_stack_becomes_the_override_that_is_expected(name: str, tmp_path: Path, update: bool) -> None:
    opened = _opened(name, tmp_path)
    steps = plan(opened.scene)
    _sync(steps, opened)
    _compare(CASES / name / "expected.yml", opened.override.read_text(), update)
    if (CASES / name / "expected-plan.txt").exists():
        _compare(CASES / name / "expected-plan.txt", f"{steps}\n", update)
    effective = CASES / name / "effective.yml"
    if effective.exists():
        wanted = parse_dump(effective.read_text(), str(effective))
        assert not list(_differences(wanted, _effective(opened), ""))


@pytest.mark.parametrize("name", [name for name in NAMES if (CASES / name / "expected-error.txt").exists()])
def test_a_mistake_is_told_as_expected(name: str, tmp_path: Path, update: bool) -> None:
    with pytest.raises(ConfigError) as caught:
        _opened(name, tmp_path)
    _compare(CASES / name / "expected-error.txt", f"{caught.value}\n", update)


def _opened(name: str, root: Path) -> Opened:
    folder = root / "stacks" / name
    shutil.copytree(CASES / name, folder, ignore=lambda *_: EXPECTED)
    if (CASES / name / "beside").exists():
        shutil.copytree(CASES / name / "beside", folder.parent, dirs_exist_ok=True)
    state = root / ".hsm" / name
    state.mkdir(parents=True)
    files.write_own(state / "local.lock", _local_lock(name))
    return open_stack(workspace.find(root), name, os.environ)


def _sync(steps: Plan, opened: Opened) -> None:
    """All that a sync does but cloning: what clones bring is put there by hand."""
    world = World(opened, lambda *_: None, lambda words: pytest.fail(words))
    for step in steps.steps:
        if isinstance(step, Clone):
            record = world.path(step.output)
            record.parent.mkdir(parents=True, exist_ok=True)
            record.write_text(json.dumps({"commit": None if step.own else step.locked}))
        elif not isinstance(step, Up):
            for _, place in places(getattr(step, "mounts", ()), world):
                place.mkdir(parents=True, exist_ok=True)
            perform(step, world)
        if step is steps.check:
            break
    lock, local = (opened.folder / "hsm.lock").read_text(), files.read_own(opened.state / "local.lock")
    assert lock == (CASES / opened.name / "hsm.lock").read_text(), "the lock of the case is not complete"
    assert local == _local_lock(opened.name), "the local lock of the case is not complete"


def _local_lock(name: str) -> str:
    path = CASES / name / "local.lock"
    return path.read_text() if path.exists() else NOTHING_LOCAL


def _effective(opened: Opened) -> Any:
    """The model that compose ends up with; the folder of the workspace is written ROOT."""
    argv = opened.project().argv("config", "--format", "json")
    said = process.run(*argv, cwd=opened.files[0].parent).out
    return json.loads(said.replace(str(opened.workspace.root), "ROOT"))


def _differences(wanted: Any, found: Any, where: str) -> Iterator[str]:
    """What is wanted and is not so. A mapping may have more keys than are wanted, a list no more items."""
    if isinstance(wanted, Mapping) and isinstance(found, Mapping):
        for key, value in wanted.items():
            yield from _differences(value, found.get(key), f"{where}.{key}")
    elif isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        for index, value in enumerate(wanted):
            yield from _differences(value, found[index], f"{where}[{index}]")
    elif wanted != found:
        yield f"{where}: {wanted!r} is wanted, compose has {found!r}"


def _compare(path: Path, text: str, update: bool) -> None:
    if update:
        path.write_text(text)
    assert text == path.read_text()
