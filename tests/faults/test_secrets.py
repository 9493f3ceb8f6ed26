"""No secret in anything that any command prints or leaves: a marker in every place that has one, and a look everywhere.

The markers may be where a person has written them, and nowhere else. What `hsm compose` prints is
compose's own answer to the person who asked for it, so it is not looked at.
"""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.commands.bench import BASE, HSM_YAML, Servers, Workspace
from tests.faults.conftest import Make

NAMES = ("plain", "password", "dotenv", "dottoken", "envfile", "filed", "composed", "argument", "login", "wrong")
MARK = {name: f"mark-{name}-4711" for name in NAMES}
ENVIRON = {
    "PLAIN_SETTING": MARK["plain"],
    "DB_PASSWORD": MARK["password"],
    "COMPOSED_SECRET": MARK["composed"],
    "BUILD_TOKEN": MARK["argument"],
}
FILES = {
    ".env": f"DOTENV_SETTING={MARK['dotenv']}\nexport SERVICE_TOKEN='{MARK['dottoken']}'\n",
    "api.env": f"API_KEY={MARK['envfile']}\n",
    "secret.txt": f"{MARK['filed']}\n",
    ".gitignore": ".env\napi.env\nsecret.txt\n",
}
MORE = """\
    environment:
      A: "${PLAIN_SETTING}"
      B: "${DB_PASSWORD:?it must be set}"
      C: "x ${DOTENV_SETTING} ${SERVICE_TOKEN}"
    env_file: [api.env]
    secrets: [composed, filed]
    configs: [written]
    labels: {token: "${SERVICE_TOKEN}"}
    command: ["run", "--token", "${COMPOSED_SECRET}"]
"""
SOURCED = """\
secrets:
  composed: {environment: COMPOSED_SECRET}
  filed: {file: ./secret.txt}
configs:
  written: {content: "password = ${DB_PASSWORD} ${PLAIN_SETTING}"}
"""
COMMAND = '    command: ["run'
RIGHT: tuple[tuple[str, ...], ...] = (
    ("list",), ("list", "--all"), ("sync",), ("sync",), ("info", "render:api"), ("plan", "dev:api", "up"),
    ("plan", "--json", "use:my"), ("status",), ("status", "--json"), ("stacks", "--json"), ("dev:api",), ("use:my",),
    ("prod:api", "use:pg"), ("update",), ("update", "--dry-run"), ("update", "--check", "--json"), ("dumpdb",),
    ("bundle", "--prod"), ("bundle", "--prod", "--tar"), ("explain",), ("doctor",), ("graph",),
    ("graph", "--format", "mermaid", "dev:api", "up"), ("graph", "--format=dot"), ("graph", "--out", "picture.svg"),
    ("doctor", "--json"), ("schema",),
    ("completion", "bash"), ("help",), ("forget",), ("clean",), ("-v2", "sync"), ("-r", "json", "sync"), ("up",),
    ("build",), ("logs",), ("sh:api",), ("down",), ("stop:api",), ("plan", "deploy", "target=there"),
    ("deploy", "target=there", "--prod"), ("status", "target=there"), ("rollback", "target=there"),
)  # fmt: skip
WRONG: Mapping[str, tuple[str, str, str]] = {  # what is edited: a file, its old words, its new ones
    "a word that is no port": ("docker-compose.yml", "${WEB_PORT:-0}", "${DB_PASSWORD}"),
    "a number that is none": ("docker-compose.yml", COMMAND, f'    cpus: "${{SERVICE_TOKEN}}"\n{COMMAND}'),
    "a duration": ("docker-compose.yml", COMMAND, f'    stop_grace_period: "${{BUILD_TOKEN}}"\n{COMMAND}'),
    "a variable that is not there": ("docker-compose.yml", "DB_PASSWORD:?it", "ABSENT:?${COMPOSED_SECRET} it"),
    "a bad substitution": ("docker-compose.yml", "${PLAIN_SETTING}\"\n      B", "${PLAIN SETTING}\"\n      B"),
    "a broken env file": ("api.env", "API_KEY=", "API KEY "),
    "a broken env file with quotes": ("api.env", "API_KEY=", "API_KEY='"),
    "a broken .env": (".env", "DOTENV_SETTING=", "DOTENV SETTING "),
    "a broken .env with quotes": (".env", "DOTENV_SETTING=", "DOTENV_SETTING='"),
    "a password in a url": ("hsm.yaml", "@GIT@/api.git", f"http://me:{MARK['wrong']}@127.0.0.1:1/api.git"),
    "a token in a query": ("hsm.yaml", "@GIT@/api.git", f"http://127.0.0.1:1/api.git?token={MARK['wrong']}"),
    "a secret as a mode": ("hsm.yaml", "    dev:\n", "    mode: ${X}\n    dev:\n"),
    "a server that is not there": ("hsm.yaml", "@GIT@/api.git", "http://127.0.0.1:1/api.git"),
    "a registry that is not there": ("hsm.yaml", "@REG@/web:1.0", "127.0.0.1:1/web:1.0"),
}


