"""What a dodo.py says, without running it: whether it is a door to hsm, and whether it says anything besides."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator

DOOR = "hsm_tasks.door"
_OURS = (DOOR, "hsm_tasks.api", "__future__")
_PREFIX = "task_"


def is_door(text: str) -> bool:
    """Whether it has the import line of hsm: another dodo.py is none of our business, and is never run.

    One that Python can not read, but that speaks of it, is meant to be one.
    """
    door = ast.ImportFrom(module=DOOR, names=[], level=0)
    statements = _statements(text, broken=door if DOOR in text else None)
    return any(isinstance(one, ast.ImportFrom) and one.module == DOOR for one in statements)


def is_bare(text: str) -> bool:
    """Whether it is the import line and nothing else: then there is nothing in it to run."""
    ours = (DOOR, "__future__")
    return all(_is_import_of(one, ours) or _is_words(one) for one in _statements(text, broken=ast.Pass()))


def is_quiet(text: str) -> bool:
    """Whether to run it does no more than to define things: then no sync can depend on it.

    Definitions without decorators, constants, imports of ours and of the standard library.
    """
    return all(_only_defines(one) for one in _statements(text, broken=ast.Pass()))


def task_names(text: str) -> tuple[str, ...]:
    """The names that its `task_` functions have, also those that it imports."""
    found = []
    for one in _statements(text):
        if isinstance(one, ast.FunctionDef):
            found.append(one.name)
        elif isinstance(one, ast.ImportFrom):
            found += [alias.asname or alias.name for alias in one.names]
    return tuple(name.removeprefix(_PREFIX) for name in found if name.startswith(_PREFIX) and name != _PREFIX)


def _statements(text: str, broken: ast.stmt | None = None) -> Iterator[ast.stmt]:
    """The statements of the file; `broken` for one that Python can not read."""
    try:
        yield from ast.parse(text).body
    except (SyntaxError, ValueError):
        if broken is not None:
            yield broken


def _only_defines(one: ast.stmt) -> bool:
    if isinstance(one, ast.FunctionDef):
        return not one.decorator_list and all(map(_is_constant, (*one.args.defaults, *one.args.kw_defaults)))
    if isinstance(one, ast.Assign):  # DOIT_CONFIG may say what `doit` alone means
        names = [target.id for target in one.targets if isinstance(target, ast.Name)]
        return len(names) == len(one.targets) and "DOIT_CONFIG" not in names and _is_constant(one.value)
    return _is_import_of(one, _OURS) or _is_import_of_library(one) or _is_words(one)


def _is_import_of(one: ast.stmt, modules: tuple[str, ...]) -> bool:
    return isinstance(one, ast.ImportFrom) and one.level == 0 and one.module in modules


def _is_import_of_library(one: ast.stmt) -> bool:
    if isinstance(one, ast.ImportFrom):
        return one.level == 0 and (one.module or "").partition(".")[0] in sys.stdlib_module_names
    names = one.names if isinstance(one, ast.Import) else ()
    return bool(names) and all(name.name.partition(".")[0] in sys.stdlib_module_names for name in names)


def _is_words(one: ast.stmt) -> bool:
    return isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant)


def _is_constant(value: ast.expr | None) -> bool:
    if isinstance(value, ast.List | ast.Tuple | ast.Set):
        return all(map(_is_constant, value.elts))
    if isinstance(value, ast.Dict):
        return all(map(_is_constant, (*value.keys, *value.values)))
    return value is None or isinstance(value, ast.Constant)
