"""What we ask of docker compose.

The base is read, interpolated, merged and judged by compose itself; nothing of that is imitated here. No function needs
an engine but those that take a `Project`. `env` is laid over our own environment, as in `process.run`.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from hsm_tasks.core import advice
from hsm_tasks.core.errors import CommandFailed, HsmError
from hsm_tasks.effects import process
from hsm_tasks.effects.composefiles import (
    base_files,
    candidates,
    clean,
    content,
    env_files,
    profiles,
    project_name,
    refuse_endless,
    sources,
    surroundings,
)
from hsm_tasks.effects.process import Done

__all__ = [
    "AS_WRITTEN",
    "OLDEST",
    "Project",
    "ask",
    "base_files",
    "base_images",
    "base_key",
    "build",
    "candidates",
    "check",
    "down",
    "env_files",
    "feed",
    "filled_in",
    "identity",
    "identity_files",
    "interpolate",
    "logs",
    "passthrough",
    "profiles",
    "project_name",
    "read_base",
    "remove",
    "restart",
    "shell",
    "sources",
    "stop",
    "unpause",
    "up",
    "version",
]

OLDEST = (2, 29, 7)  # older ones read !override and `service: !reset null` otherwise, or not at all
PARALLEL = "16"  # containers that compose handles at a time; it has no bound of its own
_BASE = "compose can not read the base of the stack"
_TIMEOUT = 120.0  # seconds for a question that needs no engine: compose never takes long, but never is a long time
_COLLECTING = {"GOGC": "400"}  # compose collects garbage for a third of its time; so it holds 170 MB at 1000 services
_INSTALL = "install the compose plugin of docker: https://docs.docker.com/compose/install/"
AS_WRITTEN = ("config", "--no-interpolate", "--no-path-resolution", "--no-normalize", "--format", "json")
_AS_MEANT = ("config", "--no-consistency", "--no-path-resolution", "--no-normalize", "--format", "json")
_VARIABLE = re.compile(rb"\$\{?([A-Za-z_][A-Za-z0-9_]*)")
_PLUGINS = ("/usr/local/lib/docker", "/usr/local/libexec/docker", "/usr/lib/docker", "/usr/libexec/docker")

OnLine = Callable[[str], None]
Env = Mapping[str, str] | None


class Project(msgspec.Struct, frozen=True):
    """A stack as compose sees it: all its files, the override last, the folder it is started from, and its name."""

    files: tuple[Path, ...]
    folder: Path
    name: str

    def argv(self, *words: str) -> tuple[str, ...]:
        """The command line of compose for this project; it is meant to run in `folder`."""
        return ("docker", "compose", "-p", self.name, *_options(self.files, self.folder), *words)


def ask(
    *argv: str,
    cwd: Path | None = None,
    env: Env = None,
    text_in: str | None = None,
    explain: str = "",
    ok: tuple[int, ...] = (0,),
) -> Done:
    """As `process.run`, for what compose answers without an engine, in less of its time and more memory: the plugin
    itself is asked, since `docker` starts it twice, once to hear what it is.
    """
    around = {**({} if "GOGC" in os.environ else _COLLECTING), **(env or {})}
    plugin = _plugin()
    really = (plugin, *argv[2:]) if plugin and argv[:2] == ("docker", "compose") else ()
    return process.run(*argv, cwd=cwd, env=around, text_in=text_in, timeout=_TIMEOUT, explain=explain, ok=ok,
                       really=really)


def _plugin() -> str | None:
    """The program that `docker compose` leads to; None where only docker can tell, or is not there itself."""
    found = identity_files()
    there = bool(found) and os.access(found[-1], os.X_OK) and shutil.which("docker") is not None
    return str(found[-1]) if there else None


@functools.cache
def version() -> tuple[int, int, int]:
    """The version of compose, asked once a process. None, or one that is too old, is an error.

    Who reads a base asks it, of docker itself, which will start the stack. Nobody else need: what is remembered of a
    base has `identity` in its key.
    """
    try:
        said = process.run("docker", "compose", "version", "--short", timeout=_TIMEOUT).out.strip()
    except CommandFailed as error:
        raise HsmError(f"docker compose does not answer: {error.said or error.message}", _INSTALL) from error
    match = re.match(r"v?(\d+)\.(\d+)\.(\d+)", said)
    found = (int(match[1]), int(match[2]), int(match[3])) if match else (0, 0, 0)
    if found < OLDEST:
        needed = ".".join(map(str, OLDEST))
        raise HsmError(f"docker compose is {said or 'of an unknown version'}; hsm needs {needed} or newer", _INSTALL)
    return found


def identity() -> str:
    """Another text for another compose, found without starting it: the plugin's file, its size and its time."""
    looked_at = identity_files()
    if not looked_at:
        return ".".join(map(str, version()))
    plugin, docker = looked_at[-1], shutil.which("docker")
    state = plugin.stat()
    return f"{plugin} {state.st_size} {state.st_mtime_ns} {docker}"


