"""What a form says of its service."""

from __future__ import annotations

from hsm_tasks.core.forms import as_map, hard, needs, soft
from tests.support.stage import REPO, chosen, tree


def test_every_kind_of_soft_reference_is_found() -> None:
    assert list(soft(tree("{depends_on: [a], links: [b, 'c:d']}"))) == ["a", "b", "c"]
    assert list(soft(tree("{depends_on: {a: {condition: x}}}"))) == ["a"]


def test_every_kind_of_hard_reference_is_found() -> None:
    keys = tree("""
        volumes_from: ["a:ro", "container:x"]
        network_mode: "service:b"
        ipc: host
        pid: "service:c"
        build: {additional_contexts: {one: "service:d", two: ./e}}
    """)
    assert list(hard(keys)) == [
        ("volumes_from", "a"),
        ("network_mode", "b"),
        ("pid", "c"),
        ("build.additional_contexts", "d"),
    ]
    assert list(hard(tree('{build: {additional_contexts: ["one=service:d"]}}'))) == [("build.additional_contexts", "d")]


def test_who_is_needed_is_known_by_the_names_that_run() -> None:
    services = """
        api: {image: a, depends_on: {db: {condition: service_started}, off: {condition: service_started}}, links: [api]}
        mysql: {image: m}
        off: {image: o}
    """
    group = "{strategy: 1-of-N, alias: db, options: [mysql], selection: mysql}"
    here = chosen(f"groups: {{a: {group}, b: {{strategy: M-of-N, options: [off]}}}}", services)
    assert here.needs("api") == ("mysql",)
    assert needs(here.forms["api"], {}) == ("db", "off")


def test_a_build_of_the_base_counts_only_where_it_is_built() -> None:
    services = """
        api: {image: a, build: {context: ., additional_contexts: {x: "service:tool"}}}
        tool: {build: {context: t}}
    """
    assert chosen("services: {api: {}}", services).needs("api") == ()
    assert chosen("services: {api: {mode: dev}}", services).needs("api") == ("tool",)
    assert chosen(f"services: {{api: {{mode: dev, {REPO}}}}}", services).needs("api") == ()
    assert chosen("services: {}", services).needs("api") == ("tool",)


def test_a_build_has_the_name_that_compose_gives_it() -> None:
    services = "{api: {image: upstream, build: {context: .}}, web: {build: {context: .}}}"
    assert chosen("services: {api: {mode: dev}}", services).forms["api"].built_as("shop") == "shop-api"
    assert chosen("services: {}", services).forms["api"].built_as("shop") == "upstream"
    assert chosen("services: {}", services).forms["web"].built_as("shop") == "shop-web"


def test_a_list_of_pairs_is_a_map() -> None:
    assert as_map(["A=1=2", "B", "C="]) == {"A": "1=2", "B": None, "C": ""}
    assert as_map({"A": 1}) == {"A": 1}
    assert as_map(None) == as_map("text") == {}
