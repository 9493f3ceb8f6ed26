"""The first minute on projects as they are published: a Django site, a shop of thirty services, a data platform."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.commands.bench import Servers, Workspace
from tests.support import ports, projects, world

Project = Callable[..., Workspace]
SAMPLE = re.compile(r"^# +\S+: \{repo: .*git\.example.*\n", re.MULTILINE)  # how init says that sources are named


@pytest.fixture(scope="module")
def images(servers: Servers) -> Servers:
    """The servers, with a stand-in for each image of the projects."""
    projects.push(servers.registry)
    return servers


@pytest.fixture
def project(images: Servers, tmp_path: Path) -> Iterator[Project]:
    """A project as its people have it, without hsm; `live` with images that the engine can pull."""
    made: list[Workspace] = []

    def put(name: str, *, live: bool = False) -> Workspace:
        here = images.workspace(tmp_path / name, "hsm")
        for path in here.root.iterdir():
            path.unlink()
        projects.put(name, here.root, images.registry, for_engine=live)
        here.variables["COMPOSE_PROJECT_NAME"] = here.project
        made.append(here if live else here.without_engine())
        return here

    yield put
    for one in made:
        one.remove()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("django", ("5 built from sources (beat, flower, migrate, web, worker)", "profiles monitoring, tools",
                    "PGADMIN_EMAIL, PGADMIN_PASSWORD (copy .env.example to .env)")),
        ("boutique", ("7 built from sources", "25 from images", "redis and valkey look like alternatives",
                      "elasticsearch and opensearch look like alternatives", "SESSION_SECRET, STRIPE_KEY (set them")),
        ("data", ("1 built from sources (loader)", "kafka and redpanda look like alternatives")),
    ],
)  # fmt: skip
def test_init_says_what_it_found_changes_nothing_but_gitignore_and_syncs_at_once(
    name: str, said: tuple[str, ...], project: Project
) -> None:
    here = project(name)
    before = here.files()
    done = here.run("init")
    assert all(words in done.err for words in said), done.err
    assert {path for path in here.changed(before) if path in before} <= {".gitignore"}
    synced = here.run("sync")
    assert "warning" not in synced.err
    assert here.ran("sync") == set()


@pytest.mark.parametrize("name", projects.NAMES)
def test_what_compose_would_run_is_what_it_was_but_for_pins(name: str, project: Project) -> None:
    here = project(name)
    before = _images(here, "docker", "compose")
    here.run("init")
    here.run("sync")
    after = _images(here, "hsm", "compose")
    assert set(after) == set(before)
    assert all(re.search(r"@sha256:[0-9a-f]{64}$", image) for service, image in after.items() if before[service])
    assert [image.partition("@")[0] for image in after.values() if "@" in image] == [
        image if ":" in image else f"{image}:latest" for service, image in before.items() if image
    ]


def _uncommented(text: str) -> str:
    return re.sub(r"^# (groups:|  +.*)$", r"\1", text, flags=re.MULTILINE)


def _images(here: Workspace, *program: str) -> dict[str, str]:
    """service → the image that it pulls, of what starts; "" for who is built."""
    done = subprocess.run(
        (*program, "config", "--format", "json"),
        cwd=here.root, env=here.environment(), capture_output=True, text=True, check=True,
    )  # fmt: skip
    services = json.loads(done.stdout)["services"]
    return {name: "" if "build" in keys else keys["image"] for name, keys in sorted(services.items())}


@pytest.mark.parametrize(
    ("name", "switch", "alias", "gone"),
    [("data", "redpanda", "broker", "kafka"), ("boutique", "opensearch", "index", "elasticsearch")],
)
def test_what_init_only_suggests_holds_when_it_is_taken_out_of_the_comment(
    name: str, switch: str, alias: str, gone: str, project: Project
) -> None:
    here = project(name)
    here.run("init")
    text = _uncommented(SAMPLE.sub("", here.read("hsm.yaml")))
    here.write("hsm.yaml", text.replace("[admin, ci, load, opensearch, redis, tracing]", "[admin, tracing]"))
    here.run("sync")
    here.run(f"use:{switch}")
    shown = here.run("compose", "config").out
    assert f"      {switch}:" in shown and f"  {gone}:" not in shown
    assert re.search(rf"(?:[\"' /]){alias}:\d+", shown), "a consumer still asks for the old name"


def test_a_published_project_runs_a_broker_gives_way_and_a_service_goes_to_its_sources(
    images: Servers, project: Project
) -> None:
    if not world.engine_ready():
        pytest.skip("no engine answers")
    here = project("data", live=True)
    here.variables |= {name: str(ports.free_port()) for name in ("MYSQL_PORT", "AIRFLOW_PORT", "NOTEBOOK_PORT")}
    here.run("init")
    here.run("up")
    assert {"kafka", "redpanda", "connect", "loader", "spark-worker"} <= set(here.containers())
    assert here.ended() == {"airflow-init"}
    images.repository("connect", {"Dockerfile": "FROM @REG@/base:1\nENTRYPOINT sleep 1000000\n"})
    text = SAMPLE.sub('  connect: {repo: {url: "@GIT@/connect.git"}}\n', here.read("hsm.yaml"))
    here.write("hsm.yaml", _uncommented(text))
    here.run("dev:connect", "use:redpanda", "up")
    assert "kafka" not in here.containers()
    assert (here.root / "repos/connect/Dockerfile").exists()
    connect = here.containers()["connect"]
    assert here.engine("inspect", "-f", "{{.Config.Image}}", connect) == f"{here.project}-connect\n"
    assert "BOOTSTRAP_SERVERS=broker:9092" in here.engine("inspect", "-f", "{{.Config.Env}}", connect)
