"""`python -m tests.model.run SEED COUNT [FOLDER]`: so many random stories; the shortest bad one, if there is any.

The memo of slow answers lies beside FOLDER, for all runs that share a parent.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.model.edits import Op
from tests.model.generate import Story, stories
from tests.model.hsm import Memo
from tests.model.sequence import Sequence as Told
from tests.model.servers import Servers
from tests.support.registry import RegistryServer


@contextmanager
def stage(folder: Path, memory: Path, *, doubting: bool = False) -> Iterator[tuple[Servers, Memo]]:
    """The servers and the memo of many stories."""
    folder.mkdir(parents=True, exist_ok=True)
    with RegistryServer() as registry:
        servers = Servers(folder / "git", registry)
        (folder / "mine").symlink_to(folder / "git" / "mine")
        with Memo(memory, servers.state, doubting=doubting) as memo:
            yield servers, memo


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder in memory where there is one: half of a sync is waiting for the disk."""
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="hsm-model-", dir=memory if memory.is_dir() else None))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def tell(folder: Path, servers: Servers, count: int, ops: Sequence[Op], counts: dict[str, int] | None = None) -> None:
    """One story, of a stack that begins with `count` plain services."""
    servers.reset()
    Told(folder, servers, count, {} if counts is None else counts).play(ops)


def random_stories(number: int, count: int, folder: Path) -> dict[str, int]:
    """So many stories from a seed; AssertionError with the shortest that breaks a promise. Gives counts of what was
    done."""
    counts: dict[str, int] = {"stories": 0}
    with stage(folder, folder.parent / "memo") as (servers, memo):

        @seed(number)
        @settings(
            max_examples=count,
            database=None,
            deadline=None,
            print_blob=False,
            report_multiple_bugs=False,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
        )
        @given(stories)
        def play(story: Story) -> None:
            counts["stories"] += 1
            tell(folder, servers, *story, counts)

        play()
        counts |= {"asked": memo.asked, "remembered": memo.hits}
    return counts


def main(arguments: list[str]) -> None:
    number, count, *folder = arguments
    with scratch() as place:
        print(json.dumps(random_stories(int(number), int(count), Path(folder[0]) if folder else place / "stage")))


if __name__ == "__main__":
    main(sys.argv[1:])
