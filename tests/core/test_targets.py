"""Targets, as they are written, to values."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from hsm_tasks.core.errors import ConfigError
from hsm_tasks.core.targets import Ssh, Target, pick, ssh


def one(**said: str) -> Target:
    return pick("x", {"x": said})


def test_a_target_is_an_ssh_host_or_a_docker_context() -> None:
    assert one(host="ssh://me@server:2222") == Target(name="x", host="ssh://me@server:2222")
    assert one(context="prod", swarm="yes", ports="host", addresses="all", endpoint="dnsrr", wait="30") == Target(
        name="x", context="prod", swarm=True, ports="host", all_addresses=True, endpoint="dnsrr", wait=30
    )


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("ssh://server", Ssh("server")),
        ("ssh://me@server.example:22/", Ssh("server.example", "me", "22")),
        ("ssh://-oProxyCommand=x", None),
        ("ssh://me@-x", None),
        ("ssh://me:secret@server", None),
        ("tcp://server", None),
        ("ssh://server/path", None),
    ],
)
def test_the_parts_of_an_ssh_url(url: str, parts: Ssh | None) -> None:
    assert ssh(url) == parts


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({}, "either host or context"),
        ({"host": "ssh://a", "context": "b"}, "either host or context"),
        ({"host": "server"}, '"server" is not ssh://'),
        ({"context": "-x"}, "is not the name of a docker context"),
        ({"context": "a", "swarm": "maybe"}, "not one of no, yes"),
        ({"context": "a", "wait": "long"}, "is not a number of seconds"),
        ({"context": "a", "dir": "here"}, "is not an absolute path"),
        ({"context": "a", "project": "A b"}, "is not a name for a compose project"),
        ({"context": "a", "hots": "b"}, "hots: unknown key"),
    ],
)
def test_a_mistake_in_a_target_is_told(said: Mapping[str, str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        pick("x", {"x": said})


def test_a_name_that_is_no_target_is_refused_with_those_that_there_are() -> None:
    for name, words in ((None, "say target=NAME; there are: prod"), ("prdo", "did you mean prod")):
        with pytest.raises(ConfigError) as refused:
            pick(name, {"prod": {"context": "a"}})
        assert words in str(refused.value)
