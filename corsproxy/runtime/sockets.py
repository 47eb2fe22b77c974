"""Binds the addresses that are listened on. Knows sockets and why one is not to be had, no requests."""

import contextlib
import errno
import fcntl
import os
import socket
import stat
import time
from collections.abc import Iterable, Iterator
from ipaddress import IPv6Address
from typing import Final, NamedTuple

from corsproxy.policy.compiled import Address, TcpAddress, UnixAddress

# How many connections the kernel keeps for a socket until they are accepted.
BACKLOG: Final = 1024

# How long others that start are waited for, and how often it is looked whether they are done, in
# seconds.
_LONGEST_LOCK: Final = 2.0
_LOCK_AGAIN: Final = 0.01

# A file's device and inode.
_Identity = tuple[int, int]


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


class ListenSockets:
    """The sockets of this process, each address shared by `shares` workers.

    `addresses` are all that will be bound: an IPv6 wildcard leaves IPv4 to another one of them
    that has the same port, whichever of the two is bound first (P7).
    """

    def __init__(self, shares: int = 1, addresses: Iterable[Address] = ()) -> None:
        self._shares = shares
        self._addresses = tuple(addresses)
        self._ipv4_ports = frozenset(
            [port for address in self._addresses for port in _ipv4_port(address)]
        )
        self._bound: list[Bound] = []
        self._paths: list[tuple[str, _Identity]] = []

    def bind(self, address: Address, shares: int | None = None) -> Bound:
        """Bind `address`, listen there and return the sockets. Raises CannotStart.

        What is returned does listen: of two sockets that are merely bound to one address, both
        would be there, and one of them would never get a connection.
        """
        try:
            if isinstance(address, UnixAddress):
                bound = Bound(address, (self._bind_unix(address.path),))
            else:
                only_v6 = not _is_any_ipv6(address.host) or address.port in self._ipv4_ports
                bound = _bind_tcp(address, shares or self._shares, only_v6=only_v6)
        except OSError as error:
            raise CannotStart(self._why_cannot_bind(address, error)) from error
        self._bound.append(bound)
        return bound

    def _bind_unix(self, path: str) -> socket.socket:
        """Bind a unix socket; take the place of one of this user's that nobody serves any more.

        Of two that start at a time, one would find the other's socket bound and not yet served.
        """
        with (
            _alone_at(os.path.dirname(path)),  # noqa: PTH120 - a string everywhere
            _closed_on_error(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as sock,
        ):
            _make_way(path)
            sock.bind(path)
            found = _socket_at(path)
            if found is not None:
                self._paths.append((path, found))
            sock.listen(BACKLOG)
            sock.setblocking(False)  # noqa: FBT003
            return sock

    def _why_cannot_bind(self, address: Address, error: OSError) -> str:
        if isinstance(address, UnixAddress):
            advice = _UNIX_ADVICE.get(error.errno or 0, "choose another path")
        else:
            advice = _ADVICE.get(error.errno or 0, "choose another address")
            if error.errno == errno.EADDRINUSE:
                advice = f"another program{self._besides(address)} {advice}"
        return f"cannot listen on {address}: {(error.strerror or str(error)).lower()}; {advice}"

    def _besides(self, address: TcpAddress) -> str:
        """Return who else may listen at `address`: another one of this configuration (P7)."""
        for other in self._addresses:
            if isinstance(other, TcpAddress) and other.port == address.port and other != address:
                return f", or this one on {other},"
        return ""

    def close(self) -> None:
        """Close the sockets, and remove those that have a path. May be called again."""
        bound, self._bound = self._bound, []
        for _, sockets in bound:
            for sock in sockets:
                sock.close()
        paths, self._paths = self._paths, []
        for path, ours in paths:
            # Somebody else may have put something of theirs there since.
            if _socket_at(path) == ours:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)  # noqa: PTH108 - a socket's path is a string everywhere else


# --- TCP -----------------------------------------------------------------------------------


def _ipv4_port(address: Address) -> list[int]:
    """Return the port that an IPv4 address takes, if this is one; a name may be one, too."""
    if not isinstance(address, TcpAddress) or ":" in address.host or not address.port:
        return []
    return [address.port]


def _is_any_ipv6(host: str) -> bool:
    return ":" in host and IPv6Address(host).is_unspecified


