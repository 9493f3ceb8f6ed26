"""`[tool.hsm]` to Settings."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsm_tasks.core.errors import ConfigError
from hsm_tasks.core.model import Settings
from hsm_tasks.core.settings import parse


def mistakes(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(text, "pyproject.toml")
    return [str(found) for found in caught.value.problems]


@pytest.mark.parametrize("text", ["", "[tool.other]\nx = 1", "[project]\nname = 'x'", "tool = 3"])
def test_without_a_table_nothing_is_said_of_hsm(text: str) -> None:
    assert parse(text, "pyproject.toml") is None


@pytest.mark.parametrize("text", ["[tool.hsm]", "tool.hsm = {}", "[ tool . 'hsm' ]", "[tool]\nhsm.jobs = 8"])
def test_a_table_is_one_however_toml_lets_it_be_written(text: str) -> None:
    assert parse(text, "pyproject.toml") == Settings()


def test_every_setting_is_read() -> None:
    text = """
[tool.hsm]
stack = "shop"
stacks_dir = "."
repos_dir = "var/repos"
jobs = 3
insecure_registries = ["registry.example:5000", "10.0.0.0/8"]
[tool.hsm.mirrors]
"docker.io" = "http://127.0.0.1:5000"
[tool.hsm.targets.prod]
host = "ssh://deploy@prod.example"
"""
    assert parse(text, "pyproject.toml") == Settings(
        stack="shop",
        stacks_dir=".",
        repos_dir="var/repos",
        jobs=3,
        insecure_registries=("registry.example:5000", "10.0.0.0/8"),
        mirrors={"docker.io": "http://127.0.0.1:5000"},
        targets={"prod": {"host": "ssh://deploy@prod.example"}},
    )


def test_all_mistakes_are_told_at_once_with_their_lines() -> None:
    text = """
[tool.hsm]
jbos = 3
  jobs = 0
stack = "../x"
stacks_dir = "/srv"
repos_dir = "../repos"
insecure_registries = ["http://x", "a:5000"]
mirrors = {"docker.io" = "ftp://x"}
[tool.hsm.targets.x]
host = 3
"""
    assert mistakes(text) == [
        'pyproject.toml:3:1: tool.hsm.jbos: unknown key\n  hint: did you mean "jobs"?',
        "pyproject.toml:4:3: tool.hsm.jobs: 0 is not a number of jobs (1 or more)",
        'pyproject.toml:5:1: tool.hsm.stack: "../x" is not the name of a stack',
        'pyproject.toml:6:1: tool.hsm.stacks_dir: "/srv" does not lie inside the workspace'
        "\n  hint: a path relative to the workspace is needed",
        'pyproject.toml:7:1: tool.hsm.repos_dir: "../repos" does not lie inside the workspace'
        "\n  hint: a path relative to the workspace is needed",
        'pyproject.toml:8:1: tool.hsm.insecure_registries: "http://x" is not a host or host:port'
        "\n  hint: leave out what stands before the host",
        'pyproject.toml:9:1: tool.hsm.mirrors.docker.io: "ftp://x" is not an http or https url',
        "pyproject.toml:11:1: tool.hsm.targets.x.host: must be text, not 3",
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("jobs = true", "true is not a number of jobs (1 or more)"),
        ("jobs = 1.5", "1.5 is not a number of jobs (1 or more)"),
        ("jobs = 2024-01-01", '"2024-01-01" is not a number of jobs (1 or more)'),
        ("stack = []", "a list is not the name of a stack"),
        ("stacks_dir = 3", "3 is not a path"),
        ('stacks_dir = ""', '"" is not a path'),
        ('repos_dir = "a\\\\b"', '"a\\\\b" is not a path'),
        ('repos_dir = "~/src"', '"~/src" does not lie inside the workspace'),
        ('repos_dir = ".git/x"', '".git/x" is a folder that git keeps for itself'),
        ('repos_dir = ".hsm"', '".hsm" is a folder that hsm keeps for itself'),
        ('repos_dir = "."', "checkouts need a folder of their own"),
        ('repos_dir = "stacks"', "checkouts need a folder of their own, apart from stacks_dir"),
        ('insecure_registries = "x"', 'must be a list of hosts, not "x"'),
        ("insecure_registries = [3]", "3 is not a host or host:port"),
        ("mirrors = 3", "must be a table, not 3"),
        ('mirrors = {"http://x" = "http://y"}', '"http://x" is not a registry (a host or host:port)'),
        ('mirrors = {"x" = "http://u:p@y"}', "there is a user or a password in the url"),
        ('mirrors = {"x" = 3}', "3 is not an http or https url"),
        ("targets = 3", "must be a table, not 3"),
        ("targets = {x = 3}", "must be a table, not 3"),
        ("targets = {x = {host = {}}}", "must be text, not a table"),
        ("targets = {x = {hots = 'y'}}", "unknown key"),
        ("nothing_like_it = 1", "unknown key"),
    ],
)
def test_a_value_of_the_wrong_kind_says_what_is_wanted(line: str, message: str) -> None:
    assert message in mistakes(f"[tool.hsm]\n{line}")[0].partition("\n")[0]


def test_a_password_in_a_mirror_is_not_repeated() -> None:
    assert "s3cret" not in mistakes('[tool.hsm.mirrors]\nx = "http://u:s3cret@y"')[0]


def test_a_mistake_of_syntax_has_its_place() -> None:
    assert mistakes("[tool.hsm]\njobs = \n") == ["pyproject.toml:2:8: not TOML: Invalid value"]


def test_a_setting_in_place_of_the_table_is_a_mistake() -> None:
    assert mistakes("[tool]\nhsm = 3") == ["pyproject.toml:2:1: tool.hsm: must be a table"]


def test_a_key_in_one_line_with_its_table_is_found() -> None:
    assert mistakes("\ntool.hsm.jobs = 0") == [
        "pyproject.toml:2:1: tool.hsm.jobs: 0 is not a number of jobs (1 or more)"
    ]


@given(st.text() | st.text(alphabet="[]tolhsm.=\"'{}, \n#1a").map(lambda text: f"[tool.hsm]\n{text}"))
def test_any_text_is_settings_or_a_mistake_of_the_user(text: str) -> None:
    try:
        parse(text, "pyproject.toml")
    except ConfigError as error:
        assert all(found.line >= 1 for found in error.problems)


def test_what_is_nested_too_deeply_is_a_mistake_too() -> None:
    assert mistakes("hsm = " + "[" * 100_000)


@pytest.mark.parametrize("name", ["../../..", "/x", "a/b", ".hidden", "-x", "", "a b"])
def test_a_target_has_the_name_of_a_file(name: str) -> None:
    (said,) = mistakes(f"[tool.hsm]\n[tool.hsm.targets.\"{name}\"]\nhost = \"ssh://x\"\n")
    place = f"pyproject.toml:2:1: tool.hsm.targets.{name}"
    assert said.startswith(f'{place}: "{name}" is not a name for a target\n  hint: letters, digits')


@pytest.mark.parametrize("name", ["prod", "_x", "eu-1.example"])
def test_a_plain_name_is_right(name: str) -> None:
    found = parse(f"[tool.hsm.targets.\"{name}\"]\nhost = \"ssh://x\"\n", "pyproject.toml")
    assert found is not None
    assert set(found.targets) == {name}
