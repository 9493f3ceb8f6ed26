"""What of a folder a build sees, and what of it is read."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hsm_tasks.effects import sources
from hsm_tasks.effects.sources import View, digest


@pytest.fixture
def context(tmp_path: Path) -> Path:
    """A context with a bit of everything, old enough to be trusted by its stat."""
    folder = tmp_path / "context"
    for path, text in {"a": "1", "src/b": "2", "src/deep/c": "3", "data/d": "4", ".git/HEAD": "x"}.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    time.sleep(0.03)
    return folder


def _write(path: str, text: str = "x") -> Callable[[Path], object]:
    return lambda folder: (folder / path).write_text(text)


EDITS: dict[str, Callable[[Path], object]] = {
    "content": _write("a"),
    "a new file": _write("new"),
    "a file that is gone": lambda folder: (folder / "src/b").unlink(),
    "an empty file": lambda folder: (folder / "empty").touch(),
    "an empty folder": lambda folder: (folder / "empty").mkdir(),
    "another mode": lambda folder: (folder / "a").chmod(0o700),
    "another mode of a folder": lambda folder: (folder / "src").chmod(0o700),
    "a link": lambda folder: (folder / "link").symlink_to("a"),
    "a link to nowhere": lambda folder: (folder / "link").symlink_to("nowhere"),
    "a link to a folder": lambda folder: (folder / "link").symlink_to("src"),
    "another name": lambda folder: (folder / "a").rename(folder / "A"),
    "a pipe": lambda folder: os.mkfifo(folder / "pipe"),
    "a name that is no text": lambda folder: Path(os.fsdecode(os.fsencode(folder) + b"/\xff")).touch(),
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_an_edit_makes_another_digest(context: Path, tmp_path: Path, edit: Callable[[Path], object]) -> None:
    cache = tmp_path / "cache.json"
    before = digest(View(context), cache)
    assert digest(View(context), cache) == before
    edit(context)
    assert digest(View(context), cache) != before
    assert digest(View(context), cache) == digest(View(context)), "the cache is never wrong"


def test_what_makes_no_difference(context: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = digest(View(context))
    os.utime(context / "a", (1, 1))
    (context / ".git/HEAD").write_text("another commit")
    for name in ("hsm.lock", "hsm.local.yaml", "docker-compose.hsm.yml"):
        (context / name).write_text("made by hsm")
    (context / ".hsm").mkdir()
    (context / ".hsm/state.db").write_text("made by hsm")
    with socket.socket(socket.AF_UNIX) as line:
        monkeypatch.chdir(context)  # the path of a socket must be short
        line.bind("socket")
    assert digest(View(context)) == before


def test_a_folder_that_is_not_there_has_none(tmp_path: Path) -> None:
    assert digest(View(tmp_path / "nowhere")) is None


def test_a_change_that_keeps_size_and_time_is_seen(context: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache.json"
    before, state = digest(View(context), cache), (context / "a").stat()
    (context / "a").write_text("9")
    os.utime(context / "a", ns=(state.st_atime_ns, state.st_mtime_ns))
    assert digest(View(context), cache) != before


def test_nothing_is_read_twice(context: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "cache.json"
    before = digest(View(context), cache)
    opened: list[str] = []
    real = open

    def spy(path: str, mode: str) -> object:
        opened.append(path)
        return real(path, mode)

    monkeypatch.setattr(sources, "open", spy, raising=False)
    assert digest(View(context), cache) == before
    assert opened == []
    (context / "src/b").write_text("other")
    digest(View(context), cache)
    assert opened == [str(context / "src/b")]


def test_a_file_of_this_very_moment_is_not_trusted(context: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache.json"
    for number in range(200):  # in the same tick of the clock, with the same size
        (context / "a").write_text(f"{number:03}")
        assert digest(View(context), cache) == digest(View(context))


def test_a_broken_cache_is_made_anew(context: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache.json"
    cache.write_text("{broken")
    assert digest(View(context), cache) == digest(View(context))
    assert cache.read_text().startswith('{"')
    cache.unlink()
    digest(View(context), cache, keep=False)
    assert not cache.exists()


class TestView:
    def test_the_ignore_file_of_the_dockerfile_comes_first(self, context: Path) -> None:
        assert sources.ignore_file(context, context / "Dockerfile") is None
        (context / ".dockerignore").write_text("src\n")
        assert sources.ignore_file(context, context / "Dockerfile") == context / ".dockerignore"
        (context / "Dockerfile.dockerignore").write_text("data\n")
        assert sources.ignore_file(context, context / "Dockerfile") == context / "Dockerfile.dockerignore"
        assert sources.ignore_file(context, None) == context / ".dockerignore"

    def test_what_is_ignored_does_not_count(self, context: Path) -> None:
        ignore = context / ".dockerignore"
        ignore.write_text("src\n!src/deep\n.dockerignore\n")
        before = digest(View(context, ignore))
        (context / "src/b").write_text("ignored")
        assert digest(View(context, ignore)) == before
        (context / "src/deep/c").write_text("taken back")
        assert digest(View(context, ignore)) != before

    def test_what_is_hidden_does_not_count_unless_it_is_shown(self, context: Path) -> None:
        hidden = View(context, hidden=(context / "src", context / "a"))
        shown = View(context, hidden=hidden.hidden, shown=(context / "src/b",))
        before = digest(hidden), digest(shown)
        (context / "src/deep/c").write_text("hidden")
        (context / "a").write_text("hidden")
        assert (digest(hidden), digest(shown)) == before
        (context / "src/b").write_text("shown")
        assert digest(hidden) == before[0]
        assert digest(shown) != before[1]

    def test_a_context_that_is_hidden_whole_shows_nothing(self, context: Path) -> None:
        view = View(context, hidden=(context.parent,))
        before = digest(view)
        (context / "a").write_text("hidden")
        assert digest(view) == before

    def test_only_what_is_named_counts(self, context: Path) -> None:
        view = View(context, hidden=(context,), only=(context / "src/deep", context / "*.toml", context / "late"))
        before = digest(view)
        (context / "a").write_text("not named")
        assert digest(view) == before
        digests = [before]
        for path in ("src/deep/c", "x.toml", "late"):
            (context / path).write_text("named")
            digests.append(digest(view))
        assert len(set(digests)) == 4

    def test_a_folder_that_can_not_be_read_is_no_failure_here(self, context: Path) -> None:
        if os.geteuid() == 0:
            (context / "src").rename(context / "src2")
            (context / "src").symlink_to("src")  # a circle: root may read all else
        else:
            (context / "src").chmod(0)
        assert digest(View(context))
