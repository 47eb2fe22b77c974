"""Which protocols a connection may be upgraded to. Knows what no tunnel may carry."""

import re
from typing import Final

from corsproxy.config.compile.context import CompileContext
from corsproxy.config.yaml.nodes import Path

# RFC 9110 7.8: a protocol's name, perhaps with its version.
_PROTOCOL: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+(/[!#$%&'*+.^_`|~0-9A-Za-z-]+)?")

# Inside of these are requests, which would pass every route, rule and policy (forwarding.md H17).
_CARRIES_REQUESTS: Final = frozenset({"h2", "h2c", "h3", "http", "tls"})


def compile_upgrades(context: CompileContext, names: list[str], path: Path) -> frozenset[bytes]:
    """Return the protocols in lower case (they are case-insensitive); problems are noted."""
    for index, name in enumerate(names):
        at = (*path, index)
        if not _PROTOCOL.fullmatch(name):
            context.report("upgrade_invalid", at, found=context.masked(at, name))
        elif name.lower().partition("/")[0] in _CARRIES_REQUESTS:
            context.report("upgrade_carries_requests", at, found=context.masked(at, name))
    return frozenset(name.lower().encode() for name in names)
