"""Checks the `match` of a route for values that no request can have.

More specific routes never shadow all of another route (cors.md 72): there are always further hosts,
paths below a prefix and methods. So only its own `match` can make a route unreachable; two routes
with the same match are ties (`table.find_ties`).
"""

import re
from collections.abc import Iterator
from typing import Final

from corsproxy.policy.problems import Problem, ProblemKind, by_slug
from corsproxy.policy.routing.paths import is_ambiguous
from corsproxy.policy.routing.table import Match
from corsproxy.policy.source import SourceText
from corsproxy.policy.tokens import is_token_text

KINDS: Final = by_slug(
    ProblemKind(
        "E230",
        "route_host_invalid",
        '"{value}" cannot match a host: {detail}',
        "write a name such as api.example.com, *.example.com, 192.0.2.1 or [::1]",
    ),
    ProblemKind(
        "E231",
        "route_path_invalid",
        '"{value}" cannot match a path: {detail}',
        "write the path as it appears in a request, such as /api/ or /health",
    ),
    ProblemKind(
        "W230",
        "route_path_ambiguous",
        "{value} is rejected before routes are matched: it contains a dot segment or %00",
        "write the path without it, or set ambiguous_paths: forward on this route",
    ),
    ProblemKind(
        "E232",
        "route_method_invalid",
        '"{value}" is not a valid method',
        "write a method such as GET",
    ),
    ProblemKind(
        "W231",
        "route_method_never",
        "{value} never reaches a route: the proxy rejects it with 405",
        "remove it",
    ),
    ProblemKind(
        "W232",
        "route_method_case",
        "methods are case-sensitive, and clients do not send {value}",
        "did you mean {detail}?",
    ),
    ProblemKind(
        "W233",
        "route_methods_empty",
        "methods is empty, so the route matches nothing",
        "list methods, or remove the key to match any",
    ),
)

_HOST: Final = re.compile(
    r"(?:\*\.)?(?=.{1,253}\Z)[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\.?|\[[0-9A-Fa-f:.]+\]",
)
# What a request target may contain (RFC 3986 3.3), with bytes that some servers accept raw.
_PATH: Final = re.compile(r"/[!\"$-;=@-~<>]*")
_USUAL_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def check_match(match: Match, *, rejects_ambiguous: bool = True) -> Iterator[Problem]:
    """Yield a problem for each value that no request can have: hosts, then paths, then methods.

    `rejects_ambiguous` is whether the route rejects ambiguous paths (forwarding.md H1).
    """
    positions = match.positions
    for host in match.hosts:
        if fault := _host_fault(host):
            yield KINDS["route_host_invalid"].at(
                positions.hosts.get(host), value=host, detail=fault
            )
    for path in match.paths:
        if fault := _path_fault(path):
            yield KINDS["route_path_invalid"].at(
                positions.paths.get(path), value=path, detail=fault
            )
        elif rejects_ambiguous and is_ambiguous(path.encode()):
            yield KINDS["route_path_ambiguous"].at(positions.paths.get(path), value=path)
    if match.methods is not None and not match.methods:
        yield KINDS["route_methods_empty"].at(positions.no_methods)
    for method in sorted(match.methods or ()):
        pos = positions.methods.get(method)
        yield from _check_method(SourceText(method.decode("latin-1"), pos))


def _check_method(item: SourceText) -> Iterator[Problem]:
    method, pos = item
    upper = method.upper()
    if not is_token_text(method):
        yield KINDS["route_method_invalid"].at(pos, value=method)
    elif method in {"CONNECT", "TRACE"}:
        yield KINDS["route_method_never"].at(pos, value=method)
    elif method != upper and upper in _USUAL_METHODS:
        yield KINDS["route_method_case"].at(pos, value=method, detail=upper)


def _host_fault(host: str) -> str:
    """Return why no request can have this host, as the end of a message; "" if one can."""
    if _HOST.fullmatch(host):
        return ""
    faults = {
        "requests contain its xn-- form": not host.isascii(),
        "it is a URL, not a host": "/" in host,
        "only the leftmost label can be *, as in *.example.com": "*" in host,
        "hosts are matched without the port": host.count(":") == 1,
        "an IPv6 address must be in brackets": ":" in host,
    }
    return next((fault for fault, is_so in faults.items() if is_so), "it is not a valid host name")


def _path_fault(path: str) -> str:
    """Return why no request can have this path, as the end of a message; "" if one can."""
    if not path.startswith("/"):
        return "it does not start with /"
    if "?" in path or "#" in path:
        return "paths are matched without query and fragment"
    if "*" in path:
        return "* is not a wildcard here; a path ending in / matches everything below it"
    return "" if _PATH.fullmatch(path) else "it contains a character that must be percent-encoded"
