"""Checks the match of a route for what no request can ever have.

More specific routes never hide all of another one (cors.md 72): there are always further hosts,
paths below a prefix and methods. So only its own match can make a route unreachable; two routes
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
        '"{value}" matches no host: {detail}',
        "write a name such as api.example.com, *.example.com, 192.0.2.1 or [::1]",
    ),
    ProblemKind(
        "E231",
        "route_path_invalid",
        '"{value}" matches no path: {detail}',
        "write the path as it stands in a request, such as /api/ or /health",
    ),
    ProblemKind(
        "W230",
        "route_path_ambiguous",
        "{value} is refused before routes are looked at: it holds a dot segment or %00",
        "write the path without it, or set ambiguous_paths: forward on this route",
    ),
    ProblemKind(
        "E232",
        "route_method_invalid",
        '"{value}" is no method',
        "write a method such as GET",
    ),
    ProblemKind(
        "W231",
        "route_method_never",
        "{value} never reaches a route: the proxy answers it with 405",
        "leave it out",
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
        "list methods, or leave methods out to match any",
    ),
)

_HOST: Final = re.compile(
    r"(?:\*\.)?(?=.{1,253}\Z)[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\.?|\[[0-9A-Fa-f:.]+\]",
)
# What a request target may contain (RFC 3986 3.3), with bytes that some servers accept raw.
_PATH: Final = re.compile(r"/[!\"$-;=@-~<>]*")
_USUAL_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def check_match(match: Match, *, rejects_ambiguous: bool = True) -> Iterator[Problem]:
    """Yield each part of one match that no request can have: hosts, then paths, then methods.

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
    """Return why no request has this host, as the end of a message; "" if one can."""
    if _HOST.fullmatch(host):
        return ""
    faults = {
        "requests carry its xn-- form": not host.isascii(),
        "it is a URL, not a host": "/" in host,
        "a * may only stand in front, as in *.example.com": "*" in host,
        "hosts are compared without port": host.count(":") == 1,
        "an IPv6 address stands in brackets": ":" in host,
    }
    return next((fault for fault, is_so in faults.items() if is_so), "it is no host name")


def _path_fault(path: str) -> str:
    """Return why no request has this path, as the end of a message; "" if one can."""
    if not path.startswith("/"):
        return "it does not begin with /"
    if "?" in path or "#" in path:
        return "paths are compared without query and fragment"
    if "*" in path:
        return "a * stands for itself; a path ending in / matches all below it"
    return "" if _PATH.fullmatch(path) else "it holds what a request writes percent-encoded"
