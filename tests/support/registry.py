"""A real registry on a free port of this machine, and images pushed into it without an engine.

    with RegistryServer() as registry:
        registry.push("acme/api", "1.4", config={"Cmd": ["true"]})
        image = busybox_image({"www/index.html": b"hello"}, cmd=["httpd", "-f", "-h", "/www"])
        registry.push("acme/web", "2.1", config=image.config, layers=image.layers)  # docker run HOST/acme/web:2.1
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import requests

from tests.support.ports import free_port

USER, PASSWORD = "tester", "right-pass"
# bcrypt of the password above: the only kind of hash that the registry reads
HTPASSWD = f"{USER}:$2b$04$abcdefghijklmnopqrstuuMAVYJKbzxmzbNJS5pCFkr7WlaWBgtEC\n"

DOCKER = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
OCI = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
PARTS = {
    DOCKER: (
        "application/vnd.docker.container.image.v1+json",
        "application/vnd.docker.image.rootfs.diff.tar.gzip",
    ),
    OCI: (
        "application/vnd.oci.image.config.v1+json",
        "application/vnd.oci.image.layer.v1.tar+gzip",
    ),
}


@dataclass(frozen=True, slots=True)
class Image:
    """`config` as in docker's Config (Cmd, Env, Healthcheck, Volumes …); `layers` are tar files, not compressed."""

    config: dict[str, Any]
    layers: tuple[bytes, ...]
    created: str | None = None


