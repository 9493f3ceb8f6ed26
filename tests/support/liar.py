"""A server that says what a test wants: what no good registry can be made to say.

    liar = Liar(lambda asked: Said(429, {"Retry-After": "1"}))
    registry.tags(liar.image())
    assert [asked.path for asked in liar.asked] == ["/v2/acme/api/tags/list"]
"""

from __future__ import annotations

import functools
import http.server
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hsm_tasks.core.reference import ImageReference


@dataclass
class Asked:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def login(self) -> str | None:
        return self.headers.get("authorization")


@dataclass
class Said:
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    before: float = 0  # seconds until the first byte
    drip: float = 0  # seconds between two bytes
    endless: bool = False


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, liar: Liar, *rest: Any) -> None:
        self.liar = liar
        super().__init__(*rest)

    def answer(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        asked = Asked(self.command, self.path, headers, self.rfile.read(int(headers.get("content-length", 0))))
        try:
            if asked.path == "/v2/":  # only whether there is TLS
                return self.send(Said())
            self.liar.asked.append(asked)
            self.send(self.liar.say(asked))
        except OSError:
            self.close_connection = True

    def send(self, said: Said) -> None:
        time.sleep(said.before)
        self.send_response(said.status)
        length = str(10**9 if said.endless else len(said.body))
        for name, value in {"Content-Length": length, **said.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        step = 1 if said.drip else len(said.body) or 1
        for begin in range(0, len(said.body), step):
            self.wfile.write(said.body[begin : begin + step])
            time.sleep(said.drip)
        while said.endless:
            self.wfile.write(b" " * 4096)

    do_GET = do_HEAD = do_POST = answer  # noqa: N815 - http.server wants these names

    def log_message(self, *args: object) -> None:
        pass


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, *args: object) -> None:
        pass  # a client that hangs up is what many tests are about


class Liar:
    """A server that says what a test wants, and remembers what it was asked."""

    def __init__(self, say: Callable[[Asked], Said], tls: tuple[Path, Path] | None = None) -> None:
        self.asked: list[Asked] = []
        self.say = say
        self._server = Server(("127.0.0.1", 0), functools.partial(Handler, self))
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_address[1]
        self.host = f"127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    def image(self, name: str = "acme/api") -> ImageReference:
        return ImageReference.parse(f"{self.host}/{name}")

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
