"""Keeps ports of loopback for servers that start later.

    python hold-ports.py FILE WISH...

Writes into FILE, for each wish, that port or another that is free, and holds them until it is ended: a socket is bound
to each that never listens. So nobody else chooses them meanwhile, and who sets SO_REUSEADDR, as servers do, listens.
"""

from __future__ import annotations

import signal
import socket
import sys
from pathlib import Path


def hold(wish: int) -> socket.socket:
    holder = socket.socket()
    try:
        holder.bind(("127.0.0.1", wish))
    except OSError:
        holder.bind(("127.0.0.1", 0))
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # not before: then two could hold the same port
    return holder


def main() -> None:
    file = Path(sys.argv[1])
    holders = [hold(int(wish)) for wish in sys.argv[2:]]
    whole = file.with_suffix(".new")
    whole.write_text(" ".join(str(holder.getsockname()[1]) for holder in holders) + "\n")
    whole.replace(file)
    signal.pause()


if __name__ == "__main__":
    main()
