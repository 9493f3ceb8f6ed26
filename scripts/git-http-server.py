"""Serves the bare git repositories below a folder over http, by `git http-backend`, on loopback only.

    python git-http-server.py FOLDER [--port 8418] [--user NAME:PASSWORD]

Prints its address when it listens. With --user each request must carry that name and password.
"""

from __future__ import annotations

import argparse
import base64
import os
import subprocess
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit


class GitHandler(BaseHTTPRequestHandler):
    """One request is one run of `git http-backend`, which speaks CGI."""

    folder: Path
    user: str | None = None

    def do_GET(self) -> None:
        self._backend()

    def do_POST(self) -> None:
        self._backend()

    def _backend(self) -> None:
        if not self._allowed():
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        answer = subprocess.run(
            ["git", "http-backend"], input=self._body(), env=self._environment(), stdout=subprocess.PIPE, check=False
        )
        head, _, body = answer.stdout.partition(b"\r\n\r\n")
        self._answer(head.decode("latin-1").splitlines(), body)

    def _allowed(self) -> bool:
        if self.user is None:
            return True
        wanted = "Basic " + base64.b64encode(self.user.encode()).decode()
        return self.headers.get("Authorization") == wanted

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":  # a large push comes in chunks
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _environment(self) -> dict[str, str]:
        url = urlsplit(self.path)
        environment = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(self.folder),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "REQUEST_METHOD": self.command,
            "PATH_INFO": unquote(url.path),
            "QUERY_STRING": url.query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "REMOTE_ADDR": self.client_address[0],
        }
        if self.user is not None:
            environment["REMOTE_USER"] = self.user.split(":")[0]
        return environment

    def _answer(self, head: list[str], body: bytes) -> None:
        headers = [(name.strip(), value.strip()) for name, _, value in (line.partition(":") for line in head)]
        status = next((value for name, value in headers if name.lower() == "status"), "200" if headers else "500")
        self.send_response(int(status.split()[0]))
        for name, value in headers:
            if name.lower() != "status":
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve git repositories over http on loopback.")
    parser.add_argument("folder", type=Path, help="the folder that holds the bare repositories")
    parser.add_argument("--port", type=int, default=8418, help="0 takes a free one (default: %(default)s)")
    parser.add_argument("--user", metavar="NAME:PASSWORD", help="ask for this name and password")
    options = parser.parse_args()
    GitHandler.folder = options.folder.resolve()
    GitHandler.user = options.user
    server = ThreadingHTTPServer(("127.0.0.1", options.port), GitHandler)
    print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
