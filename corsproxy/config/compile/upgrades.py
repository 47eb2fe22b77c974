"""Checks the protocols that a route allows in Upgrade."""

from typing import Final

from corsproxy.config.compile.context import CompileContext
from corsproxy.config.yaml.nodes import Path
from corsproxy.policy.tokens import is_token_text

# These carry requests, which would bypass every route, rule and policy (forwarding.md H17).
_CARRIES_REQUESTS: Final = frozenset({"h2", "h2c", "h3", "http", "tls"})


def compile_upgrades(context: CompileContext, names: list[str], path: Path) -> frozenset[bytes]:
    """Return the protocols in lower case, as they are case-insensitive; report invalid ones."""
    for index, name in enumerate(names):
        at = (*path, index)
        if not _is_protocol(name):
            context.report("upgrade_invalid", at, found=context.masked(at, name))
        elif name.lower().partition("/")[0] in _CARRIES_REQUESTS:
            context.report("upgrade_carries_requests", at, found=context.masked(at, name))
    return frozenset(name.lower().encode() for name in names)


def _is_protocol(name: str) -> bool:
    """Return whether `name` is a valid protocol, with or without a version (RFC 9110 7.8)."""
    protocol, slash, version = name.partition("/")
    return is_token_text(protocol) and (not slash or is_token_text(version))
