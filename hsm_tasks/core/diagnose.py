"""All the places where a tree is not of the form that `schema` wants, and the tree without them.

msgspec stops at the first mistake and does not name the keys, so this looks again, with jsonschema and the schema that
msgspec itself exports. Only reached after a failure.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from hsm_tasks.core.model import Tree
from hsm_tasks.core.schema import LOCAL_HINT, LocalFile, Raw
from hsm_tasks.core.yamlread import Path


class Mistake(NamedTuple):
    """`path` is the key that is wrong, and what must go for the rest to make sense."""

    path: Path
    message: str
    hint: str = ""
    unknown_key: bool = False
    meant: Path | None = None  # the key that was probably meant, and is missing now


_NOUNS: Final = {"mode": "a mode", "strategy": "a strategy"}
_KINDS: Final = {
    "object": "a mapping",
    "array": "a list",
    "string": "text",
    "integer": "a whole number",
    "boolean": "true or false",
}
_IMAGE: Final = "an image is what prod runs: put it under prod"
_BUILD: Final = "a build from sources is what dev does: put it under dev"
# Keys that have a meaning elsewhere: where they stand, and what to do instead.
_MISPLACED: Final[dict[tuple[str, str], str]] = {
    ("dev", "image"): _IMAGE,
    ("dev", "version"): _IMAGE,
    ("dev", "limits"): "put it under prod; compose's own words for dev are mem_limit, cpus and pids_limit",
    ("dev", "replicas"): "put it under prod; compose's own word for dev is scale",
    ("prod", "build"): _BUILD,
    ("prod", "develop"): _BUILD,
    ("prod", "watch"): _BUILD,
    ("prod", "rebuild"): _BUILD,
    ("repo", "path"): "a checkout of your own is named in hsm.local.yaml",
    ("repo", "branch"): 'the word is "ref", for a branch, a tag or a commit',
    ("repo", "tag"): 'the word is "ref", for a branch, a tag or a commit',
    ("repo", "commit"): 'the word is "ref", for a branch, a tag or a commit',
}


def diagnose(tree: Tree, model: type[Raw]) -> list[Mistake]:
    """Every mistake of form, in no particular order."""
    found: list[Mistake] = []
    for error in _errors(tree, model):
        path = tuple(error.absolute_path)
        if error.validator == "additionalProperties":
            known = sorted(error.schema["properties"])
            free = [key for key in known if key not in error.instance]
            found += [_unknown((*path, key), known, free, model) for key in error.instance if key not in known]
        else:
            found.append(_wrong_value(path, error))
    return found


def prune(tree: Tree, paths: Iterable[Path]) -> Tree:
    """A copy without what stands at the paths."""
    heads: dict[str | int, list[Path]] = {}
    for path in paths:
        if not path:
            return {}
        heads.setdefault(path[0], []).append(path[1:])
    if isinstance(tree, Mapping):
        return {key: prune(value, heads.get(key, ())) for key, value in tree.items() if () not in heads.get(key, ())}
    if isinstance(tree, list):
        kept = (index for index in range(len(tree)) if () not in heads.get(index, ()))
        return [prune(tree[index], heads.get(index, ())) for index in kept]
    return tree


def closest(word: str, known: Iterable[str]) -> str | None:
    """The known word that was probably meant."""
    candidates = sorted(known)
    near = difflib.get_close_matches(word, candidates, 1, 0.6)
    return near[0] if near else next((name for name in candidates if name.lower() == word.lower()), None)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint, or "" if nothing is near."""
    near = closest(word, known)
    return f'did you mean "{near}"?' if near else ""


def shown(value: Tree) -> str:
    """A value as messages name it."""
    if value is None:
        return "nothing"
    if isinstance(value, Mapping):
        return "a mapping"
    return "a list" if isinstance(value, list) else json.dumps(value, ensure_ascii=False)


def _unknown(path: Path, known: list[str], free: list[str], model: type[Raw]) -> Mistake:
    """`known` keys might stand here, of which those that are `free` do not yet."""
    key = str(path[-1])
    near = closest(key, free) or closest(key, known)
    meant = (*path[:-1], near) if near in free else None
    misplaced = _MISPLACED.get((str(path[-2]) if len(path) > 1 else "", key))
    if model is LocalFile and path[-2:-1] != ("dev",):
        hint = f'did you mean "{near}"?' if near else LOCAL_HINT
        return Mistake(path, "hsm.local.yaml may not set this", hint, True, meant)
    if misplaced:
        return Mistake(path, "the key has no meaning here", misplaced, True)
    all_known = f"known here: {', '.join(known)}" if len(known) < 12 else ""
    hint = f'did you mean "{near}"?' if near else all_known
    return Mistake(path, "unknown key", hint, True, meant)


def _wrong_value(path: Path, error: Any) -> Mistake:
    value = error.instance
    words = next((part["enum"] for part in _branches(error.schema) if "enum" in part), None)
    if words:
        noun = _NOUNS.get(str(path[-1]), "right here")
        hint = did_you_mean(value, words) if isinstance(value, str) else ""
        return Mistake(path, f"{shown(value)} is not {noun} ({' or '.join(words)})", hint)
    kinds = [_KINDS[part["type"]] for part in _branches(error.schema) if part.get("type") in _KINDS]
    if isinstance(value, str) and kinds and set(kinds) <= {_KINDS["boolean"], _KINDS["integer"]}:
        return Mistake(path, f"{shown(value)} is not {' or '.join(kinds)}")
    hint = "write repo: {url: ...}" if path[-1:] == ("repo",) and isinstance(value, str) else ""
    return Mistake(path, f"must be {' or '.join(kinds)}, not {shown(value)}", hint)


def _branches(schema: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The alternatives of an anyOf; a reference stands for a struct, which is a mapping."""
    parts = schema.get("anyOf", [schema])
    return [{"type": "object"} if "$ref" in part else part for part in parts]


def _errors(tree: Tree, model: type[Raw]) -> Iterator[Any]:
    from jsonschema import Draft202012Validator, validators  # type: ignore[import-untyped, unused-ignore]

    reads: dict[str, Callable[[Any, Any], bool]] = {"integer": _is_integer, "boolean": _is_boolean}
    checker = Draft202012Validator.TYPE_CHECKER.redefine_many(reads)
    validator = validators.extend(Draft202012Validator, type_checker=checker)  # type: ignore[no-untyped-call, unused-ignore]
    for error in validator(msgspec.json.schema(model)).iter_errors(tree):
        yield from _leaves(error)


def _leaves(error: Any) -> Iterator[Any]:
    """The errors of the one alternative whose kind fits the value; the error itself if none does."""
    branches: dict[Any, list[Any]] = {}
    for below in error.context or ():
        branches.setdefault(below.relative_schema_path[0], []).append(below)
    for belows in branches.values():
        if not any(below.validator == "type" and not below.relative_path for below in belows):
            for below in belows:
                yield from _leaves(below)
            return
    yield error


# Every scalar is text here, so the schema's other kinds are told from the text, as msgspec tells them.


def _is_integer(_checker: Any, value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"-?(0|[1-9][0-9]*)", value) is not None


def _is_boolean(_checker: Any, value: Any) -> bool:
    return isinstance(value, str) and value.lower() in {"true", "false", "1", "0"}
