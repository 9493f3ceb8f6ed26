"""The shortcut of a sync that has nothing to do: what it must notice, and that it says what the long way says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hsm_tasks import shortcut
from tests.support import gitserver

REPOSITORY = Path(__file__).resolve().parents[1]
DIGEST = "sha256:" + 64 * "a"
STACK = "stacks/shop"
FILES = {
    "dodo.py": "from hsm_tasks.door import DOIT_CONFIG, hsm  # noqa: F401\n",
    "pyproject.toml": '[tool.hsm]\nstack = "shop"\n',
    f"{STACK}/.env": "TAG=1.0\n",
    f"{STACK}/docker-compose.yml": "include: [more.yml]\nservices:\n  web: {image: 'registry.example/web:${TAG}'}\n"
    "  api: {image: 'registry.example/api:1'}\n",
    f"{STACK}/more.yml": "services:\n  job: {image: 'registry.example/api:1', environment: {A: '${MOOD:-good}'}}\n",
    f"{STACK}/hsm.yaml": "include: [../common.yaml]\nservices:\n  web: {prod: {limits: {memory: 64M}}}\n"
    "  api: {mode: dev, repo: {url: ../../../origin, ref: main}, dev: {environment: {B: '2'}}}\n",
    "stacks/common.yaml": "services:\n  web: {prod: {limits: {pids: 10}}}\n",
    "stacks/other/hsm.yaml": "services:\n  one: {prod: {image: 'registry.example/one:1'}}\n",
}
SPY = """
import builtins, json, os, sys
from pathlib import Path
seen = set()
def spied(name):
    real = getattr(os, name)
    def wrapped(path=".", *args, **named):
        if not isinstance(path, int):
            seen.add(os.path.abspath(os.fsdecode(path)))
        return real(path, *args, **named)
    setattr(os, name, wrapped)
for name in ("stat", "scandir", "listdir"):
    spied(name)
def hear(event, given):
    if event == "open" and isinstance(given[0], (str, bytes)):
        seen.add(os.path.abspath(os.fsdecode(given[0])))
