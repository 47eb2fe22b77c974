"""Compiles the routes of a file to the route table."""

from dataclasses import replace
from typing import NamedTuple

from corsproxy.config.compile.context import CompileContext
from corsproxy.config.compile.names import check_name
from corsproxy.config.compile.policies import Policies
from corsproxy.config.compile.transforms import compile_transforms
from corsproxy.config.compile.upgrades import compile_upgrades
from corsproxy.config.compile.upstreams import Upstreams
from corsproxy.config.models.routes import RouteSection
from corsproxy.config.yaml.nodes import Path
from corsproxy.policy.compiled import Route, Upstream, UpstreamTimeouts
from corsproxy.policy.cookies.sites import PublicNames, check_credentials
from corsproxy.policy.cors.policy import Policy
from corsproxy.policy.routing.bypasses import check_bypasses
from corsproxy.policy.routing.check import check_match
from corsproxy.policy.routing.table import Match, MatchPositions, RouteTable, find_ties
from corsproxy.policy.source import SourcePos


class Parts(NamedTuple):
    """What routes refer to; `default` and `max_body` apply to routes without their own."""

    upstreams: Upstreams
    policies: Policies
    default: Policy | None
    has_default: bool
    max_body: int


def compile_routes(
    context: CompileContext,
    sections: list[RouteSection],
    indices: tuple[int, ...],
    parts: Parts,
) -> RouteTable[Route] | None:
    """Compile all routes, None if one has errors; `indices` are their indices in the file."""
    entries: list[tuple[Match, Route]] = []
    names: dict[str, Path] = {}
    for index, section in zip(indices, sections, strict=True):
        path: Path = ("routes", index)
        name = section.name or f"route-{index + 1}"
        _check_name(context, name, path, names)
        match = _match(context, section, path)
        route = _route(context, section, name, path, parts)
        if route is not None:
            entries.append((match, route))
    _check_ties(context, entries, names)
    if context.found.has_errors:
        return None
    table = RouteTable.compile(entries)
    context.report_all(check_bypasses(entries, table))
    return table


def _check_name(context: CompileContext, name: str, path: Path, names: dict[str, Path]) -> None:
    at = (*path, "name")
    if name in names:
        line = context.pos(names[name]).line
        context.report("route_name_twice", at, found=context.masked(at, name), line=line)
    names.setdefault(name, path)
    check_name(context, name, at)


def _route(
    context: CompileContext,
    section: RouteSection,
    name: str,
    path: Path,
    parts: Parts,
) -> Route | None:
    upstream = parts.upstreams.resolve(section.upstream, (*path, "upstream"))
    policy = parts.default
    if section.cors is False:
        policy = None
    elif section.cors is not None:
        policy = parts.policies.resolve(section.cors, f"routes.{name}", (*path, "cors"))
    has_policy = section.cors is not False and (section.cors is not None or parts.has_default)
    transforms = compile_transforms(context, section, path, has_policy=has_policy)
    if upstream is None or transforms is None:
        return None
    if policy is not None and policy.spec.allow_credentials:
        names = PublicNames(name, upstream.public, section.match.host)
        origins = policy.spec.allow_origins
        rules = transforms.response_rules
        context.report_all(check_credentials(origins, names, transforms.cookies, rules))
    return Route(
        name=name,
        upstream=upstream,
        policy=policy,
        **transforms._asdict(),
        reject_ambiguous_paths=section.ambiguous_paths == "reject",
        upgrades=compile_upgrades(context, section.upgrades, (*path, "upgrades")),
        timeouts=_timeouts(upstream, section),
        max_body=parts.max_body if section.max_body is None else section.max_body,
        pos=context.pos(path),
    )


def _timeouts(upstream: Upstream, section: RouteSection) -> UpstreamTimeouts:
    own = {name: limit for name, limit in section.timeouts if limit is not None}
    return replace(upstream.timeouts, **own)


def _match(context: CompileContext, section: RouteSection, path: Path) -> Match:
    written = section.match
    at = (*path, "match")
    methods = _positions(context, written.methods, (*at, "methods"))
    wrote_methods = context.document.wrote((*at, "methods"))
    match = Match(
        hosts=tuple(written.host),
        paths=tuple(written.path),
        methods=frozenset(map(str.encode, methods)) if wrote_methods else None,
        positions=MatchPositions(
            hosts=_positions(context, written.host, (*at, "host")),
            paths=_positions(context, written.path, (*at, "path")),
            methods={method.encode(): pos for method, pos in methods.items()},
            no_methods=context.pos((*at, "methods")),
        ),
    )
    rejects_ambiguous = section.ambiguous_paths == "reject"
    context.report_all(check_match(match, rejects_ambiguous=rejects_ambiguous))
    return match


def _positions(context: CompileContext, items: list[str], path: Path) -> dict[str, SourcePos]:
    """Return the position of the first occurrence of each of `items`, a list at `path`."""
    positions: dict[str, SourcePos] = {}
    for index, item in enumerate(items):
        positions.setdefault(item, context.pos((*path, index)))
    return positions


def _check_ties(
    context: CompileContext,
    entries: list[tuple[Match, Route]],
    names: dict[str, Path],
) -> None:
    """Report routes that match the same requests, one problem per pair (cors.md 72)."""
    for tie in find_ties([(match, route.name) for match, route in entries]):
        first, second = names[str(tie.first)], names[str(tie.second)]
        matched = (*second, "match") if context.document.wrote((*second, "match")) else second
        context.report(
            "route_tie",
            matched,
            other=context.masked((*first, "name"), str(tie.first)),
            line=context.pos(first).line,
            what=context.reference(matched) or tie.what,
        )
