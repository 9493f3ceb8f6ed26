"""`graph`: what it writes, and what not."""

from __future__ import annotations

import fcntl
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.commands.bench import DOORS, Door
from tests.commands.conftest import Make

SVG = "{http://www.w3.org/2000/svg}"


def cards(text: str) -> dict[str, str]:
    """id → what a card says."""
    found = ElementTree.fromstring(text).iter(f"{SVG}g")
    return {one.get("id", ""): one.get("aria-label", "") for one in found if "card" in one.get("class", "").split()}


@pytest.mark.parametrize("door", DOORS)
def test_it_writes_a_page_says_where_and_writes_nothing_else(make: Make, door: Door) -> None:
    here = make(door)
    here.run("sync")
    before = here.files()
    done = here.run("graph")
    name = "shop" if door == "doit" else here.root.name
    assert done.out == f"{here.root}/.hsm/{name}/graph.html\n"
    assert here.changed(before) == {f".hsm/{name}/graph.html"}
    assert "<!doctype html>" in Path(done.out.strip()).read_text()


def test_before_the_first_sync_git_sees_nothing_of_it(make: Make) -> None:
    here = make()
    here.under_git()
    before = here.files()
    here.run("graph")
    assert here.changed(before) == {".hsm/.gitignore", ".hsm/shop/graph.html"}
    assert ".hsm" not in here.git("status", "--porcelain")


def test_texts_go_to_the_screen_and_files_where_they_are_asked_to(make: Make) -> None:
    here = make()
    here.run("sync")
    before = here.files()
    assert here.run("graph", "--format", "mermaid").out.startswith("flowchart LR\n")
    assert here.run("graph", "--format=dot").out.startswith('digraph "shop" {\n')
    svg = here.run("graph", "--format", "svg", "--out", "-").out
    assert here.changed(before) == set()
    assert here.run("graph", "--out", "stack.svg").out == f"{here.root}/stack.svg\n"
    assert (here.root / "stack.svg").read_text() == svg
    assert here.run("graph", "--out=g.mmd").code == 0
    assert (here.root / "g.mmd").read_text().startswith("flowchart LR\n")


def test_it_knows_what_plan_knows(make: Make) -> None:
    here = make()
    here.run("sync")
    drawn = cards(here.run("graph", "sync", "--format", "svg", "--out", "-").out)
    assert {key: said.partition("\n")[0] for key, said in drawn.items() if key in ("render", "lock", "check")} == {
        "render": "render: 8 up to date", "lock": "lock: 1 up to date", "check": "check: 1 up to date"}  # fmt: skip
    drawn = cards(here.run("graph", "dev:api", "use:my", "--format", "svg", "--out", "-").out)
    assert not (here.stack / "hsm.local.yaml").exists()
    api = next(said for said in drawn.values() if said.startswith("api,"))
    assert api.startswith("api, dev, repos/api main\n● clone:api: first run\n")
    assert "● render:api: config changed: mode (prod → dev)" in api
    assert any(said.startswith("pg, off, not chosen") for said in drawn.values())


def test_the_same_stack_gives_the_same_bytes(make: Make) -> None:
    one, other = make(), make()
    texts = [here.run("graph", "sync", "--out", "-").out for here in (one, other)]
    assert texts[0].replace(one.project, "P") == texts[1].replace(other.project, "P")


def test_secrets_of_the_environment_are_not_in_the_picture(make: Make) -> None:
    here = make()
    here.edit("docker-compose.yml", "image: @REG@/web:1.0", "image: @REG@/${API_TOKEN}:1.0")
    for form in ("html", "svg", "mermaid", "dot"):
        said = here.run("graph", "--format", form, "--out", "-", API_TOKEN="tok3nofmine").out
        assert "toolbox" in said
        assert "tok3nofmine" not in said


def test_it_takes_no_lock(make: Make) -> None:
    here = make()
    here.run("sync")
    with (here.root / ".hsm/lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "waiting" not in here.run("graph").err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--format", "png"), 'graph does not know the format "png"'),
        (("--out",), "--out needs a value"),
        (("--loud",), 'graph does not know "--loud"'),
        (("dev:nobody",), 'there is no "dev:nobody"'),
    ],
)
def test_a_wrong_word_is_a_mistake(make: Make, words: tuple[str, ...], said: str) -> None:
    assert said in make().run("graph", *words, code=3).err


def test_a_folder_that_is_not_there_is_a_failure(make: Make) -> None:
    done = make().run("graph", "--out", "no/such/graph.svg", code=1)
    assert "no/such/graph.svg can not be written: there is no such folder" in done.err


def test_without_the_layout_engine_text_is_drawn_all_the_same(make: Make, tmp_path: Path) -> None:
    here = make()
    (tmp_path / "blind").mkdir()
    (tmp_path / "blind/pygraphviz.py").write_text("raise ImportError('not here')\n")
    here.variables["PYTHONPATH"] = f"{tmp_path}/blind:{here.environment()['PYTHONPATH']}"
    done = here.run("graph", code=1)
    assert "pygraphviz, is not installed" in done.err
    assert "pip install 'hsm[graph]'" in done.err
    assert here.run("graph", "--format", "mermaid").out.startswith("flowchart LR\n")


@pytest.mark.parametrize("form", ["html", "svg", "mermaid", "dot"])
def test_it_draws_over_its_own_pictures_only(make: Make, form: str) -> None:
    here = make()
    here.run("sync")
    (here.root / "empty").touch()
    for one in ("html", form, "svg", form, "mermaid", form, "dot", form):
        here.run("graph", "--format", one, "--out", "empty")
    for path in ("dodo.py", "stacks/shop/hsm.yaml"):
        before = here.files()
        done = here.run("graph", "--format", form, "--out", path, code=3)
        assert f"{here.root}/{path} is there, and no picture that `graph` has drawn: it stays as it is" in done.err
        assert "hint: name another file" in done.err
        assert here.files() == before
    here.run("graph", "--format", form, "--out", "/dev/null")


@pytest.mark.parametrize("text", ["<!doctype html>\n<html>\n<p>\n", "<svg xmlns='x'/>", "flowchart LR\n  a --> b\n"])
def test_a_picture_of_another_hand_is_no_picture_of_its_own(make: Make, text: str) -> None:
    here = make()
    (here.root / "mine").write_text(text)
    here.run("graph", "--format", "dot", "--out", "mine", code=3)
    assert (here.root / "mine").read_text() == text
