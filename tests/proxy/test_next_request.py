"""What an exchange leaves behind to the next one: nothing (forwarding.md S12, F5, F7).

What is asserted here is what clients and the upstream see; the invariants of
`tests/support/invariants.py` are checked beside it, as beside every test.
"""

import asyncio
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.support.client import RawClient
from tests.support.kernel import in_kernel
from tests.support.messages import read_request
from tests.support.proxy import Proxy, through
from tests.support.upstream import UpstreamConnection, request
from tests.support.wire import eventually, patiently

FUZZ = settings(
    max_examples=50,
    deadline=None,
    # Without shrinking: a failing example may wait for its response for seconds.
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
GATHERED = 64 * 1024  # up to here a body is read whole before it is forwarded (O4)
BIG = bytes(20_000)
CROWD = 300  # as many of these are more than kernels hold between two sockets
GET_BIG = b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n"
NEXT = b"GET /next HTTP/1.1\r\nHost: a\r\nCookie: secret=1\r\n\r\n"


def _framed(body: bytes, *, is_chunked: bool) -> tuple[bytes, bytes]:
    """Return a framing header line and the body in that framing."""
    if not is_chunked:
        return b"Content-Length: %d" % len(body), body
    pieces = [body[at : at + 9000] for at in range(0, len(body), 9000)]
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(one), one) for one in pieces)
    return b"Transfer-Encoding: chunked", chunks + b"0\r\n\r\n"


class Early(NamedTuple):
    """An upload whose response begins before its end.

    `kept` is how many bytes of it the client sends after that, `read` how many the upstream reads
    before, `shown` how many bytes of the response come before the client sends on.
    """

    size: int
    kept: int
    read: int
    upload_chunked: bool
    status: bytes
    response_size: int
    response_chunked: bool
    shown: int

    @property
    def upload(self) -> bytes:
        """The request's body."""
        return b"u" * self.size

    def request(self) -> bytes:
        """Return the request as the client sends it."""
        framing, body = _framed(self.upload, is_chunked=self.upload_chunked)
        return b"POST /early HTTP/1.1\r\nHost: a\r\n%b\r\n\r\n%b" % (framing, body)

    def halves(self) -> tuple[bytes, bytes]:
        """Return the head of the response with what is shown of its body, and the rest."""
        framing, body = _framed(b"r" * self.response_size, is_chunked=self.response_chunked)
        head = b"HTTP/1.1 %b\r\n%b\r\n\r\n" % (self.status, framing)
        shown = min(self.shown, len(body) - 1)
        return head + body[:shown], body[shown:]


EARLY = st.builds(
    Early,
    size=st.sampled_from([GATHERED - 1, GATHERED, GATHERED + 1, 66_000, 90_000, 180_000]),
    kept=st.sampled_from([0, 1, 2, 4, 5, 7, 180, 1000, 40_000]),
    read=st.sampled_from([0, 1, 100, 20_000]),
    upload_chunked=st.booleans(),
    status=st.sampled_from([b"200 OK", b"201 Created", b"404 Not Found", b"413 Too Large"]),
    response_size=st.sampled_from([1, 2, 300, 5000]),
    response_chunked=st.booleans(),
    shown=st.sampled_from([0, 1, 100, 5000]),
)


class StrictUpstream:
    """Reads requests strictly; responds to /early by its plan, to others with their target."""

    def __init__(self, plan: Early, go_on: asyncio.Event) -> None:
        self._plan, self._go_on = plan, go_on
        self.lines: list[bytes] = []

    async def serve(self, connection: UpstreamConnection) -> None:
        """Be the one step of a script."""
        while True:
            head = await connection.until(b"\r\n\r\n")
            line = head.partition(b"\r\n")[0]
            self.lines.append(line)
            if line.startswith(b"POST /early "):
                await self._respond_early(connection, head)
            else:
                target = line.split(b" ")[1]
                response = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b"
                await connection.send(response % (len(target), target))

    async def _respond_early(self, connection: UpstreamConnection, head: bytes) -> None:
        start = await connection.exactly(self._plan.read)
        shown, rest = self._plan.halves()
        await connection.send(shown)
        await self._go_on.wait()
        await connection.send(rest)
        connection._unread[:0] = head + start
        message = await read_request(connection)
        assert message.body == self._plan.upload, f"not its own: {message.body.strip(b'u')!r}"


