"""From a base to the text of a first hsm.yaml, as values."""

from __future__ import annotations

import re
from typing import Any

import pytest

from hsm_tasks.core.choose import choose
from hsm_tasks.core.load import Source, load
from hsm_tasks.core.model import Base, Stack
from hsm_tasks.core.propose import Facts, Found, Proposal, propose, remote

FACTS = Facts(schema=".hsm/hsm.schema.json", made_from=["docker-compose.yml"])
API = Found(url="https://git.example/acme/api.git", ref="main", checkout="code/api")


def base(services: dict[str, dict[str, Any]], root: str = ".") -> Base:
    return Base(name="shop", services=services, root=root)


def stack(made: Proposal, *, uncomment: bool = False) -> Stack:
    """The proposal as hsm reads it; with `uncomment`, the groups that it only suggests too."""
    text = re.sub(r"^# (groups:|services:|  .*)$", r"\1", made.config, flags=re.M)
    sources = [Source("hsm.yaml", text if uncomment else made.config)]
    return load(sources, Source("hsm.local.yaml", made.local) if made.local else None)


def below(made: Proposal, key: str) -> str:
    """The lines of hsm.yaml from the key on."""
    return made.config[made.config.index(f"\n{key}:") + 1 :]


def test_services_that_are_built_are_dev_and_the_others_are_not_named() -> None:
    made = propose(base({"api": {"build": {"context": "./api"}}, "db": {"image": "postgres:16"}}), FACTS)
    assert below(made, "services").startswith(
        "services:\n  api:\n    mode: dev                         # built from ./api\n"
    )
    assert (made.built, made.ready, made.local) == (("api",), ("db",), "")
    assert set(stack(made).services) == {"api"}


def test_a_base_of_images_only_is_an_hsm_yaml_of_comments() -> None:
    made = propose(base({"db": {"image": "postgres:16"}}), FACTS)
    assert all(line.startswith("#") or not line for line in made.config.splitlines())
    assert stack(made).services == {}


def test_a_repository_of_its_own_takes_build_and_sources_along() -> None:
    keys = {
        "build": {"context": "../code/api/web", "dockerfile": "Dockerfile.dev", "args": {"A": "${B}", "Z": "1"}},
        "volumes": [
            {"type": "bind", "source": "../code/api/src", "target": "/src", "read_only": True},
            {"type": "bind", "source": "../code/api/gone", "target": "/gone"},
            {"type": "bind", "source": "../data", "target": "/data"},
            {"type": "volume", "source": "cache", "target": "/cache"},
        ],
    }
    facts = Facts(
        schema="s", made_from=["x"], repositories={"api": Found(**{**_fields(API), "inside": "web"})},
        present=frozenset({"../code/api/src", "../data"}),
    )  # fmt: skip
    made = propose(base({"api": keys}, root="deploy"), facts)
    assert below(made, "services") == (
        "services:\n"
        "  api:\n"
        "    mode: dev                         # built from ../code/api/web\n"
        '    repo: {url: "https://git.example/acme/api.git", ref: main}\n'
        "    dev:\n"
        '      build: {context: web, dockerfile: Dockerfile.dev, args: {A: "${B}", Z: "1"}}\n'
        '      volumes: ["./src:/src:ro"]\n'
        '    # prod: {image: "registry.example/api", version: "^1.0"}\n'
    )
    assert made.local.endswith("services:\n  api: {repo: {path: code/api}}\n")
    assert stack(made).services["api"].repository is not None


def _fields(found: Found) -> dict[str, Any]:
    return {name: getattr(found, name) for name in found.__struct_fields__}


def test_a_build_that_reaches_out_of_its_checkout_stays_as_it_is() -> None:
    services: dict[str, dict[str, Any]] = {
        "api": {"build": {"context": "code/api", "dockerfile": "../Dockerfile"}},
        "web": {"build": {"context": "code/api", "additional_contexts": {"x": "./y"}}},
    }
    made = propose(base(services), Facts(schema="s", made_from=["x"], repositories={"api": API, "web": API}))
    assert "repo:" not in below(made, "services")
    assert made.local == ""


def test_two_repositories_whose_urls_end_alike_get_names() -> None:
    other = Found(url="git@git.example:other/api.git", checkout="code/other")
    services = {"a": {"build": {"context": "code/api"}}, "b": {"build": {"context": "code/other"}}}
    made = propose(base(services), Facts(schema="s", made_from=["x"], repositories={"a": API, "b": other}))
    names = {service.repository.name for service in stack(made).services.values() if service.repository}
    assert names == {"acme-api", "other-api"}


def test_who_runs_what_another_builds_builds_it_too() -> None:
    services: dict[str, dict[str, Any]] = {
        "api": {"build": {"context": "./api", "target": "app"}, "image": "shop/api"},
        "job": {"image": "shop/api"},
    }
    made = propose(base(services), FACTS)
    assert "  job:\n    mode: dev                         # runs the image that api is built as\n" in made.config
    assert stack(made).services["job"].dev.build == {"context": "./api", "target": "app"}


def test_profiles_become_a_group_with_nothing_selected() -> None:
    found = base({"a": {"image": "x", "profiles": ["tools", "debug"]}, "b": {"image": "x", "profiles": ["debug"]}})
    made = propose(found, FACTS)
    group = stack(made).groups["profiles"]
    assert (group.names, group.selection, group.profiles) == (("debug", "tools"), (), True)
    assert choose(stack(made), found)[1] == ()


