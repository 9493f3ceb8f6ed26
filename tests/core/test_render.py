"""One service to the draft of its fragment, and the draft to text."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsm_tasks.core.attached import Pinned
from hsm_tasks.core.model import Pin
from hsm_tasks.core.references import Condition
from hsm_tasks.core.render import container_ports, fill, named_volumes, open_pins
from hsm_tasks.core.yamltext import Override, Reset
from tests.support.stage import CHECKOUT, REPO, drawn, fragment

GONE = Reset("null")
DATABASE = "groups: {g: {strategy: 1-of-N, alias: db, options: [api, x], selection: api}}"


def dev(keys: str = "", base: str = "{image: a}", repo: str = REPO) -> Any:
    """The draft of a service in dev, without its dev section or with `keys` in it."""
    own = ", ".join(part for part in ("mode: dev", repo, f"dev: {{{keys}}}" if keys else "") if part)
    return drawn(f"services: {{api: {{{own}}}}}", f"{{api: {base}}}" if base else "{}")


def prod(keys: str = "", base: str = "{image: a}") -> Any:
    """The draft of a service in prod, its image apart."""
    draft = dict(drawn(f"services: {{api: {{prod: {{{keys}}}}}}}", f"{{api: {base}}}"))
    assert draft.pop("image") == Pinned("api")
    return draft


class TestBase:
    def test_of_an_untouched_service_only_the_image_is_drawn(self) -> None:
        services = "{api: {image: a, ports: [{target: 80}], profiles: [p], volumes: ['${A}:/a'], links: [x]}}"
        assert drawn("services: {}", services) == {"image": Pinned("api")}

    def test_a_service_that_builds_is_not_touched_at_all(self) -> None:
        draft = drawn("services: {}", "{api: {image: a, build: {context: .}, develop: {watch: []}, mem_limit: 1g}}")
        assert draft == {}
        assert fill("api", draft, {}) == "services: {}\n"

    def test_it_may_be_a_consumer(self) -> None:
        consumers = "{api: {environment: {A: 1}, ports: ['81:80']}}"
        group = f"{{strategy: M-of-N, options: {{x: {{consumers: {consumers}}}}}, selection: [x]}}"
        draft = drawn(f"groups: {{g: {group}}}", "{api: {image: a, ports: [{target: 80}]}, x: {image: x}}")
        assert draft == {"image": Pinned("api"), "environment": {"A": "1"}, "ports": Override(["81:80"])}

    def test_an_option_that_is_off_has_no_draft(self) -> None:
        services = "{api: {image: a}, x: {image: x}}"
        assert drawn(DATABASE, services, "x") is None
        assert fill("x", None, {}) == "services:\n  x: !reset null\n"


class TestDev:
    def test_the_image_gives_way_to_a_build_of_the_checkout(self) -> None:
        assert dev() == {"image": GONE, "build": {"context": CHECKOUT}}

    def test_a_build_of_the_base_is_replaced_whole(self) -> None:
        assert dev(base="{build: {context: ./old, target: x}}") == {"build": Override({"context": CHECKOUT})}

    def test_without_a_repository_the_build_of_the_base_stays(self) -> None:
        assert dev(base="{image: a, build: {context: .}, pull_policy: always}", repo="") == {
            "image": GONE,
            "pull_policy": GONE,
        }

    def test_a_pull_policy_of_its_own_counts(self) -> None:
        assert dev("pull_policy: build", "{image: a, pull_policy: always}")["pull_policy"] == "build"

    def test_its_build_is_typed_and_rebased(self) -> None:
        assert dev("build: {context: sub, args: {A: 1}, no_cache: true, shm_size: 64}", "")["build"] == {
            "args": {"A": "1"},
            "context": f"{CHECKOUT}/sub",
            "no_cache": True,
            "shm_size": 64,
        }

    def test_watch_is_rebased_and_takes_the_place_of_the_base(self) -> None:
        rule = {"action": "rebuild", "path": f"{CHECKOUT}/x"}
        assert dev("watch: [{action: rebuild, path: x}]")["develop"] == {"watch": [rule]}
        below = "{image: a, develop: {watch: [{action: rebuild, path: y}]}}"
        assert dev("watch: [{action: rebuild, path: x}]", below)["develop"] == Override({"watch": [rule]})
        both = "watch: [{action: rebuild, path: x}], develop: {watch: [{action: rebuild, path: y}]}"
        assert dev(both)["develop"] == {"watch": [{"action": "rebuild", "path": "y"}, rule]}

    def test_other_keys_are_typed_by_the_schema_of_compose(self) -> None:
        draft = dev("init: true, tty: false, stop_grace_period: 10s, environment: {A: no}, mem_swappiness: 5")
        assert {key: draft[key] for key in ("init", "tty", "environment")} == {
            "init": True,
            "tty": False,
            "environment": {"A": "no"},
        }

    def test_what_prod_says_does_not_count(self) -> None:
        hsm = f"services: {{api: {{mode: dev, {REPO}, prod: {{environment: {{A: b}}, limits: {{memory: 1g}}}}}}}}"
        assert drawn(hsm, "{api: {image: a}}") == dev()

    def test_a_network_mode_takes_the_networks_away(self) -> None:
        assert dev("network_mode: host", "{image: a, networks: {x: null}}")["networks"] == GONE
        assert "networks" not in dev("network_mode: host")

    def test_a_consumers_build_is_laid_over_its_own(self) -> None:
        group = "{strategy: M-of-N, options: {x: {consumers: {api: {build: {args: {B: 2}}}}}}, selection: [x]}"
        hsm = f"services: {{api: {{mode: dev, {REPO}, dev: {{build: {{args: {{A: 1}}}}}}}}}}\ngroups: {{g: {group}}}"
        build = drawn(hsm, "{api: {image: a}, x: {image: x}}")["build"]
        assert build == {"context": CHECKOUT, "args": {"A": "1", "B": "2"}}

    def test_in_prod_nobody_builds(self) -> None:
        group = "{strategy: M-of-N, options: {x: {consumers: {api: {build: {args: {B: 2}}}}}}, selection: [x]}"
        draft = drawn(f"services: {{api: {{}}}}\ngroups: {{g: {group}}}", "{api: {image: a}, x: {image: x}}")
        assert draft == {"image": Pinned("api")}


class TestProd:
    def test_what_only_a_build_needs_goes(self) -> None:
        assert prod(base="{image: a, build: {context: .}, develop: {watch: []}, pull_policy: build}") == {
            "build": GONE,
            "develop": GONE,
            "pull_policy": GONE,
        }

    def test_a_pull_policy_that_pulls_stays(self) -> None:
        assert prod(base="{image: a, pull_policy: always}") == {}
        assert prod("pull_policy: daily", "{image: a, pull_policy: build}") == {"pull_policy": "daily"}

    def test_what_dev_says_does_not_count(self) -> None:
        hsm = (
            "services: {api: {dev: {environment: {A: b}, volumes: ['./x:/x'], watch: [{action: rebuild, path: x}]}}}"
        )
        assert drawn(hsm, "{api: {image: a}}") == {"image": Pinned("api")}

    def test_limits_and_replicas(self) -> None:
        assert prod("limits: {memory: 64M, cpus: 0.5, pids: 10}, replicas: 0")["deploy"] == {
            "replicas": 0,
            "resources": {"limits": {"cpus": "0.5", "memory": "64M", "pids": 10}},
        }

    def test_limits_and_replicas_may_be_variables(self) -> None:
        made = prod("limits: {memory: '${M}', cpus: '${C}', pids: '${P:-9}'}, replicas: '${N}'")["deploy"]
        assert made["resources"]["limits"] == {"memory": "${M}", "cpus": "${C}", "pids": "${P:-9}"}
        assert made["replicas"] == "${N}"

    def test_limits_lie_over_a_deploy_of_its_own(self) -> None:
        keys = "limits: {memory: 64M}, deploy: {resources: {limits: {memory: 1g, pids: 5}}, labels: {a: b}}"
        assert prod(keys)["deploy"] == {
            "labels": {"a": "b"},
            "resources": {"limits": {"memory": "64M", "pids": 5}},
        }

    @pytest.mark.parametrize(
        ("keys", "old"),
        [
            ("limits: {memory: 64M}", "mem_limit"),
            ("limits: {cpus: 1}", "cpus"),
            ("limits: {pids: 5}", "pids_limit"),
            ("replicas: 2", "scale"),
            ("deploy: {resources: {reservations: {memory: 64M}}}", "mem_reservation"),
        ],
    )
    def test_the_older_form_of_the_same_goes_and_no_other(self, keys: str, old: str) -> None:
        base = "{image: a, mem_limit: 1g, cpus: 2, pids_limit: 9, mem_reservation: 2g, scale: 3}"
        assert [key for key, value in prod(keys, base).items() if value == GONE] == [old]
        assert old not in prod(keys)

    def test_lists_of_consumers_are_appended_but_a_command_is_one_value(self) -> None:
        group = "{strategy: M-of-N, options: {x: {consumers: {api: {cap_add: [B], command: [new]}}}}, selection: [x]}"
        hsm = f"services: {{api: {{prod: {{cap_add: [A], command: [a, b]}}}}}}\ngroups: {{g: {group}}}"
        draft = drawn(hsm, "{api: {image: a}, x: {image: x}}")
        assert (draft["cap_add"], draft["command"]) == (["A", "B"], ["new"])


class TestPorts:
    @pytest.mark.parametrize(
        ("port", "ports"),
        [
            ("80", {("80", "tcp")}),
            ("8080:80", {("80", "tcp")}),
            ("127.0.0.1:8080:80/udp", {("80", "udp")}),
            ("[::1]:8080:80", {("80", "tcp")}),
            ("9000-9001:80-81", {("80", "tcp"), ("81", "tcp")}),
            ("${P:-80}:${Q:-81}", {("${Q:-81}", "tcp")}),
            ("80-²", {("80-²", "tcp")}),
            ("9-1", {("9-1", "tcp")}),
            ("0-99999999999", {("0-99999999999", "tcp")}),
            ("0-65536/udp", {("0-65536", "udp")}),
            ({"target": 80, "published": "1"}, {("80", "tcp")}),
            ({"target": 80, "protocol": "udp"}, {("80", "udp")}),
        ],
    )
    def test_the_ports_in_the_container(self, port: object, ports: set[tuple[str, str]]) -> None:
        assert container_ports(port) == ports

    def test_new_ports_are_added(self) -> None:
        assert prod("ports: ['81:81']", "{image: a, ports: [{target: 80}]}")["ports"] == ["81:81"]

    def test_the_same_container_port_is_replaced(self) -> None:
        below = "{image: a, ports: [{target: 80, published: '80'}, {target: 80, protocol: udp}, '${P}:81']}"
        left = {"target": 80, "protocol": "udp"}
        assert prod("ports: ['1:80']", below)["ports"] == Override([left, "${P}:81", "1:80"])

    def test_a_range_goes_only_as_a_whole(self) -> None:
        below = "{image: a, ports: ['${P}:80-81']}"
        assert prod("ports: ['1:80']", below)["ports"] == ["1:80"]
        assert prod("ports: ['1-2:80-81']", below)["ports"] == Override(["1-2:80-81"])

    def test_no_ports_change_nothing(self) -> None:
        assert prod("ports: []", "{image: a, ports: [{target: 80}]}") == {}


class TestNetworks:
    @pytest.mark.parametrize(
        ("networks", "names"),
        [("", ["default"]), (", networks: {}", ["default"]), (", networks: {x: null, y: {priority: 1}}", ["x", "y"])],
    )
    def test_an_alias_is_known_on_every_network(self, networks: str, names: list[str]) -> None:
        draft = drawn(DATABASE, f"{{api: {{image: a{networks}}}, x: {{image: x}}}}")
        assert draft["networks"] == {name: {"aliases": ["db"]} for name in names}

    def test_also_on_those_that_hsm_yaml_adds(self) -> None:
        hsm = f"services: {{api: {{prod: {{networks: {{y: {{aliases: [a, db]}}, z: }}}}}}}}\n{DATABASE}"
        draft = drawn(hsm, "{api: {image: a, networks: {x: null}}, x: {image: x}}")
        assert draft["networks"] == {
            "x": {"aliases": ["db"]},
            "y": {"aliases": ["a", "db"]},
            "z": {"aliases": ["db"]},
        }

    def test_networks_of_hsm_yaml_take_a_network_mode_away(self) -> None:
        draft = prod("networks: [x]", "{image: a, network_mode: host}")
        assert draft == {"networks": {"x": None}, "network_mode": GONE}
        hsm = f"services: {{api: {{prod: {{networks: [y]}}}}}}\n{DATABASE}"
        draft = drawn(hsm, "{api: {image: a, network_mode: host}, x: {image: x}}")
        assert (draft["networks"], draft["network_mode"]) == ({"y": {"aliases": ["db"]}}, GONE)

    def test_without_an_alias_networks_are_as_written(self) -> None:
        assert prod("networks: [x]")["networks"] == {"x": None}


class TestProfiles:
    def test_of_an_active_service_they_give_way(self) -> None:
        assert drawn(DATABASE, "{api: {image: a, profiles: [p]}, x: {image: x}}")["profiles"] == Reset("list")

    def test_of_others_they_stay(self) -> None:
        assert prod(base="{image: a, profiles: [p]}") == {}
        assert prod("profiles: [q]", "{image: a, profiles: [p]}") == {"profiles": ["q"]}


class TestFill:
    def test_a_draft_knows_which_pins_it_waits_for(self) -> None:
        services = "{api: {image: a, depends_on: {db: {condition: service_healthy}}}, x: {image: x}, y: {image: y}}"
        draft = drawn(DATABASE.replace("api, x", "x, y").replace("selection: api", "selection: x"), services)
        assert open_pins(draft) == {Pinned("api"), Condition("x")}
        assert open_pins(None) == open_pins({"a": [1, "b"]}) == frozenset()

    def test_the_pinned_image_is_written(self) -> None:
        draft = drawn("services: {}", "{api: {image: a}}")
        text = fill("api", draft, {"api": Pin(image="a:1@sha256:x")})
        assert text == 'services:\n  api:\n    image: "a:1@sha256:x"\n'

    def test_volumes_that_need_a_declaration_are_known(self) -> None:
        assert named_volumes(dev("volumes: ['data:/d', './src:/s', '/anonymous']")) == {"data"}
        assert named_volumes({"volumes": Override([{"type": "volume", "target": "/x"}])}) == frozenset()
        assert named_volumes(None) == frozenset()


KEYS = {
    "environment": "{B: '1', A: '2'}",
    "labels": "{b: '1', a: '2'}",
    "depends_on": "{y: {required: true, condition: service_started}, x: {condition: service_started}}",
    "networks": "{z: {priority: 1, aliases: [a]}, y: }",
    "ports": "['1:80', '2:81']",
    "volumes": "['./b:/b', 'a:/a']",
    "healthcheck": "{test: t, interval: 1s}",
    "build": "{target: t, context: c, args: {B: '1', A: '2'}}",
    "watch": "[{path: p, action: rebuild}]",
}


@given(st.permutations(sorted(KEYS)), st.booleans())
def test_the_order_of_keys_never_changes_a_draft(order: list[str], backwards: bool) -> None:
    def text(name: str) -> str:
        if backwards:  # of two keys in braces, the last one first
            return re.sub(r"\{([^{}]+), ([^{}]+)\}", r"{\2, \1}", KEYS[name])
        return KEYS[name]

    base = "{image: a, build: {context: .}, networks: {y: null}, ports: [{target: 80}], profiles: [p]}"
    sections = ", ".join(f"{name}: {text(name)}" for name in order)
    expected = ", ".join(f"{name}: {KEYS[name]}" for name in sorted(KEYS))
    assert repr(dev(sections, base)) == repr(dev(expected, base))


SCALARS = st.sampled_from(["a", "./a", "80", "no", "${A}", "/x"])
UNTOUCHED = st.fixed_dictionaries(
    {"image": SCALARS},
    optional={
        "environment": st.dictionaries(SCALARS, SCALARS),
        "links": st.lists(SCALARS, unique=True),
        "command": st.lists(SCALARS),
        "profiles": st.lists(SCALARS, unique=True),
        "ports": st.lists(SCALARS, unique=True),
        "network_mode": SCALARS,
        "mem_limit": SCALARS,
        "develop": st.just({"watch": []}),
    },
)


@given(UNTOUCHED)
def test_render_of_an_untouched_service_is_only_its_image(keys: dict[str, Any]) -> None:
    assert fragment("services: {}", f"{{api: {keys!r}}}") == {"image": "PINNED-api"}


PATHS = st.lists(st.sampled_from([".", "..", "src", "a.b"]), min_size=1, max_size=3).map("/".join)


@given(PATHS, PATHS, PATHS)
def test_no_path_in_a_fragment_is_absolute_unless_written_so(context: str, source: str, watched: str) -> None:
    keys = (
        f"build: {{context: {context}, additional_contexts: {{x: {watched}}}}}, volumes: ['./{source}:t'], "
        f"watch: [{{action: rebuild, path: {watched}}}]"
    )
    assert not re.search(r'[ "]/', str(dev(keys)))