async def _upload(client: RawClient, plan: Early, go_on: asyncio.Event, proxy: Proxy) -> None:
    """Send the request, the last of it only after the response has begun, and let that go on."""
    data = plan.request()
    cut = len(data) - plan.kept
    await patiently(client.send(data[:cut]), "the proxy to take the upload")
    if plan.kept and plan.size > GATHERED:
        while b"\r\n\r\n" not in client.unread:
            assert await patiently(client.more(), "the head of the early response")
    await client.send(data[cut:])
    # Once two requests of somebody else's have been served, what was sent before has been read.
    async with await proxy.client() as other:
        for target in (b"/turn/1", b"/turn/2"):
            answer = await other.exchange(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % target)
            assert answer.body == target
    go_on.set()


async def _check(plan: Early) -> None:
    go_on = asyncio.Event()
    strict = StrictUpstream(plan, go_on)
    async with through([strict.serve]) as (client, proxy, upstream):
        await _upload(client, plan, go_on, proxy)
        response = await client.response()
        assert (response.status, response.body) == (int(plan.status[:3]), b"r" * plan.response_size)
        async with await proxy.client() as other:
            answer = await other.exchange(NEXT)
            assert (answer.status, answer.body) == (200, b"/next"), str(upstream)
        assert client.unread == b""
    seen = [line for line in strict.lines if not line.startswith(b"GET /turn/")]
    assert seen == [b"POST /early HTTP/1.1", b"GET /next HTTP/1.1"]


@given(plan=EARLY)
@FUZZ
async def test_an_early_response_leaves_nothing_to_the_next_request(plan: Early) -> None:
    """S12, F5: whatever of an upload was not sent, the next request is not read as the rest."""
    await _check(plan)


@pytest.mark.parametrize("kept", [1, 180, 4000])
async def test_dropped_bytes_of_an_upload_end_the_connection(kept: int) -> None:
    """S12: 65537 bytes, the response before the last of them: the next request is not its body."""
    await _check(
        Early(
            size=65537,
            kept=kept,
            read=0,
            upload_chunked=False,
            status=b"200 OK",
            response_size=2,
            response_chunked=False,
            shown=0,
        ),
    )


async def _by_target(connection: UpstreamConnection) -> None:
    """Respond with 20 KB to /big, with the target to others; forget what was read."""
    while True:
        await request()(connection)
        target = connection.requests.pop().target
        del connection.received[:]
        body = BIG if target == b"/big" else target
        await connection.send(
            b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        )


async def _next_is_served(proxy: Proxy) -> None:
    async with await proxy.client() as other:
        assert (await patiently(other.exchange(NEXT), "the next response")).body == b"/next"


async def test_a_slow_reader_leaves_no_paused_connection() -> None:
    """S12, F7: whichever response fills the client's buffers, the next user's is read."""
    async with through([_by_target]) as (client, proxy, _):
        for _ in range(CROWD):
            await client.send(GET_BIG)
            await _next_is_served(proxy)
            await eventually(lambda: not proxy.server.state.open_exchanges, "all to be relayed")
            await _next_is_served(proxy)
        for _ in range(CROWD):
            assert (await client.response()).body == BIG


async def _stands_still(proxy: Proxy) -> None:
    """Wait until nothing moves between two sockets any more, however often others are served."""
    calm, before = 0, -1
    while calm < 20:
        await _next_is_served(proxy)
        calm = calm + 1 if in_kernel() == before else 0
        before = in_kernel()


async def test_no_request_begins_behind_responses_that_are_not_read() -> None:
    """F7: requests behind responses that fill the client's buffers wait until those are read."""
    async with through([_by_target]) as (client, proxy, _):
        await client.send(CROWD * GET_BIG)
        await _stands_still(proxy)
        for _ in range(CROWD):
            assert (await client.response()).body == BIG
        assert proxy.server.state.open_exchanges == 0


async def test_own_responses_that_are_not_read_hold_requests_back() -> None:
    """F7: responses of the proxy's own fill a client's buffers like others; none is lost."""
    crowd = 20_000
    async with through([_by_target], route="match: {path: /next}") as (client, proxy, _):
        await client.send(crowd * GET_BIG)
        await _stands_still(proxy)
        for _ in range(crowd):
            assert (await client.response()).status == 404
