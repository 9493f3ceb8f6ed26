"""Which services run, and as what."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsm_tasks.core.choose import choose
from tests.support.stage import REPO, base, chosen, stack

THREE = "{api: {image: api}, postgres: {image: pg}, mysql: {image: my}}"
DATABASE = "database: {strategy: 1-of-N, alias: db, options: [postgres, mysql], selection: postgres}"


def active(hsm: str, services: str) -> list[str]:
    return sorted(name for name, form in chosen(hsm, services).forms.items() if form.active)


class TestModes:
    def test_a_service_that_hsm_yaml_does_not_name_is_of_the_base(self) -> None:
        form = chosen("services: {}", "{api: {image: api}}").forms["api"]
        assert (form.mode, form.image, form.service, form.section) == ("base", "api", None, {})

    def test_the_mode_of_the_stack_is_for_services_that_name_none(self) -> None:
        forms = chosen(
            f"mode: dev\nservices: {{api: {{{REPO}}}, web: {{mode: prod}}}}", "{api: {image: a}, web: {image: w}}"
        ).forms
        assert (forms["api"].mode, forms["web"].mode) == ("dev", "prod")

    def test_in_dev_there_is_no_image_to_pin(self) -> None:
        forms = chosen(f"services: {{api: {{mode: dev, {REPO}, prod: {{image: mine}}}}}}", "{api: {image: a}}").forms
        assert forms["api"].image is None

    def test_in_prod_the_own_image_goes_before_that_of_the_base(self) -> None:
        forms = chosen(
            'services: {api: {prod: {image: mine, version: "^1.0"}}, web: {}}', "{api: {image: a}, web: {image: w}}"
        ).forms
        assert (forms["api"].image, forms["api"].version) == ("mine", "^1.0")
        assert (forms["web"].image, forms["web"].version) == ("w", None)

    def test_an_image_that_the_base_builds_is_not_to_be_pinned(self) -> None:
        assert chosen("services: {}", "{api: {image: a, build: {context: .}}}").forms["api"].image is None

    def test_a_service_may_be_in_hsm_yaml_only(self) -> None:
        form = chosen("services: {tool: {prod: {image: tool}}}", "{}").forms["tool"]
        assert (form.mode, form.base, form.image) == ("prod", None, "tool")


class TestOneOfN:
    def test_the_others_are_off_and_their_names_lead_to_the_chosen_one(self) -> None:
        here = chosen(f"groups: {{{DATABASE}}}", THREE)
        assert here.forms["mysql"].mode == "off"
        assert here.targets == {"mysql": "postgres", "db": "postgres"}
        answering = [here.stands_for(name) for name in ("db", "mysql", "api", "nobody")]
        assert answering == ["postgres", "postgres", "api", None]

    def test_the_chosen_one_answers_to_the_alias_and_is_active(self) -> None:
        form = chosen(f"groups: {{{DATABASE}}}", THREE).forms["postgres"]
        assert (form.aliases, form.active, form.option) == (("db",), True, True)

    def test_a_group_without_an_alias_goes_by_its_name(self) -> None:
        here = chosen("groups: {database: {strategy: 1-of-N, options: [postgres, mysql], selection: mysql}}", THREE)
        assert here.groups == {"database": "mysql"}
        assert here.targets == {"postgres": "mysql"}
        assert here.forms["mysql"].aliases == ()

    def test_consumers_get_what_the_chosen_option_wants_of_them(self) -> None:
        group = (
            "{strategy: 1-of-N, options: {postgres: {consumers: {api: {environment: {A: pg}}}}, "
            "mysql: {consumers: {api: {environment: {A: my}}}}}, selection: mysql}"
        )
        here = chosen(f"groups: {{g: {group}}}", THREE)
        assert here.forms["api"].extra == ({"environment": {"A": "my"}},)

    def test_an_option_that_is_off_consumes_nothing(self) -> None:
        group = (
            "{strategy: 1-of-N, options: {postgres: {consumers: {mysql: {environment: {A: pg}}}}, mysql: }, "
            "selection: postgres}"
        )
        assert chosen(f"groups: {{g: {group}}}", THREE).forms["mysql"].extra == ()


class TestMOfN:
    def test_nobody_answers_for_an_option_that_is_off(self) -> None:
        here = chosen("groups: {g: {strategy: M-of-N, options: [postgres, mysql], selection: [mysql]}}", THREE)
        assert here.stands_for("postgres") is None
        assert here.groups == {}

    def test_any_number_may_be_selected(self) -> None:
        for selection, off in (("[]", 2), ("[mysql]", 1), ("[mysql, postgres]", 0)):
            here = chosen(
                f"groups: {{g: {{strategy: M-of-N, options: [postgres, mysql], selection: {selection}}}}}", THREE
            )
            assert [form.mode for form in here.forms.values()].count("off") == off


class TestProfiles:
    GROUP = "groups: {g: {strategy: M-of-N, profiles: [debug, tools], selection: [debug]}}"

    def test_a_selected_profile_makes_its_services_active(self) -> None:
        services = "{api: {image: a}, d: {image: d, profiles: [debug, x]}, t: {image: t, profiles: [tools]}}"
        assert active(self.GROUP, services) == ["d"]

    def test_whatever_they_depend_on_is_active_too(self) -> None:
        services = """
            d: {image: d, profiles: [debug], depends_on: {one: {condition: service_started}}}
            one: {image: o, profiles: [y], links: [two]}
            two: {image: t, profiles: [y], network_mode: "service:three"}
            three: {image: t, profiles: [y], volumes_from: ["four:ro"]}
            four: {image: f, profiles: [y]}
            five: {image: f, profiles: [tools]}
        """
        assert active(self.GROUP, services) == ["d", "four", "one", "three", "two"]

    def test_a_dependency_by_an_alias_is_followed(self) -> None:
        hsm = f"groups: {{{DATABASE}, g: {{strategy: M-of-N, options: [api], selection: [api]}}}}"
        services = """
            api: {image: a, depends_on: {mysql: {condition: service_started}}}
            postgres: {image: p, depends_on: {disk: {condition: service_started}}}
            mysql: {image: m, depends_on: {other: {condition: service_started}}}
            disk: {image: d, profiles: [z]}
            other: {image: o, profiles: [z]}
        """
        assert active(hsm, services) == ["api", "disk", "postgres"]

    def test_profiles_of_hsm_yaml_count_like_those_of_the_base(self) -> None:
        hsm = f"services: {{t: {{prod: {{image: t, profiles: [debug]}}}}}}\n{self.GROUP}"
        assert active(hsm, "{x: {image: x, profiles: [tools]}}") == ["t"]

    def test_one_of_several_profiles_is_no_service(self) -> None:
        hsm = "groups: {g: {strategy: 1-of-N, profiles: [d, t], selection: d}}"
        services = "{d: {image: d, profiles: [t]}, t: {image: t, profiles: [d], links: [d]}}"
        assert active(hsm, services) == ["d", "t"]
        assert chosen(hsm, services).groups == {}

    def test_a_profile_that_belongs_to_no_group_is_left_to_compose(self) -> None:
        assert active("services: {}", "{api: {image: a, profiles: [free]}}") == []


class TestOneshots:
    def test_a_service_says_so_itself(self) -> None:
        assert chosen("services: {migrate: {oneshot: true}}", "{migrate: {image: m}}").oneshots == {"migrate"}

    def test_or_somebody_waits_for_its_end(self) -> None:
        services = "{api: {image: a, depends_on: {job: {condition: service_completed_successfully}}}, job: {image: j}}"
        assert chosen("services: {}", services).oneshots == {"job"}

    def test_also_by_an_alias_and_in_hsm_yaml(self) -> None:
        hsm = (
            "services: {api: {prod: {depends_on: {db: {condition: service_completed_successfully}}}}}\n"
            f"groups: {{{DATABASE}}}"
        )
        assert chosen(hsm, THREE).oneshots == {"postgres"}

    def test_who_is_off_waits_for_nobody(self) -> None:
        services = """
            api: {image: a, depends_on: {job: {condition: service_completed_successfully}}}
            job: {image: j}
        """
        assert chosen("groups: {g: {strategy: M-of-N, options: [api]}}", services).oneshots == frozenset()


NAMES = ("api", "postgres", "mysql", "cache")
GROUPS = {
    "database": "{strategy: 1-of-N, alias: db, options: [postgres, mysql], selection: mysql}",
    "caches": "{strategy: M-of-N, options: {cache: {consumers: {api: {environment: {A: cache}}}}}, selection: [cache]}",
    "apis": "{strategy: M-of-N, options: {api: {consumers: {api: {environment: {A: api}}}}}, selection: [api]}",
}


@pytest.mark.parametrize("mode", ["dev", "prod"])
@given(services=st.permutations(NAMES), groups=st.permutations(sorted(GROUPS)))
def test_the_order_of_names_means_nothing(mode: str, services: list[str], groups: list[str]) -> None:
    def choice(services: list[str], groups: list[str]) -> str:
        named = "\n".join(f"  {name}: {{mode: {mode}, dev: {{build: .}}}}" for name in services)
        grouped = "\n".join(f"  {name}: {GROUPS[name]}" for name in groups)
        below = "\n".join(f"{name}: {{image: {name}}}" for name in services)
        return repr(choose(stack(f"services:\n{named}\ngroups:\n{grouped}"), base(below))[0].forms)

    assert choice(services, groups) == choice(list(NAMES), sorted(GROUPS))
