"""hsm.yaml, its includes and hsm.local.yaml: texts to a Stack, or to the whole list of mistakes with their places."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hsm_tasks.core.errors import ConfigError
from hsm_tasks.core.load import Source, includes, load, locate, problem
from hsm_tasks.core.model import Dev, Group, Limits, Option, Prod, Repository, Service, Stack
from hsm_tasks.core.scalars import Schema, schema_from
from hsm_tasks.core.schema import COMPOSE_SERVICE_KEYS

SHOP = """\
name: shop
compose: docker-compose.yml
mode: prod
defaults:
  dev: {environment: {DEBUG: "1"}}
  prod: {limits: {memory: 512M}}

services:
  api:
    mode: dev
    repo: {url: "https://git.example/acme/api.git", ref: main, name: api, submodules: false}
    dev:
      build: {context: ., target: dev}
      volumes: ["./src:/app/src"]
      environment: {LOG_LEVEL: debug}
      ports: ["127.0.0.1:5678:5678"]
      watch: [{action: rebuild, path: package.json}]
      rebuild: [Dockerfile, package.json]
    prod:
      image: registry.example/acme/api
      version: "^1.4"
      limits: {memory: 256M, cpus: "0.50", pids: 200}
      replicas: 2
  web:
    prod: {image: "registry.example/acme/web:2.1"}
  migrate: {oneshot: true}

groups:
  database:
    strategy: 1-of-N
    alias: db
    options:
      postgres: {consumers: {api: {environment: {DATABASE_URL: "postgres://db/shop"}}}}
      mysql:
    selection: postgres
  observability:
    strategy: M-of-N
    options: [prometheus, grafana, jaeger]
    selection: [jaeger, grafana]
  extras:
    strategy: M-of-N
    profiles: [debug, tools]
