"""Compiles the settings of the listening side: addresses, limits, TLS, trusted proxies, health, log."""

from collections.abc import Collection
from ipaddress import ip_address
from typing import Final

from corsproxy.config.addresses import read_listen, read_network
from corsproxy.config.compile.context import CompileContext
from corsproxy.config.compile.tls import SERVER_TLS_KEYS, check_tls
from corsproxy.config.models.root import Settings
from corsproxy.config.models.server import ServerTlsSection
from corsproxy.config.yaml.nodes import Path
from corsproxy.policy.authority import AddressError
from corsproxy.policy.compiled import (
    Address,
    Limits,
    LogSettings,
    Server,
    ServerTimeouts,
    ServerTls,
    TcpAddress,
    TrustedPeer,
)
from corsproxy.tls.contexts import server_context

_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
_HEALTH_PORT: Final = 9902
_HERE: Final = _LOOPBACK | {"0.0.0.0", "::"}  # noqa: S104 - read, not bound


class BoundAddresses:
    """The addresses of all listeners; two that conflict are reported."""

    def __init__(self, context: CompileContext) -> None:
        self._context = context
        self._taken: dict[Address, Path] = {}

    @property
    def addresses(self) -> Collection[Address]:
        """The addresses so far."""
        return self._taken.keys()

    def read(self, text: str, path: Path) -> Address | None:
        """Return the address in the value at `path`; report it and return None if it is not valid."""
        context = self._context
        try:
            address = read_listen(text)
        except AddressError as fault:
            context.report("address_invalid", path, found=context.masked(path, text), fault=fault)
            return None
        first = next((taken for taken in self._taken if _overlap(taken, address)), None)
        if first is not None:
            self._report_twice(path, address, first)
        self._taken.setdefault(address, path)
        return address

    def _report_twice(self, path: Path, address: Address, first: Address) -> None:
        """Report that `address`, at `path`, conflicts with `first`; one of them may be a default."""
        context, taken = self._context, self._taken[first]
        found, it = context.masked(path, str(address)), context.masked(taken, str(first))
        it = "the same address" if it == found else it
        if not context.document.wrote(path[:2]):
            found = f"{path[0]}.listen, by default {found},"
        where = f"line {context.pos(taken).line} has {it}"
        if not context.document.wrote(taken[:2]):
            where = f"{taken[0]}.listen has {it} by default"
        at = path if context.document.wrote(path[:2]) else taken
        context.report("address_twice", at, found=found, where=where)

    def reaches(self, target: Address) -> bool:
        """Return whether a connection to `target` on this machine would reach a listener."""
        if target in self._taken:
            return True
        if not isinstance(target, TcpAddress) or target.host not in _LOOPBACK:
            return False
        return any(
            isinstance(address, TcpAddress)
            and address.port == target.port
            and address.host in _HERE
            for address in self._taken
        )


def _overlap(one: Address, other: Address) -> bool:
    """Return whether two listeners conflict: equal addresses, or one with a wildcard.

    Port 0 is any free port, a different one each time; an IPv6 wildcard does not include IPv4 (P7).
    """
    if not isinstance(one, TcpAddress) or not isinstance(other, TcpAddress):
        return one == other
    if one.port != other.port or one.port == 0:
        return False
    try:
        first, second = ip_address(one.host), ip_address(other.host)
    except ValueError:
        return one == other  # a name: resolved when the proxy starts
    if first.version != second.version:
        return False
    return first == second or first.is_unspecified or second.is_unspecified


def compile_server(
    context: CompileContext, settings: Settings, listeners: BoundAddresses
) -> Server:
    """Compile the listening side; report its problems."""
    written = settings.server
    read = [
        listeners.read(text, ("server", "listen", index))
        for index, text in enumerate(written.listen)
    ]
    if not read:
        context.report("empty_value", ("server", "listen"), key="listen")
    return Server(
        listen=tuple(address for address in read if address is not None),
        tls=_tls(context, written.tls),
        workers=written.workers,
        limits=Limits(**dict(written.limits)),
        timeouts=ServerTimeouts(**dict(written.timeouts)),
        trusted_proxies=_networks(context, written.trusted_proxies),
        trusted_headers=written.trusted_headers,
        drain_delay=written.drain_delay,
        drain=written.drain,
        half_close=written.half_close,
    )


def _tls(context: CompileContext, written: ServerTlsSection | None) -> ServerTls | None:
    if written is None:
        return None
    tls = ServerTls(
        cert_file=written.cert_file,
        key_file=written.key_file,
        client_ca_file=written.client_ca_file or "",
    )
    check_tls(context, ("server", "tls"), SERVER_TLS_KEYS, lambda: server_context(tls))
    return tls


def compile_health(settings: Settings, listeners: BoundAddresses) -> Address | None:
    """Return the address of the health listener, None if it is off."""
    text = settings.health.listen
    if text is None:
        text = _health_beside(listeners.addresses)
    return None if text == "off" else listeners.read(text, ("health", "listen"))


def _health_beside(listeners: Collection[Address]) -> str:
    """Return the default address of the health listener for these listeners (P7).

    It has their address family; if one is IPv6, it is the IPv6 wildcard. If all are on loopback, it
    is a single loopback address, the one that clients try first.
    """
    hosts = [address.host if isinstance(address, TcpAddress) else "" for address in listeners]
    if hosts and all(map(_is_loopback, hosts)):
        host = "[::1]" if all(":" in host for host in hosts) else "127.0.0.1"
    else:
        host = "[::]" if any(":" in host for host in hosts) else "0.0.0.0"  # noqa: S104 - the user's network is its boundary
    return f"{host}:{_HEALTH_PORT}"


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def compile_log(settings: Settings) -> LogSettings:
    """Compile the log settings."""
    return LogSettings(**dict(settings.log))


def _networks(context: CompileContext, texts: list[str]) -> tuple[TrustedPeer, ...]:
    networks: list[TrustedPeer] = []
    for index, text in enumerate(texts):
        path = ("server", "trusted_proxies", index)
        try:
            networks.append("unix" if text == "unix" else read_network(text))
        except AddressError as fault:
            hidden = context.reference(path)
            detail = "its value is not shown" if hidden else fault
            context.report("network_invalid", path, found=hidden or text, fault=detail)
    return tuple(networks)
