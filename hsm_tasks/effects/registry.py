"""What a registry says of an image: its digest, its tags, and what the config of the image holds.

One instance a run, for any number of threads: a question that was asked once is not asked again. What a registry says
is checked where it can be: digests are compared with the bytes, tags are tags, and pages of tags stay on one host.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec
from msgspec.structs import replace

from hsm_tasks.core.errors import ImageNotFound, RegistryError
from hsm_tasks.core.reference import DIGEST, HUB, TAG, ImageReference
from hsm_tasks.effects.logins import Logins, Place
from hsm_tasks.effects.web import Answer, Bounds, Memo, Request, Web, whole

HUB_API = "https://registry-1.docker.io"
# All four, or a registry answers 404, or with the digest of one platform instead of that of the whole index.
MANIFEST_TYPES = ", ".join([
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
])  # fmt: skip
# The same choice on every machine, or the override would differ between them.
PLATFORMS = (("linux", "amd64"), ("linux", "arm64"))
_TOLD = "org.opencontainers.image"  # the labels that say when an image was made, and of which version it is
_LONGEST = 60
_TIME = re.compile(r"(\d{4})-\d\d-\d\dT[0-9:.]+(Z|[+-]\d\d:\d\d)")


class ImageConfig(msgspec.Struct, frozen=True):
    """What the image itself brings along; `volumes` are paths in the container, sorted.

    `created` is a time as RFC 3339 has it, and `version` a label: None where the image does not say it.
    """

    healthcheck: bool
    volumes: tuple[str, ...]
    created: str | None = None
    version: str | None = None


class Registry:
    """Every registry. `mirrors`: host → url that is asked instead; `insecure`: host, host:port or CIDR without TLS."""

    def __init__(
        self,
        *,
        mirrors: Mapping[str, str] | None = None,
        insecure: Iterable[str] = (),
        warn: Callable[[str], None],
        bounds: Bounds | None = None,
    ) -> None:
        self._mirrors = {host: _without_user(url.rstrip("/")) for host, url in (mirrors or {}).items()}
        # who writes http:// for a mirror means it
        plain = {urlsplit(url).netloc for url in self._mirrors.values() if url.startswith("http://")}
        self._bounds = bounds or Bounds()
        self._web = Web({*insecure, *plain}, self._bounds)
        self._logins = Logins(self._web, warn)
        self._memo = Memo()

    def digest(self, reference: ImageReference, tag: str) -> str:
        """`sha256:…` of what the tag names now: of the whole index where there is one."""
        place = self._place(reference)
        return self._memo.once(("digest", place.key, tag), lambda: self._digest(place, tag))

    def tags(self, reference: ImageReference) -> tuple[str, ...]:
        """All tags of the repository, sorted as text."""
        place = self._place(reference)
        return self._memo.once(("tags", place.key), lambda: self._tags(place))

    def config(self, reference: ImageReference, digest: str) -> ImageConfig:
        """What the image with this digest brings along; of an index, its linux/amd64 image if it has one."""
        place = self._place(reference)
        return self._memo.once(("config", place.key, digest), lambda: self._config(place, digest))

    def _place(self, reference: ImageReference) -> Place:
        host, image, repository = reference.host, reference.name, reference.repository
        if mirror := self._mirrors.get(host):
            scheme, _, rest = mirror.rpartition("://")
            netloc, slash, path = rest.partition("/")
            base = f"{scheme}://{netloc}" if scheme else self._web.base(netloc)
            return Place(f"{netloc} (mirror of {host})", image, netloc, base + slash + path, repository)
        return Place(host, image, host, HUB_API if host == HUB else self._web.base(host), repository)

    def _digest(self, place: Place, tag: str) -> str:
        what = f"{place.image}:{tag}"
        if not TAG.fullmatch(tag):
            raise RegistryError(f'"{self._web.clean(tag)}" cannot be a tag of {place.image}')
        ask = Request("HEAD", place.url(f"manifests/{tag}"), self._bounds.manifest, {"Accept": MANIFEST_TYPES})
        answer = self._logins.ask(place, ask)
        digest = answer.headers.get("Docker-Content-Digest", "")
        if answer.status == 200 and DIGEST.fullmatch(digest):
            return digest
        if answer.status != 429 and answer.status < 500:  # a HEAD has no words: a GET says why, or has the bytes
            answer = self._logins.ask(place, replace(ask, method="GET"))
        self._expect(place, what, answer)
        if answer.data.get("schemaVersion") != 2:
            raise RegistryError(f"{place.name} has {what} in a format that is too old, or is no registry")
        return _sha256(answer.body)

    def _tags(self, place: Place) -> tuple[str, ...]:
        url, found = place.url(f"tags/list?n={self._bounds.page}"), set[str]()
        for _ in range(self._bounds.pages):
            answer = self._logins.ask(place, Request("GET", url, self._bounds.listing, {}))
            self._expect(place, place.image, answer)
            names = answer.data.get("tags", "none") or []  # a registry says null where there are none
            if not isinstance(names, list):
                raise RegistryError(f"{place.name} gives no list of tags for {place.image}: is it a registry?")
            # what is no tag could not be pulled
            found |= {name for name in names if isinstance(name, str) and TAG.fullmatch(name)}
            if not (link := _next_page(answer.headers.get("Link", ""))):
                return tuple(sorted(found))
            url = self._page(place, url, link)
        raise RegistryError(f"{place.name} does not come to an end with the tags of {place.image}")

    def _page(self, place: Place, url: str, link: str) -> str:
        """Where a link leads. A registry behind a proxy may think that it has no TLS, so only its host counts."""
        try:
            old, new = urlsplit(url), urlsplit(link)
        except ValueError:
            old, new = urlsplit(url), urlsplit("//?")
        if (new.netloc or old.netloc) != old.netloc or not new.path.startswith("/"):
            raise RegistryError(f'{place.name} continues its tags at "{self._web.clean(link)}"; that is not followed')
        return f"{old.scheme}://{old.netloc}{new.path}?{new.query}"

    def _config(self, place: Place, digest: str) -> ImageConfig:
        manifest = self._verified(place, "manifests", digest)
        if "manifests" in manifest:
            manifest = self._verified(place, "manifests", _platform(manifest["manifests"]))
        whole = self._verified(place, "blobs", _digest_of(manifest.get("config")))
        config = _map(whole.get("config"))
        volumes, labels = _map(config.get("Volumes")), _map(config.get("Labels"))
        test = _map(config.get("Healthcheck")).get("Test")
        made = (_time(said) for said in (whole.get("created"), labels.get(f"{_TOLD}.created")))
        version = self._web.clean(str(labels.get(f"{_TOLD}.version") or ""))
        return ImageConfig(
            healthcheck=bool(test) and test != ["NONE"],
            volumes=tuple(sorted(volumes)),
            created=next((time for time in made if time), None),
            version=version[:_LONGEST] or None,
        )

    def _verified(self, place: Place, kind: str, digest: str) -> dict[str, Any]:
        """The JSON object of which the bytes have this digest."""
        what = f"{place.image}@{digest}"
        if not DIGEST.fullmatch(digest):
            raise RegistryError(f"{place.name} has a manifest for {place.image} that names no image for linux")
        request = Request("GET", place.url(f"{kind}/{digest}"), self._bounds.manifest, {"Accept": MANIFEST_TYPES})
        answer = self._logins.ask(place, request)
        self._expect(place, what, answer)
        if _sha256(answer.body) != digest:
            raise RegistryError(f"{place.name} sent something else than {what}: its digest is {_sha256(answer.body)}")
        return answer.data

    def _expect(self, place: Place, what: str, answer: Answer) -> None:
        """Raises what a status other than 200 means."""
        if answer.status == 200:
            return
        said = self._web.said(answer)
        if answer.status == 404:
            raise ImageNotFound(f"{place.name} has no {what}: {said}")
        if answer.status in (401, 403) and place.host == HUB:  # Docker Hub does not tell one from the other
            raise ImageNotFound(f"{place.name} has no {what}, or it is private: {said}", self._logins.hint(HUB))
        if answer.status in (401, 403):
            raise RegistryError(f"{place.name} gives no access to {what}: {said}", self._logins.hint(place.host))
        if answer.status == 429:
            hint = f"wait a while; {self._logins.hint(place.host)}" if place.host == HUB else "wait a while"
            raise RegistryError(f"{place.name} is asked too often: {said}", hint)
        raise RegistryError(f"{place.name} failed when asked for {what}: {said}")


def _without_user(url: str) -> str:
    """Logins come from docker's config, and a url is printed."""
    scheme, mark, rest = url.rpartition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{mark}{host.rpartition('@')[2]}{slash}{path}"


