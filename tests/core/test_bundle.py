"""A rendered model, as a value, to what travels and to what forbids it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from hsm_tasks.core.bundle import Bundle, Carried, Site, bundle, variables
from hsm_tasks.core.forms import Form
from hsm_tasks.core.manifest import Need, Origin, compose_text, manifest, readme
from hsm_tasks.core.model import Service

DIGEST = "sha256:" + "a" * 64
IMAGE = f"reg.example/acme/api:1.4@{DIGEST}"
SITE = Site("stacks/shop", ("repos",))
ORIGIN = Origin(stack="shop", hsm="0.1.0", lock="f" * 64, commit="c" * 40)


def packed(api: Mapping[str, Any], site: Site = SITE, mode: Any = "prod", **top: Any) -> Bundle:
    """A bundle of one service, which has a pinned image unless it says otherwise."""
    service = None if mode == "base" else Service(name="api", mode=mode)
    forms = {"api": Form(name="api", mode=mode, service=service)}
    return bundle({"name": "shop", "services": {"api": {"image": IMAGE, **api}}, **top}, forms, site)


def bind(source: str) -> dict[str, Any]:
    return {"type": "bind", "source": source, "target": "/x", "bind": {"create_host_path": True}}


def test_a_service_with_a_pinned_image_is_a_bundle_as_it_is() -> None:
    made = packed({"restart": "always", "environment": {"A": "1"}})
    assert made.objections == ()
    assert made.carried == ()
    assert made.model == {"name": "shop", "services": {"api": {"image": IMAGE, "restart": "always",
                                                                "environment": {"A": "1"}}}}
    assert made.images == {"api": IMAGE}


@pytest.mark.parametrize("image", ["acme/api", "acme/api:1.4", "acme/api:${TAG}", None])
def test_an_image_without_a_digest_is_refused(image: str | None) -> None:
    (objection,) = packed({"image": image}).objections
    assert objection.startswith(f"api has an image without a digest: {image or 'none'}")


def test_a_mounted_image_without_a_digest_is_refused() -> None:
    mounts = [{"type": "image", "source": source, "target": f"/{at}"} for at, source in enumerate(("tools:1", IMAGE))]
    (objection,) = packed({"image": IMAGE, "volumes": mounts}).objections
    assert "tools:1" in objection


def test_a_service_in_dev_is_refused_once_and_not_for_what_dev_brings() -> None:
    made = packed({"build": {"context": "../../repos/api"}, "volumes": [bind("../../repos/api/src")]}, mode="dev")
    assert made.objections == ("api runs from its sources: `hsm prod:api`, or --prod for all",)


def test_a_build_of_a_service_that_hsm_yaml_does_not_name_is_refused_with_a_way_out() -> None:
    (objection,) = packed({"build": {"context": "."}}, mode="base").objections
    assert "is built" in objection
    assert "services: {api: {prod: {image: …}}}" in objection


def test_a_key_for_development_is_refused() -> None:
    (objection,) = packed({"develop": {"watch": []}}, mode="base").objections
    assert objection.startswith("api has a key for development: develop")


def test_all_objections_are_told_at_once() -> None:
    made = packed({"image": "acme/api", "volumes": [bind("/data"), bind("~/x"), bind("../../repos/api/src")]})
    assert len(made.objections) == 4


@pytest.mark.parametrize(
    ("path", "target"),
    [("./conf", "conf"), ("conf/a.txt", "conf/a.txt"), ("../common/x", "_workspace/stacks/common/x")],
)
def test_a_relative_bind_travels(path: str, target: str) -> None:
    made = packed({"volumes": [bind(path)]})
    assert made.objections == ()
    assert [one.target for one in made.carried] == [target]
    assert made.model["services"]["api"]["volumes"] == [{**bind(path), "source": f"./{target}"}]


@pytest.mark.parametrize("path", ["/var/run/docker.sock", "/run/docker.sock", "/etc/localtime", "/srv/a", "/srv/a/b"])
def test_what_every_host_has_and_what_is_allowed_may_be_bound(path: str) -> None:
    made = packed({"volumes": [bind(path)]}, Site("stacks/shop", (), ("/srv/a",)))
    assert made.objections == ()
    assert made.carried == ()
    assert made.model["services"]["api"]["volumes"] == [bind(path)]


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/data", "path of this machine"),
        ("/srv/ab", "path of this machine"),
        ("~/data", "path of this machine"),
        ("../../repos/api/src", "lies in a checkout"),
        ("../../../other", "outside the workspace"),
        (".", "the folder of the stack itself"),
        ("..", "has the stack in it"),
        ("../..", "has the stack in it"),
    ],
)
def test_a_bind_that_means_something_on_this_machine_alone_is_refused(path: str, why: str) -> None:
    (objection,) = packed({"volumes": [bind(path)]}, Site("stacks/shop", ("repos",), ("/srv/a",))).objections
    assert objection.startswith(f"api: {path} ")
    assert why in objection


def test_a_stack_that_is_the_whole_workspace_has_its_files_beside_it() -> None:
    made = packed({"volumes": [bind("./conf")]}, Site("", ("repos",)))
    assert [one.target for one in made.carried] == ["conf"]
    assert packed({"volumes": [bind("./repos/api")]}, Site("", ("repos",))).objections


def test_a_mount_whose_source_is_a_variable_is_for_compose_to_judge() -> None:
    volume = {"type": "volume", "source": "${DATA}", "target": "/x", "volume": {}}
    made = packed({"volumes": [volume]})
    assert made.model["services"]["api"]["volumes"] == ["${DATA}:/x"]
    assert made.objections == ()


def test_the_default_of_a_variable_is_a_path_like_any_other() -> None:
    def default(path: str) -> Bundle:
        return packed({"volumes": [{"type": "volume", "source": f"${{DATA:-{path}}}", "target": "/x", "volume": {}}]})

    assert [one.target for one in default("./data").carried] == ["data"]
    assert "path of this machine" in default("/data").objections[0]
    assert "default" in default("../x").objections[0]


def test_a_named_volume_that_is_a_folder_of_the_host_is_a_bind() -> None:
    volume = {"driver": "local", "driver_opts": {"type": "none", "o": "bind", "device": "/data"}}
    (objection,) = packed({}, volumes={"data": volume, "plain": None}).objections
    assert objection.startswith("volume data: /data ")


def test_files_are_referenced_beside_it_and_secrets_are_known_as_such() -> None:
    made = packed(
        {
            "env_file": [{"path": "a.env", "required": True}, {"path": "b.env", "required": False}],
            "label_file": ["l.labels"],
            "security_opt": ["seccomp:./seccomp.json", "seccomp:unconfined", "label=disable"],
            "configs": [{"source": "web", "target": "/web"}],
            "secrets": [{"source": "key"}, "short"],
        },
        configs={"web": {"file": "./web.conf"}, "unused": {"file": "./unused.conf"}},
        secrets={"key": {"file": "key.txt"}, "short": {"environment": "SHORT"}, "unused": {"file": "/unused"}},
    )
    assert made.objections == ()
    assert made.carried == (
        Carried("stacks/shop/a.env", "a.env", "env"),
        Carried("stacks/shop/b.env", "b.env", "env", required=False),
        Carried("stacks/shop/key.txt", "key.txt", "secret"),
        Carried("stacks/shop/l.labels", "l.labels", "env"),
        Carried("stacks/shop/seccomp.json", "seccomp.json", "config"),
        Carried("stacks/shop/web.conf", "web.conf", "config"),
    )
    assert made.model["configs"] == {"web": {"file": "./web.conf"}}
    assert made.model["secrets"] == {"key": {"file": "./key.txt"}, "short": {"environment": "SHORT"}}
    assert made.model["services"]["api"]["security_opt"] == ["seccomp:./seccomp.json", *("seccomp:unconfined",
                                                                                          "label=disable")]


def test_variables_are_found_wherever_they_stand() -> None:
    tree = {"a": "$A ${B} ${C:-c} $$D $${E}", "l": ["${F?no}", 1], "environment": {"G": None, "H": "x"},
            "x": {"environment": ["I", "J=1"]}}
    assert variables(tree) == {"A": None, "B": None, "C": "c", "F": "!", "G": None, "I": None}


def test_what_must_be_there_before_is_named() -> None:
    networks = {"front": {"external": True, "name": "proxy"}, "back": None}
    assert packed({}, networks=networks).external == ("network proxy",)


def test_extensions_are_left_out() -> None:
    top: dict[str, Any] = {"x-check": {"a": 1}}
    made = packed({"x-note": "1"}, SITE, "prod", **top)
    assert "x-check" not in made.model
    assert made.model["services"]["api"] == {"image": IMAGE}


def test_compose_yaml_is_the_same_text_whatever_the_order_of_keys() -> None:
    one = packed({"environment": {"A": "1", "B": "on"}, "restart": "always"})
    other = packed({"restart": "always", "environment": {"B": "on", "A": "1"}})
    assert compose_text(one, "shop") == compose_text(other, "shop")
    assert compose_text(one, "shop").splitlines()[1:] == [
        "name: shop", "services:", "  api:", "    environment:", '      A: "1"', '      B: "on"',
        f'    image: "{IMAGE}"', "    restart: always",
    ]


def test_the_manifest_says_what_the_bundle_was_made_of() -> None:
    text = manifest(packed({"environment": {"A": "${A:-1}"}}), ORIGIN, {"compose.yaml": "0" * 64}, [])
    for said in ('"stack": "shop"', '"hsm": "0.1.0"', f'"commit": "{"c" * 40}"', f'"lock": "{"f" * 64}"',
                 f'"api": "{IMAGE}"', '"A": "1"', '"changed": false'):
        assert said in text


def test_the_readme_has_the_one_line_and_what_is_needed_before() -> None:
    made = packed({"environment": {"A": "${A:-1}", "B": "${B:?}"}}, networks={"n": {"external": True}})
    text = readme(made, ORIGIN, [Need(path="key.txt", kind="secret", required=True)])
    for said in ("    docker compose up -d --remove-orphans\n", "* `key.txt` (secret)", "* `A` (else `1`)",
                 "* `B` (compose does not start without it)", "* network n"):
        assert said in text
