"""Parses and writes the header fields for the client and the proxies of a request.

X-Forwarded-* and Forwarded (RFC 7239) of untrusted peers are removed and written anew. Of trusted
peers they are used: the rightmost address that is not trusted is the client's (forwarding.md K3).
`trusted_headers` is the family that trusted peers write. They may pass the other family through from
a client, so it is removed, as from an untrusted peer.
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

# The address of a peer that has none, on a unix socket (RFC 7239 6.2).
UNKNOWN: Final = b"unknown"

_FOR: Final = b"x-forwarded-for"
_PROTO: Final = b"x-forwarded-proto"
_HOST: Final = b"x-forwarded-host"
_PREFIX: Final = b"x-forwarded-prefix"
_FORWARDED: Final = b"forwarded"
_WRITTEN: Final = frozenset({_FOR, _PROTO, _HOST, _PREFIX, _FORWARDED})

# A WebSocket handshake is an HTTP request, but Traefik and Envoy send its scheme as ws or wss.
_SCHEMES: Final = {b"http": b"http", b"https": b"https", b"ws": b"http", b"wss": b"https"}


class Peer(NamedTuple):
    """The peer of a client connection: its address, and the scheme of the connection."""

    address: bytes
    scheme: bytes


class Caller(NamedTuple):
    """Where a request came from: the connection's `peer`, or the values that a trusted peer sent.

    `accepted` are the fields of a trusted peer that may be forwarded.
    """

    client: bytes
    scheme: bytes
    host: bytes
    peer: Peer
    accepted: tuple[Field, ...] = ()


class _Hops(NamedTuple):
    """The hops before a peer, the client first; values may be missing."""

    addresses: list[bytes]
    schemes: list[bytes]
    hosts: list[bytes]


def address_of_peer(host: str) -> bytes:
    """Return an address without what is local: IPv4-mapped IPv6 as IPv4, IPv6 without its zone."""
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
    for network in trusted:  # noqa: SIM110 - a generator would cost more than the test
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
    """Return where the request came from (K3)."""
    trusted = server.trusted_proxies
    if not trusted or not head.forwarded or not is_trusted(peer.address, trusted):
        return Caller(peer.address, peer.scheme, head.host, peer)
    accepted = _of_family(head.forwarded, server.trusted_headers)
    hops = _read(accepted)
    client, at = peer.address, -1
    for index in reversed(range(len(hops.addresses))):
        address = _address_in(hops.addresses[index])
        if not address:
            break  # not an address (RFC 7239 6.3): the last one found is used
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

    Of Forwarded only well-formed elements: after an open quote all that follows would be quoted.
    """
    if family != "forwarded":
        return tuple([field for field in fields if field[0].lower() != _FORWARDED])
    lines = [(name, read_line(value).value) for name, value in fields if name.lower() == _FORWARDED]
    return tuple([line for line in lines if line[1]])


def own_origin(head: RequestHead, peer: Peer, server: Server) -> bytes:
    """Return the origin of the request's URL: a page of that origin is same-origin (cors.md 55)."""
    caller = caller_of(head, peer, server)
    return b"%b://%b" % (caller.scheme, caller.host.lower())


def forwarded_lines(
    head: RequestHead,
    caller: Caller,
    style: ForwardedStyle,
    prefix: bytes = b"",
) -> bytes:
    """Return the serialized header lines that name the client to the upstream.

    `prefix` is the start of the path that was stripped for the upstream, b"" for none.
    """
    accepted = caller.accepted
    if style == "x-forwarded" and not accepted:  # the common case, without lists
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
    """Return the elements of Forwarded: those of earlier proxies, then ours (RFC 7239 4)."""
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
    """Return `value`, quoted if it is not a token, such as IPv6 addresses and ports (RFC 7239 4)."""
    if is_token(value):
        return value
    return b'"%b"' % value.replace(b"\\", b"\\\\").replace(b'"', b'\\"')


def _read(fields: tuple[Field, ...]) -> _Hops:
    """Return the hops in `fields`, which are of one family."""
    hops = _Hops(_list(fields, _FOR), _list(fields, _PROTO), _list(fields, _HOST))
    return hops if any(hops) else _read_forwarded(fields)


def _list(fields: tuple[Field, ...], name: bytes) -> list[bytes]:
    items = b",".join([value for key, value in fields if key.lower() == name]).split(b",")
    return [part for item in items if (part := item.strip(OWS))]


def _read_forwarded(fields: tuple[Field, ...]) -> _Hops:
    """Return the hops in lines of Forwarded; a node that is not an address is `unknown`."""
    hops = [
        hop for name, value in fields if name.lower() == _FORWARDED for hop in read_line(value).hops
    ]
    return _Hops(
        [_address_in(hop.node) or UNKNOWN for hop in hops],
        [hop.scheme for hop in hops],
        [hop.host for hop in hops],
    )


def _pick(values: list[bytes], at: int, count: int) -> bytes:
    """Return the value for the hop `at`, if each of the `count` hops has one.

    Otherwise return the first value, which is the client's (K3).
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
