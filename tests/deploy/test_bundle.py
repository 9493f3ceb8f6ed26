"""`doit bundle`: a folder and a tar that run elsewhere, and everything that forbids one."""

from __future__ import annotations

import io
import json
import os
import pwd
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from hsm_tasks.core.errors import HsmError
from hsm_tasks.effects import parcel
from tests.commands.bench import Servers, Workspace
from tests.deploy.conftest import Make
from tests.support import world

SECRET, IGNORED = "hunter2-of-a-file", "hunter3-of-an-env-file"
HSM_YAML = """\
services:
  web: {prod: {image: "@REG@/web:1.0", limits: {memory: 64M}}}
groups:
  database: {strategy: 1-of-N, alias: db, options: [pg, my], selection: pg}
bundle: {allow: [/proc/version]}
"""
BASE = """\
services:
  web:
    image: @REG@/web:0.9
    restart: on-failure
    depends_on: {db: {condition: service_healthy}}
    env_file: [prod.env, {path: mine.env, required: false}]
    environment: {GREETING: "${GREETING:-hello}"}
    configs: [{source: page, target: /www/index.html}]
    secrets: [key]
    volumes:
      - ./conf:/conf:ro
      - ../shared/note:/note:ro
      - /proc/version:/version:ro
      - /var/run/docker.sock:/docker.sock
  pg: {image: "@REG@/pg:16", volumes: ["pg-data:/data"]}
  my: {image: "@REG@/my:8", secrets: [unused]}
configs: {page: {file: ./page.html}}
secrets: {key: {file: ./key.txt}, unused: {file: ./nowhere.txt}}
volumes: {pg-data: {}}
"""
FILES = {
    "hsm.yaml": HSM_YAML,
    "docker-compose.yml": BASE,
    "prod.env": "MODE=production\n",
    "mine.env": f"TOKEN={IGNORED}\n",
    "key.txt": f"{SECRET}\n",
    "page.html": "the page\n",
    "conf/a.conf": "a = 1\n",
    "conf/run.sh": "#!/bin/sh\n",
    "conf/local.conf": f"{IGNORED}\n",
    "../shared/note": "a note\n",
    "../../.gitignore": "key.txt\nmine.env\nlocal.conf\n",
}


@pytest.fixture
def shop(make: Make) -> Workspace:
    made = make(FILES)
    (made.stack / "conf/run.sh").chmod(0o755)
    return made


