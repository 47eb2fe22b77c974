"""Compiles the changes that a route makes to paths, header fields and cookies."""

from functools import partial
from typing import NamedTuple

from corsproxy.config.compile.context import CompileContext
from corsproxy.config.compile.rules import rule_specs
from corsproxy.config.models.routes import CookieSection, PathSection, RouteSection
from corsproxy.config.yaml.nodes import Path
from corsproxy.policy.cookies.rewrite import CookieRule, compile_cookies
from corsproxy.policy.cookies.spec import CookieSpec
from corsproxy.policy.routing.paths import UNCHANGED, PathMapping, PathSpec, compile_path
from corsproxy.policy.rules.apply import Rule, compile_rules
from corsproxy.policy.rules.spec import Side
from corsproxy.policy.source import SourceText


class Transforms(NamedTuple):
    """The changes that a route makes to requests and responses; fields are named as in `Route`."""

    mapping: PathMapping
    maps_links: bool
    request_rules: tuple[Rule, ...]
    response_rules: tuple[Rule, ...]
    cookies: tuple[CookieRule, ...]


def compile_transforms(
    context: CompileContext,
    section: RouteSection,
    path: Path,
    *,
    has_policy: bool,
) -> Transforms | None:
    """Compile the transforms in `section`; report errors and return None if there are any."""
    mapping = _mapping(context, section, (*path, "path"))
    request_rules = _rules(context, section, path, "request", has_policy=has_policy)
    response_rules = _rules(context, section, path, "response", has_policy=has_policy)
    at = (*path, "cookies")
    cookies = [_cookie(context, item, (*at, index)) for index, item in enumerate(section.cookies)]
    maps_links = section.location == "rewrite"
    mapped_back = mapping if mapping is not None and maps_links else UNCHANGED
    compiled = context.compiled(partial(compile_cookies, cookies, mapped_back))
    if mapping is None or request_rules is None or response_rules is None or compiled is None:
        return None
    return Transforms(mapping, maps_links, request_rules, response_rules, compiled)


def _mapping(context: CompileContext, section: RouteSection, path: Path) -> PathMapping | None:
    prefixes = PathSpec(
        *(_prefix(context, section.path, key, (*path, key)) for key in PathSpec._fields),
    )
    return context.compiled(partial(compile_path, prefixes, section.match.path))


def _prefix(
    context: CompileContext, section: PathSection, key: str, path: Path
) -> SourceText | None:
    text = getattr(section, key)
    return None if text is None else SourceText(text, context.pos(path))


def _rules(
    context: CompileContext,
    section: RouteSection,
    path: Path,
    side: Side,
    *,
    has_policy: bool,
) -> tuple[Rule, ...] | None:
    key = f"{side}_headers"
    at = (*path, key)
    specs = rule_specs(context, getattr(section, key), at)
    return context.compiled(partial(compile_rules, specs, has_policy=has_policy, side=side))


def _cookie(context: CompileContext, section: CookieSection, path: Path) -> CookieSpec:
    written = section.model_dump(exclude={"path"})
    return CookieSpec(**written, path=tuple(section.path.items()), pos=context.pos(path))