"""


@cache
def compose_schema() -> Schema:
    return schema_from(files("hsm_tasks.core").joinpath("compose-spec.json").read_text("utf-8"))


def stack(text: str, local: str | None = None, *, common: str | None = None) -> Stack:
    sources = [Source("common.yaml", common, "..")] if common is not None else []
    mine = Source("hsm.local.yaml", local) if local is not None else None
    return load([*sources, Source("hsm.yaml", text)], mine, compose_schema())


def service(text: str, local: str | None = None, *, common: str | None = None) -> Service:
    """The service "a" of a stack."""
    return stack(text, local, common=common).services["a"]


def mistakes(text: str, local: str | None = None, *, common: str | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        stack(text, local, common=common)
    return [str(found) for found in caught.value.problems]


def said(text: str, local: str | None = None, *, common: str | None = None) -> list[str]:
    """The mistakes without their hints."""
    return [found.partition("\n")[0] for found in mistakes(text, local, common=common)]


# -------------------------------------------------------------------------------------------------------- what is read


def test_a_whole_file_becomes_a_stack() -> None:
    loaded = stack(SHOP)
    assert (loaded.name, loaded.compose, loaded.compose_is_list) == ("shop", ("docker-compose.yml",), False)
    assert list(loaded.services) == ["api", "web", "migrate"]
    assert loaded.services["api"] == Service(
        name="api",
        mode="dev",
        repository=Repository(url="https://git.example/acme/api.git", ref="main", name="api"),
        dev=Dev(
            build={"context": ".", "target": "dev"},
            volumes=("./src:/app/src",),
            watch=({"action": "rebuild", "path": "package.json"},),
            rebuild=("Dockerfile", "package.json"),
            keys={"environment": {"DEBUG": "1", "LOG_LEVEL": "debug"}, "ports": ["127.0.0.1:5678:5678"]},
        ),
        prod=Prod(
            image="registry.example/acme/api",
            version="^1.4",
            limits=Limits(memory="256M", cpus="0.50", pids=200),
            replicas=2,
        ),
    )
    assert loaded.services["migrate"].oneshot
    assert loaded.services["web"].prod == Prod(image="registry.example/acme/web:2.1", limits=Limits(memory="512M"))


def test_groups_keep_the_order_of_their_options() -> None:
    groups = stack(SHOP).groups
    url: dict[str, Any] = {"environment": {"DATABASE_URL": "postgres://db/shop"}}
    assert groups["database"] == Group(
        name="database",
        strategy="1-of-N",
        alias="db",
        options=(Option(name="postgres", consumers={"api": url}), Option(name="mysql")),
        selection=("postgres",),
    )
    assert groups["observability"].selection == ("grafana", "jaeger")
    assert groups["extras"].profiles and groups["extras"].names == ("debug", "tools")


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "services:\n", "services: {}\ngroups: {}\ndefaults:\n"])
def test_an_empty_file_is_a_stack_without_services(text: str) -> None:
    assert stack(text) == Stack(name=None, compose=None, compose_is_list=False, services={}, groups={})


@pytest.mark.parametrize(
    "text", ["services: {a: }", "services: {a: {}}", "services: {a: {mode: , repo: , dev: , prod: }}"]
)
def test_a_key_without_a_value_says_nothing(text: str) -> None:
    assert service(text) == Service(name="a", mode="prod")


def test_compose_files_may_be_a_list() -> None:
    loaded = stack("compose: [a.yml, b.yml]")
    assert (loaded.compose, loaded.compose_is_list) == (("a.yml", "b.yml"), True)


def test_strings_stay_strings() -> None:
    text = "services: {a: {repo: {url: /x/y, ref: 0123456}, dev: {ports: [22:22], environment: {A: no, B: 08, C: }}}}"
    loaded = service(text)
    assert loaded.repository == Repository(url="/x/y", name="y", ref="0123456")
    assert loaded.dev.keys == {"ports": ["22:22"], "environment": {"A": "no", "B": "08", "C": None}}


def test_extension_keys_hold_anchors_and_nothing_else() -> None:
    text = "x-env: &env {A: '1'}\nservices: {a: {dev: {environment: {<<: *env, B: '2'}}}}"
    assert service(text).dev.keys == {"environment": {"A": "1", "B": "2"}}


def test_a_build_in_short_form_is_a_context() -> None:
    assert service("services: {a: {dev: {build: ./sub}}}").dev.build == {"context": "./sub"}


def test_a_service_without_a_mode_has_that_of_the_stack() -> None:
    loaded = stack("mode: dev\nservices: {a: , b: {mode: prod}}")
    assert (loaded.services["a"].mode, loaded.services["b"].mode) == ("dev", "prod")


def test_a_checkout_is_named_by_the_last_part_of_its_url() -> None:
    repository = service("services: {a: {repo: {url: 'git@git.example:acme/shop.git'}}}").repository
    assert repository == Repository(url="git@git.example:acme/shop.git", name="shop", ref="HEAD")


def test_two_ways_to_write_one_path_are_one_repository() -> None:
    services = stack("services: {a: {repo: {url: ../up/x}}, b: {repo: {url: ../up/./x/}}}").services
    assert services["a"].repository == services["b"].repository


def test_an_image_with_a_variable_is_left_for_compose() -> None:
    assert service('services: {a: {prod: {image: "${REGISTRY}/x:${TAG:-1}"}}}').prod.image == "${REGISTRY}/x:${TAG:-1}"


# ------------------------------------------------------------------------------------------------------------ defaults


def test_defaults_merge_maps_by_key_and_append_lists() -> None:
    text = """
defaults:
  dev: {environment: {A: "1", B: "1"}, volumes: [x:/x], ports: ["1:1"], build: {args: {P: "1"}}, command: [run]}
services:
  a: {dev: {environment: {B: "2"}, volumes: [y:/y], ports: ["2:2"], build: ./sub, command: [serve]}}
