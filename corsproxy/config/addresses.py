"""Parses addresses in the configuration: listeners, URLs of upstreams, networks."""

import re
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Final, Literal, NamedTuple

from corsproxy.policy.authority import AddressError, split_authority
from corsproxy.policy.compiled import Address, TcpAddress, UnixAddress

_URL: Final = re.compile(r"(?P<scheme>https?)://(?P<authority>[^/?#\\]*)(?P<rest>.*)", re.DOTALL)
_PORTS: Final[dict[Literal["http", "https"], int]] = {"http": 80, "https": 443}

# The longest path of a unix socket on Linux (unix(7)).
_LONGEST_UNIX_PATH: Final = 107


class UpstreamUrl(NamedTuple):
    """A parsed URL; `authority` is the Host header for it."""

    scheme: Literal["http", "https"]
    address: Address
    authority: bytes


def read_listen(text: str) -> Address:
    """Parse `host:port`, `[address]:port` or `unix:/path`; raise `AddressError`."""
    if text.startswith("unix:"):
        return _read_unix(text.removeprefix("unix:"))
    if "://" in text:
        raise AddressError("it is a URL")
    host, port = split_authority(text)
    if port is None:
        raise AddressError("the port is missing")
    if ":" in host and IPv6Address(host).ipv4_mapped is not None:
        raise AddressError("an IPv4-mapped address must be written as IPv4, such as 127.0.0.1:8080")
    return TcpAddress(host, port)


def read_url(text: str) -> UpstreamUrl:
    """Parse the URL of an upstream; raise `AddressError`."""
    if text.startswith("unix:"):
        return UpstreamUrl("http", _read_unix(text.removeprefix("unix:")), b"localhost")
    found = _URL.fullmatch(text)
    if found is None:
        raise AddressError("it does not start with http://, https:// or unix:/")
    if "@" in found["authority"]:
        raise AddressError("it contains a user name, which is not supported")
    if found["rest"] not in {"", "/"}:
        raise AddressError("it has a path, a query or a fragment")
    host, port = split_authority(found["authority"])
    if port == 0:
        raise AddressError("port 0 cannot be connected to")
    scheme: Literal["http", "https"] = "https" if found["scheme"] == "https" else "http"
    address = TcpAddress(host, port or _PORTS[scheme])
    authority = _bracketed(host) if address.port == _PORTS[scheme] else str(address)
    return UpstreamUrl(scheme, address, authority.encode())


def read_network(text: str) -> IPv4Network | IPv6Network:
    """Parse a network or a single address; raise `AddressError`.

    An IPv4-mapped network (`::ffff:10.0.0.0/104`, RFC 4291 2.5.5.2) is returned as the IPv4 network,
    since peers with such addresses are treated as IPv4 peers everywhere (forwarding.md P7).
    """
    try:
        return _unmapped(ip_network(text))
    except ValueError:
        pass
    try:
        wider = _unmapped(ip_network(text, strict=False))
    except ValueError:
        raise AddressError("it is not an IP address") from None
    raise AddressError(f"it has bits beyond its prefix; did you mean {wider}?")


def _unmapped(network: IPv4Network | IPv6Network) -> IPv4Network | IPv6Network:
    """Return an IPv4-mapped network as IPv4, any other unchanged."""
    if isinstance(network, IPv4Network):
        return network
    first = network.network_address.ipv4_mapped
    # Mapped addresses share a prefix of 96 bits, so a network that starts with one is at least as long.
    return network if first is None else IPv4Network((first, network.prefixlen - 96))


def read_host(text: str) -> bytes:
    """Return `text`, a host with or without a port, as a Host header; raise `AddressError`."""
    split_authority(text)
    return text.encode()


def _read_unix(path: str) -> UnixAddress:
    if not path.startswith("/"):
        raise AddressError("the path of a socket must start with /")
    if len(path.encode()) > _LONGEST_UNIX_PATH or "\0" in path:
        raise AddressError(f"the path of a socket has at most {_LONGEST_UNIX_PATH} bytes")
    return UnixAddress(path)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
