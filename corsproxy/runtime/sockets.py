"""Binds the sockets to listen on, and reports why an address cannot be bound."""

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

# The number of connections that the kernel queues for a socket until they are accepted.
BACKLOG: Final = 1024

# Seconds to wait for another process that binds a unix socket in the same folder, and between two
# attempts.
_LOCK_TIMEOUT: Final = 2.0
_LOCK_INTERVAL: Final = 0.01

# A file's device and inode.
_Identity = tuple[int, int]


class CannotStart(Exception):  # noqa: N818 - a message to the user
    """The service cannot start; the text says why and what to do."""


class Bound(NamedTuple):
    """The address with the port that the system chose, and the sockets that workers accept from.

    The kernel spreads connections over the sockets of a port. All workers share one unix socket.
    """

    address: Address
    sockets: tuple[socket.socket, ...]

    def of(self, share: int) -> socket.socket:
        """Return the socket of one worker."""
        return self.sockets[share % len(self.sockets)]


class ListenSockets:
    """The sockets that this process listens on: for each address, one for each of `shares` workers.

    `addresses` are all that will be bound, here or elsewhere in this program: an IPv6 wildcard leaves
    IPv4 to another one of them with the same port, whichever of the two is bound first (P7).
    """

    def __init__(self, shares: int = 1, addresses: Iterable[Address] = ()) -> None:
        self._shares = shares
        self._addresses = tuple(addresses)
        self._ipv4_ports = frozenset(
            [port for address in self._addresses for port in _ipv4_port(address)]
        )
        self._bound: list[Bound] = []
        self._paths: list[tuple[str, _Identity]] = []

    def bind(self, address: Address) -> Bound:
        """Bind `address`, listen there and return the sockets. Raises CannotStart.

        It listens at once: with SO_REUSEADDR several programs can bind an address as long as none of
        them listens there, and every one except the first would fail later.
        """
        try:
            if isinstance(address, UnixAddress):
                bound = Bound(address, (self._bind_unix(address.path),))
            else:
                only_v6 = not _is_any_ipv6(address.host) or address.port in self._ipv4_ports
                bound = _bind_shared(address, self._shares, only_v6=only_v6)
        except OSError as error:
            raise CannotStart(self._why_cannot_bind(address, error)) from error
        self._bound.append(bound)
        return bound

    def _bind_unix(self, path: str) -> socket.socket:
        """Bind a unix socket; replace one of this user that no process listens on any more.

        The folder is locked meanwhile: of two processes that start at the same time, one would remove
        the other's socket, which is bound but not listening yet.
        """
        with (
            _locked(os.path.dirname(path)),  # noqa: PTH120 - a string everywhere
            _closed_on_error(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as sock,
        ):
            _remove_abandoned(path)
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
        """Return a hint at another address of the configuration with the same port, or "" (P7)."""
        for other in self._addresses:
            if isinstance(other, TcpAddress) and other.port == address.port and other != address:
                return f", or this one on {other},"
        return ""

    def close(self) -> None:
        """Close the sockets, and remove the paths of unix sockets. May be called again."""
        bound, self._bound = self._bound, []
        for _, sockets in bound:
            for sock in sockets:
                sock.close()
        paths, self._paths = self._paths, []
        for path, ours in paths:
            # Another process may have replaced it since.
            if _socket_at(path) == ours:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)  # noqa: PTH108 - a socket's path is a string everywhere else


# --- TCP -----------------------------------------------------------------------------------


def _ipv4_port(address: Address) -> list[int]:
    """Return the port of an address that is IPv4, or a name, which may resolve to IPv4."""
    if not isinstance(address, TcpAddress) or ":" in address.host or not address.port:
        return []
    return [address.port]


def _is_any_ipv6(host: str) -> bool:
    return ":" in host and IPv6Address(host).is_unspecified


