"""What compose itself takes, reads, fills in and refuses. Nothing here needs an engine but what is marked so."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from hsm_tasks.core import advice
from hsm_tasks.core.errors import CommandFailed, HsmError
from hsm_tasks.effects import compose, composemodel, docker, process
from hsm_tasks.effects.compose import Project
from tests.support.registry import import_busybox


@pytest.fixture(autouse=True)
def no_settings_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests may have COMPOSE_FILE and the like set."""
    for name in [name for name in os.environ if name.startswith("COMPOSE_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    folder.mkdir()
    return folder


def write(folder: Path, **files: str) -> tuple[Path, ...]:
    """Files by name: `_` is a dot and `__` a slash; `.yml` is added where there is no dot."""
    paths = []
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path = path if "." in path.name else path.with_name(f"{path.name}.yml")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        paths.append(path)
    return tuple(paths)


def names(files: tuple[Path, ...], folder: Path) -> list[str]:
    return [os.path.relpath(file, folder) for file in files]


ONE = "services: {a: {image: x}}\n"


class TestAsk:
    @pytest.fixture
    def plugin(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """A compose that says with which words it was started, and refuses."""
        plugin = tmp_path / "cli-plugins" / "docker-compose"
        plugin.parent.mkdir()
        plugin.write_text('#!/bin/sh\necho "heard: $*" >&2\nexit 3\n')
        plugin.chmod(0o755)
        monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
        return plugin

    def test_the_plugin_is_asked_without_docker_around_it_and_shown_with_it(self, plugin: Path) -> None:
        with pytest.raises(CommandFailed) as caught:
            compose.ask("docker", "compose", "config", "-q")
        assert str(caught.value) == "a command failed\n  $ docker compose config -q  (exit 3)\n  | heard: config -q"

    def test_docker_is_asked_where_only_it_can_find_its_plugin(self, plugin: Path) -> None:
        plugin.chmod(0o644)
        with pytest.raises(CommandFailed) as caught:
            compose.ask("docker", "compose", "config", "-q")
        assert "heard" not in str(caught.value)
        plugin.chmod(0o755)
        (plugin.parents[1] / "config.json").write_text('{"cliPluginsExtraDirs": ["/nowhere"]}')
        with pytest.raises(CommandFailed) as caught:
            compose.ask("docker", "compose", "config", "-q")
        assert "heard: config" not in str(caught.value)


class TestVersion:
    def test_the_version_is_known_and_new_enough(self) -> None:
        assert compose.version() >= compose.OLDEST

    def test_without_compose_it_says_what_to_install(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        compose.version.cache_clear()
        with pytest.raises(HsmError, match="does not answer") as caught:
            compose.version()
        assert "install" in caught.value.hint

    @pytest.mark.parametrize(("said", "wanted"), [("2.29.6", None), ("v2.29.7-desktop.1", (2, 29, 7)), ("?", None)])
    def test_one_that_is_too_old_is_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, wanted: tuple[int, ...] | None
    ) -> None:
        program = tmp_path / "docker"
        program.write_text(f"#!/bin/sh\necho '{said}'\n", encoding="utf-8")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        compose.version.cache_clear()
        try:
            if wanted is None:
                with pytest.raises(HsmError, match=r"hsm needs 2\.29\.7 or newer"):
                    compose.version()
            else:
                assert compose.version() == wanted
        finally:
            compose.version.cache_clear()

    def test_the_program_is_recognised_without_starting_it(self) -> None:
        assert compose.identity() == compose.identity() != ""


class TestBaseFiles:
    @pytest.mark.parametrize("fewer", range(4))
    def test_the_usual_names_are_tried_in_the_order_of_compose(self, shop: Path, fewer: int) -> None:
        every = ["compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"][fewer:]
        for name in every:
            (shop / name).write_text(f"services: {{a: {{image: {name}}}}}\n", encoding="utf-8")
        taken = compose.base_files(shop, None, False)
        assert names(taken, shop) == every[:1]
        said = process.run("docker", "compose", "config", "--format", "json", cwd=shop).out
        assert json.loads(said)["services"]["a"]["image"] == every[0]  # compose agrees

    def test_the_override_beside_them_is_taken_whatever_its_name(self, shop: Path) -> None:
        (shop / "docker-compose.yml").write_text(ONE, encoding="utf-8")
        (shop / "compose.override.yaml").write_text("services: {a: {image: over}}\n", encoding="utf-8")
        (shop / "docker-compose.override.yml").write_text("services: {a: {image: other}}\n", encoding="utf-8")
        assert names(compose.base_files(shop, None, False), shop) == ["docker-compose.yml", "compose.override.yaml"]
        assert '"image": "over"' in process.run("docker", "compose", "config", "--format", "json", cwd=shop).out

    def test_a_file_that_hsm_yaml_names_brings_its_own_override(self, shop: Path) -> None:
        write(shop, base=ONE, base_override_yaml=ONE, other=ONE)
        assert names(compose.base_files(shop, ("base.yml",), False), shop) == ["base.yml", "base.override.yaml"]
        assert names(compose.base_files(shop, ("other.yml",), False), shop) == ["other.yml"]

    def test_a_list_is_taken_as_it_is_but_for_what_hsm_made(self, shop: Path) -> None:
        write(shop, a=ONE, a_override=ONE, sub__b=ONE)
        taken = compose.base_files(shop, ("a.yml", "docker-compose.hsm.yml", "sub/../sub/b.yml"), True)
        assert names(taken, shop) == ["a.yml", "sub/b.yml"]

    def test_compose_file_of_the_environment_comes_before_that_of_env(self, shop: Path) -> None:
        write(shop, a=ONE, b=ONE)
        (shop / ".env").write_text("COMPOSE_FILE=b.yml\n", encoding="utf-8")
        assert names(compose.base_files(shop, None, False), shop) == ["b.yml"]
        assert names(compose.base_files(shop, None, False, {"COMPOSE_FILE": "a.yml:b.yml"}), shop) == ["a.yml", "b.yml"]
        assert names(compose.base_files(shop, None, False, {"COMPOSE_FILE": "a.yml:docker-compose.hsm.yml"}), shop) == [
            "a.yml"
        ]

    @pytest.mark.parametrize(
        "text",
        [
            "COMPOSE_PATH_SEPARATOR=,\nCOMPOSE_FILE=a.yml,b.yml\n",
            "F=b.yml # the second\nexport COMPOSE_FILE=\"a.yml:${F}\" # both\n",
            "COMPOSE_FILE: 'a.yml:b.yml'\n",
        ],
    )
    def test_an_env_file_is_read_as_compose_reads_it(self, shop: Path, text: str) -> None:
        write(shop, a=ONE, b="services: {a: {image: second}}\n")
        (shop / ".env").write_text(text, encoding="utf-8")
        assert names(compose.base_files(shop, None, False), shop) == ["a.yml", "b.yml"]
        assert '"image": "second"' in process.run("docker", "compose", "config", "--format", "json", cwd=shop).out

    def test_compose_env_files_stand_in_for_env(self, shop: Path) -> None:
        write(shop, a=ONE)
        (shop / "docker-compose.yml").write_text(ONE, encoding="utf-8")
        (shop / "my.env").write_text("COMPOSE_FILE=a.yml\n", encoding="utf-8")
        assert names(compose.base_files(shop, None, False, {"COMPOSE_ENV_FILES": "my.env"}), shop) == ["a.yml"]
        (shop / ".env").write_text("COMPOSE_FILE=a.yml\n", encoding="utf-8")
        taken = compose.base_files(shop, None, False, {"COMPOSE_DISABLE_ENV_FILE": "1"})
        assert names(taken, shop) == ["docker-compose.yml"]

    def test_a_missing_file_says_who_names_it(self, shop: Path) -> None:
        with pytest.raises(HsmError, match=r"gone\.yml: there is no such compose file") as caught:
            compose.base_files(shop, ("gone.yml",), False)
        assert "hsm.yaml" in caught.value.hint
        with pytest.raises(HsmError) as caught:
            compose.base_files(shop, None, False, {"COMPOSE_FILE": "gone.yml"})
        assert "COMPOSE_FILE" in caught.value.hint
        with pytest.raises(HsmError, match="there is no compose file") as caught:
            compose.base_files(shop, None, False)
        assert "docker-compose.yml" in caught.value.hint

    def test_what_hsm_made_is_no_base(self, shop: Path) -> None:
        with pytest.raises(HsmError, match="no compose file is left"):
            compose.base_files(shop, ("docker-compose.hsm.yml",), False)


class TestReadBase:
    def test_values_and_paths_stay_as_they_were_written(self, shop: Path) -> None:
        files = write(
            shop,
            base="services: {a: {image: 'x:${TAG}', depends_on: [db], volumes: ['./src:/app'], profiles: [p],"
            " env_file: [absent.env], environment: {A: 0o17}}}\n",
        )
        (shop / ".env").write_text("TAG=9\n", encoding="utf-8")
        base = json.loads(compose.read_base(files, shop))
        service = base["services"]["a"]
        assert service["image"] == "x:${TAG}"
        assert service["volumes"][0]["source"] == "./src"
        assert service["depends_on"] == {"db": {"condition": "service_started", "required": True}}
        assert base["name"] == "shop"
        assert str(shop) not in json.dumps(base)

    def test_it_does_not_depend_on_where_one_stands_or_how_files_are_named(self, shop: Path) -> None:
        files = write(shop, sub__base="include: [inc/more.yaml]\nservices: {a: {build: ../x}}\n")
        write(shop, sub__inc__more_yaml="services: {b: {build: ./y, volumes: ['./z:/z']}}\n")
        base = json.loads(compose.read_base(files, shop))
        assert base["services"]["a"]["build"]["context"] == "../x"
        assert base["services"]["b"]["build"]["context"] == "inc/y"
        assert base["name"] == "sub"  # the folder of the first file

    @pytest.mark.parametrize(
        ("written", "env", "wanted"),
        [
            ("", {}, "shop"),
            ("name: mine\n", {}, "mine"),
            ("name: my-${WHO:-nobody}\n", {}, "my-fred"),
            ("name: my-${WHO}\n", {"WHO": "ann"}, "my-ann"),
            ("name: mine\n", {"COMPOSE_PROJECT_NAME": "theirs"}, "theirs"),
        ],
    )
    def test_the_name_is_the_one_that_compose_takes(
        self, shop: Path, written: str, env: dict[str, str], wanted: str
    ) -> None:
        files = write(shop, base=written + ONE)
        (shop / ".env").write_text("WHO=fred\n", encoding="utf-8")
        assert json.loads(compose.read_base(files, shop, env))["name"] == wanted
        said = process.run("docker", "compose", "-f", "base.yml", "config", "--format", "json", cwd=shop, env=env).out
        assert json.loads(said)["name"] == wanted

    def test_a_mistake_in_it_is_told_in_the_words_of_compose(self, shop: Path) -> None:
        files = write(shop, base="services: {a: {imag: x}}\n")
        with pytest.raises(CommandFailed, match="compose can not read the base") as caught:
            compose.read_base(files, shop)
        assert advice.cause(caught.value.said) == ("services", "a", "imag")


TREE = {
    "base": "include:\n  - sub/inc.yaml\n  - path: [other/a.yaml, other/b.yaml]\n    project_directory: other\n"
    "    env_file: v.env\nservices:\n  a: {extends: {file: sub/deep/t.yml, service: t}}\n  b: {image: !override x}\n",
    "sub__inc_yaml": "include: [deep/nested.yaml]\nservices: {inc: {image: i}}\n",
    "sub__deep__nested_yaml": "services: {nested: {image: n}}\n",
    "sub__deep__t": "include: [never.yaml]\nx-c: &c {extends: {file: u.yml, service: u}}\nservices: {t: {<<: *c}}\n",
    "sub__deep__u": "services: {u: {image: u}}\n",
    "other__a_yaml": "services: {oa: {image: 'oa:${OV}'}}\n",
    "other__b_yaml": "services: {oa: {environment: {A: b}}}\n",
    "v_env": "OV=1\n",
}


class TestSources:
    def test_all_that_the_base_includes_and_extends_is_found(self, shop: Path) -> None:
        files = write(shop, **TREE)[:1]
        assert names(compose.sources(files), shop) == [
            "base.yml",
            "sub/inc.yaml",
            "sub/deep/nested.yaml",
            "sub/deep/.env",
            "sub/.env",
            "other/a.yaml",
            "other/b.yaml",
            "v.env",
            "sub/deep/t.yml",
            "sub/deep/u.yml",
            ".env",
        ]
        assert set(json.loads(compose.read_base(files, shop))["services"]) == {"a", "b", "inc", "nested", "oa"}

    @pytest.mark.parametrize("name", [name for name in TREE if name != "v_env"])
    def test_each_of_them_changes_what_compose_reads_or_is_only_listed(self, shop: Path, name: str) -> None:
        files = write(shop, **TREE)[:1]
        before = compose.base_key(files, shop)
        write(shop, **{name: TREE[name] + "x-more: 1\n"})
        assert compose.base_key(files, shop) != before

    def test_relative_paths_of_a_second_file_start_at_the_first(self, shop: Path) -> None:
        files = write(shop, a=ONE, sub__b="include: [inc.yaml]\n", inc_yaml="services: {i: {image: root}}\n")[:2]
        assert names(compose.sources(files), shop) == ["a.yml", "sub/b.yml", "inc.yaml", ".env"]
        assert json.loads(compose.read_base(files, shop))["services"]["i"]["image"] == "root"

    def test_circles_and_broken_files_are_left_to_compose(self, shop: Path) -> None:
        files = write(shop, a="include: [b.yml]\n", b="include: [a.yml]\n", c="include: [\n")
        assert names(compose.sources(files[:1]), shop) == ["a.yml", "b.yml", ".env"]
        assert names(compose.sources(files[2:]), shop) == ["c.yml", ".env"]
        with pytest.raises(CommandFailed, match="include cycle"):
            compose.read_base(files[:1], shop)

    @pytest.mark.parametrize(
        ("text", "why"),
        [
            ("include: ['${WHERE}/x.yaml']\n", "without the values of variables"),
            ("services: {a: {extends: {file: '$WHERE.yml', service: a}}}\n", "without the values of variables"),
            ("include: ['oci://reg.example/x']\n", "from afar"),
            ("include: ['https://git.example/x.git#main']\n", "from afar"),
            ("include: [{path: 'git@git.example:x/y.git'}]\n", "from afar"),
        ],
    )
    def test_what_can_not_be_followed_is_refused_with_a_hint(self, shop: Path, text: str, why: str) -> None:
        files = write(shop, a=text)
        with pytest.raises(HsmError, match=why) as caught:
            compose.read_base(files, shop)
        assert caught.value.hint


class TestBaseKey:
    def test_it_changes_with_all_that_the_base_depends_on_and_with_nothing_else(
        self, shop: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        files = write(shop, base="services: {a: {image: 'x:${TAG}'}}\n")
        keys = [compose.base_key(files, shop)]
        monkeypatch.setenv("HSM_TEST_UNRELATED", "1")
        files[0].touch()
        (shop / "unrelated.yml").write_text("x", encoding="utf-8")
        assert compose.base_key(files, shop) == keys[0]
        keys.append(compose.base_key(files, shop, {"TAG": "1"}))
        keys.append(compose.base_key(files, shop, {"TAG": "2"}))
        keys.append(compose.base_key(files, shop, {"COMPOSE_PROJECT_NAME": "p"}))
        (shop / ".env").write_text("TAG=1\n", encoding="utf-8")
        keys.append(compose.base_key(files, shop))
        (shop / "e.env").write_text("TAG=1\n", encoding="utf-8")
        keys.append(compose.base_key(files, shop, {"COMPOSE_ENV_FILES": "e.env"}))
        files[0].write_text("services: {a: {image: 'y:${TAG}'}}\n", encoding="utf-8")
        keys.append(compose.base_key(files, shop))
        assert len(set(keys)) == len(keys)

    def test_the_sources_of_last_time_give_the_same_key(self, shop: Path) -> None:
        files = write(shop, **TREE)[:1]
        assert compose.base_key(files, shop, known=compose.sources(files)) == compose.base_key(files, shop)


class TestInterpolate:
    def test_nothing_is_asked_where_there_is_no_variable(self, shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", "")
        assert compose.interpolate(["a:1", "b"], shop) == ("a:1", "b")

    def test_values_come_from_the_environment_then_from_env(self, shop: Path) -> None:
        (shop / ".env").write_text("TAG=env\nREG='reg.example'\n", encoding="utf-8")
        images = ["${REG}/a:${TAG}", "b:${NONE:-1}", "plain", "$$literal:${TAG:+set}", "a:${TAG}"]
        assert compose.interpolate(images, shop, {"TAG": "9"}) == (
            "reg.example/a:9",
            "b:1",
            "plain",
            "$literal:set",
            "a:9",
        )
        assert compose.interpolate(images[:1], shop) == ("reg.example/a:env",)

    def test_a_variable_that_is_not_set_is_empty(self, shop: Path) -> None:
        assert compose.interpolate(["${HSM_TEST_NONE}", "a:${HSM_TEST_NONE}"], shop) == ("", "a:")

    def test_the_name_of_the_project_is_a_variable_too(self, shop: Path) -> None:
        assert compose.interpolate(["r/${COMPOSE_PROJECT_NAME}"], shop) == ("r/shop",)
        assert compose.interpolate(["r/${COMPOSE_PROJECT_NAME}"], shop, name="mine") == ("r/mine",)

    def test_a_required_variable_that_is_missing_is_named_with_its_image(self, shop: Path) -> None:
        with pytest.raises(HsmError, match=r"b:\$\{NEEDED\?\}: required variable NEEDED is missing") as caught:
            compose.interpolate(["a:1", "b:${NEEDED?}"], shop)
        assert caught.value.hint == "set NEEDED in the environment or in .env"
        with pytest.raises(HsmError, match=r"say which one"):
            compose.interpolate(["b:${NEEDED:?say which one}"], shop)

    def test_a_reference_that_is_no_template_is_named(self, shop: Path) -> None:
        with pytest.raises(HsmError, match=r"^b:\$\{: ") as caught:
            compose.interpolate(["b:${"], shop)
        assert "$$" in caught.value.hint

    def test_an_included_file_has_its_own_values(self, shop: Path) -> None:
        files = write(shop, **TREE)[:1]
        assert compose.base_images(files, shop)["oa"] == "oa:1"


class TestCheck:
    def test_compose_takes_what_is_right(self, shop: Path) -> None:
        files = write(shop, base=ONE, override="services: {a: {image: !reset null, build: .}}\n")
        compose.check(files[:1], shop, files[1])

    def test_what_is_wrong_is_told_in_the_words_of_compose(self, shop: Path) -> None:
        files = write(shop, base=ONE, override="services: {a: {depends_on: [gone]}}\n")
        with pytest.raises(CommandFailed, match="what hsm made for it") as caught:
            compose.check(files[:1], shop, files[1])
        assert 'depends on undefined service "gone"' in caught.value.said
        assert advice.cause(caught.value.said) == ("services", "a")

    def test_a_service_of_a_profile_that_is_off_is_not_judged(self, shop: Path) -> None:
        base = "services: {a: {image: x}, b: {image: x, profiles: [p], depends_on: [gone]}}\n"
        files = write(shop, base=base, override="services: {a: {environment: {A: b}}}\n")
        compose.check(files[:1], shop, files[1])
        with pytest.raises(CommandFailed):
            compose.check(files[:1], shop, files[1], {"COMPOSE_PROFILES": "p"})


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("validating /x/y.yml: services.api.ports.0 must be a string", ("services", "api", "ports", "0")),
        ("/x/services.yml: services.api additional properties 'imag' not allowed", ("services", "api", "imag")),
        ("services.a Additional property label_file is not allowed", ("services", "a", "label_file")),
        ("services.api: can't set distinct values on 'mem_limit' and ...", ("services", "api")),
        ('service "api" depends on undefined service "db": invalid compose project', ("services", "api")),
        ("service api declares mutually exclusive `network_mode` and `networks`", ("services", "api")),
        ("'services[a].volumes[0].tmpfs.mode' expected", ("services", "a", "volumes", "0", "tmpfs", "mode")),
        ("error while interpolating services.a.init: failed to cast", ("services", "a", "init")),
        ("invalid interpolation format for services.i2.image.\nYou may", ("services", "i2", "image")),
        ("no such service: db", ("services", "db")),
        ("yaml: line 1: did not find expected key", ()),
        ("open /x/y.yml: no such file or directory", ()),
    ],
)  # fmt: skip
def test_the_place_of_a_mistake_is_found_in_the_words_of_compose(text: str, path: tuple[str, ...]) -> None:
    assert advice.cause(text) == path


def test_the_command_line_is_one_that_a_person_can_type(shop: Path) -> None:
    project = Project((shop / "docker-compose.yml", shop / "docker-compose.hsm.yml"), shop, "mine")
    assert " ".join(project.argv("up", "-d")) == (
        "docker compose -p mine -f docker-compose.yml -f docker-compose.hsm.yml up -d"
    )


def test_hashes_see_env_files_and_need_no_engine(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    base = "services: {a: {image: x, env_file: [a.env]}, b: {image: 'x:$$', profiles: [p]}, c: {image: y}}\n"
    project = Project(write(shop, base=base), shop, "mine")
    (shop / "a.env").write_text("A=1\n", encoding="utf-8")
    before = composemodel.hashes(project)
    assert set(before) == {"a", "b", "c"}, "of all profiles"
    (shop / "a.env").write_text("A=2\n", encoding="utf-8")
    after = composemodel.hashes(project)
    assert before["a"] != after["a"]
    assert before["c"] == after["c"]


BASE = """
services:
  a: {image: IMAGE, init: true, stop_grace_period: 0s, command: [sleep, "1000"]}
  b: {build: ., pull_policy: build, stop_grace_period: 0s, command: [sleep, "1000"]}
  c: {image: IMAGE, profiles: [p], stop_grace_period: 0s, command: [sleep, "1000"]}
"""


@pytest.fixture
def project(shop: Path) -> Iterator[Project]:
    """A project with an image of its own; nothing of it is left afterwards."""
    name = f"hsm-test-{uuid.uuid4().hex[:12]}"
    image = f"{name}:1"
    import_busybox(image)
    (shop / "Dockerfile").write_text(f"FROM {image}\nLABEL a=b\n", encoding="utf-8")
    files = write(shop, base=BASE.replace("IMAGE", image))
    try:
        yield Project(files, shop, name)
    finally:
        process.run("docker", "compose", "-p", name, "down", "-v", "--remove-orphans")
        process.run("docker", "image", "rm", image, f"{name}-b", ok=(0, 1))


@pytest.mark.docker
class TestProject:
    def test_up_builds_nothing_and_down_takes_every_profile(self, project: Project) -> None:
        lines: list[str] = []
        with pytest.raises(CommandFailed, match="No such image"):
            compose.up(project, ["b"], lines.append)
        compose.build(project, "b", lines.append)
        assert docker.image_id(f"{project.name}-b") is not None
        before = len(lines)
        compose.up(project, [], lines.append)
        compose.up(project, ["c"], lines.append)
        assert not any("Built" in line for line in lines[before:])
        assert any(line.split() == ["Container", f"{project.name}-a-1", "Started"] for line in lines)
        running = docker.containers(project.name)
        assert [(one.service, one.state) for one in running] == [("a", "running"), ("b", "running"), ("c", "running")]
        hashes = composemodel.hashes(project)
        assert {one.service: one.config_hash for one in running} == hashes
        compose.down(project, lines.append)
        assert docker.containers(project.name) == ()

    def test_down_works_where_the_files_do_not_load(self, project: Project) -> None:
        compose.up(project, ["a"], lambda _: None)
        project.files[0].write_text("services: {a: {imag: x}}\n", encoding="utf-8")
        compose.down(project, lambda _: None)
        assert docker.containers(project.name) == ()

    def test_stop_and_restart_keep_the_container(self, project: Project) -> None:
        compose.up(project, ["a"], lambda _: None)
        (first,) = docker.containers(project.name)
        compose.stop(project, ["a"], lambda _: None)
        (stopped,) = docker.containers(project.name)
        assert (stopped.id, stopped.state, stopped.exit_code is not None) == (first.id, "exited", True)
        compose.restart(project, ["a"], lambda _: None)
        (again,) = docker.containers(project.name)
        assert (again.id, again.state) == (first.id, "running")

    def test_a_shell_and_any_other_command_keep_their_exit_code(
        self, project: Project, capfd: pytest.CaptureFixture[str]
    ) -> None:
        compose.up(project, ["a"], lambda _: None)
        assert compose.shell(project, "a", ("/bin/busybox", "sh", "-c", "echo here; exit 7")) == 7
        assert "here" in capfd.readouterr().out
        assert compose.passthrough(project, ("ps", "--services")) == 0
        assert capfd.readouterr().out.split() == ["a"]
        assert compose.logs(project, ["a"]) == 0
        assert compose.passthrough(project, ("no-such-command",)) != 0
