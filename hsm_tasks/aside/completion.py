"""Completion of hsm's words in bash, zsh and fish.

The scripts ask `hsm _complete WORD…` at each tab, so this must be quick: no compose, no git, no engine. What the base
has comes from the cache of the last run, else from the names in the compose files. A mistake in hsm.yaml costs nothing
but what can not be read.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from hsm_tasks.core import codes, dodofile
from hsm_tasks.core.errors import HsmError
from hsm_tasks.core.model import Stack
from hsm_tasks.core.yamltext import read
from hsm_tasks.effects import compose, files
from hsm_tasks.screen import usage
from hsm_tasks.screen.words import ABOUT_SERVICES, COMMANDS, NEEDS_NAME
from hsm_tasks.stack import workspace
from hsm_tasks.stack.scene import read_texts, stacks_of
from hsm_tasks.stack.workspace import STATE, Workspace

SHELLS = ("bash", "fish", "zsh")
_OPEN = re.compile(r"(=)[A-Z]+$| [A-Z]+$")  # what a person puts there
_STEPS = ("info", "forget", "clean", "ignore", "reset-dep")
_OWN = {"list": "every command and step", "info": "info STEP  one step, and whether it is stale",
        "forget": "forget what was remembered of steps", "clean": "remove what hsm generated",
        "help": "help WORD"}  # fmt: skip
_ALONE = {"--help": "the words", "--version": "of hsm"}


class Names(msgspec.Struct, frozen=True):
    """What words may be about, in one stack of a workspace."""

    stacks: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    buildable: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    many: tuple[str, ...] = ()
    checkouts: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    own: tuple[str, ...] = ()


def complete(words: Sequence[str], folder: Path, environ: Mapping[str, str]) -> str:
    """The words that the last of `words` can become: a line each, with a tab and what it means."""
    found = candidates(words, _names(folder, words, environ))
    return "".join(f"{word}\t{text}\n" for word, text in found if word.startswith(words[-1] if words else ""))


def candidates(words: Sequence[str], names: Names) -> Iterator[tuple[str, str]]:
    """All that could stand in the place of the last word, whatever of it is there already."""
    current, before = words[-1] if words else "", [word for word in words[:-1] if not word.startswith("-")]
    head, colon, _ = current.partition(":")
    first = next((word.partition(":")[0] for word in before if "=" not in word), "")
    if current.startswith("stack="):
        yield from ((f"stack={name}", "") for name in names.stacks)
    elif current.startswith("target="):
        yield from ((f"target={name}", "") for name in names.targets)
    elif current.startswith("frozen="):
        yield from (("frozen=yes", "fail if hsm.lock would change"), ("frozen=no", ""))
    elif first in _AFTER:
        yield from _AFTER[first](names)
    elif current.startswith("-"):
        taken = usage.options(first) if first in COMMANDS else usage.RUN
        yield from ((_OPEN.sub(r"\1", name), text) for name, text in {**taken, **({} if first else _ALONE)}.items())
    elif colon:
        yield from ((f"{head}:{name}", "") for name in _about(head, names))
    else:
        yield from _heads(names)


def _heads(names: Names) -> Iterator[tuple[str, str]]:
    for head, text in {**COMMANDS, **_OWN}.items():
        form, gap, said = text.partition("  ")
        if head not in NEEDS_NAME:
            yield head, said if gap else text
        if any(_about(head, names)):
            yield f"{head}:", said if gap else form
    yield from ((name, "of your dodo.py") for name in names.own)
    yield from (("stack=", "which stack"), ("target=", "where to"), ("frozen=", "whether hsm.lock must not change"))


def _about(head: str, names: Names) -> Iterable[str]:
    everything = (*names.services, *names.aliases)
    return {
        **dict.fromkeys((*ABOUT_SERVICES, "prod"), everything),
        "dev": names.buildable,
        "use": names.options,
        "unuse": names.many,
        "build": (*names.buildable, *names.aliases),
        "clone": names.checkouts,
    }.get(head, ())


def _steps(names: Names) -> Iterator[tuple[str, str]]:
    yield from ((name, "of your dodo.py") for name in names.own)
    yield from ((step, "") for step in ("lock", "merge", "check"))
    for head in ("clone", "resolve", "render", "build", "up"):
        listed = names.services if head != "clone" else names.checkouts
        yield from ((f"{head}:{name}", "") for name in listed)


_AFTER = {
    "help": lambda names: (*COMMANDS.items(), *((name, "of your dodo.py") for name in names.own)),
    "completion": lambda names: ((shell, "") for shell in SHELLS),
    "schema": lambda names: iter((("local", "of hsm.local.yaml"),)),
    "explain": lambda names: ((code, entry.title) for code, entry in codes.CODES.items()),
    "compose": lambda names: iter(()),
    "init": lambda names: iter(()),
    **dict.fromkeys(_STEPS, _steps),
}


# --- the names that there are -----------------------------------------------------------------------------------


def _names(folder: Path, words: Sequence[str], environ: Mapping[str, str]) -> Names:
    with contextlib.suppress(HsmError):
        here = workspace.find(folder)
        asked = next((word.removeprefix("stack=") for word in words[:-1] if word.startswith("stack=")), None)
        try:
            name = here.pick(asked, environ)
        except HsmError:
            return Names(stacks=tuple(here.stacks))
        return _of_stack(here, name, environ)
    return Names()


def _of_stack(here: Workspace, name: str, environ: Mapping[str, str]) -> Names:
    stack = Stack(name=None, compose=None, compose_is_list=False, services={}, groups={})
    with contextlib.suppress(HsmError):
        stack = stacks_of(read_texts(here, name))[0]
    base = _cached(here, name) or _written(here, name, stack, environ)
    groups = stack.groups.values()
    services = {*base, *stack.services}
    own = stack.services.values()
    dev = {service.name for service in own if service.repository or service.dev.build or service.mode == "dev"}
    return Names(
        stacks=tuple(here.stacks),
        services=tuple(sorted(services)),
        buildable=tuple(sorted(dev | {key for key, keys in base.items() if "build" in keys})),
        aliases=tuple(sorted(group.alias for group in groups if group.alias)),
        options=tuple(sorted(option for group in groups for option in group.names)),
        many=tuple(sorted(option for group in groups if group.strategy == "M-of-N" for option in group.names)),
        checkouts=tuple(sorted({service.repository.name for service in own if service.repository})),
        targets=tuple(sorted({*here.settings.targets, *stack.targets})),
        own=_own(here),
    )


def _own(here: Workspace) -> tuple[str, ...]:
    """The user's tasks by the names of their functions: dodo.py is not run for a tab."""
    with contextlib.suppress(HsmError):
        text = files.read_if_there(here.root / "dodo.py") or ""
        return dodofile.task_names(text) if dodofile.is_door(text) else ()
    return ()


