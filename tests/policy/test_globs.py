"""Patterns with `*` (config.md `when.header`, cookies' `name`). Pure, no loop."""

from fnmatch import fnmatchcase

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corsproxy.policy.globs import Glob


@settings(max_examples=300, deadline=None)
@given(st.text("ab*", max_size=6), st.text("ab", max_size=8))
def test_globs_agree_with_a_plain_matcher(pattern: str, value: str) -> None:
    """config.md: a `*` stands for any characters, or none."""
    assert Glob.compile(pattern).fits(value.encode()) == fnmatchcase(value, pattern)


@pytest.mark.parametrize(
    ("pattern", "value"),
    [
        ("a*a", "a"),
        ("ab*ba", "aba"),
        ("*a*a", "a"),
        ("a*a*", "a"),
        ("a*b*a", "aba"),
        ("a*b*a", "aa"),
        ("*ab*ba*", "aba"),
        ("*aa*a*", "aa"),
        ("a*b*b", "ab"),
        ("a*b", "ac"),
        ("a*b", "cb"),
        ("a*", "ba"),
        ("*a", "ab"),
        ("*", ""),
        ("a*a", "aa"),
        ("**", "a"),
        ("", ""),
        ("", "a"),
    ],
)
def test_the_pieces_of_a_pattern_share_no_byte(pattern: str, value: str) -> None:
    """config.md: what one piece has matched is behind the next one: `a*a` takes two of them."""
    assert Glob.compile(pattern).fits(value.encode()) == fnmatchcase(value, pattern)


@pytest.mark.parametrize("pattern", ["a?c", "[abc]", "a.c"])
def test_nothing_but_the_star_is_special(pattern: str) -> None:
    """config.md: literal text else."""
    assert Glob.compile(pattern).fits(pattern.encode())
    assert not Glob.compile(pattern).fits(b"abc")


def test_stars_do_not_backtrack() -> None:
    """cors.md 13: linear in what a peer sent; a backtracking matcher would not return."""
    assert not Glob.compile("*a" * 30 + "*b").fits(b"a" * 60_000)