def identity_files() -> tuple[Path, ...]:
    """What `identity` looks at, the plugin last; none where it has to ask compose itself."""
    home = Path(os.environ.get("DOCKER_CONFIG") or "~/.docker").expanduser()
    if b"cliPluginsExtraDirs" in (content(home / "config.json") or b""):
        return ()
    programs = [Path(folder, "docker") for folder in os.environ.get("PATH", os.defpath).split(os.pathsep)]
    plugins = [folder / "cli-plugins" / "docker-compose" for folder in (home, *map(Path, _PLUGINS))]
    for number, plugin in enumerate(plugins):
        if plugin.is_file():
            return (home / "config.json", *programs, *plugins[: number + 1])
    return ()


def read_base(files: Sequence[Path], folder: Path, env: Env = None) -> str:
    """The base as JSON: what the files say together, no value filled in, no path resolved, all profiles.

    `name` is the project name that compose takes (COMPOSE_PROJECT_NAME, the files, the folder), with its variables
    filled in. A dependency on a service that is not there is let through.
    """
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor() as pool:  # compose takes long to start: three at a time take as long as one
        compatible = pool.submit(version)
        usual = pool.submit(_project_name, {}, files[0].parent, env)
        refuse_endless(files)  # and a file that can not be followed: compose says only that there is none
        argv = ("docker", "compose", *_options(files, folder), *AS_WRITTEN)
        read = pool.submit(ask, *argv, cwd=folder, env=env, explain=_BASE)
        compatible.result()
        base = json.loads(read.result().out)
        written = base.get("name")
        base["name"] = _project_name({"name": written}, files[0].parent, env) if written else usual.result()
    return json.dumps(base, ensure_ascii=False, separators=(",", ":"))


def _project_name(written: Mapping[str, str], folder: Path, env: Env) -> str:
    """The name that compose takes for a project in `folder`."""
    return str(filled_in({**written, "services": {}}, folder, env, _BASE)["name"])


