"""What else an image can be made of: contexts and Dockerfiles of all kinds, mounts that hide, `rebuild`, `watch`."""

from __future__ import annotations

import threading
import time

import pytest

from tests.commands.bench import Workspace
from tests.commands.conftest import Make

pytestmark = pytest.mark.docker
DOCKERFILE = "FROM scratch\nCOPY . /app\n"
PLAIN = "services: {api: {build: ./src}}\n"


def workspace(live: Make, base: str = PLAIN, hsm: str = "services: {}\n", **more: str) -> Workspace:
    files = {"docker-compose.yml": base, "hsm.yaml": hsm, "src/Dockerfile": DOCKERFILE, "src/a": "a\n"}
    return live("doit", files | {path.replace("__", "/").replace("_DOT_", "."): text for path, text in more.items()})


def ran(here: Workspace, step: str = "build:api") -> bool:
    return here.steps("build")[step] == "ran"


def test_a_build_of_the_base_and_a_dockerfile_outside_of_its_context(live: Make) -> None:
    base = "services: {api: {build: {context: ./src, dockerfile: ../other/D}}}\n"
    here = workspace(live, base, other__D=DOCKERFILE)
    assert ran(here)
    assert not ran(here)
    here.write("other/D", DOCKERFILE + "ENV A=1\n")
    assert ran(here)
    here.write("other/neighbour", "not in the context\n")
    assert not ran(here)
    here.write("other/D.dockerignore", "ignored\n")
    here.write("src/ignored", "x\n")
    assert not ran(here)


def test_a_dockerfile_in_the_compose_file(live: Make) -> None:
    inline = "FROM scratch\\nCOPY a /a"
    here = workspace(live, f"services: {{api: {{build: {{context: ./src, dockerfile_inline: \"{inline}\"}}}}}}\n")
    assert ran(here)
    assert not ran(here)
    here.edit("docker-compose.yml", "COPY a /a", "COPY a /b")
    assert ran(here)


def test_a_mount_of_the_whole_context_hides_all_but_the_dockerfile_and_what_is_watched(live: Make) -> None:
    hsm = "services: {api: {mode: dev, dev: {build: {context: ./src}, volumes: ['./src:/app'], watch: [@]}}}\n"
    rule = "{action: rebuild, path: ./src/package.json}"
    here = workspace(live, "services: {api: {image: x}}\n", hsm.replace("@", rule), src__package_DOT_json="{}")
    assert ran(here)
    here.write("src/a", "hidden\n")
    assert not ran(here)
    here.write("src/package.json", '{"a": 1}')
    assert ran(here)
    here.write("src/Dockerfile", DOCKERFILE + "ENV A=1\n")
    assert ran(here)
    assert not ran(here)


def test_rebuild_says_what_counts_instead(live: Make) -> None:
    dev = "{build: {context: ./src}, volumes: ['./src:/app'], rebuild: [src/*.lock]}"
    hsm = f"services: {{api: {{mode: dev, dev: {dev}}}}}\n"
    here = workspace(live, "services: {api: {image: x}}\n", hsm, src__x_DOT_lock="1")
    assert ran(here)
    here.write("src/a", "other\n")
    assert not ran(here)
    here.write("src/x.lock", "2")
    assert ran(here)


def test_a_mount_of_dev_at_the_place_of_one_of_the_base_shows_that_again(live: Make) -> None:
    base = "services: {api: {build: ./src, volumes: ['./src/one:/data']}}\n"
    here = workspace(live, base, src__one__f="1", src__two__f="2")
    assert ran(here)
    here.write("src/one/f", "hidden")
    assert not ran(here)
    here.edit("hsm.yaml", "services: {}", "services: {api: {mode: dev, dev: {volumes: ['./src/two:/data']}}}")
    here.run("build")
    here.write("src/two/f", "hidden")
    assert not ran(here)
    here.write("src/one/f", "seen")
    assert ran(here)


def test_the_folder_of_the_stack_as_context_is_not_stale_by_what_hsm_writes(live: Make) -> None:
    here = live("hsm", {"docker-compose.yml": "services: {api: {build: .}}\n", "hsm.yaml": "services: {}\n",
                        "Dockerfile": "FROM scratch\nCOPY hsm.yaml /\n"})
    assert ran(here)
    assert not ran(here)
    assert not ran(here)


def test_two_services_that_build_one_image(live: Make) -> None:
    base = "services: {api: {image: '@NAME-one', build: ./src}, worker: {image: '@NAME-one', build: ./src}}\n"
    here = workspace(live, "services: {}\n")
    here.write("docker-compose.yml", base.replace("@NAME", here.project))
    assert ran(here)
    assert not any(result == "ran" for result in here.steps("build").values())
    here.write("src/a", "other\n")
    assert {step for step, result in here.steps("build").items() if result == "ran"} == {"build:api", "build:worker"}
    assert not any(result == "ran" for result in here.steps("build").values())


def test_a_context_that_is_elsewhere_is_always_asked_for(live: Make) -> None:
    here = workspace(live, "services: {api: {build: 'http://127.0.0.1:1/x.git'}}\n")
    (line,) = [line for line in here.lines("build", code=1) if line["step"] == "build:api"]
    assert line["result"] == "failed"
    step = next(s for s in here.run("plan", "--json", "build").json()["steps"] if s["name"] == "build:api")
    assert step["state"] == "run"


def test_a_context_that_is_not_there(live: Make) -> None:
    here = workspace(live, "services: {api: {build: ./nowhere}}\n")
    done = here.run("build", code=1)
    assert "nowhere is not there" in done.err


def test_a_context_with_a_variable_in_its_path(live: Make) -> None:
    base = "services: {api: {build: '${PLACE:-./src}'}}\n"
    here = workspace(live, base, else__Dockerfile="FROM scratch\nCOPY . /b\n")
    assert ran(here)
    here.write("src/a", "other\n")
    assert ran(here)
    here.variables["PLACE"] = "./else"
    assert ran(here)
    assert not ran(here)


def test_a_workspace_with_odd_characters_in_its_path(live: Make) -> None:
    here = workspace(live, PLAIN.replace("./src", "{context: ./src, dockerfile: 'D$$x'}"), src__D_DOLLAR_x=DOCKERFILE)
    (here.stack / "src/D_DOLLAR_x").rename(here.stack / "src/D$x")
    odd = here.root.with_name("odd $HOME: 'x")
    here.root.rename(odd)
    here.root, here.stack = odd, odd / "stacks/shop"
    assert ran(here)
    assert not ran(here)
    here.write("src/a", "other\n")
    assert ran(here)


def test_an_edit_during_a_build_is_built_the_next_time(live: Make) -> None:
    base = """\
services:
  api:
    build:
      context: ./src
      dockerfile_inline: |
        FROM @REG@/base:1
        COPY a /a
        RUN sleep 3
"""
    here = workspace(live, base)
    here.run("sync")

    def edit() -> None:
        while not (here.root / ".hsm/shop/compose.json").exists():  # it is there just before the sources are looked at
            time.sleep(0.05)
        time.sleep(1)
        here.write("src/a", "during\n")

    editor = threading.Thread(target=edit)
    editor.start()
    assert ran(here)
    editor.join()
    assert ran(here)
    assert not ran(here)
