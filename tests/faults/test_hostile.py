"""Files of an attacker: whatever hsm.yaml, hsm.local.yaml, hsm.lock, and the settings say, hsm ends with a
sentence, soon, starts no program that nobody asked for, and writes nowhere but in the workspace.

Pieces of attacks are put at any place of files that are nearly right; hypothesis makes the files. Most of them are only
read; some go through a whole sync, with git and a registry at hand. The base has a file of its own (test_hostile_base).
"""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hsm_tasks.core import lock
from hsm_tasks.core import settings as tool
from hsm_tasks.core.choose import choose
from hsm_tasks.core.errors import ConfigError, HsmError
from hsm_tasks.core.giturl import check_ref, check_url
from tests.faults.hostile import KEYS, RIGHT, WORDS, Thrower, at, nothing_but_reading, places, programs, put
from tests.faults.kills import Stage
from tests.model.hsm import call
from tests.support import stage as values

LONG = bool(os.environ.get("HSM_LONG"))
INPUTS = 300
"""What hypothesis makes for each kind of file: slowly, but it finds the smallest one that fails."""
MANY = 125_000 if LONG else 2000
"""What is thrown together quickly, of the same pieces."""
WHOLE = 400 if LONG else 12
SETTING = "[tool.hsm]\n{} = '''{}'''\n"
NAMES = ("stack", "stacks_dir", "repos_dir", "jobs", "mirrors", "targets", "other")
scalars = st.sampled_from(WORDS) | st.text(max_size=8)
trees = st.recursive(
    scalars | st.none() | st.booleans() | st.integers() | st.floats(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS) | scalars, inner, max_size=5),
    max_leaves=12,
)
BASE = "{api: {image: a}, web: {image: b}, pg: {image: c}, my: {image: d}}"
PLACES = tuple(places(RIGHT))


@st.composite
def nearly_right(draw: st.DrawFn) -> Any:
    """The right file with up to three places that are an attack."""
    tree: Any = RIGHT
    for _ in range(draw(st.integers(1, 3))):
        there = [path for path in PLACES if path in set(places(tree))]
        path = draw(st.sampled_from(there))
        value = draw(scalars | trees)
        if draw(st.booleans()) and isinstance(found := at(tree, path), dict):
            value = {**found, draw(st.sampled_from(KEYS) | scalars): value}
        tree = put(tree, path, value)
    return tree


texts = (
    st.builds(lambda tree: yaml.safe_dump(tree, allow_unicode=True), nearly_right())
    | st.builds(lambda tree: yaml.safe_dump(tree, allow_unicode=False, default_flow_style=True), trees)
    | st.text(alphabet="[]{}:,-&*!|>'\"#%@`?<=~ \n\tab0\x00\x85\ud800", max_size=60)
)
usual = settings(max_examples=INPUTS, deadline=None, database=None, suppress_health_check=list(HealthCheck))


@usual
@given(texts, st.none() | texts)
def test_hsm_yaml_of_an_attacker_is_a_stack_or_a_mistake(text: str, mine: str | None) -> None:
    as_a_stack(text, mine)


def as_a_stack(text: str, mine: str | None) -> None:
    with nothing_but_reading():
        try:
            stack = values.stack(text, mine)
        except ConfigError as error:
            assert "Traceback" not in str(error)
            return
        judge(stack)
        chosen, findings = choose(stack, values.base(BASE))
        assert findings or set(chosen.forms) >= {"api", "web"}


def judge(stack: Any) -> None:
    """What got through can harm nobody: no option, no program, no way out of the folder of checkouts."""
    for service in stack.services.values():
        repository = service.repository
        if repository:
            assert check_url(repository.url) is None and check_ref(repository.ref) is None
            name = repository.name
            assert name not in ("", ".", "..") and not set(name) & set("/\\:\n\0") and not name.startswith("-"), name


@usual
@given(texts | st.builds(lambda tree: yaml.safe_dump({"version": 1, "images": tree, "repositories": tree}), trees))
def test_a_lock_of_an_attacker_is_a_lock_or_a_mistake(text: str) -> None:
    as_a_lock(text)


def as_a_lock(text: str) -> None:
    with nothing_but_reading():
        try:
            read = lock.parse(text, "hsm.lock")
        except HsmError:
            return
        assert lock.parse(lock.dump(read), "hsm.lock") == read
        for entry in read.repositories.values():
            assert set(entry) <= set("0123456789abcdef"), entry


@usual
@given(st.text(max_size=40) | st.builds(lambda key, value: SETTING.format(key, value), st.sampled_from(NAMES), scalars))
def test_settings_of_an_attacker_are_settings_or_a_mistake(text: str) -> None:
    as_settings(text)


def as_settings(text: str) -> None:
    with nothing_but_reading():
        try:
            read = tool.parse(text, "pyproject.toml")
        except HsmError:
            return
    for folder in (read.stacks_dir, read.repos_dir) if read else ():
        assert not folder.startswith(("/", "..")) and "/../" not in f"{folder}/", folder


def test_no_file_of_an_attacker_makes_a_traceback() -> None:
    seed = random.randrange(1 << 30)
    thrower = Thrower(seed)
    for number in range(MANY):
        text = thrower.text()
        try:
            if number % 5 < 3:
                as_a_stack(text, thrower.text() if number % 2 else None)
            elif number % 5 == 3:
                as_a_lock(yaml.dump({"version": 1, "images": thrower.value(), "repositories": thrower.value()}))
            else:
                as_settings(SETTING.format(thrower.chance.choice(NAMES), thrower.value()))
        except BaseException:
            print(f"seed {seed}, number {number}:\n{text}")  # pytest shows it
            raise


@settings(usual, max_examples=WHOLE)
@given(nearly_right())
def test_a_whole_sync_of_an_attackers_stack_starts_git_and_docker_only(stage: Stage, tree: Any) -> None:
    stage.bring_back("new")
    own = stage.root / "stacks/shop"
    text = yaml.safe_dump(tree, allow_unicode=True)
    here = text.replace("https://git.example", str(stage.folder / "git"))
    (own / "hsm.yaml").write_bytes(here.encode(errors="replace"))
    outside = sorted(path for path in stage.folder.iterdir())
    with programs() as started:
        done = call(stage.root, stage.environ, "--continue", "sync")
    assert done.code in (0, 1, 3), f"{text}\n{done.said}"
    assert "Traceback" not in done.said, f"{text}\n{done.said}"
    assert {Path(program).name for program in started} <= {"git", "docker", "docker-compose"}, started
    assert sorted(path for path in stage.folder.iterdir() if path.name != "run.log") == [
        path for path in outside if path.name != "run.log"
    ]
    assert not [path for path in Path.cwd().glob("x*")]
