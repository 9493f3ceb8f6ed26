"""The commands that are not about one stack that works: init, schema, explain, completion, doctor.

They come before anything is read, because they are asked for when something is missing or wrong.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from hsm_tasks.core.errors import mistake
from hsm_tasks.screen import report

COMPLETE = "_complete"  # asked by the completion scripts, of nobody else


def answer(argv: Sequence[str]) -> int | None:
    """The exit code of one of these commands; None where the command line is about something else."""
    variables = [word for word in argv if "=" in word and not word.startswith("-")] if argv[:1] != [COMPLETE] else []
    first = next((word for word in argv if word not in variables), "")
    if first not in _ANSWERS:
        return None
    rest = list(argv[argv.index(first) + 1 :])
    if first == "doctor":
        rest = [*(word for word in variables if word.startswith("stack=")), *(w for w in rest if w not in variables)]
    return _ANSWERS[first](rest)


def _init(words: Sequence[str]) -> int:
    from hsm_tasks.aside import init

    init.init(Path.cwd(), words, os.environ, report.say)
    return 0


def _schema(words: Sequence[str]) -> int:
    from hsm_tasks.stack import schemas

    local = list(words) in (["local"], ["--local"])
    if words and not local:
        raise mistake(f'schema does not know "{words[0]}"', "schema prints that of hsm.yaml, schema local the other")
    print(schemas.shipped(schemas.LOCAL if local else schemas.STACK), end="")
    return 0


def _explain(words: Sequence[str]) -> int:
    from hsm_tasks.aside import explain

    print(explain.explain(" ".join(words)) if words else explain.overview())
    return 0


def _completion(words: Sequence[str]) -> int:
    from hsm_tasks.aside.completion import SCRIPTS

    if len(words) != 1 or words[0] not in SCRIPTS:
        asked = f'there is no completion for "{" ".join(words)}"' if words else '"completion" needs a shell'
        raise mistake(asked, f"one of: {', '.join(SCRIPTS)}")
    print(SCRIPTS[words[0]], end="")
    return 0


def _complete(words: Sequence[str]) -> int:
    from hsm_tasks.aside.completion import complete

    print(complete(words, Path.cwd(), os.environ), end="")
    return 0


def _doctor(words: Sequence[str]) -> int:
    from hsm_tasks.aside import doctor

    stack = next((word.removeprefix("stack=") for word in words if word.startswith("stack=")), None)
    unknown = [word for word in words if word != "--json" and not word.startswith("stack=")]
    if unknown:
        raise mistake(f'doctor does not know "{unknown[0]}"', "it takes --json, and stack=NAME for one stack alone")
    checks = doctor.gather(Path.cwd(), stack, os.environ)
    print(report.as_json(doctor.as_json(checks)) if "--json" in words else report.clean(doctor.as_text(checks)))
    return 0 if doctor.healthy(checks) else 1


_ANSWERS: dict[str, Callable[[Sequence[str]], int]] = {
    "init": _init,
    "schema": _schema,
    "explain": _explain,
    "completion": _completion,
    COMPLETE: _complete,
    "doctor": _doctor,
}
