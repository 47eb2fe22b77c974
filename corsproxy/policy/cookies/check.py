"""What a cookie rule may not say, and the words for it. Knows settings as written, not cookies."""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from corsproxy.policy.cookies.spec import KEEP, REMOVE, CookieSpec
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


def check_cookies(specs: Sequence[CookieSpec]) -> list[Finding]:
    """Return all that is wrong with the cookie rules of one route, in their order (cors.md 60)."""
    findings: list[Finding] = []
    for index, spec in enumerate(specs):
        findings += _values(spec)
        findings += _paths(spec)
        findings += _promises(spec)
        earlier = next((other for other in specs[:index] if _covers(other, spec)), None)
        if earlier is not None:
            findings.append(
                find(WORDS, "cookie_rule_unreached", spec.name, spec.pos, earlier.name),
            )
    return findings


def _values(spec: CookieSpec) -> Iterator[Finding]:
    if not is_token_text(spec.name):  # "*" is a token character
        yield find(WORDS, "cookie_name_invalid", spec.name, spec.pos)
    if spec.domain not in {KEEP, REMOVE} and not _DOMAIN.fullmatch(spec.domain):
        yield find(WORDS, "cookie_domain_invalid", spec.domain, spec.pos)
    if spec == CookieSpec(name=spec.name, pos=spec.pos):
        yield find(WORDS, "cookie_rule_idle", spec.name, spec.pos)


def _paths(spec: CookieSpec) -> Iterator[Finding]:
    for path in (path for pair in spec.path for path in pair):
        if not _PATH.fullmatch(path):
            yield find(WORDS, "cookie_path_invalid", path, spec.pos)
    seen: set[str] = set()
    for old, _ in spec.path:
        if old.rstrip("/") in seen:
            yield find(WORDS, "cookie_path_repeated", old, spec.pos)
        seen.add(old.rstrip("/"))


def _promises(spec: CookieSpec) -> Iterator[Finding]:
    """Yield contradictions that hold for every cookie the rule can meet."""
    if spec.secure is False and (spec.same_site == "none" or spec.partitioned):
        detail = "partitioned: true" if spec.partitioned else "same_site: none"
        yield find(WORDS, "cookie_secure_needed", spec.name, spec.pos, detail)
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
        yield find(WORDS, "cookie_prefix_broken", spec.name, spec.pos, detail)


def _covers(earlier: CookieSpec, later: CookieSpec) -> bool:
    """Tell whether every name that fits `later` fits `earlier`.

    A `*` of `later` taken as a letter no name has shows it: `earlier` fits that name only by a `*`.
    """
    return Glob.compile(earlier.name).fits(later.name.replace("*", "\0").encode())
