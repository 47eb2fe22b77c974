"""What a cookie rule may not say, and the words for it. Knows settings as written, not cookies."""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from corsproxy.policy.cookies.spec import KEEP, REMOVE, CookieTerm
from corsproxy.policy.globs import Glob
from corsproxy.policy.problems import Finding, Words, find
from corsproxy.policy.tokens import is_token_text

WORDS: Final[dict[str, Words]] = {
    "cookie_name_invalid": Words(
        "error",
        '"{value}" fits no cookie name',
        "write a name such as session, with * for any characters",
    ),
    "cookie_domain_invalid": Words(
        "error",
        '"{value}" is no domain for a cookie',
        "write a name in lower case such as example.com, or remove, or keep",
    ),
    "cookie_path_invalid": Words(
        "error",
        '"{value}" is no path for a cookie',
        "write prefixes as they stand in a URL, such as {{/app: /api}}",
    ),
    "cookie_path_repeated": Words(
        "error",
        "{value} is mapped twice",
        "keep one of the two; a / at the end makes no difference",
    ),
    "cookie_secure_needed": Words(
        "error",
        "secure: false contradicts {detail} of the rule for {value}: browsers refuse such cookies",
        "leave secure out, it is implied",
    ),
    "cookie_prefix_broken": Words(
        "error",
        "{detail} breaks what the name {value} promises: browsers refuse such cookies",
        "leave it out for this name",
    ),
    "cookie_rule_idle": Words(
        "warning",
        "the rule for cookies {value} changes nothing",
        "say what shall change, or remove the rule",
    ),
    "cookie_rule_unreached": Words(
        "warning",
        "the rule for cookies {value} is never used: {detail} stands before it, and the first counts",
        "put the narrower name first",
    ),
}

_DOMAIN: Final = re.compile(
    r"\.?(?=.{1,253}\Z)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*",
)
_PATH: Final = re.compile(r"/[!-:<-~]*")


def check_cookies(terms: Sequence[CookieTerm]) -> list[Finding]:
    """Return all that is wrong with the cookie rules of one route, in their order (cors.md 60)."""
    findings: list[Finding] = []
    for index, term in enumerate(terms):
        findings += _values(term)
        findings += _paths(term)
        findings += _promises(term)
        earlier = next((other for other in terms[:index] if _covers(other, term)), None)
        if earlier is not None:
            findings.append(
                find(WORDS, "cookie_rule_unreached", term.name, term.place, earlier.name),
            )
    return findings


def _values(term: CookieTerm) -> Iterator[Finding]:
    if not is_token_text(term.name):  # "*" is a token character
        yield find(WORDS, "cookie_name_invalid", term.name, term.place)
    if term.domain not in {KEEP, REMOVE} and not _DOMAIN.fullmatch(term.domain):
        yield find(WORDS, "cookie_domain_invalid", term.domain, term.place)
    if term == CookieTerm(name=term.name, place=term.place):
        yield find(WORDS, "cookie_rule_idle", term.name, term.place)


def _paths(term: CookieTerm) -> Iterator[Finding]:
    for path in (path for pair in term.path for path in pair):
        if not _PATH.fullmatch(path):
            yield find(WORDS, "cookie_path_invalid", path, term.place)
    seen: set[str] = set()
    for old, _ in term.path:
        if old.rstrip("/") in seen:
            yield find(WORDS, "cookie_path_repeated", old, term.place)
        seen.add(old.rstrip("/"))


def _promises(term: CookieTerm) -> Iterator[Finding]:
    """Yield contradictions that hold for every cookie the rule can meet."""
    if term.secure is False and (term.same_site == "none" or term.partitioned):
        detail = "partitioned: true" if term.partitioned else "same_site: none"
        yield find(WORDS, "cookie_secure_needed", term.name, term.place, detail)
    name = term.name.lower()
    broken: list[str] = []
    if name.startswith(("__host-", "__secure-", "__http-")) and term.secure is False:
        broken.append("secure: false")
    if name.startswith("__host-") and term.domain not in {KEEP, REMOVE}:
        broken.append(f"domain: {term.domain}")
    if name.startswith("__host-") and any(old == "/" != new for old, new in term.path):
        broken.append("another path")
    if name.startswith(("__http-", "__host-http-")) and term.http_only is False:
        broken.append("http_only: false")
    for detail in broken:
        yield find(WORDS, "cookie_prefix_broken", term.name, term.place, detail)


def _covers(earlier: CookieTerm, later: CookieTerm) -> bool:
    """Tell whether every name that fits `later` fits `earlier`.

    A `*` of `later` taken as a letter no name has shows it: `earlier` fits that name only by a `*`.
    """
    return Glob.compile(earlier.name).fits(later.name.replace("*", "\0").encode())
