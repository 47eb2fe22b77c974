"""Maps links in response fields from the upstream's URL to the public one.

A link to the upstream's own origin gets the public origin, with the path prefix restored; any other
link keeps its bytes (cors.md 58). References without scheme (RFC 3986 4.2):

- "/x" is a path of the upstream, so its prefix is restored as well;
- "//host/x" inherits the scheme of the upstream;
- "x", "../x", "?q" and "#f" stay: the client resolves them against the public URL, which already has
  the prefix.

A reference that clients parse in more than one way (backslashes, tabs, `http:x`) is not treated as a
link to the upstream.
"""

import re
from typing import Final, NamedTuple

from corsproxy.policy.authority import HostError, PortError, split_authority
from corsproxy.policy.cors.origins import DEFAULT_PORTS
from corsproxy.policy.problems import Problem, ProblemKind, Report, by_slug, ignore, require_sound
from corsproxy.policy.routing.paths import UNCHANGED, PathMapping
from corsproxy.policy.source import SourceText

# scheme "://" or "//", then [userinfo "@"] host [":" port], then the rest. A backslash, which
# browsers parse as "/", is accepted only in the rest.
_URL: Final = re.compile(
    rb"(?:([A-Za-z][A-Za-z0-9+.-]*+):)?//(?:([^/?#\\@\s]*+)@)?([^/?#\\@\s]*+)((?:[/?#].*)?)",
    re.DOTALL,
)
_AUTHORITY: Final = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|[^\[\]:]+)(?::([0-9]*))?")

# Refresh: seconds, then a URL that may have "url=" and quotes
# (https://html.spec.whatwg.org/#shared-declarative-refresh-steps). The quantifiers are possessive, so
# that the search is linear in the length of white space.
_REFRESH: Final = re.compile(
    rb"(\s*+[\d.]++\s*+(?:[;,]\s*+|(?<=\s))(?:url\s*+=\s*+)?+(['\"]?+))(.*)",
    re.IGNORECASE | re.DOTALL,
)


class BaseUrl(NamedTuple):
    """Scheme and authority of a URL: `scheme` in lower case, `authority` as in Host."""

    scheme: bytes
    authority: bytes


class Links(NamedTuple):
    """The names and the path mapping for the links of one exchange.

    `upstreams` are the names that the upstream may use for itself: its address, and the Host that was
    sent to it if that differs. `public` is the URL by which the client reaches the proxy.
    """

    upstreams: tuple[BaseUrl, ...]
    public: BaseUrl
    mapping: PathMapping = UNCHANGED


def rewrite_link(value: bytes, links: Links) -> bytes:
    """Map the value of Location or Content-Location to public names."""
    if b"\t" in value:
        return value  # browsers remove tabs from URLs, so "/\t/host" refers to another host
    if value[:1] == b"/" and value[1:2] not in {b"/", b"\\"}:
        path = links.mapping.to_public(value)
        # "/v1//host" without its "/v1" would refer to another host, so the origin is written out.
        if path[1:2] in {b"/", b"\\"}:
            return b"%b://%b%b" % (*links.public, path)
        return path
    url = _URL.fullmatch(value)
    if url is None:
        return value
    scheme, userinfo, authority, rest = url.groups()
    if not any(_is_same(scheme, authority, upstream) for upstream in links.upstreams):
        return value
    if links.mapping != UNCHANGED:
        rest = links.mapping.to_public(rest if rest[:1] == b"/" else b"/" + rest)
    user = b"" if userinfo is None else userinfo + b"@"
    return b"%b://%b%b%b" % (links.public.scheme, user, links.public.authority, rest)


def rewrite_refresh(value: bytes, links: Links) -> bytes:
    """Map the URL in a Refresh value; the delay and the quotes stay."""
    found = _REFRESH.fullmatch(value)
    if found is None:
        return value
    head, quote, url = found.groups()
    end = url.find(quote) if quote else len(url.rstrip(b" "))
    if end < 0:
        end = len(url)
    return bytes(head) + rewrite_link(url[:end], links) + url[end:]


def rewrite_field(name: bytes, value: bytes, links: Links) -> bytes:
    """Map the value of the field `name`, of kind `fields.LOCATION`, to public names."""
    return (rewrite_refresh if name.lower() == b"refresh" else rewrite_link)(value, links)


def _is_same(scheme: bytes | None, authority: bytes, base: BaseUrl) -> bool:
    """Whether both are the same origin; a reference without scheme has that of `base`."""
    named = base.scheme if scheme is None else scheme.lower()
    return named == base.scheme and _host_port(named, authority) == _host_port(*base) is not None


def _host_port(scheme: bytes, authority: bytes) -> tuple[bytes, bytes] | None:
    found = _AUTHORITY.fullmatch(authority)
    if found is None:
        return None
    return found[1].lower(), (found[2] or DEFAULT_PORTS.get(scheme, b"")).lstrip(b"0")


KINDS: Final = by_slug(
    ProblemKind(
        "E243",
        "public_url_invalid",
        '"{value}" is not a valid public URL: {detail}',
        "write scheme and host as clients use them, such as https://api.example.com",
    ),
)

_BAD_HOST: Final = "the host is not a valid lower-case name or address"
_BAD_PORT: Final = "the port is not a number from 1 to 65535"


def check_public_url(url: SourceText) -> list[Problem]:
    """Return the problems of a `public_url`."""
    fault = _fault(url.text)
    return [KINDS["public_url_invalid"].at(url.pos, value=url.text, detail=fault)] if fault else []


def compile_public_url(url: SourceText, report: Report = ignore) -> BaseUrl:
    """Compile a `public_url`; report what `check_public_url` finds, raise `BadSpec` for an error."""
    require_sound(check_public_url(url), report)
    scheme, _, authority = url.text.encode().rstrip(b"/").partition(b"://")
    return BaseUrl(scheme, authority)


def _fault(text: str) -> str:
    """Return why `text` is not a valid public URL, as the end of a message; "" if it is."""
    scheme, separator, rest = text.partition("://")
    if not separator or scheme not in {"http", "https"}:
        return "it does not start with http:// or https://"
    authority = rest.removesuffix("/")
    if re.search(r"[/?#]", authority):
        return "it has a path; path prefixes are restored by the path of the route"
    return "it contains a user name" if "@" in authority else _authority_fault(authority)


def _authority_fault(authority: str) -> str:
    try:
        host, port = split_authority(authority)
    except HostError:
        return _BAD_HOST
    except PortError:
        return _BAD_PORT
    if port == 0:
        return _BAD_PORT
    # Browsers write hosts in lower case: another spelling would be a second name for the same origin.
    return "" if host == host.lower() else _BAD_HOST
