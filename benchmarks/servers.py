"""Servers on loopback, and a proxy that makes every answer late: a network, as far as waiting goes.

`python -m benchmarks.servers PORT UPSTREAM SECONDS` is that proxy.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.workspaces import DOCKERFILE, Shape, repository
from tests.support.ports import free_port
from tests.support.registry import RegistryServer, busybox_image

ROOT = Path(__file__).resolve().parents[1]


@contextlib.contextmanager
def late(upstream: int, seconds: float) -> Iterator[int]:
    """The port of a proxy in front of another port: bytes of an answer come that much later."""
    port = free_port()
    with _running(sys.executable, "-m", "benchmarks.servers", str(port), str(upstream), str(seconds), port=port):
        yield port


@contextlib.contextmanager
def repositories(folder: Path, count: int) -> Iterator[tuple[int, list[str]]]:
    """(port, names) of a server of that many git repositories."""
    names = Shape(count, groups=False).names
    folder.mkdir(parents=True)
    files: dict[str, bytes | str] = {f"src/part{number}.bin": os.urandom(10_000) for number in range(20)}
    repository(folder / "model", {**files, "Dockerfile": DOCKERFILE})
    for name in names:
        shutil.copytree(folder / "model" / ".git", folder / f"{name}.git")
    port = free_port()
    server = str(ROOT / "scripts" / "git-http-server.py")
    with _running(sys.executable, server, str(folder), "--port", str(port), port=port):
        yield port, names


@contextlib.contextmanager
def registry(shape: Shape) -> Iterator[int]:
    """The port of a registry that has the images of a shape."""
    image = busybox_image({"name": b"one"})
    with RegistryServer() as server:
        for number, name in enumerate(shape.names):
            server.push(f"acme/{name}", f"1.{number}.0", config=image.config, layers=image.layers)
        yield int(server.host.rpartition(":")[2])


@contextlib.contextmanager
def _running(*command: str, port: int) -> Iterator[None]:
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    child = subprocess.Popen(command, cwd=ROOT, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait(port)
        yield
    finally:
        child.terminate()
        child.wait(20)


def _wait(port: int) -> None:
    deadline = time.monotonic() + 20
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        assert time.monotonic() < deadline, f"nobody listens at {port}"
        time.sleep(0.05)


# --- the proxy ---------------------------------------------------------------------------------------------------


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float) -> None:
    waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def send() -> None:
        while True:
            due, data = await waiting.get()
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            if not data:
                break
            writer.write(data)
            await writer.drain()
        with contextlib.suppress(OSError):
            writer.write_eof()

    sending = asyncio.create_task(send())
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            waiting.put_nowait((time.monotonic() + seconds, data))
    waiting.put_nowait((time.monotonic() + seconds, b""))
    with contextlib.suppress(OSError):
        await sending


async def _serve(port: int, upstream: int, seconds: float) -> None:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", upstream)
        await asyncio.gather(_pass_on(reader, far_writer, 0.0), _pass_on(far_reader, writer, seconds))
        for end in (writer, far_writer):
            end.close()

    server = await asyncio.start_server(connected, "127.0.0.1", port, backlog=256)
    await server.serve_forever()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
