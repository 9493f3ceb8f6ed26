"""Host paths: those of a checkout, as compose reads them, and the mounts that stay or go."""

from __future__ import annotations

import posixpath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsm_tasks.core import mounts
from hsm_tasks.core.yamltext import Override, Reset
from tests.support.stage import REPO, drawn

HERE = "../../repos/api"


@pytest.mark.parametrize(
    ("path", "seen"),
    [
        (".", "../../repos/api"),
        ("./src", "../../repos/api/src"),
        ("src", "../../repos/api/src"),
        ("../other", "../../repos/other"),
        ("./${PART}/x", "../../repos/api/${PART}/x"),
        ("/abs", "/abs"),
        ("~/x", "~/x"),
        ("${DIR}/x", "${DIR}/x"),
        ("https://git.example/x.git#main", "https://git.example/x.git#main"),
        ("git@git.example:x.git", "git@git.example:x.git"),
        ("github.com/acme/x", "github.com/acme/x"),
        ("docker-image://busybox", "docker-image://busybox"),
        ("service:db", "service:db"),
    ],
)
def test_a_path_is_seen_from_the_base(path: str, seen: str) -> None:
    assert mounts.rebase(path, HERE) == seen


def test_without_a_checkout_a_path_stays_below_the_base() -> None:
    assert [mounts.rebase(path, None) for path in (".", "src", "../x")] == [".", "./src", "../x"]


def test_a_persons_own_checkout_may_be_absolute() -> None:
    assert mounts.rebase("./src", "/home/me/api") == "/home/me/api/src"


@given(st.lists(st.sampled_from([".", "..", "a", "b.c"]), min_size=1).map("/".join))
def test_a_relative_path_never_becomes_absolute_or_a_name(path: str) -> None:
    seen = mounts.rebase(path, HERE)
    assert seen.startswith(".")
    assert posixpath.normpath(seen) == posixpath.normpath(posixpath.join(HERE, path))


def test_colons_inside_variables_part_nothing() -> None:
    assert mounts.split("${A:-x:y}:/b:ro") == ["${A:-x:y}", "/b", "ro"]
    assert mounts.split("127.0.0.1:${P:-80}:80") == ["127.0.0.1", "${P:-80}", "80"]


def dev(volume: str) -> Any:
    """How one mount of a dev section is drawn."""
    (drawn_volume,) = drawn(f"services: {{api: {{mode: dev, {REPO}, dev: {{volumes: [{volume}]}}}}}}", "{}")["volumes"]
    return drawn_volume


BIND = {"type": "bind", "source": f"{HERE}/src", "target": "/src", "bind": {"create_host_path": False}}


class TestDev:
    @pytest.mark.parametrize(
        ("volume", "changes"),
        [
            ("./src:/src", {}),
            ("./src:/src:ro", {"read_only": True}),
            ("./src:/src:rw,cached", {"consistency": "cached"}),
            ("./src:/src:z,rslave", {"bind": {"create_host_path": False, "selinux": "z", "propagation": "rslave"}}),
            ("{type: bind, source: src, target: /src}", {}),
            (
                "{type: bind, source: src, target: /src, bind: {create_host_path: true}}",
                {"bind": {"create_host_path": True}},
            ),
        ],
    )
    def test_a_bind_is_long_and_never_makes_a_folder(self, volume: str, changes: dict[str, Any]) -> None:
        assert dev(f'"{volume}"' if volume[0] == "." else volume) == {**BIND, **changes}

    def test_a_named_volume_is_no_path(self) -> None:
        named = {"type": "volume", "source": "data", "target": "/data"}
        assert dev('"data:/data"') == named
        assert dev('"data:/data:ro,nocopy,z"') == {
            **named,
            "read_only": True,
            "volume": {"nocopy": True},
            "bind": {"selinux": "z"},
        }

    def test_what_only_compose_can_know_stays_as_written(self) -> None:
        for volume in ("/anonymous", "a:b:c:d"):
            assert dev(f'"{volume}"') == volume
        assert dev("{type: tmpfs, target: /t}") == {"type": "tmpfs", "target": "/t"}

    @pytest.mark.parametrize("source", ["${DIR}/x", "$DIR/x", "${DIR}", "${DIR:-a:b}", "~/x"])
    def test_a_variable_is_a_path_too_and_never_makes_a_folder(self, source: str) -> None:
        assert dev(f'"{source}:/src"') == {**BIND, "source": source}
        assert mounts.sources([dev(f'"{source}:/src"')]) == (source,)

    def test_in_keys_of_compose_a_variable_alone_may_be_a_named_volume(self) -> None:
        hsm = 'services: {api: {prod: {volumes: ["${A}:/a", "${B:-x/y}:/b", "${C}/c:/c"]}}}'
        made = drawn(hsm, "{api: {image: a}}")
        assert made["volumes"] == ["${A}:/a", "${B:-x/y}:/b", {**BIND, "source": "${C}/c", "target": "/c"}]

    def test_mounts_of_the_base_stay(self) -> None:
        hsm = f"services: {{api: {{mode: dev, {REPO}}}}}"
        assert "volumes" not in drawn(hsm, "{api: {volumes: [{type: bind, source: ./src, target: /src}]}}")

    def test_the_paths_that_must_exist_are_known(self) -> None:
        volumes = Override([dev('"./src:/src"'), "/anonymous", {**BIND, "source": "~/x"}, {**BIND, "source": "./${A}"}])
        assert mounts.sources(volumes) == (f"{HERE}/src", "~/x", "./${A}")
        assert mounts.sources(Reset("list")) == mounts.sources(None) == ()


