"""Finds free ports for the demo, and listens on them."""

import errno
import socket
from typing import Final

from corsproxy.policy.compiled import TcpAddress
from corsproxy.runtime.sockets import CannotStart, bind_tcp, listen_tcp

LOOPBACK: Final = "127.0.0.1"


def choose(port: int | None, preferred: int) -> int:
    """Return the port to bind: `port`; or, if it is None, `preferred` if that is free, else 0.

    Raises CannotStart if `port` is given and in use.
    """
    if port is None:
        return preferred if is_free(preferred) else 0
    if port and not is_free(port):
        raise CannotStart(
            f"port {port} on {LOOPBACK} is in use by another program; "
            "stop that program, choose another port, or omit the option to use a free one",
        )
    return port


def claim(port: int | None, preferred: int) -> socket.socket:
    """Return a socket that listens on loopback, on the port that `choose` selects."""
    try:
        return bind(LOOPBACK, choose(port, preferred))
    except CannotStart:
        if port is not None:
            raise
        # Another program began to listen on the preferred port after it was free.
        return bind(LOOPBACK, 0)


def is_free(port: int) -> bool:
    """Return whether no program listens on `localhost:port`, in IPv4 and in IPv6.

    A browser tries both for the name localhost: it might get its page from a program on [::1].
    """
    return _can_bind(LOOPBACK, port) and _can_bind("::1", port)


def bind(host: str, port: int) -> socket.socket:
    """Return a socket that listens on `host` (an address literal) and `port`; 0 is any free port.

    It listens at once, because other programs can bind the port until it does. Raises CannotStart
    if that fails.
    """
    try:
        return listen_tcp(TcpAddress(host, port))
    except OSError as error:
        raise CannotStart(
            f"cannot listen on {host} port {port}: {(error.strerror or str(error)).lower()}; "
            "use an IP address of this machine, and a free port",
        ) from error


def port_of(bound: socket.socket) -> int:
    """Return the port that a socket is bound to."""
    port: int = bound.getsockname()[1]
    return port


def _can_bind(host: str, port: int) -> bool:
    try:
        bind_tcp(TcpAddress(host, port)).close()
    except OSError as error:
        # Without IPv6 on this machine, no program listens there.
        return ":" in host and error.errno in {
            errno.EADDRNOTAVAIL,
            errno.EAFNOSUPPORT,
        }
    return True
