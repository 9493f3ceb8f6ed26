"""Links, devices and pipes where hsm writes, or where sources are: it writes, tidies up and reads nowhere else."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
from pathlib import Path

import pytest

from hsm_tasks.core.errors import HsmError
from hsm_tasks.effects import files, guard, parcel, sources
from tests.commands.bench import Servers
from tests.faults.conftest import Make
from tests.support.gitserver import commit


@pytest.mark.parametrize("place", [".hsm", ".hsm/shop/pins", ".hsm/lock.holder"])
def test_a_link_in_its_own_folders_is_not_followed(make: Make, tmp_path: Path, place: str) -> None:
    """A stranger can commit one. What is in the folder of pins and is no pin of today would be removed."""
    here = make()
    theirs = tmp_path / "theirs"
    for name in ("letter.txt", "shop/pins/letter.txt", "photos/one"):
        (theirs / name).parent.mkdir(parents=True, exist_ok=True)
        (theirs / name).write_text("a person's\n")
    before = {path: path.read_bytes() for path in theirs.rglob("*") if path.is_file()}
    link = here.root / place
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(theirs / "letter.txt" if place.endswith("holder") else theirs)
    for words in (("sync",), ("graph",), ("bundle", "--prod"), ("clean",)):
        done = here.run(*words, code=None)
        assert done.code in (1, 3), (words, done.both)
        assert f"{place} is a link" in done.both, (words, done.both)
        assert "hint: remove the link" in done.both
        assert {path: path.read_bytes() for path in theirs.rglob("*") if path.is_file()} == before, words
    link.unlink()
    here.run("sync")


def test_who_holds_the_lock_is_written_through_no_link(tmp_path: Path) -> None:
    """One that is put there while hsm runs."""
    letter = tmp_path / "letter"
    letter.write_text("a person's\n")
    (tmp_path / "own").mkdir()
    guard._say_who(tmp_path / "own" / "lock.holder", "me")
    (tmp_path / "own" / "lock.holder").unlink()
    (tmp_path / "own" / "lock.holder").symlink_to(letter)
    guard._say_who(tmp_path / "own" / "lock.holder", "me")
    assert letter.read_text() == "a person's\n"


def special(folder: Path) -> dict[str, Path]:
    """A pipe, a socket, and where root may make one a device, as /dev/null is one."""
    pipe, listening = folder / "pipe", folder / "socket"
    os.mkfifo(pipe)
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(listening))
    found = {"pipe": pipe, "socket": listening}
    if os.geteuid() == 0:
        os.mknod(folder / "null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        found["device"] = folder / "null"
    return found


def test_nothing_is_moved_over_a_device_a_pipe_or_a_socket(tmp_path: Path) -> None:
    for what, path in special(tmp_path).items():
        before = path.lstat()
        with pytest.raises(HsmError, match="can not be written"):
            files.write_if_changed(path, "text")
        with pytest.raises(OSError, match="a device, a pipe or a socket"):
            files.put(path, b"text")
        with pytest.raises(HsmError, match="can not be written"):
            parcel.tar(path, [parcel.text_entry("a", "b")], "x")
        with pytest.raises(HsmError, match="can not be written"):
            parcel.write(tmp_path, [parcel.text_entry(path.name, "b")], ())
        after = path.lstat()
        assert (before.st_mode, before.st_ino, before.st_rdev) == (after.st_mode, after.st_ino, after.st_rdev), what
        assert not list(tmp_path.glob(".*.tmp")), what


def test_what_a_person_names_is_written_into_and_stays_what_it_is(make: Make, tmp_path: Path) -> None:
    here = make()
    here.run("sync")
    link, other = tmp_path / "link.svg", tmp_path / "other.svg"
    link.symlink_to(other)
    here.run("graph", "--out", str(link))
    assert link.is_symlink()
    assert other.read_text().startswith("<svg")
    nothing = tmp_path / "null.svg"
    nothing.symlink_to("/dev/null")
    here.run("graph", "--out", str(nothing))
    assert nothing.is_symlink()
    assert stat.S_ISCHR(Path("/dev/null").lstat().st_mode)
    pipe = tmp_path / "pipe.dot"
    os.mkfifo(pipe)
    with subprocess.Popen(["cat", str(pipe)], stdout=subprocess.PIPE, text=True) as reader:
        here.run("graph", "--out", str(pipe))
        assert reader.communicate(timeout=60)[0].startswith("digraph")
    assert stat.S_ISFIFO(pipe.lstat().st_mode)
    assert here.run("bundle", "--prod", "--out", "/dev/null", code=None).code in (1, 3)
    assert here.run("sync", HSM_RUN_LOG="/dev/null").code == 0
    assert stat.S_ISCHR(Path("/dev/null").lstat().st_mode)


@pytest.mark.parametrize("target", ["../letter", "mine", "nowhere"])
def test_init_writes_through_no_link_and_replaces_none(make: Make, tmp_path: Path, target: str) -> None:
    """git follows no .gitignore that is a link, so rules behind one would keep nothing away from it."""
    here = make("hsm", {"docker-compose.yml": "services: {web: {image: scratch}}\n", "mine": "*.log\n"})
    (here.root / "hsm.yaml").unlink()
    here.under_git()
    (tmp_path / "letter").write_text("a person's\n")
    links = [here.root / name for name in (".gitignore", "dodo.py", "hsm.local.yaml")]
    for link in links:
        link.symlink_to(target)
    done = here.run("init")
    assert ".gitignore is a link and stays as it is" in done.err
    assert {str(link.readlink()) for link in links} == {target}
    assert (tmp_path / "letter").read_text() == "a person's\n"
    assert here.read("mine") == "*.log\n"
    assert not (here.root / "nowhere").exists()
    (here.root / "hsm.yaml").unlink()
    (here.root / "hsm.yaml").symlink_to("nowhere")
    assert "hsm.yaml is there already" in here.run("init", code=3).err
    assert (here.root / "hsm.yaml").is_symlink()


def test_init_waits_for_no_pipe(make: Make) -> None:
    here = make("hsm", {"docker-compose.yml": "services: {web: {image: scratch}}\n"})
    (here.root / "hsm.yaml").unlink()
    os.mkfifo(here.root / ".gitignore")
    assert "it is no file" in here.run("init", code=None).err
    assert not (here.root / "hsm.yaml").exists()


def test_sources_can_not_lead_a_mount_or_a_build_out_of_their_checkout(make: Make, servers: Servers) -> None:
    """Who may push to the repository is not who may read this machine."""
    servers.repository("leading", {"src/main": "1\n", "Dockerfile": "FROM scratch\n"})
    text = """\
