"""HTTP with bounds, for registries: how long, how large, how often, and where to.

Whatever comes back is small and comes in time, or it is an error with one sentence. A header with a login never goes
along a redirect to another host; ~/.netrc, cookies and the bodies of redirects are left alone.

It is urllib3, and not `requests` on top of it, which takes twice as long to be imported and reads the whole environment
at each question. Where a proxy is set, `requests` is asked how it is meant.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast
from urllib.parse import urlencode, urljoin, urlsplit

import msgspec
from msgspec.structs import replace

from hsm_tasks.core.errors import RegistryError, mask

if TYPE_CHECKING:
    import ssl
    from concurrent.futures import Future

    from urllib3 import BaseHTTPResponse, PoolManager, Retry

T = TypeVar("T")

REDIRECTS = 5
MOVED = frozenset({301, 302, 303, 307, 308})
_HEADERS = {"User-Agent": "hsm", "Accept-Encoding": "identity", "Accept": "*/*"}  # digests are of the bytes as they are


def whole(package: str) -> None:
    """Before a part of a package is imported in a step. Two threads that enter one by different parts wait for each
    other; Python ends that by giving one of them a module that is half made. All enter by the same door."""
    importlib.import_module(package)


class Bounds(msgspec.Struct, frozen=True):
    """The most that a registry gets of us: seconds, tries after the first, bytes of an answer, pages of tags."""

    connect: float = 5
    read: float = 20
    body: float = 60  # for the whole of it
    retries: int = 3
    wait: float = 10  # between two tries, whatever Retry-After says
    manifest: int = 4 << 20
    listing: int = 8 << 20
    page: int = 1000  # tags that we ask for at a time; a registry may send fewer
    pages: int = 500


class Request(msgspec.Struct, frozen=True):
    """`limit` is how many bytes the answer may have."""

    method: str
    url: str
    limit: int
    headers: Mapping[str, str]
    form: Mapping[str, str] | None = None

    def signed(self, authorization: str | None) -> Request:
        """The same question, asked by somebody (or by nobody)."""
        rest = {name: value for name, value in self.headers.items() if name != "Authorization"}
        return replace(self, headers={**rest, "Authorization": authorization} if authorization else rest)


class Answer(msgspec.Struct, frozen=True):
    """`headers` do not mind upper and lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def data(self) -> dict[str, Any]:
        """The body as a JSON object; empty if it is none."""
        try:
            data = json.loads(self.body)
        except (ValueError, RecursionError):
            return {}
        return data if isinstance(data, dict) else {}


