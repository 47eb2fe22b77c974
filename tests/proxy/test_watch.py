"""Who notices that a client has gone from which nothing is read: forwarding.md F6, F7."""

import socket

from corsproxy.proxy.watch import Watch


class Paused:
    """A connection from which nothing is read."""

    def __init__(self, descriptor: int, *, leaves_by_fin: bool = True) -> None:
        self.left: list[bool] = []
        self.leaves_by_fin = leaves_by_fin
        self._descriptor = descriptor

    def descriptor(self) -> int:
        """Return what it was made with."""
        return self._descriptor

    def peer_left(self, *, by_reset: bool) -> None:
        """Note how its peer left."""
        self.left.append(by_reset)


def test_an_end_is_reported_once() -> None:
    """F6: a FIN if that means leaving, each once, and nothing of who is watched no more."""
    ours, theirs = socket.socketpair()
    watch = Watch()
    leaving, staying = Paused(ours.fileno()), Paused(theirs.fileno(), leaves_by_fin=False)
    watch.add(leaving)
    watch.look()
    assert leaving.left == []
    theirs.shutdown(socket.SHUT_WR)
    watch.look()
    watch.look()
    assert leaving.left == [False]
    ours.shutdown(socket.SHUT_WR)
    watch.add(staying)
    watch.discard(staying)
    watch.look()
    assert staying.left == []
    ours.close()
    theirs.close()


def test_a_closed_socket_is_passed_over() -> None:
    """F7: over TLS it is closed before its connection is notified; the others are looked at."""
    ours, theirs = socket.socketpair()
    watch = Watch()
    closed, leaving = Paused(-1), Paused(ours.fileno())
    watch.add(closed)
    watch.add(leaving)
    theirs.close()
    watch.look()
    assert closed.left == []
    assert leaving.left
    watch.discard(closed)
    ours.close()


def test_a_descriptor_that_was_used_again_belongs_to_its_new_connection() -> None:
    """F6: what was watched under it before is gone, and its discard takes nothing away."""
    ours, theirs = socket.socketpair()
    watch = Watch()
    before, now = Paused(ours.fileno()), Paused(ours.fileno())
    watch.add(before)
    watch.look()
    watch.add(now)
    watch.look()
    watch.discard(before)
    theirs.close()
    watch.look()
    assert before.left == []
    assert now.left
    ours.close()