class RegistryServer:
    """`docker-registry serve`, from entering the context to leaving it. `auth`: only USER with PASSWORD may ask."""

    def __init__(self, *, auth: bool = False) -> None:
        self.auth = auth
        self.host = ""
        self._folder = Path()
        self._process: subprocess.Popen[bytes] | None = None
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.auth = (USER, PASSWORD) if auth else None

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT`."""
        return f"http://{self.host}"

    @property
    def asked(self) -> list[str]:
        """What was asked so far, as in "HEAD /v2/acme/api/manifests/1.4"."""
        lines = (self._folder / "access.log").read_text().splitlines()
        return [" ".join(line.split('"')[1].split()[:2]) for line in lines if '"' in line and "HTTP/1" in line]

    def __enter__(self) -> RegistryServer:
        self._folder = Path(tempfile.mkdtemp(prefix="registry-"))
        try:
            if self._start(free_port()):
                return self
        except BaseException:
            self.stop()
            raise
        self.stop()
        raise RuntimeError("docker-registry does not start")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _start(self, port: int) -> bool:
        self.host = f"127.0.0.1:{port}"
        settings: dict[str, Any] = {
            "version": "0.1",
            "log": {"level": "error"},
            "storage": {"filesystem": {"rootdirectory": str(self._folder / "data")}, "delete": {"enabled": True}},
            "http": {"addr": self.host, "secret": "for tests"},
        }
        if self.auth:
            (self._folder / "htpasswd").write_text(HTPASSWD)
            settings["auth"] = {"htpasswd": {"realm": "tests", "path": str(self._folder / "htpasswd")}}
        (self._folder / "config.yml").write_text(json.dumps(settings))  # JSON is YAML
        with (self._folder / "access.log").open("wb") as access, (self._folder / "errors.log").open("wb") as errors:
            program = os.environ.get("HSM_DOCKER_REGISTRY") or "docker-registry"
            command = [program, "serve", str(self._folder / "config.yml")]
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=access, stderr=errors)
        for _ in range(500):
            if self._process.poll() is not None:
                return False
            try:
                self._session.get(f"{self.url}/v2/", timeout=5)
            except requests.ConnectionError:
                time.sleep(0.02)
            else:
                return True
        return False

    def stop(self) -> None:
        """End the server and remove what it stored."""
        if self._process:
            self._process.terminate()
            self._process.wait(timeout=30)
            self._process = None
        self._session.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def push(
        self,
        repository: str,
        tag: str,
        *,
        config: Mapping[str, Any],
        layers: Sequence[bytes] = (),
        platforms: Sequence[str] = (),
        oci: bool = False,
        media_type: bool = True,
        created: str | None = None,
    ) -> str:
        """The digest of what the tag names then. With `platforms` ("linux/arm64") that is an index of one image each,
        and of an attestation each if it is OCI, as buildx makes them. `media_type`: whether an OCI manifest has it."""
        image, kind = Image(dict(config), tuple(layers) or (_tar({}),), created), OCI if oci else DOCKER
        if not platforms:
            body = self._upload(repository, image, "linux/amd64", kind)
            return self._put(repository, tag, body if media_type else _without_media_type(body), kind)
        entries = []
        for platform in platforms:
            entries.append(self._entry(repository, self._upload(repository, image, platform, kind), kind, platform))
            if oci:
                entries.append(self._attestation(repository, entries[-1]["digest"]))
        index = {"schemaVersion": 2, "mediaType": OCI_INDEX if oci else DOCKER_LIST, "manifests": entries}
        return self._put(repository, tag, _json(index), OCI_INDEX if oci else DOCKER_LIST)

    def retag(self, repository: str, digest: str, tag: str) -> None:
        """Give an image that is there another tag as well."""
        url = f"{self.url}/v2/{repository}/manifests"
        found = self._session.get(f"{url}/{digest}", headers={"Accept": f"{DOCKER}, {DOCKER_LIST}, {OCI}, {OCI_INDEX}"})
        found.raise_for_status()
        self._put(repository, tag, found.content, found.headers["Content-Type"])

    def remove(self, repository: str, digest: str) -> None:
        """Remove an image with all its tags."""
        self._session.delete(f"{self.url}/v2/{repository}/manifests/{digest}").raise_for_status()

    def _entry(self, repository: str, body: bytes, kind: str, platform: str) -> dict[str, Any]:
        digest = self._put(repository, _digest(body), body, kind)
        system, architecture = platform.split("/")
        where = {"os": system, "architecture": architecture}
        return {"mediaType": kind, "digest": digest, "size": len(body), "platform": where}

    def _attestation(self, repository: str, subject: str) -> dict[str, Any]:
        body = self._upload(repository, Image({}, (f"about {subject}".encode(),)), "unknown/unknown", OCI)
        entry = self._entry(repository, body, OCI, "unknown/unknown")
        about = {"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": subject}
        return {**entry, "annotations": about}

    def _upload(self, repository: str, image: Image, platform: str, kind: str) -> bytes:
        """The blobs of one image; its manifest comes back. Its history makes it another image than that of any other
        registry: what one run removes from an engine, no other run has."""
        system, architecture = platform.split("/")
        whole = {
            "architecture": architecture,
            "os": system,
            "config": image.config,
            "rootfs": {"type": "layers", "diff_ids": [_digest(layer) for layer in image.layers]},
            "history": [{"created_by": self._folder.name} for _ in image.layers],
            **({"created": image.created} if image.created else {}),
        }
        of_config, of_layer = PARTS[kind]
        layers = [self._blob(repository, _compressed(layer), of_layer) for layer in image.layers]
        config = self._blob(repository, _json(whole), of_config)
        return _json({"schemaVersion": 2, "mediaType": kind, "config": config, "layers": layers})

    def _blob(self, repository: str, body: bytes, kind: str) -> dict[str, Any]:
        digest, blobs = _digest(body), f"{self.url}/v2/{repository}/blobs"
        if self._session.head(f"{blobs}/{digest}").status_code != 200:
            begun = self._session.post(f"{blobs}/uploads/")
            begun.raise_for_status()
            self._session.put(begun.headers["Location"], params={"digest": digest}, data=body).raise_for_status()
        return {"mediaType": kind, "size": len(body), "digest": digest}

    def _put(self, repository: str, name: str, body: bytes, kind: str) -> str:
        url = f"{self.url}/v2/{repository}/manifests/{name}"
        self._session.put(url, data=body, headers={"Content-Type": kind}).raise_for_status()
        return _digest(body)


def busybox_image(
    files: Mapping[str, bytes] | None = None,
    *,
    cmd: Sequence[str] = ("sleep", "1000000"),
    env: Mapping[str, str] | None = None,
    **config: Any,
) -> Image:
    """An image that an engine can run: busybox with all its applets in /bin, and `files` (path → content; what begins
    with "#!" may be executed). More of docker's Config by name: Healthcheck={"Test": [...]}, Volumes={"/data": {}}."""
    variables = [f"{key}={value}" for key, value in (env or {}).items()]
    layers = [_busybox_layer()]
    if files:
        layers.append(_tar({path.strip("/"): content for path, content in files.items()}))
    return Image({"Cmd": list(cmd), "Env": ["PATH=/bin:/usr/bin", *variables], **config}, tuple(layers))


def import_busybox(image: str) -> None:
    """Gives the engine an image of nothing but /bin/busybox, which is its entrypoint."""
    layer = _tar({"bin/busybox": Path(_busybox()).read_bytes()})
    command = ["docker", "import", "--change", 'ENTRYPOINT ["/bin/busybox"]', "-", image]
    subprocess.run(command, input=layer, check=True, capture_output=True)


def _busybox() -> str:
    program = shutil.which(os.environ.get("HSM_BUSYBOX") or "busybox")
    if program is None:
        raise RuntimeError("busybox is not there (the package busybox-static)")
    return program


@functools.cache
def _busybox_layer() -> bytes:
    program = _busybox()
    applets = subprocess.run([program, "--list"], check=True, capture_output=True, text=True).stdout.split()
    content = {
        "bin/busybox": Path(program).read_bytes(),
        "etc/passwd": b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n",
        "etc/group": b"root:x:0:\nnogroup:x:65534:\n",
    }
    links = {f"bin/{applet}": "busybox" for applet in applets if applet != "busybox"}
    return _tar(content, links=links, folders=("tmp", "root", "usr/bin"))


def _tar(files: Mapping[str, bytes], *, links: Mapping[str, str] | None = None, folders: Iterable[str] = ()) -> bytes:
    """The same bytes for the same content: no times, no owners, everything sorted."""
    parents = {str(parent) for path in [*files, *(links or {}), *(f"{name}/x" for name in folders)]
               for parent in Path(path).parents if str(parent) != "."}  # fmt: skip
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name in sorted(parents):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755
            tar.addfile(entry)
        for name, content in sorted(files.items()):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o755 if content[:2] == b"#!" or content[:4] == b"\x7fELF" else 0o644
            tar.addfile(entry, io.BytesIO(content))
        for name, target in sorted((links or {}).items()):
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname, entry.mode = tarfile.SYMTYPE, target, 0o777
            tar.addfile(entry)
    return out.getvalue()


@functools.cache
def _compressed(layer: bytes) -> bytes:
    return gzip.compress(layer, compresslevel=1, mtime=0)


def _without_media_type(manifest: bytes) -> bytes:
    return _json({key: value for key, value in json.loads(manifest).items() if key != "mediaType"})


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _digest(body: bytes) -> str:
    return f"sha256:{hashlib.sha256(body).hexdigest()}"
