"""A plain `sync` that has nothing to do, without reading anything: if no file that counts has changed, nothing has.

`snapshot` writes, at the end of a sync in which every step was fresh, the stats of every file that the run depended on.
Here they are compared, before doit, YAML or anything else of hsm is imported; so this module imports as little as it
can. Rules, each held by tests/test_snapshot.py:
* It stands for a run that was seen to do nothing, never for one that is thought to have nothing left to do.
* Whatever is not quite as it was (a stat, a variable, a word, a version) leads to the long way, which decides anew.
* It answers as of the moment at which it began: each file is looked at once, and no file ever gets an old ctime back.
  So it takes no lock. Where another run is at work, its holder file is there, and the long way waits for it.
"""

from __future__ import annotations

import os
import sys
import time

from hsm_tasks import __version__

TYPE_CHECKING = False  # as typing has it: to import that module would take as long as all that is done here
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

FORM = f"hsm {__version__} snapshot 2"
OFF = "HSM_SNAPSHOT"
"""The variable that turns it off, for reading and for writing, with the value "off"."""
PREFIXES = ("COMPOSE_", "DOCKER_", "HSM_")
"""Variables that always count, besides those that a snapshot names; HSM_RUN_LOG says only where to write."""
BUSY = ".hsm/lock.holder"
"""There while another run is at work (effects/guard.py), and after one was killed."""
LONGEST = 64 << 20
_ASIDE = frozenset({"HSM_RUN_LOG", OFF})
_FIELDS = 4
_GONE = (-1, -1, -1, -1)


class Snapshot:
    """What a run that did nothing depended on.

    `key` is of `names` (variables) and more; `stats` are those of `paths`; `there` are paths that only must exist.
    """

    def __init__(
        self,
        *,
        key: str,
        last_words: str,
        stats: str,
        names: Iterable[str],
        paths: Iterable[str],
        there: Iterable[str],
        steps: Iterable[str],
    ) -> None:
        self.key, self.last_words, self.stats = key, last_words, stats
        self.names, self.paths, self.there, self.steps = tuple(names), tuple(paths), tuple(there), tuple(steps)


def taken(argv: Sequence[str]) -> bool:
    """Answers the command line, if it is a plain `sync` with nothing to do; else says and does nothing."""
    begun = time.monotonic()
    asked = asked_stack(argv)
    if asked is None or os.path.exists(BUSY):  # noqa: PTH110 - no pathlib yet
        return False
    found = holding(asked)
    if found is None or not _logged(found.steps):
        return False
    sys.stderr.write(f"{all_fresh(len(found.steps), time.monotonic() - begun)}\n{found.last_words}\n")
    return True


def holding(asked: str) -> Snapshot | None:
    """The snapshot of a stack, if nothing that it depends on has changed: then a sync would find nothing to do."""
    found = read(place(asked)) if os.environ.get(OFF) != "off" else None
    if found is None or found.key != key(found.names, asked):
        return None
    same = found.stats == stats(found.paths) and all(map(os.path.exists, found.there))
    return found if same else None


def asked_stack(argv: Sequence[str]) -> str | None:
    """The stack that a plain `sync` names: "" for the usual one; None for any other command line."""
    words = [word for word in argv if not word.startswith("stack=")]
    stacks = [word[len("stack=") :] for word in argv if word.startswith("stack=")]
    name = stacks[-1] if stacks else os.environ.get("HSM_STACK", "")
    plain = words in ([], ["sync"]) and len(stacks) < 2 and not name.startswith(".") and "/" not in name
    return name if plain else None


def place(asked: str) -> str:
    """The snapshot's file, relative to the workspace."""
    return f".hsm/{asked}/snapshot" if asked else ".hsm/snapshot"


