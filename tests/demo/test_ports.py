"""The demo finds ports: the usual ones if they are free, others if not."""

import socket
from contextlib import closing

import pytest

from corsproxy.demo import ports
from corsproxy.demo.ports import LOOPBACK, bind, choose, claim, is_free, port_of
from corsproxy.runtime.sockets import CannotStart


@pytest.fixture
def taken() -> int:
    """Return the number of a port that was free a moment ago."""
    with bind(LOOPBACK, 0) as bound:
        return port_of(bound)


def test_the_preferred_port_is_taken_if_it_is_free(taken: int) -> None:
    """If no program listens there, the demo's address is the usual one."""
    with claim(None, taken) as bound:
        assert bound.getsockname() == (LOOPBACK, taken)


def test_a_busy_preferred_port_gives_another_one() -> None:
    """The demo never fails because another program uses 8080."""
    with closing(socket.create_server((LOOPBACK, 0))) as other:
        busy = port_of(other)
        with claim(None, busy) as bound:
            assert port_of(bound) != busy
        assert choose(None, busy) == 0


def test_a_claimed_port_stays_claimed(taken: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two demos that find the preferred port free, the second takes another one."""
    monkeypatch.setattr(ports, "is_free", lambda _: True)
    with claim(None, taken) as first, claim(None, taken) as second:
        assert port_of(first) == taken != port_of(second)
        with pytest.raises(CannotStart, match="address already in use"):
            claim(taken, 1)


def test_a_busy_port_that_was_asked_for_is_an_error_that_names_it() -> None:
    """--page-port 3000 means that port or an error."""
    with closing(socket.create_server((LOOPBACK, 0))) as other:
        busy = port_of(other)
        with pytest.raises(CannotStart, match=rf"port {busy} on 127\.0\.0\.1 is in use"):
            claim(busy, 1)


def test_zero_means_any_port() -> None:
    """Port 0 is never in use."""
    with claim(0, 1) as bound:
        assert port_of(bound) > 0


def test_a_listener_on_ipv6_loopback_makes_a_port_busy() -> None:
    """A browser tries [::1] for localhost first: another program there would serve it."""
    try:
        other = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("no IPv6 loopback here")
    with other:
        assert not is_free(port_of(other))