def _bind_tcp(address: TcpAddress, shares: int, *, only_v6: bool) -> Bound:
    first = _bind_one(address, shared=False, only_v6=only_v6)
    if shares > 1:
        # Sockets that share a port do not object to those of another program of this user: only
        # one that does not share finds out that somebody is there.
        found = first.getsockname()[1]
        first.close()
        address = TcpAddress(address.host, found)
    sockets = [first] if shares == 1 else []
    try:
        while len(sockets) < shares:
            sockets.append(_bind_one(address, shared=True, only_v6=only_v6))
        for sock in sockets:
            sock.listen(BACKLOG)
    except OSError:
        for sock in sockets:
            sock.close()
        raise
    host, port = sockets[0].getsockname()[:2]
    return Bound(TcpAddress(host, port), tuple(sockets))


def _bind_one(address: TcpAddress, *, shared: bool, only_v6: bool) -> socket.socket:
    infos = socket.getaddrinfo(
        address.host,
        address.port,
        type=socket.SOCK_STREAM,
        flags=socket.AI_PASSIVE,
    )
    family, kind, protocol, _, where = infos[0]
    with _closed_on_error(socket.socket(family, kind, protocol)) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only_v6)
        sock.bind(where)
        sock.setblocking(False)  # noqa: FBT003
        return sock


@contextlib.contextmanager
def _closed_on_error(sock: socket.socket) -> Iterator[socket.socket]:
    try:
        yield sock
    except BaseException:
        sock.close()
        raise


# --- unix sockets --------------------------------------------------------------------------


@contextlib.contextmanager
def _alone_at(folder: str) -> Iterator[None]:
    """Have no other start make a socket in `folder` meanwhile; it leaves nothing there.

    Whoever may read a folder may lock it, so who holds it for long is not waited for.
    """
    try:
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:  # making the socket says why, or succeeds in a folder that cannot be read
        yield
        return
    try:
        until = time.monotonic() + _LONGEST_LOCK
        while not _lock(lock) and time.monotonic() < until:
            time.sleep(_LOCK_AGAIN)
        yield
    finally:
        os.close(lock)


def _lock(descriptor: int) -> bool:
    """Tell whether a folder is locked now, or cannot be locked where it is."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True  # as on some network file systems
    return True


def _make_way(path: str) -> None:
    """Remove a socket of this user at `path` that nobody serves. Raises CannotStart for all else.

    A file, a directory, a symbolic link or somebody else's socket stays where it is (P7).
    """
    try:
        there = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(there.st_mode):
        raise _occupied(path, f"{_kind_of(there.st_mode)} is there", "move it away")
    if there.st_uid != os.geteuid():
        raise _occupied(path, f"a socket of user {there.st_uid} is there", "have it removed")
    if not _is_abandoned(path):
        raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
    if _socket_at(path) == _identity(there):
        os.unlink(path)  # noqa: PTH108


def _occupied(path: str, by: str, advice: str) -> CannotStart:
    return CannotStart(f"cannot listen on unix:{path}: {by}; {advice}, or choose another path")


def _kind_of(mode: int) -> str:
    if stat.S_ISLNK(mode):
        return "a symbolic link"
    return "a directory" if stat.S_ISDIR(mode) else "a file that is not a socket"


def _is_abandoned(path: str) -> bool:
    """Tell whether nobody listens at a socket. Does not wait for one whose queue is full."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)  # noqa: FBT003
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return True
        except BlockingIOError:
            return False
    return False


def _socket_at(path: str) -> _Identity | None:
    """Return which socket `path` is, without following a link; None unless it is one."""
    try:
        there = os.lstat(path)
    except OSError:
        return None
    return _identity(there) if stat.S_ISSOCK(there.st_mode) else None


def _identity(there: os.stat_result) -> _Identity:
    return there.st_dev, there.st_ino


# What to do about an error; the first one begins with who has the address.
_ADVICE: Final = {
    errno.EADDRINUSE: "listens there; stop it, or choose another address",
    errno.EACCES: "this user may not listen there; choose a port above 1023",
    errno.EADDRNOTAVAIL: "this machine has no such address; 0.0.0.0 means all of them",
}
_UNIX_ADVICE: Final = {
    errno.EADDRINUSE: "another program listens there; stop it, or choose another path",
    errno.EACCES: "this user may make no socket there; choose another path",
    errno.ENOENT: "make its directory, or choose another path",
    errno.ENOTDIR: "what should be its directory is a file; choose another path",
    errno.EPROTOTYPE: "a socket of another kind is there; move it away, or choose another path",
}
