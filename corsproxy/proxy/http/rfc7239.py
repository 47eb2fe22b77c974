"""Parses one line of Forwarded (RFC 7239 4).

A client can send anything, and each proxy appends an element. So a malformed element invalidates those
to its left, which were sent before it, and never those that were appended after it.
"""

import re
from typing import Final, NamedTuple

from corsproxy.policy.cache import cached
from corsproxy.policy.tokens import OWS, TOKEN_BYTES

# In place of hops that cannot be parsed (RFC 7239 6.2).
_UNREADABLE: Final = b"for=unknown"

# Quantifiers are possessive, so no input makes them backtrack.
_TOKEN: Final = rb"[%b]++" % re.escape(TOKEN_BYTES)
_QUOTED: Final = rb'"(?:[^"\\]|\\.)*+"'
# Everything up to the next comma outside quotes.
_BETWEEN_COMMAS: Final = re.compile(rb'(?:[^",]++|%b)*+' % _QUOTED, re.DOTALL)
# One parameter, or none, up to the ";" behind it or the end of the element.
_PARAMETER: Final = re.compile(
    rb"[ \t]*+(?:(%b)=(%b|%b)[ \t]*+)?+(?:;|\Z)" % (_TOKEN, _TOKEN, _QUOTED), re.DOTALL
)


class Hop(NamedTuple):
    """One element, unquoted: `node` is the value of `for`; b"" if a parameter is missing."""

    node: bytes = b""
    scheme: bytes = b""
    host: bytes = b""


class Line(NamedTuple):
    """The hops of one line, the client first, and a well-formed value to forward.

    One empty hop, and `for=unknown` in `value`, replace the elements that could not be parsed. `value`
    is b"" if there are no hops.
    """

    hops: tuple[Hop, ...]
    value: bytes


@cached(256)
def read_line(value: bytes) -> Line:
    """Parse the line `value`, from the right up to the first malformed element.

    With an open quote, commas between elements cannot be distinguished from quoted ones, so nothing is
    parsed. Empty elements are skipped (RFC 9110 5.6.1.2). Linear in the length of `value`.
    """
    hops: list[Hop] = []
    kept: list[bytes] = []
    is_whole = True
    at = 0
    while at <= len(value):
        end = _end_of_element(value, at)
        if value[end : end + 1] == b'"':
            return Line((Hop(),), _UNREADABLE)
        element = value[at:end].strip(OWS)
        hop = _read_element(element) if element else None
        if hop is not None:
            hops.append(hop)
            kept.append(element)
        elif element:
            hops, kept, is_whole = [Hop()], [_UNREADABLE], False
        at = end + 1
    return Line(tuple(hops), value if is_whole and hops else b", ".join(kept))


def _end_of_element(value: bytes, at: int) -> int:
    """Return where the element at `at` ends: at a comma, an open quote, or the end of `value`."""
    match = _BETWEEN_COMMAS.match(value, at)
    return match.end() if match else at


def _read_element(element: bytes) -> Hop | None:
    """Parse one element; return None if it is malformed, or a parameter occurs twice."""
    parameters: dict[bytes, bytes] = {}
    at = 0
    while at < len(element):
        match = _PARAMETER.match(element, at)
        if match is None:
            return None
        at = match.end()
        if match[1] is None:
            continue
        name = match[1].lower()
        if name in parameters:
            return None
        parameters[name] = _unquoted(match[2])
    values = (parameters.get(name, b"") for name in (b"for", b"proto", b"host"))
    return Hop(*values)


def _unquoted(value: bytes) -> bytes:
    if not value.startswith(b'"'):
        return value
    return re.sub(rb"\\(.)", rb"\1", value[1:-1], flags=re.DOTALL)
