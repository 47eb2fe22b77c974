"""What a proxy adds to a request to say who asked and through whom. Knows addresses, not sockets.

X-Forwarded-* of peers that are not trusted are removed and written anew; among trusted ones the
rightmost address that is not trusted counts as the client (forwarding.md K3).
"""

from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import NamedTuple

from corsproxy.proxy.request_head import RequestHead

Networks = tuple[IPv4Network | IPv6Network, ...]


class Peer(NamedTuple):
    """Who is at the other end of a connection: its address, and the scheme it speaks to us."""

    address: bytes
    scheme: bytes


class Caller(NamedTuple):
    """Where a request came from, as far as it can be believed.

    `chain` is what X-Forwarded-For is to say.
    """

    client: bytes
    scheme: bytes
    host: bytes
    chain: bytes


@lru_cache(maxsize=4096)
def is_trusted(address: bytes, networks: Networks) -> bool:
    """Tell whether `address` lies in one of `networks`."""
    try:
        parsed = ip_address(address.decode("ascii"))
    except (ValueError, UnicodeDecodeError):
        return False
    return any(parsed.version == network.version and parsed in network for network in networks)


def caller_of(head: RequestHead, peer: Peer, trusted: Networks) -> Caller:
    """Return where the request came from."""
    address = peer.address
    if not trusted or not head.forwarded or not is_trusted(address, trusted):
        return Caller(address, peer.scheme, head.host, address)
    said = {
        name: b", ".join(value for key, value in head.forwarded if key.lower() == name)
        for name in (b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host")
    }
    hops = [hop.strip(b" \t") for hop in said[b"x-forwarded-for"].split(b",") if hop.strip(b" \t")]
    client = address
    for hop in reversed(hops):
        client = hop
        if not is_trusted(hop, trusted):
            break
    proto = said[b"x-forwarded-proto"].split(b",")[-1].strip(b" \t").lower()
    host = said[b"x-forwarded-host"].split(b",")[-1].strip(b" \t")
    return Caller(
        client,
        proto if proto in {b"http", b"https"} else peer.scheme,
        host or head.host,
        b", ".join([*hops, address]),
    )


def own_origin(head: RequestHead, peer: Peer, trusted: Networks) -> bytes:
    """Return the origin that the client asked for: a request from it is not cross-origin (cors.md 55)."""
    caller = caller_of(head, peer, trusted)
    return b"%b://%b" % (caller.scheme, caller.host.lower())
