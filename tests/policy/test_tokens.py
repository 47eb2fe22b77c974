"""Tokens and lists of field values (RFC 9110 5.6). Pure, no loop."""

import pytest

from corsproxy.policy.tokens import is_token, is_token_text, list_elements


@pytest.mark.parametrize("text", [b"GET", b"x-a", b"!#$%&'*+-.^_`|~09azAZ"])
def test_a_token_has_token_characters_only(text: bytes) -> None:
    """RFC 9110 5.6.2: letters, digits and fifteen marks."""
    assert is_token(text)
    assert is_token_text(text.decode())


@pytest.mark.parametrize("text", ["", "a b", "a,b", "a:b", "a\t", '"a"', "a\n", "é", "a/b"])
def test_everything_else_is_not_a_token(text: str) -> None:
    """Nothing, white space, delimiters, controls and what is not ASCII."""
    assert not is_token(text.encode())
    assert not is_token_text(text)


@pytest.mark.parametrize(
    ("lines", "elements"),
    [
        ([], []),
        ([b""], []),
        ([b"a"], [b"a"]),
        ([b"a, \tb ,,c\t"], [b"a", b"b", b"c"]),
        ([b"a,", b"", b" , ", b"b"], [b"a", b"b"]),
        ([b"a b"], [b"a b"]),
    ],
)
def test_a_list_has_the_elements_of_all_lines(lines: list[bytes], elements: list[bytes]) -> None:
    """RFC 9110 5.6.1.2: empty elements are ignored, white space around the others is removed."""
    assert list_elements(lines) == elements
