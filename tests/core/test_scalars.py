"""Scalars get the types of the compose schema, and compose itself takes all of them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from hsm_tasks.core import scalars
from hsm_tasks.core.model import Keys, Tree
from hsm_tasks.core.scalars import Place, Schema, check, schema_from, typed

SCHEMA_TEXT = (Path(scalars.__file__).parent / "compose-spec.json").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def schema() -> Schema:
    return schema_from(SCHEMA_TEXT)


@pytest.mark.parametrize(
    ("written", "wanted"),
    [
        ({"privileged": "true"}, {"privileged": True}),
        ({"privileged": "yes"}, {"privileged": "yes"}),
        ({"init": "${INIT:-true}"}, {"init": "${INIT:-true}"}),
        ({"pids_limit": "100"}, {"pids_limit": 100}),
        ({"pids_limit": "-1"}, {"pids_limit": "-1"}),
        ({"pids_limit": "007"}, {"pids_limit": "007"}),
        ({"mem_limit": "64m"}, {"mem_limit": "64m"}),
        ({"cpus": "0.50"}, {"cpus": "0.50"}),
        ({"user": "1000"}, {"user": "1000"}),
        ({"image": "1234567"}, {"image": "1234567"}),
        ({"restart": "no"}, {"restart": "no"}),
        ({"stop_grace_period": "10"}, {"stop_grace_period": "10"}),
        ({"healthcheck": {"retries": "3", "interval": "3"}}, {"healthcheck": {"retries": 3, "interval": "3"}}),
        ({"ports": ["8080:80", "22:22", "80"]}, {"ports": ["8080:80", "22:22", 80]}),
        ({"ports": [{"target": "80", "published": "80-81"}]}, {"ports": [{"target": 80, "published": "80-81"}]}),
        ({"deploy": {"replicas": "2"}}, {"deploy": {"replicas": 2}}),
        ({"deploy": {"resources": {"limits": {"cpus": "0.50", "pids": "9"}}}},
         {"deploy": {"resources": {"limits": {"cpus": "0.50", "pids": 9}}}}),
        ({"networks": {"back": {"priority": "-3"}, "f": None}}, {"networks": {"back": {"priority": -3}, "f": None}}),
        ({"networks": {"back": {"gw_priority": "1.5"}}}, {"networks": {"back": {"gw_priority": 1.5}}}),
        ({"secrets": [{"source": "s", "mode": "0440"}, "t"]}, {"secrets": [{"source": "s", "mode": 0o440}, "t"]}),
        ({"ulimits": {"nproc": "3", "nofile": {"soft": "1", "hard": "2"}}},
         {"ulimits": {"nproc": 3, "nofile": {"soft": 1, "hard": 2}}}),
        ({"depends_on": {"db": {"condition": "service_started", "required": "false"}}},
         {"depends_on": {"db": {"condition": "service_started", "required": False}}}),
        ({"build": {"no_cache": "true", "target": "1"}}, {"build": {"no_cache": True, "target": "1"}}),
    ],
)  # fmt: skip
def test_a_scalar_becomes_what_the_schema_wants_at_its_place(schema: Schema, written: Keys, wanted: Keys) -> None:
    result = typed(written, schema)
    assert json.dumps(result) == json.dumps(wanted)  # 1 and True are equal in Python, and not in JSON


@pytest.mark.parametrize(
    "written",
    [
        {"environment": {"A": "1", "B": "0o17", "C": "true", "D": None}},
        {"environment": ["A=1", "true"]},
        {"labels": {"a": "1"}},
        {"build": {"args": {"A": "1", "B": "false"}, "labels": {"a": "1"}}},
        {"sysctls": {"net.core.somaxconn": "1024"}},
        {"logging": {"options": {"max-file": "3", "tag": "1234567"}}},
        {"networks": {"back": {"driver_opts": {"mtu": "1500"}}}},
        {"storage_opt": {"size": "1"}},
        {"x-anything": {"a": "1", "b": ["true"]}},
        {"no_such_key": {"a": "1", "b": ["true"]}},
        {"command": ["sleep", "10", "true"]},
    ],
)
def test_free_text_and_unknown_keys_stay_text(schema: Schema, written: Keys) -> None:
    assert typed(written, schema) == written


def test_what_was_given_is_not_changed(schema: Schema) -> None:
    written: Keys = {"healthcheck": {"retries": "3"}, "ports": ["80"]}
    typed(written, schema)
    assert written == {"healthcheck": {"retries": "3"}, "ports": ["80"]}


def test_scalars_that_have_their_type_keep_it(schema: Schema) -> None:
    assert typed({"privileged": True, "pids_limit": 3, "command": None}, schema) == {
        "privileged": True,
        "pids_limit": 3,
        "command": None,
    }


@pytest.mark.parametrize(
    ("written", "path", "message"),
    [
        ({"privileged": "maybe"}, ("privileged",), '"maybe" is not true or false'),
        ({"init": "1"}, ("init",), '"1" is not true or false'),
        ({"healthcheck": {"retries": "many"}}, ("healthcheck", "retries"), '"many" is not a number'),
        ({"depends_on": {"db": {"required": "yes"}}}, ("depends_on", "db", "required"), '"yes" is not true or false'),
        ({"healthcheck": {"intervall": "3s"}}, ("healthcheck", "intervall"),
         'compose knows no such key here (did you mean "interval"?)'),
        ({"ports": [{"target": "80", "zzz": "1"}]}, ("ports", 0, "zzz"), "compose knows no such key here"),
        ({"ports": "80"}, ("ports",), 'must be a list, not "80"'),
        ({"image": ["x"]}, ("image",), "must be text, not a list"),
        ({"command": {"a": "b"}}, ("command",), "must be a list or text, not a mapping"),
        ({"networks": {"a b": None}}, ("networks", "a b"), "compose does not take such a name here"),
        ({"depends_on": {"db": {"condition": "service_health"}}}, ("depends_on", "db", "condition"),
         '"service_health" is not one of service_started, service_healthy, service_completed_successfully'
         ' (did you mean "service_healthy"?)'),
    ],
)  # fmt: skip
def test_what_compose_would_refuse_is_found(
    schema: Schema, written: Keys, path: tuple[str | int, ...], message: str
) -> None:
    assert check(written, schema) == [(path, message)]


@pytest.mark.parametrize(
    "written",
    [
        {"privileged": "${P}", "init": "no", "tty": "True"},
        {"gpus": [{"count": "all"}], "group_add": ["docker", "99"], "expose": ["3000-3010"]},
        {"build": {"provenance": "mode=max", "x-a": {"b": "c"}}, "mem_limit": "1g", "cpus": ".5"},
        {"healthcheck": {"retries": None}, "environment": {"A": "x"}, "labels": ["a=b"]},
        {"unknown-at-the-top": "left to the caller"},
    ],
)
def test_what_compose_takes_is_let_through(schema: Schema, written: Keys) -> None:
    assert check(written, schema) == []


COVERED: dict[str, Keys] = {
    "one": {
        "image": "x",
        "privileged": "true", "init": "false", "read_only": "true", "tty": "true", "stdin_open": "false",
        "attach": "false", "oom_kill_disable": "true", "use_api_socket": "false", "scale": "1",
        "cpu_count": "1", "cpu_percent": "50", "cpu_shares": "10", "cpu_quota": "1000", "cpu_period": "1000",
        "cpu_rt_period": "1000", "cpu_rt_runtime": "1000", "cpus": "1",
        "mem_limit": "67108864", "mem_reservation": "6291456", "mem_swappiness": "1", "memswap_limit": "134217728",
        "pids_limit": "100", "oom_score_adj": "10", "shm_size": "1000000", "group_add": ["99"], "expose": ["99"],
        "healthcheck": {"test": "true", "retries": "3", "disable": "false"},
        "ulimits": {"nproc": "3", "nofile": {"soft": "1", "hard": "2"}},
        "blkio_config": {
            "weight": "10",
            "weight_device": [{"path": "/dev/sda", "weight": "10"}],
            "device_read_bps": [{"path": "/dev/sda", "rate": "10"}],
            "device_read_iops": [{"path": "/dev/sda", "rate": "10"}],
            "device_write_bps": [{"path": "/dev/sda", "rate": "10"}],
            "device_write_iops": [{"path": "/dev/sda", "rate": "10"}],
        },
        "ports": ["80", {"target": "81", "published": "8081"}],
        "networks": {"default": {"priority": "10", "gw_priority": "-1"}},
        "volumes": [
            {"type": "tmpfs", "target": "/t", "read_only": "true", "tmpfs": {"size": "1000", "mode": "01777"}},
            {"type": "bind", "source": ".", "target": "/b", "bind": {"create_host_path": "false"}},
            {"type": "volume", "source": "data", "target": "/v", "volume": {"nocopy": "true"}},
        ],
        "secrets": [{"source": "word", "mode": "0440"}], "configs": [{"source": "text", "mode": "0o440"}],
        "env_file": [{"path": "absent.env", "required": "false"}],
        "depends_on": {"two": {"condition": "service_started", "restart": "true", "required": "false"}},
        "develop": {"watch": [{"path": ".", "action": "sync", "target": "/x", "initial_sync": "true",
                               "exec": {"command": "true", "privileged": "false"}}]},
        "post_start": [{"command": "true", "privileged": "true"}],
        "pre_stop": [{"command": "true", "privileged": "true"}],
    },
    "two": {
        "build": {"context": ".", "no_cache": "true", "pull": "true", "privileged": "false", "provenance": "false",
                  "sbom": "true", "shm_size": "100000", "secrets": [{"source": "word", "mode": "292"}],
                  "ulimits": {"nproc": "3", "nofile": {"soft": "1", "hard": "2"}}},
        "deploy": {
            "replicas": "2",
            "rollback_config": {"parallelism": "1", "max_failure_ratio": "1"},
            "update_config": {"parallelism": "1", "max_failure_ratio": "0"},
            "restart_policy": {"max_attempts": "3"},
            "placement": {"max_replicas_per_node": "1"},
            "resources": {
                "limits": {"cpus": "1", "pids": "10"},
                "reservations": {
                    "cpus": "1",
                    "generic_resources": [{"discrete_resource_spec": {"kind": "gpu", "value": "2"}}],
                    "devices": [{"capabilities": ["gpu"], "count": "1"}],
                },
            },
        },
        "gpus": [{"count": "2"}],
        "networks": {"default": {"priority": "10"}},
    },
}  # fmt: skip

NEWER_THAN_COMPOSE_2_40 = {"pre_start", "umask", "use_service_name_alias"}


def scalar_places(place: Place, schema: Schema, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The paths of all places whose text may become something else; items of lists are `[]`, own names `*`."""
    if place.types & {"boolean", "integer", "number"} and not place.free:
        yield path
    for name in place.names:
        below = schema.child(place, name)
        if below is not None and name not in NEWER_THAN_COMPOSE_2_40:
            yield from scalar_places(below, schema, (*path, name))
    for pattern, raw in place.patterns:
        if pattern.pattern not in ("^.+$", ".+", "^x-"):
            yield from scalar_places(schema.resolve((raw,)), schema, (*path, "*"))
    item = schema.item(place)
    if item is not None:
        yield from scalar_places(item, schema, (*path, "[]"))


