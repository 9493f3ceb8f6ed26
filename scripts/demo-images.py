"""Pushes the images of the demo into a registry, over its http API: no engine and no build is needed.

    python demo-images.py HOST:PORT [--busybox FILE] [--only NAME] [--version VERSION]

Every image is one layer of busybox (a static one) and one layer of examples/demo, in an OCI index, as real images
are. All times in them are fixed: the same busybox, sources and HOST:PORT give the same digests. The address is part of
them so that two demos on one engine have nothing in common, and one can be put away beside the other.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import shutil
import tarfile
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

SOURCES = Path(__file__).resolve().parent.parent / "examples" / "demo"
APPLETS = ("cat", "echo", "env", "httpd", "ls", "nc", "nslookup", "sh", "sleep", "touch", "wc", "wget")
OCI = "application/vnd.oci.image"
MACHINES = {3: "386", 21: "ppc64le", 22: "s390x", 40: "arm", 62: "amd64", 183: "arm64", 243: "riscv64"}
SECOND = 1_000_000_000  # health checks count nanoseconds


@dataclass(frozen=True)
class Image:
    """One repository of the registry: what its images hold, and its tags, version by version."""

    name: str
    tags: tuple[tuple[str, ...], ...]  # the first tag of each version is the version itself
    source: str = "stand-in"
    command: tuple[str, ...] = ()
    port: int = 0
    data: str = ""  # a folder that keeps data, for the stand-ins
    healthcheck: bool = False  # whether the image brings a health check of its own
    volumes: tuple[str, ...] = field(default=())


IMAGES = (
    Image("base", (("1",),), source="", command=("/bin/sh",)),
    Image(
        "api",
        (("1.4.0", "1.4"), ("1.5.0", "1.5", "1"), ("2.0.0", "2.0", "2", "latest")),
        source="api",
        port=8000,
    ),
    Image(
        "worker",
        (("1.4.0",), ("1.5.0",), ("2.0.0", "latest")),
        source="api",
        command=("/bin/sh", "/app/src/worker.sh"),
    ),
    Image("web", (("1.0.0",), ("1.1.0", "latest")), source="web", port=80),
    Image("model", (("0.3.0", "latest"),), source="model", port=80),
    Image(
        "postgres",
        (("15.6",), ("16.2", "16", "latest")),
        port=5432,
        data="/var/lib/postgresql/data",
        healthcheck=True,
    ),
    Image("mysql", (("8.4.0", "8.4", "latest"),), port=3306, data="/var/lib/mysql", volumes=("/var/lib/mysql",)),
    Image("redis", (("7.2.4", "7.2", "latest"), ("7.2.4-alpine", "7.2-alpine")), port=6379),
    Image("metrics", (("2.51.0", "latest"),), port=9090),
    Image("tracing", (("1.57.0", "latest"),), port=4318),
    Image("toolbox", (("1.0.0", "latest"),), source="", command=("/bin/sleep", "1000000")),
)


class Registry:
    """The pushing half of the OCI distribution API."""

    def __init__(self, host: str) -> None:
        self.base = f"http://{host}/v2/"

    def push_blob(self, repository: str, content: bytes) -> dict[str, object]:
        """Pushes what is not there yet; returns its digest and size for a manifest."""
        digest = "sha256:" + hashlib.sha256(content).hexdigest()
        try:
            self._ask("HEAD", f"{self.base}{repository}/blobs/{digest}")
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise
            upload = self._ask("POST", f"{self.base}{repository}/blobs/uploads/")
            place = urllib.parse.urljoin(self.base, upload["Location"])
            place += ("&" if "?" in place else "?") + urllib.parse.urlencode({"digest": digest})
            self._ask("PUT", place, content, "application/octet-stream")
        return {"digest": digest, "size": len(content)}

    def push_manifest(self, repository: str, tag: str, manifest: dict[str, object]) -> dict[str, object]:
        content = json.dumps(manifest, sort_keys=True, indent=2).encode()
        digest = "sha256:" + hashlib.sha256(content).hexdigest()
        self._ask("PUT", f"{self.base}{repository}/manifests/{tag or digest}", content, str(manifest["mediaType"]))
        return {"mediaType": manifest["mediaType"], "digest": digest, "size": len(content)}

    def _ask(self, method: str, url: str, body: bytes | None = None, kind: str = "") -> dict[str, str]:
        headers = {"Content-Type": kind} if kind else {}
        request = urllib.request.Request(url, data=body, method=method, headers=headers)
        # No proxy: the registry is on loopback, and many a proxy is set for every address.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=60) as answer:
            return dict(answer.headers)


def layer(entries: dict[str, bytes | str]) -> bytes:
    """A tar with fixed times; a text is a link to that path, a path that ends in / is a folder."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for path, content in sorted(entries.items()):
            entry = tarfile.TarInfo(path.rstrip("/"))
            entry.mode = 0o755
            if path.endswith("/"):
                entry.type = tarfile.DIRTYPE
                entry.mode = 0o1777 if path == "tmp/" else 0o755
            if isinstance(content, str):
                entry.type, entry.linkname = tarfile.SYMTYPE, content
                content = b""
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return stream.getvalue()


