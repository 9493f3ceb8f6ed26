"""Ports of loopback that nobody else gets between the choice and the use."""

from __future__ import annotations

import atexit
import socket


def free_port() -> int:
    """A port that stays ours until this process ends.

    A socket is bound to it that never listens, so the kernel gives it to nobody who asks for just any port, nor to a
    connection that goes out. Servers may have it all the same, since they set SO_REUSEADDR; here that is set only after
    the choice, so that the choice itself shares with nobody.
    """
    holder = socket.socket()
    holder.bind(("127.0.0.1", 0))
    atexit.register(holder.close)
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    port: int = holder.getsockname()[1]
    return port
