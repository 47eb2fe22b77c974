"""Patterns with `*` (configuration.md L17: `when.header`, cookies' `name`). Pure, no loop."""

from fnmatch import fnmatchcase

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corsproxy.policy.globs import Glob

pieces = st.lists(st.text("ab", max_size=3), min_size=1, max_size=5)


def joined(parts: list[str], gaps: list[str]) -> str:
    """Return `parts` joined by `gaps`; a missing gap is ""."""
    filled = [*gaps, *[""] * len(parts)]
    return "".join(
        part + gap for part, gap in zip(parts, [*filled[: len(parts) - 1], ""], strict=True)
    )


@settings(max_examples=300, deadline=None)
@given(pieces, st.lists(st.text("ab", max_size=3), max_size=4))
def test_a_star_matches_any_characters(parts: list[str], gaps: list[str]) -> None:
    """L17: `*` matches any characters, including none."""
    assert Glob.compile("*".join(parts)).fits(joined(parts, gaps).encode())


@settings(max_examples=300, deadline=None)
@given(pieces, st.lists(st.text("ab", max_size=3), max_size=4), st.data())
def test_globs_agree_with_a_plain_matcher(
    parts: list[str], gaps: list[str], data: st.DataObject
) -> None:
    """L17: also one letter away from a match, and if two pieces would overlap."""
    pattern, value = "*".join(parts), joined(parts, gaps)
    at = data.draw(st.integers(0, len(value)))
    value = value[:at] + data.draw(st.sampled_from(["", "a", "b"])) + value[at + 1 :]
    assert Glob.compile(pattern).fits(value.encode()) == fnmatchcase(value, pattern)


@pytest.mark.parametrize(
    ("pattern", "value", "fits"),
    [
        ("ab*ba", "abba", True),
        ("ab*ba", "aba", False),
        ("a*a", "aa", True),
        ("a*a", "a", False),
        ("aba*aba", "ababa", False),
        ("a*b*b", "abb", True),
        ("a*b*b", "ab", False),
        ("a*ab*b", "aab", False),
        ("a*ba*ab", "abab", False),
        ("ab*b*", "ab", False),
        ("*ab*ab*", "abab", True),
        ("*ab*ba*", "aba", False),
        ("a**a", "aa", True),
        ("*", "", True),
        ("**", "", True),
        ("*a", "ab", False),
        ("a*", "ba", False),
        ("", "", True),
        ("", "a", False),
        ("a", "aa", False),
        ("*a*a", "a", False),
        ("a*a*", "a", False),
        ("a*b*a", "aba", True),
        ("a*b*a", "aa", False),
        ("*aa*a*", "aa", False),
        ("a*b", "ac", False),
        ("a*b", "cb", False),
    ],
)
def test_pieces_do_not_overlap(
    pattern: str,
    value: str,
    fits: bool,  # noqa: FBT001 - a column of the table
) -> None:
    """L17: what a piece matches is not available to the next or the last one."""
    assert Glob.compile(pattern).fits(value.encode()) == fits == fnmatchcase(value, pattern)


@pytest.mark.parametrize("pattern", ["a?c", "[abc]", "a.c"])
def test_nothing_but_the_star_is_special(pattern: str) -> None:
    """L17: everything else is literal."""
    assert Glob.compile(pattern).fits(pattern.encode())
    assert not Glob.compile(pattern).fits(b"abc")


def test_stars_do_not_backtrack() -> None:
    """cors.md 13: linear in the input; a backtracking matcher would practically not return."""
    assert not Glob.compile("*a" * 30 + "*b").fits(b"a" * 60_000)
