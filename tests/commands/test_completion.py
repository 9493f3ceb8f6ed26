"""Completion as a shell asks for it: the words themselves, and bash with its own ideas of what a word is."""

from __future__ import annotations

import shutil
import subprocess
import time

import pytest

from tests.commands.bench import DOORS, Workspace
from tests.commands.conftest import Make

COMPLETER = r"""
eval "$(hsm completion bash)"
COMP_LINE=$1 COMP_POINT=${#1}
_hsm
printf '%s\n' "${COMPREPLY[@]}"
"""


def words(here: Workspace, *typed: str) -> list[str]:
    """The words that hsm offers for the last one that was typed."""
    return [line.partition("\t")[0] for line in here.run("_complete", *typed).out.splitlines()]


def bash(here: Workspace, line: str, breaks: str | None = None) -> list[str]:
    """What bash puts in place of the part behind the last colon or equals sign."""
    script = COMPLETER if breaks is None else f"COMP_WORDBREAKS={breaks!r}{COMPLETER}"
    done = subprocess.run(
        ("bash", "-c", script, "bash", line),
        cwd=here.root,
        env=here.environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout.split()


def test_the_words_of_a_stack_are_known_before_and_after_its_first_sync(make: Make) -> None:
    here = make("hsm")
    for _ in range(2):
        assert words(here, "up:")[:3] == ["up:api", "up:job", "up:metrics"]
        assert "up:db" in words(here, "up:")
        assert words(here, "dev:") == ["dev:api"]
        assert words(here, "use:") == ["use:debug", "use:metrics", "use:my", "use:pg", "use:tracing"]
        assert words(here, "unuse:") == ["unuse:debug", "unuse:metrics", "unuse:tracing"]
        assert words(here, "sync", "logs:w") == ["logs:web"]
        here.run("sync")


def test_own_tasks_are_completed_without_running_dodo_py(make: Make) -> None:
    here = make("doit")
    text = (here.root / "dodo.py").read_text()
    (here.root / "dodo.py").write_text(f"{text}raise SystemExit('run')\ndef task_migrate(): ...\n")
    assert words(here, "mig") == ["migrate"]
    assert words(here, "forget", "mig") == ["migrate"]
    assert words(here, "help", "mig") == ["migrate"]


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        (("stat",), ["status"]),
        (("de",), ["dev:", "deploy"]),
        (("status", "--j"), ["--json"]),
        (("completion", ""), ["bash", "fish", "zsh"]),
        (("explain", "H10"), [f"H10{n}" for n in range(1, 10)]),
        (("help", "sta"), ["status", "stacks"]),
        (("info", "clone:"), ["clone:api"]),
        (("frozen=", ), ["frozen=yes", "frozen=no"]),
        (("compose", ""), []),
        (("up", "nothing-like-it"), []),
    ],
)  # fmt: skip
def test_each_word_has_its_followers(typed: tuple[str, ...], found: list[str], make: Make) -> None:
    assert words(make("hsm"), *typed) == found


def test_the_targets_of_the_settings_and_of_the_stack_are_completed(make: Make) -> None:
    here = make("doit")
    (here.root / "pyproject.toml").write_text("[tool.hsm.targets.server]\nhost = \"ssh://server\"\n")
    here.write("hsm.yaml", f"{here.read('hsm.yaml')}targets: {{local: {{context: default}}}}\n")
    assert words(here, "deploy", "target=") == ["target=local", "target=server"]


def test_stacks_are_completed_and_asked_about_by_name(make: Make) -> None:
    here = make("doit")
    here.write("../ml/hsm.yaml", "services: {model: {prod: {image: x}}}\n")
    here.write("../ml/docker-compose.yml", "services: {model: {image: x}, trainer: {image: y}}\n")
    asked = [line.partition("\t")[0] for line in here.run("_complete", "stack=").out.splitlines()]
    assert asked == ["stack=ml", "stack=shop"]
    assert here.run("_complete", "stack=ml", "up:").out == "up:model\t\nup:trainer\t\n"
    assert here.run("_complete", "up:").out == ""


def test_a_broken_hsm_yaml_and_a_folder_without_one_say_nothing_wrong(make: Make) -> None:
    here = make("hsm", {"hsm.yaml": "services: {api: {mod: dev}}\n"})
    assert words(here, "up:w") == ["up:web"]
    (here.root / "hsm.yaml").unlink()
    done = here.run("_complete", "s")
    assert "sync\t" in done.out and done.err == ""


def test_no_compose_is_called_and_an_answer_comes_while_one_types(make: Make) -> None:
    here = make("hsm")
    here.variables["PATH"] = here.environment()["PATH"].partition(":")[0]
    began = time.monotonic()
    assert words(here, "up:ap") == ["up:api"]
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("hsm up:a", ["api"]),
        ("hsm sync up:db stop:we", ["web"]),
        ("hsm stack=", ["workspace"]),
        ("hsm -n 4 use:", ["debug", "metrics", "my", "pg", "tracing"]),
        ("hsm completion ", ["bash", "fish", "zsh"]),
        ("hsm restar", ["restart:"]),
        ("hsm up:nobody", []),
    ],
)
def test_bash_completes_behind_colons_and_equals_signs(line: str, found: list[str], make: Make) -> None:
    assert bash(make("hsm"), line) == found


def test_bash_that_does_not_cut_at_colons_gets_whole_words(make: Make) -> None:
    assert bash(make("hsm"), "hsm up:a", breaks=" \t\n") == ["up:api"]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_the_scripts_of_other_shells_are_right_in_form(shell: str, make: Make) -> None:
    here = make("hsm")
    script = here.run("completion", shell).out
    assert "hsm _complete" in script
    if shutil.which(shell):
        subprocess.run((shell, "-n"), input=script, text=True, check=True)


@pytest.mark.parametrize("door", DOORS)
def test_a_shell_that_is_not_known_is_refused(door: str, make: Make) -> None:
    here = make(door)
    assert "one of: bash, fish, zsh" in here.run("completion", code=3).err
    assert 'there is no completion for "tcsh"' in here.run("completion", "tcsh", code=3).err
