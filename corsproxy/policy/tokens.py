"""Parses the common parts of field values: tokens, white space, lists (RFC 9110 5.6)."""

from collections.abc import Iterable
from typing import Final

# Optional white space around the elements and parameters of a field value (RFC 9110 5.6.3).
OWS: Final = b" \t"

# tchar (RFC 9110 5.6.2).
TOKEN_BYTES: Final = (
    b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
)


def is_token(text: bytes) -> bool:
    """Whether `text` is a token, as method and field names must be."""
    return bool(text) and not text.translate(None, TOKEN_BYTES)


def is_token_text(text: str) -> bool:
    """Whether `text` is a token."""
    return text.isascii() and is_token(text.encode("ascii"))


def list_elements(lines: Iterable[bytes]) -> list[bytes]:
    """Return the elements of a comma-separated list in `lines`, without empty ones.

    Recipients must ignore empty elements (RFC 9110 5.6.1.2).
    """
    elements = (element.strip(OWS) for line in lines for element in line.split(b","))
    return [element for element in elements if element]
