"""Parses the fields that requests and responses have in common: framing and Connection.

It is stricter than other parsers: a message is rejected if two recipients could disagree on where it
ends (forwarding.md S1, S2, S11; https://www.rfc-editor.org/rfc/rfc9112.html#section-11.2).
"""

from collections.abc import Callable
from typing import Final, NamedTuple

from corsproxy.policy.cache import cached
from corsproxy.policy.fields import Field
from corsproxy.policy.tokens import OWS, is_token

# Returns the field lines of a head in their order and case; raises ValueError if one is malformed.
ParseFields = Callable[[bytes], tuple[Field, ...]]

_LARGEST_LENGTH: Final = (1 << 63) - 1
_DIGITS: Final = b"0123456789"

# Every control byte except HTAB, CR and LF: a head that contains one is rejected (S4, S11).
CONTROL_BYTES: Final = bytes(b for b in range(0x20) if b not in (0x09, 0x0A, 0x0D)) + b"\x7f"

# Fields that recipients need: a Connection that lists one would make the proxy remove it (H6).
_NOT_HOP_BY_HOP: Final = frozenset(
    {
        b"host",
        b"content-length",
        b"cookie",
        b"authorization",
        b"origin",
        b"cache-control",
        b"via",
        b"forwarded",
    },
)


def read_length(value: bytes) -> int | None:
    """Return the length in a Content-Length `value`; None if it is not valid (S1)."""
    if not value or value.strip(_DIGITS):
        return None
    significant = value.lstrip(b"0")
    if len(significant) > 19:
        return None
    length = int(significant or b"0")
    return length if length <= _LARGEST_LENGTH else None


# No sender needs more, and each option is compared with every field of the message (O6).
MOST_OPTIONS: Final = 32


class Connection(NamedTuple):
    """A parsed Connection field: its well-known options, and the fields it lists, in lower case.

    `listed` is the number of its options, repeated ones included.
    """

    close: bool
    keep_alive: bool
    upgrade: bool
    named: frozenset[bytes]
    is_malformed: bool
    listed: int


@cached(256)
def read_connection(value: bytes) -> Connection:
    """Parse one Connection field value (RFC 9110 7.6.1)."""
    listed = [name for option in value.split(b",") if (name := option.strip(OWS).lower())]
    options = frozenset(listed)
    named = frozenset(options - {b"close", b"keep-alive", b"upgrade"})
    return Connection(
        close=b"close" in options,
        keep_alive=b"keep-alive" in options,
        upgrade=b"upgrade" in options,
        named=named,
        is_malformed=any(
            name in _NOT_HOP_BY_HOP or name.startswith(b"x-forwarded-") or not is_token(name)
            for name in named
        ),
        listed=len(listed),
    )


def join_connections(first: Connection, second: Connection) -> Connection:
    """Combine two Connection fields of one message: they are one list (RFC 9110 5.3)."""
    return Connection(
        close=first.close or second.close,
        keep_alive=first.keep_alive or second.keep_alive,
        upgrade=first.upgrade or second.upgrade,
        named=first.named | second.named,
        is_malformed=first.is_malformed or second.is_malformed,
        listed=first.listed + second.listed,
    )


NO_CONNECTION: Final = read_connection(b"")


def is_chunked(value: bytes) -> bool:
    """Return whether a Transfer-Encoding value is exactly one `chunked` (S2)."""
    return value.lower() == b"chunked"


def is_unknown_coding(value: bytes) -> bool:
    """Return whether `value` ends in chunked after unsupported codings: 501, not 400 (S2).

    https://www.rfc-editor.org/rfc/rfc9112.html#section-6.1
    """
    *codings, last = [coding.strip(OWS).lower() for coding in value.split(b",")]
    return (
        bool(codings)
        and last == b"chunked"
        and all(is_token(coding) and coding != b"chunked" for coding in codings)
    )
