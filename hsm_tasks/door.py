"""The doors: `hsm …`, and `doit …` in a workspace through the one import line of its dodo.py.

doit itself can not be told the words of a command line before it makes the graph, takes every `name=value`, keeps its
state until the end of a run and calls a bug exit 3. So as soon as the dodo.py that doit is reading imports this module,
the command line goes to the same `main` that `hsm` calls, and doit ends with its exit code: both doors are one. What
else is in that dodo.py is read again there, by `own`, which knows how to tell a mistake in it.

Nothing is imported here but the shortcut: where a sync has nothing to do, the rest is never needed.
"""

from __future__ import annotations

import gc
import os
import sys

from hsm_tasks import BUG, shortcut

TYPE_CHECKING = False  # see shortcut
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any, NoReturn

DOIT_CONFIG = {"backend": "json", "dep_file": ".hsm/never-written.json", "verbosity": 0}


def main(argv: Sequence[str]) -> int:
    """Runs a command line in the current folder, and returns its exit code."""
    if shortcut.taken(argv):
        return 0
    from hsm_tasks.cli import main as long_way

    return long_way(argv)


def console() -> NoReturn:
    """The program `hsm`."""
    _open_streams()
    try:
        taken = shortcut.taken(sys.argv[1:])
    except KeyboardInterrupt:
        _interrupted()
    if taken:
        _done()
    _long_way()


def _open_streams() -> None:
    """One that was closed (`>&-`) goes nowhere; what can not be said in the letters of another is spelled out."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - no pathlib yet
        elif stream.encoding != "utf-8":
            stream.reconfigure(errors="backslashreplace")


def _long_way() -> NoReturn:
    gc.disable()  # most runs live too short to collect: a quarter of their time. A step that runs turns it on again
    try:
        _loaded()()
    except KeyboardInterrupt:
        _interrupted()


def _loaded() -> Callable[[], NoReturn]:
    try:
        from hsm_tasks.cli import console as go
    except Exception:
        _bug()
    return go


def _bug() -> NoReturn:
    """hsm can not even be loaded: doit would call that 3, as if the command line were wrong."""
    import traceback

    sys.stderr.write(f"{traceback.format_exc()}{BUG}\n")
    sys.stderr.flush()
    os._exit(2)


def _interrupted() -> NoReturn:
    """What `cli.main` says, for a moment in which it is not there yet."""
    sys.stderr.write("interrupted\n")
    sys.stderr.flush()
    os._exit(130)


def _done() -> NoReturn:
    """Nothing was begun, so there is nothing to take down."""
    sys.stderr.flush()
    os._exit(0)


class Door:
    """What doit finds in the namespace of a dodo.py that another one imports, or that is called otherwise."""

    def create_doit_tasks(self) -> Iterator[dict[str, Any]]:
        """Called by doit when it loads the tasks; it never comes back."""
        _long_way()


def _imported_by_doit() -> bool:
    """Whether `doit` is the program, and the dodo.py of this folder is just being imported."""
    program = sys.argv[0] if sys.argv else ""
    if os.path.basename(program) != "doit" and not program.endswith("doit/__main__.py"):  # noqa: PTH119 - no pathlib yet
        return False
    frame = sys._getframe(1)
    while frame.f_back and (frame.f_code.co_filename == __file__ or frame.f_code.co_filename.startswith("<frozen ")):
        frame = frame.f_back
    return os.path.abspath(frame.f_code.co_filename) == os.path.join(os.getcwd(), "dodo.py")  # noqa: PTH100, PTH109, PTH118


hsm = Door()


def _take_over() -> NoReturn:
    """From within an import, which will never end: other threads must not wait for that when they import this, too."""
    whole = type(sys)(__name__)
    vars(whole).update(DOIT_CONFIG=DOIT_CONFIG, Door=Door, hsm=hsm, main=main, console=console)
    sys.modules[__name__] = whole
    console()


if _imported_by_doit():
    _take_over()