class Memo:
    """Answers that are asked for once, also when many threads ask at the same time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._futures: dict[object, Future[Any]] = {}

    def once(self, question: object, ask: Callable[[], T]) -> T:
        """The answer, or the error, of the first who asks; whoever asks meanwhile waits for it."""
        from concurrent.futures import Future

        with self._lock:
            known = self._futures.get(question)
            future: Future[Any] = known or self._futures.setdefault(question, Future())
        if known is None:
            try:
                future.set_result(ask())
            except BaseException as error:
                future.set_exception(error)
                raise
        return cast("T", future.result())


class Web:
    """`plain`: hosts, hosts with port and CIDRs that may be asked without TLS; this machine always may."""

    def __init__(self, plain: Iterable[str], bounds: Bounds) -> None:
        self.bounds = bounds
        self.secrets: list[str] = []  # cut out of all words; only ever appended to, so threads need no lock
        self._memo = Memo()
        self._plain = frozenset(plain)

    def base(self, host: str) -> str:
        """The url of a host: with TLS, unless it may be without and is."""
        if not self.may_be_plain(f"http://{host}"):
            return f"https://{host}"
        return self._memo.once(host, lambda: self._probe(host))

    def may_be_plain(self, url: str) -> bool:
        """Whether the host of the url may be asked without TLS, or with a certificate that nobody checks."""
        host, netloc = urlsplit(url).hostname or "", urlsplit(url).netloc
        address = _address(host)
        if _loopback(host) or {host, netloc} & self._plain:
            return True
        return address is not None and any(address in network for network in map(_network, self._plain) if network)

    def exchange(self, name: str, request: Request) -> Answer:
        """One question, redirects followed. `name` is who is asked, for messages."""
        whole("urllib3")
        from urllib3.exceptions import HTTPError

        for _ in range(REDIRECTS + 1):
            try:
                response = self._send(request, self.bounds.read, self._memo.once("retries", self._retries))
                try:
                    target = response.headers.get("Location") if response.status in MOVED else None
                    if not target:
                        body = self._body(name, response, request.limit)
                        return Answer(response.status, response.headers, body)
                finally:
                    response.close()  # what was read to its end has given its connection back by now
            except HTTPError as error:
                raise self._unreachable(name, error) from error
            request = self._redirected(name, request, target)
        raise RegistryError(f"{name} redirects in a circle")

    def follow(self, name: str, url: str, target: str) -> str:
        """The absolute url of a redirect, a link or a realm. RegistryError if that is no url, or none that is safe."""
        try:
            joined = urljoin(url, target)
            scheme = urlsplit(joined).scheme
            safe = scheme == "https" or (scheme == "http" and self.may_be_plain(joined))
        except ValueError:
            joined, safe = target, False
        if not safe:
            raise RegistryError(f'{name} points to "{self.clean(joined)}", which is not https; that is not followed')
        return joined

    def said(self, answer: Answer) -> str:
        """The server's own words, on one line, without secrets."""
        data = answer.data
        errors = data.get("errors") or [data]
        keys = ("code", "error", "message", "error_description", "details")
        parts = [
            ": ".join(entry[key] for key in keys if isinstance(entry.get(key), str))
            for entry in (errors if isinstance(errors, list) else [errors])
            if isinstance(entry, dict)
        ]
        return self.clean("; ".join(part for part in parts if part) or f"HTTP {answer.status}")

    def clean(self, text: str) -> str:
        """Text of others, fit for a terminal: no secrets, no control characters, not endless."""
        printable = "".join(letter if letter.isprintable() else " " for letter in text)
        return mask(printable, tuple(self.secrets)).strip()[:400]

    def _retries(self) -> Retry:
        import urllib3

        bounds, once = self.bounds, min(self.bounds.retries, 1)
        return urllib3.Retry(
            total=bounds.retries, connect=once, read=once, other=0, redirect=0, raise_on_status=False,
            status_forcelist=(429, 500, 502, 503, 504), allowed_methods=("GET", "HEAD"),
            backoff_factor=min(0.3, bounds.wait), backoff_max=bounds.wait, retry_after_max=bounds.wait,  # type: ignore[arg-type]
        )  # fmt: skip

    def _send(self, request: Request, patience: float, retries: Retry | bool) -> BaseHTTPResponse:
        """`redirect=False`: urllib3 would read the whole body of one, however long; `exchange` follows them instead."""
        from urllib3 import Timeout

        parts = urlsplit(request.url)
        pool = self._memo.once((parts.scheme, parts.netloc), lambda: self._pool(request.url))
        headers = {**_HEADERS, **request.headers}
        form = urlencode(request.form) if request.form else None
        if form:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        return pool.urlopen(
            request.method, request.url, body=form, headers=headers, redirect=False, retries=retries,
            timeout=Timeout(connect=self.bounds.connect, read=patience), preload_content=False,
        )  # fmt: skip

    def _pool(self, url: str) -> PoolManager:
        """The connections to a host, through a proxy if one is set for it; one context of TLS for all hosts alike."""
        import urllib3

        checked = not self.may_be_plain(url)
        secure = urlsplit(url).scheme == "https"
        options: dict[str, Any] = {"maxsize": 32}
        if secure:
            options["ssl_context"] = self._memo.once(("tls", checked), lambda: _tls(checked=checked))
        if secure and not checked:
            # the warning is for people who do not know; ours wrote the host into insecure_registries
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        proxy = _proxy(url)
        if proxy is None:
            return self._memo.once(("direct", secure, checked), lambda: urllib3.PoolManager(**options))
        whole("requests")
        from requests.adapters import HTTPAdapter

        through: PoolManager = HTTPAdapter().proxy_manager_for(proxy, **options)  # with its login; socks, too
        return through

    def _probe(self, host: str) -> str:
        """A host that may be without TLS can have it all the same. No retries: what is wrong shows at the question."""
        whole("urllib3")
        from urllib3.exceptions import HTTPError, NewConnectionError, TimeoutError

        try:
            response = self._send(Request("GET", f"http://{host}/v2/", 0, {}), self.bounds.connect, retries=False)
            response.close()
            tls = response.status == 400  # what servers with TLS say
        except HTTPError as error:
            tls = isinstance(error, NewConnectionError) or not isinstance(error, TimeoutError)
        return f"https://{host}" if tls else f"http://{host}"

    def _body(self, name: str, response: BaseHTTPResponse, limit: int) -> bytes:
        chunks, size, end = list[bytes](), 0, time.monotonic() + self.bounds.body
        while chunk := response.read1(1 << 16, decode_content=True):
            chunks.append(chunk)
            size += len(chunk)
            if size > limit:
                raise RegistryError(f"{name} sends more than the {limit} bytes that an answer may have")
            if time.monotonic() > end:
                raise RegistryError(f"{name} sends too slowly: more than {self.bounds.body:g} s for one answer")
        return b"".join(chunks)

    def _redirected(self, name: str, request: Request, target: str) -> Request:
        url = self.follow(name, request.url, target)
        if request.form:
            raise RegistryError(f"{name} redirects a login; that is not followed")
        old, new = urlsplit(request.url), urlsplit(url)
        same = (old.scheme, old.netloc) == (new.scheme, new.netloc)
        return replace(request, url=url) if same else replace(request, url=url).signed(None)

    def _unreachable(self, name: str, error: Exception) -> RegistryError:
        whole("urllib3")
        from urllib3.exceptions import NewConnectionError, SSLError, TimeoutError

        reason = getattr(error, "reason", None) or error
        # what urllib3 puts in front is for programmers: <... object at 0x...>: , HTTPSConnection(host=...):
        words = self.clean(re.sub(r"^(?:<[^>]*>|\w+\([^)]*\)): ", "", str(reason)))
        if isinstance(reason, SSLError):
            return RegistryError(
                f"{name} could not be asked over TLS: {words}",
                "a registry without TLS, or with a certificate of its own, belongs in insecure_registries of "
                "[tool.hsm]; a private CA in REQUESTS_CA_BUNDLE",
            )
        if isinstance(reason, TimeoutError) and not isinstance(reason, NewConnectionError):
            words = f"no answer in time ({self.bounds.connect:g} s to connect, {self.bounds.read:g} s to say something)"
        return RegistryError(
            f"{name} could not be asked: {words}",
            "is it up, and can it be reached from here? [tool.hsm] mirrors can name another place to ask",
        )


