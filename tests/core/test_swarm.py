"""A resolved compose model, as a value, to what `docker stack deploy` takes."""

from __future__ import annotations

from typing import Any

import pytest

from hsm_tasks.core.swarm import Asked, Swarm, convert

FOLDER = "/work"
DIGESTS = {"page.html": "a" * 64, "conf/a": "b" * 64}


def converted(api: dict[str, Any], top: dict[str, Any] | None = None, **asked: Any) -> Swarm:
    wish = Asked(project="shop", folder=FOLDER, digests=DIGESTS, **asked)
    return convert({"name": "shop", "services": {"api": {"image": "reg/api", **api}}, **(top or {})}, wish)


def service(api: dict[str, Any], **asked: Any) -> dict[str, Any]:
    made = converted(api, **asked)
    assert made.objections == ()
    found: dict[str, Any] = made.model["services"]["api"]
    return found


def test_what_a_swarm_has_no_word_for_goes_with_a_note_where_it_matters() -> None:
    made = converted({"depends_on": {"db": {}}, "container_name": "x", "pull_policy": "always", "profiles": ["a"],
                      "platform": "linux/amd64", "command": None, "entrypoint": None})
    assert set(made.model["services"]["api"]) == {"image", "deploy"}
    assert [note.partition(" means")[0] for note in made.notes] == ["api: container_name", "api: depends_on"]
    assert "name" not in made.model


@pytest.mark.parametrize("key", ["network_mode", "privileged", "devices", "pid", "volumes_from", "security_opt"])
def test_what_would_be_lost_silently_is_refused(key: str) -> None:
    (objection,) = converted({key: ["x"]}).objections
    assert objection == f"api: {key}: a swarm has nothing like it"


def test_limits_move_below_deploy_as_text() -> None:
    made = service({"mem_limit": "64m", "cpus": 0.5, "pids_limit": 10, "scale": 2,
                    "deploy": {"resources": {"limits": {"memory": "128m"}}, "placement": {}}})
    assert made["deploy"]["resources"] == {"limits": {"memory": "128m", "cpus": "0.5", "pids": 10}}
    assert made["deploy"]["replicas"] == 2
    assert "placement" not in made["deploy"]


@pytest.mark.parametrize(
    ("written", "policy"),
    [
        ("always", {"condition": "any"}),
        ("unless-stopped", {"condition": "any"}),
        ("no", {"condition": "none"}),
        ("on-failure:3", {"condition": "on-failure", "max_attempts": 3}),
        (None, None),
    ],
)
def test_restart_becomes_a_restart_policy(written: str | None, policy: dict[str, Any] | None) -> None:
    assert service({"restart": written})["deploy"].get("restart_policy") == policy


def test_a_one_shot_runs_until_it_has_succeeded() -> None:
    made = service({}, oneshots=frozenset({"api"}))
    assert made["deploy"]["restart_policy"] == {"condition": "on-failure"}


def test_an_update_rolls_back_and_starts_first_where_two_can_run_side_by_side() -> None:
    port = {"target": 80, "published": "8080", "protocol": "tcp", "mode": "ingress"}
    assert service({"ports": [port]})["deploy"]["update_config"] == {
        "order": "start-first", "monitor": "5s", "parallelism": 1, "failure_action": "rollback"}
    assert service({"ports": [port]}, ports="host")["deploy"]["update_config"]["order"] == "stop-first"
    volume = {"type": "volume", "source": "data", "target": "/d", "volume": {}}
    assert service({"volumes": [volume]})["deploy"]["update_config"]["order"] == "stop-first"


@pytest.mark.parametrize("written", ["on-failure:x", "on-failure:²", "on-failure:-1"])
def test_attempts_that_are_no_number_are_an_objection(written: str) -> None:
    assert converted({"restart": written}).objections == (f"api: restart: {written} names no number of attempts",)


def test_a_published_port_that_is_no_number_is_an_objection() -> None:
    for published in ("8080-8090", "²"):
        (objection,) = converted({"ports": [{"target": 80, "published": published}]}).objections
        assert objection == f"api: a swarm publishes one port, not {published}"


def test_ports_are_numbers_in_the_mode_of_the_target() -> None:
    port = {"target": 80, "published": "8080", "protocol": "tcp", "mode": "ingress"}
    assert service({"ports": [port]}, ports="host")["ports"] == [
        {"target": 80, "published": 8080, "protocol": "tcp", "mode": "host"}]


def test_a_port_for_loopback_is_not_opened_to_the_world_unasked() -> None:
    port = {"target": 80, "published": "8080", "host_ip": "127.0.0.1"}
    (objection,) = converted({"ports": [port]}).objections
    assert 'say addresses = "all"' in objection
    assert service({"ports": [port]}, all_addresses=True)["ports"][0]["published"] == 8080


def test_configs_and_secrets_have_what_they_hold_in_their_names() -> None:
    made = converted({"configs": [{"source": "page", "target": "/p"}]},
                     {"configs": {"page": {"name": "x_page", "file": "/work/page.html"}},
                      "secrets": {"key": {"file": "/work/key"}, "own": {"environment": "A"},
                                  "there": {"external": True, "name": "there"}}})
    assert made.model["configs"] == {"page": {"name": "shop_page-aaaaaaaaaaaa", "file": "/work/page.html"}}
    assert made.model["secrets"]["key"] == {"name": "shop_key", "file": "/work/key"}
    assert made.model["secrets"]["there"] == {"external": True, "name": "there"}
    assert made.objections == ("secret own: a swarm takes it from a file, or as external",)


def test_a_single_file_that_is_only_read_becomes_a_config() -> None:
    made = converted({"volumes": [{"type": "bind", "source": "/work/page.html", "target": "/p", "read_only": True}]})
    api = made.model["services"]["api"]
    assert "volumes" not in api
    assert api["configs"] == [{"source": "file-aaaaaaaaaaaa", "target": "/p"}]
    assert made.model["configs"]["file-aaaaaaaaaaaa"] == {"name": "shop_file-aaaaaaaaaaaa", "file": "/work/page.html"}


@pytest.mark.parametrize(("source", "read_only"), [("/work/conf", True), ("/work/page.html", False)])
def test_a_folder_or_a_file_that_is_written_to_is_refused(source: str, read_only: bool) -> None:
    volume = {"type": "bind", "source": source, "target": "/x", "read_only": read_only}
    (objection,) = converted({"volumes": [volume]}).objections
    assert "share no folder" in objection


def test_networks_lose_the_name_of_the_project_and_keep_aliases() -> None:
    top = {"networks": {"back": {"name": "x_back", "ipam": {}}, "front": {"name": "proxy", "external": True}}}
    made = converted({"networks": {"back": {"aliases": ["db"]}, "front": None}}, top)
    assert made.model["networks"] == {"back": {}, "front": {"name": "proxy", "external": True}}
    assert made.model["services"]["api"]["networks"] == {"back": {"aliases": ["db"]}, "front": {}}


def test_dnsrr_is_for_kernels_without_ip_vs() -> None:
    assert service({}, endpoint="dnsrr")["deploy"]["endpoint_mode"] == "dnsrr"
    assert "endpoint_mode" not in service({})["deploy"]
