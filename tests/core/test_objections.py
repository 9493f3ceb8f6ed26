"""The mistakes that show only beside the base."""

from __future__ import annotations

import pytest

from tests.support.stage import REPO, findings

TWO = "{a: {image: a}, b: {image: b}}"


@pytest.mark.parametrize(
    ("hsm", "services", "path", "words"),
    [
        ("services: {x: {}}", "{}", "services.x", 'no service "x"'),
        ("services: {a: {mode: dev}}", TWO, "services.a.mode", "neither repo nor build"),
        ("services: {a: {}}", "{a: {build: {context: .}}}", "services.a", "prod needs an image"),
        ('services: {a: {prod: {version: "^1"}}}', "{a: {image: 'a@sha256:x'}}", "services.a.prod.version", "digest"),
        (
            "groups: {g: {strategy: M-of-N, options: [a, z]}}",
            TWO,
            "groups.g.options.z",
            '"z" is no service of this stack',
        ),
        (
            "groups: {g: {strategy: M-of-N, profiles: [p]}}",
            TWO,
            "groups.g.profiles.p",
            '"p" is no profile of this stack',
        ),
        (
            "groups: {g: {strategy: M-of-N, options: {a: {consumers: {z: {tty: true}}}}}}",
            TWO,
            "groups.g.options.a.consumers.z",
            '"z" is no service',
        ),
        (
            "groups: {g: {strategy: 1-of-N, alias: b, options: [a], selection: a}}",
            TWO,
            "groups.g.alias",
            '"b" is the name of a service',
        ),
        (
            "groups: {g: {strategy: M-of-N, options: [b]}}",
            "{a: {image: a, pid: 'service:b'}, b: {image: b}}",
            "groups.g.selection",
            '"a" can not run without "b" (pid)',
        ),
        (
            "groups: {g: {strategy: 1-of-N, options: [a, b], selection: a}}",
            "{a: {image: a, pid: 'service:b'}, b: {image: b}}",
            "groups.g.selection",
            '"a" has pid "service:b", for which it answers itself',
        ),
        (
            "groups: {g: {strategy: 1-of-N, alias: x, options: [a, b], selection: a}}",
            "{a: {image: a, network_mode: none}, b: {image: b}}",
            "groups.g.alias",
            'network_mode "none"',
        ),
    ],
)
def test_each_mistake_is_told_at_its_place(hsm: str, services: str, path: str, words: str) -> None:
    ((where, message),) = findings(hsm, services)
    assert where == path
    assert words in message


@pytest.mark.parametrize(
    ("hsm", "services"),
    [
        (f"services: {{x: {{mode: dev, {REPO}}}}}", "{}"),
        ("services: {x: {mode: dev, dev: {build: .}}}", "{}"),
        ("services: {x: {prod: {image: x}}}", "{}"),
        ("services: {a: {mode: dev}}", "{a: {build: {context: .}}}"),
        ("services: {x: {prod: {image: x, profiles: [p]}}}\ngroups: {g: {strategy: M-of-N, profiles: [p]}}", "{}"),
        ("groups: {g: {strategy: M-of-N, options: [a]}}", "{a: {image: a, pid: host}, b: {image: b, links: [a]}}"),
        ("groups: {g: {strategy: 1-of-N, options: [a], selection: a}}", "{a: {image: a, network_mode: none}}"),
        ("groups: {g: {strategy: M-of-N, options: [a, b]}}", "{a: {image: a, pid: 'service:b'}, b: {image: b}}"),
        (
            "services: {a: {}}\ngroups: {g: {strategy: M-of-N, options: [b]}}",
            "{a: {image: a, build: {context: ., additional_contexts: {x: 'service:b'}}}, b: {image: b}}",
        ),
    ],
)
def test_what_can_run_is_not_objected_to(hsm: str, services: str) -> None:
    assert findings(hsm, services) == []
