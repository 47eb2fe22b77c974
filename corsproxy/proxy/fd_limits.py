"""Computes how many connections the file descriptors of this process suffice for.

At the limit of descriptors nothing can be accepted or connected any more, not even a probe of the
health port. So clients are rejected before it is reached (forwarding.md O2).
"""

import resource
from typing import Final, NamedTuple

# Descriptors for listeners, the loop, logs, the health port and clients that are being rejected.
_RESERVED: Final = 64


# At least this many TLS handshakes may be under way at a time, if as many clients can be served.
_FEWEST_HANDSHAKES: Final = 8


class ConnectionLimits(NamedTuple):
    """How many clients can be served, and how many more can be connected while they are rejected.

    Of those served, `handshaking` may be in their TLS handshake at a time.
    """

    served: int
    held: int
    handshaking: int


def limits_for(wanted: int, allowed: int) -> ConnectionLimits:
    """Return the limits for `wanted` clients with `allowed` descriptors.

    Two thirds of the descriptors are for clients, most of which are idle; one third is for upstreams.
    """
    served = max(1, min(wanted, allowed * 2 // 3 - _RESERVED))
    handshaking = max(served // 10, min(served, _FEWEST_HANDSHAKES))
    return ConnectionLimits(served, max(1, min(served, allowed // 16)), handshaking)


def raise_fd_limit(wanted: int) -> ConnectionLimits:
    """Return the limits for `wanted` clients; raise the limit of open files for them if permitted."""
    needed = 2 * (wanted + _RESERVED)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return limits_for(wanted, needed if soft == resource.RLIM_INFINITY else soft)
    reachable = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    if reachable > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (reachable, hard))
    return limits_for(wanted, reachable)
