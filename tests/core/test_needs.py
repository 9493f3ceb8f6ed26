"""What must be known: checkouts and pins, and what hsm.lock says of them."""

from __future__ import annotations

from hsm_tasks.core.lock import Lock
from hsm_tasks.core.model import Pin
from hsm_tasks.core.needs import Needs, clones, image_key, lock, missing_entries, resolves
from hsm_tasks.core.scene import Scene
from tests.support.stage import scene

API = 'api: {mode: dev, repo: {url: "https://git.example/api.git", ref: main}}'
URL = "https://git.example/api.git"
TWO = "services: {api: {}, web: {}}"
SAME = "{api: {image: same}, web: {image: same}}"


def asked(here: Scene) -> list[tuple[str, bool, bool]]:
    """(step, does this machine need it, does it move) of every question about an image."""
    return [(step.name, step.needed, step.move) for step in resolves(Needs(here))]


def cloned(here: Scene) -> list[tuple[str, bool, bool]]:
    """(step, is the commit only asked for, does it move) of every checkout."""
    return [(step.name, step.ask, step.move) for step in clones(Needs(here))]


class TestImages:
    def test_every_image_that_runs_is_asked_for(self) -> None:
        assert asked(scene("services: {api: {}}", "{api: {image: a}, base: {image: b, profiles: [p]}}")) == [
            ("api", True, False),
            ("base", True, False),
        ]

    def test_what_is_built_or_off_is_not(self) -> None:
        hsm = f"services: {{{API}}}\ngroups: {{g: {{strategy: M-of-N, options: [x]}}}}"
        assert asked(scene(hsm, "{api: {image: a}, x: {image: x}, built: {image: b, build: {context: .}}}")) == []

    def test_the_lock_wants_to_know_what_the_committed_files_name(self) -> None:
        here = scene("services: {api: {prod: {image: theirs}}}", "{api: {image: a}}",
                     "services: {api: {prod: {image: mine}}}")
        assert asked(here) == [("api", True, False), ("api:committed", False, False)]
        assert [step.output for step in resolves(Needs(here))] == [
            ".hsm/shop/pins/api.json",
            ".hsm/shop/pins/api@committed.json",
        ]

    def test_a_range_is_part_of_the_name(self) -> None:
        assert image_key("a", "^1.4") == "a ^1.4"
        assert image_key("a:1", None) == "a:1"

    def test_variables_are_put_in_before_an_image_is_asked_for(self) -> None:
        here = scene('services: {api: {prod: {image: "${R}/a"}}}', "{}", images={"${R}/a": "reg/a"})
        (step,) = resolves(Needs(here))
        assert (step.image, step.key) == ("reg/a", "reg/a")

    def test_what_the_lock_knows_is_taken(self) -> None:
        pin, mine = Pin(image="", tag="1", digest="d"), Pin(image="", tag="2", digest="e")
        here = scene(TWO, "{api: {image: a}, web: {image: w}}", lock=Lock(images={"a": pin}),
                     local_lock=Lock(images={"a": mine, "w": mine}))
        assert [step.locked for step in resolves(Needs(here))] == [pin, mine]

    def test_an_entry_is_pending_until_it_was_once_written(self) -> None:
        pin = Pin(image="", tag="1", digest="d")
        assert [step.pending for step in resolves(Needs(scene(TWO, SAME)))] == [True, True]
        written = scene(TWO, SAME, last_lock=Lock(images={"same": pin}))
        assert [step.pending for step in resolves(Needs(written))] == [False, False]

    def test_of_an_option_the_config_counts_and_of_who_shares_its_image(self) -> None:
        groups = "groups: {g: {strategy: 1-of-N, options: [db, x], selection: x}}"
        here = scene(groups, "{db: {image: pg}, x: {image: x}, backup: {image: pg}, api: {image: a}}")
        assert {step.name: step.config for step in resolves(Needs(here))} == {"x": True, "backup": True, "api": False}


