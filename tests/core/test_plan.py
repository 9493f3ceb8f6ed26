"""The steps of a stack."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from hsm_tasks.core.model import Base
from hsm_tasks.core.plan import Plan, handed_over, plan, reachable, synced
from hsm_tasks.core.scene import Paths
from hsm_tasks.core.steps import Build, Render
from tests.support.stage import REPO, chosen, names, scene

DEV = f"mode: dev, {REPO}"


def render(made: Plan, name: str = "api") -> Render:
    return next(step for step in made.renders if step.name == name)


def build(keys: str = "", base: str = "{image: a}", **more: Any) -> Build:
    (step,) = plan(scene(f"services: {{api: {{{DEV}, dev: {{{keys}}}}}}}", f"{{api: {base}}}", **more)).builds
    return step


class TestOrder:
    def test_each_step_comes_after_what_it_reads(self) -> None:
        groups = "groups: {g: {strategy: 1-of-N, alias: db, options: [pg, my], selection: pg}}"
        services = "{api: {image: a, depends_on: {db: {condition: service_healthy}}}, pg: {image: p}, my: {image: m}}"
        made = plan(scene(f"services: {{api: {{{DEV}}}}}\n{groups}", services))
        assert names(made) == [
            "clone:api",
            "resolve:pg",
            "lock",
            "render:api",
            "render:my",
            "render:pg",
            "merge",
            "check",
            "build:api",
            "up:api",
            "up:pg",
        ]
        assert render(made).after == ("clone:api",)
        assert render(made).pins == {"pg (healthcheck)": ".hsm/shop/healthchecks/pg.json"}
        assert made.resolves[0].healthcheck == ".hsm/shop/healthchecks/pg.json"

    def test_an_empty_stack_still_has_an_override(self) -> None:
        assert names(plan(scene("services: {}", "{}"))) == ["lock", "merge", "check"]

    def test_the_override_lies_beside_hsm_yaml(self) -> None:
        made = plan(scene("services: {}", "{}", project="golden"))
        assert (made.merge.project, made.merge.output) == ("golden", ".hsm/shop/override.yml")
        assert made.check.input == made.merge.output
        assert made.check.output == "stacks/shop/docker-compose.hsm.yml"


class TestRender:
    def test_it_waits_for_the_pin_of_its_image(self) -> None:
        assert render(plan(scene("services: {}", "{api: {image: a}}"))).pins == {"api": ".hsm/shop/pins/api.json"}

    def test_the_mounts_that_must_exist_are_seen_from_the_workspace(self) -> None:
        hsm = f"services: {{api: {{{DEV}, dev: {{volumes: ['./src:/s', '../x:/x', '/abs:/a', 'named:/n']}}}}}}"
        made = plan(scene(hsm, "{api: {image: a}}"))
        assert render(made).mounts == ("repos/api/src", "repos/x", "/abs")
        assert made.merge.volumes == ("named",)

    def test_volumes_of_the_base_are_not_declared_again(self) -> None:
        here = scene("services: {api: {prod: {volumes: ['data:/d']}}}", "{api: {image: a}}")
        assert plan(here).merge.volumes == ("data",)
        declared = Base(name="shop", services=here.base.services, volumes={"data": None})
        assert plan(replace(here, base=declared)).merge.volumes == ()


class TestBuild:
    def test_a_build_of_a_checkout(self) -> None:
        step = build("build: {context: sub, dockerfile: D}, volumes: ['./src:/s'], rebuild: [D]")
        assert (step.image, step.context, step.dockerfile) == ("shop-api", "repos/api/sub", "D")
        assert step.hidden == ("repos/api/src",)
        assert [path.rpartition("/")[2] for path in step.rebuild or ()] == ["D"]

    def test_a_build_of_the_base(self) -> None:
        (step,) = plan(scene("services: {}", "{api: {image: mine, build: {context: ./x}}}")).builds
        assert (step.image, step.context, step.dockerfile) == ("mine", "stacks/shop/x", "Dockerfile")

    def test_mounts_of_the_base_hide_files_too(self) -> None:
        volumes = "[{type: bind, source: ./src, target: /s}, {type: volume, source: v, target: /v}]"
        assert build(base=f"{{volumes: {volumes}}}").hidden == ("stacks/shop/src",)

    @pytest.mark.parametrize("context", ["https://git.example/x.git", "${DIR}"])
    def test_sources_that_can_not_be_seen_have_no_folder(self, context: str) -> None:
        assert build(f"build: {{context: '{context}'}}").context is None

    def test_what_consumers_get_and_what_is_rewired_is_part_of_the_recipe(self) -> None:
        groups = (
            "groups: {g: {strategy: 1-of-N, alias: db, selection: pg, "
            "options: {pg: {consumers: {api: {build: {args: {A: pg}}}}}, my: {}}}}"
        )
        services = """
            api: {build: {context: ., args: {B: b}, additional_contexts: {d: "service:db"}}}
            pg: {build: {context: pg}}
            my: {image: m}
        """
        recipe = repr(plan(scene(groups, services)).builds[0].recipe)
        assert "'A': 'pg'" in recipe
        assert "'B': 'b'" in recipe
        assert "service:pg" in recipe

    def test_in_prod_and_off_nothing_is_built(self) -> None:
        groups = "groups: {g: {strategy: M-of-N, options: [off]}}"
        services = "{api: {image: a, build: {context: .}}, off: {build: {context: .}}}"
        assert plan(scene(f"services: {{api: {{}}}}\n{groups}", services)).builds == ()


class TestUp:
    SERVICES = """
        api: {image: a, depends_on: {worker: {condition: service_started}}}
        worker: {image: w, network_mode: "service:deep"}
        deep: {image: d, depends_on: {api: {condition: service_started}}}
        other: {image: o}
    """

    def test_it_needs_the_builds_and_mounts_of_all_that_it_depends_on(self) -> None:
        hsm = f"services: {{worker: {{{DEV}, dev: {{volumes: ['./src:/s']}}}}}}"
        ups = {step.name: step for step in plan(scene(hsm, self.SERVICES)).ups}
        assert (ups["api"].builds, ups["api"].mounts) == (("worker",), ("repos/api/src",))
        assert (ups["other"].builds, ups["other"].mounts) == ((), ())

    def test_a_circle_ends(self) -> None:
        here = chosen("services: {}", self.SERVICES)
        assert reachable("api", here) == {"api", "worker", "deep"}
        assert reachable("other", here) == {"other"}


def test_a_base_in_another_folder_sees_other_paths() -> None:
    paths = Paths(stack="stacks/shop", base="compose", state=".hsm/shop", repos="repos")
    hsm = f"services: {{api: {{{DEV}, dev: {{volumes: ['./src:/s']}}}}}}"
    made = plan(scene(hsm, "{api: {image: a}}", paths=paths))
    assert "'../repos/api'" in repr(render(made).draft)
    assert (render(made).mounts, made.builds[0].context) == (("repos/api/src",), "repos/api")


SERVICES = {
    "api": "{image: a, depends_on: {db: {condition: service_healthy}}}",
    "web": "{image: w, links: [api]}",
    "postgres": "{image: pg, profiles: [x]}",
    "mysql": "{image: my}",
}
NAMED = {
    "api": f"{{{DEV}, dev: {{volumes: ['./src:/src'], ports: ['1:1']}}}}",
    "web": '{prod: {version: "^1.0", limits: {memory: 64M}}}',
    "postgres": "{}",
}
GROUP = (
    "groups: {g: {strategy: 1-of-N, alias: db, options: {mysql: {}, postgres: {consumers: {web: {tty: true}}}}, "
    "selection: postgres}}"
)


@given(st.permutations(sorted(SERVICES)), st.permutations(sorted(NAMED)))
def test_the_order_of_services_never_changes_a_plan(below: list[str], named: list[str]) -> None:
    def made(below: list[str], named: list[str]) -> Plan:
        hsm = "\n".join(f"  {name}: {NAMED[name]}" for name in named)
        return plan(scene(f"services:\n{hsm}\n{GROUP}", "\n".join(f"{name}: {SERVICES[name]}" for name in below)))

    one, other = made(below, named), made(sorted(SERVICES), sorted(NAMED))
    assert one.steps == other.steps
    assert repr(one.renders) == repr(other.renders)


@given(st.sampled_from(["postgres", "mysql"]), st.sets(st.sampled_from(sorted(NAMED))))
def test_no_step_names_an_absolute_path(selection: str, named: set[str]) -> None:
    hsm = "\n".join(f"  {name}: {NAMED[name]}" for name in sorted(named))
    services = "\n".join(f"{name}: {keys}" for name, keys in SERVICES.items())
    group = GROUP.replace("selection: postgres", f"selection: {selection}")
    made = plan(scene(f"services:{'' if named else ' {}'}\n{hsm}\n{group}", services))
    paths = [made.lock.output, made.merge.output, made.check.output, *(path for r in made.renders for path in r.mounts)]
    paths += [step.output for step in made.clones] + [step.output for step in made.resolves]
    paths += [step.output for step in made.renders]
    assert not [path for path in paths if path.startswith("/")]


# --- what compose itself watches


RULES = "[{action: sync, path: src, target: /src}, {action: rebuild, path: a}, {action: restart, path: $HOME/b}]"


def left_to_compose(hsm: str, below: str) -> list[tuple[str, str]]:
    here = scene(hsm, below)
    draft = render(plan(here)).draft
    return [(str(rule["action"]), str(rule["path"])) for rule in handed_over("api", here, draft)]


def test_rules_of_the_dev_section_but_rebuild_are_composes_and_seen_from_the_base() -> None:
    hsm = f"services: {{api: {{mode: dev, {REPO}, dev: {{watch: {RULES}}}}}}}"
    assert left_to_compose(hsm, "api: {image: a}") == [("sync", "../../repos/api/src"), ("restart", "$HOME/b")]


def test_rules_of_the_base_are_composes_too_unless_the_service_is_prod() -> None:
    below = f"api: {{image: a, build: {{context: .}}, develop: {{watch: {RULES}}}}}"
    assert left_to_compose("services: {}", below) == [("sync", "src"), ("restart", "$HOME/b")]
    assert left_to_compose("services: {api: {mode: prod}}", below) == []


def test_what_compose_syncs_is_known_by_its_place_in_the_workspace() -> None:
    here = scene("services: {}", "api: {image: a}")
    told = (("sync+restart", "../x"), ("restart", "y"), ("sync", "$A"))
    assert synced([{"action": action, "path": path} for action, path in told], here) == ("stacks/x",)
