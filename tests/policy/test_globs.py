"""Patterns with `*` (configuration.md L17: `when.header`, cookies' `name`). Pure, no loop."""

from fnmatch import fnmatchcase

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corsproxy.policy.globs import Glob

pieces = st.lists(st.text("ab", max_size=3), min_size=1, max_size=5)


def joined(parts: list[str], gaps: list[str]) -> str:
    """Return `parts` with a gap between each two of them, "" where there is none left."""
    filled = [*gaps, *[""] * len(parts)]
    return "".join(
        part + gap for part, gap in zip(parts, [*filled[: len(parts) - 1], ""], strict=True)
    )


@settings(max_examples=300, deadline=None)
@given(pieces, st.lists(st.text("ab", max_size=3), max_size=4))
def test_globs_fit_what_fills_their_stars(parts: list[str], gaps: list[str]) -> None:
    """L17: a `*` stands for any characters, none included."""
    assert Glob.compile("*".join(parts)).fits(joined(parts, gaps).encode())


@settings(max_examples=300, deadline=None)
@given(pieces, st.lists(st.text("ab", max_size=3), max_size=4), st.data())
def test_globs_agree_with_a_plain_matcher(
    parts: list[str], gaps: list[str], data: st.DataObject
) -> None:
    """L17: also one letter away from what fits, and where two pieces would share letters."""
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
def test_no_letter_counts_for_two_pieces(
    pattern: str,
    value: str,
    fits: bool,  # noqa: FBT001 - a column of the table
) -> None:
    """L17: what a piece took is not there for the next one, nor for the last."""
    assert Glob.compile(pattern).fits(value.encode()) == fits == fnmatchcase(value, pattern)


@pytest.mark.parametrize("pattern", ["a?c", "[abc]", "a.c"])
def test_nothing_but_the_star_is_special(pattern: str) -> None:
    """L17: literal text else."""
    assert Glob.compile(pattern).fits(pattern.encode())
    assert not Glob.compile(pattern).fits(b"abc")


def test_stars_do_not_backtrack() -> None:
    """cors.md 13: linear in what a peer sent; a backtracking matcher would not return."""
    assert not Glob.compile("*a" * 30 + "*b").fits(b"a" * 60_000)
