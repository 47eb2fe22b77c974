"""Requests and responses whose every byte is known, for tests of what rules make of them."""

from tests.support.upstream import Script, repeat, request, send

APP = b"https://app.example.com"
SPA = """
cors: {allow_origins: ["https://app.example.com"], allow_credentials: true}
"""
OFF = "cors: false\n"
CORS = (
    b"Access-Control-Allow-Origin: https://app.example.com\r\n"
    b"Access-Control-Allow-Credentials: true\r\n"
)
ID = b"X-Request-Id: r1\r\n"
VIA = b"Via: 1.1 corsproxy\r\n"


def answering(fields: bytes, status: bytes = b"200 OK", *, body: bytes = b"hi") -> Script:
    """Return an upstream that sends this response to every request."""
    length = b"Content-Length: %d\r\n" % len(body)
    return [repeat(request(), send(b"HTTP/1.1 %b\r\n%b%b\r\n%b" % (status, fields, length, body)))]


def asking(more: bytes = b"", line: bytes = b"GET /") -> bytes:
    """Return a request with an id, so that every byte of the response is known."""
    return b"%b HTTP/1.1\r\nHost: api.example.com\r\nX-Request-Id: r1\r\n%b\r\n" % (line, more)


def head_of(lines: bytes, status: bytes = b"200 OK", length: int = 2) -> bytes:
    """Return the whole head of a response that reaches the client."""
    return b"HTTP/1.1 %b\r\n%b%bContent-Length: %d\r\n\r\n" % (status, lines, VIA, length)


PUBLIC = "public_url: https://api.example.com"
