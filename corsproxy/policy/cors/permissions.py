"""Compares two policies: what one permits and the other does not."""

from collections.abc import Iterator
from typing import Final, NamedTuple

from corsproxy.policy.cors.origins import OriginSet
from corsproxy.policy.cors.policy import Policy
from corsproxy.policy.cors.steps import is_header_allowed
from corsproxy.policy.fetch_lists import SAFELISTED_RESPONSE_HEADERS
from corsproxy.policy.source import SourceText

# A method and a header that "*" allows and that lists are unlikely to contain.
_SAMPLE_METHOD: Final = b"ANY-METHOD"
_SAMPLE_HEADER: Final = b"x-any-header"


class Permission(NamedTuple):
    """What one policy permits and another does not, as the end of a sentence.

    `method` is the only method that it applies to; None if it applies to any.
    """

    words: str
    method: bytes | None = None


def extra_permissions(broader: Policy | None, stricter: Policy | None) -> Iterator[Permission]:
    """Yield what `broader` permits and `stricter` does not, each kind once.

    None means a route without a policy: it refuses no request, and permits what the upstream's own
    headers permit. A policy for any origin refuses no origin, so only another policy for any origin
    can permit more.
    """
    if stricter is None:
        return
    if not stricter.any_origin:
        yield from _for_origins(broader, stricter)
    elif broader is None or not broader.any_origin:
        return
    if broader is not None:
        yield from _for_requests(broader, stricter)
        yield from _for_responses(broader, stricter)


def _for_origins(broader: Policy | None, stricter: Policy) -> Iterator[Permission]:
    if stricter.blocks_refused and not (broader is not None and broader.blocks_refused):
        yield Permission("does not block refused requests")
    if broader is None:
        return
    if _any_outside(broader.spec.allow_origins, stricter.origins):
        yield Permission("allows an origin that this one refuses")
    if broader.spec.allow_credentials and not stricter.spec.allow_credentials:
        yield Permission("allows credentials")
    if stricter.checks_websockets and not broader.checks_websockets:
        yield Permission("does not check the origin of WebSockets", b"GET")


def _for_requests(broader: Policy, stricter: Policy) -> Iterator[Permission]:
    if not stricter.any_method:
        methods = set(broader.methods)
        if broader.any_method:
            methods.add(_SAMPLE_METHOD)
        for method in sorted(methods - stricter.methods.keys()):
            yield Permission("allows a method that this one refuses", method)
    headers = {*broader.headers, _SAMPLE_HEADER} if broader.any_header else broader.headers
    if not all(is_header_allowed(stricter, name) for name in headers):
        yield Permission("allows a request header that this one refuses")


def _for_responses(broader: Policy, stricter: Policy) -> Iterator[Permission]:
    exposed = _exposed_names(stricter.spec.expose_headers)
    if "*" not in exposed and _exposed_names(broader.spec.expose_headers) - exposed:
        yield Permission("exposes a response header that this one hides")
    if _any_outside(_timing_origins(broader), OriginSet(_timing_origins(stricter))):
        yield Permission("exposes timings to an origin that this one does not")


def _exposed_names(spec: tuple[SourceText, ...]) -> frozenset[str]:
    """Return the names that `spec` exposes, without those that pages can read in any case."""
    names = {item.text.lower() for item in spec}
    return frozenset(name for name in names if name.encode() not in SAFELISTED_RESPONSE_HEADERS)


def _timing_origins(policy: Policy) -> tuple[SourceText, ...]:
    timing = policy.spec.timing_allow_origins
    return policy.spec.allow_origins if timing == "same" else timing or ()


def _any_outside(patterns: tuple[SourceText, ...], origins: OriginSet) -> bool:
    """Whether a sample origin of any of `patterns` does not match `origins`."""
    return any(origins.match(_sample_origin(item.text)) is None for item in patterns)


def _sample_origin(pattern: str) -> bytes:
    """Return an origin that matches `pattern` and is unlikely to match any other."""
    if pattern == "*":
        return b"https://any-origin.invalid"
    host = pattern.removesuffix(":*")
    port = ":65535" if host != pattern else ""
    return (host.replace("*", "any-name") + port).encode()
