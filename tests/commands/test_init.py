"""`hsm init` on projects as people have them: what it writes, what it leaves alone, and that the result syncs."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.commands.bench import DODO, Workspace
from tests.commands.conftest import Make
from tests.support.gitserver import commit, git

Project = Callable[[Mapping[str, str]], Workspace]
BUILD = {"api/Dockerfile": "FROM @REG@/base:1\n", "worker/Dockerfile": "FROM @REG@/base:1\n"}
ONE = """\
services:
  api: {build: ./api, depends_on: [db], volumes: ["./api:/src"]}
  db: {image: "@REG@/pg:16", volumes: ["data:/data"]}
volumes: {data: }
"""
MANY = "services:\n" + "".join(
    f"  s{n:02}: {{{'build: ./api' if n % 3 == 0 else 'image: @REG@/web:1.0'}, depends_on: [s{n + 1:02}]}}\n"
    for n in range(29)
) + "  s29: {image: '@REG@/pg:16'}\n"
PROJECTS: dict[str, dict[str, str]] = {
    "one file": {"docker-compose.yml": ONE, **BUILD},
    "a newer name": {"compose.yaml": ONE, **BUILD},
    "an override file": {
        "docker-compose.yml": ONE,
        "docker-compose.override.yml": "services: {api: {environment: {DEBUG: '1'}}, two: {image: '@REG@/web:1.0'}}\n",
        **BUILD,
    },
    "files named in .env": {
        "base.yml": ONE,
        "more.yml": "services: {web: {image: '@REG@/web:1.0'}}\n",
        ".env": "COMPOSE_FILE=base.yml:more.yml\n",
        **BUILD,
    },
    "a subfolder": {"deploy/docker-compose.yml": ONE.replace("./api", "../api"), **BUILD},
    "include": {
        "docker-compose.yml": "include: [parts/db.yml]\nservices: {api: {build: api, depends_on: [db]}}\n",
        "parts/db.yml": "services: {db: {image: '@REG@/pg:16'}, tool: {build: ./tool}}\n",
        "parts/tool/Dockerfile": "FROM @REG@/base:1\n",
        **BUILD,
    },
    "extends": {
        "docker-compose.yml": "services:\n  api: {extends: {file: common/base.yml, service: app}}\n"
        "  job: {extends: {service: api}, command: [job]}\n",
        "common/base.yml": "services: {app: {build: ../api, environment: {A: b}}}\n",
        **BUILD,
    },
    "anchors": {
        "docker-compose.yml": "x-app: &app {build: ./api, environment: &env {A: b}, restart: unless-stopped}\n"
        "services:\n  api: {<<: *app}\n  worker: {<<: *app, environment: {<<: *env, C: d}, command: [work]}\n",
        **BUILD,
    },
    "variables without values": {
        "docker-compose.yml": "services:\n"
        "  api: {build: '${WHERE:-./api}', image: 'shop/api:${TAG}', environment: ['TOKEN=${TOKEN}', SECRET]}\n"
        "  db: {image: '@REG@/pg:${PG:-16}', ports: ['127.0.0.1:${PORT-0}:80'], container_name: 'xyz${NAME}'}\n",
        ".env.example": "TAG=1\n",
        **BUILD,
    },
    "an image that two services run and one builds": {
        "docker-compose.yml": "services:\n  api: {build: ./api, image: shop/api}\n"
        "  worker: {image: shop/api, command: [work], depends_on: [api]}\n",
        **BUILD,
    },
    "profiles": {
        "docker-compose.yml": "services: {tool: {image: '@REG@/web:1.0', profiles: [debug, ops]}, api: {build: api}}\n",
        **BUILD,
    },
    "alternatives": {
        "docker-compose.yml": "services:\n  postgres: {image: '@REG@/pg:16'}\n  mysql: {image: '@REG@/my:8'}\n",
    },
    "odd names": {
        "docker-compose.yml": "services: {'1st': {build: api}, 'on': {build: worker}, a.b_c: {image: '@REG@/pg:16'}}\n",
        **BUILD,
    },
    "thirty services": {"docker-compose.yml": MANY, **BUILD},
    "nothing but images": {"docker-compose.yml": "services: {web: {image: '@REG@/web:1.0'}}\n"},
}  # fmt: skip


@pytest.fixture
def project(make: Make) -> Project:
    def made(files: Mapping[str, str]) -> Workspace:
        here = make("hsm", {"docker-compose.yml": "", **files})
        (here.root / "hsm.yaml").unlink()
        if "docker-compose.yml" not in files:
            (here.root / "docker-compose.yml").unlink()
        return here

    return made


@pytest.mark.parametrize("name", PROJECTS)
def test_what_init_writes_syncs_at_once(name: str, project: Project) -> None:
    here = project(PROJECTS[name])
    before = here.files()
    said = here.run("init")
    assert said.out == ""
    assert {path: data for path, data in here.files().items() if path in before} == before
    done = here.run("sync")
    assert "warning" not in done.err
    assert here.ran("sync") == set()
    here.run("compose", "config", "-q")


@pytest.mark.parametrize("name", [name for name in PROJECTS if name != "a subfolder"])
def test_every_service_is_as_it_was_but_for_pins_and_names_of_built_images(name: str, project: Project) -> None:
    here = project(PROJECTS[name])
    before = config(here, "docker", "compose", "config", "--format", "json")
    here.run("init")
    here.run("sync")
    after = config(here, "hsm", "compose", "config", "--format", "json")
    assert after == before


def config(here: Workspace, program: str, *words: str) -> object:
    """The services that start, without what a pin and a build change: the image, and the build that a twin shares."""
    done = subprocess.run(
        (program, *words), cwd=here.root, env=here.environment(), capture_output=True, text=True, check=True
    )
    services = json.loads(done.stdout)["services"]
    return {name: {key: value for key, value in keys.items() if key not in ("image", "build")}
            for name, keys in services.items()}  # fmt: skip


def test_a_new_folder_gets_the_four_files_and_nothing_else(project: Project) -> None:
    here = project(PROJECTS["one file"])
    before = set(here.files())
    said = here.run("init").err
    assert set(here.files()) - before == {
        ".gitignore", ".hsm/.gitignore", ".hsm/hsm.local.schema.json", ".hsm/hsm.schema.json", "dodo.py", "hsm.yaml",
    }  # fmt: skip
    assert here.read("dodo.py") == DODO
    assert here.read(".gitignore").splitlines()[1:] == ["/repos/", ".hsm/", "hsm.local.yaml", "docker-compose.hsm.yml"]
    assert here.read("hsm.yaml").startswith("# yaml-language-server: $schema=.hsm/hsm.schema.json\n")
    assert "hsm.yaml: 1 built from sources (api); 1 from images" in said
    assert said.endswith("next: hsm sync, then hsm up\n")


def test_who_begins_without_init_is_led_to_it(project: Project) -> None:
    said = project(PROJECTS["one file"]).run("up", code=3).err
    assert said.startswith("no hsm.yaml here\n  hint: `hsm init` makes one of your compose files")


def test_an_hsm_yaml_is_never_written_over(project: Project) -> None:
    here = project(PROJECTS["one file"])
    here.write("hsm.yaml", "services: {}\n")
    before = here.files()
    assert "hsm.yaml is there already" in here.run("init", code=3).err
    assert here.files() == before


def test_what_is_there_stays_byte_for_byte_and_a_second_init_adds_no_rule(project: Project) -> None:
    here = project({**PROJECTS["one file"], "dodo.py": "def task_own(): ...\n"})
    (here.root / ".gitignore").write_bytes(b"# mine\r\nrepos\r\n*.log")
    assert "from hsm_tasks.door import DOIT_CONFIG, hsm" in here.run("init").err
    rules = (here.root / ".gitignore").read_bytes()
    lines = b"\r\n\r\n# hsm: what is local to one machine\r\n.hsm/\r\nhsm.local.yaml\r\ndocker-compose.hsm.yml\r\n"
    assert rules == b"# mine\r\nrepos\r\n*.log" + lines
    assert here.read("dodo.py") == "def task_own(): ...\n"
    (here.root / "hsm.yaml").unlink()
    here.run("init")
    assert (here.root / ".gitignore").read_bytes() == rules


def test_several_files_are_named_in_their_order(project: Project) -> None:
    here = project({"compose.dev.yml": ONE, "compose.prod.yml": "services: {db: {restart: always}}\n", **BUILD})
    said = here.run("init", code=3).err
    assert "which compose files? There are: compose.dev.yml, compose.prod.yml" in said
    assert "hint: name the ones" in said
    here.run("init", "compose.dev.yml", "compose.prod.yml")
    assert "\ncompose: [compose.dev.yml, compose.prod.yml]\n" in here.read("hsm.yaml")
    here.run("sync")
    assert '"restart": "always"' in here.run("compose", "config", "--format", "json").out


@pytest.mark.parametrize(
    ("words", "said"),
    [(("--force",), 'init does not know "--force"'), (("nope.yml",), 'there is no file "nope.yml"')],
)
def test_a_wrong_word_is_refused(words: tuple[str, ...], said: str, project: Project) -> None:
    here = project(PROJECTS["one file"])
    assert said in here.run("init", *words, code=3).err
    assert not (here.root / "hsm.yaml").exists()


def test_a_folder_without_compose_files_is_told_so(tmp_path: Path, project: Project) -> None:
    here = project({"readme": ""})
    assert "there is no compose file here" in here.run("init", code=3).err


def test_a_base_that_compose_can_not_read_writes_nothing(project: Project) -> None:
    here = project({"docker-compose.yml": "services: {api: {imag: x}}\n"})
    before = here.files()
    assert "imag" in here.run("init", code=1).err
    assert here.files() == before


def test_missing_values_are_named_with_the_example_that_has_them(project: Project) -> None:
    said = project(PROJECTS["variables without values"]).run("init").err
    assert "without a value, as for compose itself: NAME, TAG, TOKEN (copy .env.example to .env)" in said


def test_an_image_whose_variable_has_no_value_is_named_as_it_is_written(project: Project) -> None:
    here = project({"docker-compose.yml": 'services: {a: {image: "@REG@/web:${TAG}"}, b: {image: "${IMAGE}"}}\n'})
    assert "without a value, as for compose itself: IMAGE, TAG (set them in .env)" in here.run("init").err
    said = here.run("sync", code=1).err
    host = here.servers.registry.host
    empty = "which is no image reference: the tag is empty: nothing stands behind the colon"
    assert f'{host}/web:${{TAG}} comes to "{host}/web:", {empty}\n  hint: give its variables values' in said
    assert '${IMAGE} comes to "", which is no image reference: the image reference is empty' in said
    here.write(".env", "TAG=1.0\nIMAGE=@REG@/pg:16\n")
    here.run("sync")


def test_a_context_in_a_repository_of_its_own_is_named_by_its_origin_and_used_where_it_lies(project: Project) -> None:
    here = project({
        "docker-compose.yml": "services:\n  api:\n"
        "    build: {context: ./code/api/web, dockerfile: Dockerfile.dev, target: dev}\n"
        '    volumes: ["./code/api/www:/www:ro", "./data:/data"]\n',
    })
    url = here.servers.git.url("api")
    git(here.root, "clone", "--quiet", url, "code/api")
    commit(here.root / "code/api", {"web/Dockerfile.dev": f"FROM {here.servers.registry.host}/base:1 AS dev\n"})
    here.run("init")
    text = here.read("hsm.yaml")
    assert f'repo: {{url: "{url}", ref: main}}' in text
    assert "build: {context: web, dockerfile: Dockerfile.dev, target: dev}" in text
    assert 'volumes: ["./www:/www:ro"]' in text
    assert "api: {repo: {path: code/api}}" in here.read("hsm.local.yaml")
    here.run("sync")
    assert not (here.root / "repos").exists()
    (here.root / "hsm.local.yaml").unlink()  # as it is for everybody else; the target is not pushed yet
    here.write("hsm.yaml", text.replace("context: web, dockerfile: Dockerfile.dev, target: dev", "context: ."))
    here.run("sync")
    assert (here.root / "repos/api/www").is_dir()


def test_a_folder_of_a_workspace_that_is_no_place_for_a_stack_is_refused(project: Project) -> None:
    here = project({"stacks/one/hsm.yaml": "", "stacks/one/docker-compose.yml": ONE, "other/docker-compose.yml": ONE})
    assert "whose stacks are elsewhere" in here.run("init", code=3, at=here.root / "other").err
    here.write("docker-compose.yml", ONE)
    assert "this is the root of a workspace with stacks" in here.run("init", code=3).err
    here.write("stacks/two/docker-compose.yml", ONE)
    here.run("init", at=here.root / "stacks/two")
    assert here.read("stacks/two/hsm.yaml").startswith("# yaml-language-server: $schema=../../.hsm/hsm.schema.json\n")
    assert {"dodo.py", ".gitignore"} <= set(here.files())
