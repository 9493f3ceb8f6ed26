"""A program that has a terminal, as it has one when a person starts it."""

from __future__ import annotations

import contextlib
import os
import pty
import subprocess
import sys

_TAKE = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execvp(sys.argv[1], sys.argv[1:])"


def under_a_terminal(argv: list[str], press: bytes = b"", when: str = "") -> str:
    """All that the program says; keys are pressed once it has said a word."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", _TAKE, *argv], stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    ):
        os.close(theirs)
        said = b""
        with contextlib.suppress(OSError):  # so linux says that the other end has gone
            while part := os.read(ours, 4096):
                said += part
                if press and when.encode() in said:
                    os.write(ours, press)
                    press = b""
    os.close(ours)
    return said.decode()
