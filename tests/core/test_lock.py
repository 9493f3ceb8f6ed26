"""hsm.lock as text and as values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsm_tasks.core.errors import ConfigError
from hsm_tasks.core.lock import Lock, dump, parse
from hsm_tasks.core.model import Pin

DIGEST = "sha256:" + "0123456789abcdef" * 4
COMMIT = "0123456789" * 4
TEXT = f"""\
version: 1
images:
  "registry.example/api ^1.4": {{tag: 1.5.0, digest: "{DIGEST}"}}
  "registry.example/db:16-alpine": {{tag: "16-alpine", digest: "{DIGEST}", healthcheck: false, volumes: ["/a", "/b"]}}
  "registry.example/web:2.1": {{tag: "2.1", digest: "{DIGEST}"}}
repositories:
  "https://git.example/acme/api.git main": {{commit: "{COMMIT}"}}
"""


def pin(name: str, tag: str, healthcheck: bool | None = None, volumes: tuple[str, ...] | None = None) -> Pin:
    image = f"registry.example/{name}:{tag}@{DIGEST}"
    return Pin(image=image, tag=tag, digest=DIGEST, healthcheck=healthcheck, volumes=volumes)


LOCK = Lock(
    images={
        "registry.example/web:2.1": pin("web", "2.1"),
        "registry.example/db:16-alpine": pin("db", "16-alpine", healthcheck=False, volumes=("/b", "/a")),
        "registry.example/api ^1.4": pin("api", "1.5.0"),
    },
    repositories={"https://git.example/acme/api.git main": COMMIT},
)


def mistakes(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(text, "hsm.lock")
    return [str(found).partition("\n")[0] for found in caught.value.problems]


def test_the_text_is_sorted_and_always_the_same() -> None:
    assert dump(LOCK) == TEXT
    assert dump(parse(TEXT, "hsm.lock")) == TEXT


def test_an_entry_is_read_as_the_pin_that_goes_into_the_override() -> None:
    lock = parse(TEXT, "hsm.lock")
    assert lock.images["registry.example/api ^1.4"] == pin("api", "1.5.0")
    assert lock.images["registry.example/db:16-alpine"] == pin("db", "16-alpine", False, ("/a", "/b"))
    assert lock.repositories == {"https://git.example/acme/api.git main": COMMIT}


def test_an_empty_lock_has_a_text_too() -> None:
    assert dump(Lock()) == "version: 1\nimages: {}\nrepositories: {}\n"
    assert parse(dump(Lock()), "hsm.lock") == Lock()
    assert parse("", "hsm.lock") == Lock()


def test_an_image_without_a_digest_has_no_entry() -> None:
    assert dump(Lock(images={"local": Pin(image="local")})) == dump(Lock())


def test_the_order_and_the_quotes_of_a_file_that_a_person_merged_do_not_matter() -> None:
    text = f"repositories:\nimages:\n  a: {{digest: {DIGEST}, tag: '1'}}\nversion: 1\n"
    assert parse(text, "hsm.lock") == Lock(images={"a": Pin(image=f"a:1@{DIGEST}", tag="1", digest=DIGEST)})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "version: 2\nwhat: ever",
            "hsm.lock:1:10: version: the file was written by a newer hsm (version 2, this one knows 1)",
        ),
        ("images: {}", 'hsm.lock:1:1: version: a lock begins with "version: 1"'),
        ("[a]", 'hsm.lock:1:1: version: a lock begins with "version: 1"'),
        ("version: 1\nimgs: {}", "hsm.lock:2:1: imgs: unknown key"),
        ("version: 1\nimages: [a]", "hsm.lock:2:9: images: must be a mapping, not a list"),
        ("version: 1\nimages:\n<<<<<<< HEAD\n  a: {}\n=======\n", "hsm.lock:3:1: a conflict that git left here"),
        ("version: 1\nversion: 1", "hsm.lock:2:1: version: the key is there already, in line 1"),
    ],
)
def test_a_file_of_another_form_is_refused_at_the_place(text: str, expected: str) -> None:
    assert mistakes(text) == [expected]


def test_all_wrong_entries_are_told_at_once() -> None:
    text = f"""\
version: 1
images:
  Upper/case: {{digest: "{DIGEST}"}}
  a: {{tag: "-", digest: "{DIGEST}"}}
  b: {{digest: "sha256:0"}}
  c: {{tag: x}}
repositories:
  "x main": {{commit: main}}
  "y main": {{}}
"""
    assert mistakes(text) == [
        'hsm.lock:3:3: images.Upper/case: the image name "Upper/case" must be in lower case: "Upper"',
        'hsm.lock:4:12: images.a.tag: "-" is not a tag',
        "hsm.lock:5:15: images.b.digest: a digest is sha256: and 64 hexadecimal digits in lower case",
        "hsm.lock:6:3: images.c.digest: a digest is sha256: and 64 hexadecimal digits in lower case",
        "hsm.lock:8:22: repositories.x main.commit: a commit is 40 or 64 hexadecimal digits in lower case",
        "hsm.lock:9:3: repositories.y main.commit: a commit is 40 or 64 hexadecimal digits in lower case",
    ]


keys = st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=1, max_size=1200)
tags = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,12}", fullmatch=True)
volumes = st.none() | st.lists(st.text(alphabet=st.characters(exclude_categories=["Cs"])), max_size=3).map(sorted).map(
    tuple
)


@given(st.dictionaries(keys, st.just(COMMIT), max_size=3), tags, st.none() | st.booleans(), volumes)
def test_what_was_written_is_read_back_the_same(
    repositories: dict[str, str], tag: str, healthcheck: bool | None, paths: tuple[str, ...] | None
) -> None:
    lock = Lock(images={"registry.example/x ^1": pin("x", tag, healthcheck, paths)}, repositories=repositories)
    assert parse(dump(lock), "hsm.lock") == lock
