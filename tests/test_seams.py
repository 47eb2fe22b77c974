"""What corsproxy stands on in aiohttp. A failure here means: aiohttp moved, look before upgrading.

The data path uses two seams: the C parsers, fed with heads only, and `web.Server`, which owns the
connections and their shutdown (docs/forwarding.md, "Why the data path is ours").
"""

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import http_parser, web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import HttpRequestParser, HttpResponseParser

LIMIT = 2**16

# Every way a request head can announce what follows it.
REQUEST_FRAMINGS = {
    "no body": b"",
    "a length": b"Content-Length: 10\r\n",
    "a length of zero": b"Content-Length: 0\r\n",
    "chunked": b"Transfer-Encoding: chunked\r\n",
    "a WebSocket handshake": b"Connection: Upgrade\r\nUpgrade: websocket\r\n",
    "another upgrade": b"Connection: Upgrade\r\nUpgrade: h2c\r\n",
}
RESPONSE_FRAMINGS = {
    "until close": b"",
    "a length": b"Content-Length: 10\r\n",
    "chunked": b"Transfer-Encoding: chunked\r\n",
    "an encoded body": b"Content-Encoding: gzip\r\nContent-Length: 10\r\n",
    "an upgrade": b"Connection: Upgrade\r\nUpgrade: websocket\r\n",
}


def heads_only(parser: Callable[..., Any]) -> Any:  # noqa: ANN401
    """Make a parser as the data path does: it expects no bodies and calls no protocol."""
    return parser(
        None,
        asyncio.get_running_loop(),
        LIMIT,
        max_line_size=LIMIT,
        max_field_size=LIMIT,
        max_headers=LIMIT,
        response_with_body=False,
        auto_decompress=False,
    )


def test_request_parser_is_the_c_one() -> None:
    """The pure-Python request parser is weaker; with it the proxy must not run."""
    assert HttpRequestParser is http_parser.HttpRequestParserC


def test_response_parser_is_the_c_one() -> None:
    """The pure-Python response parser is weaker; with it the proxy must not run."""
    assert HttpResponseParser is http_parser.HttpResponseParserC


@pytest.mark.parametrize("framing", REQUEST_FRAMINGS.values(), ids=REQUEST_FRAMINGS.keys())
async def test_request_heads_are_parsed_one_by_one_whatever_body_they_announce(
    framing: bytes,
) -> None:
    """With `response_with_body=False` each request head gives one message and waits for no body."""
    parser = heads_only(HttpRequestParser)
    for number in range(3):
        head = b"GET /%d HTTP/1.1\r\nHost: a\r\n%b\r\n" % (number, framing)
        messages, _, _ = parser.feed_data(head)
        assert [message.path for message, _ in messages] == [f"/{number}"]


@pytest.mark.parametrize("framing", RESPONSE_FRAMINGS.values(), ids=RESPONSE_FRAMINGS.keys())
async def test_response_heads_are_parsed_one_by_one_whatever_body_they_announce(
    framing: bytes,
) -> None:
    """With `response_with_body=False` each response head gives one message and waits for no body."""
    parser = heads_only(HttpResponseParser)
    for number in range(3):
        head = b"HTTP/1.1 200 OK\r\nX-Number: %d\r\n%b\r\n" % (number, framing)
        messages, _, _ = parser.feed_data(head)
        assert [message.raw_headers[0] for message, _ in messages] == [
            (b"X-Number", b"%d" % number),
        ]


async def test_a_head_that_closes_is_the_last_one_a_parser_takes() -> None:
    """After `Connection: close` the parser takes nothing more, so neither may the data path."""
    parser = heads_only(HttpRequestParser)
    head = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    assert len(parser.feed_data(head)[0]) == 1
    with pytest.raises(HttpProcessingError):
        parser.feed_data(head)


async def test_parsed_fields_keep_order_case_duplicates_and_bytes() -> None:
    """`raw_headers` holds each line as bytes as it came: forwarding.md H7 and H8 stand on it."""
    fields = ((b"Host", b"a"), (b"x-A", b"\x85\xff one"), (b"X-a", b"two\tx"), (b"x-A", b""))
    lines = b"".join(b"%b: %b\r\n" % field for field in fields)
    messages, _, _ = heads_only(HttpRequestParser).feed_data(
        b"GET / HTTP/1.1\r\n" + lines + b"\r\n"
    )
    assert messages[0][0].raw_headers == fields


