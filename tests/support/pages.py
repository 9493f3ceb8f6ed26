"""Pages of docs/ that are their own tests: what a reader would write and type is written and typed, in its order.

In a page that says `<!-- these commands are run by a test -->`:

* a block whose first line names a file (`# shop/hsm.yaml`) is written there;
* of a `console` block, each line with `$` is run in the folder of the page, and must end with 0. A `cd` lasts. The
  lines below it must be among what it says, in any order; `…` stands for more. Times, digests and commits may differ;
* a comment that begins with `on the way:` holds commands that the reader need not see: it sets the stage.

The names of the page's world (registry.example, git.example, port 8080) lead to servers of the test.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

MARK = "<!-- these commands are run by a test -->"
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$|^<!-- on the way:\n(.*?)^-->$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"# ([\w./-]+)\n")
# what differs from run to run
_VAGUE = ((r"\d+(\.\d+)? s\b", "N s"), (r"\b[0-9a-f]{12}\b", "DIGEST"), (r"\b[0-9a-f]{10}\b", "COMMIT"), (r" +", " "))


@dataclass(frozen=True, slots=True)
class File:
    """A file that the page shows."""

    path: str
    text: str


@dataclass(frozen=True, slots=True)
class Command:
    """A line to type, and the lines that it is shown to say."""

    line: str
    said: tuple[str, ...] = ()


def steps(text: str) -> Iterator[File | Command]:
    """What a reader does, in the order of the page."""
    for language, block, hidden in _BLOCK.findall(text):
        if hidden:
            yield Command(hidden)
        elif language == "console":
            for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
                line, _, said = part.partition("\n")
                yield Command(line, tuple(shown for shown in said.splitlines() if shown and "…" not in shown))
        elif named := _FILE.match(block):
            yield File(named[1], block)


@dataclass
class Reader:
    """Somebody who follows a page. `names` are words of the page → those of this machine."""

    folder: Path
    environment: dict[str, str]
    names: dict[str, str] = field(default_factory=dict)
    images: str = ""  # HOST/ in front of each image, where the engine finds the stand-in

    def follow(self, text: str) -> None:
        """AssertionError at the first thing that is not as the page says."""
        for step in steps(text):
            if isinstance(step, File):
                path = self.folder / step.path
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(self.here(self.pullable(step.text)))
            else:
                self.run(step)

    def run(self, command: Command) -> None:
        """Types a line in the shell of the page."""
        told = self.folder / ".shell"
        script = f"set -e\n{self.pullable(self.here(command.line))}\npwd > {shlex.quote(str(told))}"
        at = told.read_text().strip() if told.exists() else str(self.folder)
        done = subprocess.run(
            ["bash", "-c", script], cwd=at, env=self.environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=300,
        )  # fmt: skip
        said = self.there(done.stdout)
        assert done.returncode == 0, f"$ {command.line}\n{said}"
        lines = {_vague(line) for line in said.splitlines()}
        missing = [line for line in command.said if _vague(line) not in lines]
        assert not missing, f"$ {command.line}\nis shown to say {missing}, and says\n{said}"

    def here(self, text: str) -> str:
        """The text with the names of this machine."""
        for theirs, ours in self.names.items():
            text = text.replace(theirs, ours)
        return text

    def there(self, text: str) -> str:
        """What was said, with the names of the page."""
        text = text.replace(self.images, "")
        for theirs, ours in self.names.items():
            text = text.replace(ours, theirs)
        return text.replace(f"{self.folder}{os.sep}", "")

    def pullable(self, text: str) -> str:
        return re.sub(r"(\bimage: \"?|\bFROM )(?=[a-z])", rf"\g<1>{self.images}", text)


def _vague(line: str) -> str:
    for pattern, word in _VAGUE:
        line = re.sub(pattern, word, line)
    return line.strip()