@dataclass
class Search:
    """Where markers are looked for, and what was found."""

    workspace: Workspace
    home: Path
    found: list[str] = field(default_factory=list)

    def run(self, words: Sequence[str], codes: tuple[int, ...] = (0, 1, 3)) -> None:
        done = self.workspace.run(*words, code=None)
        assert done.code in codes, f"{words}: {done.both}"
        for name, mark in MARK.items():
            lines = [line for line in (done.out + done.err).splitlines() if mark in line]
            self.found += [f"{' '.join(words)} prints {name}: {line}" for line in lines]

    def look(self, what: str) -> None:
        """At every file below the workspace and the home."""
        for top in (self.workspace.root, self.home):
            for path in (path for path in top.rglob("*") if path.is_file() and not path.is_symlink()):
                data = path.read_bytes()
                here = [name for name, mark in MARK.items() if _holds(data, mark)]
                seeded = path.parent == self.workspace.stack and path.name in (*FILES, "hsm.yaml")
                if here and not seeded and path != self.home / "docker" / "config.json":
                    self.found.append(f"{what}: {path} holds {here}")


def _holds(data: bytes, mark: str) -> bool:
    return mark.encode() in data or base64.b64encode(mark.encode()).rstrip(b"=")[:-1] in data


@pytest.fixture
def search(make: Make, servers: Servers, tmp_path: Path) -> Search:
    base = BASE.replace("    image: @REG@/api:1.0.0\n", f"    image: @REG@/api:1.0.0\n{MORE}") + SOURCED
    built = "    dev:\n      build: {context: ., args: {TOKEN: \"${BUILD_TOKEN}\"}}\n"
    files = {"hsm.yaml": HSM_YAML.replace("    dev:\n", built), "docker-compose.yml": base, **FILES}
    workspace = make("doit", files)
    (workspace.root / "pyproject.toml").write_text('[tool.hsm.targets.there]\nhost = "ssh://nobody@127.0.0.1:1"\n')
    workspace.under_git()
    home = tmp_path / "home"
    (home / "tmp").mkdir(parents=True)
    shutil.copytree(servers.docker["DOCKER_CONFIG"], home / "docker", symlinks=True)
    login = base64.b64encode(f"someone:{MARK['login']}".encode()).decode()
    config = {"auths": {servers.registry.host: {"auth": login}, "127.0.0.1:1": {"auth": login}}}
    (home / "docker" / "config.json").write_text(json.dumps(config))
    workspace.variables |= {"HOME": str(home), "TMPDIR": str(home / "tmp"), "DOCKER_CONFIG": str(home / "docker")}
    workspace.variables |= {"HSM_RUN_LOG": str(home / "run.log"), **ENVIRON}
    return Search(workspace, home)


def test_what_is_right_shows_no_secret(search: Search) -> None:
    for words in RIGHT:
        search.run(words, (0,) if words[-1] == "sync" else (0, 1, 3, 255))
        search.look(" ".join(words))
    assert not search.found, "\n".join(dict.fromkeys(search.found))


def test_what_is_wrong_shows_no_secret(search: Search) -> None:
    for what, (file, old, new) in WRONG.items():
        text = search.workspace.read(file)
        search.workspace.edit(file, old, new)
        for words in (("--continue", "dev:api", "sync"), ("plan", "prod:api", "up"), ("status", "--json")):
            search.run(words)
        search.look(what)
        search.workspace.write(file, text)
    assert not search.found, "\n".join(dict.fromkeys(search.found))


