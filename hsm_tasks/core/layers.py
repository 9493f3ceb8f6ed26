"""Two ways to lay one tree over another. The trees stay as they are; the result may share their parts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

# What compose writes as a list or as a mapping, with what a bare name in the list stands for.
_PAIRS: Final = frozenset({"environment", "labels", "annotations", "sysctls", "args"})
_NAMES: Final[dict[str, Any]] = {"depends_on": {"condition": "service_started"}, "networks": None}
# A command is one value, although it is a list: compose's own merge replaces it too.
_ONE_VALUE: Final = frozenset({"command", "entrypoint", "test"})


def overlay(under: Any, over: Any) -> Any:
    """Files over files: mappings by key, anything else replaced. A key without a value does not take a mapping away."""
    if not isinstance(under, Mapping):
        return over
    if not isinstance(over, Mapping):
        return under if over is None else over
    return {**under, **{key: overlay(under[key], value) if key in under else value for key, value in over.items()}}


def append(under: Any, over: Any, key: str = "") -> Any:
    """A service over `defaults`: mappings by key, lists appended. `key` is the one that the two stand behind."""
    if over is None and isinstance(under, Mapping | list):
        return under
    if isinstance(under, Mapping) != isinstance(over, Mapping):
        under, over = _long(under, key), _long(over, key)
    if isinstance(under, Mapping) and isinstance(over, Mapping):
        both = {name: append(under[name], value, name) for name, value in over.items() if name in under}
        return {**under, **over, **both}
    if isinstance(under, list) and isinstance(over, list) and key not in _ONE_VALUE:
        return [*under, *over]
    return over


def _long(tree: Any, key: str) -> Any:
    """The form as a mapping, where there is one."""
    if isinstance(tree, str) and key == "build":
        return {"context": tree}
    if isinstance(tree, list) and key in _PAIRS:
        return {name: value if equals else None for name, equals, value in (str(item).partition("=") for item in tree)}
    if isinstance(tree, list) and key in _NAMES:
        return {str(name): _NAMES[key] for name in tree}
    return tree