"""
    assert service(text).dev == Dev(
        build={"context": "./sub", "args": {"P": "1"}},
        volumes=("x:/x", "y:/y"),
        keys={"environment": {"A": "1", "B": "2"}, "ports": ["1:1", "2:2"], "command": ["serve"]},
    )


@pytest.mark.parametrize(
    ("under", "over", "result"),
    [
        ("environment: [A=1, B]", "environment: {A: '2'}", {"environment": {"A": "2", "B": None}}),
        ("environment: {A: '1'}", "environment: [A=2]", {"environment": {"A": "2"}}),
        ("environment: {A: '1'}", "environment: ", {"environment": {"A": "1"}}),
        ("environment: {A: '1'}", "environment: {A: }", {"environment": {"A": None}}),
        ("networks: [x]", "networks: {y: }", {"networks": {"x": None, "y": None}}),
        ("depends_on: [x]", "depends_on: {y: {condition: service_healthy}}",
         {"depends_on": {"x": {"condition": "service_started"}, "y": {"condition": "service_healthy"}}}),
        ("ports: ['1:1']", "ports: ", {"ports": ["1:1"]}),
        ("user: '1'", "user: '2'", {"user": "2"}),
        ("ulimits: {nofile: 3}", "ulimits: {nofile: {soft: 1, hard: 2}}",
         {"ulimits": {"nofile": {"soft": "1", "hard": "2"}}}),
    ],
)  # fmt: skip
def test_defaults_and_a_service_may_differ_in_form(under: str, over: str, result: dict[str, Any]) -> None:
    text = f"defaults: {{dev: {{{under}}}}}\nservices: {{a: {{dev: {{{over}}}}}}}"
    assert service(text).dev.keys == result


def test_defaults_are_not_for_a_service_that_only_hsm_local_yaml_names() -> None:
    loaded = stack("defaults: {dev: {user: '1'}}\nservices: {b: }", "services: {a: {mode: dev}}")
    assert loaded.services["a"] == Service(name="a", mode="dev")
    assert loaded.services["b"].dev.keys == {"user": "1"}


# ------------------------------------------------------------------------------------------------------------ includes


def test_includes_are_named_as_written_even_if_the_rest_is_wrong() -> None:
    assert includes("include: [../a.yaml, b.yaml, [x], '']\nmod: 3", "hsm.yaml") == ("../a.yaml", "b.yaml")
    assert [includes(text, "hsm.yaml") for text in ("", "[a]", "include: a", "include: ")] == [(), (), (), ()]
    with pytest.raises(ConfigError):
        includes("a: [", "hsm.yaml")


def test_later_files_win_maps_by_key_and_lists_whole() -> None:
    common = "mode: dev\nservices: {a: {dev: {ports: ['1:1'], environment: {A: '1', B: '1'}}}, b: }"
    loaded = stack("mode: prod\nservices: {a: {dev: {ports: ['2:2'], environment: {B: '2'}}}}", common=common)
    assert loaded.services["a"].mode == "prod"
    assert loaded.services["a"].dev.keys == {"ports": ["2:2"], "environment": {"A": "1", "B": "2"}}
    assert "b" in loaded.services


def test_an_empty_key_takes_no_mapping_away() -> None:
    assert service("services: \n", common="services: {a: {mode: dev}}").mode == "dev"
    assert service("services: {a: }", common="services: {a: {mode: dev}}").mode == "dev"


@pytest.mark.parametrize(
    ("url", "seen"),
    [("up/x.git", "../up/x.git"), ("../x.git", "../../x.git"), ("/srv/x.git", "/srv/x.git"), ("h:x.git", "h:x.git")],
)
def test_a_relative_url_of_an_included_file_is_relative_to_it(url: str, seen: str) -> None:
    repository = service("services: {}", common=f"services: {{a: {{repo: {{url: '{url}'}}}}}}").repository
    assert repository is not None and repository.url == seen


def test_an_included_folder_below_is_seen_from_the_main_one() -> None:
    sources = [Source("sub/c.yaml", "services: {a: {repo: {url: ../x.git}}}", "sub"), Source("hsm.yaml", "")]
    repository = load(sources).services["a"].repository
    assert repository is not None and repository.url == "./x.git"


def test_a_url_and_a_ref_may_come_from_two_files() -> None:
    loaded = service("services: {a: {repo: {ref: v1}}}", common="services: {a: {repo: {url: /x/y}}}")
    assert loaded.repository == Repository(url="/x/y", name="y", ref="v1")


def test_a_mistake_is_told_at_the_place_of_its_own_file() -> None:
    common = "services:\n  a:\n    mode: develop\n    repo: {url: /x/y, ref: ..}\n"
    assert said("servces: {}\n", common=common) == [
        'common.yaml:3:11: services.a.mode: "develop" is not a mode (dev or prod)',
        "common.yaml:4:28: services.a.repo.ref: a ref may not have '..' in it",
        "hsm.yaml:1:1: servces: unknown key",
    ]


def test_files_that_are_no_yaml_are_told_together() -> None:
    assert [line.partition(": ")[0] for line in said("a: [", common="a: [")] == ["common.yaml:2:1", "hsm.yaml:2:1"]


# ------------------------------------------------------------------------------------------------------ hsm.local.yaml


def test_hsm_local_yaml_sets_modes_selections_refs_and_checkouts() -> None:
    local = """
mode: dev
services:
  api: {mode: prod, repo: {ref: topic, path: ../api}, prod: {version: "^2"}, dev: {environment: {MINE: "1"}}}
groups:
  database: {selection: mysql}
  observability: {selection: []}