@pytest.mark.parametrize("profiles", [[], ["tools"]])
def test_alternatives_are_suggested_as_a_comment_that_holds_when_it_is_taken_out(profiles: list[str]) -> None:
    found = base({
        "postgres": {"image": "postgres:16"},
        "mysql": {"image": "registry.example/mirror/mysql:8"},
        "cache": {"image": "valkey/valkey:8", "profiles": profiles},
        "redis": {"image": "redis"},
        "api": {"image": "acme/api", "depends_on": {"postgres": {"condition": "service_started"}}},
    })
    made = propose(found, FACTS)
    assert made.alternatives == (("postgres", "mysql"), ("cache", "redis")) or made.alternatives == (
        ("mysql", "postgres"), ("cache", "redis"),
    )  # fmt: skip
    assert "database" not in stack(made).groups
    with_them = stack(made, uncomment=True)
    assert (with_them.groups["database"].alias, with_them.groups["cache"].alias) == ("db", "kv")
    assert choose(with_them, found)[1] == ()


@pytest.mark.parametrize(
    "services",
    [
        {"a": {"image": "postgres:16"}, "b": {"image": "postgres:15"}},
        {"a": {"image": "postgres"}, "b": {"image": "mysql"}, "api": {"image": "x", "depends_on": ["a", "b"]}},
        {
            "a": {"image": "postgres"},
            "b": {"image": "mysql"},
            "api": {"image": "x", "depends_on": ["a"]},
            "job": {"image": "x", "depends_on": ["b"]},
        },
        {"a": {"image": "postgres"}, "b": {"image": "postgres-exporter"}},
        {"a": {"image": "postgres"}, "b": {"image": "redis"}},
    ],
)
def test_what_runs_side_by_side_is_no_alternative(services: dict[str, dict[str, Any]]) -> None:
    assert propose(base(services), FACTS).alternatives == ()


@pytest.mark.parametrize(
    ("key", "value", "wanted"),
    [
        ("URL", "postgres://postgres:5x@postgres:5432/postgres", "postgres://postgres:5x@db:5432/postgres"),
        ("URL", "postgres+psycopg://me:${PASSWORD}@postgres/shop", "postgres+psycopg://me:${PASSWORD}@db/shop"),
        ("JDBC", "jdbc:postgresql://postgres:5432/x", "jdbc:postgresql://db:5432/x"),
        ("NODES", "postgres:1,postgres:2,other:3", "db:1,db:2,other:3"),
        ("DB_HOST", "postgres", "db"),
        ("DB_USER", "postgres", None),
        ("URL", "postgres://postgres@elsewhere/postgres", None),
        ("URL", "http://my-postgres.example/postgres-1", None),
    ],
)
def test_consumers_are_suggested_where_a_variable_names_the_usual_one_as_a_host(
    key: str, value: str, wanted: str | None
) -> None:
    found = base({
        "postgres": {"image": "postgres:16", "environment": {"HOST": "postgres"}},
        "mysql": {"image": "mysql:8"},
        "api": {"image": "acme/api", "environment": {key: value, "OTHER": "1"}, "depends_on": ["postgres"]},
    })
    group = stack(propose(found, FACTS), uncomment=True).groups["database"]
    expected = {"api": {"environment": {key: wanted}}} if wanted else {}
    assert [option.consumers for option in group.options] == [expected, expected]


@pytest.mark.parametrize(
    ("services", "said"),
    [
        ({"db": {"image": "postgres:16"}, "orders": {"image": "ghcr.io/acme/orders:1"}}, "orders.git"),
        ({"a": {"image": "dpage/pgadmin4"}, "b": {"image": "quay.io/minio/minio"}}, "NAME.git"),
    ],
)
def test_sources_are_suggested_for_an_image_of_ones_own(services: dict[str, dict[str, Any]], said: str) -> None:
    assert f"https://git.example/acme/{said}" in propose(base(services), FACTS).config


def test_comments_have_lines_of_a_bearable_length() -> None:
    services = {f"service-with-a-long-name-{n}": {"image": f"x{n}"} for n in range(40)}
    assert max(len(line) for line in propose(base(services), FACTS).config.splitlines()) <= 120


@pytest.mark.parametrize(
    ("context", "found"),
    [
        ("https://git.example/acme/api.git", Found(url="https://git.example/acme/api.git")),
        ("https://g.example/api.git#dev:web", Found(url="https://g.example/api.git", ref="dev", inside="web")),
        ("github.com/acme/api#v1", Found(url="https://github.com/acme/api", ref="v1")),
        ("git@git.example:acme/api.git", Found(url="git@git.example:acme/api.git")),
        ("./api", None),
        ("https://files.example/api.tar.gz", None),
        ("https://git.example/${WHO}/api.git", None),
        ("https://me:secret@git.example/api.git", None),
    ],
)
def test_a_context_that_is_a_url_names_its_repository(context: str, found: Found | None) -> None:
    assert remote(context) == found


def test_the_order_of_services_and_keys_means_nothing() -> None:
    services: dict[str, dict[str, Any]] = {name: {"build": {"context": name}} for name in "cab"}
    assert propose(base(services), FACTS) == propose(base(dict(sorted(services.items()))), FACTS)