def base_layer(busybox: bytes) -> bytes:
    folders = dict.fromkeys(("bin/", "etc/", "tmp/"), b"")
    return layer({**folders, "bin/busybox": busybox, **{f"bin/{name}": "busybox" for name in APPLETS}})


def app_layer(image: Image, version: str) -> bytes:
    sources = SOURCES / image.source / "src"
    entries: dict[str, bytes | str] = {"app/": b"", "app/version": f"{version}\n".encode()}
    if image.data:
        entries.update({f"{folder}/": b"" for folder in _folders(image.data)})
    for path in sorted(sources.rglob("*")) if image.source else ():
        name = f"app/src/{path.relative_to(sources).as_posix()}"
        entries.update({f"{name}/": b""} if path.is_dir() else {name: path.read_bytes()})
    return layer(entries)


def _folders(path: str) -> list[str]:
    """var/lib/mysql -> var, var/lib, var/lib/mysql."""
    parts = path.strip("/").split("/")
    return ["/".join(parts[: count + 1]) for count in range(len(parts))]


def settings(image: Image) -> dict[str, object]:
    """What `docker inspect` shows under Config."""
    serve = ("/bin/httpd", "-f", "-p", str(image.port), "-h", "/app/src")
    result: dict[str, object] = {
        "Cmd": list(image.command or serve),
        "Env": ["PATH=/bin"],
        "StopSignal": "SIGKILL",  # busybox as process 1 does not hear SIGTERM; a stop would take ten seconds
        "WorkingDir": "/app" if image.source else "/",
    }
    if image.source == "stand-in":
        result["Env"] = ["PATH=/bin", f"NAME={image.name}", f"DATA={image.data}"]
    if image.port:
        result["ExposedPorts"] = {f"{image.port}/tcp": {}}
    if image.volumes:
        result["Volumes"] = {path: {} for path in image.volumes}
    if image.healthcheck:
        test = ["CMD", "/bin/wget", "-q", "-O", "/dev/null", f"http://127.0.0.1:{image.port}/"]
        result["Healthcheck"] = {"Test": test, "Interval": SECOND, "Timeout": 3 * SECOND, "Retries": 30}
    return result


def push(host: str, image: Image, tags: tuple[str, ...], busybox: bytes) -> None:
    registry = Registry(host)
    repository = f"shop/{image.name}"
    architecture = MACHINES[int.from_bytes(busybox[18:20], "little" if busybox[5] == 1 else "big")]
    layers = [base_layer(busybox), app_layer(image, tags[0])]
    config = {
        "architecture": architecture,
        "os": "linux",
        "created": "2026-01-01T00:00:00Z",
        "config": settings(image),
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(tar).hexdigest() for tar in layers]},
        "history": [{"created": "2026-01-01T00:00:00Z", "created_by": f"demo-images.py {host}"}] * len(layers),
    }
    blob = registry.push_blob(repository, json.dumps(config, sort_keys=True).encode())
    manifest: dict[str, object] = {
        "schemaVersion": 2,
        "mediaType": f"{OCI}.manifest.v1+json",
        "config": {"mediaType": f"{OCI}.config.v1+json", **blob},
        "layers": [{"mediaType": f"{OCI}.layer.v1.tar", **registry.push_blob(repository, tar)} for tar in layers],
    }
    entry = registry.push_manifest(repository, "", manifest)
    platform = {"architecture": architecture, "os": "linux"}
    index: dict[str, object] = {
        "schemaVersion": 2,
        "mediaType": f"{OCI}.index.v1+json",
        "manifests": [{**entry, "platform": platform}],
    }
    for tag in tags:
        registry.push_manifest(repository, tag, index)


def main() -> None:
    parser = argparse.ArgumentParser(description="Push the images of the demo into a registry.")
    parser.add_argument("registry", metavar="HOST:PORT")
    parser.add_argument("--busybox", default=shutil.which("busybox"), help="a static busybox (default: the PATH's)")
    parser.add_argument("--only", metavar="NAME", choices=[image.name for image in IMAGES], help="only this image")
    parser.add_argument("--version", help="with --only: push it as this version and tag instead of those of the demo")
    options = parser.parse_args()
    if options.busybox is None:
        parser.error("there is no busybox on the PATH: give --busybox")
    if options.version and not options.only:
        parser.error("--version needs --only")
    busybox = Path(options.busybox).read_bytes()
    for image in IMAGES:
        if options.only in (None, image.name):
            for tags in ((options.version,),) if options.version else image.tags:
                push(options.registry, image, tags, busybox)


if __name__ == "__main__":
    main()