"""
    loaded = stack(SHOP, local)
    api = loaded.services["api"]
    assert (api.mode, loaded.services["web"].mode) == ("prod", "dev")
    assert api.repository == Repository(url="https://git.example/acme/api.git", name="api", ref="topic", path="../api")
    assert api.prod.version == "^2"
    assert api.dev.keys["environment"] == {"DEBUG": "1", "LOG_LEVEL": "debug", "MINE": "1"}
    assert (loaded.groups["database"].selection, loaded.groups["observability"].selection) == (("mysql",), ())


def test_my_own_image_with_a_tag_takes_the_place_of_image_and_version() -> None:
    text = "services: {a: {prod: {image: x/y, version: ^1}}}"
    assert service(text, "services: {a: {prod: {image: 'x/y:dev'}}}").prod == Prod(image="x/y:dev")
    assert service(text, "services: {a: {prod: {image: x/z}}}").prod == Prod(image="x/z", version="^1")
    assert service(text, "services: {a: {prod: {image: '${MINE}'}}}").prod == Prod(image="${MINE}", version="^1")


def test_hsm_local_yaml_may_set_nothing_else() -> None:
    local = """\
name: x
services:
  api: {oneshot: true, repo: {url: /x}, prod: {replicas: 3}, mod: dev}
groups: {database: {alias: q}}
"""
    may = "may not set this"
    assert said(SHOP, local) == [
        f"hsm.local.yaml:1:1: name: hsm.local.yaml {may}",
        f"hsm.local.yaml:3:9: services.api.oneshot: hsm.local.yaml {may}",
        f"hsm.local.yaml:3:31: services.api.repo.url: hsm.local.yaml {may}",
        f"hsm.local.yaml:3:48: services.api.prod.replicas: hsm.local.yaml {may}",
        f"hsm.local.yaml:3:62: services.api.mod: hsm.local.yaml {may}",
        f"hsm.local.yaml:4:21: groups.database.alias: hsm.local.yaml {may}",
    ]
    hints = mistakes(SHOP, local)
    assert "hint: hsm.local.yaml may set mode, services.*.mode, " in hints[0]
    assert hints[4].endswith('hint: did you mean "mode"?')


def test_what_hsm_local_yaml_names_must_be_there() -> None:
    local = "services: {web: {repo: {ref: x}}, apy: {repo: {path: x}}}\ngroups: {databse: {selection: mysql}, zz: {}}"
    assert mistakes(SHOP, local) == [
        "hsm.local.yaml:1:18: services.web.repo: hsm.yaml names no repository for this service",
        "hsm.local.yaml:1:41: services.apy.repo: hsm.yaml names no repository for this service\n"
        '  hint: did you mean "api"?',
        'hsm.local.yaml:2:10: groups.databse: hsm.yaml has no such group\n  hint: did you mean "database"?',
        "hsm.local.yaml:2:39: groups.zz: hsm.yaml has no such group\n"
        "  hint: take it out of hsm.local.yaml, where a switch may have put it",
    ]


def test_an_empty_path_is_no_checkout() -> None:
    assert said(SHOP, "services: {api: {repo: {path: ''}}}") == [
        "hsm.local.yaml:1:31: services.api.repo.path: the path is empty"
    ]


def test_a_selection_that_is_wrong_locally_is_told_there() -> None:
    assert said(SHOP, "groups: {database: {selection: orcale}}") == [
        'hsm.local.yaml:1:32: groups.database.selection: "orcale" is not an option of this group'
    ]


# ------------------------------------------------------------------------------------------------- mistakes of form


def test_the_example_of_the_manual_is_told_word_for_word() -> None:
    text = "\n" * 9 + "services:\n  api:\n    mode: develop\n"
    with pytest.raises(ConfigError) as caught:
        load([Source("stacks/shop/hsm.yaml", text)])
    assert str(caught.value) == (
        'stacks/shop/hsm.yaml:12:11: services.api.mode: "develop" is not a mode (dev or prod)\n'
        '  hint: did you mean "dev"?'
    )


def test_all_mistakes_of_form_and_of_meaning_are_told_at_once() -> None:
    text = """\
nam: shop
name: [a]
services:
  a: {mode: [dev], repo: /x/y, dev: {imag: 1, envronment: 2, build: [q], watch: [x]}, oneshot: yes}
  b: [x]
  c: {prod: {replicas: two, limits: {pids: x, mem: 1, memory: much}}, repo: {url: {}}}
  d: {repo: {ref: -x}, prod: {image: X/Y, version: "?"}}
  a: {}
groups:
  g: {options: 3, selection: {}, strategy: oneofn, consumers: 3}
  h: {strategy: 1-of-N, optoins: [r, s], selection: r}
  i: {strategy: M-of-N, options: [t, {u: v}]}
