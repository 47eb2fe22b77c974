"""Text from peers is escaped before it reaches a terminal: cors.md 69."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corsproxy.policy.printable import (
    json_text,
    printable,
    printable_lines,
)
from tests.support.hostile import DANGEROUS, READABLE, dangerous_in

anything = st.text(st.characters(codec=None))
values = st.recursive(anything, lambda one: st.lists(one) | st.dictionaries(anything, one))


@pytest.mark.parametrize("char", DANGEROUS, ids=ascii)
def test_an_unprintable_character_becomes_an_escape(char: str) -> None:
    """cors.md 69: C0, DEL, C1, bidirectional controls, surrogates: in text, and in JSON."""
    assert printable(f"a{char}b") == f"a{ascii(char)[1:-1]}b"
    assert json_text(f"a{char}b").isprintable()


def test_letters_of_all_scripts_are_left_alone() -> None:
    """é and 漢 stay what they are, in text and in JSON that people read."""
    assert printable(READABLE) == printable_lines(READABLE) == READABLE
    assert json_text("é漢→") == '"é漢→"'


@given(anything)
def test_text_never_contains_unprintable_characters(text: str) -> None:
    """cors.md 69: it can be encoded; `printable_lines` keeps only line ends and tabs."""
    assert printable(text).isprintable()
    lines = printable_lines(text)
    assert dangerous_in(lines.replace("\t", "")) == []
    assert (lines.count("\n"), lines.count("\t")) == (text.count("\n"), text.count("\t"))
    lines.encode()


@given(values, st.sampled_from([None, 2]))
def test_json_parses_back_to_the_same_value(value: object, indent: int | None) -> None:
    """cors.md 69: escapes do not change the parsed value."""
    shown = json_text(value, indent=indent)
    assert dangerous_in(shown) == []
    assert json.loads(shown) == json.loads(json.dumps(value))