def _tls(*, checked: bool) -> ssl.SSLContext:
    import ssl

    import certifi

    whole("urllib3")
    from urllib3.util.ssl_ import create_urllib3_context

    context = create_urllib3_context(cert_reqs=ssl.CERT_REQUIRED if checked else ssl.CERT_NONE)
    if not checked:
        context.check_hostname = False
        return context
    bundle = Path(os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or certifi.where())
    try:
        context.load_verify_locations(**{"capath" if bundle.is_dir() else "cafile": str(bundle)})
    except OSError as error:
        raise RegistryError(f"{bundle} can not be read as certificates: {error}") from error
    return context


def _proxy(url: str) -> str | None:
    """The proxy for a url, as the environment has it; none for this machine, whatever the environment says."""
    from urllib.request import getproxies

    if _loopback(urlsplit(url).hostname or "") or not getproxies():
        return None
    whole("requests")
    from requests.utils import get_environ_proxies, select_proxy

    return select_proxy(url, get_environ_proxies(url))


def _address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _network(entry: str) -> IPv4Network | IPv6Network | None:
    try:
        return ip_network(entry, strict=False) if "/" in entry else None
    except ValueError:
        return None


def _loopback(host: str) -> bool:
    address = _address(host)
    return host == "localhost" or (address is not None and address.is_loopback)
