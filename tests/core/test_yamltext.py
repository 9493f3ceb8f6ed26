"""YAML text to trees and back."""

from __future__ import annotations

import itertools
import re
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hsm_tasks.core.errors import ConfigError
from hsm_tasks.core.yamltext import Output, Override, Reset, dump, parse, plain
from tests.support.dumped import parse_dump


def mistakes(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(text, "hsm.yaml")
    return [str(found).partition("\n")[0].removeprefix("hsm.yaml:") for found in caught.value.problems]


@pytest.mark.parametrize(
    "written",
    [
        "22:22",
        "1:30",
        "no",
        "on",
        "y",
        "0123456",
        "08",
        "0o17",
        "1e3",
        "12e03",
        "1.10",
        "2024-01-01",
        "=",
        "0x1F",
        "1_000",
    ],
)
def test_a_plain_scalar_is_the_text_that_was_written(written: str) -> None:
    assert parse(f"key: {written}", "hsm.yaml") == {"key": written}


@pytest.mark.parametrize("written", ["", "~", "null", "Null", "NULL"])
def test_only_what_yaml_calls_null_is_nothing(written: str) -> None:
    assert parse(f"key: {written}", "hsm.yaml") == {"key": None}


def test_quotes_keep_null_as_text() -> None:
    assert parse("a: \"null\"\nb: '~'\nc: ''\nd: ! null", "hsm.yaml") == {"a": "null", "b": "~", "c": "", "d": "null"}


def test_an_empty_file_is_no_tree() -> None:
    assert parse("", "hsm.yaml") is None
    assert parse("# only a comment\n", "hsm.yaml") is None


def test_a_byte_order_mark_is_left_out() -> None:
    assert parse("\ufeffa: b", "hsm.yaml") == {"a": "b"}


def test_merge_keys_fill_in_what_a_mapping_does_not_say() -> None:
    text = "a: &a {x: 1, y: 2}\nb: &b {x: 3, z: 4}\nc: {<<: [*a, *b], y: own}\nd: {<<: *b}"
    tree = parse(text, "hsm.yaml")
    assert isinstance(tree, dict)
    assert tree["c"] == {"x": "1", "y": "own", "z": "4"}
    assert tree["d"] == {"x": "3", "z": "4"}


def test_an_anchor_on_a_key_is_followed() -> None:
    assert parse("&k name: *k", "hsm.yaml") == {"name": "name"}


def test_all_equal_keys_are_found_at_once_and_name_the_first() -> None:
    assert mistakes("a: 1\na: 2\nb: {c: 1, d: 2, c: 3}\nlist:\n  - {e: 1, e: 2}\n") == [
        "2:1: a: the key is there already, in line 1",
        "3:17: b.c: the key is there already, in line 3",
        "5:12: list[0].e: the key is there already, in line 5",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("? [a]\n: 1", "1:3: a key must be text"),
        ("null: 1", "1:1: a key must be text"),
        (
            "a: !!python/object/apply:os.system [x]",
            "1:4: a: the tag !!python/object/apply:os.system means nothing here",
        ),
        ("a: !!binary eA==", "1:4: a: the tag !!binary means nothing here"),
        ("a: !!set {b}", "1:4: a: the tag !!set means nothing here"),
        ("a: !reset null", "1:4: a: the tag !reset means nothing here"),
        ("a: *b", "1:4: a: the alias *b has no anchor before it"),
        ("a: &a [*a]", "1:8: a[0]: the alias *a has no anchor before it"),
        ("a: {<<: 3}", "1:9: a.<<: << takes a mapping, or a list of mappings"),
        ("a: &a {}\nb: {<<: *a, <<: *a}", "2:13: b.<<: the key is there already, in line 2"),
        ("a: b\n--- \nc: d", "2:1: a second document begins here; a file holds one"),
        (
            "a: [1\n",
            "2:1: not YAML: did not find expected ',' or ']' while parsing a flow sequence that begins in line 1",
        ),
        ("a\n\x00b", "2:1: the character U+0000 may not stand in a YAML file"),
        ("a: \ud800", "1:4: the character U+D800 may not stand in a YAML file"),
        ("a: " + "[" * 101, "1:103: nested deeper than 100 levels"),
    ],
)
def test_what_is_no_plain_tree_is_refused_at_its_place(text: str, expected: str) -> None:
    assert mistakes(text) == [expected]


