"""The state file: what a row is, when it is written, and what becomes of a file that is none of ours."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from hsm_tasks.core.errors import HsmError
from hsm_tasks.run.state import SCHEMA, Glimpse, State
from tests.support.steps import do, ended, process, results, step


@pytest.fixture(autouse=True)
def _workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def stored(path: str = "state.db") -> dict[str, str]:
    """The rows as another process sees them."""
    connection = sqlite3.connect(path)
    rows = dict(connection.execute("SELECT name, data FROM steps"))
    connection.close()
    return rows


def saved(state: State, name: str, value: str = "1") -> None:
    state.set(name, "_values_:", {"x": value})
    state.set(name, "checker:", "Checker")
    state.set(name, "deps:", ())


def test_a_row_is_written_whole_when_deps_are_set() -> None:
    state = State("state.db")
    state.set("a", "_values_:", {"x": "1"})
    assert not Path("state.db").exists() or stored() == {}
    saved(state, "a")
    assert stored() == {"a": '{"_values_:":{"x":"1"},"checker:":"Checker","deps:":[]}'}
    state.set("b", "ignore:", "1")
    assert stored()["b"] == '{"ignore:":"1"}'
    state.dump()


def test_a_half_saved_row_is_never_written() -> None:
    state = State("state.db")
    saved(state, "a", "old")
    state.set("a", "_values_:", {"x": "new"})
    state.dump()
    assert "old" in stored()["a"]


def test_states_of_files_that_are_no_longer_read_leave_the_row() -> None:
    state = State("state.db")
    state.set("a", "x", [1])
    state.set("a", "y", [1])
    state.set("a", "deps:", ("x", "y"))
    state.set("a", "deps:", ("y",))
    assert stored() == {"a": '{"y":[1],"deps:":["y"]}'}
    state.dump()


def test_an_equal_row_is_not_written_again() -> None:
    state = State("state.db")
    saved(state, "a")
    state.dump()
    before = Path("state.db").stat().st_mtime_ns
    state = State("state.db")
    saved(state, "a")
    state.dump()
    assert Path("state.db").stat().st_mtime_ns == before
    assert not Path("state.db-wal").exists()


def test_rows_can_be_removed() -> None:
    state = State("state.db")
    for name in ("a", "b", "c", "d"):
        saved(state, name)
    state.remove("a")
    assert not state.in_("a")
    assert state.in_("b")
    state.drop(lambda name: name == "b")
    assert set(stored()) == {"c", "d"} == set(state.rows())
    state.remove_all()
    assert stored() == {}
    state.dump()


def test_a_spoiled_step_counts_as_never_done_until_it_is_saved() -> None:
    state = State("state.db")
    saved(state, "a")
    state.spoil("a", "did not finish last time")
    assert stored() == {"a": '{"_values_:":{"ended":"did not finish last time"}}'}
    saved(state, "a")
    assert '"x":"1"' in stored()["a"]
    state.dump()


def test_renewed_stats_do_not_overwrite_what_another_process_has_written() -> None:
    ours, theirs = State("state.db"), State("state.db")
    saved(ours, "a")
    saved(ours, "b")
    saved(theirs, "a", "theirs")
    for name in ("a", "b"):
        ours.row(name)["_values_:"]["x"] = "renewed"
    ours.rewrite(["a", "b"])
    assert {name: "renewed" in text for name, text in stored().items()} == {"a": False, "b": True}
    ours.dump()
    theirs.dump()


def test_nothing_is_opened_before_it_is_needed_nor_written_after_the_end() -> None:
    state = State("state.db")
    state.dump()
    assert not Path("state.db").exists()
    state.spoil("a", "late")
    assert not Path("state.db").exists()


@pytest.mark.parametrize("head", [b"", b"SQLite format 3\0"])
def test_a_file_that_is_no_database_is_set_aside(head: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    content = head + os.urandom(8192)
    Path("state.db").write_bytes(content)
    assert do([step("a")]) == 0
    assert Path("state.db.bad").read_bytes() == content
    assert "moved to state.db.bad, and all steps run anew" in capsys.readouterr().err
    do([step("a")])
    assert results() == {"a": "fresh"}
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("version", [0, 1, SCHEMA])
def test_a_database_of_another_making_is_set_aside(version: int, capsys: pytest.CaptureFixture[str]) -> None:
    connection = sqlite3.connect("state.db")
    connection.execute("CREATE TABLE doit (task_id TEXT)")
    connection.execute(f"PRAGMA user_version = {version}")
    connection.commit()
    connection.close()
    assert do([step("a")]) == 0
    assert "all steps run anew" in capsys.readouterr().err


def test_an_unreadable_row_is_no_row() -> None:
    do([step("a"), step("b")])
    connection = sqlite3.connect("state.db")
    connection.execute("UPDATE steps SET data = '[1' WHERE name = 'a'")
    connection.commit()
    connection.close()
    do([step("a"), step("b")])
    assert results() == {"a": "ran", "b": "fresh"}


@pytest.mark.parametrize("content", ["", "x"])
def test_an_empty_file_is_a_new_one(content: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("state.db").write_text(content)
    assert do([step("a")]) == 0
    assert capsys.readouterr().err == ""


def test_a_glimpse_is_of_the_rows_that_a_kill_has_left_in_the_journal() -> None:
    assert ended(process("do([step('a', action=lambda: os.kill(os.getpid(), signal.SIGKILL))])"))[0] == -9
    assert Path("state.db-wal").stat().st_size
    assert "did not finish" in str(Glimpse("state.db").row("a"))


@pytest.mark.parametrize("content", [None, b"", b"no database\n" * 1000])
def test_a_glimpse_makes_nothing_of_a_file_that_is_none(content: bytes | None) -> None:
    if content is not None:
        Path("state.db").write_bytes(content)
    glimpse = Glimpse("state.db")
    assert glimpse.rows() == {}
    glimpse.dump()
    assert [path.read_bytes() for path in Path().iterdir()] == [content] * (content is not None)


def test_a_folder_that_is_missing_is_made() -> None:
    assert do([step("a")], state_file=Path(".hsm/shop/state.db")) == 0
    assert Path(".hsm/shop/state.db").exists()


def test_a_place_that_cannot_hold_it_is_an_error_with_a_hint() -> None:
    Path("file").touch()
    with pytest.raises(HsmError, match="cannot keep the state") as caught:
        State("file/state.db").get("a", "deps:")
    assert caught.value.hint


def test_many_first_runs_at_once_make_one_database() -> None:
    script = "sys.exit(do([step(f'{sys.argv[1]}:a')], log=sys.argv[1]))"
    programs = [process(script, f"p{number}") for number in range(8)]
    assert [ended(program) for program in programs] == [(0, "")] * 8
    assert {name for name in stored() if ":" in name} == {f"p{number}:a" for number in range(8)}
    assert not Path("state.db.bad").exists()


def test_a_row_survives_a_kill_right_after_its_step() -> None:
    script = "do([step('a'), step('b', [out('a')], action=lambda: os.kill(os.getpid(), signal.SIGKILL))])"
    assert ended(process(script))[0] == -9
    assert "parts" in stored()["a"]
    assert "did not finish" in stored()["b"]
