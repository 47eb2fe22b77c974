"""Finds ports for the demo: knows sockets that are bound, not what is served on them."""

import errno
import socket
from typing import Final

LOOPBACK: Final = "127.0.0.1"


class PortInUseError(Exception):
    """A port that was asked for by number is taken. The message says which and what to do."""


def claim(port: int | None, preferred: int) -> socket.socket:
    """Return a socket bound to `port` of loopback; None means `preferred`, or any if that is taken.

    Raises PortInUseError if `port` was given and is taken.
    """
    if port is None:
        port = preferred if is_free(preferred) else 0
    elif port and not is_free(port):
        raise PortInUseError(
            f"port {port} on {LOOPBACK} is in use by another program; "
            "stop that one, choose another port, or leave the option out to take any free one",
        )
    return bind(LOOPBACK, port)


def choose(port: int | None, preferred: int) -> int:
    """Return a port of loopback as `claim` would take it, but leave it to somebody else to bind."""
    with claim(port, preferred) as bound:
        return port_of(bound)


def is_free(port: int) -> bool:
    """Tell whether `localhost:port` would reach nobody: in IPv4 and, as far as there is one, IPv6.

    A browser tries both for the name localhost; another program on [::1] would answer for the demo.
    """
    return _can_bind(socket.AF_INET, LOOPBACK, port) and _can_bind(socket.AF_INET6, "::1", port)


def bind(host: str, port: int) -> socket.socket:
    """Return a stream socket bound to `host` (an address literal) and `port`, 0 for any.

    Raises OSError if that is not possible, e.g. because the port is in use.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        # A connection of an earlier run in TIME_WAIT is no other program.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
    except OSError:
        bound.close()
        raise
    return bound


def port_of(bound: socket.socket) -> int:
    """Return the port a socket is bound to."""
    port: int = bound.getsockname()[1]
    return port


def _can_bind(family: socket.AddressFamily, host: str, port: int) -> bool:
    try:
        bind(host, port).close()
    except OSError as error:
        # No IPv6 here at all: then nobody listens there either.
        return family == socket.AF_INET6 and error.errno in {
            errno.EADDRNOTAVAIL,
            errno.EAFNOSUPPORT,
        }
    return True