def _bind_shared(address: TcpAddress, shares: int, *, only_v6: bool) -> Bound:
    first = bind_tcp(address, only_v6=only_v6)
    if shares > 1:
        # SO_REUSEPORT also shares the port with other programs of this user: only binding a socket
        # without it shows whether another program listens there.
        port = first.getsockname()[1]
        first.close()
        address = TcpAddress(address.host, port)
    sockets = [first] if shares == 1 else []
    try:
        while len(sockets) < shares:
            sockets.append(bind_tcp(address, only_v6=only_v6, shared=True))
        for sock in sockets:
            sock.listen(BACKLOG)
            sock.setblocking(False)  # noqa: FBT003 - the socket module's own signature
    except OSError:
        for sock in sockets:
            sock.close()
        raise
    host, port = sockets[0].getsockname()[:2]
    return Bound(TcpAddress(host, port), tuple(sockets))


def bind_tcp(address: TcpAddress, *, only_v6: bool = False, shared: bool = False) -> socket.socket:
    """Return a socket bound to `address`, not listening yet. Raises OSError.

    `only_v6`: if `address` is the IPv6 wildcard, do not accept IPv4. `shared`: let other sockets of
    this user bind the same port.
    """
    infos = socket.getaddrinfo(
        address.host,
        address.port,
        type=socket.SOCK_STREAM,
        flags=socket.AI_PASSIVE,
    )
    family, kind, protocol, _, where = infos[0]
    with _closed_on_error(socket.socket(family, kind, protocol)) as sock:
        # So that connections in TIME_WAIT from an earlier run do not keep the port in use.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only_v6)
        sock.bind(where)
        return sock


def listen_tcp(address: TcpAddress) -> socket.socket:
    """Return a socket that listens on `address`. Raises OSError."""
    with _closed_on_error(bind_tcp(address)) as sock:
        sock.listen(BACKLOG)
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
def _locked(folder: str) -> Iterator[None]:
    """Lock `folder` against other processes that bind sockets there, without a lock file.

    Any user who can read a folder can lock it, so the wait for the lock is limited.
    """
    try:
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:  # the folder may still be writable; if not, binding reports why
        yield
        return
    try:
        deadline = time.monotonic() + _LOCK_TIMEOUT
        while not _lock(lock) and time.monotonic() < deadline:
            time.sleep(_LOCK_INTERVAL)
        yield
    finally:
        os.close(lock)


def _lock(descriptor: int) -> bool:
    """Try to lock a folder; return True also if its file system has no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True  # some network file systems
    return True


def _remove_abandoned(path: str) -> None:
    """Remove a socket of this user at `path` that no process listens on.

    Leave anything else alone (P7). Raises CannotStart for a file, a directory, a symbolic link or a socket
    of another user, OSError for a socket that a process listens on.
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
    """Return whether no process listens on the socket, without waiting if its backlog is full."""
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
    """Return the identity of the socket at `path`, without following a link; None if there is none."""
    try:
        there = os.lstat(path)
    except OSError:
        return None
    return _identity(there) if stat.S_ISSOCK(there.st_mode) else None


def _identity(there: os.stat_result) -> _Identity:
    return there.st_dev, there.st_ino


# What to do about an error. `_why_cannot_bind` writes the subject of the advice for EADDRINUSE.
_ADVICE: Final = {
    errno.EADDRINUSE: "listens there; stop it, or choose another address",
    errno.EACCES: "this user may not listen there; choose a port above 1023",
    errno.EADDRNOTAVAIL: "this machine has no such address; 0.0.0.0 means all of them",
}
_UNIX_ADVICE: Final = {
    errno.EADDRINUSE: "another program listens there; stop it, or choose another path",
    errno.EACCES: "this user may not create a socket there; choose another path",
    errno.ENOENT: "create its directory, or choose another path",
    errno.ENOTDIR: "a directory of the path is a file; choose another path",
    errno.EPROTOTYPE: "a socket of another kind is there; move it away, or choose another path",
}
