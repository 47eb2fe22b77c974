"""Reads and writes the header fields that say where a request came from, and through which proxies.

X-Forwarded-* and Forwarded (RFC 7239) of peers that are not trusted are removed and written anew;
among trusted ones the rightmost address that is not trusted counts as the client (forwarding.md K3).
`trusted_headers` says which family the trusted peers write. What they send of the other one may be a
client's that they let through, so it is removed like that of a peer that is not trusted.
"""

from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final, NamedTuple

from corsproxy.policy.cache import cached
from corsproxy.policy.compiled import ForwardedStyle, Server, TrustedHeaders, TrustedPeer
from corsproxy.policy.fields import Field
from corsproxy.policy.tokens import OWS, is_token
from corsproxy.proxy.http.request_head import RequestHead, host_of
from corsproxy.proxy.http.rfc7239 import read_line

Trusted = tuple[TrustedPeer, ...]

# The address of a peer without one: who comes by a unix socket (RFC 7239 6.2).
UNKNOWN: Final = b"unknown"

_FOR: Final = b"x-forwarded-for"
_PROTO: Final = b"x-forwarded-proto"
_HOST: Final = b"x-forwarded-host"
_PREFIX: Final = b"x-forwarded-prefix"
_FORWARDED: Final = b"forwarded"
_WRITTEN: Final = frozenset({_FOR, _PROTO, _HOST, _PREFIX, _FORWARDED})

# A handshake of a WebSocket is a request like others: Traefik and Envoy name its scheme so.
_SCHEMES: Final = {b"http": b"http", b"https": b"https", b"ws": b"http", b"wss": b"https"}


class Peer(NamedTuple):
    """Who is at the other end of a connection: its address, and the scheme it speaks to us."""

    address: bytes
    scheme: bytes


class Caller(NamedTuple):
    """Where a request came from: the connection's `peer`, or what trusted peers say.

    `accepted` are the fields of a trusted peer that may be passed on.
    """

    client: bytes
    scheme: bytes
    host: bytes
    peer: Peer
    accepted: tuple[Field, ...] = ()


class _Hops(NamedTuple):
    """The hops before a peer, the client's end first; values may be missing."""

    addresses: list[bytes]
    schemes: list[bytes]
    hosts: list[bytes]


def address_of_peer(host: str) -> bytes:
    """Return an address as others can use it: IPv4 as such, IPv6 without its local zone."""
    if ":" not in host:
        return host.encode()
    address = IPv6Address(host.partition("%")[0])
    return str(address.ipv4_mapped or address).encode()


def is_trusted(address: bytes, trusted: Trusted) -> bool:
    """Return whether `address` is one of `trusted`."""
    if address == UNKNOWN:
        return "unix" in trusted
    parsed = _parsed(address)
    if parsed is None:
        return False
    for network in trusted:  # noqa: SIM110 - a generator costs more than what it asks
        if network != "unix" and parsed in network:
            return True
    return False


@cached(4096)
def _parsed(address: bytes) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(address.decode("ascii"))
    except ValueError:
        return None


def caller_of(head: RequestHead, peer: Peer, server: Server) -> Caller:
    """Return where the request came from."""
    trusted = server.trusted_proxies
    if not trusted or not head.forwarded or not is_trusted(peer.address, trusted):
        return Caller(peer.address, peer.scheme, head.host, peer)
    accepted = _of_family(head.forwarded, server.trusted_headers)
    hops = _read(accepted)
    client, at = peer.address, -1
    for index in reversed(range(len(hops.addresses))):
        address = _address_in(hops.addresses[index])
        if not address:
            break  # not an address (RFC 7239 6.3): the last one before it counts
        client, at = address, index
        if not is_trusted(address, trusted):
            break
    scheme = _pick(hops.schemes, at, len(hops.addresses)).lower()
    host = _pick(hops.hosts, at, len(hops.addresses))
    return Caller(
        client,
        _SCHEMES.get(scheme, peer.scheme),
        host_of(host) or head.host,
        peer,
        accepted,
    )


def _of_family(fields: tuple[Field, ...], family: TrustedHeaders) -> tuple[Field, ...]:
    """Return those of `fields` that trusted peers write themselves (K3).

    Of Forwarded only what is well-formed: an open quote would swallow what is written behind it.
    """
    if family != "forwarded":
        return tuple([field for field in fields if field[0].lower() != _FORWARDED])
    lines = [(name, read_line(value).value) for name, value in fields if name.lower() == _FORWARDED]
    return tuple([line for line in lines if line[1]])


def own_origin(head: RequestHead, peer: Peer, server: Server) -> bytes:
    """Return the origin that the client asked for: a request from it is not cross-origin (cors.md 55)."""
    caller = caller_of(head, peer, server)
    return b"%b://%b" % (caller.scheme, caller.host.lower())