def key(names: Iterable[str], asked: str) -> str:
    """A digest of all that counts besides files: these variables, those with a prefix, the program and the place."""
    from _blake2 import blake2b  # hashlib, which is made of such modules, takes longer than all the rest of this

    counted = {*names, *(name for name in os.environ if name.startswith(PREFIXES))} - _ASIDE
    values = [(name, os.environ.get(name)) for name in sorted(counted)]
    parts = (os.getcwd(), os.geteuid(), sys.version, os.path.dirname(__file__), asked, values)  # noqa: PTH109, PTH120
    digest: str = blake2b(repr(parts).encode("utf-8", "surrogatepass"), digest_size=20).hexdigest()
    return digest


def stats(paths: Iterable[str]) -> str:
    """mtime and ctime in ns, size and inode of each path, -1 for one that is not there."""
    look = os.stat
    found: list[int] = []
    for path in paths:
        try:
            here = look(path)
        except OSError:
            found += _GONE
        else:
            found += (here.st_mtime_ns, here.st_ctime_ns, here.st_size, here.st_ino)
    return " ".join(map(str, found))


def ctimes(numbers: str) -> list[int]:
    """The ctimes in what `stats` gave."""
    return list(map(int, numbers.split(" ")[1::_FIELDS])) if numbers else []


def text(snapshot: Snapshot) -> str:
    """A snapshot as it is written; only paths may have line ends in them, and they stand in one field each, too."""
    several = (snapshot.names, snapshot.paths, snapshot.there, snapshot.steps)
    names, paths, there, steps = ("\0".join(part) for part in several)
    one = (snapshot.last_words, snapshot.stats)
    return "\0\0".join((FORM, snapshot.key, *one, names, paths, there, steps, "end"))


def read(path: str) -> Snapshot | None:
    """None where there is none, or one of another version, or a broken one."""
    try:
        found = os.lstat(path)
        if found.st_mode & 0o170000 != 0o100000 or found.st_size > LONGEST:  # no pipe that waits, no endless device
            return None
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
            parts = file.read().split("\0\0")
    except OSError:
        return None
    if len(parts) != 9 or parts[0] != FORM or parts[-1] != "end":
        return None
    names, paths, there, steps = (part.split("\0") if part else [] for part in parts[4:8])
    one = {"key": parts[1], "last_words": parts[2], "stats": parts[3]}
    return Snapshot(**one, names=names, paths=paths, there=there, steps=steps)


def _logged(steps: Iterable[str]) -> bool:
    """The lines of a run log, where one is wanted; False where it can not be written: the long way says so."""
    named = os.environ.get("HSM_RUN_LOG")
    if not named:
        return True
    import json

    try:
        file = os.open(named, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    except OSError:
        return False
    try:
        for step in steps:
            line = {"step": step, "result": "fresh", "reason": "", "seconds": 0.0}
            os.write(file, json.dumps(line, ensure_ascii=False).encode() + b"\n")
    except OSError:
        pass  # the disk is full: as on the long way, a log fails nothing
    finally:
        os.close(file)
    return True


# --- what the long way knows, too ---------------------------------------------------------------------------


# A file system stamps changes with a clock of coarse ticks (10 ms at most on Linux; whole seconds on some others), so
# two changes within one tick can leave equal stats. git calls such a file "racily clean".
TICK, COARSE_TICK, SECOND = 20_000_000, 2_100_000_000, 1_000_000_000


def is_calm(changed: int, now: int) -> bool:
    """Whether a change from now on must get another ctime (both in ns)."""
    return changed + (TICK if changed % SECOND else COARSE_TICK) < now


def all_fresh(count: int, seconds: float) -> str:
    """The one line of a run that did nothing."""
    return f"{count} {'step' if count == 1 else 'steps'} up to date, {duration(seconds)}"


def duration(seconds: float) -> str:
    """`0.01 s`, `12.3 s`, `2 min 5 s`."""
    if seconds < 1:
        return f"{seconds:.2f} s"
    return f"{seconds:.1f} s" if seconds < 60 else f"{int(seconds // 60)} min {int(seconds % 60)} s"