@pytest.mark.parametrize(
    ("volumes", "of_image", "paths"),
    [
        ([], [], ()),
        ([], ["/data"], ("/data",)),
        (["/data/"], ["/data"], ("/data",)),
        ([{"type": "volume", "target": "/a"}], ["/b"], ("/a", "/b")),
        (["data:/data"], ["/other"], ()),
        ([{"type": "volume", "source": "data", "target": "/data"}], ["/data"], ()),
        ([{"type": "bind", "source": "./my.cnf", "target": "/etc/my.cnf"}], ["/data"], ("/data",)),
        (["./data:/data"], ["/data/"], ()),
        ([{"type": "tmpfs", "target": "/data"}], ["/data"], ()),
        (["${DATA}:/data"], ["/data"], ()),
    ],
)
def test_what_only_anonymous_volumes_hold(volumes: list[Any], of_image: list[str], paths: tuple[str, ...]) -> None:
    assert mounts.anonymous(volumes, of_image) == paths


class TestProd:
    def left(self, source: str, kind: str = "bind", hsm: str = "", context: str = "./api") -> bool:
        volume = f'{{type: {kind}, source: "{source}", target: /x}}'
        services = f'{{api: {{image: a, build: {{context: "{context}"}}, volumes: [{volume}]}}}}'
        volumes = drawn(f"services: {{api: {{{hsm}}}}}", services).get("volumes")
        return volumes is None

    @pytest.mark.parametrize("source", ["./api", "./api/src", "api/src", "./x/../api"])
    def test_what_lies_in_the_build_context_goes(self, source: str) -> None:
        assert not self.left(source)

    @pytest.mark.parametrize("source", ["./apis", "./data", "/var/run/x", "~/api", "../api", "${DIR}/api"])
    def test_other_binds_stay(self, source: str) -> None:
        assert self.left(source)

    def test_what_lies_in_the_checkout_goes(self) -> None:
        assert not self.left("../../repos/api/src", hsm=REPO)

    def test_what_lies_in_the_context_of_the_dev_section_goes(self) -> None:
        assert not self.left("./next/src", hsm="dev: {build: ./next}")

    def test_that_context_lies_in_the_checkout_and_not_beside_the_base(self) -> None:
        services = '{api: {image: a, volumes: [{type: bind, source: "./conf", target: /x}]}}'
        hsm = f"services: {{api: {{{REPO}, dev: {{build: {{context: .}}}}}}}}"
        assert "volumes" not in drawn(hsm, services)

    def test_a_context_behind_a_variable_counts_by_its_text(self) -> None:
        assert not self.left("${SRC}/app", kind="volume", context="${SRC}")
        assert self.left("${OTHER}/app", kind="volume", context="${SRC}")

    def test_a_context_from_afar_holds_no_bind(self) -> None:
        assert self.left("./src", context="https://git.example/x.git")

    def test_named_and_anonymous_volumes_stay(self) -> None:
        assert self.left("api", kind="volume", context=".")

    def test_what_stays_is_written_so_that_compose_reads_the_same(self) -> None:
        services = """
            api:
              image: a
              build: {context: ./api}
              volumes:
                - {type: bind, source: ./api, target: /gone}
                - {type: volume, source: "${A}", target: /a, volume: {}}
                - type: volume
                  source: "${B}/b"
                  target: /b
                  read_only: true
                  bind: {selinux: z}
                  volume: {nocopy: true}
                - {type: volume, source: "${C}", target: /c, volume: {subpath: x}}
                - {type: volume, target: /d}
        """
        assert drawn("services: {api: {}}", services)["volumes"] == Override(
            [
                "${A}:/a",
                "${B}/b:/b:ro,z,nocopy",
                {"type": "volume", "source": "${C}", "target": "/c", "volume": {"subpath": "x"}},
                {"type": "volume", "target": "/d"},
            ]
        )

    def test_what_is_new_takes_the_place_of_what_stays(self) -> None:
        services = """
            api:
              image: a
              build: {context: ./api}
              volumes:
                - {type: bind, source: ./api, target: /gone}
                - {type: volume, source: "${A}", target: /a}
                - {type: volume, source: b, target: /b/}
                - {type: volume, target: /c}
        """
        hsm = 'services: {api: {prod: {volumes: ["one:/a", "two:/b", /c]}}}'
        assert drawn(hsm, services)["volumes"] == Override(
            [
                {"type": "volume", "source": "one", "target": "/a"},
                {"type": "volume", "source": "two", "target": "/b"},
                "/c",
            ]
        )

    def test_nothing_left_is_nothing_at_all(self) -> None:
        services = "{api: {image: a, build: {context: .}, volumes: [{type: bind, source: ./x, target: /x}]}}"
        assert drawn("services: {api: {}}", services)["volumes"] == Reset("list")


def test_additional_contexts_may_be_a_list() -> None:
    assert mounts.build({"additional_contexts": ["a=./a", "b=docker-image://b"]}, HERE) == {
        "context": HERE,
        "additional_contexts": {"a": f"{HERE}/a", "b": "docker-image://b"},
    }


def test_a_rule_without_a_path_watches_the_checkout() -> None:
    assert mounts.watch({"action": "rebuild"}, HERE) == {"action": "rebuild", "path": HERE}
