"""What a look at a socket finds before the loop reads it (forwarding.md S12)."""

import socket
import struct

from corsproxy.proxy.upstream.probe import Probe, Unread
from tests.support.wire import listen


def test_s12_data_and_ends_are_found_without_reading() -> None:
    """S12: bytes, then a FIN behind them, which counts as an end."""
    ours, peer = socket.socketpair()
    with ours, peer:
        probe = Probe(ours)
        assert probe.look() is Unread.nothing
        peer.send(b"x")
        assert [probe.look(), probe.look()] == [Unread.data, Unread.data]
        peer.shutdown(socket.SHUT_WR)
        assert probe.look() is Unread.end
        assert ours.recv(2) == b"x"
        assert probe.look() is Unread.end


def test_s12_a_reset_is_an_end() -> None:
    """S12: and so the connection is not used again."""
    with listen() as listener, socket.create_connection(listener.getsockname()) as ours:
        peer, _ = listener.accept()
        probe = Probe(ours)
        assert probe.look() is Unread.nothing
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()
        assert probe.look() is Unread.end
