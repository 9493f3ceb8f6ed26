"""A git server for tests: git's own smart http (`git http-backend`) on 127.0.0.1, and repositories to serve.

`python -m tests.support.gitserver ROOT PORT [USER PASSWORD]` serves the repositories below ROOT until it is ended.
It needs nothing but git and the standard library.
"""

from __future__ import annotations

import base64
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO, Literal

Mode = Literal["ok", "silent", "stall", "cut"]
_WHEN = "2026-01-02T03:04:05+00:00"
_IDENTITY = {
    "GIT_AUTHOR_NAME": "Ada", "GIT_AUTHOR_EMAIL": "ada@example.org", "GIT_AUTHOR_DATE": _WHEN,
    "GIT_COMMITTER_NAME": "Ada", "GIT_COMMITTER_EMAIL": "ada@example.org", "GIT_COMMITTER_DATE": _WHEN,
}  # fmt: skip


def git(directory: Path, *arguments: str) -> str:
    """What git prints in this directory, with a fixed author and date: the same commits on every machine."""
    settings = ("-c", "init.defaultBranch=main", "-c", "commit.gpgSign=false", "-c", "core.hooksPath=/dev/null")
    done = subprocess.run(
        ["git", *settings, *arguments],
        cwd=directory,
        env={**os.environ, **_IDENTITY},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"git {' '.join(arguments)}: {done.stderr}")
    return done.stdout.strip()


def make_repository(path: Path, files: Mapping[str, str | bytes], *, branch: str = "main") -> str:
    """A repository (with a work tree, so that it is easy to commit to) with one commit, which is returned."""
    path.mkdir(parents=True)
    git(path, "init", "--quiet", f"--initial-branch={branch}")
    return commit(path, files, "first")


def commit(path: Path, files: Mapping[str, str | bytes], message: str = "more") -> str:
    """Write the files, commit everything that changed, and return the commit."""
    for name, content in files.items():
        file = path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)
    git(path, "add", "--all")
    git(path, "commit", "--quiet", "--allow-empty", "-m", message)
    return git(path, "rev-parse", "HEAD")


@dataclass
class GitServer:
    """Serves what is below `root`, as a context manager.

    `mode` may be changed at any time. silent: takes requests and never answers. stall: sends the first bytes of a pack,
    then nothing more. cut: closes the connection there. `login` is a user and a password. `requests` is what was asked
    for: "GET /api.git/info/refs".
    """

    root: Path
    port: int = 0
    login: tuple[str, str] | None = None
    mode: Mode = "ok"
    push: bool = False
    requests: list[str] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        owner = self

        class Handler(_Handler):
            git_server = owner

        self.http = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.port = self.http.server_address[1]

    def url(self, name: str, user: str = "") -> str:
        """The url of a repository below root."""
        return f"http://{user + '@' if user else ''}127.0.0.1:{self.port}/{name}"

    def __enter__(self) -> GitServer:
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.closing.set()
        self.http.shutdown()
        self.http.server_close()


class _Handler(BaseHTTPRequestHandler):
    git_server: GitServer

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        self._answer(self._body())

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: `requests` is the log."""

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", "0")))
        chunks = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def _answer(self, body: bytes) -> None:
        server = self.git_server
        path, _, query = self.path.partition("?")
        server.requests.append(f"{self.command} {path}")
        if server.mode == "silent":
            server.closing.wait()
        elif not self._allowed():
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.end_headers()
        else:
            self._backend(path, query, body)

    def _allowed(self) -> bool:
        if self.git_server.login is None:
            return True
        wanted = base64.b64encode(":".join(self.git_server.login).encode()).decode()
        return self.headers.get("Authorization") == f"Basic {wanted}"

    def _backend(self, path: str, query: str, body: bytes) -> None:
        environment = {
            **os.environ,
            "GIT_PROJECT_ROOT": str(self.git_server.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "REMOTE_ADDR": "127.0.0.1",
            "GIT_CONFIG_COUNT": "2",
            "GIT_CONFIG_KEY_0": "http.receivepack",
            "GIT_CONFIG_VALUE_0": str(self.git_server.push).lower(),
            "GIT_CONFIG_KEY_1": "uploadpack.allowFilter",
            "GIT_CONFIG_VALUE_1": "true",
        }
        backend = subprocess.run(
            ["git", "http-backend"], input=body, env=environment, stdout=subprocess.PIPE, check=False
        )
        head, _, content = backend.stdout.partition(b"\r\n\r\n")
        headers = [line.partition(": ") for line in head.decode("latin-1").split("\r\n")]
        status = next((value for name, _, value in headers if name == "Status"), "200")
        self.send_response(int(status.split()[0]))
        for name, _, value in headers:
            if name and name != "Status":
                self.send_header(name, value)
        self.end_headers()
        self._send(content, pack=self.command == "POST" and b"packfile" in content[:4096])

    def _send(self, content: bytes, *, pack: bool) -> None:
        mode = self.git_server.mode
        if not pack or mode == "ok":
            self.wfile.write(content)
            return
        self.wfile.write(content[: len(content) // 2])
        self.wfile.flush()
        if mode == "stall":
            self.git_server.closing.wait()


def main(arguments: list[str], out: IO[str] = sys.stdout) -> None:
    """Serve until the process is ended."""
    root, port, *login = arguments
    pair = (login[0], login[1]) if login else None
    server = GitServer(Path(root).resolve(), int(port), login=pair)
    print(f"serving {server.root} at {server.url('')}", file=out, flush=True)
    server.http.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1:])
