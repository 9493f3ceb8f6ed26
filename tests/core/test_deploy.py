"""A deploy, as values: paths of the target, what changes, and when all is well."""

from __future__ import annotations

from typing import Any

from hsm_tasks.core.deploy import FILES, Change, Release, Seen, changes, digest_of, judge, located

ONE, TWO = "sha256:" + "1" * 64, "sha256:" + "2" * 64


def release(digests: dict[str, str] | None = None, **services: Any) -> Release:
    return Release({"name": "shop", "services": services}, digests or {})


def seen(service: str, status: str, state: str = "running") -> Seen:
    return Seen(service, f"id-{service}", state, status)


def test_what_a_container_mounts_is_looked_for_on_the_target() -> None:
    model = {
        "name": "shop",
        "services": {"web": {
            "volumes": [{"type": "bind", "source": "./conf"}, {"type": "bind", "source": "/etc/localtime"},
                        {"type": "volume", "source": "data"}, "${X:-./d}:/d", "${Y}:/y"],
            "env_file": [{"path": "./a.env"}],
            "configs": [{"source": "page"}],
            "labels": ["a=b"],
        }},
        "configs": {"page": {"file": "./page.html"}, "inline": {"content": "x"}},
    }
    made = located(model, "/srv/x/files", {"page.html": "1", "conf/a": "2"})
    web = made["services"]["web"]
    assert web["volumes"] == [
        {"type": "bind", "source": "/srv/x/files/conf"}, {"type": "bind", "source": "/etc/localtime"},
        {"type": "volume", "source": "data"}, "${X:-/srv/x/files/d}:/d", "${Y}:/y",
    ]
    assert web["env_file"] == [{"path": "./a.env"}]
    assert made["configs"] == {"page": {"file": "/srv/x/files/page.html"}, "inline": {"content": "x"}}
    assert web["labels"]["a"] == "b"
    assert web["labels"][FILES] == digest_of(["conf", "page.html"], {"page.html": "1", "conf/a": "2", "other": "3"})


def test_a_service_that_mounts_nothing_stays_as_it_is() -> None:
    model = {"name": "shop", "services": {"web": {"image": "x"}}}
    assert located(model, "/srv", {"a": "1"}) == model


def test_the_first_deploy_adds_everything() -> None:
    assert changes(None, release(web={}, api={})) == (Change("api", "add"), Change("web", "add"))


def test_a_change_says_what_changes_and_never_a_value() -> None:
    old = release(web={"image": f"reg/web:1.0@{ONE}", "environment": {"A": "secret-one", "B": "1"}, "command": ["a"]})
    new = release(web={"image": f"reg/web:1.1@{TWO}", "environment": {"A": "secret-two", "B": "1"}, "user": "x"})
    (change,) = changes(old, new)
    assert change.kind == "change"
    assert change.reasons == (
        "command is gone", "environment: A", f"image 1.0@{'1' * 12} → 1.1@{'2' * 12}", "user is new")


def test_what_is_the_same_is_kept_and_what_has_left_is_removed() -> None:
    made = changes(release(web={"image": "x"}, old={}), release(web={"image": "x"}))
    assert [(one.service, one.kind) for one in made] == [("old", "remove"), ("web", "keep")]


def test_a_changed_file_changes_who_mounts_or_reads_it() -> None:
    services = {"web": {"volumes": [{"type": "bind", "source": "./conf"}]}, "api": {"env_file": [{"path": "./a.env"}]},
                "db": {}}
    old = release({"conf/x": "1", "a.env": "1"}, **services)
    made = {one.service: one for one in changes(old, release({"conf/x": "2", "a.env": "1"}, **services))}
    assert made["web"].reasons == ("files: conf",)
    assert made["api"].kind == made["db"].kind == "keep"
    made = {one.service: one for one in changes(old, release({"conf/x": "1", "a.env": "2"}, **services))}
    assert made["api"].reasons == ("files: a.env",)


def test_all_is_well_when_all_run_and_are_healthy_and_one_shots_have_ended() -> None:
    containers = [seen("web", "Up 3 seconds (healthy)"), seen("api", "Up 3 seconds"),
                  seen("job", "Exited (0) 1 second ago", "exited")]
    assert judge(containers, ["web", "api", "job"], ["job"]).well


def test_who_is_starting_or_missing_is_waited_for() -> None:
    verdict = judge([seen("web", "Up 1 second (health: starting)"), seen("api", "Restarting (1)", "restarting")],
                    ["web", "api", "db"], [])
    assert verdict.waiting == ("api", "db", "web")
    assert not verdict.ill


def test_who_is_unhealthy_or_has_ended_does_not_get_well() -> None:
    containers = [seen("web", "Up 9 seconds (unhealthy)"), seen("api", "Exited (0) 1 second ago", "exited"),
                  seen("job", "Exited (7) 1 second ago", "exited")]
    assert [one.service for one in judge(containers, ["web", "api", "job"], ["job"]).ill] == ["web", "api", "job"]


def test_who_should_not_run_is_nobodys_illness() -> None:
    containers = [seen("web", "Up 3 seconds"), seen("tool", "Exited (0) 1 hour ago", "exited"),
                  seen("other", "Restarting (1)", "restarting"), seen("sick", "Up 1 hour (unhealthy)")]
    assert judge(containers, ["web"], []).well
