"""What a bundle asks of docker compose: to put base and override together as they are written, and to judge a file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hsm_tasks.effects.compose import AS_WRITTEN, ask


def rendered(files: Sequence[Path], folder: Path, override: str, env: Mapping[str, str] | None = None) -> Any:
    """The model of the base with the text of an override over it: tags resolved, no value filled in, no path resolved.

    It needs no engine, and has every service, whatever its profiles.
    """
    named = [word for file in files for word in ("-f", str(file))]
    argv = ("docker", "compose", *named, "-f", "-", *AS_WRITTEN)
    explain = "compose can not put the stack and its override together"
    done = ask(*argv, cwd=folder, env=env, text_in=override, explain=explain)
    return json.loads(done.out)


def judge(text: str, folder: Path) -> None:
    """CommandFailed where compose does not accept the text as a compose file."""
    argv = ("docker", "compose", "-f", "-", "--project-directory", ".", *AS_WRITTEN[:-2], "-q")
    explain = "compose refuses the bundle"
    ask(*argv, cwd=folder, text_in=text, explain=explain)