def content(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def model(folder: Path) -> Any:
    return yaml.safe_load((folder / "compose.yaml").read_text())


def test_a_bundle_has_what_it_refers_to_and_no_secret(shop: Workspace) -> None:
    done = shop.run("bundle")
    folder = shop.root / "dist/shop"
    assert set(content(folder)) == {
        "compose.yaml", "README.md", "manifest.json", "prod.env", "page.html", "conf/a.conf", "conf/run.sh",
        "_workspace/stacks/shared/note",
    }
    assert done.out == "dist/shop: 2 services, 8 files\n"
    whole = b"".join(content(folder).values()).decode()
    assert SECRET not in whole
    assert IGNORED not in whole
    assert str(shop.root) not in whole
    assert "production" not in (folder / "compose.yaml").read_text()
    assert (folder / "conf/run.sh").stat().st_mode & 0o111


def test_its_compose_file_has_pins_limits_and_aliases_and_leaves_variables_alone(shop: Workspace) -> None:
    shop.run("bundle")
    made = model(shop.root / "dist/shop")
    assert set(made["services"]) == {"web", "pg"}
    web, pg = made["services"]["web"], made["services"]["pg"]
    assert all("@sha256:" in service["image"] for service in (web, pg))
    assert web["deploy"]["resources"]["limits"]["memory"] == "64M"
    assert web["restart"] == "on-failure"
    assert pg["networks"]["default"]["aliases"] == ["db"]
    assert web["environment"]["GREETING"] == "${GREETING:-hello}"
    assert made["secrets"] == {"key": {"file": "./key.txt"}}


def test_the_manifest_and_the_readme_say_what_it_is_and_what_it_needs(shop: Workspace) -> None:
    shop.run("sync")
    shop.git("add", "-A")
    done = shop.run("bundle", "--json").json()
    said = done["manifest"]
    assert said == json.loads((shop.root / "dist/shop/manifest.json").read_text())
    assert said["stack"] == "shop"
    assert said["commit"] == shop.git("rev-parse", "HEAD").strip()
    assert said["changed"] is True
    assert len(said["lock"]) == 64
    needs = {need["path"]: need["required"] for need in said["needs"]}
    assert needs == {"key.txt": True, "mine.env": False}
    readme = (shop.root / "dist/shop/README.md").read_text()
    assert "`key.txt` (secret)" in readme
    assert "`GREETING` (else `hello`)" in readme


def test_the_same_input_gives_the_same_bytes_in_another_workspace(shop: Workspace, make: Make) -> None:
    shop.run("bundle", "--tar")
    first = (shop.root / "dist/shop.tar").read_bytes()
    shop.run("bundle", "--tar", "--out", "elsewhere/x")
    assert (shop.root / "elsewhere/x.tar").read_bytes() == first
    assert content(shop.root / "elsewhere/x") == content(shop.root / "dist/shop")
    other = make({**FILES, "hsm.yaml": f"name: {shop.project}\n{HSM_YAML}"})
    other.run("bundle", "--tar")
    same = {path: data for path, data in content(other.root / "dist/shop").items() if path not in COMMITTED}
    assert same == {path: data for path, data in content(shop.root / "dist/shop").items() if path not in COMMITTED}
    with tarfile.open(fileobj=io.BytesIO(first)) as tar:
        assert {(one.mtime, one.uid, one.gid, one.uname) for one in tar} == {(0, 0, 0, "")}
        assert [one.name for one in tar] == sorted(one.name for one in tar)


COMMITTED = {"manifest.json", "README.md"}  # they name the commit


def test_everything_that_forbids_a_bundle_is_told_at_once_and_nothing_is_written(make: Make) -> None:
    made = make({
        "hsm.yaml": "services: {web: {mode: dev}, job: {prod: {image: \"@REG@/web:1.0\"}}}\n",
        "docker-compose.yml": "services:\n"
        "  web: {image: \"@REG@/web:0.9\", build: ., volumes: [/data:/data]}\n"
        "  job: {image: \"@REG@/web:0.9\", env_file: [no.env],\n"
        "        volumes: [~/x:/x, ../../../up:/up, ../../repos/api:/api]}\n"
        "  own: {build: ./own}\n",
    })
    said = made.run("bundle", code=1).err
    for words in (
        "web runs from its sources: `",
        "prod:web`, or --prod for all",
        "web: /data is a path of this machine",
        "job: ~/x is a path of this machine",
        "job: ../../../up lies outside the workspace",
        "job: ../../repos/api is source: it lies in a checkout",
        "own is built, and sources do not travel",
        "stacks/shop/no.env is not there",
    ):
        assert words in said
    assert not (made.root / "dist").exists()


def test_prod_bundles_the_prod_form_of_all_and_switches_nothing(make: Make) -> None:
    made = make({
        "hsm.yaml": "services:\n  web:\n    mode: dev\n    dev: {build: ., environment: {DEBUG: \"1\"}}\n"
        "    prod: {image: \"@REG@/web:1.0\"}\n",
        "docker-compose.yml": "services: {web: {image: \"@REG@/web:0.9\", build: ., volumes: [\"./src:/src\"]}}\n",
    })
    made.run("bundle", code=1)
    made.run("bundle", "--prod")
    web = model(made.root / "dist/shop")["services"]["web"]
    assert "/web:1.0@sha256:" in web["image"]
    assert not {"build", "environment", "volumes"} & set(web)
    assert not (made.stack / "hsm.local.yaml").exists()


def test_what_a_person_put_into_the_folder_stays_and_what_is_no_longer_needed_goes(shop: Workspace) -> None:
    shop.run("bundle")
    folder = shop.root / "dist/shop"
    (folder / "key.txt").write_text("mine")
    shop.edit("docker-compose.yml", "      - ./conf:/conf:ro\n", "")
    shop.run("bundle")
    assert (folder / "key.txt").read_text() == "mine"
    assert not (folder / "conf").exists()


def test_a_folder_that_is_no_bundle_is_not_written_over(shop: Workspace) -> None:
    said = shop.run("bundle", "--out", "stacks", code=1).err
    assert "it is no bundle" in said
    assert not (shop.root / "stacks/compose.yaml").exists()


@pytest.mark.parametrize("text", ["", '{"files": {', "[]", '{"name": "a page"}'], ids=["empty", "cut", "list", "other"])
def test_a_folder_with_a_broken_manifest_is_not_written_over(text: str, shop: Workspace) -> None:
    shop.run("bundle")
    (shop.root / "dist/shop/manifest.json").write_text(text)
    shop.edit("docker-compose.yml", "hello", "goodbye")
    said = shop.run("bundle", code=1).err
    assert f"{shop.root}/dist/shop/manifest.json: it is no bundle of hsm any more" in said
    assert "hint: name another folder with --out, or move it away" in said
    assert "hello" in (shop.root / "dist/shop/compose.yaml").read_text()


def test_git_does_not_see_a_bundle(shop: Workspace) -> None:
    shop.run("bundle", "--tar")
    assert "??" not in shop.git("status", "--porcelain", "--untracked-files=all")


def test_a_frozen_bundle_needs_a_whole_lock(shop: Workspace) -> None:
    assert "it has no entry for" in shop.run("bundle", "frozen=yes", code=1).err
    shop.run("sync")
    shop.run("bundle", "frozen=yes")


@pytest.mark.docker
def test_an_image_that_only_the_engine_has_is_refused(make: Make, servers: Servers, tmp_path: Path) -> None:
    if not world.engine_ready():
        pytest.skip("no engine answers")
    image = f"hsmcmd{os.getpid()}x-only:here"
    (tmp_path / "file").write_text("x")
    servers.call("sh", "-c", f"tar c -C {tmp_path} file | docker import - {image}")
    try:
        made = make({"hsm.yaml": f"services: {{web: {{prod: {{image: '{image}'}}}}}}\n",
                     "docker-compose.yml": "services: {web: {image: x}}\n"})
        del made.variables["DOCKER_HOST"]
        assert f"web has an image without a digest: {image}" in made.run("bundle", code=1).err
    finally:
        servers.call("docker", "image", "rm", image)


def test_a_link_that_leads_out_of_what_is_bound_is_refused(shop: Workspace) -> None:
    (shop.stack / "conf/in").symlink_to("a.conf")
    shop.run("bundle")
    assert (shop.root / "dist/shop/conf/in").readlink() == Path("a.conf")
    (shop.stack / "conf/out").symlink_to("../hsm.yaml")
    assert "conf/out is a link that leads out" in shop.run("bundle", code=1).err


def test_what_is_bound_may_be_no_link_to_files_outside(shop: Workspace) -> None:
    """A committed link to a key would take it along."""
    outside = shop.root.parent / f"{shop.root.name}-secret"
    outside.write_text("private\n")
    (shop.stack / "page.html").unlink()
    (shop.stack / "page.html").symlink_to(outside)
    assert "page.html is a link, or behind one, that leads out" in shop.run("bundle", code=1).err


# --- elsewhere -----------------------------------------------------------------------------------------------------


@pytest.fixture
def elsewhere() -> Iterator[Path]:
    """A folder that anybody can read, with a home and the plugins of docker."""
    with tempfile.TemporaryDirectory(prefix="hsm-elsewhere-") as name:
        folder = Path(name)
        plugins = folder / "home/.docker/cli-plugins"
        plugins.mkdir(parents=True)
        own = Path(os.environ.get("DOCKER_CONFIG") or Path(pwd.getpwuid(os.getuid()).pw_dir, ".docker"))
        if (plugin := own / "cli-plugins/docker-compose").exists():
            shutil.copy(plugin, plugins)
        folder.chmod(0o755)
        yield folder


def as_another(folder: Path, home: Path, *command: str) -> str:
    """A command as the user `nobody`, where we may become one; else as ourselves, with another home."""
    socket = Path("/var/run/docker.sock")
    groups = [socket.stat().st_gid] if socket.exists() else []
    user: dict[str, Any] = {"user": "nobody", "group": "nogroup", "extra_groups": groups} if os.getuid() == 0 else {}
    environment = {"PATH": os.environ["PATH"], "HOME": str(home)}
    done: subprocess.CompletedProcess[str] = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, **user
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.docker
def test_a_bundle_runs_in_another_folder_under_another_user(shop: Workspace, elsewhere: Path) -> None:
    if not world.engine_ready():
        pytest.skip("no engine answers")
    shop.run("bundle", "--tar")
    with tarfile.open(shop.root / "dist/shop.tar") as tar:
        tar.extractall(elsewhere)
    folder = elsewhere / "shop"
    (folder / "key.txt").write_text("the key\n")
    home = elsewhere / "home"
    as_another(folder, home, "docker", "compose", "up", "-d", "--wait", "--quiet-pull")
    try:
        def inside(*words: str) -> str:
            return as_another(folder, home, "docker", "compose", "exec", "-T", "web", *words)

        assert inside("cat", "/www/index.html", "/conf/a.conf", "/note", "/run/secrets/key").splitlines() == [
            "the page", "a = 1", "a note", "the key"]
        assert "MODE=production" in inside("env")
        assert "Address" in inside("nslookup", "db")
        identity = as_another(folder, home, "docker", "compose", "ps", "-q", "web").strip()
        limit = shop.engine("inspect", "--format", "{{.HostConfig.Memory}}", identity)
        assert limit.strip() == str(64 * 1024 * 1024)
    finally:
        as_another(folder, home, "docker", "compose", "down", "-v", "-t", "0")


def _packed(*members: tarfile.TarInfo) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for member in members:
            member.size = 1 if member.isreg() else 0
            tar.addfile(member, io.BytesIO(b"x"))
    return made.getvalue()


def _member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", mode: int = 0o644) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.mode = kind, link, mode
    return made


@pytest.mark.parametrize(
    "members",
    [
        [_member("../out")],
        [_member("/out")],
        [_member("./a/../../out")],
        [_member("./pipe", tarfile.FIFOTYPE)],
        [_member("./device", tarfile.CHRTYPE)],
        [_member("./a"), _member("./b", tarfile.LNKTYPE, "./a")],
        [_member("./link", tarfile.SYMTYPE, "../out")],
        [_member("./deep/link", tarfile.SYMTYPE, "/etc")],
        [_member("./link", tarfile.SYMTYPE, "inside"), _member("./link/file")],
    ],
    ids=["above", "absolute", "dots", "pipe", "device", "hard link", "link out", "absolute link", "through a link"],
)
def test_what_a_target_has_kept_writes_nowhere_else(members: list[tarfile.TarInfo], tmp_path: Path) -> None:
    folder = tmp_path / "deep/next"
    with pytest.raises(HsmError, match=r"it is no bundle|it is no folder"):
        parcel.untar(folder, _packed(*members))
    assert not folder.exists()
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize("data", [b"", b"garbage", b"\x1f\x8bgarbage", b"BZh9garbage", b"x" * 4096])
def test_what_is_no_tar_is_no_bundle(data: bytes, tmp_path: Path) -> None:
    with pytest.raises(HsmError, match="it is no bundle of hsm any more"):
        parcel.untar(tmp_path / "next", data)


def test_a_tar_that_was_cut_off_is_no_bundle(tmp_path: Path) -> None:
    whole = _packed(_member("./a"), _member("./b"))
    for end in (100, 600, 1024, 1100, 1537, 2048):
        with pytest.raises(HsmError, match="it is no bundle of hsm any more"):
            parcel.untar(tmp_path / "next", whole[:end])
    assert not (tmp_path / "next").exists()


def test_what_was_packed_comes_out_as_it_was(tmp_path: Path) -> None:
    members = _member("./a"), _member("./deep/b", mode=0o755), _member("./link", tarfile.SYMTYPE, "deep/b")
    parcel.untar(tmp_path / "next", _packed(*members, _member("./empty", tarfile.DIRTYPE, mode=0o755)))
    there = tmp_path / "next"
    assert {path.relative_to(there).as_posix() for path in there.rglob("*")} == {"a", "deep", "deep/b", "link", "empty"}
    assert (there / "a").read_bytes() == b"x"
    assert (there / "deep/b").stat().st_mode & 0o777 == 0o755
    assert (there / "link").readlink() == Path("deep/b")
