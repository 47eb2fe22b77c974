"""From what a route says of headers, paths and cookies to what is applied. Knows no matches."""

from typing import NamedTuple

from corsproxy.config.compile.context import CompileContext
from corsproxy.config.compile.rules import rule_specs
from corsproxy.config.models.routes import CookieSection, PathSection, RouteSection
from corsproxy.config.yaml.nodes import Path
from corsproxy.policy.cookies.check import check_cookies
from corsproxy.policy.cookies.rewrite import CookieRule, compile_cookies
from corsproxy.policy.cookies.spec import CookieSpec
from corsproxy.policy.routing.paths import (
    UNCHANGED,
    PathMapping,
    PathSpec,
    check_path,
    compile_path,
)
from corsproxy.policy.rules.apply import Rule, compile_rules
from corsproxy.policy.rules.check import check_rules
from corsproxy.policy.rules.spec import Side
from corsproxy.policy.source import SourceText


class Transforms(NamedTuple):
    """What a route makes of requests and answers; names are those of `Route`."""

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
    """Return what `section` says, compiled; None with problems noted."""
    mapping = _mapping(context, section, (*path, "path"))
    request_rules = _rules(context, section, path, "request", has_policy=has_policy)
    response_rules = _rules(context, section, path, "response", has_policy=has_policy)
    at = (*path, "cookies")
    cookies = [_cookie(context, item, (*at, index)) for index, item in enumerate(section.cookies)]
    is_sound = context.take(check_cookies(cookies), at)
    if mapping is None or request_rules is None or response_rules is None or not is_sound:
        return None
    maps_links = section.location == "rewrite"
    mapped_back = mapping if maps_links else UNCHANGED
    compiled = compile_cookies(cookies, mapped_back)
    return Transforms(mapping, maps_links, request_rules, response_rules, compiled)


def _mapping(context: CompileContext, section: RouteSection, path: Path) -> PathMapping | None:
    source_texts = PathSpec(
        *(_prefix(context, section.path, key, (*path, key)) for key in PathSpec._fields),
    )
    if not context.take(check_path(source_texts, section.match.path), path):
        return None
    return compile_path(source_texts, section.match.path)


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
    source_texts = rule_specs(context, getattr(section, key), at)
    is_sound = context.take(check_rules(source_texts, has_policy=has_policy, side=side), at)
    return compile_rules(source_texts) if is_sound else None


def _cookie(context: CompileContext, section: CookieSection, path: Path) -> CookieSpec:
    written = section.model_dump(exclude={"path"})
    return CookieSpec(**written, path=tuple(section.path.items()), pos=context.pos(path))
