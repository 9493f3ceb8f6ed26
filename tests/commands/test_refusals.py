"""What is wrong is told at its place, all of it at once; nothing is started and nothing written. The exit codes."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.commands.bench import DOORS, Door, Servers, Workspace
from tests.commands.conftest import Make
from tests.support import world

PLACED = re.compile(r"^[\w./-]+:\d+:\d+: \S+: .+", re.MULTILINE)


def refused(here: Workspace, *words: str) -> str:
    """What a command says that must end with exit 3, without a traceback, and without a change to any file."""
    before = here.files()
    done = here.run(*words, code=3)
    assert here.files() == before
    assert "Traceback" not in done.err
    assert done.out == ""
    return done.err


@pytest.mark.parametrize("door", DOORS)
def test_all_mistakes_are_told_at_once_each_with_its_place_and_hint(make: Make, door: Door) -> None:
    here = make(door)
    here.edit("hsm.yaml", "  api:\n", "  api:\n    mode: develop\n")
    here.edit("hsm.yaml", "memory: 64M", "memory: lots")
    here.edit("hsm.yaml", "selection: pg", "selection: oracle")
    where = "hsm.yaml" if door == "hsm" else "stacks/shop/hsm.yaml"
    said = refused(here, "sync")
    assert f'{where}:4:11: services.api.mode: "develop" is not a mode (dev or prod)\n' in said
    assert 'hint: did you mean "dev"?' in said
    assert "services.api.prod.limits.memory" in said
    assert "groups.database.selection" in said
    assert len(PLACED.findall(said)) == 3


def test_missing_includes_and_circles_are_told_with_what_is_wrong_in_each_file(make: Make) -> None:
    here = make(files={"more.yaml": "include: [hsm.yaml]\nmood: dev\n", "hsm.local.yaml": "name: x\n"})
    here.write("hsm.yaml", "include: [gone.yaml, more.yaml, lost.yaml]\nmode: develop\n")
    said = refused(here, "sync")
    assert len(PLACED.findall(said)) == 6
    for words in ("gone.yaml", "lost.yaml", "circle", "mood: unknown key", '"develop"', "may not set this"):
        assert words in said


def test_mistakes_that_show_only_beside_the_base_are_told_too(make: Make) -> None:
    here = make()
    here.edit("hsm.yaml", "  web:\n", "  wbe: {mode: prod}\n  web:\n")
    here.edit("hsm.yaml", "profiles: [debug]", "profiles: [debgu]")
    said = refused(here, "sync")
    assert "services.wbe" in said
    assert "debgu" in said
    assert len(PLACED.findall(said)) == 2


def test_a_mistake_in_hsm_local_yaml_is_told_at_its_own_place(make: Make) -> None:
    here = make(files={"hsm.local.yaml": "services:\n  api:\n    repo: {url: 'http://x/y.git'}\n"})
    assert "stacks/shop/hsm.local.yaml:3:" in refused(here, "sync")


@pytest.fixture(scope="module")
def fresh(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace in which nothing has run yet; no test of it may change that."""
    return servers.workspace(tmp_path_factory.mktemp("refusals") / "workspace").without_engine()


@pytest.mark.parametrize(
    "words",
    [
        ["synk"],
        ["up:apii"],
        ["up:x*"],
        ["dev:nobody"],
        ["dev"],
        ["use"],
        ["use:oracle"],
        ["unuse:pg"],
        ["stop"],
        ["restart"],
        ["sh"],
        ["sh:nobody"],
        ["logs:nobody"],
        ["build:nobody"],
        ["update:nobody"],
        ["info", "nothing"],
        ["dev:api", "use:oracle"],
        ["dev:api", "prod:api"],
        ["use:my", "use:pg"],
        ["use:tracing", "unuse:tracing"],
        ["dev:api", "up:apii"],
        ["sync", "frozen=perhaps"],
        ["sync", "colour=red"],
        ["--no-such-option"],
        ["-n", "x"],
        ["up:"],
        ["help", "nothing"],
        ["status", "--yaml"],
    ],
    ids=" ".join,
)
def test_a_command_line_that_means_nothing_is_refused_before_anything_happens(
    fresh: Workspace, words: list[str]
) -> None:
    assert refused(fresh, *words).strip()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("watch:nope", 'there is no "watch:nope"\n  hint: did you mean watch:pg? there are: watch:api, '),
        ("watch:webb", 'there is no "watch:webb"\n  hint: did you mean watch:web? '),
        ("watch:web watch:nope", 'there is no "watch:nope"'),
        ("watch:my", '"watch:my": my is an option that is not selected'),
        ("watch nope", 'watch does not know "nope"'),
        ("watch:web watch", 'watch does not know "watch"'),
        ("watch watch:web", 'watch does not know "watch:web"'),
        ("plan sh:api", '"sh:api" stands alone: it can not follow other words'),
        ("plan sh:api", "ask it by itself: `doit sh:api`"),
        ("down:web", 'there is no "down:web"\n  hint: "down" takes no name'),
        ("check:web", 'there is no "check:web"\n  hint: "check" takes no name'),
        ("up --build", "option --build not recognized\n  hint: `help up` lists the options"),
        ("up dev:api --contniue", "did you mean --continue? `help dev` lists the options"),
        ("forget sync --build", "`help forget` lists the options"),
    ],
)
def test_a_refusal_names_what_is_wrong_and_what_there_is(fresh: Workspace, words: str, said: str) -> None:
    assert said in refused(fresh, *words.split())


