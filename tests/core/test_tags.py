"""Ranges of versions over the tags that registries really have."""

from __future__ import annotations

import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version

from hsm_tasks.core.tags import check_range, newest


def words(text: str) -> list[str]:
    return text.split()


POSTGRES = words(
    "latest alpine bookworm 9.6 9.6.24 15 15.9 16 16.1 16.2 16.9 16.10 16.11rc1 17 17beta1 17rc1 17.0 17beta1-alpine "
    "16-alpine 16.2-alpine 16.10-alpine 16.10-alpine3.20 16.3-bookworm 16-bookworm 17-alpine 20240101 1234567"
)
API = words(
    "v1.3.9 1.4 1.4.0 v1.4.0 1.4.2 1.5.0 v1.5.1 1.6.0-rc1 1.6.0-rc2 1.7.0-beta 2.0.0 2.1.0-alpha.1 0.3.0 0.3.9 0.4.0 "
    "0.0.3 0.0.4 1.5.0-alpine 1.5.2-alpine 1.5.3-slim 1.5.3-dev 1.5.4-20240101 1.2.3.4 main pr-17 sha-0a1b2c3 1.x"
)


@pytest.mark.parametrize(
    ("wanted", "tag"),
    [
        ("~16", "16.10"),
        ("^16", "16.10"),
        ("16.x", "16.10"),
        ("~16.2", "16.2"),
        ("~16.9", "16.9"),
        ("~16-alpine", "16.10-alpine"),
        ("^16-alpine3.20", "16.10-alpine3.20"),
        ("~16-bookworm", "16.3-bookworm"),
        ("~15-alpine", None),
        (">=15,<17", "16.10"),
        (">=15", "17.0"),
        ("*", "17.0"),
        ("x-alpine", "17-alpine"),
        ("^9", "9.6.24"),
        ("16", "16"),
        ("=16.10", "16.10"),
        ("~18", None),
        (">=17beta1,<17", "17rc1"),
        ("17beta1", "17beta1"),
        ("=17beta1-alpine", "17beta1-alpine"),
        (">16.9,<17", "16.10"),
        (">=16,!=16.10,<17", "16.9"),
    ],
)
def test_the_newest_postgres(wanted: str, tag: str | None) -> None:
    assert check_range(wanted) is None
    assert newest(POSTGRES, wanted) == tag


@pytest.mark.parametrize(
    ("wanted", "tag"),
    [
        ("^1.4", "v1.5.1"),
        ("^v1.4", "v1.5.1"),
        ("~1.4", "1.4.2"),
        ("1.4.*", "1.4.2"),
        ("1.4.x", "1.4.2"),
        ("==1.4.*", "1.4.2"),
        ("1.x", "v1.5.1"),
        ("1.x.x", "v1.5.1"),
        ("=1.4.0", "1.4.0"),
        ("1.4", "1.4.0"),
        ("<=1.4", "1.4.0"),
        (">=1.2,<2", "v1.5.1"),
        (">= 1.2, < 2", "v1.5.1"),
        (">=1.2 <2", "v1.5.1"),
        (">=1.2,<2,!=1.5.1", "1.5.0"),
        ("^0.3", "0.3.9"),
        ("^0.0.3", "0.0.3"),
        ("^0.0", "0.0.4"),
        ("^0", "0.4.0"),
        ("~0.3", "0.3.9"),
        ("^1.4-alpine", "1.5.2-alpine"),
        (">=1.2-alpine,<2", "1.5.2-alpine"),
        (">=1.2-alpine,<2-alpine", "1.5.2-alpine"),
        (">=1.2,<2-alpine", "1.5.2-alpine"),
        ("^1.4-dev", "1.5.3-dev"),
        ("^1.5-20240101", "1.5.4-20240101"),
        ("^1.6.0-rc1", "1.6.0-rc2"),
        ("~1.6-rc1", "1.6.0-rc2"),
        (">=1.7.0-beta,<2", "1.7.0-beta"),
        (">=2.1.0-alpha", "2.1.0-alpha.1"),
        (">=2.0-rc1", "2.0.0"),
        ("~1.2", "1.2.3.4"),
        ("^3", None),
        ("^1.4-windows", None),
    ],
)
def test_the_newest_of_our_own_image(wanted: str, tag: str | None) -> None:
    assert check_range(wanted) is None
    assert newest(API, wanted) == tag


def test_years_count_only_where_the_range_has_one() -> None:
    tags = ["2023.12", "2024.1.0", "2024.11.2", "2025.1", "1.4", "20240101", "20251231120000"]
    assert newest(tags, "2024.x") == "2024.11.2"
    assert newest(tags, ">=2024.1") == "2025.1"
    assert newest(tags, "^2023") == "2023.12"
    assert newest(tags, ">=1") == "1.4"
    assert newest(tags, "20240101") is None


