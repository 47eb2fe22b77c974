"""Checks the cookie rules of a route before they are compiled."""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from corsproxy.policy.cookies.spec import KEEP, REMOVE, CookieSpec
from corsproxy.policy.globs import Glob
from corsproxy.policy.problems import Problem, ProblemKind, by_slug
from corsproxy.policy.tokens import is_token_text

KINDS: Final = by_slug(
    ProblemKind(
        "E250",
        "cookie_name_invalid",
        '"{value}" cannot match a cookie name',
        "write a name such as session; * matches any characters",
    ),
    ProblemKind(
        "E251",
        "cookie_domain_invalid",
        '"{value}" is not a valid cookie domain',
        "write a lower-case name such as example.com, or remove, or keep",
    ),
    ProblemKind(
        "E252",
        "cookie_path_invalid",
        '"{value}" is not a valid cookie path',
        "write prefixes as they appear in a URL, such as {{/app: /api}}",
    ),
    ProblemKind(
        "E253",
        "cookie_path_repeated",
        "{value} is mapped twice",
        "keep one of the two; a trailing / makes no difference",
    ),
    ProblemKind(
        "E254",
        "cookie_secure_needed",
        "secure: false contradicts {detail} in the rule for {value}: browsers reject such cookies",
        "remove secure, which is implied",
    ),
    ProblemKind(
        "E255",
        "cookie_prefix_broken",
        "{detail} violates the requirements of the name prefix of {value}: browsers reject such cookies",
        "remove it from this rule",
    ),
    ProblemKind(
        "W250",
        "cookie_rule_idle",
        "the rule for cookies {value} changes nothing",
        "add the attribute to change, or remove the rule",
    ),
    ProblemKind(
        "W251",
        "cookie_rule_unreached",
        "the rule for cookies {value} is never used: the earlier rule for {detail} matches all of them",
        "put the more specific name first",
    ),
)

_DOMAIN: Final = re.compile(
    r"\.?(?=.{1,253}\Z)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*",
)
_PATH: Final = re.compile(r"/[!-:<-~]*")


def check_cookies(specs: Sequence[CookieSpec]) -> list[Problem]:
    """Return all problems of the cookie rules of one route, in their order (cors.md 60)."""
    problems: list[Problem] = []
    for index, spec in enumerate(specs):
        problems += _values(spec)
        problems += _paths(spec)
        problems += _promises(spec)
        earlier = next((other for other in specs[:index] if _covers(other, spec)), None)
        if earlier is not None:
            problems.append(
                KINDS["cookie_rule_unreached"].at(spec.pos, value=spec.name, detail=earlier.name),
            )
    return problems


def _values(spec: CookieSpec) -> Iterator[Problem]:
    if not is_token_text(spec.name):  # "*" is a token character
        yield KINDS["cookie_name_invalid"].at(spec.pos, value=spec.name)
    if spec.domain not in {KEEP, REMOVE} and not _DOMAIN.fullmatch(spec.domain):
        yield KINDS["cookie_domain_invalid"].at(spec.pos, value=spec.domain)
    if spec == CookieSpec(name=spec.name, pos=spec.pos):
        yield KINDS["cookie_rule_idle"].at(spec.pos, value=spec.name)


def _paths(spec: CookieSpec) -> Iterator[Problem]:
    for path in (path for pair in spec.path for path in pair):
        if not _PATH.fullmatch(path):
            yield KINDS["cookie_path_invalid"].at(spec.pos, value=path)
    seen: set[str] = set()
    for old, _ in spec.path:
        if old.rstrip("/") in seen:
            yield KINDS["cookie_path_repeated"].at(spec.pos, value=old)
        seen.add(old.rstrip("/"))


def _promises(spec: CookieSpec) -> Iterator[Problem]:
    """Yield what makes browsers reject every cookie that the rule matches."""
    if spec.secure is False and (spec.same_site == "none" or spec.partitioned):
        detail = "partitioned: true" if spec.partitioned else "same_site: none"
        yield KINDS["cookie_secure_needed"].at(spec.pos, value=spec.name, detail=detail)
    name = spec.name.lower()
    broken: list[str] = []
    if name.startswith(("__host-", "__secure-", "__http-")) and spec.secure is False:
        broken.append("secure: false")
    if name.startswith("__host-") and spec.domain not in {KEEP, REMOVE}:
        broken.append(f"domain: {spec.domain}")
    if name.startswith("__host-") and any(old == "/" != new for old, new in spec.path):
        broken.append("another path")
    if name.startswith(("__http-", "__host-http-")) and spec.http_only is False:
        broken.append("http_only: false")
    for detail in broken:
        yield KINDS["cookie_prefix_broken"].at(spec.pos, value=spec.name, detail=detail)


def _covers(earlier: CookieSpec, later: CookieSpec) -> bool:
    """Return whether every name that matches `later` matches `earlier`.

    The `*` of `later` becomes a character that names cannot contain: `earlier` matches the result
    only by a `*` of its own.
    """
    return Glob.compile(earlier.name).fits(later.name.replace("*", "\0").encode())
