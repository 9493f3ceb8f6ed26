"""`doit deploy` to a machine behind ssh: this one, through an sshd of our own."""

from __future__ import annotations

import os
import re
import threading
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.commands.bench import Servers, Workspace
from tests.deploy import sshd
from tests.deploy.conftest import Make
from tests.support import world

pytestmark = pytest.mark.docker

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


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    if not world.engine_ready() or sshd.SSHD is None:
        pytest.skip("no engine answers, or openssh-server is missing")
    with sshd.running(tmp_path_factory.mktemp("ssh") / "server") as found:
        yield found


@pytest.fixture
def shop(make: Make, server: tuple[str, Path], tmp_path: Path) -> Workspace:
    port = str(world.free_port())
    texts = {
        "hsm.yaml": HSM_YAML.replace("@SSH@", server[0]).replace("@DIR@", str(tmp_path / "there")) + "",
        "docker-compose.yml": BASE.replace("@PORT@", port),
        "conf/a": "first\n",
        "key.txt": "the key\n",
        "../../.gitignore": "key.txt\n",
    }
    made = make(texts)
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
        while not stop.wait(0.02):
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


def test_a_stack_is_planned_deployed_updated_broken_and_rolled_back(shop: Workspace, servers: Servers) -> None:
    url = shop.variables["WEB"]
    before = shop.files()
    assert re.search(r"web +add", shop.run("plan", "deploy", "target=staging").out)
    assert shop.run("status", "target=staging", "--json").json()["current"] is None
    assert shop.files() == before  # who looks leaves nothing behind
    assert not (shop.root.parent / "there").exists()
    assert not shop.containers()
    shop.run("deploy", "target=staging")
    assert world.ask(url) == "web 1.0\n"
    first = shop.containers()
    assert shop.engine("exec", first["web"], "cat", "/conf/a", "/run/secrets/key").splitlines() == ["first", "the key"]

    assert "0 of 2 services change" in shop.run("deploy", "target=staging").err
    assert shop.containers() == first

    servers.push("web", "1.1")
    shop.edit("hsm.yaml", "web:1.0", "web:1.1")
    said = shop.run("plan", "deploy", "target=staging", "--json").json()
    assert [one["state"] for one in said["services"]] == ["keep", "change"]
    with asked(url) as answers:
        shop.run("deploy", "target=staging")
    assert answers["web 1.0"] and answers["web 1.1"]
    print(f"requests that failed during an update: {answers['failed']} of {answers.total()}")

    shop.edit("docker-compose.yml", "init: true\n", "init: true\n    command: [sh, -c, 'echo broken; exit 7']\n")
    with asked(url) as answers:
        broken = shop.run("deploy", "target=staging", code=1)
    assert "web does not get well on staging: Exited (7)" in broken.err
    assert "| broken" in broken.err
    assert "rolled back" in broken.err
    assert world.ask(url) == "web 1.1\n"
    print(f"requests that failed during a deploy that was rolled back: {answers['failed']} of {answers.total()}")

    shop.run("rollback", "target=staging")
    assert world.ask(url) == "web 1.0\n"
    state = shop.run("status", "target=staging", "--json").json()
    web = next(row for row in state["services"] if row["name"] == "web")
    assert "/web:1.0@sha256:" in web["image"]
    assert web["containers"][0]["memory"].endswith("/ 64MiB")


def test_a_changed_file_makes_only_the_containers_anew_that_mount_it(shop: Workspace) -> None:
    shop.run("deploy", "target=staging")
    first = shop.containers()
    shop.write("conf/a", "second\n")
    assert re.search(r"web +change +files: conf", shop.run("deploy", "target=staging").err)
    now = shop.containers()
    assert now["web"] != first["web"]
    assert shop.engine("exec", now["web"], "cat", "/conf/a") == "second\n"
    shop.run("rollback", "target=staging")
    assert shop.engine("exec", shop.containers()["web"], "cat", "/conf/a") == "first\n"


def test_a_first_deploy_that_fails_leaves_nothing_running(shop: Workspace) -> None:
    shop.edit("docker-compose.yml", 'test: [CMD, "true"]', 'test: [CMD, "false"]')
    failed = shop.run("deploy", "target=staging", code=1)
    assert "(unhealthy)" in failed.err
    assert "nothing ran there before" in failed.err
    assert not shop.containers()
    assert "nothing to go back to" in shop.run("rollback", "target=staging", code=1).err


def test_a_secret_that_is_nowhere_is_missed_before_anything_starts(shop: Workspace, tmp_path: Path) -> None:
    key = shop.stack / "key.txt"
    key.unlink()
    failed = shop.run("deploy", "target=staging", code=1)
    assert f"put it there as {tmp_path}/there/files/key.txt" in failed.err
    assert not shop.containers()
    (tmp_path / "there/files/key.txt").write_text("a key of the server\n")
    shop.run("deploy", "target=staging")
    assert shop.engine("exec", shop.containers()["web"], "cat", "/run/secrets/key") == "a key of the server\n"


def test_a_target_that_does_not_answer_is_told_in_one_sentence(shop: Workspace) -> None:
    shop.write("hsm.yaml", re.sub(r"ssh://[^\"]*", "ssh://nobody@127.0.0.1:1", shop.read("hsm.yaml")))
    failed = shop.run("deploy", "target=staging", code=1)
    assert "the target staging can not be used" in failed.err
    assert "Connection refused" in failed.err