"""
    assert said(text) == [
        "hsm.yaml:1:1: nam: unknown key",
        "hsm.yaml:2:7: name: must be text, not a list",
        "hsm.yaml:5:6: services.b: must be a mapping, not a list",
        'hsm.yaml:6:24: services.c.prod.replicas: "two" is not a number of containers (0 or more)',
        'hsm.yaml:6:44: services.c.prod.limits.pids: "x" is not a number of processes (1 or more, -1 for no limit)',
        "hsm.yaml:6:47: services.c.prod.limits.mem: unknown key",
        'hsm.yaml:6:63: services.c.prod.limits.memory: "much" is not an amount of memory',
        "hsm.yaml:6:83: services.c.repo.url: must be text, not a mapping",
        "hsm.yaml:7:7: services.d.repo.url: the url of the repository is missing",
        'hsm.yaml:7:19: services.d.repo.ref: the ref "-x" may not begin with "-": git would take it for an option',
        'hsm.yaml:7:38: services.d.prod.image: the image name "X/Y" must be in lower case: "X"',
        'hsm.yaml:7:52: services.d.prod.version: "?" is not a range of versions '
        "(^1.4, ~16.2, >=1.2,<2, 1.x or =1.4.0, each also with a variant as in ~16-alpine)",
        "hsm.yaml:8:3: services.a: the key is there already, in line 4",
        'hsm.yaml:10:16: groups.g.options: must be a list or a mapping, not "3"',
        "hsm.yaml:10:30: groups.g.selection: must be text or a list, not a mapping",
        'hsm.yaml:10:44: groups.g.strategy: "oneofn" is not a strategy (1-of-N or M-of-N)',
        "hsm.yaml:10:52: groups.g.consumers: unknown key",
        "hsm.yaml:11:25: groups.h.optoins: unknown key",
        "hsm.yaml:12:38: groups.i.options[1]: must be text, not a mapping",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[a]", "hsm.yaml:1:1: must be a mapping, not a list"),
        ("text", 'hsm.yaml:1:1: must be a mapping, not "text"'),
        ("services: {a: {repo: https://x/y}}",
         'hsm.yaml:1:22: services.a.repo: must be a mapping, not "https://x/y"\n  hint: write repo: {url: ...}'),
        ("services: {a: {repo: {branch: x, url: /x/y}}}",
         "hsm.yaml:1:23: services.a.repo.branch: the key has no meaning here\n"
         '  hint: the word is "ref", for a branch, a tag or a commit'),
        ("services: {a: {repo: {path: x, url: /x/y}}}",
         "hsm.yaml:1:23: services.a.repo.path: the key has no meaning here\n"
         "  hint: a checkout of your own is named in hsm.local.yaml"),
        ("services: {a: {dev: {image: x}}}",
         "hsm.yaml:1:22: services.a.dev.image: the key has no meaning here\n"
         "  hint: an image is what prod runs: put it under prod"),
        ("services: {a: {prod: {build: .}}}",
         "hsm.yaml:1:23: services.a.prod.build: the key has no meaning here\n"
         "  hint: a build from sources is what dev does: put it under dev"),
        ("services: {a: {prod: {imag: x}}}",
         'hsm.yaml:1:23: services.a.prod.imag: unknown key\n  hint: did you mean "image"?'),
        ("services: {a: {Mode: dev}}",
         'hsm.yaml:1:16: services.a.Mode: unknown key\n  hint: did you mean "mode"?'),
        ("services: {a: {oneshot: yes}}", 'hsm.yaml:1:25: services.a.oneshot: "yes" is not true or false'),
        ("services: {a: {dev: {volumes: [[x]]}}}",
         "hsm.yaml:1:32: services.a.dev.volumes[0]: must be text or a mapping, not a list"),
        ("services: {a: {dev: {volumes: [~]}}}",
         "hsm.yaml:1:32: services.a.dev.volumes[0]: must be text or a mapping, not nothing"),
        ("services: {a: {dev: !x {user: q}}}",
         "hsm.yaml:1:21: services.a.dev: the tag !x means nothing here\n  hint: leave it out"),
    ],
)  # fmt: skip
def test_a_mistake_of_form_says_what_would_be_right(text: str, expected: str) -> None:
    assert mistakes(text) == [expected]


def test_what_compose_would_refuse_is_told_as_well() -> None:
    text = """\
defaults: {prod: {restart: [x]}}
services:
  a: {dev: {ports: 3, watch: [{action: syn, path: .}], healthcheck: {tst: x}}}
