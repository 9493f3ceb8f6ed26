"""Which of a registry's tags a range of versions means.

A range is one or more clauses, apart by commas or spaces: `^1.4`, `~16.2`, `>=1.2,<2`, `1.x`, `1.4.*`, `=1.4.0`,
`1.4.0`. `^` and `~` mean what they mean to npm and cargo. Text after a hyphen names a variant (`~16-alpine`): only tags
of the same variant match. The rules that docker tags need and version schemes do not have:

* "alpine" and "bookworm" begin like pre-releases; only what is wholly one (`rc1`, `beta`, `-alpha.2`) counts as one.
* Dates and build numbers (`20240101`) would beat every version, so a first number of 1900 or more counts only where
  the range itself has one (`2024.x`), and then up to 9999.
* A pre-release matches only if the range names one of the same version (`>=2.0-rc1` means 2.0-rc2, not 2.1-rc1).
* Of several tags for the newest version the most precise one wins: 16.10 over 16, 1.4.0 over 1.4.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from packaging.version import Version

DATES_FROM = 1900
DATES_TO = 9999
LONGEST_RANGE = 256

# A letter alone is a pre-release only with its number (1.4b2); a word also without (1.4-beta).
_NUMBER = r"[0-9]{1,18}"
_PRE = rf"(?:(?:alpha|beta|rc|preview|pre)(?:[.-]?{_NUMBER})?|[abc]{_NUMBER})"
_VERSION = rf"v?(?P<release>{_NUMBER}(?:\.{_NUMBER})*)(?:[.-]?(?P<pre>{_PRE})(?![\w.]))?(?:-(?P<variant>\w[\w.-]*))?"
_TAG = re.compile(_VERSION, re.ASCII)
_CLAUSE = re.compile(rf"(?P<sign>>=|<=|==|!=|>|<|=|\^|~)?{_VERSION}", re.ASCII)
_WILD = re.compile(rf"={{0,2}}v?(?P<release>(?:{_NUMBER}\.)*)[xX*](?:\.[xX*])*(?:-(?P<variant>\w[\w.-]*))?", re.ASCII)
_SEPARATOR = re.compile(r"\s*,\s*|\s+")
_SPACE_AFTER_SIGN = re.compile(r"([<>=!^~])\s+")
_SIGNS: dict[str, Callable[[Any, Any], bool]] = {
    ">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt,
    "==": operator.eq, "=": operator.eq, "": operator.eq, "!=": operator.ne,
}  # fmt: skip
_LOOKS = "(^1.4, ~16.2, >=1.2,<2, 1.x or =1.4.0, each also with a variant as in ~16-alpine)"


class _Range(msgspec.Struct, frozen=True):
    bounds: tuple[tuple[str, Version], ...]
    variant: str | None
    highest: int  # of the first number of a tag

    def holds(self, version: Version) -> bool:
        if version.release[0] > self.highest:
            return False
        if version.is_prerelease and not any(
            bound.is_prerelease and _trimmed(bound) == _trimmed(version) for _, bound in self.bounds
        ):
            return False
        return all(_SIGNS[sign](version, bound) for sign, bound in self.bounds)


def check_range(wanted: str) -> str | None:
    """What is wrong with the range, in one sentence; None if nothing is."""
    try:
        _parse(wanted)
    except ValueError as error:
        return str(error)
    return None


def newest(tags: Iterable[str], wanted: str) -> str | None:
    """The best match, the same for any order of the tags. Raises ValueError with the sentence of `check_range`."""
    from packaging.version import Version

    span = _parse(wanted)
    best: tuple[Version, int, bool, str] | None = None
    for tag in tags:
        match = _TAG.fullmatch(tag)
        if match is None or match["variant"] != span.variant:
            continue
        version = Version(_number(match))
        if span.holds(version):
            # 1.4.0 before v1.4.0, then by the alphabet: any rule will do, as long as there is one
            rank = (version, len(version.release), not tag.startswith("v"), tag)
            best = max(best, rank) if best else rank
    return best[3] if best else None


def _parse(wanted: str) -> _Range:
    text = _SPACE_AFTER_SIGN.sub(r"\1", wanted.strip())
    if not text or len(wanted) > LONGEST_RANGE or not wanted.isprintable():
        raise ValueError(f"this is not a range of versions {_LOOKS}")
    bounds: list[tuple[str, Version]] = []
    variants: set[str] = set()
    for clause in _SEPARATOR.split(text):
        found, variant = _clause(clause, wanted)
        bounds += found
        variants |= {variant} if variant else set()
    if len(variants) > 1:
        raise ValueError(f'"{wanted}" names more than one variant: {" and ".join(sorted(variants))}')
    dated = any(bound.release[0] >= DATES_FROM for _, bound in bounds)
    return _Range(tuple(bounds), variants.pop() if variants else None, DATES_TO if dated else DATES_FROM - 1)


def _clause(clause: str, wanted: str) -> tuple[list[tuple[str, Version]], str | None]:
    """The bounds of one clause, and the variant that it names."""
    from packaging.version import Version

    if match := _WILD.fullmatch(clause):
        release = _release(match)
        return _between(Version(".".join(map(str, release))), release) if release else [], match["variant"]
    match = _CLAUSE.fullmatch(clause)
    if match is None:
        raise ValueError(f'"{wanted}" is not a range of versions {_LOOKS}')
    sign, version, release = match["sign"] or "", Version(_number(match)), _release(match)
    if sign == "^":
        leading = next((index for index, number in enumerate(release) if number), len(release) - 1)
        return _between(version, release[: leading + 1]), match["variant"]
    if sign == "~":
        return _between(version, release[:2]), match["variant"]
    return [(sign, version)], match["variant"]


def _between(lower: Version, kept: tuple[int, ...]) -> list[tuple[str, Version]]:
    """From `lower` on, as long as the numbers that are kept stay the same."""
    from packaging.version import Version

    upper = (*kept[:-1], kept[-1] + 1)
    return [(">=", lower), ("<", Version(".".join(map(str, upper))))]


def _number(match: re.Match[str]) -> str:
    """The match without its variant, as packaging reads it."""
    return f"{match['release']}{match['pre'] or ''}"


def _release(match: re.Match[str]) -> tuple[int, ...]:
    return tuple(int(number) for number in match["release"].split(".") if number)


def _trimmed(version: Version) -> tuple[int, ...]:
    """2.0 and 2.0.0 are one version."""
    release = version.release
    while release and release[-1] == 0:
        release = release[:-1]
    return release
