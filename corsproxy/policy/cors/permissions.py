"""What one policy lets in and another keeps out. Knows policies, no routes and no requests."""

from collections.abc import Iterator
from typing import Final, NamedTuple

from corsproxy.policy.cors.origins import OriginSet
from corsproxy.policy.cors.policy import Policy
from corsproxy.policy.cors.steps import covers
from corsproxy.policy.fetch_lists import SAFELISTED_RESPONSE_HEADERS
from corsproxy.policy.source import SourceText

# Stand for every method and every header: what a "*" allows and a list hardly does.
_SOME_METHOD: Final = b"ANY-METHOD"
_SOME_HEADER: Final = b"x-any-header"


class Opening(NamedTuple):
    """A way in, in words that end a sentence; `method` is the one that it takes, None for any."""

    words: str
    method: bytes | None = None


def find_openings(broad: Policy | None, narrow: Policy | None) -> Iterator[Opening]:
    """Yield what `broad` lets in and `narrow` keeps out; each kind once.

    No policy keeps nobody out, and lets in what the upstream itself does. A policy that is open to
    every origin keeps no origin out, so only another one of that kind may let in more.
    """
    if narrow is None:
        return
    if not narrow.any_origin:
        yield from _for_origins(broad, narrow)
    elif broad is None or not broad.any_origin:
        return
    if broad is not None:
        yield from _for_requests(broad, narrow)
        yield from _for_responses(broad, narrow)


def _for_origins(broad: Policy | None, narrow: Policy) -> Iterator[Opening]:
    if narrow.refused_blocks and not (broad is not None and broad.refused_blocks):
        yield Opening("does not block what is refused")
    if broad is None:
        return
    if _are_outside(broad.spec.allow_origins, narrow.origins):
        yield Opening("allows an origin that this one refuses")
    if broad.spec.allow_credentials and not narrow.spec.allow_credentials:
        yield Opening("allows credentials")
    if narrow.checks_websockets and not broad.checks_websockets:
        yield Opening("does not check the origin of WebSockets", b"GET")


def _for_requests(broad: Policy, narrow: Policy) -> Iterator[Opening]:
    if not narrow.any_method:
        asked = {*broad.methods, _SOME_METHOD} if broad.any_method else broad.methods.keys()
        for method in sorted(asked - narrow.methods.keys()):
            yield Opening("allows a method that this one refuses", method)
    asked_headers = {*broad.headers, _SOME_HEADER} if broad.any_header else broad.headers
    if not all(covers(narrow, name) for name in asked_headers):
        yield Opening("allows a request header that this one refuses")


def _for_responses(broad: Policy, narrow: Policy) -> Iterator[Opening]:
    shown = _names(narrow.spec.expose_headers)
    if "*" not in shown and _names(broad.spec.expose_headers) - shown:
        yield Opening("exposes a response header that this one hides")
    if _are_outside(_timed(broad), OriginSet(_timed(narrow))):
        yield Opening("shows timings to an origin that this one hides them from")


def _names(spec: tuple[SourceText, ...]) -> frozenset[str]:
    """Return the names of response headers that `spec` expose; browsers show the others anyway."""
    names = {item.text.lower() for item in spec}
    return frozenset(name for name in names if name.encode() not in SAFELISTED_RESPONSE_HEADERS)


def _timed(policy: Policy) -> tuple[SourceText, ...]:
    timed = policy.spec.timing_allow_origins
    return policy.spec.allow_origins if timed == "same" else timed or ()


def _are_outside(patterns: tuple[SourceText, ...], origins: OriginSet) -> bool:
    """Tell whether one of `patterns` stands for an origin that is not in `origins`."""
    return any(origins.match(_sample(item.text)) is None for item in patterns)


def _sample(pattern: str) -> bytes:
    """Return an origin that `pattern` allows, and hardly anything but it."""
    if pattern == "*":
        return b"https://any-origin.invalid"
    host = pattern.removesuffix(":*")
    port = ":65535" if host != pattern else ""
    return (host.replace("*", "any-name") + port).encode()
