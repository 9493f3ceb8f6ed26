"""The commands that are not about one stack that works: init, schema, explain, completion, doctor.

They come before anything is read, because they are asked for when something is missing or wrong.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from hsm_tasks import report
from hsm_tasks.core.errors import mistake

COMPLETE = "_complete"  # asked by the completion scripts, of nobody else


def answer(argv: Sequence[str]) -> int | None:
    """The exit code of one of these commands; None where the command line is about something else."""
    words = [word for word in argv if word.startswith("-") or "=" not in word] if argv[:1] != [COMPLETE] else list(argv)
    if not words or words[0] not in _ANSWERS:
        return None
    if words[0] == "doctor":
        stack = next((word.removeprefix("stack=") for word in argv if word.startswith("stack=")), None)
        return _doctor(words[1:], stack)
    return _ANSWERS[words[0]](words[1:])


def _init(words: Sequence[str]) -> int:
    from hsm_tasks import init

    init.init(Path.cwd(), words, os.environ, report.say)
    return 0


def _schema(words: Sequence[str]) -> int:
    from hsm_tasks import schemas

    local = list(words) in (["local"], ["--local"])
    if words and not local:
        raise mistake(f'schema does not know "{words[0]}"', "schema prints that of hsm.yaml, schema local the other")
    print(schemas.shipped(schemas.LOCAL if local else schemas.STACK), end="")
    return 0


def _doctor(words: Sequence[str], stack: str | None) -> int:
    from hsm_tasks import doctor

    unknown = [word for word in words if word != "--json"]
    if unknown:
        raise mistake(f'doctor does not know "{unknown[0]}"', "it takes --json, and stack=NAME for one stack alone")
    checks = doctor.gather(Path.cwd(), stack, os.environ)
    text = json.dumps(doctor.as_json(checks), indent=2) if words else doctor.as_text(checks)
    print(report.clean(text))
    return 0 if doctor.healthy(checks) else 1


_ANSWERS: dict[str, Callable[[Sequence[str]], int]] = {
    "init": _init,
    "schema": _schema,
    "doctor": lambda words: _doctor(words, None),
}