services:
  api:
    mode: dev
    repo: {url: "@GIT@/leading.git", ref: main}
    dev: {build: {context: ./inner}, volumes: ["./src:/src"]}
"""
    base = "services:\n  api: {image: scratch}\n"
    source = servers.source("leading")
    (source / "inner").symlink_to("src")  # within the sources: nobody minds
    commit(source, {"more": "1\n"})
    here = make("doit", {"hsm.yaml": text, "docker-compose.yml": base})
    here.without_engine().run("sync")
    (source / "inner").unlink()
    (source / "inner").symlink_to("/etc")
    commit(source, {"src/main": "2\n"})
    here.run("update", code=None)
    said = here.run("build", code=1).both
    assert "inner came with the sources" in said
    assert "out of them, to /etc" in said
    checkout = here.root / "repos/leading"
    here.edit("hsm.yaml", "./src:/src", "./inner/apt:/src")
    assert "inner came with the sources" in here.run("sync", code=1).both
    (checkout / "inner").unlink()
    (checkout / "mine").symlink_to("/etc")  # a person's own link, which git does not have
    here.edit("hsm.yaml", "./inner/apt:/src", "./mine/hostname:/src")
    here.run("sync")


def test_a_build_reads_no_pipe_and_no_endless_device(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").symlink_to("/dev/zero")
    assert sources.content(tmp_path / "Dockerfile") is None
    os.mkfifo(tmp_path / "pipe")
    assert sources.content(tmp_path / "pipe") is None


PERSONS = {"hsm.lock": ("sync",), "hsm.local.yaml": ("dev:api",)}


@pytest.mark.parametrize("name", PERSONS)
def test_a_link_of_a_persons_is_written_through_within_the_workspace(make: Make, name: str) -> None:
    here = make()
    (here.root / "kept").mkdir()
    shared, link = here.root / "kept" / name, here.stack / name
    shared.write_text("")
    link.symlink_to("../../kept/" + name)
    here.run(*PERSONS[name])
    assert str(link.readlink()) == f"../../kept/{name}"
    assert "api" in shared.read_text()
    assert set(here.steps(*PERSONS[name]).values()) == {"fresh"}


@pytest.mark.parametrize("name", PERSONS)
def test_nothing_is_written_through_a_link_that_leaves_it(make: Make, tmp_path: Path, name: str) -> None:
    here = make()
    (tmp_path / name).write_text("")
    (here.stack / name).symlink_to(tmp_path / name)
    done = here.run(*PERSONS[name], code=1)
    assert f"{name} is a link to {tmp_path / name}, and hsm writes nothing outside of the workspace" in done.err
    assert ((tmp_path / name).read_text(), (here.stack / name).is_symlink()) == ("", True)


@pytest.mark.parametrize("name", PERSONS)
def test_the_line_ends_of_a_persons_file_stay(make: Make, name: str) -> None:
    here = make()
    here.write("hsm.local.yaml", "services: {web: {mode: prod}}\n")
    here.run(*PERSONS[name])
    path = here.stack / name
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    here.edit("hsm.yaml", "^1.0", "~1.0")
    here.run("sync" if name == "hsm.lock" else "prod:api")
    assert b"api" in path.read_bytes()
    assert path.read_bytes().count(b"\n") == path.read_bytes().count(b"\r\n")
