"""An upstream's answer on its way to the client: links, cookies, rules, then CORS. Knows no sockets."""

from collections.abc import Callable
from typing import Protocol

from corsproxy.policy import fields as f
from corsproxy.policy.compiled import Route
from corsproxy.policy.cors.response_headers import rewrite
from corsproxy.policy.transform import transform_response
from corsproxy.proxy.admit import Forward
from corsproxy.proxy.context import RequestContext
from corsproxy.proxy.http.response_head import ResponseHead
from corsproxy.proxy.serialize import join_fields


class UpstreamReports(Protocol):
    """Where it is noted what an upstream does that its owner should know."""

    def upstream_sent_cors(self, route: Route) -> None:
        """Note that the upstream of `route` sends CORS headers of its own (cors.md 50)."""

    def cookie_left(self, route: Route, reason: str) -> None:
        """Note that a cookie was left as it is (cors.md 60)."""


def rewritten(
    head: ResponseHead,
    forward: Forward,
    request_id: bytes,
    asked: Callable[[], RequestContext],
    books: UpstreamReports,
) -> bytes:
    """Return the serialised header lines of an answer, framing left out.

    `asked` tells of the request; it is called only where a route changes something. An answer
    without X-Request-Id gets the request's.
    """
    route, policy, decision = forward
    fields, kinds = head.fields, head.kinds
    if not kinds & f.REQUEST_ID:
        fields.append((b"X-Request-Id", request_id))
        kinds |= f.REQUEST_ID
    if kinds & route.reshaped_kinds and head.status != 101:
        of = asked()
        links = of.links() if kinds & f.LOCATION else None
        shaped = transform_response(route, fields, kinds, links, of.context(head.status))
        for reason in shaped.left:
            books.cookie_left(route, reason)
        fields, kinds = shaped.fields, shaped.kinds
    if policy is None or decision is None:
        return join_fields(fields)
    if kinds & f.CORS:
        books.upstream_sent_cors(route)
    return rewrite(policy, decision, head.status, fields, kinds)