def test_a_refused_name_comes_with_the_names_that_there_are(make: Make) -> None:
    here = make()
    here.run("sync")
    assert "up:api" in refused(here, "up:apii")
    assert "dev:api" in refused(here, "dev")
    assert "use:my, use:pg" in refused(here, "use:oracle").replace("use:metrics, ", "")
    assert "stop:web" in refused(here, "stop")
    said = refused(here, "synk")
    assert "did you mean sync" in said
    names = said.partition("there are: ")[2].split(", ")
    assert sorted(set(names)) == names, "each once"


def test_the_base_that_compose_refuses_is_told_in_its_words(make: Make) -> None:
    here = make()
    here.write("docker-compose.yml", "services: {web: {imag: x}}\n")
    done = here.run("sync", code=None)
    assert done.code in (1, 3)
    assert "imag" in done.err
    assert "docker compose" in done.err
    assert "Traceback" not in done.err


def test_what_compose_refuses_of_the_override_is_told_with_the_line_of_hsm_yaml(make: Make) -> None:
    here = make()
    here.edit("hsm.yaml", 'web:1.0"}', 'web:1.0", cap_add: {a: b}}')
    done = here.run("sync", code=None)
    assert done.code in (1, 3)
    assert "stacks/shop/hsm.yaml:10:" in done.err
    assert not (here.stack / "docker-compose.hsm.yml").exists()


def test_no_compose_is_told_with_what_to_install(make: Make, servers: Servers, tmp_path: Path) -> None:
    here = make()
    bare = tmp_path / "bin"
    bare.mkdir()
    docker = bare / "docker"
    docker.write_text("#!/bin/sh\necho \"docker: 'compose' is not a docker command.\" >&2\nexit 1\n")
    docker.chmod(0o755)
    done = here.run("sync", code=None, PATH=f"{bare}:{here.environment()['PATH']}")
    assert done.code in (1, 3)
    assert "install" in done.err
    assert "Traceback" not in done.err


def test_an_old_compose_is_refused_with_the_version_that_is_needed(make: Make, tmp_path: Path) -> None:
    here = make()
    bare = tmp_path / "bin"
    bare.mkdir()
    docker = bare / "docker"
    docker.write_text("#!/bin/sh\necho 2.20.0\n")
    docker.chmod(0o755)
    done = here.run("sync", code=None, PATH=f"{bare}:{here.environment()['PATH']}")
    assert done.code in (1, 3)
    assert "2.29.7" in done.err


def test_a_bug_is_exit_2_with_a_traceback_and_where_to_report_it(make: Make) -> None:
    here = make()
    program = "import hsm_tasks.cli as c; c.open_stack = None; c.console()"
    done = subprocess.run(
        (str(Path(here.environment()["PATH"].split(os.pathsep)[0], "python")), "-c", program, "sync"),
        cwd=here.root,
        env=here.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "Traceback" in done.stderr
    assert "report it" in done.stderr


@pytest.mark.parametrize("door", DOORS)
def test_a_bug_while_hsm_itself_is_loaded_is_exit_2_too(make: Make, door: Door, tmp_path: Path) -> None:
    here = make(door)
    shutil.copytree(world.REPOSITORY / "hsm_tasks", tmp_path / "broken/hsm_tasks")
    with (tmp_path / "broken/hsm_tasks/cli.py").open("a") as file:
        file.write("raise RuntimeError('broken')\n")
    done = here.run("status", code=2, PYTHONPATH=str(tmp_path / "broken"))
    assert "RuntimeError: broken" in done.err
    assert "report it" in done.err


def test_a_password_in_a_url_is_refused_and_not_repeated(make: Make) -> None:
    here = make()
    here.edit("hsm.yaml", "http://", "http://me:s3cretword@")
    said = refused(here, "sync")
    assert "s3cretword" not in said
    assert "hint:" in said


@pytest.mark.parametrize("url", ["--upload-pack=touch pwned", "ext::sh -c true", "fd::7"])
def test_urls_that_could_run_something_are_refused(make: Make, url: str) -> None:
    here = make()
    text = here.read("hsm.yaml")
    here.write("hsm.yaml", re.sub(r'url: "[^"]*"', f'url: "{url}"', text))
    refused(here, "sync")


def test_a_ref_that_begins_with_a_dash_is_refused(make: Make) -> None:
    here = make()
    here.edit("hsm.yaml", "ref: main", 'ref: "--force"')
    refused(here, "sync")


def test_no_prompt_waits_where_there_is_no_terminal(make: Make, servers: Servers) -> None:
    here = make(files={"hsm.local.yaml": "services: {api: {mode: dev}}\n"})
    servers.git.login = ("ada", "right")
    try:
        done = here.run("sync", code=1)
    finally:
        servers.git.login = None
    assert "clone:api failed" in done.err
    assert "terminal prompts disabled" in done.err or "could not read Username" in done.err


def test_nothing_is_coloured_without_a_terminal(make: Make) -> None:
    here = make()
    done = here.run("sync")
    assert "\x1b" not in done.out + done.err
    assert "\x1b" not in here.run("status", NO_COLOR="1").out


def test_hsm_yaml_that_is_no_yaml_is_told_with_its_place(make: Make) -> None:
    here = make()
    here.write("hsm.yaml", "services:\n  api: {mode: [}\n")
    assert re.match(r"stacks/shop/hsm\.yaml:2:\d+: ", refused(here, "sync"))


def test_duplicate_keys_are_mistakes(make: Make) -> None:
    here = make()
    here.edit("hsm.yaml", "  web:\n", "  api: {mode: prod}\n  web:\n")
    assert "stacks/shop/hsm.yaml:9:3" in refused(here, "sync")


def test_a_lock_that_is_no_lock_is_told(make: Make) -> None:
    here = make()
    here.write("hsm.lock", "version: 1\nimages: [a\n")
    assert "stacks/shop/hsm.lock:" in refused(here, "sync")
