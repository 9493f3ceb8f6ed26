"""Image references: what docker accepts is read, what it refuses is explained."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsm_tasks.core.reference import ImageReference

DIGEST = "sha256:" + "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "name", "tag", "digest", "host", "repository"),
    [
        ("postgres", "postgres", None, None, "docker.io", "library/postgres"),
        ("postgres:16-alpine", "postgres", "16-alpine", None, "docker.io", "library/postgres"),
        ("grafana/grafana", "grafana/grafana", None, None, "docker.io", "grafana/grafana"),
        ("docker.io/postgres:16", "docker.io/postgres", "16", None, "docker.io", "library/postgres"),
        ("index.docker.io/acme/api", "index.docker.io/acme/api", None, None, "docker.io", "acme/api"),
        ("registry.example/acme/api:1", "registry.example/acme/api", "1", None, "registry.example", "acme/api"),
        ("registry.example:5000/api", "registry.example:5000/api", None, None, "registry.example:5000", "api"),
        ("localhost/api", "localhost/api", None, None, "localhost", "api"),
        ("localhost:5000/a/b/c:t", "localhost:5000/a/b/c", "t", None, "localhost:5000", "a/b/c"),
        ("127.0.0.1:5000/api", "127.0.0.1:5000/api", None, None, "127.0.0.1:5000", "api"),
        ("[::1]:5000/api:2", "[::1]:5000/api", "2", None, "[::1]:5000", "api"),
        (f"api@{DIGEST}", "api", None, DIGEST, "docker.io", "library/api"),
        (f"ghcr.io/acme/api:1.4@{DIGEST}", "ghcr.io/acme/api", "1.4", DIGEST, "ghcr.io", "acme/api"),
        ("a--b/c__d.e_f", "a--b/c__d.e_f", None, None, "docker.io", "a--b/c__d.e_f"),
        ("Registry.Example/api", "Registry.Example/api", None, None, "Registry.Example", "api"),
    ],
)
def test_a_reference_is_taken_apart_as_docker_does(
    text: str, name: str, tag: str | None, digest: str | None, host: str, repository: str
) -> None:
    reference = ImageReference.parse(text)
    assert (reference.name, reference.tag, reference.digest) == (name, tag, digest)
    assert (reference.host, reference.repository) == (host, repository)
    assert str(reference) == text


def test_without_a_tag_latest_is_meant_and_not_written() -> None:
    reference = ImageReference.parse("postgres")
    assert reference.tagged == "latest"
    assert str(reference) == "postgres"
    assert ImageReference.parse("postgres:16").tagged == "16"


def test_a_pin_has_the_name_as_written_with_tag_and_digest() -> None:
    assert ImageReference.parse("postgres:16").pinned("16.10", DIGEST) == f"postgres:16.10@{DIGEST}"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "the image reference is empty"),
        ("api:", 'the tag is empty'),
        (":1.4", "has no name"),
        (f"@{DIGEST}", "has no name"),
        ("api:-x", 'the tag "-x" is not a tag'),
        ("api:" + "x" * 129, "is not a tag"),
        ("api:1:2", '"api:1" in the image name "api:1" is not allowed'),
        ("api:größe", "is not a tag"),
        ("Api", 'must be in lower case: "Api"'),
        ("acme/API:1", 'must be in lower case: "API"'),
        ("acme//api", "has an empty part"),
        ("/api", "has an empty part"),
        ("registry.example/", "has an empty part"),
        ("a___b", '"a___b" in the image name'),
        ("-api", '"-api" in the image name'),
        ("api.", '"api." in the image name'),
        ("acme/${TAG}", '"${TAG}" in the image name'),
        ("registry..example/api", 'the registry "registry..example"'),
        ("registry.example:port/api", 'the registry "registry.example:port"'),
        ("user@registry.example/api", 'the digest "registry.example/api" is not sha256:'),
        ("api@sha256:123", 'the digest "sha256:123" is not sha256:'),
        (f"api@{DIGEST.upper()}", "is not sha256:"),
        ("api@", 'the digest "" is not sha256:'),
        (f"api@{DIGEST}:1", "is not sha256:"),
        ("https://registry.example/api", "is a url"),
        ("api 1", "has a space in it"),
        ("api\n", "has a control character"),
        ("api\x1b[31m", "has a control character"),
        ("a" * 256, "is too long (256 characters"),
        ("a" * 5000, "is too long (5000 characters)"),
        ("f" * 64, "is the id of an image"),
    ],
)
def test_what_is_no_reference_is_refused_with_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence)) as caught:
        ImageReference.parse(text)
    message = str(caught.value)
    assert message.isprintable()
    assert len(message) < 800


@given(st.text(max_size=60) | st.text(alphabet="aA1.-_/:@\n", max_size=30))
def test_any_text_is_refused_or_comes_back_as_it_was(text: str) -> None:
    try:
        reference = ImageReference.parse(text)
    except ValueError as error:
        assert str(error).isprintable()
        return
    assert str(reference) == text
    assert ImageReference.parse(reference.pinned(reference.tagged, DIGEST)).name == reference.name
