"""Counts and bounds connections from accept to the end of their TLS handshake.

The loops' servers count a TLS connection only after its handshake, so silent clients could occupy
all descriptors. Here each is counted from accept on (forwarding.md O2). Until its first byte it is a
socket and an entry in a list; then the handshake begins, which ends in a `ClientConnection`.
"""

from collections import OrderedDict
from socket import socket
from typing import TYPE_CHECKING, Final

from corsproxy.proxy.client import ClientConnection
from corsproxy.proxy.state import ServerState
from corsproxy.tls.renewal import RenewedContext

if TYPE_CHECKING:
    from asyncio import Task

# The loops include unsent data in TLS's shutdown and abort both at this limit, in seconds. The
# connection's own deadlines limit them instead.
_SHUTDOWN: Final = 24 * 3600.0
# For how long a handshake that has begun keeps its place if others need it, in seconds: real clients
# take a round trip or two, which is milliseconds unless they are far away.
_ROUND_TRIPS: Final = 0.1
# With fewer places than these, that time is shorter in proportion: however few there are, to occupy
# them all the time takes a hundred new handshakes a second.
_PLACES: Final = 10


class Handshake:
    """One connection before the end of its TLS handshake; `deadline` is that of its first head."""

    __slots__ = ("_all", "_context", "_is_shaking", "_sock", "_task", "began", "deadline")

    def __init__(
        self, handshakes: "Handshakes", sock: socket, context: RenewedContext, deadline: float
    ) -> None:
        self._all = handshakes
        self._sock = sock
        self._context = context
        self._task: Task[None] | None = None
        self._is_shaking = False
        self.began = 0.0
        self.deadline = deadline
        handshakes.loop.add_reader(sock, self._begin)

    def _begin(self) -> None:
        """Begin the handshake: the first byte has arrived."""
        loop = self._all.loop
        loop.remove_reader(self._sock)
        self.began = loop.time()
        self._task = loop.create_task(self._shake())
        self._all.begun(self)

    async def _shake(self) -> None:
        state = self._all.state
        self._is_shaking = True
        try:
            await state.loop.connect_accepted_socket(
                lambda: ClientConnection(state, self),
                self._sock,
                ssl=self._context.context(),
                ssl_handshake_timeout=state.config.server.timeouts.request_header or None,
                ssl_shutdown_timeout=_SHUTDOWN,
            )
        except OSError:
            pass  # the client left or does not use TLS: no request was lost
        finally:
            self._all.over(self)

    def made(self) -> None:
        """Stop counting the handshake: its client connection is counted from now on."""
        self._all.over(self)

    def cut(self) -> None:
        """Abort the handshake."""
        self._all.over(self)
        if self._task is not None:
            self._task.cancel()
        if (
            not self._is_shaking
        ):  # its task, if there is one, is cancelled before it takes the socket
            self._all.loop.remove_reader(self._sock)
            self._sock.close()


class Handshakes:
    """All connections of a worker before the end of their TLS handshake, the oldest first."""

    def __init__(self, state: ServerState) -> None:
        self.state = state
        self.loop = state.loop
        self._silent: OrderedDict[Handshake, None] = OrderedDict()
        self._begun: OrderedDict[Handshake, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._silent) + len(self._begun)

    def take(self, sock: socket, context: RenewedContext) -> None:
        """Register an accepted connection, or close it: before the handshake no response can be sent."""
        state, connections = self.state, self.state.connections
        limits = connections.limits
        if len(self) >= limits.handshaking and not self._make_room():
            state.reports.overloaded("the number of TLS handshakes", limits.handshaking)
            sock.close()
            return
        fits = connections.make_room(connections.count + 1)
        if not fits and connections.count >= limits.served + limits.held:
            state.reports.overloaded("the number of connections", limits.served)
            sock.close()
            return
        deadline = state.clock.after(state.config.server.timeouts.request_header)
        self._silent[Handshake(self, sock, context, deadline)] = None

    def _make_room(self) -> bool:
        """Abort the least promising handshake to make room; return False if there is none.

        Silent ones first: a real client sends its first byte at once. Those that have begun are
        aborted only if they are slow, or under load no handshake would ever complete.
        """
        for handshake in self._silent:
            handshake.cut()
            return True
        kept = _ROUND_TRIPS * min(1.0, self.state.connections.limits.handshaking / _PLACES)
        for handshake in self._begun:
            if self.loop.time() - handshake.began < kept:
                return False
            handshake.cut()
            return True
        return False

    def begun(self, handshake: Handshake) -> None:
        """Record that the first byte of a connection has arrived."""
        del self._silent[handshake]
        self._begun[handshake] = None

    def over(self, handshake: Handshake) -> None:
        """Remove a connection."""
        self._silent.pop(handshake, None)
        self._begun.pop(handshake, None)

    def sweep(self, now: float) -> None:
        """Abort those that are past the limit for a request's head."""
        late = [one for each in (self._silent, self._begun) for one in each if one.deadline < now]
        for handshake in late:
            handshake.cut()

    def close(self) -> None:
        """Abort all of them."""
        for handshake in [*self._silent, *self._begun]:
            handshake.cut()
