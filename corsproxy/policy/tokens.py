"""Tokens of HTTP (RFC 9110 5.6.2). Knows no header and no policy."""

from typing import Final

TOKEN_BYTES: Final = (
    b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
)


def is_token(text: bytes) -> bool:
    """Whether `text` is a token: method names and header names are."""
    return bool(text) and not text.translate(None, TOKEN_BYTES)


def is_token_text(text: str) -> bool:
    """Whether `text`, as a user wrote it, is a token."""
    return text.isascii() and is_token(text.encode("ascii"))
