"""A stack whose target is this machine, behind an sshd of our own; and who asks it from outside."""

from __future__ import annotations

import os
import threading
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.commands.bench import Workspace
from tests.deploy.conftest import Make
from tests.support import ports

HSM_YAML = """\
services:
  web: {prod: {image: "@REG@/web:1.0", limits: {memory: 64M}}}
targets:
  staging: {host: "@SSH@", dir: "@DIR@", wait: "40"}
"""
BASE = """\
services:
  web:
    image: @REG@/web:0.9
    init: true
    ports: ["127.0.0.1:@PORT@:80"]
    environment: {GREETING: hello}
    healthcheck: {test: [CMD, "true"], interval: 1s, retries: 2}
    volumes: ["./conf:/conf:ro"]
    secrets: [key]
  job: {image: "@REG@/web:0.9", command: ["true"], environment: {ONCE: "1"}}
secrets: {key: {file: ./key.txt}}
"""


def workspace(make: Make, server: tuple[str, Path], there: Path) -> Workspace:
    """The stack, with WEB as the url of its page; `there` is the folder on the target."""
    port = str(ports.free_port())
    made = make({
        "hsm.yaml": HSM_YAML.replace("@SSH@", server[0]).replace("@DIR@", str(there)),
        "docker-compose.yml": BASE.replace("@PORT@", port),
        "conf/a": "first\n",
        "key.txt": "the key\n",
        "../../.gitignore": "key.txt\n",
    })
    made.edit("hsm.yaml", "services:\n", "services:\n  job: {oneshot: true}\n")
    made.variables["PATH"] = os.pathsep.join([str(server[1]), made.environment()["PATH"]])
    made.variables["WEB"] = f"http://127.0.0.1:{port}/"
    return made


@contextmanager
def asked(url: str) -> Iterator[Counter[str]]:
    """Asks from outside as long as the block runs: answer → how often; "failed" is one of them."""
    found: Counter[str] = Counter()
    stop = threading.Event()
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def go() -> None:
        while not stop.wait(0.05):
            try:
                with opener.open(url, timeout=2) as answer:
                    found[answer.read().decode().strip()] += 1
            except OSError:
                found["failed"] += 1

    thread = threading.Thread(target=go)
    thread.start()
    try:
        yield found
    finally:
        stop.set()
        thread.join()
