"""What compose would make of a project: the whole of it with all values, and the hash of each service."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hsm_tasks.effects.compose import Env, Project, ask, feed, filled_in, identity
from hsm_tasks.effects.composefiles import content, env_files, sources, surroundings


def hashes(project: Project, model: str | None = None) -> dict[str, str]:
    """service → the config hash that `up` would put on its containers now, but another one where it has a label file,
    or the network or the volumes of another container.

    In two passes: before compose 5.5 `config --hash` forgets env files (docker/compose#14001), and what `config` prints
    (`model`, from `read_model`) has them filled in.
    """
    argv = ("docker", "compose", "-p", project.name, "-f", "-", "--profile", "*", "config", "--hash", "*")
    whole = read_model(project) if model is None else model
    said = ask(*argv, cwd=project.folder, text_in=whole, explain=_ASKED).out
    return dict(line.split() for line in said.splitlines() if line.strip())


_ASKED = "compose can not say what it would start"


def read_model(project: Project) -> str:
    """The project as compose would run it, as JSON: every value filled in, so there may be secrets in it.

    With all profiles, where they load together (a profile that nobody uses may depend on what is not there).
    """
    argv = ("config", "--format", "json")
    done = ask(*project.argv("--profile", "*", *argv), cwd=project.folder, ok=tuple(range(256)))
    if done.code == 0:
        return done.out
    return ask(*project.argv(*argv), cwd=project.folder, explain=_ASKED).out


def filled_in_builds(builds: Mapping[str, Mapping[str, Any]], folder: Path, env: Env = None) -> dict[str, Any]:
    """Build sections with their values, as compose would fill them in for a project in `folder`; paths absolute."""
    model = {"services": {name: {"build": build} for name, build in builds.items()}}
    how = ("config", "--no-consistency", "--format", "json")
    filled = filled_in(model, folder, env, "compose can not fill in the variables of a build", how)
    return {name: keys["build"] for name, keys in filled["services"].items()}


def filled_in_paths(paths: Sequence[str], folder: Path, env: Env = None) -> tuple[Path, ...]:
    """Paths with variables or a `~` in them, as compose would take them for a project in `folder`."""
    labels = {str(number): path for number, path in enumerate(paths)}
    model = {"services": {"paths": {"image": "none", "labels": labels}}}
    filled = filled_in(model, folder, env, "compose can not fill in the variables of a mount")
    values = (filled["services"]["paths"]["labels"][number].replace("$$", "$") for number in labels)
    return tuple(folder / os.path.expanduser(value) for value in values)  # noqa: PTH111 - compose has no ~user either


def model_key(project: Project, read: Sequence[Path], env: Env = None) -> str:
    """A digest of all that `read_model` and `hashes` depend on. `read`: the env and label files of the services.

    Of the environment, all counts whose name stands anywhere in these files: an env file and a list of variables take
    values from it without a `$`.
    """
    around = surroundings(env)
    digest = hashlib.sha256()
    feed(digest, str(project.folder.resolve()).encode("utf-8", "surrogateescape"), project.name.encode())
    texts = []
    for path in dict.fromkeys((*project.files, *sources(project.files), *env_files(project.folder, env), *read)):
        data = content(path)
        feed(digest, str(path).encode("utf-8", "surrogateescape"), data)
        texts.append(data or b"")
    whole = b"\n".join(texts)
    for name in sorted(around):
        counts = name.startswith(("COMPOSE_", "DOCKER_", "HOME")) or (name != "_" and os.fsencode(name) in whole)
        if counts:
            feed(digest, os.fsencode(name), os.fsencode(around[name]))
    feed(digest, identity().encode(), b"")
    return digest.hexdigest()