def base_key(files: Sequence[Path], folder: Path, env: Env = None, known: Sequence[Path] | None = None) -> str:
    """A digest of all that `read_base` and `interpolate` depend on, the compose program included.

    `known`: what `sources` said of the same files when the key was taken last. Where the key is still the same, so is
    that list, and the files need not be parsed again.
    """
    root = files[0].parent
    digest = hashlib.sha256()
    around = surroundings(env)
    names = {name for name in around if name.startswith("COMPOSE_")}
    paths = (*files, *(sources(files) if known is None else known), *env_files(folder, env))
    for path in dict.fromkeys(map(clean, paths)):
        data = content(path)
        names.update(name.decode() for name in _VARIABLE.findall(data or b""))
        feed(digest, os.path.relpath(path, folder).encode(), data)
    for name in sorted(names):
        feed(digest, name.encode(), around[name].encode("utf-8", "surrogateescape") if name in around else None)
    feed(digest, identity().encode(), root.resolve().name.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def interpolate(images: Sequence[str], folder: Path, env: Env = None, name: str | None = None) -> tuple[str, ...]:
    """Image references with their variables filled in as compose would: from the environment and the env file of
    `folder`, which is the folder of the first base file; `name` is the value of COMPOSE_PROJECT_NAME.

    Nothing else of the base is looked at, so a variable that is required elsewhere is not asked for.
    """
    templates = list(dict.fromkeys(image for image in images if "$" in image))
    if not templates:
        return tuple(images)
    services = {f"i{number}": {"image": image} for number, image in enumerate(templates)}
    model: dict[str, Any] = {"services": services} if name is None else {"name": name, "services": services}
    try:
        filled = filled_in(model, folder, env, "compose can not fill in the variables of an image")["services"]
    except CommandFailed as error:
        raise _about_image(error, templates) from error
    # compose writes $$ for each $ of a value, and leaves an empty image out
    values = {services[key]["image"]: keys.get("image", "").replace("$$", "$") for key, keys in filled.items()}
    return tuple(values.get(image, image) for image in images)


def base_images(files: Sequence[Path], folder: Path, env: Env = None) -> dict[str, str]:
    """service → image with its variables filled in, for all services of the base that have one.

    For a base with `include`: an included file may have an env file of its own, which `interpolate` does not know.
    """
    explain = "compose can not fill in the variables of the base"
    argv = ("docker", "compose", *_options(files, folder), "--profile", "*", *_AS_MEANT)
    services = json.loads(ask(*argv, cwd=folder, env=env, explain=explain).out)["services"]
    return {name: keys["image"].replace("$$", "$") for name, keys in services.items() if keys.get("image")}


def check(files: Sequence[Path], folder: Path, override: Path, env: Env = None) -> None:
    """Let compose judge base and override together, with the profiles that a plain `up` has: no more, no less."""
    argv = ("docker", "compose", *_options((*files, override), folder), "config", "-q")
    explain = "compose refuses the stack with what hsm made for it"
    ask(*argv, cwd=folder, env=env, explain=explain)


def up(project: Project, services: Sequence[str], on_line: OnLine) -> Done:
    """Create and start; touch nothing that is right already. Never builds; pulls what the engine does not have."""
    return _do(project, on_line, "up", "-d", "--no-build", "--quiet-pull", "--remove-orphans", "--", *services)


def down(project: Project, on_line: OnLine) -> Done:
    """Stop and remove all containers and networks of the project, of whatever profile; volumes stay.

    By the files, so that hooks and grace periods count. Where they do not load (a profile that is never used may depend
    on what is not there, and with it `down` refuses), by the labels that compose left on the containers.
    """
    if ask(*project.argv("--profile", "*", "config", "-q"), cwd=project.folder, ok=_ANY).code == 0:
        return _do(project, on_line, "--profile", "*", "down", "--remove-orphans")
    argv = ("docker", "compose", "-p", project.name, "--progress", "plain", "down", "--remove-orphans")
    return process.stream(*argv, on_line=on_line, cwd=project.folder, explain="compose could not stop the stack")


def stop(project: Project, services: Sequence[str], on_line: OnLine) -> Done:
    """Stop containers and keep them."""
    return _do(project, on_line, "stop", "--", *services)


def remove(project: Project, services: Sequence[str], on_line: OnLine) -> Done:
    """Stop and remove the containers of services, also of those whose profile nobody asks for any more."""
    return _do(project, on_line, "rm", "--stop", "--force", "--", *services)


def unpause(project: Project, services: Sequence[str], on_line: OnLine) -> Done:
    """Let paused containers go on; `up` can not."""
    return _do(project, on_line, "unpause", "--", *services)


def restart(project: Project, services: Sequence[str], on_line: OnLine) -> Done:
    """Restart containers as they are."""
    return _do(project, on_line, "restart", "--", *services)


def build(project: Project, service: str, on_line: OnLine) -> Done:
    """Build the image of one service, and of no other."""
    return _do(project, on_line, "build", "--", service)


def logs(project: Project, services: Sequence[str], options: Sequence[str] = ()) -> int:
    """What containers wrote, to our own stdout."""
    return passthrough(project, ("logs", *options, "--", *services))


def shell(project: Project, service: str, command: Sequence[str] = ("sh",)) -> int:
    """A shell in the running container of a service: with a terminal where we have one. Returns its exit code."""
    terminal = () if sys.stdin.isatty() and sys.stdout.isatty() else ("-T",)
    return passthrough(project, ("exec", *terminal, "--", service, *command))


def passthrough(project: Project, args: Sequence[str]) -> int:
    """Any command of compose, with our terminal; returns its exit code."""
    return process.attach(*project.argv(*args), cwd=project.folder)


_ANY = tuple(range(256))


def _do(project: Project, on_line: OnLine, *words: str) -> Done:
    command = next(word for word in words if word.isalpha())
    env = {} if "COMPOSE_PARALLEL_LIMIT" in os.environ else {"COMPOSE_PARALLEL_LIMIT": PARALLEL}
    argv = project.argv("--progress", "plain", *words)
    explain = f"docker compose {command} failed"
    try:
        return process.stream(*argv, on_line=on_line, cwd=project.folder, env=env, explain=explain)
    except CommandFailed as error:
        raise CommandFailed(error.argv, error.code, error.said, explain, advice.hint(error.said)) from error


def _options(files: Sequence[Path], folder: Path) -> list[str]:
    """Relative to the folder that compose runs in: what it prints then does not depend on where that folder is."""
    return [word for file in files for word in ("-f", os.path.relpath(file, folder))]


def filled_in(
    model: Mapping[str, Any], folder: Path, env: Env, explain: str, how: tuple[str, ...] = _AS_MEANT
) -> dict[str, Any]:
    """A small model of our own, through compose, as if it lay in `folder`."""
    argv = ("docker", "compose", "-f", "-", "--project-directory", ".", *how)
    done = ask(*argv, cwd=folder, env=env, text_in=json.dumps(model), explain=explain)
    result = json.loads(done.out)
    assert isinstance(result, dict)  # compose prints a project
    return result


def _about_image(error: CommandFailed, images: Sequence[str]) -> HsmError:
    """compose names our own services i0, i1, ...: say which image that is."""
    match = re.search(r"services\.i(\d+)\.image[:.]?\s*(.*)", error.said, re.DOTALL)
    if match is None:
        return error
    why = " ".join(match[2].split())
    required = re.search(r"required variable (\w+)", why)
    hint = f"set {required[1]} in the environment or in .env" if required else "write $$ for a $ that is no variable"
    return HsmError(f"{images[int(match[1])]}: {why or 'compose can not read this'}", hint)


def feed(digest: Any, name: bytes, data: bytes | None) -> None:
    """Lengths go in as well, so that nothing can move from one part to the next unseen."""
    digest.update(b"%d %d " % (len(name), -1 if data is None else len(data)) + name + (data or b""))
