"""How a running stack becomes another one: the way of each service, the order, and what needs nothing."""

from __future__ import annotations

from typing import Any

import pytest

from hsm_tasks.core.deploy import Seen
from hsm_tasks.core.roll import one_by_one, order, right, strangers, way

UP = Seen("web", "1", "running", "Up 3 seconds", "abc")


@pytest.mark.parametrize(("keys", "expected"), [
    ({}, "beside"),
    ({"ports": [{"target": 80}]}, "beside"),
    ({"ports": [{"target": 80, "published": "8080"}]}, "tried"),
    ({"ports": ["${PORT}:80"]}, "tried"),
    ({"container_name": "x"}, "tried"),
    ({"volumes": [{"type": "bind", "source": "./a", "target": "/a", "read_only": True}]}, "beside"),
    ({"volumes": [{"type": "tmpfs", "target": "/a"}, "${DATA}:/b:ro"]}, "beside"),
    ({"volumes": [{"type": "volume", "source": "data", "target": "/a"}]}, "in place"),
    ({"volumes": ["${DATA}:/a"]}, "in place"),
    ({"network_mode": "host"}, "in place"),
    ({"networks": {"default": {"ipv4_address": "10.0.0.1"}}}, "in place"),
    ({"networks": {"default": None}}, "beside"),
    ({"devices": ["/dev/fuse"]}, "in place"),
    ({"deploy": {"update_config": {"order": "stop-first"}}}, "in place"),
    ({"deploy": {"update_config": {"order": "start-first"}}, "volumes": ["${DATA}:/a"]}, "beside"),
    ({"deploy": {"update_config": {"order": "start-first"}}, "network_mode": "host"}, "in place"),
])  # fmt: skip
def test_two_of_a_service_run_at_a_time_where_nothing_forbids_it(keys: dict[str, Any], expected: str) -> None:
    assert way(keys) == expected


def test_a_oneshot_runs_once() -> None:
    assert way({}, oneshot=True) == "in place"


def test_a_service_comes_behind_what_it_depends_on() -> None:
    services: dict[str, Any] = {
        "a": {"depends_on": {"web": {}}},
        "db": {},
        "web": {"depends_on": ["db", "job", "gone"]},
        "job": {"depends_on": {"db": {}}},
    }
    assert order(services) == ("db", "job", "web", "a")


def test_a_circle_has_an_order_as_well() -> None:
    assert set(order({"a": {"depends_on": ["b"]}, "b": {"depends_on": ["a"]}})) == {"a", "b"}


@pytest.mark.parametrize("tied", [
    {"network_mode": "service:db"},
    {"volumes_from": ["db"]},
    {"depends_on": {"db": {"restart": True}}},
    {"deploy": {"replicas": "${N}"}},
])  # fmt: skip
def test_services_that_compose_renews_together_are_left_to_compose(tied: dict[str, Any]) -> None:
    assert one_by_one({"services": {"db": {}, "web": {"scale": 2, "depends_on": {"db": {}}}}})
    assert not one_by_one({"services": {"db": {}, "web": tied}})


@pytest.mark.parametrize(("there", "wanted", "oneshot", "expected"), [
    ([UP], 1, False, True),
    ([UP], 2, False, False),
    ([UP, UP], 1, False, False),
    ([], 1, False, False),
    ([Seen("web", "1", "running", "Up", "other")], 1, False, False),
    ([Seen("web", "1", "running", "Up (unhealthy)", "abc")], 1, False, False),
    ([Seen("web", "1", "exited", "Exited (0) 2 days ago", "abc")], 1, False, False),
    ([Seen("web", "1", "exited", "Exited (0) 2 days ago", "abc")], 1, True, True),
    ([Seen("web", "1", "exited", "Exited (1) 2 days ago", "abc")], 1, True, False),
])  # fmt: skip
def test_what_is_right_already_is_left_alone(there: list[Seen], wanted: int, oneshot: bool, expected: bool) -> None:
    assert right(there, "abc", wanted, oneshot=oneshot) is expected


def test_containers_of_services_that_are_gone_are_found() -> None:
    assert strangers([UP, Seen("old", "2", "exited", "Exited (0)")], {"services": {"web": {}}}) == (
        Seen("old", "2", "exited", "Exited (0)"),)
