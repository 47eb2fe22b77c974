"""The checks beside every test see what they are there to see."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.support.invariants import Invariants
from tests.support.sent import Sent

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"


def _fault(data: bytes, step: int) -> str:
    sent = Sent()
    for at in range(0, len(data), step):
        sent.feed(data[at : at + step])
    return sent.fault


@pytest.mark.parametrize("step", [1, 2, 7, 1000])
@pytest.mark.parametrize(
    "data",
    [
        GET,
        POST + b"hello",
        CHUNKED + b"0\r\n\r\n",
        CHUNKED + b"5\r\nhello\r\nA\r\n0123456789\r\n0\r\n\r\n",
    ],
)
def test_one_whole_request_is_one(data: bytes, step: int) -> None:
    """S12: whatever the pieces, a whole request has no fault."""
    assert _fault(data, step) == ""


@pytest.mark.parametrize("step", [1, 2, 7, 1000])
@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "no whole head"),
        (GET[:-1], "no whole head"),
        (GET + b"x", "1 bytes behind"),
        (GET + GET, f"{len(GET)} bytes behind"),
        (POST + b"hell", "1 bytes of"),
        (POST + b"hello!", "1 bytes behind"),
        (CHUNKED, "the last chunk"),
        (CHUNKED + b"5\r\nhello\r\n", "the last chunk"),
        (CHUNKED + b"5\r\nhel", "4 bytes of"),
        (CHUNKED + b"0\r\n", "the last chunk"),
        (CHUNKED + b"0\r\n\r\nx", "1 bytes behind"),
        (CHUNKED + b"0\r\nA: b\r\n\r\n", "trailers"),
        (CHUNKED + GET, "not a chunk size"),
        (b"hello\r\n\r\n", "not a request line"),
        (POST.replace(b"Con", b"Transfer-Encoding: chunked\r\nCon"), "framed more than once"),
    ],
)
def test_what_is_not_one_whole_request_has_a_fault(data: bytes, why: str, step: int) -> None:
    """S12: what is missing, in excess or malformed is named."""
    assert why in _fault(data, step)


class FakeTransport:
    """A transport that does nothing; `unsent` bytes wait in it."""

    def __init__(self) -> None:
        self.unsent = 0

    def get_write_buffer_size(self) -> int:
        """Return how much waits."""
        return self.unsent

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Do nothing."""

    def is_closing(self) -> bool:
        """Return that it is open."""
        return False

    def write(self, data: bytes) -> None:
        """Do nothing."""

    def pause_reading(self) -> None:
        """Do nothing."""

    def resume_reading(self) -> None:
        """Do nothing."""


class Stage:
    """A client's connection with an exchange, and an upstream connection."""

    def __init__(self) -> None:
        self.seen = Invariants()
        self.upstream, self.upstream_fake, self.connection = self.connect(self.seen.upstream_made)
        self.client, self.client_fake, self.user = self.connect(self.seen.client_made)
        self.user.handler, self.user.leftover = self.forwarding(self.user), None
        self.holder: Any = self.user.handler

    def connect(self, made: Callable[..., Any]) -> tuple[asyncio.Transport, FakeTransport, Any]:
        """Return a watched transport, the fake behind it, and whose it is."""
        fake, owner = FakeTransport(), SimpleNamespace()
        return made(owner, cast("asyncio.Transport", fake)), fake, owner

    def forwarding(self, user: object) -> SimpleNamespace:
        """Return a forwarded request of `user`."""
        head = SimpleNamespace(method=b"GET", target=b"/")
        return SimpleNamespace(client=user, exchange=SimpleNamespace(client=user, head=head))

    def lend(self) -> None:
        """Begin an exchange on the upstream connection."""
        self.seen.begun(self.connection, self.holder)

    def give_back(self) -> list[str]:
        """Pool the upstream connection and return what was wrong with that."""
        self.seen.given_back(self.connection, lambda: None)
        return self.seen.take()


def test_a_whole_request_may_be_followed_by_another() -> None:
    """S12: nothing is wrong with a connection that was used as it should be."""
    stage = Stage()
    for _ in range(2):
        stage.lend()
        stage.upstream.write(GET)
        assert stage.give_back() == []


def test_a_pooled_connection_has_been_sent_its_whole_request() -> None:
    """S12, a: missing bytes are seen when it is pooled, and when it is lent again."""
    stage = Stage()
    stage.lend()
    stage.upstream.write(POST + b"hell")
    (seen,) = stage.give_back()
    assert seen == "a: a connection was pooled with 1 bytes of 'POST / HTTP/1.1' not written"
    stage.lend()
    assert len(stage.seen.take()) == 1


def test_a_pooled_connection_has_nothing_unsent() -> None:
    """S12, a: what waits in the transport's buffer was not written to the connection yet."""
    stage = Stage()
    stage.lend()
    stage.upstream.write(GET)
    stage.upstream_fake.unsent = 3
    assert stage.give_back() == ["a: a connection was pooled with 3 bytes unsent"]


def test_a_pooled_connection_is_not_paused() -> None:
    """F7, b: neither when it is pooled nor later."""
    stage = Stage()
    stage.lend()
    stage.upstream.write(GET)
    stage.upstream.pause_reading()
    assert stage.give_back() == ["b: a connection was pooled while paused for reading"]
    stage.upstream.resume_reading()
    assert stage.give_back() == []
    stage.upstream.pause_reading()
    assert stage.seen.take() == ["b: a connection that nobody has was paused"]


def test_one_exchange_has_a_connection_at_a_time() -> None:
    """S12, d: lending it twice, and writing to one that nobody has, is seen."""
    stage = Stage()
    stage.lend()
    stage.upstream.write(GET)
    stage.lend()
    assert stage.seen.take() == ["d: lent to 'GET /' while 'GET /' had it"]
    stage.give_back()
    stage.seen.take()
    stage.upstream.write(b"x")
    assert stage.seen.take() == ["d: b'x' written to a connection that nobody has"]


def test_a_response_goes_to_whose_exchange_has_the_connection() -> None:
    """S12, d: bytes written to another client, or for an exchange that is over, are seen."""
    stage = Stage()
    other, _, _ = stage.connect(stage.seen.client_made)
    stage.lend()
    stage.seen.upstream_received(stage.connection, lambda: stage.client.write(b"mine"))
    assert stage.seen.take() == []
    stage.seen.upstream_received(stage.connection, lambda: other.write(b"mine"))
    assert stage.seen.take() == ["d: another client's response was written here: b'mine'"]
    stage.user.handler = stage.forwarding(stage.user)
    stage.seen.upstream_received(stage.connection, lambda: None)
    assert stage.seen.take() == ["d: bytes for 'GET /', which is over"]


def test_nothing_begins_while_responses_wait() -> None:
    """F7, c: neither is a request begun above the mark, nor is one read."""
    stage = Stage()
    stage.client.set_write_buffer_limits(high=4096)
    stage.client_fake.unsent = 4097
    stage.seen.exchange_made(stage.holder.exchange)
    assert stage.seen.take() == ["c: 'GET /' was begun while 4097 bytes waited to be sent"]
    stage.seen.client_received(stage.user, b"x")
    assert stage.seen.take() == [], "a body, or what is held"
    stage.user.handler = None
    stage.seen.client_received(stage.user, b"x")
    assert stage.seen.take() == ["c: b'x' was read while 4097 bytes waited to be sent"]
    stage.client_fake.unsent = 4096
    stage.seen.exchange_made(stage.holder.exchange)
    assert stage.seen.take() == []