LOUD = {"key": "mark-first-line-4711\nmark-second-line-4711", "written": "mark-of-a-file-4711\nmark-below-it-4711"}
TELL = "echo arg $BUILD_TOKEN; env; printf '%s\\n' \"$SIGNING_KEY\""
SPEAKING = {
    "hsm.yaml": """\
services:
  building: {mode: dev, repo: {url: "@GIT@/loud.git", ref: main},
             dev: {build: {args: &args {BUILD_TOKEN: "${BUILD_TOKEN}", SIGNING_KEY: "${SIGNING_KEY}"}}}}
  failing: {mode: dev, repo: {url: "@GIT@/loud.git", ref: main},
            dev: {build: {dockerfile: failing.Dockerfile, args: *args}}}
""",
    "docker-compose.yml": """\
services:
  building: {image: x, command: ["true"], stop_signal: SIGKILL}
  failing: {image: x}
  dying: &dying
    image: @REG@/base:1
    command: ["sh", "-c", "env; printf '%s' \\"$$DB_PASSWORD\\" >&2; exit 3"]
    environment: {DB_PASSWORD: , SERVICE_TOKEN: "${SERVICE_TOKEN}", SIGNING_KEY: }
    env_file: [api.env]
  ill: {<<: *dying, command: ["sh", "-c", "env; sleep 600"], stop_signal: SIGKILL,
        healthcheck: {test: ["CMD", "false"], interval: 1s, retries: 1}}
""",
    ".env": f"SERVICE_TOKEN={MARK['dottoken']}\n",
    "api.env": f"API_KEY={MARK['envfile']}\nFILE_KEY=\"{LOUD['written']}\"\n",
}


@pytest.mark.docker
def test_builds_and_containers_that_say_their_secrets_are_shown_without_them(live: Make, tmp_path: Path) -> None:
    """Every known one is cut out, also of a key that has several lines."""
    here = live("doit", SPEAKING)
    here.servers.repository("loud", {
        "Dockerfile": f"FROM @REG@/base:1\nARG BUILD_TOKEN\nARG SIGNING_KEY\nRUN {TELL}\n",
        "failing.Dockerfile": f"FROM @REG@/base:1\nARG BUILD_TOKEN\nARG SIGNING_KEY\nRUN {TELL}; exit 7\n",
    })  # fmt: skip
    home = tmp_path / "home"
    home.mkdir()
    here.variables |= {**ENVIRON, "SIGNING_KEY": LOUD["key"], "HSM_RUN_LOG": str(home / "run.log")}
    secret = [MARK[name] for name in ("password", "dottoken", "envfile", "argument")]
    secret += [line for value in LOUD.values() for line in value.splitlines()]
    heard, found = "", list[str]()
    for words in (
        ("build:building",), ("--continue", "build"), ("up:dying",), ("up:ill",), ("--continue", "up"),
        ("-v2", "up:dying"), ("-r", "json", "up:dying"), ("-r", "executed-only", "up:dying"),
        ("status",), ("status", "--json"),
        ("plan", "--json", "up"), ("graph",), ("down",),
    ):  # fmt: skip
        said = here.run(*words, code=None).both
        heard += said
        found += [f"{words} prints {line}" for line in said.splitlines() if any(mark in line for mark in secret)]
        for top in (here.root / ".hsm", home):
            files = [path for path in top.rglob("*") if path.is_file()]
            found += [f"{words}: {path}" for path in files if any(_holds(path.read_bytes(), mark) for mark in secret)]
        override = here.stack / "docker-compose.hsm.yml"
        found += [f"{words}: the override" for mark in secret if override.exists() and mark in override.read_text()]
    assert not found, "\n".join(dict.fromkeys(found))
    assert "exit code: 7" in heard or "did not complete successfully" in heard, heard
    assert heard.count("its last words:") >= 2, heard
    assert "***" in heard


def test_a_secret_that_stands_in_hsm_yaml_is_shown_in_no_form(make: Make) -> None:
    here = make("hsm", {"hsm.yaml": HSM_YAML.replace("limits:", f'environment: {{A: "{MARK["password"]}"}}, limits:')})
    here.variables |= ENVIRON
    for words in (("plan",), ("plan", "--json"), ("status",), ("status", "--json"), ("stacks", "--json")):
        said = here.run(*words).both
        assert MARK["password"] not in said, (words, said)
    assert "***" in here.run("plan", "--json").json()["diff"]


def test_a_secret_that_stands_where_it_is_wrong_is_shown_by_no_command(make: Make) -> None:
    here = make("hsm", {"hsm.yaml": HSM_YAML.replace("  web:", f"    mode: {MARK['password']}\n  web:")})
    here.variables |= ENVIRON
    for words in (("sync",), ("list",), ("doctor",), ("doctor", "--json"), ("plan", "--json"), ("init",)):
        done = here.run(*words, code=None)
        assert MARK["password"] not in done.both, (words, done.both)
    assert '"***" is not a mode' in here.run("doctor", code=1).both


def test_init_shows_no_secret_of_a_base_that_compose_refuses(tmp_path: Path, make: Make) -> None:
    here = make("hsm")
    alone = tmp_path / "alone"
    alone.mkdir()
    (alone / "docker-compose.yml").write_text('services: {a: {image: x, cpus: "${DB_PASSWORD}"}}\n')
    here.variables |= ENVIRON
    done = here.run("init", at=alone, code=None)
    assert MARK["password"] not in done.both, done.both
