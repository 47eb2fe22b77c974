"""From routes as written to the table of routes. Knows matches and names, leaves parts to others."""

from dataclasses import replace
from typing import NamedTuple

from corsproxy.config.compile.context import CompileContext
from corsproxy.config.compile.names import check_name
from corsproxy.config.compile.policies import Policies
from corsproxy.config.compile.transforms import compile_transforms
from corsproxy.config.compile.upgrades import compile_upgrades
from corsproxy.config.compile.upstreams import Upstreams
from corsproxy.config.models.routes import MatchSection, RouteSection
from corsproxy.config.yaml.nodes import Path
from corsproxy.policy.compiled import Route, Upstream, UpstreamTimeouts
from corsproxy.policy.cookies.sites import PublicNames, check_credentials
from corsproxy.policy.cors.policy import Policy
from corsproxy.policy.problems import Finding
from corsproxy.policy.routing.bypasses import check_bypasses
from corsproxy.policy.routing.check import check_match
from corsproxy.policy.routing.table import Match, RouteTable, find_ties


class Parts(NamedTuple):
    """What routes refer to. `default` and `max_body` hold for routes that say nothing."""

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
    """Return the table of all routes; None with problems noted. `indices` are those in the file."""
    entries: list[tuple[Match, Route]] = []
    names: dict[str, Path] = {}
    written: dict[str, MatchSection] = {}
    for index, section in zip(indices, sections, strict=True):
        path: Path = ("routes", index)
        name = section.name or f"route-{index + 1}"
        _check_name(context, name, path, names)
        match = _match(context, section, path)
        written[name] = section.match
        route = _route(context, section, name, path, parts)
        if route is not None:
            entries.append((match, route))
    _check_ties(context, entries, names)
    if context.found.has_errors:
        return None
    table = RouteTable.compile(entries)
    for route, finding in check_bypasses(entries, table):
        at = _find_value(written[route.name], finding, names[route.name])
        context.take([finding._replace(pos=context.pos(at))], at)
    return table


def _check_name(context: CompileContext, name: str, path: Path, names: dict[str, Path]) -> None:
    at = (*path, "name")
    if name in names:
        line = context.pos(names[name]).line
        context.note("route_name_twice", at, found=context.shown(at, name), line=line)
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
        context.take(check_credentials(origins, names, transforms.cookies, rules), path)
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
    methods = frozenset(method.encode() for method in written.methods)
    wrote_methods = context.document.wrote((*path, "match", "methods"))
    match = Match(
        hosts=tuple(written.host),
        paths=tuple(written.path),
        methods=methods if wrote_methods else None,
    )
    for finding in check_match(match):
        if finding.slug == "route_path_ambiguous" and section.ambiguous_paths == "forward":
            continue
        at = _find_value(written, finding, path)
        context.take([finding._replace(pos=context.pos(at))], at)
    return match


def _find_value(written: MatchSection, finding: Finding, path: Path) -> Path:
    """Return the path of the item that a finding is about; findings of matches have no place."""
    for key, items in (
        ("host", written.host),
        ("path", written.path),
        ("methods", written.methods),
    ):
        if key.rstrip("s") in finding.slug and finding.value in items:
            return (*path, "match", key, items.index(finding.value))
    return (*path, "match", "methods")


def _check_ties(
    context: CompileContext,
    entries: list[tuple[Match, Route]],
    names: dict[str, Path],
) -> None:
    """Report routes that claim the same requests, one problem a pair (cors.md 72)."""
    for tie in find_ties([(match, route.name) for match, route in entries]):
        first, second = names[str(tie.first)], names[str(tie.second)]
        matched = (*second, "match") if context.document.wrote((*second, "match")) else second
        context.note(
            "route_tie",
            matched,
            other=context.shown((*first, "name"), str(tie.first)),
            line=context.pos(first).line,
            what=context.hidden(matched) or tie.what,
        )