@pytest.mark.parametrize(
    "line",
    [
        b"X-A : 1",
        b"X-A: 1\r\n folded",
        b"X-A: a\x00b",
        b"X-A: a\rb",
        b"X(A): 1",
        b": 1",
        b"no colon",
    ],
    ids=repr,
)
async def test_request_parser_refuses_malformed_field_lines(line: bytes) -> None:
    """The C parser refuses what we leave to it of forwarding.md S4."""
    head = b"GET / HTTP/1.1\r\nHost: a\r\n%b\r\n\r\n" % line
    with pytest.raises(HttpProcessingError):
        heads_only(HttpRequestParser).feed_data(head)


async def test_request_parser_wants_host_in_http_11_only() -> None:
    """Host is missed in HTTP/1.1 and not in 1.0: forwarding.md S5."""
    with pytest.raises(HttpProcessingError):
        heads_only(HttpRequestParser).feed_data(b"GET / HTTP/1.1\r\n\r\n")
    messages, _, _ = heads_only(HttpRequestParser).feed_data(b"GET / HTTP/1.0\r\n\r\n")
    assert len(messages) == 1


class Connection(asyncio.Protocol):
    """The smallest protocol that `web.Server` can own in place of its RequestHandler."""

    # `web.Server.connection_lost` looks for a running handler task before it forgets a connection.
    _task_handler = None

    def __init__(self, server: "Server") -> None:
        self.server = server
        self.said: list[str] = []
        self.lost = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Register with the server."""
        self.server.connection_made(self, transport)  # type: ignore[arg-type]
        self.server.made.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """Leave the server."""
        self.server.connection_lost(self, exc)  # type: ignore[arg-type]
        self.lost.set()

    def close(self) -> None:
        """Be told by `pre_shutdown`."""
        self.said.append("close")

    async def shutdown(self, timeout: float | None) -> None:  # noqa: ASYNC109 - web.Server's name
        """Be told by `shutdown`."""
        self.said.append(f"shutdown {timeout}")


class Server(web.Server):
    """A server whose connections are our own protocol."""

    def __init__(self) -> None:
        async def never(_request: web.BaseRequest) -> web.StreamResponse:
            raise AssertionError

        super().__init__(never)
        self.made = asyncio.Event()

    def __call__(self) -> Connection:  # type: ignore[override]
        """Return the protocol of a new connection."""
        return Connection(self)


async def test_server_registers_and_forgets_connections_of_our_own() -> None:
    """`connection_made` puts a protocol into `_connections`, `connection_lost` takes it out."""
    server = Server()
    connection = server()
    transport = asyncio.Transport()
    connection.connection_made(transport)
    registered: dict[Any, Any] = dict(server._connections)
    assert registered == {connection: transport}
    assert list(map(id, server.connections)) == [id(connection)]
    connection.connection_lost(None)
    assert server._connections == {}


async def test_server_shuts_down_by_close_then_shutdown_of_each_connection() -> None:
    """`pre_shutdown` calls `close()`, `shutdown(timeout)` awaits `shutdown(timeout)`, then forgets."""
    server = Server()
    connection = server()
    connection.connection_made(asyncio.Transport())
    server.pre_shutdown()
    assert connection.said == ["close"]
    await server.shutdown(2.5)
    assert connection.said == ["close", "shutdown 2.5"]
    assert server._connections == {}


async def test_server_is_the_protocol_factory_of_a_real_listener() -> None:
    """`loop.create_server(server)` calls the server once a connection, without arguments."""
    server = Server()
    assert not inspect.signature(web.Server.__call__).parameters.keys() - {"self"}
    listener = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
    async with listener:
        _, writer = await asyncio.open_connection(*listener.sockets[0].getsockname())
        async with asyncio.timeout(5):
            await server.made.wait()
            connection: Any = server.connections[0]
            writer.close()
            await writer.wait_closed()
            await connection.lost.wait()
    assert server._connections == {}
