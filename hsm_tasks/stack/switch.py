"""The switch words: `dev:`, `prod:`, `use:`, `unuse:` become edits of hsm.local.yaml, all of them or none."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from hsm_tasks.core import choose
from hsm_tasks.core.errors import mistake
from hsm_tasks.core.localfile import set_mode, set_selection
from hsm_tasks.core.model import Base, Group, Mode, Stack
from hsm_tasks.screen.words import SWITCHES, Word, bare, there_are
from hsm_tasks.stack.scene import Texts


def switched(words: Sequence[Word], texts: Texts, stack: Stack, base: Base) -> str | None:
    """The text of hsm.local.yaml after the words; None where they change nothing. ConfigError names what there is."""
    old = texts.local.text if texts.local else ""
    text, switches = old, [word for word in words if word.head in SWITCHES]
    for word in switches:
        text, stack = _apply(word, text, stack, base)
    undone = [word for word in switches if _apply(word, text, stack, base)[0] != text]
    if undone:
        last = ", ".join(map(str, switches))
        raise mistake(f'"{undone[0]}" does not hold after the words behind it: {last}', "say those that you want")
    return text if text != old else None


def _apply(word: Word, text: str, stack: Stack, base: Base) -> tuple[str, Stack]:
    match word.head:
        case "dev" | "prod" as mode:
            return _mode(word, mode, text, stack, base)
        case _:
            return _select(word, text, stack)


def _mode(word: Word, mode: Mode, text: str, stack: Stack, base: Base) -> tuple[str, Stack]:
    name = _service(word, stack, base)
    service = stack.services[name]
    if service.mode == mode:
        return text, stack
    return set_mode(text, name, mode), _changed(stack, name, mode)


def _changed(stack: Stack, name: str, mode: Mode) -> Stack:

    service = replace(stack.services[name], mode=mode)
    return replace(stack, services={**stack.services, name: service})


def _service(word: Word, stack: Stack, base: Base) -> str:
    """The service that is meant, by its name or by the alias of its group."""
    chosen, _ = choose.choose(stack, base)
    own = word.name in stack.services or word.name in base.services
    name = word.name if own else chosen.targets.get(word.name) or word.name
    if not word.name:
        raise bare(word, stack.services)
    if name in stack.services:
        return name
    if name in base.services:
        hint = f"name it there: services: {{{name}: {{repo: …}}}}"
        raise mistake(f'hsm.yaml does not name the service "{name}", so it has no modes', hint)
    raise there_are(str(word), [f"{word.head}:{known}" for known in stack.services])


def _select(word: Word, text: str, stack: Stack) -> tuple[str, Stack]:
    group = _group(word, stack.groups.values())
    one = group.strategy == "1-of-N"
    if word.head == "unuse" and one:
        others = ", ".join(f"use:{name}" for name in group.names if name != word.name)
        raise mistake(f'"{group.name}" has always one option selected', f"choose another: {others}")
    rest = tuple(name for name in group.selection if name != word.name)
    if word.head == "unuse":
        selection = rest
    elif one:
        selection = (word.name,)
    else:
        selection = group.selection if word.name in group.selection else (*rest, word.name)
    if selection == group.selection:
        return text, stack

    chosen = replace(group, selection=selection)
    stack = replace(stack, groups={**stack.groups, group.name: chosen})
    return set_selection(text, group.name, selection, one), stack


def _group(word: Word, groups: Iterable[Group]) -> Group:
    options = {name: group for group in groups for name in group.names}
    if not word.name:
        raise bare(word, options)
    if word.name not in options:
        raise there_are(str(word), [f"{word.head}:{name}" for name in options])
    return options[word.name]


