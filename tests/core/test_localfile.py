"""Edits of hsm.local.yaml."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hsm_tasks.core.errors import ConfigError
from hsm_tasks.core.localfile import set_mode, set_selection
from hsm_tasks.core.yamltext import parse

MINE = """\
# my own settings
mode: prod   # for all

services:
    api:   # the one I work on
        repo: {ref: 0123456, path: "../x"}   # refs
        prod: {version: 12e03}
        dev:
            environment:
                A: no
                B: ~
                C:
                D: 'q'
                E: 2020-01-01
            ports:
            - 22:22
            - "1:1"

groups:
    # what is on
    observability:
        selection:
        - grafana   # the first
        - jaeger
"""


def changes(before: str, after: str) -> list[str]:
    """The lines that are only on one side."""
    old, new = before.splitlines(), after.splitlines()
    return [f"-{line}" for line in old if line not in new] + [f"+{line}" for line in new if line not in old]


def test_a_new_file_holds_just_the_mode() -> None:
    assert set_mode("", "api", "dev") == "services:\n  api:\n    mode: dev\n"


def test_comments_of_an_otherwise_empty_file_stay() -> None:
    assert set_mode("# mine", "api", "dev") == "# mine\nservices:\n  api:\n    mode: dev\n"


def test_only_the_mode_changes_in_a_file_that_a_person_wrote() -> None:
    assert changes(MINE, set_mode(MINE, "api", "dev")) == ["+        mode: dev"]
    assert changes(MINE, set_mode(MINE, "web", "dev")) == ["+    web:", "+        mode: dev"]


def test_only_the_selection_changes_in_a_file_that_a_person_wrote() -> None:
    edited = set_selection(MINE, "observability", ("grafana", "prometheus"), one=False)
    assert changes(MINE, edited) == ["-        - jaeger", "+        - prometheus"]


def test_a_selection_of_one_is_a_word_and_of_many_a_list() -> None:
    assert changes(MINE, set_selection(MINE, "db", ("mysql",), one=True)) == ["+    db:", "+        selection: mysql"]
    assert changes(MINE, set_selection(MINE, "db", ("a", "b"), one=False)) == ["+    db:", "+        selection: [a, b]"]


def test_nothing_selected_is_an_empty_list() -> None:
    tree = parse(set_selection(MINE, "observability", (), one=False), "hsm.local.yaml")
    assert isinstance(tree, dict) and tree["groups"] == {"observability": {"selection": []}}


def test_the_same_mode_again_leaves_the_text_as_it_is() -> None:
    text = "services: {api: {mode:   dev}}"
    assert set_mode(text, "api", "dev") == text


@pytest.mark.parametrize("text", ["groups: {db: {selection: mysql}}", "groups: {db: {selection: [mysql]}} # x"])
def test_the_same_selection_again_leaves_the_text_as_it_is(text: str) -> None:
    assert set_selection(text, "db", ("mysql",), one=True) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("services:\n", "services:\n  api:\n    mode: dev\n"),
        ("services:\n  api:\n", "services:\n  api:\n    mode: dev\n"),
        ("services: {}\n", "services:\n  api:\n    mode: dev\n"),
        ("services: {api: {mode: prod}} # c\n", "services: {api: {mode: dev}}  # c\n"),
        ("---\nmode: dev\n", "---\nmode: dev\nservices:\n  api:\n    mode: dev\n"),
        ("a: &a {mode: prod}\nb: *a\n", "a: &a {mode: prod}\nb: *a\nservices:\n  api:\n    mode: dev\n"),
    ],
)
def test_each_way_to_write_a_file_is_kept(text: str, expected: str) -> None:
    assert set_mode(text, "api", "dev") == expected


def test_a_name_that_yaml_takes_for_nothing_is_quoted() -> None:
    tree = parse(set_selection("mode: dev\n", "db", ("null", "on"), one=False), "hsm.local.yaml")
    assert isinstance(tree, dict) and tree["groups"] == {"db": {"selection": ["null", "on"]}}


def test_a_mapping_that_two_services_share_is_left_to_the_person() -> None:
    with pytest.raises(ConfigError) as caught:
        set_mode("services:\n  web: &w {mode: prod}\n  api: *w\n", "api", "dev")
    assert "without changing more than that" in str(caught.value)


@pytest.mark.parametrize("text", ["services: [a]", "services: {api: x}", "- a", "a: [", "a: 1\na: 2"])
def test_a_file_of_another_form_is_a_mistake_of_the_user(text: str) -> None:
    with pytest.raises(ConfigError):
        set_mode(text, "api", "dev")


names = st.from_regex(r"[a-z][a-z0-9._-]{0,8}", fullmatch=True)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(names, st.sampled_from(["dev", "prod"])), max_size=6))
def test_the_file_says_in_the_end_what_was_set_last(edits: list[tuple[str, str]]) -> None:
    text, expected = MINE, {}
    for name, mode in edits:
        text = set_mode(text, name, "dev" if mode == "dev" else "prod")
        expected[name] = mode
    tree = parse(text, "hsm.local.yaml")
    assert isinstance(tree, dict)
    services = tree["services"]
    assert isinstance(services, dict)
    for name, mode in expected.items():
        service = services[name]
        assert isinstance(service, dict) and service["mode"] == mode
    assert "# the one I work on" in text and "# what is on" in text
