"""Binds the addresses that are listened on. Knows sockets and why one is not to be had, no requests."""

import contextlib
import errno
import os
import socket
from typing import Final, NamedTuple

from corsproxy.policy.plan import Address, TcpAddress, UnixAddress


class CannotStart(Exception):  # noqa: N818 - it is what the user is told
    """The service cannot start; the text says why and what to do."""


class Bound(NamedTuple):
    """Where it really listens (port 0 means any free one), and the sockets for each who shares it.

    The kernel spreads connections over the sockets of a port; a unix socket is one for all.
    """

    address: Address
    sockets: tuple[socket.socket, ...]

    def of(self, share: int) -> socket.socket:
        """Return the socket of one of those who share the address."""
        return self.sockets[share % len(self.sockets)]


class Listeners:
    """The sockets of this process, each address shared by `shares` workers."""

    def __init__(self, shares: int = 1) -> None:
        self._shares = shares
        self._bound: list[Bound] = []

    def bind(self, address: Address, shares: int | None = None) -> Bound:
        """Bind `address` and return its sockets. Raises CannotStart."""
        try:
            bound = _bind(address, shares or self._shares)
        except OSError as error:
            raise CannotStart(_why_cannot_bind(address, error)) from error
        self._bound.append(bound)
        return bound

    def close(self) -> None:
        """Close the sockets, and remove those that have a path. May be called again."""
        bound, self._bound = self._bound, []
        for address, sockets in bound:
            for sock in sockets:
                sock.close()
            if isinstance(address, UnixAddress):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(address.path)  # noqa: PTH108 - a socket's path is a string everywhere else


def _bind(address: Address, shares: int) -> Bound:
    if isinstance(address, UnixAddress):
        return Bound(address, (_bind_unix(address.path),))
    first = _bind_tcp(address, shared=False)
    if shares > 1:
        # Sockets that share a port do not object to those of another program of this user: only
        # one that does not share finds out that somebody is there.
        found = first.getsockname()[1]
        first.close()
        address = TcpAddress(address.host, found)
    sockets = [first] if shares == 1 else []
    try:
        while len(sockets) < shares:
            sockets.append(_bind_tcp(address, shared=True))
    except OSError:
        for sock in sockets:
            sock.close()
        raise
    host, port = sockets[0].getsockname()[:2]
    return Bound(TcpAddress(host, port), tuple(sockets))


def _bind_tcp(address: TcpAddress, *, shared: bool) -> socket.socket:
    infos = socket.getaddrinfo(
        address.host,
        address.port,
        type=socket.SOCK_STREAM,
        flags=socket.AI_PASSIVE,
    )
    family, kind, protocol, _, where = infos[0]
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, address.host != "::")
        sock.bind(where)
        sock.setblocking(False)  # noqa: FBT003
    except BaseException:
        sock.close()
        raise
    return sock


def _bind_unix(path: str) -> socket.socket:
    """Bind a unix socket; take the place of one that nobody serves any more."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if _is_abandoned(path):
            os.unlink(path)  # noqa: PTH108
        sock.bind(path)
        sock.setblocking(False)  # noqa: FBT003
    except BaseException:
        sock.close()
        raise
    return sock


def _is_abandoned(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return True
        except FileNotFoundError:
            pass
    return False


_ADVICE: Final = {
    errno.EADDRINUSE: "another program listens there; stop it, or choose another address",
    errno.EACCES: "this user may not listen there; choose a port above 1023",
    errno.EADDRNOTAVAIL: "this machine has no such address; 0.0.0.0 means all of them",
}


def _why_cannot_bind(address: Address, error: OSError) -> str:
    advice = _ADVICE.get(error.errno or 0, "choose another address")
    return f"cannot listen on {address}: {(error.strerror or str(error)).lower()}; {advice}"
