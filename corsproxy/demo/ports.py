"""Finds ports for the demo: knows sockets that are bound, not what is served on them."""

import errno
import socket
from typing import Final

LOOPBACK: Final = "127.0.0.1"


class CannotListenError(Exception):
    """An address that was asked for cannot be listened on. The message says which and what to do."""


def choose(port: int | None, preferred: int) -> int:
    """Return the port to bind: `port`, or where it is None `preferred` if free, else 0 for any.

    Raises CannotListenError if `port` was given and is taken.
    """
    if port is None:
        return preferred if is_free(preferred) else 0
    if port and not is_free(port):
        raise CannotListenError(
            f"port {port} on {LOOPBACK} is in use by another program; "
            "stop that one, choose another port, or leave the option out to take any free one",
        )
    return port


def claim(port: int | None, preferred: int) -> socket.socket:
    """Return a socket bound on loopback to the port that `choose` chooses."""
    return bind(LOOPBACK, choose(port, preferred))


def is_free(port: int) -> bool:
    """Tell whether `localhost:port` would reach nobody: in IPv4 and, as far as there is one, IPv6.

    A browser tries both for the name localhost; another program on [::1] would answer for the demo.
    """
    return _can_bind(LOOPBACK, port) and _can_bind("::1", port)


def bind(host: str, port: int) -> socket.socket:
    """Return a stream socket bound to `host` (an address literal) and `port`, 0 for any.

    Raises CannotListenError if that is not possible.
    """
    try:
        return _bind(host, port)
    except OSError as error:
        raise CannotListenError(
            f"cannot listen on {host} port {port}: {(error.strerror or str(error)).lower()}; "
            "choose an address of this machine as numbers, and a free port",
        ) from error


def port_of(bound: socket.socket) -> int:
    """Return the port a socket is bound to."""
    port: int = bound.getsockname()[1]
    return port


def _bind(host: str, port: int) -> socket.socket:
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


def _can_bind(host: str, port: int) -> bool:
    try:
        _bind(host, port).close()
    except OSError as error:
        # No IPv6 here at all: then nobody listens there either.
        return ":" in host and error.errno in {
            errno.EADDRNOTAVAIL,
            errno.EAFNOSUPPORT,
        }
    return True