groups: {g: {strategy: M-of-N, options: {b: {consumers: {a: {environment: x, foo: 1}}}, c: }}}
"""
    assert mistakes(text) == [
        "hsm.yaml:1:28: defaults.prod.restart: must be text, not a list",
        'hsm.yaml:3:20: services.a.dev.ports: must be a list, not "3"',
        'hsm.yaml:3:40: services.a.dev.watch[0].action: "syn" is not one of rebuild, sync, restart, sync+restart, '
        'sync+exec\n  hint: did you mean "sync"?',
        'hsm.yaml:3:75: services.a.dev.healthcheck.tst: compose knows no such key here\n  hint: did you mean "test"?',
        'hsm.yaml:4:75: groups.g.options.b.consumers.a.environment: must be a mapping or a list, not "x"',
        "hsm.yaml:4:78: groups.g.options.b.consumers.a.foo: unknown key",
    ]


def test_a_mistake_in_defaults_is_told_once_and_there() -> None:
    text = "defaults: {prod: {limits: {memory: much}, version: '?'}}\nservices: {a: , b: }"
    assert [line.partition(": ")[0] for line in said(text)] == ["hsm.yaml:1:36", "hsm.yaml:1:52"]


def test_the_keys_of_a_service_are_those_of_the_compose_schema() -> None:
    assert frozenset(compose_schema().service.names) == COMPOSE_SERVICE_KEYS


# ---------------------------------------------------------------------------------------------- mistakes of meaning


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name: Shop", '1:7: name: "Shop" is not a name for a compose project '
         '(lower case letters, digits, "_" and "-", the first a letter or a digit)'),
        ("compose: []", "1:10: compose: names no file"),
        ("compose: [a, '']", "1:10: compose: names no file"),
        ("include: ['']", "1:10: include: names no file"),
        ("services: {'a b': }", '1:12: services.a b: "a b" is not a name for a service '
         '(letters, digits, ".", "_" and "-", the first no "-")'),
        ("services: {-a: }", '1:12: services.-a: "-a" is not a name for a service '
         '(letters, digits, ".", "_" and "-", the first no "-")'),
        ("services: {a: {repo: {ref: x}}}", "1:16: services.a.repo.url: the url of the repository is missing"),
        ("services: {a: {repo: {url: /}}}",
         "1:28: services.a.repo.url: no name for a folder can be taken from the url"),
        ("services: {a: {repo: {url: 'ext::sh -c x'}}}",
         '1:28: services.a.repo.url: the transport "ext::" may run programs'),
        ("services: {a: {repo: {url: /x/y, name: ../z}}}", '1:40: services.a.repo.name: "../z" is not a name for a '
         'folder (letters, digits, ".", "_", "+" and "-", the first a letter, a digit or "_")'),
        ("services: {a: {repo: {url: /x/y, name: -z}}}", '1:40: services.a.repo.name: "-z" is not a name for a '
         'folder (letters, digits, ".", "_", "+" and "-", the first a letter, a digit or "_")'),
        ("services: {a: {prod: {image: 'x:1', version: ^1}}}",
         '1:46: services.a.prod.version: "^1" stands beside the tag "1" in the image'),
        ("targets: {x: {hots: y}}", "1:15: targets.x.hots: unknown key"),
        ("targets: {../x: {host: y}}", '1:11: targets.../x: "../x" is not a name for a target'),
        ("services: {a: {prod: {replicas: -1}}}",
         '1:33: services.a.prod.replicas: "-1" is not a number of containers (0 or more)'),
        ("services: {a: {prod: {limits: {cpus: many}}}}",
         '1:38: services.a.prod.limits.cpus: "many" is not a number of processors'),
        ("services: {a: {prod: {limits: {pids: 0}}}}",
         '1:38: services.a.prod.limits.pids: "0" is not a number of processes (1 or more, -1 for no limit)'),
    ],
)  # fmt: skip
def test_a_service_that_makes_no_sense_is_refused(text: str, expected: str) -> None:
    assert said(text) == [f"hsm.yaml:{expected}"]


def test_a_version_beside_a_digest_is_refused() -> None:
    text = f"services: {{a: {{prod: {{image: 'x@sha256:{'0' * 64}', version: ^1}}}}}}"
    assert "stands beside the digest" in said(text)[0]


def test_a_version_of_the_defaults_does_not_fit_an_image_with_a_tag() -> None:
    assert said("defaults: {prod: {version: ^1}}\nservices: {a: {prod: {image: 'x:1'}}, b: {prod: {image: x}}}") == [
        'hsm.yaml:1:28: services.a.prod.version: "^1" stands beside the tag "1" in the image'
    ]
    assert len(said("defaults: {prod: {image: 'x:1'}}\nservices: {a: {prod: {version: ^1}}}")) == 1
    assert len(said("defaults: {prod: {image: 'X:1'}}\nservices: {a: {prod: {version: ^1}}}")) == 1


def test_a_password_in_a_url_is_refused_and_not_repeated() -> None:
    found = mistakes("services: {a: {repo: {url: 'https://me:s3cret@git.example/x.git'}}}")
    assert found == [
        "hsm.yaml:1:28: services.a.repo.url: there is a password in the url\n"
        "  hint: leave it out, and let a credential helper of git or an ssh key supply it"
    ]


def test_one_checkout_can_not_be_two_things() -> None:
    text = """\