def test_a_variant_and_a_pre_release_can_stand_together() -> None:
    tags = ["17rc1-alpine", "17-rc2-alpine", "17rc3", "16-alpine"]
    assert newest(tags, ">=17rc1-alpine,<18") == "17-rc2-alpine"
    assert newest(tags, ">=16-alpine") == "16-alpine"


@pytest.mark.parametrize("tag", ["1.4-rc-", "1.4-rc.", "1.4-", "1..4", "v", "1.4-rc1.2", "1.4+5", "1" * 200, "1.4\n"])
def test_odd_tags_are_passed_over(tag: str) -> None:
    assert newest([tag, "1.4.1"], "^1.4") == "1.4.1"


def test_no_tags_are_no_match() -> None:
    assert newest([], "^1.4") is None


@pytest.mark.parametrize(
    "wanted",
    [
        "", " ", "latest", "^", ">=", "^x", "~=1.4", "=>1.4", "1.x.2", ">=1.x", "!=1.*", "1 - 2", "^1.4||^2", ">=1,,<2",
        ">=1,", "1.4.", "^1.4-", "^1.4 alpine", "1" * 400, "^1.4\n,<2", "^¹", "v", "^1.4\x1b",
    ],
)  # fmt: skip
def test_a_malformed_range_is_explained(wanted: str) -> None:
    sentence = check_range(wanted)
    assert sentence is not None
    assert "^1.4, ~16.2, >=1.2,<2" in sentence
    assert sentence.isprintable()
    with pytest.raises(ValueError, match="not a range"):
        newest(["1.4"], wanted)


def test_two_variants_in_a_range_are_a_mistake() -> None:
    assert check_range(">=1-slim,<2-alpine") == '">=1-slim,<2-alpine" names more than one variant: alpine and slim'


def test_five_thousand_tags_take_no_time() -> None:
    versions = [f"{a}.{b}.{c}" for a in range(9) for b in range(20) for c in range(14)]
    tags = [*versions, *(f"{version}-alpine" for version in versions)]
    assert len(tags) > 5000
    begin = time.perf_counter()
    assert newest(tags, "^7.3-alpine") == "7.19.13-alpine"
    assert time.perf_counter() - begin < 0.5


NUMBERS = st.integers(0, 12)
SOME_TAGS = st.lists(
    st.builds(
        "{}{}{}{}".format,
        st.sampled_from(["", "v"]),
        st.lists(NUMBERS, min_size=1, max_size=4).map(lambda release: ".".join(map(str, release))),
        st.sampled_from(["", "", "", "rc1", "-beta2", "-rc.3"]),
        st.sampled_from(["", "", "", "-alpine", "-slim"]),
    )
    | st.sampled_from(["latest", "alpine", "20240101", "main"]),
    max_size=40,
)
RELEASES = st.lists(NUMBERS, min_size=1, max_size=3).map(tuple)


@given(SOME_TAGS, st.sampled_from(words("^ ~ >= < = <= >")), RELEASES, st.randoms(use_true_random=False))
def test_the_order_of_the_tags_does_not_matter(
    tags: list[str], sign: str, release: tuple[int, ...], chance: random.Random
) -> None:
    wanted = f"{sign}{'.'.join(map(str, release))}"
    shuffled = chance.sample(tags, len(tags))
    assert newest(tags, wanted) == newest(shuffled, wanted) == newest(reversed([*tags, *tags]), wanted)


@given(SOME_TAGS, st.sampled_from("^~"), RELEASES, st.sampled_from(["", "-alpine"]))
def test_the_match_is_in_the_range_and_nothing_in_the_range_is_newer(
    tags: list[str], sign: str, release: tuple[int, ...], variant: str
) -> None:
    def inside(tag: str) -> bool:
        numbers = tag.removesuffix("-alpine").removeprefix("v")
        plain = numbers.replace(".", "").isdecimal() and int(numbers.split(".")[0]) < 1900
        return plain and tag.endswith("-alpine") == bool(variant)

    def between(version: Version) -> bool:
        padded = (*version.release, 0, 0, 0)
        if sign == "~":
            kept = release[:2]
        else:
            kept = release[: next((i + 1 for i, number in enumerate(release) if number), len(release))]
        return version >= Version(".".join(map(str, release))) and padded[: len(kept)] == kept

    candidates = [tag for tag in tags if inside(tag)]
    versions = [Version(tag.removesuffix("-alpine")) for tag in candidates]
    matching = [version for version in versions if between(version)]
    found = newest(tags, f"{sign}{'.'.join(map(str, release))}{variant}")
    assert (found is None) == (not matching)
    if found is not None:
        assert found in tags
        assert Version(found.removesuffix("-alpine")) == max(matching)
