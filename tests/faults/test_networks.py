"""One bad server among good ones, seen from the whole command: its service fails with one message, the others go on."""

from __future__ import annotations

import base64
import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.commands.bench import Servers, Workspace
from tests.faults.conftest import Make
from tests.support.gitserver import GitServer, make_repository
from tests.support.liar import Asked, Liar, Said

MANIFEST = json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json"}).encode()
WRONG = {"Docker-Content-Digest": f"sha256:{'0' * 64}", "Content-Type": "application/vnd.oci.image.manifest.v1+json"}
REFUSED = 'Basic realm="x"'


def paged(asked: Asked) -> Said:
    """Each page names a next one."""
    return Said(200, {"Link": f'<{asked.path.partition("?")[0]}?last={time.monotonic_ns()}>; rel="next"'},
                b'{"tags": ["1.0"]}')  # fmt: skip


ANSWERS: Mapping[str, Callable[[Asked], Said]] = {
    "r401": lambda asked: Said(401, {"WWW-Authenticate": REFUSED}),
    "r403": lambda asked: Said(403),
    "r404": lambda asked: Said(404),
    "r429": lambda asked: Said(429, {"Retry-After": "1"}),
    "r500": lambda asked: Said(500),
    "pages": paged,
    "huge": lambda asked: Said(200, {"Content-Type": "application/json"}, endless=True),
    "garbage": lambda asked: Said(200, {}, b"\x00\xff<html>"),
    "circle": lambda asked: Said(302, {"Location": asked.path}),
}


@pytest.fixture
def bad(servers: Servers, tmp_path: Path) -> Iterator[dict[str, str]]:
    """The images and urls of bad servers, by the names of their services; "other" must never see a login."""
    with ExitStack() as stack:
        found = {}
        for name, say in ANSWERS.items():
            liar = Liar(say)
            stack.callback(liar.stop)
            found[name] = f"{liar.host}/bad"
        (tmp_path / "git").mkdir()
        for mode in ("cut", "login"):
            server = stack.enter_context(GitServer(tmp_path / "git"))
            server.login = ("me", "secret") if mode == "login" else None
            server.mode = "cut" if mode == "cut" else "ok"
            found[f"git-{mode}"] = server.url("bad.git")
        make_repository(tmp_path / "git" / "bad.git", {"a": "1\n"})
        found |= {"refused": "127.0.0.1:1/bad", "git-refused": "http://127.0.0.1:1/bad.git"}
        yield found


def workspace(make: Make, bad: Mapping[str, str]) -> Workspace:
    lines, base = ["services:"], ["services:"]
    for name, place in bad.items():
        base.append(f"  {name}: {{image: scratch}}")
        version = ', version: "^1.0"' if name == "pages" else ""
        image = f"{{prod: {{image: \"{place}{'' if version else ':1'}\"{version}}}}}"
        lines.append(f"  {name}: " + (f'{{mode: dev, repo: {{url: "{place}", ref: main, name: {name}}}}}'
                                      if name.startswith("git") else image))  # fmt: skip
    text = "\n".join([*lines, '  good: {prod: {image: "@REG@/web:1.0"}}',
                      '  source: {mode: dev, repo: {url: "@GIT@/api.git", ref: main}}', ""])  # fmt: skip
    base += ["  good: {image: scratch}", "  source: {image: scratch}", ""]
    return make("doit", {"hsm.yaml": text, "docker-compose.yml": "\n".join(base)})


def test_each_bad_server_fails_its_own_service_only(make: Make, servers: Servers, bad: dict[str, str]) -> None:
    here = workspace(make, bad)
    file = here.root.parent / "run.log"
    done = here.run("--continue", "-n", "8", "sync", code=1, HSM_RUN_LOG=str(file))
    log = {line["step"]: line["result"] for line in map(json.loads, file.read_text().splitlines())}
    for name in bad:
        step = f"clone:{name}" if name.startswith("git") else f"resolve:{name}"
        assert log[step] == "failed", f"{step}: {log}"
        told = done.err.partition(f"{step} failed")[2].partition("\n  stops:")[0]
        assert "  hint: " in told, f"{name}: {told}\n{done.err}"
        assert done.err.count(f"{step} failed") == 1
    for step in ("resolve:good", "render:good", "clone:api", "render:source"):
        assert log[step] in ("ran", "fresh"), f"{step}: {log}"
    assert not list((here.root / "repos").glob(".*")), "half a clone"
    assert "Traceback" not in done.err


def test_a_login_goes_to_no_other_host(make: Make, servers: Servers, tmp_path: Path) -> None:
    other = Liar(lambda asked: Said(200, WRONG, MANIFEST))

    def sends_on(asked: Asked) -> Said:
        if asked.login is None:
            return Said(401, {"WWW-Authenticate": REFUSED})
        return Said(307, {"Location": f"http://{other.host}{asked.path}"})

    liar = Liar(sends_on)
    try:
        docker = tmp_path / "docker"
        shutil.copytree(servers.docker["DOCKER_CONFIG"], docker, symlinks=True)
        login = base64.b64encode(b"me:secret-4711").decode()
        (docker / "config.json").write_text(json.dumps({"auths": {liar.host: {"auth": login}}}))
        here = workspace(make, {"sent-on": f"{liar.host}/bad"})
        here.variables["DOCKER_CONFIG"] = str(docker)
        here.run("--continue", "sync", code=None)
        assert any(asked.login for asked in liar.asked)
        assert other.asked
        assert not any(asked.login or "secret-4711" in str(asked) for asked in other.asked)
    finally:
        liar.stop()
        other.stop()
