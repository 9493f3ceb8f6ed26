"""References to services: kept, rewired or dropped."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsm_tasks.core.references import Condition
from hsm_tasks.core.yamltext import Override, Reset
from tests.support.stage import chosen, drawn, fragment, tree

DATABASE = "db: {strategy: 1-of-N, alias: db, options: [postgres, mysql], selection: postgres}"
OFF = "off: {strategy: M-of-N, options: [mail]}"
GROUPS = f"groups: {{{DATABASE}, {OFF}}}"
OTHERS = "postgres: {image: pg, healthcheck: {test: x}}, mysql: {image: my}, mail: {image: m}, cache: {image: c}"


def api(keys: str, hsm: str = GROUPS, others: str = OTHERS) -> Any:
    """What is drawn of the references of a service with these keys, its image apart."""
    draft = dict(drawn(hsm, f"{{api: {{image: a, {keys}}}, {others}}}"))
    draft.pop("image", None)
    return draft


def depends(entries: str, hsm: str = GROUPS, others: str = OTHERS) -> Any:
    return api(f"depends_on: {entries}", hsm, others).get("depends_on")


def entry(condition: str = "service_started", **more: Any) -> dict[str, Any]:
    return {"condition": condition, "required": True, **more}


class TestDependsOn:
    def test_nothing_is_drawn_where_nothing_changes(self) -> None:
        assert api("depends_on: {cache: {condition: service_started, required: false}}") == {}

    def test_a_direct_reference_to_the_chosen_one_leaves_only_its_label(self) -> None:
        drawn_keys = api("depends_on: {postgres: {condition: service_healthy, required: true}}")
        assert drawn_keys == {"labels": {"hsm.group.db": "postgres"}}

    @pytest.mark.parametrize("name", ["db", "mysql"])
    def test_an_alias_and_an_option_that_is_off_lead_to_the_chosen_one(self, name: str) -> None:
        assert depends(f"{{{name}: {{condition: service_started}}}}") == Override({"postgres": entry()})

    def test_the_list_form_is_understood(self) -> None:
        assert depends("[db, cache]") == Override({"cache": entry(), "postgres": entry()})

    def test_an_m_of_n_option_that_is_off_is_dropped(self) -> None:
        assert depends("{mail: {condition: service_started}, cache: {condition: service_started}}") == Override(
            {"cache": entry()}
        )
        assert depends("{mail: {condition: service_started}}") == Reset("map")

    def test_everything_else_about_a_reference_is_kept(self) -> None:
        given = "{db: {condition: service_completed_successfully, required: false, restart: true}}"
        kept = entry("service_completed_successfully", required=False, restart=True)
        assert depends(given) == Override({"postgres": kept})

    def test_of_two_references_that_become_one_the_stronger_counts(self) -> None:
        given = """{
            db: {condition: service_started, required: false, restart: true},
            mysql: {condition: service_healthy, required: true, restart: false},
            postgres: {condition: service_started, required: false}}"""
        assert depends(given) == Override({"postgres": entry("service_healthy", restart=True)})

    def test_what_hsm_yaml_adds_is_merged_as_compose_would(self) -> None:
        added = "{cache: {condition: service_healthy}, new: {condition: service_started}}"
        hsm = f"services: {{api: {{prod: {{depends_on: {added}}}}}}}"
        below = "{cache: {condition: service_started, required: false, restart: true}}"
        assert depends(below, hsm, f"{OTHERS}, new: {{image: n}}") == Override(
            {"cache": entry("service_healthy", required=False, restart=True), "new": entry()}
        )

    def test_what_is_only_added_leaves_the_base_alone(self) -> None:
        hsm = f"services: {{api: {{prod: {{depends_on: [db]}}}}}}\n{GROUPS}"
        assert depends("{cache: {condition: service_started, required: true}}", hsm) == {"postgres": entry()}

    def test_an_option_does_not_depend_on_itself(self) -> None:
        services = """
            postgres: {image: p, depends_on: [mysql, cache], links: [db]}
            mysql: {image: m}
            cache: {image: c}
        """
        draft = drawn(f"groups: {{{DATABASE}}}", services, "postgres")
        assert draft["depends_on"] == Override({"cache": entry()})
        assert draft["links"] == Reset("list")


class TestHealth:
    def judged(self, postgres: str, hsm: str = GROUPS) -> Any:
        others = OTHERS.replace("{image: pg, healthcheck: {test: x}}", postgres)
        drawn_entries = depends("{db: {condition: service_healthy}}", hsm, others)
        return drawn_entries.tree["postgres"]["condition"]

    @pytest.mark.parametrize("check", ["{test: x}", "{test: [CMD, x]}", "{test: x, disable: false}"])
    def test_a_healthcheck_in_compose_keeps_the_condition(self, check: str) -> None:
        assert self.judged(f"{{image: p, healthcheck: {check}}}") == "service_healthy"

    @pytest.mark.parametrize("check", ["{disable: true}", "{test: [NONE]}", "{test: NONE}"])
    def test_a_disabled_one_lowers_it(self, check: str) -> None:
        assert self.judged(f"{{image: p, healthcheck: {check}}}") == "service_started"

    @pytest.mark.parametrize("check", ["", ", healthcheck: {interval: 1s}"])
    def test_else_the_image_knows(self, check: str) -> None:
        assert self.judged(f"{{image: p{check}}}") == Condition("postgres")

    def test_of_what_is_built_here_nobody_knows(self) -> None:
        assert self.judged("{build: {context: .}}") == "service_started"

    def test_the_last_word_is_that_of_hsm_yaml(self) -> None:
        hsm = f"services: {{postgres: {{prod: {{healthcheck: {{disable: true}}}}}}}}\n{GROUPS}"
        assert self.judged("{image: p, healthcheck: {test: x}}", hsm) == "service_started"

    def test_the_answer_of_the_image_is_filled_in(self) -> None:
        services = """
            api: {image: a, depends_on: {db: {condition: service_healthy}}}
            postgres: {image: p}
            mysql: {image: m}
        """
        for known, condition in ((True, "service_healthy"), (False, "service_started")):
            filled = fragment(f"groups: {{{DATABASE}}}", services, healthcheck=known)
            assert filled["depends_on"].tree["postgres"]["condition"] == condition

    def test_who_is_no_option_is_not_judged(self) -> None:
        assert depends("{cache: {condition: service_healthy, required: true}}") is None

    def test_nor_is_a_selected_option_of_m_of_n_in_whose_place_nothing_came(self) -> None:
        hsm = "groups: {off: {strategy: M-of-N, options: [mail], selection: [mail]}}"
        assert depends("{mail: {condition: service_healthy, required: true}}", hsm) is None


class TestTheOthers:
    def test_a_link_keeps_the_name_by_which_it_is_called(self) -> None:
        assert api('links: [db, "mysql:sql", "postgres:pg", cache, mail]')["links"] == Override(
            ["postgres:db", "postgres:sql", "postgres:pg", "cache"]
        )

    def test_volumes_from_keeps_its_mode(self) -> None:
        assert api('volumes_from: ["db:ro", "container:db", cache]')["volumes_from"] == Override(
            ["postgres:ro", "container:db", "cache"]
        )

    def test_lists_that_do_not_change_are_not_drawn(self) -> None:
        assert api("links: [cache], volumes_from: [cache]") == {}

    def test_what_hsm_yaml_adds_to_a_list_is_rewired_too(self) -> None:
        hsm = f"services: {{api: {{prod: {{links: [db]}}}}}}\n{GROUPS}"
        assert api("links: [cache]", hsm)["links"] == ["postgres:db"]
        assert api("links: [mysql]", hsm)["links"] == Override(["postgres:mysql", "postgres:db"])

    @pytest.mark.parametrize("key", ["network_mode", "ipc", "pid"])
    def test_a_shared_namespace_is_that_of_the_chosen_one(self, key: str) -> None:
        assert api(f'{key}: "service:mysql"')[key] == "service:postgres"
        assert api(f"{key}: host") == {}

    @pytest.mark.parametrize("contexts", ['{x: "service:db", y: ./y}', '["x=service:db", "y=./y"]'])
    def test_of_the_contexts_of_a_build_only_the_rewired_are_drawn(self, contexts: str) -> None:
        keys = f"build: {{context: ., additional_contexts: {contexts}}}"
        assert api(keys)["build"] == {"additional_contexts": {"x": "service:postgres"}}

    def test_labels_of_a_list_are_kept(self) -> None:
        hsm = f'services: {{api: {{prod: {{labels: ["a=b", c]}}}}}}\n{GROUPS}'
        assert api("links: [db]", hsm)["labels"] == {"a": "b", "c": None, "hsm.group.db": "postgres"}


REFERENCES = ("postgres", "mysql", "db", "mail", "cache", "api")


@given(
    depends_on=st.lists(st.sampled_from(REFERENCES), unique=True),
    links=st.lists(st.sampled_from(REFERENCES), unique=True),
    shared=st.lists(st.sampled_from(("postgres", "mysql", "db", "cache")), unique=True),
    selection=st.sampled_from(("postgres", "mysql")),
)
def test_every_reference_names_a_service_that_runs(
    depends_on: list[str], links: list[str], shared: list[str], selection: str
) -> None:
    hsm = GROUPS.replace("selection: postgres", f"selection: {selection}")
    services = f"{{api: {{image: a, depends_on: {depends_on}, links: {links}, volumes_from: {shared}}}, {OTHERS}}}"
    here, merged = chosen(hsm, services), tree(services)["api"]
    for key, value in fragment(hsm, services).items():
        merged[key] = [] if isinstance(value, Reset) else getattr(value, "tree", value)
    names = [*merged["depends_on"], *merged["links"], *merged["volumes_from"]]
    assert {name.partition(":")[0] for name in names} <= {n for n, form in here.forms.items() if form.mode != "off"}
