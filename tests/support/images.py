"""How images of a test leave an engine that has others at work: by their names.

To remove an image by its id takes its other names away as well, and they may be those of another run. What has no name
is ours if compose built it for a project of ours.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Mapping

_NAMES = "{{.Repository}}:{{.Tag}} {{.Repository}}@{{.Digest}}"
_PROJECT = '{{.Id}} {{index .Config.Labels "com.docker.compose.project"}}'


def of_registry(host: str) -> list[str]:
    """The patterns of all names of a registry: a star stops at a slash."""
    return [host + "/*" * depth for depth in range(1, 5)]


def put_away(environment: Mapping[str, str], patterns: Iterable[str], projects: Iterable[str] = ()) -> None:
    """The images whose names match, and what compose built for these projects and has another of by now."""

    def docker(*words: str) -> str:
        return subprocess.run(
            ("docker", *words), env=environment, capture_output=True, text=True, check=False, timeout=120
        ).stdout

    filters = [word for pattern in patterns for word in ("--filter", f"reference={pattern}")]
    listed = docker("images", "--digests", "--format", _NAMES, *filters).split() if filters else []
    if names := sorted({name for name in listed if "<none>" not in name}):
        docker("image", "rm", *names)
    mine = set(projects)
    built = ("--filter", "dangling=true", "--filter", "label=com.docker.compose.project")
    nameless = docker("images", "--quiet", "--no-trunc", *built).split() if mine else []
    lines = docker("image", "inspect", "--format", _PROJECT, *nameless).splitlines() if nameless else []
    if ids := [line.split()[0] for line in lines if line.split()[1] in mine]:
        docker("image", "rm", *ids)
