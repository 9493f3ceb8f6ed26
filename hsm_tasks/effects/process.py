"""The one door to other programs: argv lists, never a shell, and no terminal to ask on.

`run` and `stream` start a program in a session of its own. It has no terminal then, so git and ssh fail at once instead
of waiting for a password (an environment variable can tell git so, but not ssh). The price: ctrl-C does not reach it.
So every live child is known here, and `interrupt` ends them all. `attach` is the other kind: there the program has the
terminal, and ctrl-C is its business.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from hsm_tasks.core.errors import CommandFailed, HsmError

GRACE = 3.0  # seconds between "please end" and the end
_INSTALL = {
    "docker": "install docker with its compose plugin, and put it on the PATH",
    "git": "install git, and put it on the PATH",
}
INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_live: set[int] = set()
_lock = threading.RLock()  # interrupt() may be called by a signal handler, in the very thread that holds the lock


class Done(msgspec.Struct, frozen=True):
    """How a program ended: 128+n where signal n ended it. `stream` leaves everything in `out`."""

    code: int
    out: str
    err: str


def run(
    *argv: str,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    text_in: str | None = None,
    timeout: float | None = None,
    explain: str = "",
    hint: str = "",
    ok: tuple[int, ...] = (0,),
    really: Sequence[str] = (),
) -> Done:
    """Run a program to its end. `env` is laid over our own environment; a code that is not in `ok` is CommandFailed.

    `really`: what is started instead of `argv`, if given; a failure shows `argv` all the same.
    """
    late = ""
    with _child(really or argv, cwd, env, stdin=subprocess.DEVNULL if text_in is None else subprocess.PIPE) as child:
        try:
            out, err = child.communicate(text_in, timeout)
        except subprocess.TimeoutExpired:
            end(child.pid)
            out, err = child.communicate()
            late = f"\nhsm ended it: it took longer than {timeout:g} s"
    done = Done(_code(child), out, err)
    if late or done.code not in ok:
        raise CommandFailed(argv, done.code, (err or out) + late, explain, hint)
    return done


def stream(
    *argv: str,
    on_line: Callable[[str], None],
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    explain: str = "",
    hint: str = "",
    ok: tuple[int, ...] = (0,),
) -> Done:
    """Run a program and hand on each line of its stdout and stderr as it comes, in the calling thread."""
    lines = []
    with _child(argv, cwd, env, stderr=subprocess.STDOUT) as child:
        assert child.stdout is not None
        for line in child.stdout:
            lines.append(line)
            on_line(line.rstrip("\n"))
        child.wait()
    done = Done(_code(child), "".join(lines), "")
    if done.code not in ok:
        raise CommandFailed(argv, done.code, done.out, explain, hint)
    return done


@contextlib.contextmanager
def held(*argv: str) -> Iterator[Iterator[str]]:
    """A program that lives as long as the block, with its lines; it sees the end of its input then."""
    with _child(argv, None, None, subprocess.PIPE, subprocess.STDOUT) as child:
        assert child.stdout is not None
        yield (line.rstrip("\n") for line in child.stdout)


def attach(*argv: str, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> int:
    """Give our terminal to a program until it ends, and return its code; ctrl-C is its own affair meanwhile."""
    for ours in (sys.stdout, sys.stderr):
        ours.flush()  # or what we said before comes after what the program says
    with _signals() as pass_on_to:
        child = _popen(argv, cwd, env)
        pass_on_to(child)
        child.wait()
    return _code(child)


class Beside:
    """A program that runs beside us, in a session of its own, until `end`; its lines come from a thread."""

    def __init__(self, argv: Sequence[str], on_line: Callable[[str], None], cwd: Path | None = None) -> None:
        release_interrupts = hold_interrupts()
        try:
            self._child = _popen(argv, cwd, None, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                 stderr=subprocess.STDOUT, start_new_session=True)  # fmt: skip
            adopt(self._child.pid)
        finally:
            release_interrupts()
        self._on_line = on_line
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._child.stdout is not None
        with self._child.stdout as lines:
            for line in lines:
                self._on_line(line.rstrip("\n"))

    @property
    def code(self) -> int | None:
        """How it ended; None while it runs."""
        return None if self._child.poll() is None else _code(self._child)

    def end(self) -> None:
        """It and what it started are asked to end, then made to."""
        end(self._child.pid)
        self._child.wait()
        release(self._child.pid)
        self._reader.join(GRACE)


def adopt(pid: int) -> None:
    """Know a child that was started elsewhere, as the leader of its own process group."""
    with _lock:
        _live.add(pid)


def release(pid: int) -> None:
    """Forget a child that has ended."""
    with _lock:
        _live.discard(pid)


def interrupt() -> None:
    """End all live children and what they started. Whoever waits for one of them sees it fail."""
    with _lock:
        pids = tuple(_live)
    _end(pids)


def ask_others_to_end() -> None:
    """Children of which nothing is known here, in our own process group: a user's task started them.

    A terminal tells them of ctrl-C by itself; this is for a signal to us alone, where the kernel (Linux) names them.
    """
    with contextlib.suppress(OSError):
        for listed in Path("/proc/self/task").glob("*/children"):
            for pid in {*map(int, listed.read_text().split())} - _live:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    if os.getpgid(pid) == os.getpgrp():
                        os.kill(pid, signal.SIGTERM)


def end(pid: int) -> None:
    """End one child and what it started: it is asked first."""
    _end((pid,))


def _end(pids: Sequence[int]) -> None:
    for pid in pids:
        _signal_group(pid, signal.SIGTERM)
    deadline = time.monotonic() + GRACE
    while not all(_ended(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.02)
    for pid in pids:  # also where the leader has ended: what it started may still be there
        _signal_group(pid, signal.SIGKILL)


def _signal_group(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def _ended(pid: int) -> bool:
    """Whether a child has ended; it is left for its owner to wait for."""
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True


def _popen(
    argv: Sequence[str],
    cwd: Path | None,
    env: Mapping[str, str] | None,
    *,
    stdin: int | None = None,
    stdout: int | None = None,
    stderr: int | None = None,
    start_new_session: bool = False,
) -> subprocess.Popen[str]:
    if cwd is not None and not cwd.is_dir():
        raise HsmError(f"{argv[0]} can not run in {cwd}: there is no such folder")
    try:
        return subprocess.Popen(
            list(argv),
            cwd=cwd,
            env=None if env is None else {**os.environ, **env},
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            start_new_session=start_new_session,
            encoding="utf-8",
            errors="replace",
        )
    except OSError as error:
        hint = _INSTALL.get(argv[0], f"install {argv[0]}, and put it on the PATH")
        explain = f"{argv[0]} can not be started"
        raise CommandFailed(tuple(argv), 127, error.strerror or str(error), explain, hint) from error


@contextlib.contextmanager
def _child(
    argv: Sequence[str],
    cwd: Path | None,
    env: Mapping[str, str] | None,
    stdin: int = subprocess.DEVNULL,
    stderr: int = subprocess.PIPE,
) -> Iterator[subprocess.Popen[str]]:
    """A program in a session of its own, known while it lives; whatever interrupts us ends it as well."""
    release_interrupts = hold_interrupts()
    try:
        child = _popen(argv, cwd, env, stdin=stdin, stdout=subprocess.PIPE, stderr=stderr, start_new_session=True)
    except BaseException:
        release_interrupts()
        raise
    adopt(child.pid)
    try:
        release_interrupts()
        yield child
    except BaseException:
        end(child.pid)
        raise
    finally:
        for pipe in (child.stdin, child.stdout, child.stderr):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        child.wait()
        release(child.pid)


def hold_interrupts() -> Callable[[], None]:
    """Hold back ctrl-C and its like until the answer is called: raised in Popen, they leave a child nobody knows."""
    if threading.current_thread() is not threading.main_thread():
        return lambda: None
    caught: list[int] = []
    before = {number: signal.signal(number, lambda number, _: caught.append(number)) for number in INTERRUPTS}

    def release_interrupts() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)
        if caught:
            signal.raise_signal(signal.Signals(caught[0]))

    return release_interrupts


@contextlib.contextmanager
def all_as_ctrl_c() -> Iterator[None]:
    """A polite request to end, or a terminal that goes away, is as ctrl-C is: steps clean up, children are ended.

    What the caller has set (`nohup`) stays.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ours = [number for number in INTERRUPTS if signal.getsignal(number) is signal.SIG_DFL]
    for number in ours:
        signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


@contextlib.contextmanager
def _signals() -> Iterator[Callable[[subprocess.Popen[str]], None]]:
    """Survive ctrl-C, which the terminal sends to the program too, and pass on what was sent to us alone.

    Handlers, and not SIG_IGN: a program inherits what is ignored, but not what is handled.
    """
    children: list[subprocess.Popen[str]] = []
    early: list[int] = []

    def forward(number: int, _frame: object) -> None:
        for child in children:
            child.send_signal(number)
        if not children:
            early.append(number)

    def pass_on_to(child: subprocess.Popen[str]) -> None:
        children.append(child)
        for number in early:
            child.send_signal(number)

    if threading.current_thread() is not threading.main_thread():  # signals are the main thread's
        yield pass_on_to
        return
    wanted = {signal.SIGINT: lambda *_: None, signal.SIGTERM: forward, signal.SIGHUP: forward}
    before = {number: signal.signal(number, handler) for number, handler in wanted.items()}
    try:
        yield pass_on_to
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _code(child: subprocess.Popen[str]) -> int:
    return child.returncode if child.returncode >= 0 else 128 - child.returncode
