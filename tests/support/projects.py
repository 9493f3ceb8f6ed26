"""The projects of tests/projects as people would have them on their disks, and images to run them with.

They name real images, and no test fetches those: a registry of ours has a stand-in under each name. A stand-in is
busybox with programs that are called as the real ones (`pip`, `celery`, `pg_isready` …) and only pretend.

    with RegistryServer() as registry:
        projects.push(registry)
        projects.put("django", tmp_path, registry)                    # as it is: for `sync`, through a mirror
        projects.put("django", tmp_path, registry, for_engine=True)   # images from our host: an engine can pull them
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

from hsm_tasks.core.reference import ImageReference
from tests.support.registry import RegistryServer, busybox_image
from tests.support.world import REPOSITORY

PROJECTS = REPOSITORY / "tests" / "projects"
NAMES = ("django", "boutique", "data")

# image → the port that its stand-in serves on; 0: it only sleeps
_IMAGES = {
    "apache/airflow:2.10.2": 8080, "axllent/mailpit:v1.20": 8025, "bitnami/spark:3.5": 0,
    "confluentinc/cp-kafka:7.7.1": 0, "confluentinc/cp-zookeeper:7.7.1": 0, "debezium/connect:2.7": 0,
    "docker.redpanda.com/redpandadata/redpanda:v24.2.4": 0, "dpage/pgadmin4:8": 80, "elasticsearch:8.15.0": 0,
    "gcr.io/distroless/static-debian12": 0, "golang:1.23": 0, "grafana/grafana:11.2.0": 3000, "grafana/k6:0.54.0": 0,
    "jaegertracing/all-in-one:1.61": 0, "mailhog/mailhog": 8025, "minio/minio:RELEASE.2024-09-22T00-33-43Z": 0,
    "mysql:8.4": 0, "nginx:1.27-alpine": 80, "node:22-alpine": 8080, "opensearchproject/opensearch:2": 0,
    "otel/opentelemetry-collector-contrib:0.110.0": 0, "postgres:13": 0, "postgres:16-alpine": 0, "postgres:16.4": 0,
    "prom/prometheus:v2.54.1": 0, "python:3.12-slim": 8000, "quay.io/jupyter/base-notebook:latest": 8888,
    "quay.io/minio/minio:latest": 0, "quay.io/prometheus/node-exporter:v1.8.2": 0, "rabbitmq:3.13-management": 0,
    "redis:7-alpine": 0, "redis:7.2-bookworm": 0, "redis:7.4-alpine": 0, "valkey/valkey:8-alpine": 0,
    **{f"ghcr.io/acme/boutique-{name}:1.9": 0 for name in (
        "admin", "currency", "email", "fraud", "inventory", "loyalty", "notify", "orders", "pricing", "recommend",
        "search", "shipping",
    )},
}  # fmt: skip
_HOSTS = ("docker.io", "gcr.io", "ghcr.io", "quay.io", "docker.redpanda.com")
_DATA = {"postgres": "/var/lib/postgresql/data", "mysql": "/var/lib/mysql", "redis": "/data", "valkey": "/data"}
_SUCCEED = "pip npm curl pg_isready redis-cli valkey-cli grpc_health_probe airflow"
_RUN = """#!/bin/sh
case "$*" in *migrate*) exit 0 ;; esac
[ "$PORT" = 0 ] && exec sleep 1000000
exec httpd -f -p "$PORT" -h /www
"""
_COMPILE = f"#!/bin/sh\ncat > /bin/service << 'END'\n{_RUN}END\nchmod 755 /bin/service\n"


def push(registry: RegistryServer) -> None:
    """A stand-in for each image."""
    programs = {f"bin/{name}": b"#!/bin/sh\nexit 0\n" for name in _SUCCEED.split()}
    programs |= {"bin/stand-in": _RUN.encode(), "bin/go": _COMPILE.encode(), "bin/bash": b'#!/bin/sh\nexec sh "$@"\n'}
    for name, port in _IMAGES.items():
        reference = ImageReference.parse(name)
        kind = reference.repository.rpartition("/")[2]
        volumes: dict[str, Any] = {"Volumes": {_DATA[kind]: {}}} if kind in _DATA else {}
        image = busybox_image(
            {**programs, "www/index.html": f"{name}\n".encode()},
            cmd=(),
            env={"PORT": str(port)},
            Entrypoint=["/bin/stand-in"],
            StopSignal="SIGKILL",
            **volumes,
        )
        registry.push(reference.repository, reference.tagged, config=image.config, layers=image.layers)


def put(name: str, folder: Path, registry: RegistryServer, *, for_engine: bool = False) -> None:
    """The project in a folder that is there. What git can not keep (an empty .env) is no part of it."""
    shutil.copytree(PROJECTS / name, folder, dirs_exist_ok=True)
    if for_engine:
        for path in folder.rglob("*"):
            if path.suffix in (".yml", ".yaml") or path.name == "Dockerfile":
                path.write_text(_served(path.read_text(), registry.host))
    else:
        mirrors = "".join(f'"{host}" = "{registry.url}"\n' for host in _HOSTS)
        (folder / "pyproject.toml").write_text(f"[tool.hsm.mirrors]\n{mirrors}")


def _served(text: str, host: str) -> str:
    """The text with our images: in `image:`, in `FROM`, in the default of a variable, and with a variable as tag."""
    for name in sorted({ImageReference.parse(image).name for image in _IMAGES}, key=len, reverse=True):
        ours = f"{host}/{ImageReference.parse(name).repository}"
        text = re.sub(rf"((?:image: |FROM |:-)){re.escape(name)}(?=[\s:]|$)", rf"\g<1>{ours}", text)
    return text
