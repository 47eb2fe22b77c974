"""Reads one line of Forwarded (RFC 7239 4). Knows its grammar, not who wrote it nor whom to believe.

Several parties write one header: a client what it likes, then each proxy an element. So a malformed
element spoils what is to its left, which stood there before, and never what was written after it.
"""

import re
from typing import Final, NamedTuple

from corsproxy.policy.cache import cached

# What stands for hops that cannot be read (RFC 7239 6.2).
_UNREADABLE: Final = b"for=unknown"

# Quantifiers are possessive: no byte is read twice, whatever a client sends.
_TOKEN: Final = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]++"
_QUOTED: Final = rb'"(?:[^"\\]|\\.)*+"'
# What is between two commas; those in quotes part nothing.
_BETWEEN_COMMAS: Final = re.compile(rb'(?:[^",]++|%b)*+' % _QUOTED, re.DOTALL)
# One parameter, or none, up to the ";" behind it or the end of the element.
_PARAMETER: Final = re.compile(
    rb"[ \t]*+(?:(%b)=(%b|%b)[ \t]*+)?+(?:;|\Z)" % (_TOKEN, _TOKEN, _QUOTED), re.DOTALL
)
_BLANK: Final = b" \t"


class Hop(NamedTuple):
    """What one element says, unquoted: `node` is what follows `for=`; b"" is for what is missing."""

    node: bytes = b""
    scheme: bytes = b""
    host: bytes = b""


class Line(NamedTuple):
    """What one line says, the client's end first, and how it may be passed on: well-formed.

    One empty hop stands for all that could not be read, and so does `for=unknown` in `value`, which
    is b"" if nothing is said.
    """

    hops: tuple[Hop, ...]
    value: bytes


@cached(256)
def read_line(value: bytes) -> Line:
    """Return what the line `value` says, from the right as far as it can be read.

    If quotes do not pair, nothing tells which commas part elements, so that nothing can be read.
    Empty elements are left out (RFC 9110 5.6.1.2). Linear in the length of `value`.
    """
    hops: list[Hop] = []
    kept: list[bytes] = []
    is_whole = True
    at = 0
    while at <= len(value):
        end = _end_of_element(value, at)
        if value[end : end + 1] == b'"':
            return Line((Hop(),), _UNREADABLE)
        element = value[at:end].strip(_BLANK)
        hop = _read_element(element) if element else None
        if hop is not None:
            hops.append(hop)
            kept.append(element)
        elif element:
            hops, kept, is_whole = [Hop()], [_UNREADABLE], False
        at = end + 1
    return Line(tuple(hops), value if is_whole and hops else b", ".join(kept))


def _end_of_element(value: bytes, at: int) -> int:
    """Return where the element that begins at `at` ends: at a comma, the end, or an open quote."""
    match = _BETWEEN_COMMAS.match(value, at)
    return match.end() if match else at


def _read_element(element: bytes) -> Hop | None:
    """Return what one element says; None if it is malformed, or a parameter occurs twice."""
    said: dict[bytes, bytes] = {}
    at = 0
    while at < len(element):
        match = _PARAMETER.match(element, at)
        if match is None:
            return None
        at = match.end()
        if match[1] is None:
            continue
        name = match[1].lower()
        if name in said:
            return None
        said[name] = _unquoted(match[2])
    return Hop(said.get(b"for", b""), said.get(b"proto", b""), said.get(b"host", b""))


def _unquoted(value: bytes) -> bytes:
    if not value.startswith(b'"'):
        return value
    return re.sub(rb"\\(.)", rb"\1", value[1:-1], flags=re.DOTALL)