class TestCheckouts:
    def test_services_with_one_repository_share_a_checkout(self) -> None:
        hsm = f"services: {{{API}, {API.replace('api:', 'worker:', 1)}}}"
        assert cloned(scene(hsm, "{api: {image: a}, worker: {image: w}}")) == [("api", False, False)]

    def test_in_prod_nothing_is_cloned(self) -> None:
        assert cloned(scene(f"services: {{{API.replace('dev', 'prod')}}}", "{api: {image: a}}")) == []

    def test_a_locked_commit_is_taken(self) -> None:
        here = scene(f"services: {{{API}}}", "{}", lock=Lock(repositories={f"{URL} main": "abc"}))
        (step,) = clones(Needs(here))
        assert (step.locked, step.directory, step.output) == ("abc", "repos/api", ".hsm/shop/clones/api.json")

    def test_a_ref_of_mine_leaves_the_question_for_the_committed_one(self) -> None:
        here = scene(f"services: {{{API}}}", "{}", "services: {api: {repo: {ref: mine}}}")
        assert cloned(here) == [("api", False, False), ("api:committed", True, False)]

    def test_so_does_a_mode_of_mine(self) -> None:
        here = scene(f"services: {{{API}}}", "{api: {image: a}}", "services: {api: {mode: prod}}")
        assert cloned(here) == [("api", True, False)]

    def test_a_checkout_of_mine_is_only_looked_at(self) -> None:
        here = scene(f"services: {{{API}}}", "{}", "services: {api: {repo: {path: ../../../api}}}")
        own, committed = clones(Needs(here))
        assert (own.own, own.directory) == (True, "../api")
        assert (committed.name, committed.ask) == ("api:committed", True)


class TestUpdate:
    def test_only_the_named_services_move(self) -> None:
        here = scene(TWO, "{api: {image: a}, web: {image: w}}", move=frozenset({"web"}),
                     lock=Lock(images={"w": Pin(image="", tag="1", digest="d")}))
        assert asked(here) == [("api", True, False), ("web", True, True)]
        assert [step.locked for step in resolves(Needs(here))] == [None, None]

    def test_who_shares_an_image_moves_as_well(self) -> None:
        assert asked(scene(TWO, SAME, move=frozenset({"web"}))) == [("api", True, True), ("web", True, True)]

    def test_a_checkout_moves_with_any_of_its_services(self) -> None:
        hsm = f"services: {{{API}, {API.replace('api:', 'worker:', 1)}}}"
        here = scene(hsm, "{api: {image: a}, worker: {image: w}}", move=frozenset({"worker"}))
        assert cloned(here) == [("api", False, True)]

    def test_locked_entries_that_nothing_needs_today_move_too(self) -> None:
        hsm = f"services: {{{API.replace('dev', 'prod')}, web: {{mode: dev, dev: {{build: .}}}}}}"
        locked = Lock(images={"w": Pin(image="", tag="1", digest="d")}, repositories={f"{URL} main": "abc"})
        here = scene(hsm, "{api: {image: a}, web: {image: w}}", move=frozenset({"api", "web"}), lock=locked)
        assert asked(here) == [("api", True, True), ("web", False, True)]
        assert cloned(here) == [("api", True, True)]
        unlocked = scene(hsm, "{api: {image: a}, web: {image: w}}", move=frozenset({"web"}))
        assert asked(unlocked) == [("api", True, False)]


class TestLock:
    def test_entries_of_the_committed_files_go_into_hsm_lock(self) -> None:
        here = scene("services: {api: {prod: {image: theirs}}}", "{api: {image: a}}",
                     "services: {api: {prod: {image: mine}}}")
        step = lock(Needs(here), tuple(clones(Needs(here))), tuple(resolves(Needs(here))))
        assert step.committed == {"theirs"}
        assert step.images == {"mine": ".hsm/shop/pins/api.json", "theirs": ".hsm/shop/pins/api@committed.json"}
        assert step.output == "stacks/shop/hsm.lock"

    def test_entries_that_any_mode_names_are_kept(self) -> None:
        hsm = f"services: {{{API}}}"
        locked = Lock(images={"a": Pin(image="", digest="d"), "gone": Pin(image="", digest="d")})
        step = lock(Needs(scene(hsm, "{api: {image: a}}", lock=locked)), (), ())
        assert step.known == {"a", f"{URL} main"}
        assert step.committed == {"a", f"{URL} main"}

    def test_a_checkout_of_mine_leaves_no_entry(self) -> None:
        here = scene(f"services: {{{API}}}", "{}", "services: {api: {repo: {path: /mine}}}")
        step = lock(Needs(here), tuple(clones(Needs(here))), ())
        assert step.repositories == {f"{URL} main": ".hsm/shop/clones/api@committed.json"}

    def test_a_frozen_sync_can_name_what_is_missing(self) -> None:
        hsm = f"services: {{{API}, web: {{}}}}"
        assert missing_entries(scene(hsm, "{web: {image: w}}")) == (f"{URL} main", "w")
        locked = Lock(images={"w": Pin(image="", digest="d")})
        assert missing_entries(scene(hsm, "{web: {image: w}}", lock=locked)) == (f"{URL} main",)
