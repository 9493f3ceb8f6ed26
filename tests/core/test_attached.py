"""Images that a service mounts or builds with are pinned as its own is."""

from __future__ import annotations

from hsm_tasks.core.plan import plan
from hsm_tasks.core.yamltext import Reset
from tests.support.stage import REPO, fragment, names, scene

MOUNT = "{type: image, source: tools:1, target: /tools, image: {subpath: bin}}"
BUILD = "{context: ., additional_contexts: {tools: 'docker-image://tools:1', more: ./more}}"


def test_an_image_mount_of_the_base_is_pinned_and_its_options_stay() -> None:
    made = fragment("services: {}", f"{{api: {{image: a, volumes: [{MOUNT}]}}}}")
    pinned = {"type": "image", "source": "PINNED-api tools:1", "target": "/tools", "image": {"subpath": "bin"}}
    assert made["volumes"] == [pinned]


def test_so_is_one_of_hsm_yaml_in_the_place_of_the_base_s() -> None:
    hsm = "services: {api: {prod: {volumes: [{type: image, source: 'tools:2', target: /tools/}]}}}"
    made = fragment(hsm, f"{{api: {{image: a, volumes: [{MOUNT}]}}}}")
    assert [volume["source"] for volume in made["volumes"]] == ["PINNED-api tools:2"]


def test_so_is_one_of_the_dev_section_and_of_consumers() -> None:
    hsm = f"services: {{api: {{mode: dev, {REPO}, dev: {{volumes: [{MOUNT}]}}}}}}"
    assert fragment(hsm, "{api: {image: a}}")["volumes"][0]["source"] == "PINNED-api tools:1"
    option = f"{{x: {{consumers: {{api: {{volumes: [{MOUNT}]}}}}}}}}"
    groups = f"groups: {{g: {{strategy: 1-of-N, options: {option}, selection: x}}}}"
    assert fragment(groups, "{api: {image: a}, x: {image: x}}")["volumes"][0]["source"] == "PINNED-api tools:1"


def test_it_is_pinned_where_other_mounts_are_dropped() -> None:
    hsm = f"services: {{api: {{mode: prod, {REPO}}}}}"
    volumes = f"[{{type: bind, source: ./x, target: /x}}, {MOUNT}]"
    made = fragment(hsm, f"{{api: {{image: a, build: ./x, volumes: {volumes}}}}}")
    assert [volume["source"] for volume in made["volumes"]] == ["PINNED-api tools:1"]


def test_a_context_of_a_build_is_pinned_in_base_and_dev_and_gone_in_prod() -> None:
    pinned = {"tools": "docker-image://PINNED-api tools:1"}
    assert fragment("services: {}", f"{{api: {{build: {BUILD}}}}}") == {"build": {"additional_contexts": pinned}}
    hsm = f"services: {{api: {{mode: dev, {REPO}, dev: {{build: {BUILD}}}}}}}"
    made = fragment(hsm, "{api: {image: a}}")
    assert made["build"]["additional_contexts"] == {**pinned, "more": "../../repos/api/more"}
    hsm = "services: {api: {mode: prod, prod: {image: b}}}"
    assert fragment(hsm, f"{{api: {{build: {BUILD}}}}}")["build"] == Reset("null")


def test_each_has_a_step_and_an_entry_in_the_lock() -> None:
    images = {"tools:1": "tools:1", "a": "a"}
    made = plan(scene("services: {}", f"{{api: {{image: a, volumes: [{MOUNT}]}}}}", images=images))
    assert [name for name in names(made) if name.startswith("resolve:")] == ["resolve:api", "resolve:api:tools:1"]
    assert sorted(made.lock.images) == ["a", "tools:1"]
    assert set(made.renders[0].pins) == {"api", "api tools:1"}
    assert set(made.renders[0].pins.values()) == {step.output for step in made.resolves}


def test_what_only_the_committed_mode_builds_with_is_asked_for_the_lock() -> None:
    images = {"tools:1": "tools:1", "a": "a"}
    hsm = f"services: {{api: {{mode: dev, dev: {{build: {BUILD}}}, prod: {{image: a}}}}}}"
    made = plan(scene(hsm, "{api: {image: a}}", "services: {api: {mode: prod}}", images=images))
    assert [step.name for step in made.resolves] == ["api", "api:tools:1"]
    assert made.lock.committed == {"tools:1"}
    assert {step.name: step.needed for step in made.resolves} == {"api": True, "api:tools:1": False}
