"""Fingerprint and Checker: what makes a step stale, in words; what is stored, and what is not believed."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from hsm_tasks.core.errors import HsmError
from hsm_tasks.run.fingerprint import Fingerprint, Words
from hsm_tasks.run.records import Checker
from hsm_tasks.run.seen import see, unchanged
from hsm_tasks.run.state import State
from hsm_tasks.shortcut import is_calm
from tests.support.steps import do, out, ran, step


@pytest.fixture(autouse=True)
def _workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def reason(before: Fingerprint, after: Fingerprint) -> str:
    """What `after` says of the values that `before` stores, as JSON does."""
    before.seal()
    return asked(after, json.loads(json.dumps(before._values())))


def asked(fingerprint: Fingerprint, values: dict[str, Any]) -> str:
    class Task:
        value_savers: list[object] = []  # noqa: RUF012 - thrown away

    fresh = fingerprint(Task(), values)
    assert fresh is not bool(fingerprint.reason)
    return fingerprint.reason


def age(path: Path) -> None:
    """Until an equal stat proves equal content."""
    while not see(str(path))[4]:
        time.sleep(0.005)


# --- parts -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ({"image": "a", "mode": "b"}, {"mode": "b", "image": "a"}, ""),
        ({"image": "a", "mode": "b"}, {"image": "c", "mode": "d"}, "config changed: image, mode"),
        ({"image": "a"}, {"image": "a", "ports": "[]"}, "config changed: ports"),
        ({"image": "a", "ports": "[]"}, {"image": "a"}, "config changed: ports"),
        ({"image": None}, {"image": "None"}, "config changed: image"),
        ({"image": None}, {"image": None}, ""),
        ({"mode": Words("prod")}, {"mode": Words("dev")}, "config changed: mode (prod → dev)"),
        ({"mode": Words("1", "prod")}, {"mode": Words("2", "dev")}, "config changed: mode (prod → dev)"),
        ({"mode": Words("1", "same")}, {"mode": Words("2", "same")}, "config changed: mode"),
        ({"mode": "prod"}, {"mode": Words("dev")}, "config changed: mode"),
        ({"mode": Words("prod")}, {"mode": "dev"}, "config changed: mode"),
        ({"mode": Words("prod")}, {"mode": None}, "config changed: mode"),
        ({"mode": Words("x" * 41)}, {"mode": Words("dev")}, "config changed: mode"),
        ({"mode": Words("a\nb")}, {"mode": Words("dev")}, "config changed: mode"),
    ],
)
def test_changed_parts_are_named(before: dict[str, Any], after: dict[str, Any], said: str) -> None:
    assert reason(Fingerprint(before), Fingerprint(after)) == said


def test_no_value_is_stored_unless_it_is_flagged_as_words() -> None:
    do([step("a", parts={"password": "hunter2-hunter2", "mode": Words("prod", "in production")})])
    stored = b"".join(path.read_bytes() for path in Path().glob("state.db*"))
    assert b"hunter2" not in stored
    assert b"in production" in stored


def test_an_object_shows_its_reason() -> None:
    fingerprint = Fingerprint({"a": "1"})
    assert asked(fingerprint, {}) == "first run"
    assert repr(fingerprint) == "first run"
    assert repr(Fingerprint({})) == "up to date"
    assert asked(fingerprint, {"ended": "failed last time"}) == "failed last time"


def test_what_settles_is_stored_as_it_is_after_the_action() -> None:
    lock = Path("lock").absolute()

    def entry() -> dict[str, str | None]:
        return {"locked": lock.read_text() if lock.exists() else None}

    def tasks() -> list[dict[str, Any]]:
        parts = {"image": "x", **entry()}
        return [step("a", parts=parts, action=lambda: lock.write_text("sha256:1"), settled=entry)]

    do(tasks())
    do(tasks())
    assert ran() == {}
    lock.write_text("sha256:2")
    do(tasks())
    assert ran() == {"a": "config changed: locked"}


def test_what_cannot_settle_fails_the_step() -> None:
    def unreadable() -> dict[str, str | None]:
        raise HsmError("the pin is gone")

    assert do([step("a", parts={"pin": None}, settled=unreadable)]) == 1


def test_parts_are_stored_as_they_were_when_the_step_began() -> None:
    parts = {"config": "old"}
    do([step("a", parts=parts, action=lambda: parts.update(config="new"))])
    do([step("a", parts=parts)])
    assert ran() == {"a": "config changed: config"}


def test_extra_is_asked_last_and_gives_its_own_words() -> None:
    asked_times: list[int] = []

    def extra() -> str | None:
        asked_times.append(1)
        return "the engine has no image shop/api" if len(asked_times) == 1 else None

    do([step("a", extra=extra)])
    assert asked_times == []
    do([step("a", extra=extra)])
    assert ran() == {"a": "the engine has no image shop/api"}
    do([step("a", extra=extra)])
    assert ran() == {}


def test_an_extra_that_cannot_be_answered_runs_the_step() -> None:
    def extra() -> str | None:
        raise HsmError("no engine answers\nat all")

    do([step("a")])
    assert do([step("a", extra=extra)]) == 0
    assert ran() == {"a": "no engine answers"}


# --- outputs -----------------------------------------------------------------------------------------------------


def output_of(name: str) -> list[Any]:
    state = State("state.db")
    seen: list[Any] = state.get(name, "_values_:")["out"][str(out(name))]
    state.dump()
    return seen


def test_a_touched_output_is_not_stale_and_is_read_only_once() -> None:
    do([step("a")])
    os.utime(out("a"), ns=(1, 1))
    do([step("a")])
    assert ran() == {}
    seen = output_of("a")
    assert seen[:2] == [1, out("a").stat().st_ctime_ns]


def test_a_touched_input_is_not_stale_and_is_read_only_once() -> None:
    do([step("a"), step("b", [out("a")])])
    os.utime(out("a"), ns=(1, 1))
    do([step("a"), step("b", [out("a")])])
    assert ran() == {}
    state = State("state.db")
    assert state.get("b", str(out("a")))[0] == 1
    state.dump()


def test_after_a_run_the_stats_can_be_trusted() -> None:
    do([step("a"), step("b", [out("a")])])
    assert output_of("a")[4] == 1
    state = State("state.db")
    assert state.get("b", str(out("a")))[4] == 1
    state.dump()


@pytest.mark.parametrize("name", ["a", "b"])
def test_another_content_with_the_same_size_and_mtime_is_noticed(name: str) -> None:
    source = Path("source").absolute()
    source.write_text("old")
    tasks = [step("a", [source]), step("b", [out("a")])]
    do(tasks)
    edited = source if name == "a" else out("b")
    times = edited.stat()
    edited.write_text("new")
    os.utime(edited, ns=(times.st_atime_ns, times.st_mtime_ns))
    do([step("a", [source]), step("b", [out("a")])])
    expected = {"a": "source changed", "b": "out/a changed"} if name == "a" else {"b": "out/b was edited by hand"}
    assert ran() == expected


def test_all_outputs_that_are_amiss_are_named() -> None:
    for name in ("one", "two", "three"):
        Path(name).write_text(name)
    before = Fingerprint({}, ("one", "two"))
    after = Fingerprint({}, ("one", "two", "three"))
    before.seal()
    Path("one").unlink()
    Path("two").write_text("edited")
    assert asked(after, before._values()) == "one is gone; two was edited by hand; three is new"


def test_a_young_file_is_read_although_its_stat_is_equal() -> None:
    path = Path("x")
    path.write_text("old")
    young = see("x")
    young[:5] = [*young[:4], 0]  # as if it had been written within the last tick
    stat = young[:4]
    assert unchanged("x", young, stat)
    young[4], young[5] = 0, "the digest of another content"
    assert not unchanged("x", young, stat)
    age(path)
    old = see("x")
    old[5] = "not looked at"
    assert unchanged("x", old, old[:4])


def test_time_stamps_of_whole_seconds_are_trusted_later() -> None:
    second, tenth = 1_000_000_000, 100_000_000
    assert is_calm(5 * second + 1, 5 * second + tenth)
    assert not is_calm(5 * second + 1, 5 * second + tenth // 10)
    assert not is_calm(5 * second, 6 * second)
    assert is_calm(5 * second, 8 * second)
    assert not is_calm(9 * second + 1, 5 * second)  # the clock of a file server that is ahead


# --- file_dep ----------------------------------------------------------------------------------------------------


def test_a_file_that_cannot_be_read_is_never_unchanged() -> None:
    Path("folder").mkdir()
    seen = see("folder")
    assert not unchanged("folder", seen, seen[:4])


def test_a_file_that_changed_while_its_step_ran_is_stale_next_time() -> None:
    path = Path("x")
    path.write_text("old")
    checker = Checker()
    checker.before = {"x": see("x")[:4]}
    path.write_text("new!")
    state = checker.get_state("x", None)
    assert state is not None
    assert checker.check_modified("x", path.stat(), state)


def test_a_file_that_is_known_by_its_stat_is_not_read_again() -> None:
    Path("x").write_text("old")
    age(Path("x"))
    checker = Checker()
    assert checker.get_state("x", see("x")) is None
    assert checker.get_state("x", None) == see("x")


def test_reasons_of_files_say_which() -> None:
    names = [f"in{number}" for number in range(5)]
    for name in names:
        Path(name).write_text("old")
    files = [Path(name).absolute() for name in names]

    def plain(reads: list[Path]) -> list[dict[str, Any]]:
        return [step("a", reads, uptodate=[], targets=[])]

    do(plain(files))
    assert ran() == {"a": "first run"}
    for file in files:
        file.write_text("new")
    do(plain(files))
    assert ran() == {"a": "in0, in1, in2 and 2 more changed"}
    do(plain(files[1:]))
    assert ran() == {"a": "in0 is no longer read"}
    do(plain(files))
    assert ran() == {"a": "in0 is new"}


def test_a_target_without_fingerprint_is_missed_too() -> None:
    Path("in").write_text("")
    do([step("a", [Path("in").absolute()], uptodate=[])])
    out("a").unlink()
    do([step("a", [Path("in").absolute()], uptodate=[])])
    assert ran() == {"a": "out/a is gone"}
    do([step("a", uptodate=[False])])
    assert ran() == {"a": "in is no longer read"}
    do([step("a", uptodate=[False])])
    assert ran() == {"a": "always runs"}
