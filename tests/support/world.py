"""What tests with containers stand on: an engine, servers as processes, and what a url answers."""

from __future__ import annotations

import os
import pwd
import re
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


@cache
def engine_ready() -> bool:
    """Whether an engine and docker compose answer; under scripts/test, which has started them, a no is an error."""
    ready = _succeeds("docker", "info") and _succeeds("docker", "compose", "version")
    if not ready and os.environ.get("HSM_TEST_ENGINE"):
        raise RuntimeError("HSM_TEST_ENGINE is set, but no docker engine with docker compose answers")
    return ready


def _succeeds(*command: str) -> bool:
    environment = os.environ | {"HOME": _home()}
    with suppress(FileNotFoundError):
        return subprocess.run(command, env=environment, capture_output=True, check=False).returncode == 0
    return False


def _home() -> str:
    """The home of the user who runs the tests; HOME may be a guard of the tests by now."""
    return pwd.getpwuid(os.getuid()).pw_dir


def docker_settings(folder: Path) -> dict[str, str]:
    """A private DOCKER_CONFIG: no credentials of the user, but the engine and the compose plugin that the user has."""
    own = Path(os.environ.get("DOCKER_CONFIG") or Path(_home(), ".docker"))
    (folder / "cli-plugins").mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text("{}")
    plugin, link = own / "cli-plugins" / "docker-compose", folder / "cli-plugins" / "docker-compose"
    if plugin.exists() and not link.exists():
        link.symlink_to(plugin)
    context = subprocess.run(
        ["docker", "context", "inspect", "--format", "{{.Endpoints.docker.Host}}"],
        env=os.environ | {"DOCKER_CONFIG": str(own)},
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    return {"DOCKER_CONFIG": str(folder)} | ({"DOCKER_HOST": context} if context else {})


@contextmanager
def running(*command: str, log: Path) -> Iterator[None]:
    """A server for as long as the block runs; its words go to the log."""
    with log.open("wb") as words:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=words, stderr=words)
    try:
        yield
    finally:
        process.terminate()
        process.wait(20)


def read(url: str) -> str:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=5) as answer:
        text: bytes = answer.read()
        return text.decode()


def ask(url: str, pattern: str = "", seconds: float = 10) -> str:
    """What the url answers, as soon as it matches the pattern; AssertionError with the last answer when it does not."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            answer = read(url)
        except OSError as error:
            answer = f"({error})"
        else:
            if re.search(pattern, answer):
                return answer
        assert time.monotonic() < deadline, f"{url} answers {answer!r}, which does not match {pattern!r}"
        time.sleep(0.1)
