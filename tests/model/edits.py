"""What may happen to a workspace, each as a value that can be written down again: the story of a sequence."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.model.servers import IMAGES, REPOSITORIES, TAGS, Servers
from tests.model.stack import SERVICE, SLOTS, STACK, State
from tests.support.gitserver import commit

STATE = ".hsm/shop"
SHOP = "stacks/shop"


@dataclass(frozen=True, slots=True)
class Set:
    """One decision of a person: a field of a service, or of the stack (slot -1)."""

    slot: int
    field: str
    to: int

    def on(self, state: State) -> None:
        fields, table = (state.stack, STACK) if self.slot < 0 else (state.services[self.slot % SLOTS], SERVICE)
        fields[self.field] = self.to % table[self.field]


KINDS: tuple[dict[str, int], ...] = (
    {"named": 1, "repo": 1, "mode": 1},
    {"named": 1, "repo": 5, "prod_image": 1, "version": 1},
    {"named": 1, "repo": 3, "dev_mount": 1, "local_mode": 1},
    {"named": 2, "repo": 7, "mode": 2, "prod_image": 2},
    {"base": 0, "named": 1, "repo": 2, "mode": 1, "dev_build": 1, "prod_image": 1},
    {"build": 1, "named": 1, "mode": 1, "volume": 3},
    {"needs": 3, "named": 1, "prod_image": 1, "version": 3},
    {"needs": 8, "profile": 1},
    {"base": 2, "tag": 4, "profile": 2},
    {"base": 3, "env": 1, "tag": 5, "needs": 7, "port": 1},
    {"net": 2, "volume": 1, "health": 2, "needs": 6},
    {"named": 1, "local_image": 1, "prod_env": 1, "limits": 1},
)


@dataclass(frozen=True, slots=True)
class Become:
    """A service becomes one of a kind, in one edit: most services of a random stack must be worth having."""

    slot: int
    kind: int

    def on(self, state: State) -> None:
        state.services[self.slot % SLOTS] |= KINDS[self.kind % len(KINDS)]


@dataclass(frozen=True, slots=True)
class Revert:
    """All files of a person as they were so many edits ago (git checkout)."""

    back: int


@dataclass(frozen=True, slots=True)
class Tamper:
    """Somebody lays hands on a generated file: the nth of those that are there, or the one of that name."""

    how: str
    which: int | str


@dataclass(frozen=True, slots=True)
class Touch:
    """A file of a person gets another time, and keeps its content."""

    which: int


@dataclass(frozen=True, slots=True)
class Work:
    """In a checkout: a commit, a changed file, a new file; or the checkout goes."""

    how: str
    which: int


@dataclass(frozen=True, slots=True)
class Move:
    """A tag of the registry names another image; an update must follow."""

    image: int
    tag: int


@dataclass(frozen=True, slots=True)
class Push:
    """A branch gets a commit; an update must follow."""

    repo: int
    branch: int


@dataclass(frozen=True, slots=True)
class Publish:
    """The tag that nobody had comes to be; an update must follow, because ranges mean it too."""

    image: int


@dataclass(frozen=True, slots=True)
class Refuse:
    """A repository is not there from now on."""

    repo: int


@dataclass(frozen=True, slots=True)
class Allow:
    """All repositories are there again."""


@dataclass(frozen=True, slots=True)
class Switch:
    """A switch word on the command line."""

    word: str
    slot: int


@dataclass(frozen=True, slots=True)
class Sync:
    """A sync, then all checks if `whole`; else only which steps ran. `planned`: what `plan` says of it comes true."""

    whole: bool = False
    planned: bool = False


@dataclass(frozen=True, slots=True)
class Sneak:
    """An edit right after a sync that the snapshot answers, and within the same tick; every file that changes keeps its
    time, and its size as far as the edit lets it."""

    edit: Set


@dataclass(frozen=True, slots=True)
class Update:
    """`update`, of one service if there is a slot."""

    slot: int = -1


@dataclass(frozen=True, slots=True)
class Kill:
    """A sync that SIGKILL ends at its nth moment."""

    moment: int


@dataclass(frozen=True, slots=True)
class KillAfter:
    """The same by the clock, in the midst of whatever runs then: git, compose, sqlite."""

    milliseconds: int


@dataclass(frozen=True, slots=True)
class During:
    """A sync, and at its nth moment somebody edits a file of his."""

    moment: int
    edit: Set


Edit = Set | Become | Revert | Tamper | Touch | Work | Move | Push | Publish | Refuse | Allow
Op = Edit | Switch | Sync | Sneak | Update | Kill | KillAfter | During
GENERATED = (
    "fragments/*.yml", "pins/*.json", "healthchecks/*.json", "clones/*.json", "override.yml", "local.lock", "last.lock",
    "base.json",
)  # fmt: skip
TAMPERS = ("delete", "append", "empty", "garbage", "touch", "same-size", "other", "edit")
WORKS = ("commit", "dirty", "new", "gone", "branch")


def generated(root: Path) -> list[Path]:
    """What hsm has made, sorted: some of it more than once, because it matters more."""
    found = [path for pattern in GENERATED for path in sorted((root / STATE).glob(pattern))]
    found += [root / SHOP / "docker-compose.hsm.yml", root / SHOP / "hsm.lock", root / STATE / "state.db"]
    return [path for path in found if path.exists()]


def tamper(how: str, which: int | str, root: Path) -> str:
    """Does it; tells to which file."""
    found = generated(root)
    if isinstance(which, str):
        which = next((number for number, path in enumerate(found) if path.name == which), 0)
    if not found:
        return "nothing"
    path = found[which % len(found)]
    if path.name == "hsm.lock" and how not in ("delete", "touch"):
        _edit_lock(path, which // len(found), how)
        return f"hsm.lock ({how})"
    _lay_hands(how, path, found[(which + 1) % len(found)])
    return path.relative_to(root).as_posix()


def _lay_hands(how: str, path: Path, other: Path) -> None:
    data, times = path.read_bytes(), path.stat()
    changes: dict[str, Callable[[], object]] = {
        "delete": path.unlink,
        "append": lambda: path.write_bytes(data + b"# by hand\n"),
        "empty": lambda: path.write_bytes(b""),
        "garbage": lambda: path.write_bytes(b"\x00\xff: [\n"),
        "touch": lambda: os.utime(path),
        "same-size": lambda: path.write_bytes(data[:-2] + bytes([data[-2] ^ 1 if data[-2:-1] else 0]) + data[-1:]),
        "other": lambda: path.write_bytes(other.read_bytes()),
        "edit": lambda: path.write_bytes(_edited(data)),
    }
    changes[how]()
    if how in ("same-size", "edit"):
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def _edited(data: bytes) -> bytes:
    """A change that leaves the form whole: one digit of a digest or a commit, else one of a name."""
    for old, new in ((b"sha256:", b"sha256:0"), (b'"commit":"', b'"commit":"0')):
        place = data.find(old)
        if place >= 0:
            end = place + len(new)
            changed = data[:place] + new + data[end:]
            return changed if changed != data else data[:place] + old + b"1" + data[end:]
    return data.replace(b"image", b"imagf", 1)


def _edit_lock(path: Path, which: int, how: str) -> None:
    """hsm.lock is a person's file too: entries are taken out, or moved to what another tag is."""
    lines = path.read_text().splitlines(keepends=True)
    entries = [number for number, line in enumerate(lines) if line.startswith('  "')]
    if not entries:
        return
    number = entries[which % len(entries)]
    images = [line for line in lines if "digest:" in line]
    if how in ("append", "garbage", "other") or "digest:" not in lines[number]:
        del lines[number]
        for head, sign in (("images:\n", "digest:"), ("repositories:\n", "commit:")):
            if head in lines and not any(sign in line for line in lines):
                lines[lines.index(head)] = f"{head.strip()} {{}}\n"
    elif (twin := _twin(lines[number], images)) is not None:
        lines[number] = twin
    path.write_text("".join(lines))