def _map(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _time(said: object) -> str | None:
    """A point in time; builds that give the same bytes each time say 1970, 1980 or year 1, which is none."""
    match = _TIME.fullmatch(said) if isinstance(said, str) else None
    return match[0] if match and int(match[1]) > 1980 else None


def _sha256(body: bytes) -> str:
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


def _digest_of(descriptor: object) -> str:
    digest = descriptor.get("digest") if isinstance(descriptor, dict) else None
    return digest if isinstance(digest, str) else ""


def _platform(manifests: object) -> str:
    """The digest of one image of an index: never an attestation, which says that it is for unknown/unknown."""
    entries = [entry for entry in manifests if isinstance(entry, dict)] if isinstance(manifests, list) else []
    found: dict[tuple[object, object], str] = {}
    for entry in entries:
        platform = entry.get("platform")
        pair = (platform.get("os"), platform.get("architecture")) if isinstance(platform, dict) else ("linux", None)
        found.setdefault(pair, _digest_of(entry))
    rest = [digest for (system, _), digest in found.items() if system == "linux"]
    return next((found[platform] for platform in PLATFORMS if platform in found), rest[0] if rest else "")


def _next_page(header: str) -> str:
    whole("requests")
    from requests.utils import parse_header_links

    return next((link["url"] for link in parse_header_links(header) if link.get("rel") == "next"), "")