def scalars_of(
    tree: Tree, place: Place | None, schema: Schema, path: tuple[str, ...] = ()
) -> Iterator[tuple[str, ...]]:
    if isinstance(tree, dict):
        for name, value in tree.items():
            below = schema.child(place, name) if place else None
            known = place is not None and name in place.names
            yield from scalars_of(value, below, schema, (*path, name if known else "*"))
    elif isinstance(tree, list):
        for value in tree:
            yield from scalars_of(value, schema.item(place) if place else None, schema, (*path, "[]"))
    else:
        yield path


def test_every_place_that_is_typed_was_shown_to_compose(schema: Schema) -> None:
    shown = {path for keys in COVERED.values() for path in scalars_of(dict(keys), schema.service, schema)}
    assert set(scalar_places(schema.service, schema)) - shown == set()


def test_compose_takes_every_type_that_we_give(schema: Schema, tmp_path: Path) -> None:
    file = tmp_path / "compose.json"
    services = {name: typed(keys, schema) for name, keys in COVERED.items()}
    declared = {"secrets": {"word": {"environment": "HOME"}}, "configs": {"text": {"content": "x"}}}
    file.write_text(json.dumps({"services": services, "volumes": {"data": {}}, **declared}), encoding="utf-8")
    command = ["docker", "compose", "-f", str(file), "-p", "typed", "config", "-q"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert [check(keys, schema) for keys in COVERED.values()] == [[], []]