services:
  a: {repo: {url: /x/y}}
  b: {repo: {url: /x/y.git}}
  c: {repo: {url: /x/y, ref: v1}}
  d: {repo: {url: /x/y}}
  e: {repo: {url: /z/y, name: z}}
"""
    assert mistakes(text) == [
        'hsm.yaml:3:13: services.b.repo: the checkout "y" is also that of service "a", with another url\n'
        "  hint: set repo.name of one of them, or the same url and ref for b and a",
        'hsm.yaml:4:13: services.c.repo: the checkout "y" is also that of service "a", with another ref ("HEAD")\n'
        "  hint: set repo.name of one of them, or the same url and ref for c and a",
    ]


def test_a_checkout_of_my_own_is_in_nobodys_way() -> None:
    text = "services: {a: {repo: {url: /x/y}}, b: {repo: {url: /x/y}}}"
    loaded = stack(text, "services: {b: {repo: {ref: topic, path: ../y}}}")
    assert loaded.services["b"].repository == Repository(url="/x/y", name="y", ref="topic", path="../y")


@pytest.mark.parametrize(
    ("group", "expected"),
    [
        ("{}", ["1:10: groups.g.options: there are no options to choose from",
                "1:10: groups.g.strategy: the strategy is missing (1-of-N or M-of-N)"]),
        ("{strategy: M-of-N, options: [], selection: [x]}",
         ["1:41: groups.g.options: there are no options to choose from",
          '1:56: groups.g.selection: "x" is not an option of this group']),
        ("{strategy: M-of-N, options: [a], profiles: [b]}",
         ["1:56: groups.g.profiles: a group has either options or profiles"]),
        ("{strategy: M-of-N, options: [a, a], selection: [a, a]}",
         ['1:41: groups.g.options: "a" stands there twice', '1:60: groups.g.selection: "a" stands there twice']),
        ("{strategy: M-of-N, options: [a b]}",
         ['1:41: groups.g.options: "a b" is not a name for an option '
          '(letters, digits, ".", "_" and "-", the first no "-")']),
        ("{strategy: 1-of-N, options: [a, b]}",
         ["1:10: groups.g.selection: exactly one option is needed, none is selected"]),
        ("{strategy: 1-of-N, options: [a, b], selection: [a, b]}",
         ["1:60: groups.g.selection: exactly one option is needed, 2 are selected"]),
        ("{strategy: M-of-N, options: [aa, b], selection: ab}",
         ['1:61: groups.g.selection: "ab" is not an option of this group']),
        ("{strategy: M-of-N, options: [a], alias: x}",
         ["1:53: groups.g.alias: an alias needs the strategy 1-of-N: only one service can answer to it"]),
        ("{strategy: 1-of-N, profiles: [a], selection: a, alias: x}",
         ["1:68: groups.g.alias: an alias needs options that are services, not profiles"]),
        ("{strategy: 1-of-N, options: [a], selection: a, alias: a}",
         ['1:67: groups.g.alias: "a" is the name of a service']),
        ("{strategy: 1-of-N, options: [a], selection: a, alias: -x}",
         ['1:67: groups.g.alias: "-x" is not a name that services can be reached by '
          '(letters, digits, ".", "_" and "-", the first no "-")']),
    ],
)  # fmt: skip
def test_a_group_that_makes_no_sense_is_refused(group: str, expected: list[str]) -> None:
    assert said(f"groups: {{g: {group}}}") == [f"hsm.yaml:{line}" for line in expected]


def test_an_option_and_an_alias_have_one_owner() -> None:
    text = """\
services: {web: }
groups:
  a: {strategy: 1-of-N, options: [x, y], selection: x, alias: db}
  b: {strategy: 1-of-N, options: [y, z], selection: z, alias: db}
  c: {strategy: M-of-N, profiles: [x]}
  d: {strategy: 1-of-N, options: [u], selection: u, alias: web}
