"""Words of the engine that everybody meets once, as docker 24 to 28 say them, and what is advised."""

from __future__ import annotations

import pytest

from hsm_tasks.core.advice import hint


@pytest.mark.parametrize(
    ("said", "advised"),
    [
        ("Cannot connect to the Docker daemon at tcp://127.0.0.1:1. Is the docker daemon running?", "hsm doctor"),
        ("permission denied while trying to connect to the Docker daemon socket at unix:///x", "your user may not"),
        ("listen tcp4 127.0.0.1:80: bind: address already in use", "something has the port 127.0.0.1:80 already"),
        ("Bind for 0.0.0.0:5432 failed: port is already allocated", "another container has the port 0.0.0.0:5432"),
        ("write /var/lib/x: no space left on device", "docker system df"),
        ('Conflict. The container name "/db" is already in use by container "1"', "name /db"),
        ("toomanyrequests: You have reached your pull rate limit", "a mirror"),
        ("pull access denied for acme/api, repository does not exist or may require 'docker login'", "docker login"),
        ("manifest for acme/api:9 not found: manifest unknown", "hsm update"),
        ('process "/bin/sh -c npm ci" did not complete successfully: exit code: 1', "the build itself failed"),
    ],
)
def test_known_words_have_advice(said: str, advised: str) -> None:
    assert advised in hint(f" Container x  Starting\n{said}\n")


def test_the_cause_goes_before_what_follows_from_it() -> None:
    assert "disk is full" in hint("write: no space left on device\nfailed to solve: executor failed running")


def test_of_other_words_nothing_is_made() -> None:
    assert hint("Container x  Started\n") == ""
