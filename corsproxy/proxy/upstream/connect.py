"""Opens connections to upstreams: resolves the name, tries its addresses, does the TLS handshake.

All addresses of a name are tried, and an attempt starts before the previous one has failed. If none
succeeds, the addresses are expired (forwarding.md F9, https://www.rfc-editor.org/rfc/rfc8305.html).
"""

import asyncio
import contextlib
import errno
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from ipaddress import ip_address
from typing import Final, TypeVar

import aiohappyeyeballs

from corsproxy.policy.compiled import TcpAddress, UnixAddress, Upstream
from corsproxy.proxy import faults
from corsproxy.proxy.faults import Fault
from corsproxy.proxy.upstream.resolve import AddressInfo, Name, Resolver
from corsproxy.tls.contexts import BadTlsFile
from corsproxy.tls.renewal import RenewedContext, dialling_context

P = TypeVar("P", bound=asyncio.Protocol)

_OUT_OF_DESCRIPTORS: Final = frozenset({errno.EMFILE, errno.ENFILE})
# In seconds: the Connection Attempt Delay of RFC 8305 5.
_ATTEMPT_DELAY: Final = 0.25
# For how long to wait for the close_notify of an upstream before the connection is aborted, in seconds.
_CLOSE_TIMEOUT: Final = 2.0


class Connector:
    """Opens connections to one upstream. Belongs to one loop."""

    def __init__(self, upstream: Upstream, resolver: Resolver) -> None:
        address = upstream.address
        self._upstream = upstream
        self._loop = asyncio.get_running_loop()
        self._tls: RenewedContext | None = None
        self._literal = _literal(address) if isinstance(address, TcpAddress) else []
        self._name: Name | None = None
        if isinstance(address, TcpAddress) and not self._literal:
            self._name = resolver.name(address.host)

    async def open(
        self,
        factory: Callable[[], P],
    ) -> tuple[P, socket.socket]:
        """Return a connected protocol and its socket. Raise Fault if that fails or takes too long."""
        upstream = self._upstream
        sock: socket.socket | None = None
        try:
            async with asyncio.timeout(upstream.timeouts.connect or None):
                addresses = await self._name.addresses() if self._name else ()
                with self._expiring(addresses):
                    sock = await self._connect_socket(addresses)
                    protocol = await self._start_protocol(factory, sock)
        # Subclasses first: TimeoutError, gaierror and SSLError are OSErrors. The kind decides the status
        # that the client gets (F2).
        except TimeoutError as error:
            raise self._failed(sock, faults.UPSTREAM_CONNECT_TIMEOUT) from error
        except socket.gaierror as error:
            raise self._failed(sock, faults.UPSTREAM_NAME) from error
        except BadTlsFile as error:
            raise self._failed(sock, faults.UPSTREAM_TLS, str(error)) from error
        except ssl.SSLError as error:
            raise self._failed(sock, faults.UPSTREAM_TLS, _why(error)) from error
        except OSError as error:
            # With a socket, the connection was opened and then lost during the TLS handshake.
            kind = faults.UPSTREAM_UNREACHABLE if sock is None else faults.UPSTREAM_TLS
            if error.errno in _OUT_OF_DESCRIPTORS:
                kind = (
                    faults.OVERLOADED
                )  # O2: our own limit, so it does not count for the breaker (O7)
            raise self._failed(sock, kind, error.strerror or "") from error
        except asyncio.CancelledError:
            self._failed(sock, faults.UPSTREAM_UNREACHABLE)
            raise
        return protocol, sock

    @contextlib.contextmanager
    def _expiring(self, addresses: Sequence[AddressInfo]) -> Iterator[None]:
        """Expire `addresses` if connecting to them fails: the server may have moved."""
        try:
            yield
        except BaseException:  # a time limit comes as a cancellation
            if self._name is not None:
                self._name.expire(addresses)
            raise

    def _failed(self, sock: socket.socket | None, kind: faults.FaultKind, note: str = "") -> Fault:
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.close()
        return Fault(kind, note)

    async def _start_protocol(
        self,
        factory: Callable[[], P],
        sock: socket.socket,
    ) -> P:
        """Return a protocol connected to `sock`, over TLS if the upstream's URL is https."""
        upstream, loop = self._upstream, self._loop
        if isinstance(upstream.address, UnixAddress):
            _, protocol = await loop.create_unix_connection(factory, sock=sock)
        elif upstream.scheme == "http":
            _, protocol = await loop.create_connection(factory, sock=sock)
        else:
            if self._tls is None:
                self._tls = dialling_context(upstream.tls)
            # `connect` includes the handshake; the loop's own limit must be longer, or it would end first.
            limit = upstream.timeouts.connect * 2 or None
            _, protocol = await loop.create_connection(
                factory,
                sock=sock,
                ssl=self._tls.context(),
                server_hostname=upstream.tls.server_name or upstream.address.host.rstrip("."),
                ssl_handshake_timeout=limit,
                ssl_shutdown_timeout=_CLOSE_TIMEOUT,
            )
        return protocol

    async def _connect_socket(self, addresses: Sequence[AddressInfo]) -> socket.socket:
        """Return a socket connected to the Unix socket, the IP literal, or one of `addresses`."""
        address = self._upstream.address
        if isinstance(address, UnixAddress):
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            sock.setblocking(False)  # noqa: FBT003 - the socket module's own signature
            try:
                await self._loop.sock_connect(sock, address.path)
            except BaseException:
                sock.close()
                raise
            return sock
        sock = await aiohappyeyeballs.start_connection(
            self._literal or [_at(info, address.port) for info in addresses],
            happy_eyeballs_delay=_ATTEMPT_DELAY,
            loop=self._loop,
        )
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock


def _why(error: ssl.SSLError) -> str:
    """Return the reason of a TLS failure, for the log."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate is not trusted: {error.verify_message}"
    return error.reason or "the handshake failed"


def _at(info: AddressInfo, port: int) -> AddressInfo:
    """Return `info` with `port` in place of its own."""
    host, _, *rest = info[4]
    return (*info[:4], (host, port, *rest))


def _literal(address: TcpAddress) -> list[AddressInfo]:
    """Return the address of an IP literal, which needs no lookup; [] for a name."""
    try:
        literal = ip_address(address.host)
    except ValueError:
        return []
    where = (address.host, address.port)
    if literal.version == 4:
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", where)]
    return [(socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (*where, 0, 0))]
