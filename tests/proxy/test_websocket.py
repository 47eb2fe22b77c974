"""A real WebSocket client and server, with the proxy between them: the messages of RFC 6455.

forwarding.md H17. The tunnel's bytes are pinned in test_tunnels.py.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import (
    ClientSession,
    ClientWebSocketResponse,
    WSCloseCode,
    WSMsgType,
    WSServerHandshakeError,
    web,
)

from tests.support.proxy import one_route, running_proxy
from tests.support.wire import patiently

MEGABYTE = 1 << 20
CLOSED: web.AppKey[list[int | None]] = web.AppKey("closed", list)


async def echo(request: web.Request) -> web.WebSocketResponse:
    """Send each message back; close with 4001 and a reason when told "close"."""
    socket = web.WebSocketResponse(max_msg_size=32 * MEGABYTE, protocols=["chat"], autoping=False)
    await socket.prepare(request)
    async for message in socket:
        if message.type is WSMsgType.PING:
            await socket.pong(message.data)
        elif message.type is WSMsgType.BINARY:
            await socket.send_bytes(message.data)
        elif message.data == "close":
            await socket.close(code=4001, message=b"as asked")
        elif message.type is WSMsgType.TEXT:
            await socket.send_str(message.data)
    request.app[CLOSED].append(socket.close_code)
    return socket


@asynccontextmanager
async def talking(
    route: str = "",
    closed: list[int | None] | None = None,
    **headers: str,
) -> AsyncIterator[ClientWebSocketResponse]:
    """Open a WebSocket to the echo through the proxy; `closed` is told the codes that it hears."""
    application = web.Application()
    application[CLOSED] = [] if closed is None else closed
    application.router.add_get("/chat", echo)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    try:
        async with running_proxy(one_route(f"http://127.0.0.1:{port}", route=route)) as proxy:
            url = f"ws://127.0.0.1:{proxy.address[1]}/chat"
            async with (
                ClientSession() as session,
                session.ws_connect(
                    url,
                    headers=headers,
                    protocols=["chat"],
                    max_msg_size=32 * MEGABYTE,
                    autoping=False,
                ) as socket,
            ):
                yield socket
    finally:
        await runner.cleanup()


async def test_messages_of_every_size_come_back() -> None:
    """H17: sizes at each border of RFC 6455 5.2's length, text and binary, and 10 MiB."""
    async with talking() as socket:
        assert socket.protocol == "chat"
        for size in (0, 1, 125, 126, 65535, 65536, 10 * MEGABYTE):
            data = bytes(range(256)) * (size // 256) + bytes(size % 256)
            await socket.send_bytes(data)
            assert await patiently(socket.receive_bytes(), f"{size} bytes") == data
        await socket.send_str("grüß dich \N{WAVING HAND SIGN}")
        assert await socket.receive_str() == "grüß dich \N{WAVING HAND SIGN}"


async def test_fragments_come_as_one_message() -> None:
    """RFC 6455 5.4: frames are none of the proxy's business; a ping may appear between them."""
    async with talking() as socket:
        await socket.send_frame(b"one ", WSMsgType.TEXT)
        assert await socket.receive_str() == "one "
        writer = socket._writer
        assert writer is not None
        # The client library sends whole messages only: fragments are written as frames.
        for first, payload in ((0x01, b"a"), (0x00, b"b"), (0x89, b"?"), (0x80, b"c")):
            writer.transport.write(bytes([first, 0x80 | len(payload), 0, 0, 0, 0]) + payload)
        pong = await socket.receive()
        assert (pong.type, pong.data) == (WSMsgType.PONG, b"?")
        assert await socket.receive_str() == "abc"


async def test_the_server_itself_replies_to_pings() -> None:
    """H17: the proxy responds to none and adds none."""
    async with talking() as socket:
        await socket.ping(b"are you there?")
        pong = await socket.receive()
        assert (pong.type, pong.data) == (WSMsgType.PONG, b"are you there?")


async def test_the_servers_close_code_and_reason_arrive() -> None:
    """RFC 6455 7: a code of the application's own is the server's, not the proxy's."""
    async with talking() as socket:
        await socket.send_str("close")
        message = await socket.receive()
        assert (message.type, message.data, message.extra) == (WSMsgType.CLOSE, 4001, "as asked")


async def test_the_server_replies_to_a_close_by_the_client() -> None:
    """RFC 6455 7.1: the closing handshake passes both ways."""
    heard: list[int | None] = []
    async with talking(closed=heard) as socket:
        assert await socket.close(code=WSCloseCode.GOING_AWAY, message=b"bye")
    assert heard == [WSCloseCode.GOING_AWAY]


async def test_a_page_of_an_allowed_origin_gets_its_socket() -> None:
    """cors.md 54: the origin is checked, for no preflight would."""
    route = "cors: {allow_origins: ['https://app.example.com']}"
    async with talking(route, Origin="https://app.example.com") as socket:
        await socket.send_str("hello")
        assert await socket.receive_str() == "hello"


async def test_a_page_of_another_origin_gets_none() -> None:
    """cors.md 54: 403, and the server does not receive the request."""
    route = "cors: {allow_origins: ['https://app.example.com']}"
    with pytest.raises(WSServerHandshakeError) as refused:
        async with talking(route, Origin="https://evil.example"):
            pass
    assert refused.value.status == 403
