"""Words of compose and of the engine that everybody meets: they stay; here is what to do, and which key is meant."""

from __future__ import annotations

import re
from typing import Final

_ADVICE: Final[tuple[tuple[re.Pattern[str], str], ...]] = tuple(
    (re.compile(words, re.IGNORECASE), hint)
    for words, hint in (
        (
            r"permission denied while trying to connect",
            "your user may not talk to the engine: `hsm doctor` says what it lacks",
        ),
        (
            r"cannot connect to the docker daemon|is the docker daemon running",
            "start docker, or correct DOCKER_HOST or the docker context: `hsm doctor` tells whether it answers",
        ),
        (
            r"(?P<what>[\d.\[\]:a-f]*:\d+): bind: address already in use",
            "something has the port {what} already: stop it, or give the service another port (`ports`)",
        ),
        (
            r"bind for (?P<what>\S+) failed: port is already allocated",
            "another container has the port {what} already: stop it, or give the service another port (`ports`)",
        ),
        (
            r"network \S+ not found",
            "its network was removed while its containers were stopped: `hsm down`, then `hsm up`, makes both anew",
        ),
        (r"no space left on device", "the disk is full: `docker system df` shows what images and builds take"),
        (
            r"container name \"(?P<what>[^\"]+)\" is already in use",
            "a container of another project has the name {what}: remove it, or drop `container_name`",
        ),
        (r"toomanyrequests|rate limit", "the registry limits pulls without a login: `docker login`, or a mirror"),
        (
            r"pull access denied|unauthorized|authentication required",
            "the engine pulls with its own login: `docker login` for that registry",
        ),
        (
            r"no such image|manifest unknown|manifest for .* not found",
            "the image is gone from the registry or the engine: `hsm update` pins what is there now",
        ),
        (
            r"executor failed running|did not complete successfully|failed to solve",
            "the build itself failed: the step of the Dockerfile that it stopped at stands above",
        ),
    )
)


def hint(said: str) -> str:
    """For the first of the known words that a program said; "" for none."""
    for words, advice in _ADVICE:
        found = words.search(said)
        if found:
            return advice.format(**found.groupdict())
    return ""


_WHERE = (
    re.compile(r"(?:^|[\s'\"(])services\.([^\s'\"]+)"),  # services.api.ports.0 must be a string
    re.compile(r"services\[([^\s\]]+)\]([^\s'\"]*)"),  # 'services[api].volumes[0].tmpfs.mode' expected type ...
)
_WHO = re.compile(r"\bservice:? [\"']?([A-Za-z0-9][\w.-]*)")  # service "api" depends on undefined service "db"
_KEY = re.compile(r"(?i)additional propert(?:y|ies) '?([^\s',]+)'?")


def cause(text: str) -> tuple[str, ...]:
    """Where compose sees a mistake, as a path of keys: ("services", "api", "ports", "0"). Empty where it does not say.

    A best effort: compose writes it in several ways, and a service name with a dot in it can not be told from a path.
    """
    for pattern in _WHERE:
        if match := pattern.search(text):
            keys = re.findall(r"[^.\[\]]+", ".".join(match.groups()).rstrip(".:,"))
            unknown = _KEY.search(text, match.end())
            return ("services", *keys, *([unknown[1]] if unknown else []))
    match = _WHO.search(text)
    return ("services", match[1].rstrip(".:,")) if match else ()
