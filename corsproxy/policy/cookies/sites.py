"""Warns of credentials that cannot work because page and API are on different sites.

A site is a registrable domain (RFC 6265bis 5.2). A cookie without SameSite counts as SameSite=Lax,
and browsers do not send it with a script's request from another site (cors.md 61).
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from corsproxy.policy.cookies.rewrite import CookieRule
from corsproxy.policy.problems import Problem, ProblemKind, by_slug
from corsproxy.policy.routing.links import BaseUrl
from corsproxy.policy.rules.apply import Rule
from corsproxy.policy.source import SourceText
from corsproxy.policy.suffixes import registrable

KINDS: Final = by_slug(
    ProblemKind(
        "W252",
        "credentials_across_sites",
        "allow_credentials cannot work for {value} on the route {detail}: the page is on another site, "
        "and browsers send only SameSite=None cookies across sites",
        'add to the route cookies: [{{name: "*", same_site: none, partitioned: true}}]',
    ),
)


class PublicNames(NamedTuple):
    """The names by which clients reach a route: `public_url` if set, else the hosts that it matches."""

    route: str
    public: BaseUrl | None
    hosts: Sequence[str]

    def sites(self) -> set[str]:
        """Return the sites of these names; the empty set if the route matches any host."""
        if self.public is not None:
            return {site_of(self.public.authority.decode())}
        return {site_of(host) for host in self.hosts}


def site_of(authority: str) -> str:
    """Return the site of a host, with or without a port or a leading `*.`."""
    host = authority.lower().removeprefix("*.")
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return registrable(host.partition(":")[0].removesuffix("."))


def check_credentials(
    origins: Sequence[SourceText],
    names: PublicNames,
    cookies: Sequence[CookieRule],
    rules: Sequence[Rule],
) -> list[Problem]:
    """Return the warning of cors.md 61 for a route whose policy allows credentials to `origins`.

    At most one per route, for the first origin on another site. No warning if the route changes
    SameSite, by a rule for cookies or for Set-Cookie, or if its public name is unknown.
    """
    sets_same_site = any(rule.same_site == b"None" for rule in cookies)
    own = names.sites()
    if sets_same_site or not own or any(rule.lower == b"set-cookie" for rule in rules):
        return []
    for origin in origins:
        scheme, _, authority = origin.text.partition("://")
        if scheme in {"http", "https"} and site_of(authority) not in own:
            detail = f"{names.route} ({', '.join(sorted(own))})"
            return [
                KINDS["credentials_across_sites"].at(origin.pos, value=origin.text, detail=detail)
            ]
    return []
