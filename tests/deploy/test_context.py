"""`doit deploy` to a docker context of this machine: where its files are kept, and what is heard of it meanwhile."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.commands.bench import Workspace
from tests.deploy.conftest import Make
from tests.support import world

HSM_YAML = """\
services:
  web: {prod: {image: "@REG@/web:1.0", limits: {memory: 64M}}}
targets:
  local: {context: default, wait: "40"}
"""
BASE = """\
services:
  web: {image: "@REG@/web:0.9", init: true, volumes: ["./conf:/conf:ro"], environment: {GREETING: hello}}
  tool: {image: "@REG@/web:0.9", command: ["true"], profiles: [tools]}
  idle: {image: "@REG@/web:0.9", scale: 0}
"""


@pytest.fixture
def bare(make: Make, tmp_path: Path) -> Workspace:
    """Without an engine."""
    made = make({"hsm.yaml": HSM_YAML, "docker-compose.yml": BASE, "conf/a": "first\n"})
    made.variables["HOME"] = str(tmp_path / "home")
    return made


@pytest.fixture
def shop(bare: Workspace) -> Workspace:
    if not world.engine_ready():
        pytest.skip("no engine answers")
    del bare.variables["DOCKER_HOST"]
    return bare


def kept(shop: Workspace) -> Path:
    return Path(shop.variables["HOME"], ".local/share/hsm", shop.project)


@pytest.mark.docker
def test_a_deployment_outlives_the_folder_that_may_be_deleted(shop: Workspace) -> None:
    done = shop.run("deploy", "target=local")
    assert {"current.tar", "files"} <= {path.name for path in kept(shop).iterdir()}
    shutil.rmtree(shop.root / ".hsm")
    web = shop.containers()["web"]
    shop.engine("restart", "-t", "0", web)
    assert shop.engine("exec", web, "cat", "/conf/a") == "first\n"
    assert "0 of 3 services change" in shop.run("plan", "deploy", "target=local").out

    assert not done.out
    heard = [line for line in done.err.splitlines() if re.match(r"[a-z]+ing\b", line)]
    assert heard[:3] == ["sending the bundle", "pulling images", "updating"]
    assert len(heard) == len(set(heard))
    assert re.search(r"^ +Container .*web-1 +Started", done.err, re.MULTILINE)


@pytest.mark.docker
def test_a_tool_that_has_ended_fails_no_deploy(shop: Workspace) -> None:
    shop.run("deploy", "target=local")
    model = shop.root / ".hsm/shop/targets/local/next/deploy.yaml"
    shop.engine("compose", "-p", shop.project, "-f", str(model), "up", "tool")
    assert shop.ended() == {"tool"}
    shop.edit("docker-compose.yml", "GREETING: hello", "GREETING: goodbye")
    shop.run("deploy", "target=local")
    assert shop.ended() == {"tool"}
    assert "GREETING=goodbye" in shop.engine("exec", shop.containers()["web"], "env")


@pytest.mark.docker
def test_what_an_older_hsm_has_deployed_is_found_where_it_is(shop: Workspace) -> None:
    old = shop.root / ".hsm/shop/targets/local/place"
    shop.edit("hsm.yaml", "context: default", f"context: default, dir: '{old}'")
    shop.run("deploy", "target=local")
    shop.edit("hsm.yaml", f", dir: '{old}'", "")
    done = shop.run("deploy", "target=local")
    assert "0 of 3 services change" in done.err
    assert f"local has its files in {old}, so do not delete that; to have them in {kept(shop)}: `docker " in done.err
    assert not kept(shop).exists()
    shutil.move(shop.root / ".hsm/shop", shop.root / ".hsm/gone")
    hints = [check["hint"] for check in shop.run("doctor", "--json", code=None).json()["checks"]]
    mounted = ".hsm/gone/targets/local/place may be mounted by what was deployed"
    assert f"{mounted}: take that down, then rm -r .hsm/gone" in hints


def test_each_context_has_a_folder_of_its_own(bare: Workspace, tmp_path: Path) -> None:
    bare.variables["DOCKER_CONFIG"] = world.docker_settings(tmp_path / "docker")["DOCKER_CONFIG"]
    create = ("docker", "context", "create", "other", "--docker", "host=unix:///nowhere")
    subprocess.run(create, env=bare.environment(), capture_output=True, check=True)
    bare.edit("hsm.yaml", "targets:\n", "targets:\n  other: {context: other}\n")
    kept(bare).mkdir(parents=True)
    (kept(bare) / "current.tar").write_bytes(b"garbage")
    bare.run("plan", "deploy", "target=local", code=1)
    assert "3 of 3 services change" in bare.run("plan", "deploy", "target=other").out


def packed(**files: str) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(f"./{name.replace('_', '.')}")
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text.encode()))
    return made.getvalue()


@pytest.mark.parametrize(
    "data",
    [b"", b"garbage", packed(compose_yaml="x" * 2000)[:1500], packed(compose_yaml="services: {}"),
     packed(manifest_json='{"files": {'), packed(manifest_json="[]"), packed(manifest_json="{}")],
    ids=["empty", "garbage", "cut off", "no manifest", "cut manifest", "list", "nothing said"],
)  # fmt: skip
@pytest.mark.parametrize("words", [("status",), ("plan", "deploy")], ids=" ".join)
def test_a_kept_bundle_that_is_broken_is_told_in_one_sentence(
    words: tuple[str, ...], data: bytes, bare: Workspace
) -> None:
    kept(bare).mkdir(parents=True)
    (kept(bare) / "current.tar").write_bytes(data)
    said = bare.run(*words, "target=local", code=1).err
    assert f"{kept(bare)}/current.tar of local: " in said
    assert "it is no bundle of hsm any more" in said
    assert said.endswith("hint: it was cut off, or changed by others: move it away, then deploy again\n")


def test_a_target_can_not_be_called_as_a_path(bare: Workspace) -> None:
    bare.edit("hsm.yaml", "  local: ", '  "../../..": ')
    assert '"../../.." is not a name for a target' in bare.run("plan", "deploy", "target=../../..", code=3).err