sys.addaudithook(hear)
from hsm_tasks import cli
from hsm_tasks.stack import snapshot
snapshot.keep = lambda *given: None
assert cli.main(["sync"]) == 0
print(json.dumps(sorted(seen)))
"""


class Bench:
    """A workspace that needs no network, its environment, and whether its syncs take the shortcut."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self._patch = root, monkeypatch
        for name in [name for name in os.environ if name.startswith(shortcut.PREFIXES)]:
            monkeypatch.delenv(name)
        for name, value in self.own().items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(root)

    def own(self) -> dict[str, str]:
        return {"HOME": str(self.root.parent / "home"), "PYTHONPATH": str(REPOSITORY), **_plugin()}

    def write(self, path: str, text: str) -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text)

    def set(self, name: str, value: str) -> None:
        self._patch.setenv(name, value)

    def run(self, program: str, *argv: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *program.split(maxsplit=1), *argv]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    def long_way(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A sync that reads everything; it may leave a snapshot."""
        done = self.run("-c from hsm_tasks.cli import console; console()", *(words or ("sync",)))
        assert done.returncode == 0, done.stderr
        return done

    def short(self, *words: str) -> bool:
        """Whether a sync would be answered at once."""
        return shortcut.taken(words or ("sync",))

    def settle(self, *words: str) -> None:
        """Long ways until a short one is there: files that have just been written are not trusted."""
        for _ in range(6):
            self.long_way(*words)
            if self.short(*words):
                return
            time.sleep(0.05)
        raise AssertionError("no snapshot is ever taken")


def _plugin() -> dict[str, str]:
    """Where the user's docker finds compose: the tests have a HOME of their own."""
    own = os.environ.get("DOCKER_CONFIG") or str(Path.home() / ".docker")
    return {"DOCKER_CONFIG": own, "DOCKER_HOST": "tcp://127.0.0.1:1"}


@pytest.fixture(scope="module")
def synced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("snapshot")
    root = folder / "workspace"
    (folder / "home").mkdir()
    commit = gitserver.make_repository(folder / "origin", {"Dockerfile": "FROM scratch\n"})
    lock = "version: 1\nimages:\n"
    for key in ("registry.example/api:1", "registry.example/web:1.0"):
        lock += f'  "{key}": {{tag: "{key.rpartition(":")[2]}", digest: "{DIGEST}"}}\n'
    lock += f'repositories:\n  "../../../origin main": {{commit: "{commit}"}}\n'
    for path, text in {**FILES, f"{STACK}/hsm.lock": lock}.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return root


@pytest.fixture
def bench(synced: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """The workspace with a snapshot; after the test it is as it was."""
    made = Bench(synced, monkeypatch)
    made.settle()
    yield made
    for path, text in FILES.items():
        if not (synced / path).exists() or (synced / path).read_text() != text:
            made.write(path, text)
    for path in (f"{STACK}/hsm.local.yaml", f"{STACK}/docker-compose.override.yml", "stacks/new", "hsm.yaml"):
        remove(synced / path)


def remove(path: Path) -> None:
    if path.is_dir():
        for below in path.iterdir():
            remove(below)
        path.rmdir()
    else:
        path.unlink(missing_ok=True)


def test_a_sync_with_nothing_to_do_says_the_same_on_both_ways(
    bench: Bench, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    bench.set("HSM_RUN_LOG", str(tmp_path / "long"))
    long = bench.long_way().stderr
    bench.set("HSM_RUN_LOG", str(tmp_path / "short"))
    capsys.readouterr()
    assert bench.short()
    said = capsys.readouterr().err
    assert "steps up to date, 0." in said
    assert [line.rpartition(",")[0] or line for line in said.splitlines()] == [
        line.rpartition(",")[0] or line for line in long.splitlines()
    ]
    assert lines(tmp_path / "short") == lines(tmp_path / "long")


def lines(path: Path) -> list[str]:
    return sorted(path.read_text().splitlines())


def test_everything_that_a_sync_looks_at_is_in_the_snapshot(bench: Bench) -> None:
    """A spy on the long way: no path of the workspace that it opens, lists or stats may be unknown to the snapshot."""
    done = bench.run("-c " + SPY)
    assert done.returncode == 0, done.stderr
    found = shortcut.read(shortcut.place(""))
    assert found is not None
    known = {str(bench.root / path) for path in (*found.paths, *found.there)}
    home = os.environ["DOCKER_CONFIG"]
    around = (f"{bench.root}/", f"{home}/", f"{Path(home).resolve()}/")
    ours = {".hsm", ".hsm/lock", ".hsm/lock.holder", ".hsm/shop", "repos", ".git"}
    secrets = {"stacks/other/.env"}  # read for what must not be printed, and for nothing else
    fine = {str(bench.root / path) for path in ours | secrets} | known
    looked = {path for path in json.loads(done.stdout) if path.startswith(around) and "__pycache__" not in path}
    assert {path for path in looked - fine if not (Path(path).is_dir() and "/stacks" in path)} == set()


def touch(path: str) -> Callable[[Bench], None]:
    return lambda bench: os.utime(bench.root / path)


def same_mtime(path: str) -> Callable[[Bench], None]:
    """Other content of the same size, with the time put back: only the ctime tells."""

    def change(bench: Bench) -> None:
        before = (bench.root / path).stat()
        text = (bench.root / path).read_text()
        (bench.root / path).write_text(text[::-1])
        os.utime(bench.root / path, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert (bench.root / path).stat().st_mtime_ns == before.st_mtime_ns
        (bench.root / path).write_text(text)
        os.utime(bench.root / path, ns=(before.st_atime_ns, before.st_mtime_ns))

    return change


def replaced(path: str) -> Callable[[Bench], None]:
    """The same bytes in another file under its name."""

    def change(bench: Bench) -> None:
        beside = bench.root / f"{path}.new"
        beside.write_bytes((bench.root / path).read_bytes())
        beside.replace(bench.root / path)

    return change


def new(path: str, text: str = "{}\n") -> Callable[[Bench], None]:
    return lambda bench: bench.write(path, text)


def gone(path: str) -> Callable[[Bench], None]:
    def change(bench: Bench) -> None:
        (bench.root / path).rename(bench.root / f"{path}.away")

    return change


GENERATED = (".hsm/shop/override.yml", ".hsm/shop/fragments/web.yml", ".hsm/shop/pins/web.json",
             ".hsm/shop/clones/origin.json", ".hsm/shop/state.db", f"{STACK}/docker-compose.hsm.yml")  # fmt: skip
WRITTEN = (f"{STACK}/hsm.yaml", "stacks/common.yaml", f"{STACK}/docker-compose.yml", f"{STACK}/more.yml",
           f"{STACK}/.env", f"{STACK}/hsm.lock", "pyproject.toml", "stacks/other/hsm.yaml")  # fmt: skip


@pytest.mark.parametrize(
    "edit",
    [
        same_mtime(f"{STACK}/hsm.yaml"),
        replaced(f"{STACK}/hsm.yaml"),
        new(f"{STACK}/hsm.local.yaml"),
        new(f"{STACK}/docker-compose.override.yml"),
        new("stacks/new/hsm.yaml"),
        new("hsm.yaml"),
        gone(".hsm/shop/override.yml"),
        gone("repos/origin/.git"),
    ],
    ids=["same mtime", "same bytes", "local", "base override", "another stack", "root", "generated", "checkout"],
)
def test_an_edit_leads_to_the_long_way(bench: Bench, edit: Callable[[Bench], None]) -> None:
    edit(bench)
    assert not bench.short()
    for path in bench.root.rglob("*.away"):
        path.rename(path.with_name(path.name.removesuffix(".away")))


def test_a_touch_of_any_file_leads_to_the_long_way(bench: Bench) -> None:
    found = shortcut.read(shortcut.place(""))
    assert found is not None
    assert {*GENERATED, *WRITTEN} <= {path.removeprefix(f"{bench.root}/") for path in found.paths}
    for path in (*GENERATED, *WRITTEN):
        before = shortcut.stats(found.paths)
        os.utime(bench.root / path)
        assert shortcut.stats(found.paths) != before
    assert not bench.short()


def test_a_variable_that_counts_leads_to_the_long_way(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.set("NOBODY_ASKS", "for this")
    for name in ("TAG", "MOOD", "COMPOSE_FILE", "COMPOSE_ANYTHING", "DOCKER_CONFIG", "HSM_STACK", "PATH", "HOME"):
        assert bench.short()
        with monkeypatch.context() as inner:
            inner.setenv(name, "other")
            assert not bench.short(), name


def test_only_a_plain_sync_takes_it(bench: Bench) -> None:
    for words in ("up", "-a sync", "sync -n 2", "frozen=yes", "sync lock", "stack=other", "stack=../x", "-f dodo.py"):
        assert not bench.short(*words.split()), words
    assert shortcut.taken([])


def test_each_way_to_name_the_stack_has_a_snapshot_of_its_own(bench: Bench) -> None:
    bench.settle("sync", "stack=shop")
    assert bench.short("stack=shop", "sync") and bench.short()
    bench.set("HSM_STACK", "shop")
    assert not bench.short()
    bench.settle()


def test_another_program_takes_the_long_way(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version", "4.0.0")
    assert not bench.short()
    monkeypatch.undo()
    os.chdir(bench.root)
    monkeypatch.setattr(shortcut, "FORM", "hsm 9.9 snapshot 1")
    assert not bench.short()


def test_a_file_that_changed_a_moment_ago_is_not_trusted(bench: Bench) -> None:
    """Within one tick of the file system's clock, another change could leave the same stat."""
    os.utime(bench.root / STACK / "hsm.yaml")
    program = (
        "import os, time, hsm_tasks.cli as c; now = time.time_ns\n"
        f"time.time_ns = lambda: os.stat({f'{STACK}/hsm.yaml'!r}).st_ctime_ns + 1_000_000\n"
        "c.console()"
    )
    assert bench.run(f"-c {program}", "sync").returncode == 0
    assert not bench.short()


def test_a_run_that_did_something_leaves_no_snapshot(bench: Bench) -> None:
    bench.write(f"{STACK}/hsm.local.yaml", "services: {api: {mode: prod}}\n")
    time.sleep(0.05)
    bench.long_way()
    time.sleep(0.05)
    assert not bench.short()
    bench.settle()


def test_while_another_run_is_at_work_it_is_waited_for(bench: Bench) -> None:
    bench.write(".hsm/lock.holder", "process 1 (doit up)\n")
    assert not bench.short()
    bench.long_way()
    assert bench.short()


def test_it_can_be_turned_off(bench: Bench) -> None:
    bench.set("HSM_SNAPSHOT", "off")
    assert not bench.short()
    remove(bench.root / ".hsm/snapshot")
    bench.long_way()
    assert not (bench.root / ".hsm/snapshot").exists()


def test_a_broken_snapshot_is_none(bench: Bench) -> None:
    whole = (bench.root / ".hsm/snapshot").read_bytes()
    for data in (b"", b"\0" * 500, b"\xff\xfe\0\0x", shortcut.FORM.encode() + 9 * b"\0\0", whole[:-1], whole[:500]):
        (bench.root / ".hsm/snapshot").write_bytes(data)
        assert not bench.short()


def test_an_image_that_only_the_engine_has_is_asked_for_again(bench: Bench) -> None:
    """Its being there is not told by any file; here there is no engine, so the sync with such a pin fails."""
    base = FILES[f"{STACK}/docker-compose.yml"].replace("registry.example/web:${TAG}", "127.0.0.1:1/mine")
    bench.write(f"{STACK}/docker-compose.yml", base)
    assert not bench.short()
    done = bench.run("-c from hsm_tasks.cli import console; console()", "sync")
    assert done.returncode == 1
    assert not bench.short()


def through_doit(bench: Bench) -> bool:
    """Whether `doit sync` did without the rest of hsm."""
    done = bench.run("-Ximporttime", "-m", "doit", "sync")
    assert done.returncode == 0, done.stderr
    assert "steps up to date" in done.stderr
    return "hsm_tasks.cli" not in done.stderr


def test_doit_takes_it_while_it_imports_a_dodo_file_that_says_nothing_else(bench: Bench) -> None:
    assert through_doit(bench)
    bench.write("dodo.py", FILES["dodo.py"] + "import os\nos.environ['TAG'] = '1.0'\n")
    time.sleep(0.05)
    assert not through_doit(bench)
    assert not through_doit(bench)
