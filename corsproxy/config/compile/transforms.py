"""From what a route says of headers, paths and cookies to what is applied. Knows no matches."""

from typing import NamedTuple

from corsproxy.config.compile.context import Draft
from corsproxy.config.compile.rules import rule_terms
from corsproxy.config.models.routes import CookieSection, PathSection, RouteSection
from corsproxy.config.yaml.nodes import Path
from corsproxy.policy.cookies.rewrite import CookieRule, CookieTerm, check_cookies, compile_cookies
from corsproxy.policy.routing.paths import (
    UNCHANGED,
    PathMapping,
    PathTerms,
    check_path,
    compile_path,
)
from corsproxy.policy.rules.apply import Rule, check_rules, compile_rules
from corsproxy.policy.rules.spec import Side
from corsproxy.policy.source import Term


class Reshaping(NamedTuple):
    """What a route makes of requests and answers; names are those of `plan.Route`."""

    mapping: PathMapping
    maps_links: bool
    request_rules: tuple[Rule, ...]
    response_rules: tuple[Rule, ...]
    cookies: tuple[CookieRule, ...]


def build_reshaping(
    draft: Draft,
    section: RouteSection,
    path: Path,
    *,
    has_policy: bool,
) -> Reshaping | None:
    """Return what `section` says, compiled; None with problems noted."""
    mapping = _mapping(draft, section, (*path, "path"))
    request_rules = _rules(draft, section, path, "request", has_policy=has_policy)
    response_rules = _rules(draft, section, path, "response", has_policy=has_policy)
    at = (*path, "cookies")
    cookies = [_cookie(draft, item, (*at, index)) for index, item in enumerate(section.cookies)]
    is_sound = draft.take(check_cookies(cookies), at)
    if mapping is None or request_rules is None or response_rules is None or not is_sound:
        return None
    maps_links = section.location == "rewrite"
    mapped_back = mapping if maps_links else UNCHANGED
    compiled = compile_cookies(cookies, mapped_back)
    return Reshaping(mapping, maps_links, request_rules, response_rules, compiled)


def _mapping(draft: Draft, section: RouteSection, path: Path) -> PathMapping | None:
    terms = PathTerms(
        *(_prefix(draft, section.path, key, (*path, key)) for key in PathTerms._fields),
    )
    if not draft.take(check_path(terms, section.match.path), path):
        return None
    return compile_path(terms, section.match.path)


def _prefix(draft: Draft, section: PathSection, key: str, path: Path) -> Term | None:
    text = getattr(section, key)
    return None if text is None else Term(text, draft.place(path))


def _rules(
    draft: Draft,
    section: RouteSection,
    path: Path,
    side: Side,
    *,
    has_policy: bool,
) -> tuple[Rule, ...] | None:
    key = f"{side}_headers"
    at = (*path, key)
    terms = rule_terms(draft, getattr(section, key), at)
    is_sound = draft.take(check_rules(terms, has_policy=has_policy, side=side), at)
    return compile_rules(terms) if is_sound else None


def _cookie(draft: Draft, section: CookieSection, path: Path) -> CookieTerm:
    written = section.model_dump(exclude={"path"})
    return CookieTerm(**written, path=tuple(section.path.items()), place=draft.place(path))