def _twin(line: str, images: list[str]) -> str | None:
    """The entry with the digest of another entry of the same image."""
    image = line.split('"')[1].split(" ")[0].rpartition("/")[2].partition(":")[0]
    for other in images:
        same = other.split('"')[1].split(" ")[0].rpartition("/")[2].partition(":")[0] == image
        old, new = (text.partition('sha256:')[2][:64] for text in (line, other))
        if same and old != new:
            return line.replace(old, new)
    return None


def work(how: str, which: int, folder: Path) -> str:
    """In a checkout of hsm's."""
    found = sorted(path for path in folder.glob("r*") if (path / ".git").exists())
    if not found:
        return "nothing"
    path = found[which % len(found)]
    match how:
        case "commit":
            commit(path, {"src/mine.py": f"{which}\n"})
        case "dirty":
            (path / "src" / "app.py").write_text(f"print({which})\n")
        case "new":
            (path / "src" / f"new{which}").write_text("new\n")
        case _:
            shutil.rmtree(path)
    return f"{how} in {path.name}"


def move(op: Move | Push | Publish, servers: Servers) -> None:
    match op:
        case Move():
            servers.move(IMAGES[op.image % len(IMAGES)], TAGS[op.tag % len(TAGS)])
        case Push():
            servers.push(op.repo % REPOSITORIES, ("main", "next")[op.branch % 2])
        case Publish():
            servers.publish(IMAGES[op.image % len(IMAGES)])