def _cached(here: Workspace, name: str) -> Mapping[str, Any]:
    """The services of the base as compose read it last."""
    with contextlib.suppress(HsmError, msgspec.MsgspecError):
        text = files.read_own(here.root / STATE / name / "base.json") or ""
        tree = msgspec.json.decode(text.partition("\n")[2] or "{}", type=dict[str, Any])
        return tree.get("services") or {}
    return {}


def _written(here: Workspace, name: str, stack: Stack, environ: Mapping[str, str]) -> Mapping[str, Any]:
    """The services that the compose files name themselves: enough until the first sync."""
    found: dict[str, Any] = {}
    with contextlib.suppress(HsmError):
        folder = here.root / here.stacks[name]
        for path in compose.base_files(folder, stack.compose, stack.compose_is_list, environ):
            tree, _ = read(files.read(path), str(path))
            services = tree.get("services") if isinstance(tree, Mapping) else None
            named = services.items() if isinstance(services, Mapping) else ()
            found |= {key: keys or {} for key, keys in named}
    return found


# --- the scripts ------------------------------------------------------------------------------------------------

_BASH = r"""# bash: eval "$(hsm completion bash)", in ~/.bashrc. For doit as well: complete -o default -F _hsm doit
_hsm() {
    local line=${COMP_LINE:0:COMP_POINT} words current breaks="" cut="" found
    read -ra words <<< "$line"
    [[ $line == *[[:space:]] ]] && words+=("")
    current=${words[${#words[@]}-1]}
    # bash cuts words at these, and puts back only what comes after the last of them
    [[ $COMP_WORDBREAKS == *:* ]] && breaks+=:
    [[ $COMP_WORDBREAKS == *=* ]] && breaks+==
    [[ $breaks && $current == *[$breaks]* ]] && cut=${current%"${current##*[$breaks]}"}
    COMPREPLY=()
    while IFS=$'\t' read -r found _; do
        COMPREPLY+=("${found#"$cut"}")
        [[ $found == *[:=] ]] && compopt -o nospace 2>/dev/null
    done < <(hsm _complete "${words[@]:1}" 2>/dev/null)
}
complete -o default -F _hsm hsm
"""
_ZSH = r"""#compdef hsm
# zsh: eval "$(hsm completion zsh)", in ~/.zshrc after compinit. For doit as well: compdef _hsm doit
_hsm() {
    local line word text
    local -a whole open
    for line in "${(@f)$(hsm _complete "${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
        word=${line%%$'\t'*} text=${line#*$'\t'}
        [[ -n $word ]] || continue
        word=${word//:/\\:}${text:+:$text}
        if [[ ${line%%$'\t'*} == *[:=] ]]; then open+=("$word"); else whole+=("$word"); fi
    done
    (( $#whole + $#open )) || { _files; return }
    _describe -t words word whole -- open -S ''
}
compdef _hsm hsm
"""
_FISH = r"""# fish: hsm completion fish > ~/.config/fish/completions/hsm.fish
complete -c hsm -f -a '(hsm _complete (commandline -opc)[2..-1] (commandline -ct) 2>/dev/null)'
complete -c hsm -n '__fish_seen_subcommand_from init' -F
"""
SCRIPTS = {"bash": _BASH, "fish": _FISH, "zsh": _ZSH}