@pytest.mark.parametrize("bracket", ["[", "{", "- ", "? "])
def test_any_depth_is_refused_by_us_or_by_libyaml(bracket: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(bracket * 100_000, "hsm.yaml")
    assert re.fullmatch(r"hsm\.yaml:\d+:\d+: (.*: )?nested deeper than 100 levels", str(caught.value))


def test_many_aliases_of_aliases_are_refused_before_they_unfold() -> None:
    names = "abcdefghi"
    lines = ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]" for before, name in itertools.pairwise(names)]
    assert mistakes("\n".join(lines))[0].endswith("more than 1000000 values, aliases counted in full")


def test_a_file_that_is_too_long_is_refused_unread() -> None:
    assert mistakes("#" * (8 << 20) + "#") == ["1:1: the file is longer than 8 MiB"]


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("a:\n\t- b", "indent with spaces, not with tabs"),
        ("a: @x", "put the value in quotes"),
        ("a: b: c", 'a value with ": " in it needs quotes; a key stands as far left as the keys beside it'),
        ("<<<<<<< HEAD\na: b\n=======\na: c\n>>>>>>> x\n", "resolve it, then run again"),
        ("a: [1", ""),
    ],
)
def test_a_mistake_of_syntax_says_what_to_do_where_that_is_known(text: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text, "hsm.yaml")
    assert caught.value.problems[0].hint == hint


@settings(max_examples=300, deadline=None)
@given(st.text() | st.text(alphabet="ab:-[]{}&*!<>?|#'\"%@\n\t ,0~\x00\x85\u2028\ufeff\ud800"))
@example("a: !<x> b")
@example("%YAML 9.9\n---\na")
@example("- - - ? : \n")
def test_any_text_is_a_tree_or_a_mistake_of_the_user(text: str) -> None:
    try:
        parse(text, "hsm.yaml")
    except ConfigError as error:
        assert all(found.line >= 1 and found.column >= 1 for found in error.problems)


scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(alphabet=st.characters(exclude_categories=["Cs"]))
)
texts = st.text(alphabet=st.characters(exclude_categories=["Cs"]))
trees = st.recursive(
    scalars | st.builds(Reset, st.sampled_from(["null", "list", "map"])),
    lambda below: (
        st.lists(below, max_size=4)
        | st.dictionaries(texts, below, max_size=4)
        | st.builds(Override, st.lists(below, max_size=3) | st.dictionaries(texts, below, max_size=3))
    ),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(trees)
@example({"a" * 200: "b"})
@example({"a": [0.1, 1e22, -5, "5", "0o17", "1e3", "y", "~", "", " ", "a: b", "#", "<<", "é\x7f\u2028😀"]})
@example({"<<": "x", "null": None, "": {}})
def test_what_was_written_is_read_back_the_same(tree: Any) -> None:
    assert parse_dump(dump(tree), "override") == tree


def test_plain_is_only_what_every_reader_takes_for_text() -> None:
    assert [word for word in ["api", "a.b/c-d", "_x", "/data"] if not plain(word)] == []
    words = ["", "y", "NO", "null", "~", "1e3", "0o17", "a b", "a:b", "-x", "<<", "é", "Inf", "a\n"]
    assert [word for word in words if plain(word)] == []


def test_the_text_for_compose_has_tags_quotes_and_no_anchors() -> None:
    shared: dict[str, Output] = {"b": "1"}
    tree: Output = {
        "services": {
            "api": {
                "image": Reset(),
                "profiles": Reset("list"),
                "labels": Reset("map"),
                "build": Override({"context": ".", "args": Reset()}),
                "ports": Override(["22:22"]),
                "x": shared,
                "y": shared,
                "replicas": 2,
                "init": True,
                "cpus": 0.5,
                "user": None,
                "command": [],
                "tag": "7e2",
            }
        }
    }
    expected = """\
# made by hsm
#
# not by you
services:
  api:
    image: !reset null
    profiles: !reset []
    labels: !reset {}
    build: !override
      context: "."
      args: !reset null
    ports: !override
    - "22:22"
    x:
      b: "1"
    "y":
      b: "1"
    replicas: 2
    init: true
    cpus: 0.5
    user: null
    command: []
    tag: "7e2"
"""
    assert dump(tree, "made by hsm\n\nnot by you") == expected