def forwarded_lines(
    head: RequestHead,
    caller: Caller,
    style: ForwardedStyle,
    prefix: bytes = b"",
) -> bytes:
    """Return the serialised header lines that name the client to the upstream.

    `prefix` is the start of the path that the upstream does not get to see, b"" for none.
    """
    accepted = caller.accepted
    if style == "x-forwarded" and not accepted:  # the common case is worth a shortcut
        return _x_forwarded(caller, caller.peer.address, prefix)
    if style == "off":
        return b"".join([b"%b: %b\r\n" % field for field in accepted])
    lines = [b"%b: %b\r\n" % field for field in accepted if field[0].lower() not in _WRITTEN]
    if style != "forwarded":
        chain = b", ".join([*(_read(accepted).addresses if accepted else ()), caller.peer.address])
        outer = b"".join([value for name, value in accepted if name.lower() == _PREFIX])
        lines.append(_x_forwarded(caller, chain, outer + prefix))
    if style != "x-forwarded":
        lines.append(b"Forwarded: %b\r\n" % b", ".join(_elements(head, caller, accepted)))
    return b"".join(lines)


def _x_forwarded(caller: Caller, chain: bytes, prefix: bytes) -> bytes:
    lines = b"X-Forwarded-For: %b\r\nX-Forwarded-Proto: %b\r\n" % (chain, caller.scheme)
    if caller.host:
        lines += b"X-Forwarded-Host: %b\r\n" % caller.host
    return lines + b"X-Forwarded-Prefix: %b\r\n" % prefix if prefix else lines


def _elements(head: RequestHead, caller: Caller, accepted: tuple[Field, ...]) -> list[bytes]:
    """Return the elements of Forwarded: those of others, then ours (RFC 7239 4)."""
    ours = _element(caller.peer.address, head.host, caller.peer.scheme)
    if any(name.lower() == _FOR for name, _ in accepted):
        first, *others = _read(accepted).addresses or [UNKNOWN]
        rest = [_element(address) for address in others]
        return [_element(first, caller.host, caller.scheme), *rest, ours]
    return [*(value for name, value in accepted if name.lower() == _FORWARDED), ours]


def _element(address: bytes, host: bytes = b"", scheme: bytes = b"") -> bytes:
    plain = _address_in(address)
    node = b"[%b]" % plain if b":" in plain else plain
    parts = [(b"for", node or UNKNOWN), (b"host", host), (b"proto", scheme)]
    return b";".join([b"%b=%b" % (name, _quoted(value)) for name, value in parts if value])


def _quoted(value: bytes) -> bytes:
    """Return `value` as a token, or quoted if it is not one, such as IPv6 and ports (RFC 7239 4)."""
    if is_token(value):
        return value
    return b'"%b"' % value.replace(b"\\", b"\\\\").replace(b'"', b'\\"')


def _read(fields: tuple[Field, ...]) -> _Hops:
    """Return what `fields` say, which are of one family."""
    hops = _Hops(_list(fields, _FOR), _list(fields, _PROTO), _list(fields, _HOST))
    return hops if any(hops) else _read_forwarded(fields)


def _list(fields: tuple[Field, ...], name: bytes) -> list[bytes]:
    items = b",".join([value for key, value in fields if key.lower() == name]).split(b",")
    return [part for item in items if (part := item.strip(OWS))]


def _read_forwarded(fields: tuple[Field, ...]) -> _Hops:
    """Return what lines of Forwarded say; whoever is not named by an address is unknown."""
    hops = [
        hop for name, value in fields if name.lower() == _FORWARDED for hop in read_line(value).hops
    ]
    return _Hops(
        [_address_in(hop.node) or UNKNOWN for hop in hops],
        [hop.scheme for hop in hops],
        [hop.host for hop in hops],
    )


def _pick(values: list[bytes], at: int, count: int) -> bytes:
    """Return what belongs to the hop `at`, if each of the `count` hops has a value of its own.

    Otherwise the first value counts: that of the client's end (K3).
    """
    if not values:
        return b""
    return values[at] if len(values) == count else values[0]


@cached(4096)
def _address_in(node: bytes) -> bytes:
    """Return the address in `1.2.3.4:80`, `[::1]:80` or a plain one; b"" if there is none."""
    # Not `host_of`: a node is an address, `unknown` or an obfuscated identifier (RFC 7239 6,
    # https://www.rfc-editor.org/rfc/rfc7239.html#section-6), a Host may be any registered name. And
    # X-Forwarded-For has bare IPv6 addresses, which are not valid in Host.
    text = node.decode("ascii", "replace")
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return address_of_peer(str(ip_address(text)))
    except ValueError:
        return b""
