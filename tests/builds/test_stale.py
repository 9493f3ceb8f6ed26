"""`build:SERVICE`: what makes an image stale, and what does not."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.commands.bench import Workspace
from tests.commands.conftest import Live
from tests.support.gitserver import commit

pytestmark = pytest.mark.docker

HSM = """\
services:
  api:
    mode: dev
    repo: {url: "@GIT@/api.git", ref: main}
    dev:
      build: {context: ., args: {GREETING: "${GREETING:-hi}"}}
      volumes: ["./www:/www"]
"""
BASE = "services: {api: {image: '@REG@/api:1.0.0'}}\n"


@pytest.fixture(scope="module")
def built(module_workspace: Live) -> Workspace:
    """The api, built; every test leaves it built."""
    here = module_workspace("doit", {"hsm.yaml": HSM, "docker-compose.yml": BASE})
    assert here.steps("build")["build:api"] == "ran"
    return here


def result(here: Workspace, *words: str, greeting: str = "hi") -> tuple[str, str]:
    """(what became of build:api, why)."""
    lines = here.lines(*(words or ("build:api",)), GREETING=greeting)
    line = next(line for line in lines if line["step"] == "build:api")
    return line["result"], line["reason"]


def test_nothing_changed(built: Workspace) -> None:
    assert result(built) == ("fresh", "")
    assert result(built, "build")[0] == "fresh"


def _untracked(folder: Path) -> None:
    (folder / "new").write_text("x")


def _in_a_folder(folder: Path) -> None:
    (folder / "more").mkdir()
    (folder / "more/file").write_text("")


def _empty_folder(folder: Path) -> None:
    (folder / "nothing").mkdir()


def _mode(folder: Path) -> None:
    (folder / "note").chmod(0o755)


def _link(folder: Path) -> None:
    (folder / "link").symlink_to("note")


def _same_size_and_time(folder: Path) -> None:
    state = (folder / "note").stat()
    (folder / "note").write_text("FIRST\n")
    os.utime(folder / "note", ns=(state.st_atime_ns, state.st_mtime_ns))


def _committed(folder: Path) -> None:
    commit(folder, {"note": "committed\n"})


def _gone(folder: Path) -> None:
    (folder / "more/file").unlink()


@pytest.mark.parametrize(
    "edit", [_untracked, _in_a_folder, _empty_folder, _mode, _link, _same_size_and_time, _committed, _gone]
)
def test_an_edit_that_the_build_sees(built: Workspace, edit: Callable[[Path], None]) -> None:
    edit(built.checkout)
    assert result(built) == ("ran", "config changed: sources")
    assert result(built) == ("fresh", "")


def test_what_the_build_does_not_see(built: Workspace) -> None:
    (built.checkout / "README").write_text("in .dockerignore\n")
    (built.checkout / "www/index.html").write_text("behind a mount\n")
    commit(built.checkout, {"README": "and committed\n"})
    os.utime(built.checkout / "note")
    assert result(built) == ("fresh", "")


def test_an_undone_edit(built: Workspace) -> None:
    before = (built.checkout / "note").read_bytes()
    (built.checkout / "note").write_text("edited\n")
    (built.checkout / "note").write_bytes(before)
    assert result(built) == ("fresh", "")


def test_the_dockerfile_and_what_it_ignores(built: Workspace) -> None:
    file = built.checkout / "Dockerfile"
    file.write_text(file.read_text() + "ENV X=1\n")
    assert result(built) == ("ran", "config changed: sources, Dockerfile")
    ignore = built.checkout / ".dockerignore"
    ignore.write_text(ignore.read_text() + "new\n")
    assert result(built)[0] == "ran"
    (built.checkout / "new").write_text("ignored by now\n")
    assert result(built)[0] == "fresh"


def test_the_value_of_a_variable_and_no_secret_is_kept(built: Workspace) -> None:
    assert result(built, greeting="ahoy-there") == ("ran", "config changed: build.args")
    assert result(built, greeting="ahoy-there") == ("fresh", "")
    kept = [path for path in (built.root / ".hsm").rglob("*") if path.is_file() and b"ahoy-there" in path.read_bytes()]
    assert kept == []
    assert result(built) == ("ran", "config changed: build.args")


def test_a_variable_in_the_env_file(built: Workspace) -> None:
    def ran() -> bool:
        return built.steps("build:api")["build:api"] == "ran"

    built.write(".env", "GREETING=from-env\n")
    assert ran()
    assert not ran()
    (built.stack / ".env").unlink()
    assert ran()


def test_the_target(built: Workspace) -> None:
    file = built.checkout / "Dockerfile"
    before = file.read_text()
    file.write_text(before + "FROM scratch AS other\nCOPY note /note\n")
    assert result(built)[0] == "ran"
    built.edit("hsm.yaml", "context: .,", "context: ., target: other,")
    assert result(built) == ("ran", "config changed: build.target")
    built.edit("hsm.yaml", "context: ., target: other,", "context: .,")
    file.write_text(before)
    assert result(built)[0] == "ran"


def test_an_image_that_is_gone_or_another_one(built: Workspace) -> None:
    image = f"{built.project}-api"
    built.engine("image", "rm", "-f", image)
    assert result(built) == ("ran", f"the engine has no image {image}")
    built.engine("pull", "--quiet", built.servers.filled("@REG@/base:1"))
    built.engine("tag", built.servers.filled("@REG@/base:1"), image)
    assert result(built) == ("ran", f"{image} is another image than was built here")
    assert result(built) == ("fresh", "")


def test_up_builds_what_is_stale_and_only_that(built: Workspace) -> None:
    (built.checkout / "note").write_text("for up\n")
    results = built.steps("up")
    assert (results["build:api"], results["up:api"]) == ("ran", "ran")
    before = built.containers()
    results = built.steps("up")
    assert (results["build:api"], results["up:api"]) == ("fresh", "fresh")
    (built.checkout / "note").write_text("for up again\n")
    assert built.steps("up:api")["up:api"] == "ran"
    assert built.containers() != before
    built.run("down")


def test_plan_foresees_it_and_writes_nothing(built: Workspace) -> None:
    (built.checkout / "note").write_text("planned\n")
    before = built.files()
    steps = {step["name"]: step for step in built.run("plan", "--json", "build").json()["steps"]}
    assert (steps["build:api"]["state"], steps["build:api"]["reasons"]) == ("run", ["config changed: sources"])
    assert built.files() == before
    assert result(built)[0] == "ran"


def test_a_failure_that_is_none_of_the_image_leaves_it_as_it_was(built: Workspace) -> None:
    """The engine is away for a moment, or a build fails: what was built is still there, and is what is wanted."""
    assert result(built)[0] == "fresh"
    assert built.steps("build", code=1, DOCKER_HOST="tcp://127.0.0.1:1")["build:api"] == "failed"
    assert result(built) == ("fresh", "")
    dockerfile = built.checkout / "Dockerfile"
    before = dockerfile.read_text()
    dockerfile.write_text(f"{before}RUN exit 7\n")
    assert built.steps("build", code=1)["build:api"] == "failed"
    assert built.steps("build", code=1)["build:api"] == "failed"
    dockerfile.write_text(before)
    assert result(built) == ("fresh", "")