"""
    assert said(text) == [
        'hsm.yaml:4:34: groups.b.options: "y" belongs to the group "a" already',
        'hsm.yaml:4:63: groups.b.alias: "db" is the alias of the group "a" already',
        'hsm.yaml:5:35: groups.c.profiles: "x" belongs to the group "a" already',
        'hsm.yaml:6:60: groups.d.alias: "web" is the name of a service',
    ]


# -------------------------------------------------------------------------------------------------------------- places


PLACES = (
    Source(
        "common.yaml", "x: &x {k: 1}\nservices:\n  api: {dev: {<<: *x, ports: [1, 2]}}\ndefaults: {dev: {user: me}}\n"
    ),
    Source("hsm.yaml", "services:\n  api:\n    mode: dev\n    dev:\n      env: *y\n"),
)


@pytest.mark.parametrize(
    ("path", "place"),
    [
        (("services", "api", "mode"), ("hsm.yaml", 3, 11)),
        (("services", "api"), ("hsm.yaml", 2, 3)),
        (("services", "api", "dev", "ports", 1), ("common.yaml", 3, 34)),
        (("services", "api", "dev", "ports", 7), ("common.yaml", 3, 23)),
        (("services", "api", "dev", "k"), ("common.yaml", 1, 11)),
        (("services", "api", "dev", "user"), ("common.yaml", 4, 24)),
        (("services", "api", "prod"), ("hsm.yaml", 2, 3)),
        (("services", "web", "mode"), ("hsm.yaml", 1, 1)),
        (("nothing",), ("hsm.yaml", 1, 1)),
        ((), ("hsm.yaml", 1, 1)),
    ],
)
def test_a_path_is_found_in_the_last_file_that_has_it(path: tuple[str | int, ...], place: tuple[str, int, int]) -> None:
    assert locate(PLACES, path) == place


def test_without_files_there_is_no_place() -> None:
    assert locate([], ("a",)) == ("", 1, 1)
    assert locate([Source("empty.yaml", "")], ("a",)) == ("empty.yaml", 1, 1)
    assert locate([Source("broken.yaml", "a: [")], ("a",)) == ("broken.yaml", 1, 1)


def test_the_place_of_merged_lists_of_mappings_is_where_they_stand() -> None:
    text = "x: &x {k: 1}\na:\n  <<: [*x, {l: 2}]\n"
    assert locate([Source("f", text)], ("a", "l")) == ("f", 3, 16)
    assert locate([Source("f", text)], ("a", "k")) == ("f", 1, 11)


def test_a_problem_has_place_path_message_and_hint() -> None:
    found = problem(PLACES, ("services", "api", "dev", "ports", 1), "wrong", "right", key=True)
    assert str(found) == "common.yaml:3:34: services.api.dev.ports[1]: wrong\n  hint: right"


# ---------------------------------------------------------------------------------------------------------- robustness


words = st.sampled_from(
    ["name", "mode", "dev", "prod", "services", "groups", "repo", "url", "options", "selection", "strategy", "1-of-N",
     "compose", "include", "defaults", "build", "limits", "pids", "consumers", "a", "3", "", "x-a", "alias", "profiles"]
)  # fmt: skip
trees = st.recursive(
    st.none() | words,
    lambda below: st.lists(below, max_size=3) | st.dictionaries(words, below, max_size=4),
    max_leaves=15,
)
formed = st.fixed_dictionaries(
    {"services": st.dictionaries(words, trees, max_size=3), "groups": st.dictionaries(words, trees, max_size=3)}
)


@settings(max_examples=200, deadline=None)
@given(trees | formed, st.none() | trees | formed)
def test_any_tree_is_a_stack_or_mistakes_with_places(tree: Any, mine: Any) -> None:
    import json

    try:
        stack(json.dumps(tree), None if mine is None else json.dumps(mine), common=json.dumps(mine))
    except ConfigError as error:
        assert all(found.line >= 1 and found.column >= 1 and found.file for found in error.problems)


@pytest.mark.parametrize("text", ["services: 'null'", "services: {api: 'Null'}", "groups: {db: {options: 'NULL'}}"])
def test_the_word_null_in_quotes_is_text(text: str) -> None:
    """msgspec reads it as nothing."""
    for files_of in ((Source("hsm.yaml", text, "."), None), (Source("hsm.yaml", "", "."), Source("mine", text, "."))):
        with pytest.raises(ConfigError):
            load([files_of[0]], files_of[1])
