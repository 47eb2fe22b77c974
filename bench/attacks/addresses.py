"""Client addresses: IPv4-mapped ones, and the fields that a trusted peer sets (K3, P7)."""

import socket
from contextlib import ExitStack
from typing import Final

from bench.attacks.attack import Attack
from bench.attacks.claims import Claim, all_of, none_of, not_run
from bench.attacks.clients import get, status
from bench.attacks.product import Scene, config
from bench.attacks.upstreams import Recorder

_REAL: Final = b"203.0.113.7"
_FORGED: Final = b"198.51.100.66"
_TRUSTED: Final = "trusted_proxies: [127.0.0.0/8]"


def _has_ipv6() -> bool:
    with ExitStack() as stack:
        try:
            stack.enter_context(socket.socket(socket.AF_INET6)).bind(("::1", 0))
        except OSError:
            return False
    return True


async def _mapped(scene: Scene) -> list[Claim]:
    """Connect by IPv4 to a listener on [::], as a trusted proxy that names a client."""
    if not _has_ipv6():
        return [not_run("no IPv6 here")]
    upstream = Recorder()
    server = f"listen: '[::]:0', {_TRUSTED}"
    async with upstream.running() as port, scene.proxy(config(port, server=server)) as proxy:
        code = await status(proxy.port, get(b"/", b"X-Forwarded-For: " + _REAL))
    if not code:
        # P7 requires a separate listener for IPv4 instead.
        return [none_of(0, 1, "IPv4 peers accepted on [::]")]
    said = b"".join(upstream.values(b"X-Forwarded-For"))
    return [
        all_of(int(code == 200), 1, "requests served"),
        none_of(int(b"::ffff:" in said.lower()), 1, "addresses written as ::ffff:"),
        all_of(int(_REAL in said), 1, "addresses from a trusted peer were used"),
    ]


async def _family(scene: Scene) -> list[Claim]:
    """Act as a trusted proxy that sets Forwarded and passes on the client's X-Forwarded-For."""
    upstream = Recorder()
    knows = scene.checkout.knows("trusted_headers")
    server = f"{_TRUSTED}, trusted_headers: forwarded" if knows else _TRUSTED
    fields = (b"X-Forwarded-For: " + _FORGED, b"Forwarded: for=" + _REAL)
    async with upstream.running() as port, scene.proxy(config(port, server=server)) as proxy:
        await status(proxy.port, get(b"/", *fields))
    said = b"".join(upstream.values(b"X-Forwarded-For"))
    return [
        none_of(int(_FORGED in said), 1, "forged addresses used"),
        all_of(int(_REAL in said), 1, "real addresses used"),
    ]


ATTACKS: Final = (
    Attack("15-mapped", "P7, K3", "an IPv4 peer on a listener for [::]", _mapped),
    Attack("16-family", "K3", "a trusted proxy writes only Forwarded", _family),
)
