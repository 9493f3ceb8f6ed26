"""What registries say: a real one for what is right, and a liar for what a good one cannot show."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from msgspec.structs import replace

from hsm_tasks.core.errors import ImageNotFound, RegistryError
from hsm_tasks.core.reference import ImageReference
from hsm_tasks.effects import web
from hsm_tasks.effects.registry import ImageConfig, Registry
from hsm_tasks.effects.web import Bounds
from tests.support.liar import Asked, Liar, Said
from tests.support.registry import PASSWORD, USER, RegistryServer, busybox_image

SOME_DIGEST = "sha256:" + "0123456789abcdef" * 4
QUICK = Bounds(retries=1, wait=0.05, manifest=4096, listing=8192, page=100, pages=20)
IMPATIENT = replace(QUICK, read=0.3, body=0.6)
OUTSIDE = dict(os.environ)  # docker's own settings, before the tests have theirs
MANIFEST = json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json"}).encode()
Lie = Callable[..., Liar]


@pytest.fixture
def lie() -> Iterator[Lie]:
    liars: list[Liar] = []

    def start(say: Callable[[Asked], Said], tls: tuple[Path, Path] | None = None) -> Liar:
        liars.append(Liar(say, tls))
        return liars[-1]

    yield start
    for liar in liars:
        liar.stop()


@pytest.fixture(scope="module")
def server() -> Iterator[RegistryServer]:
    with RegistryServer() as registry:
        yield registry


@pytest.fixture(scope="module")
def private() -> Iterator[RegistryServer]:
    with RegistryServer(auth=True) as registry:
        registry.push("acme/api", "1.4", config={})
        yield registry


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    key, own = folder / "key.pem", folder / "own.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=nobody.example", "-days", "2",
         "-keyout", str(key), "-out", str(own)], check=True, capture_output=True,
    )  # fmt: skip
    return own, key


@pytest.fixture
def warnings() -> list[str]:
    return []


@pytest.fixture
def registry(warnings: list[str]) -> Registry:
    return Registry(warn=warnings.append, bounds=QUICK)


@pytest.fixture
def impatient(warnings: list[str]) -> Registry:
    return Registry(warn=warnings.append, bounds=IMPATIENT)


@pytest.fixture(autouse=True)
def docker_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Writes docker's config; there is none before the first call."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "home" / ".docker").mkdir(parents=True)
    (tmp_path / "docker").mkdir()

    def write(**config: Any) -> None:
        (tmp_path / "docker" / "config.json").write_text(json.dumps(config))

    return write


def login(host: str, user: str = USER, password: str = PASSWORD) -> dict[str, Any]:
    return {host: {"auth": b64encode(f"{user}:{password}".encode()).decode()}}


def basic(user: str, password: str) -> str:
    return "Basic " + b64encode(f"{user}:{password}".encode()).decode()


def image(server: RegistryServer, name: str) -> ImageReference:
    return ImageReference.parse(f"{server.host}/{name}")


# A good registry


def test_the_digest_of_a_tag(server: RegistryServer, registry: Registry) -> None:
    digest = server.push("acme/api", "1.4", config={})
    assert registry.digest(image(server, "acme/api"), "1.4") == digest
    assert "HEAD /v2/acme/api/manifests/1.4" in server.asked
    assert "GET /v2/acme/api/manifests/1.4" not in server.asked


def test_a_question_of_many_threads_is_asked_once(server: RegistryServer, registry: Registry) -> None:
    digest = server.push("acme/asked-once", "1", config={"Labels": {"a": "b"}})
    reference = image(server, "acme/asked-once")
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda _: registry.digest(reference, "1"), range(64)))
    assert set(found) == {digest}
    assert server.asked.count("HEAD /v2/acme/asked-once/manifests/1") == 1


def test_an_error_is_asked_for_once_as_well(server: RegistryServer, registry: Registry) -> None:
    server.push("acme/without", "1", config={})
    for _ in range(3):
        with pytest.raises(ImageNotFound, match=r"has no .*acme/without:2: MANIFEST_UNKNOWN"):
            registry.digest(image(server, "acme/without"), "2")
    assert server.asked.count("HEAD /v2/acme/without/manifests/2") == 1


def test_a_repository_that_is_not_there(server: RegistryServer, registry: Registry) -> None:
    with pytest.raises(ImageNotFound, match=r"has no .*acme/nowhere:1"):
        registry.digest(image(server, "acme/nowhere"), "1")
    with pytest.raises(ImageNotFound, match=r"has no .*acme/nowhere: NAME_UNKNOWN"):
        registry.tags(image(server, "acme/nowhere"))


@pytest.mark.parametrize("oci", [True, False])
def test_an_index_is_pinned_whole(server: RegistryServer, registry: Registry, oci: bool) -> None:
    name = f"acme/many-{oci}".lower()
    config: dict[str, Any] = {"Healthcheck": {"Test": ["CMD", "true"]}, "Volumes": {"/var/lib/b": {}, "/a": {}}}
    digest = server.push(name, "1", config=config, platforms=["linux/arm64", "linux/amd64"], oci=oci)
    assert registry.digest(image(server, name), "1") == digest
    assert registry.config(image(server, name), digest) == ImageConfig(True, ("/a", "/var/lib/b"))


@pytest.mark.parametrize(("said", "labels", "when"), [
    ("2026-05-01T10:00:00.5Z", {}, "2026-05-01T10:00:00.5Z"),
    ("1970-01-01T00:00:00Z", {}, None),
    ("0001-01-01T00:00:00Z", {"org.opencontainers.image.created": "2026-04-01T00:00:00+02:00"},
     "2026-04-01T00:00:00+02:00"),
    ("yesterday", {"org.opencontainers.image.created": ["x"]}, None),
    (None, {}, None),
])  # fmt: skip
def test_when_an_image_was_made_where_it_says_so(
    server: RegistryServer, registry: Registry, said: str | None, labels: dict[str, Any], when: str | None
) -> None:
    digest = server.push("acme/dated", "1", config={"Labels": labels}, created=said)
    assert registry.config(image(server, "acme/dated"), digest).created == when


def test_the_version_that_an_image_is_labelled_with(server: RegistryServer, registry: Registry) -> None:
    labels = {"org.opencontainers.image.version": "1.2\x1b[31m" + "x" * 100}
    digest = server.push("acme/labelled", "1", config={"Labels": labels})
    version = registry.config(image(server, "acme/labelled"), digest).version
    assert version is not None
    assert version.startswith("1.2 [31mxx")
    assert len(version) == 60


def test_an_index_without_amd64_still_has_a_config(server: RegistryServer, registry: Registry) -> None:
    config: dict[str, Any] = {"Volumes": {"/data": {}}}
    digest = server.push("acme/arm", "1", config=config, platforms=["windows/amd64", "linux/riscv64"], oci=True)
    assert registry.config(image(server, "acme/arm"), digest) == ImageConfig(False, ("/data",))


def test_an_index_without_linux_has_none(server: RegistryServer, registry: Registry) -> None:
    digest = server.push("acme/windows", "1", config={}, platforms=["windows/amd64"], oci=True)
    with pytest.raises(RegistryError, match="names no image for linux"):
        registry.config(image(server, "acme/windows"), digest)


def test_an_oci_manifest_need_not_say_its_type(server: RegistryServer, registry: Registry) -> None:
    digest = server.push("acme/oci", "1", config={"Volumes": None}, oci=True, media_type=False)
    assert registry.digest(image(server, "acme/oci"), "1") == digest
    assert registry.config(image(server, "acme/oci"), digest) == ImageConfig(False, ())


def test_a_healthcheck_of_none_is_none(server: RegistryServer, registry: Registry) -> None:
    digest = server.push("acme/none", "1", config={"Healthcheck": {"Test": ["NONE"]}})
    assert registry.config(image(server, "acme/none"), digest) == ImageConfig(False, ())


def test_a_digest_that_is_not_there(server: RegistryServer, registry: Registry) -> None:
    with pytest.raises(ImageNotFound, match=SOME_DIGEST):
        registry.config(image(server, "acme/none"), SOME_DIGEST)


def test_all_tags_of_a_registry_that_has_no_pages(server: RegistryServer, registry: Registry) -> None:
    digest = server.push("acme/tags", "v0", config={})
    for number in range(1, 121):
        server.retag("acme/tags", digest, f"v{number}")
    expected = tuple(sorted(f"v{number}" for number in range(121)))
    assert registry.tags(image(server, "acme/tags")) == registry.tags(image(server, "acme/tags")) == expected
    assert len([line for line in server.asked if line.startswith("GET /v2/acme/tags/tags/list")]) == 1


def test_all_pages_of_tags_are_read(lie: Lie, registry: Registry) -> None:
    """The registry of Debian has no pages; this is how those that have them answer."""
    names = sorted(f"v{number}" for number in range(731))

    def say(asked: Asked) -> Said:
        query = parse_qs(urlsplit(asked.path).query)
        count, last = int(query["n"][0]), query.get("last", [""])[0]
        page = [name for name in names if name > last][:count]
        more = page[-1] != names[-1]
        link = {"Link": f'</v2/acme/api/tags/list?last={page[-1]}&n={count}>; rel="next"'} if more else {}
        return Said(headers=link, body=json.dumps({"name": "acme/api", "tags": page}).encode())

    liar = lie(say)
    assert registry.tags(liar.image()) == tuple(names)
    assert len(liar.asked) == 8


def test_a_mirror_is_asked_in_place_of_docker_hub(server: RegistryServer, warnings: list[str]) -> None:
    digest = server.push("library/postgres", "16", config={})
    for mirror in (server.url, server.url + "/", server.host, server.url.replace("http://", "http://me:secret@")):
        registry = Registry(mirrors={"docker.io": mirror}, warn=warnings.append, bounds=QUICK)
        for name in ("postgres", "docker.io/postgres", "library/postgres"):
            assert registry.digest(ImageReference.parse(name), "16") == digest
            assert registry.tags(ImageReference.parse(name)) == ("16",)
        with pytest.raises(ImageNotFound, match=rf"^{server.host} \(mirror of docker.io\) has no postgres:17"):
            registry.digest(ImageReference.parse("postgres"), "17")


@pytest.mark.docker
@pytest.mark.parametrize(("oci", "platforms"), [(False, ()), (True, ("linux/arm64", "linux/amd64"))])
def test_the_engine_agrees_about_the_digest_and_runs_what_it_names(
    server: RegistryServer, registry: Registry, oci: bool, platforms: tuple[str, ...]
) -> None:
    files = {"bin/greet": b"#!/bin/sh\necho hello $WHOM\n"}
    made = busybox_image(files, cmd=["greet"], env={"WHOM": "you"}, Volumes={"/data": {}})
    server.push("acme/greet", "1", config=made.config, layers=made.layers, oci=oci, platforms=platforms)
    reference = image(server, "acme/greet")
    pinned = reference.pinned("1", registry.digest(reference, "1"))
    done = subprocess.run(["docker", "run", "--rm", pinned], env=OUTSIDE, capture_output=True, text=True, check=False)
    subprocess.run(["docker", "image", "rm", pinned], env=OUTSIDE, capture_output=True, check=False)
    assert (done.stdout, done.returncode) == ("hello you\n", 0), done.stderr


# Logins


def test_the_right_login_opens_a_private_registry(
    private: RegistryServer, registry: Registry, docker_config: Callable[..., None]
) -> None:
    docker_config(auths=login(private.host))
    assert registry.digest(image(private, "acme/api"), "1.4").startswith("sha256:")
    assert registry.tags(image(private, "acme/api")) == ("1.4",)


def test_a_wrong_login_is_told_apart_from_none(
    private: RegistryServer, registry: Registry, docker_config: Callable[..., None]
) -> None:
    docker_config(auths=login(private.host, password="wrong-password"))
    with pytest.raises(RegistryError, match=r"gives no access to .*: UNAUTHORIZED") as caught:
        registry.digest(image(private, "acme/api"), "1.4")
    assert caught.value.hint == f"docker's login for {private.host} is wrong or may not read this: " + (
        f"`docker login {private.host}` renews it"
    )
    assert "wrong-password" not in str(caught.value)


def test_no_login_at_all(private: RegistryServer, registry: Registry) -> None:
    with pytest.raises(RegistryError, match=r"gives no access to .*: UNAUTHORIZED") as caught:
        registry.tags(image(private, "acme/api"))
    assert caught.value.hint.startswith(f"if the image is private, `docker login {private.host}`")


def test_with_a_docker_config_of_its_own_the_one_at_home_is_not_read(
    private: RegistryServer, registry: Registry, tmp_path: Path
) -> None:
    (tmp_path / "home" / ".docker" / "config.json").write_text(json.dumps({"auths": login(private.host)}))
    with pytest.raises(RegistryError, match="no access"):
        registry.tags(image(private, "acme/api"))


def test_netrc_is_not_read(private: RegistryServer, registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "home" / ".netrc").write_text(f"machine 127.0.0.1 login {USER} password {PASSWORD}\n")
    (tmp_path / "home" / ".netrc").chmod(0o600)
    with pytest.raises(RegistryError, match="no access"):
        registry.tags(image(private, "acme/api"))


@pytest.mark.parametrize("kind", ["credsStore", "credHelpers"])
def test_a_credential_helper_is_asked(
    private: RegistryServer, registry: Registry, docker_config: Callable[..., None], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, kind: str,
) -> None:  # fmt: skip
    said = json.dumps({"ServerURL": private.host, "Username": USER, "Secret": PASSWORD})
    helper = tmp_path / "bin" / "docker-credential-safe"
    helper.parent.mkdir()
    helper.write_text(f"#!/bin/sh\ntest $1 = get || exit 1\ncat >/dev/null\necho '{said}'\n")
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", str(helper.parent), prepend=":")
    docker_config(**{kind: "safe" if kind == "credsStore" else {private.host: "safe"}})
    assert registry.tags(image(private, "acme/api")) == ("1.4",)


def test_a_missing_helper_costs_one_warning(
    lie: Lie, private: RegistryServer, registry: Registry, docker_config: Callable[..., None], warnings: list[str]
) -> None:
    docker_config(credsStore="not-here", auths=login(private.host))
    assert registry.tags(image(private, "acme/api")) == ("1.4",)
    closed = lie(lambda asked: Said(401, {"WWW-Authenticate": "Basic realm=x"}))
    with pytest.raises(RegistryError, match=r"no access to .*: HTTP 401"):
        registry.tags(closed.image())
    assert warnings == ["docker's config names the helper docker-credential-not-here, which is not there"]


@pytest.mark.parametrize(
    "config", ["{", "[]", '{"auths": {"HOST": {"auth": "%%%"}}}', '{"auths": 5}', '{"credHelpers": {"HOST": "sour"}}']
)
def test_a_broken_docker_config_costs_a_warning_and_not_the_public_images(
    private: RegistryServer, registry: Registry, tmp_path: Path, warnings: list[str], config: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    sour = tmp_path / "bin" / "docker-credential-sour"
    sour.parent.mkdir()
    sour.write_text("#!/bin/sh\necho sour; exit 1\n")
    sour.chmod(0o755)
    monkeypatch.setenv("PATH", str(sour.parent), prepend=":")
    (tmp_path / "docker" / "config.json").write_text(config.replace("HOST", private.host))
    with pytest.raises(RegistryError, match="no access"):
        registry.tags(image(private, "acme/api"))
    assert all(warning.startswith("docker's config gives no login for ") for warning in warnings)
    assert len(warnings) == (config != "{")  # docker reads what is no JSON as a config of old, and finds nothing


def test_a_token_is_fetched_with_the_login_and_the_registry_sees_only_the_token(
    lie: Lie, registry: Registry, docker_config: Callable[..., None]
) -> None:
    tokens = lie(lambda asked: Said(body=b'{"token": "the-token"}'))
    realm = f'Bearer realm="http://{tokens.host}/token?x=1",service="here",scope="repository:acme/api:pull,push"'

    def say(asked: Asked) -> Said:
        if asked.login != "Bearer the-token":
            return Said(401, {"WWW-Authenticate": realm})
        return Said(headers={"Docker-Content-Digest": SOME_DIGEST})

    liar = lie(say)
    docker_config(auths=login(liar.host))
    assert registry.digest(liar.image(), "1") == registry.digest(liar.image(), "2") == SOME_DIGEST
    assert [asked.login for asked in liar.asked] == [None, "Bearer the-token", "Bearer the-token"]
    assert [asked.login for asked in tokens.asked] == [basic(USER, PASSWORD)]
    asked_for = parse_qs(urlsplit(tokens.asked[0].path).query)
    assert asked_for == {"x": ["1"], "service": ["here"], "scope": ["repository:acme/api:pull"]}


def test_a_token_that_has_run_out_is_renewed(lie: Lie, registry: Registry) -> None:
    count = iter(range(100))
    tokens = lie(lambda asked: Said(body=json.dumps({"access_token": f"token-{next(count)}"}).encode()))

    def say(asked: Asked) -> Said:
        good = asked.login == ("Bearer token-0" if asked.path.endswith("1") else "Bearer token-1")
        challenge = f'Basic realm="no", Bearer realm="http://{tokens.host}/"'
        if good:
            return Said(headers={"Docker-Content-Digest": SOME_DIGEST})
        return Said(401, {"www-authenticate": challenge})

    liar = lie(say)
    assert registry.digest(liar.image(), "1") == registry.digest(liar.image(), "2") == SOME_DIGEST
    assert [asked.login for asked in tokens.asked] == [None, None]


def test_an_identity_token_is_exchanged(lie: Lie, registry: Registry, docker_config: Callable[..., None]) -> None:
    def say(asked: Asked) -> Said:
        if asked.path == "/token":
            return Said(body=b'{"access_token": "short-lived"}')
        if asked.login == "Bearer short-lived":
            return Said(body=b'{"tags": ["1"]}')
        return Said(401, {"WWW-Authenticate": 'Bearer realm="/token",service="s"'})

    liar = lie(say)
    docker_config(auths={liar.host: {"identitytoken": "long-lived"}})
    assert registry.tags(liar.image()) == ("1",)
    asked = next(asked for asked in liar.asked if asked.path == "/token")
    assert (asked.method, asked.login) == ("POST", None)
    assert parse_qs(asked.body.decode()) == {
        "grant_type": ["refresh_token"], "refresh_token": ["long-lived"], "client_id": ["hsm"], "service": ["s"],
        "scope": ["repository:acme/api:pull"],
    }  # fmt: skip


def test_a_login_is_not_sent_to_a_token_server_without_tls(
    lie: Lie, registry: Registry, docker_config: Callable[..., None]
) -> None:
    tokens = lie(lambda asked: Said(body=b'{"token": "t"}'))
    for realm in (f"http://0.0.0.0:{tokens.port}/token", "ftp://x/", "http://[", "file:///etc/passwd"):
        liar = lie(lambda asked, realm=realm: Said(401, {"WWW-Authenticate": f'Bearer realm="{realm}"'}))
        docker_config(auths=login(liar.host))
        with pytest.raises(RegistryError, match="which is not https; that is not followed"):
            registry.tags(liar.image())
    assert tokens.asked == []


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (401, b'{"details": "incorrect username or password"}', "incorrect username or password"),
        (403, b'{"errors": [{"code": "DENIED", "message": "no"}, 5]}', "DENIED: no"),
        (200, b"<html>", "HTTP 200"),
        (200, b"[1]", "HTTP 200"),
        (200, b"[" * 4000, "HTTP 200"),
    ],
)
def test_a_token_server_that_gives_none(lie: Lie, registry: Registry, status: int, body: bytes, said: str) -> None:
    def say(asked: Asked) -> Said:
        if "token" in asked.path:
            return Said(status, body=body)
        return Said(401, {"WWW-Authenticate": 'Bearer realm="/token"'})

    liar = lie(say)
    with pytest.raises(RegistryError, match=f"gives no token for .*: {said}") as caught:
        registry.tags(liar.image())
    assert "docker login" in caught.value.hint


def test_a_redirected_refresh_token_goes_nowhere(
    lie: Lie, registry: Registry, docker_config: Callable[..., None]
) -> None:
    other = lie(lambda asked: Said(body=b'{"token": "t"}'))

    def say(asked: Asked) -> Said:
        if asked.method == "POST":
            return Said(307, {"Location": f"http://{other.host}/"})
        return Said(401, {"WWW-Authenticate": 'Bearer realm="/token"'})

    liar = lie(say)
    docker_config(auths={liar.host: {"identitytoken": "long-lived"}})
    with pytest.raises(RegistryError, match="redirects a login"):
        registry.tags(liar.image())
    assert other.asked == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_to_another_host_does_not_take_the_login_along(
    lie: Lie, registry: Registry, docker_config: Callable[..., None], status: int
) -> None:
    other = lie(lambda asked: Said(headers={"Docker-Content-Digest": SOME_DIGEST}))

    def say(asked: Asked) -> Said:
        if asked.login is None:
            return Said(401, {"WWW-Authenticate": "Basic realm=x", "Set-Cookie": "a=b; Path=/"})
        if asked.path.startswith("/v2/"):
            return Said(status, {"Location": "/elsewhere"})
        return Said(status, {"Location": f"http://{other.host}/there"})

    liar = lie(say)
    docker_config(auths={**login(liar.host), **login(other.host, "other", "other-pass")})
    assert registry.digest(liar.image(), "1") == SOME_DIGEST
    assert [(asked.path, asked.login) for asked in other.asked] == [("/there", None)]
    assert liar.asked[-1].login == basic(USER, PASSWORD)
    assert not any("cookie" in asked.headers for asked in liar.asked + other.asked)


# Hosts that lie, stall or are not there


def test_a_registry_that_is_too_busy_is_asked_a_bounded_number_of_times(lie: Lie, registry: Registry) -> None:
    liar = lie(lambda asked: Said(429, {"Retry-After": "3600"}, b'{"errors": [{"code": "TOOMANYREQUESTS"}]}'))
    begin = time.monotonic()
    with pytest.raises(RegistryError, match="is asked too often: HTTP 429") as caught:
        registry.digest(liar.image(), "1")
    assert caught.value.hint == "wait a while"
    with pytest.raises(RegistryError, match="is asked too often: TOOMANYREQUESTS"):
        registry.tags(liar.image())
    assert time.monotonic() - begin < 10
    assert len(liar.asked) == 4


def test_one_failure_of_a_server_is_got_over(lie: Lie, registry: Registry) -> None:
    answers = iter([Said(502), Said(body=b'{"tags": ["1", null, "-no-tag", "2"]}')])
    assert registry.tags(lie(lambda asked: next(answers)).image()) == ("1", "2")


def test_a_server_that_keeps_failing(lie: Lie, registry: Registry) -> None:
    liar = lie(lambda asked: Said(500, body=b'{"errors": [{"message": "disk\\u001b[31m full"}]}'))
    with pytest.raises(RegistryError, match=r"failed when asked for .*/acme/api: disk \[31m full"):
        registry.tags(liar.image())
    assert len(liar.asked) == 2


def test_a_server_that_says_nothing(lie: Lie, impatient: Registry) -> None:
    begin = time.monotonic()
    with pytest.raises(RegistryError, match="could not be asked: no answer in time"):
        impatient.tags(lie(lambda asked: Said(before=1)).image())
    assert time.monotonic() - begin < 10


def test_a_server_that_stalls_in_the_middle(lie: Lie, impatient: Registry) -> None:
    with pytest.raises(RegistryError, match="could not be asked: no answer in time"):
        impatient.tags(lie(lambda asked: Said(body=b"{}", drip=1)).image())


def test_a_server_that_sends_a_byte_at_a_time(lie: Lie, impatient: Registry) -> None:
    with pytest.raises(RegistryError, match=r"sends too slowly: more than 0.6 s"):
        impatient.tags(lie(lambda asked: Said(body=b" " * 40, drip=0.05)).image())


@pytest.mark.parametrize("tags", [True, False])
def test_a_huge_answer_is_not_read_to_its_end(lie: Lie, registry: Registry, tags: bool) -> None:
    liar = lie(lambda asked: Said(endless=True) if asked.method == "GET" else Said())
    with pytest.raises(RegistryError, match=r"sends more than the (4096|8192) bytes"):
        registry.tags(liar.image()) if tags else registry.digest(liar.image(), "1")


def test_a_huge_redirect_is_not_read_at_all(lie: Lie, registry: Registry) -> None:
    other = lie(lambda asked: Said(body=b'{"tags": null}'))
    liar = lie(lambda asked: Said(302, {"Location": f"http://{other.host}/"}, endless=True))
    assert registry.tags(liar.image()) == ()


def test_an_answer_that_breaks_off(lie: Lie, registry: Registry) -> None:
    liar = lie(lambda asked: Said(headers={"Content-Length": "100", "Connection": "close"}, body=b"{}"))
    with pytest.raises(RegistryError, match="could not be asked"):
        registry.tags(liar.image())


@pytest.mark.parametrize("header", ["", "sha256:123", "md5:" + "0" * 32, SOME_DIGEST.upper(), SOME_DIGEST + "\t0"])
def test_without_a_good_digest_header_the_bytes_are_hashed(lie: Lie, registry: Registry, header: str) -> None:
    liar = lie(lambda asked: Said(headers={"Docker-Content-Digest": header} if header else {}, body=MANIFEST))
    assert registry.digest(liar.image(), "1") == f"sha256:{hashlib.sha256(MANIFEST).hexdigest()}"
    assert [asked.method for asked in liar.asked] == ["HEAD", "GET"]
    assert "oci.image.index" in liar.asked[0].headers["accept"]


@pytest.mark.parametrize("body", [b"<html>please log in to the hotel</html>", b'{"schemaVersion": 1}', b"[]", b"\xff"])
def test_what_is_no_manifest_gets_no_digest(lie: Lie, registry: Registry, body: bytes) -> None:
    with pytest.raises(RegistryError, match="in a format that is too old, or is no registry"):
        registry.digest(lie(lambda asked: Said(body=body)).image(), "1")


def test_bytes_that_do_not_match_their_digest_are_refused(lie: Lie, registry: Registry) -> None:
    with pytest.raises(RegistryError, match=f"sent something else than .*@{SOME_DIGEST}"):
        registry.config(lie(lambda asked: Said(body=MANIFEST)).image(), SOME_DIGEST)


@pytest.mark.parametrize(
    "manifest", [{}, {"config": 5}, {"config": {"digest": 5}}, {"manifests": 5}, {"manifests": [5, {"platform": 5}]}]
)
def test_a_manifest_that_makes_no_sense(lie: Lie, registry: Registry, manifest: dict[str, Any]) -> None:
    body = json.dumps(manifest).encode()
    with pytest.raises(RegistryError, match="names no image for linux"):
        registry.config(lie(lambda asked: Said(body=body)).image(), f"sha256:{hashlib.sha256(body).hexdigest()}")


@pytest.mark.parametrize("body", [b"{}", b"<html>", b'{"tags": "1.4"}', b'{"tags": {"a": 1}}'])
def test_what_is_no_list_of_tags(lie: Lie, registry: Registry, body: bytes) -> None:
    with pytest.raises(RegistryError, match="gives no list of tags for"):
        registry.tags(lie(lambda asked: Said(body=body)).image())


@pytest.mark.parametrize("link", ["http://OTHER/v2/acme/api/tags/list?n=1", "//OTHER/x", "http://[", "x?n=1", "ftp:x"])
def test_the_next_page_is_never_on_another_host(lie: Lie, registry: Registry, link: str) -> None:
    other = lie(lambda asked: Said(body=b'{"tags": ["9"]}'))
    header = f'<{link.replace("OTHER", other.host)}>; rel="next"'
    liar = lie(lambda asked: Said(headers={"Link": header}, body=b'{"tags": ["1"]}'))
    with pytest.raises(RegistryError, match=r"continues its tags at .*; that is not followed"):
        registry.tags(liar.image())
    assert other.asked == []


def test_the_next_page_may_be_a_whole_url_of_the_same_host(lie: Lie, registry: Registry) -> None:
    def say(asked: Asked) -> Said:
        if "last" in asked.path:
            return Said(body=b'{"tags": ["2"]}')
        # registries behind a proxy do not always know whether they have TLS
        link = f"<https://{asked.headers['host']}{asked.path}&last=1>; rel=next"
        return Said(headers={"Link": link}, body=b'{"tags": ["1"]}')

    assert registry.tags(lie(say).image()) == ("1", "2")


def test_pages_without_an_end_come_to_one(lie: Lie, registry: Registry) -> None:
    liar = lie(lambda asked: Said(headers={"Link": f"<{asked.path}>; rel=next"}, body=b'{"tags": ["1"]}'))
    with pytest.raises(RegistryError, match="does not come to an end"):
        registry.tags(liar.image())
    assert len(liar.asked) == QUICK.pages


def test_redirects_in_a_circle_come_to_an_end(lie: Lie, registry: Registry) -> None:
    liar = lie(lambda asked: Said(302, {"Location": asked.path}))
    with pytest.raises(RegistryError, match="redirects in a circle"):
        registry.tags(liar.image())


@pytest.mark.parametrize("target", ["http://0.0.0.0:1/", "ftp://127.0.0.1/", "http://[", "file:///etc/passwd"])
def test_a_redirect_away_from_tls_is_not_followed(lie: Lie, registry: Registry, target: str) -> None:
    with pytest.raises(RegistryError, match=r"points to .* which is not https; that is not followed"):
        registry.tags(lie(lambda asked: Said(302, {"Location": target})).image())


def test_a_secret_that_a_registry_repeats_is_masked(
    lie: Lie, registry: Registry, docker_config: Callable[..., None]
) -> None:
    def say(asked: Asked) -> Said:
        words = json.dumps({"errors": [{"message": f"go away, {asked.login} {PASSWORD}"}]}).encode()
        return Said(401, {"WWW-Authenticate": "Basic realm=x"}, words)

    liar = lie(say)
    docker_config(auths=login(liar.host))
    with pytest.raises(RegistryError, match=r"go away, Basic \*\*\* \*\*\*"):
        registry.tags(liar.image())


def test_nobody_is_there(registry: Registry) -> None:
    with pytest.raises(RegistryError, match=r"^127.0.0.1:1 could not be asked: .*Connection refused") as caught:
        registry.digest(ImageReference.parse("127.0.0.1:1/acme/api"), "1")
    assert "object at 0x" not in str(caught.value)
    assert "can it be reached" in caught.value.hint


def test_a_host_without_an_address(registry: Registry) -> None:
    with pytest.raises(RegistryError, match=r"^nowhere.invalid could not be asked: ") as caught:
        registry.digest(ImageReference.parse("nowhere.invalid/acme/api"), "1")
    assert "HTTPSConnection" not in str(caught.value)


@pytest.mark.parametrize("tag", ["..", "a/b", "", "x\n"])
def test_what_is_no_tag_is_not_asked_for(lie: Lie, registry: Registry, tag: str) -> None:
    liar = lie(lambda asked: Said())
    with pytest.raises(RegistryError, match="cannot be a tag of"):
        registry.digest(liar.image(), tag)
    assert liar.asked == []


def test_a_proxy_is_not_asked_for_this_machine(
    lie: Lie, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert registry.tags(lie(lambda asked: Said(body=b'{"tags": ["1"]}')).image()) == ("1",)


# Docker Hub says 401 for what is not there


@pytest.mark.parametrize("status", [401, 403])
def test_docker_hub_does_not_tell_private_from_missing(
    lie: Lie, registry: Registry, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    liar = lie(lambda asked: Said(status, body=b'{"errors": [{"code": "UNAUTHORIZED"}]}'))
    monkeypatch.setattr("hsm_tasks.effects.registry.HUB_API", f"http://{liar.host}")
    with pytest.raises(ImageNotFound, match=r"^docker.io has no acme/api:1, or it is private: UNAUTHORIZED") as caught:
        registry.digest(ImageReference.parse("acme/api"), "1")
    assert caught.value.hint.startswith("if the image is private, `docker login`;")


def test_docker_hub_is_patient_with_those_who_log_in(
    lie: Lie, registry: Registry, monkeypatch: pytest.MonkeyPatch, docker_config: Callable[..., None]
) -> None:
    liar = lie(lambda asked: Said(429))
    docker_config(auths=login("https://index.docker.io/v1/"))
    monkeypatch.setattr("hsm_tasks.effects.registry.HUB_API", f"http://{liar.host}")
    with pytest.raises(RegistryError, match=r"docker.io is asked too often") as caught:
        registry.digest(ImageReference.parse("acme/api"), "1")
    assert "docker login" in caught.value.hint


# TLS


def test_this_machine_may_have_tls_with_any_certificate(
    lie: Lie, registry: Registry, certificate: tuple[Path, Path]
) -> None:
    liar = lie(lambda asked: Said(body=b'{"tags": ["1"]}'), certificate)
    assert registry.tags(liar.image()) == ("1",)


def test_other_machines_need_a_certificate_that_holds(
    lie: Lie, registry: Registry, certificate: tuple[Path, Path]
) -> None:
    liar = lie(lambda asked: Said(body=b'{"tags": ["1"]}'), certificate)
    with pytest.raises(RegistryError, match=r"could not be asked over TLS: .*certificate verify failed") as caught:
        registry.tags(ImageReference.parse(f"0.0.0.0:{liar.port}/acme/api"))
    assert "insecure_registries" in caught.value.hint
    assert liar.asked == []


def test_other_machines_need_tls(lie: Lie, registry: Registry) -> None:
    liar = lie(lambda asked: Said(body=b'{"tags": ["1"]}'))
    with pytest.raises(RegistryError, match="could not be asked over TLS") as caught:
        registry.tags(ImageReference.parse(f"0.0.0.0:{liar.port}/acme/api"))
    assert "insecure_registries" in caught.value.hint
    assert liar.asked == []


@pytest.mark.parametrize("tls", [True, False])
@pytest.mark.parametrize("entry", ["0.0.0.0", "0.0.0.0:PORT", "0.0.0.0/8"])
def test_unless_they_are_said_to_be_insecure(
    lie: Lie, certificate: tuple[Path, Path], warnings: list[str], entry: str, tls: bool
) -> None:
    liar = lie(lambda asked: Said(body=b'{"tags": ["1"]}'), certificate if tls else None)
    insecure = ["other.example", "10.0.0.0/8", entry.replace("PORT", str(liar.port))]
    registry = Registry(insecure=insecure, warn=warnings.append, bounds=QUICK)
    assert registry.tags(ImageReference.parse(f"0.0.0.0:{liar.port}/acme/api")) == ("1",)


def test_what_is_no_host_and_no_network_makes_nothing_insecure(lie: Lie, warnings: list[str]) -> None:
    liar = lie(lambda asked: Said(body=b'{"tags": ["1"]}'))
    registry = Registry(insecure=["nonsense/x"], warn=warnings.append, bounds=QUICK)
    with pytest.raises(RegistryError, match="over TLS"):
        registry.tags(ImageReference.parse(f"0.0.0.0:{liar.port}/acme/api"))


def test_a_mirror_may_be_without_tls_if_its_url_says_so(lie: Lie, warnings: list[str]) -> None:
    liar = lie(lambda asked: Said(headers={"Docker-Content-Digest": SOME_DIGEST}))
    mirrors = {"registry.example": f"http://0.0.0.0:{liar.port}/prefix"}
    registry = Registry(mirrors=mirrors, warn=warnings.append, bounds=QUICK)
    assert registry.digest(ImageReference.parse("registry.example/acme/api"), "1") == SOME_DIGEST
    assert [asked.path for asked in liar.asked] == ["/prefix/v2/acme/api/manifests/1"]


TWO_SIDES = """
import sys, threading
from hsm_tasks.effects import logins, registry
sys.setswitchinterval(1e-6)
failed = []
def safe(action):
    try:
        action()
    except (ImportError, AttributeError, KeyError) as error:
        failed.append(repr(error))
sides = (logins._docker_config, lambda: registry._next_page("<x>; rel=next"))
threads = [threading.Thread(target=safe, args=(side,)) for side in sides]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
sys.exit("; ".join(failed) or 0)
"""


def test_two_steps_may_need_parts_of_the_same_package_for_the_first_time(tmp_path: Path) -> None:
    environment = {**os.environ, "DOCKER_CONFIG": str(tmp_path)}
    command = (sys.executable, "-c", TWO_SIDES)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["web", "logins", "registry", "docker", "enginecall", "enginestats"])
def test_nobody_enters_a_package_by_a_part(name: str) -> None:
    lines = (Path(web.__file__).parent / f"{name}.py").read_text(encoding="utf-8").splitlines()
    for before, line in pairwise(lines):
        if part := re.match(r" +from (requests|docker|urllib3)[.]", line):
            assert "TYPE_CHECKING" in before or f'whole("{part[1]}")' in before, line
