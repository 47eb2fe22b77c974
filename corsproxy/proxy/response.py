"""Rewrites an upstream's response, frames it for the client's version, and sends it.

Rewriting means links, cookies and rules, then CORS.
"""

from corsproxy.policy import fields as f
from corsproxy.policy.cors.response_headers import rewrite
from corsproxy.policy.transform import transform_response
from corsproxy.proxy.admit import Forward
from corsproxy.proxy.exchange import Exchange
from corsproxy.proxy.http.bodies import LAST_CHUNK, Body, ChunkedBody, as_chunk
from corsproxy.proxy.http.response_head import ResponseHead
from corsproxy.proxy.serialize import connection_line, join_fields, serialize_response_head


class ResponseRelay:
    """Relays the response of an upstream to the client of `exchange`.

    `is_delimited` is False if only the end of the connection ends the response.
    """

    __slots__ = ("_admitted", "_client", "_exchange", "_is_chunked", "is_delimited")

    def __init__(self, exchange: Exchange, admitted: Forward) -> None:
        self._exchange = exchange
        self._client = exchange.client
        self._admitted = admitted
        self._is_chunked = False
        self.is_delimited = True

    def send_head(self, head: ResponseHead, body: Body | None, payload: bytes) -> None:
        """Send the head of the final response together with the first piece of its body."""
        exchange = self._exchange
        exchange.status = head.status
        minor = exchange.head.minor
        # HTTP/1.0 has no chunked coding: there the end of the connection ends the response (H18;
        # https://www.rfc-editor.org/rfc/rfc9112.html#section-6.1).
        self._is_chunked = is_chunked = type(body) is ChunkedBody and minor == 1
        self.is_delimited = body is None or is_chunked or head.length is not None
        exchange.keep_alive = exchange.may_keep_alive() and self.is_delimited
        connection = connection_line(minor, keep_alive=exchange.keep_alive)
        lines = rewritten(head, self._admitted, exchange)
        data = serialize_response_head(head, body, lines, connection, chunked=is_chunked)
        if payload:
            exchange.bytes_sent += len(payload)
            data += as_chunk(payload) if is_chunked else payload
        self._client.write(data)

    def send_body(self, payload: bytes) -> None:
        """Send a piece of the body as it arrives (H19)."""
        self._exchange.bytes_sent += len(payload)
        self._client.write(as_chunk(payload) if self._is_chunked else payload)

    def send_end(self) -> None:
        """Send the last chunk, if the response is chunked."""
        if self._is_chunked:
            self._client.write(LAST_CHUNK)

    def send_interim(self, head: ResponseHead) -> None:
        """Relay an interim response, except 100 and to HTTP/1.0 (H13).

        The proxy sends 100 by itself (H14), and HTTP/1.0 has no interim responses
        (https://www.rfc-editor.org/rfc/rfc9110.html#section-15.2).
        """
        if head.status != 100 and self._exchange.head.minor == 1:
            self._client.write(
                b"HTTP/1.1 %b\r\n%b\r\n" % (head.status_line, join_fields(head.fields)),
            )

    def send_switching_protocols(self, head: ResponseHead, protocol: bytes) -> None:
        """Send a 101, after which both connections carry `protocol` (H17)."""
        self._exchange.status = 101
        self._client.write(
            b"HTTP/1.1 %b\r\n%bConnection: Upgrade\r\nUpgrade: %b\r\n\r\n"
            % (head.status_line, rewritten(head, self._admitted, self._exchange), protocol),
        )


def rewritten(head: ResponseHead, admitted: Forward, exchange: Exchange) -> bytes:
    """Return the serialized header lines of a response, without framing.

    A response without X-Request-Id gets the request's.
    """
    route, policy, decision = admitted
    fields, kinds = head.fields, head.kinds
    if not kinds & f.REQUEST_ID:
        fields.append((b"X-Request-Id", exchange.request_id))
        kinds |= f.REQUEST_ID
    # The context is made only if the route changes something.
    if kinds & route.transformed_kinds and head.status != 101:
        request = exchange.context(route)
        links = request.links() if kinds & f.LOCATION else None
        shaped = transform_response(route, fields, kinds, links, request.context(head.status))
        for reason in shaped.left:
            exchange.state.reports.cookie_left(route, reason)
        fields, kinds = shaped.fields, shaped.kinds
    # Last of all, so that no rule can undo what the policy decided (cors.md 49).
    if policy is None or decision is None:
        return join_fields(fields)
    if kinds & f.CORS:
        exchange.state.reports.upstream_sent_cors(route)
    return rewrite(policy, decision, head.status, fields, kinds)
