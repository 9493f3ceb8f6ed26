"""What makes build tools lie: runs side by side, rows that outlive their step, a path that is written in two ways."""

from __future__ import annotations

import json
import subprocess
from collections import Counter

from tests.commands.bench import Workspace
from tests.commands.conftest import Make

DEV = "services: {api: {mode: dev}}\n"


def test_of_runs_at_once_one_does_the_work_and_the_others_say_for_whom_they_wait(make: Make) -> None:
    here = make(files={"hsm.local.yaml": DEV})
    logs = [here.root.parent / f"log{number}" for number in range(3)]
    running = [_begun(here, HSM_RUN_LOG=str(log)) for log in logs]
    said = [process.communicate(timeout=300)[1] for process in running]
    assert [process.returncode for process in running] == [0, 0, 0], said
    lines = [json.loads(line) for log in logs for line in log.read_text().splitlines()]
    ran = Counter(line["step"] for line in lines if line["result"] == "ran")
    assert ran == Counter({line["step"] for line in lines}), "each step once, whoever did it"
    assert {line["result"] for line in lines} == {"ran", "fresh"}
    pids = [f"waiting for process {process.pid} (doit sync)" for process in running]
    assert sum(any(words in text for words in pids) for text in said) >= 1
    assert here.ran("sync") == set()


def _begun(here: Workspace, **variables: str) -> subprocess.Popen[str]:
    environment = {**here.environment(), **variables}
    return subprocess.Popen(
        (here.door, "sync"), cwd=here.root, env=environment, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def test_the_row_of_a_service_that_is_gone_goes_and_does_not_vouch_for_the_next_of_its_name(make: Make) -> None:
    here = make()
    extra = "  extra:\n    prod: {image: '@REG@/metrics'}\n"
    here.edit("hsm.yaml", "  web:\n", f"{extra}  web:\n")
    here.run("sync")
    here.door = "hsm"  # doit keeps dumpdb to itself
    assert "render:extra" in here.run("dumpdb").out
    here.edit("hsm.yaml", extra, "")
    assert here.ran("sync") == {"merge", "check"}
    assert "extra" not in here.run("dumpdb").out
    assert not list(here.root.glob(".hsm/shop/*/extra*"))
    here.edit("hsm.yaml", "  web:\n", f"{extra}  web:\n")
    assert here.ran("sync") - {"resolve:extra"} == {"render:extra", "merge", "check"}


def test_two_ways_to_write_a_path_are_one(make: Make) -> None:
    here = make(files={"hsm.local.yaml": DEV, "../common.yaml": "services: {web: {prod: {environment: {A: '1'}}}}\n"})
    settings = here.root / "pyproject.toml"
    settings.write_text('[tool.hsm]\nrepos_dir = "repos"\nstacks_dir = "stacks"\n')
    here.write("hsm.yaml", f"include: [../common.yaml]\ncompose: docker-compose.yml\n{here.read('hsm.yaml')}")
    here.run("sync")
    settings.write_text('[tool.hsm]\nrepos_dir = "./repos/"\nstacks_dir = "./stacks"\n')
    assert here.ran("sync") == set()
    here.edit("hsm.yaml", "include: [../common.yaml]", "include: [./../common.yaml]")
    here.edit("hsm.yaml", "compose: docker-compose.yml", "compose: ./docker-compose.yml")
    assert here.ran("sync") == set()
    here.edit("hsm.yaml", '"./www:/www"', '"././www/:/www"')
    assert here.ran("sync") <= {"render:api"}, "the fragment is the same, if it is made anew"


def test_each_step_that_runs_says_why(make: Make) -> None:
    def reasons(*words: str) -> dict[str, str]:
        return {line["step"]: line["reason"] for line in here.lines(*words) if line["result"] == "ran"}

    here = make()
    assert set(reasons("sync").values()) == {"first run"}
    (here.stack / "docker-compose.hsm.yml").write_text("services: {}\n")
    assert reasons("sync") == {"check": "stacks/shop/docker-compose.hsm.yml was edited by hand"}
    (here.root / ".hsm/shop/override.yml").unlink()
    assert reasons("sync") == {"merge": ".hsm/shop/override.yml is gone"}
    here.edit("hsm.yaml", "memory: 64M", "memory: 32M")
    assert reasons("sync") == {
        "render:api": "config changed: deploy",
        "merge": ".hsm/shop/fragments/api.yml changed",
        "check": ".hsm/shop/override.yml changed",
    }
    assert "mode (prod → dev)" in reasons("dev:api")["render:api"]


def test_no_value_is_kept_in_the_state(make: Make) -> None:
    here = make(files={"hsm.local.yaml": DEV})
    here.edit("hsm.yaml", 'DEBUG: "1"', 'DEBUG: "opensesame-1"')
    here.edit("docker-compose.yml", "  job:\n", "  job:\n    environment: {PASSWORD: opensesame-2}\n")
    here.run("sync")
    for file in here.root.glob(".hsm/shop/state.db*"):
        assert b"opensesame" not in file.read_bytes(), file
    here.edit("hsm.yaml", "opensesame-1", "opensesame-3")
    reasons = [line["reason"] for line in here.lines("sync") if line["step"] == "render:api"]
    assert reasons == ["config changed: environment"]
