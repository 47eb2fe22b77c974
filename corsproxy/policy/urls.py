"""Parses http(s) and ws(s) URLs as browsers do (https://url.spec.whatwg.org)."""

import re
from typing import Final, NamedTuple
from urllib.parse import quote, urlsplit

from corsproxy.policy.cors.origins import DEFAULT_PORTS, parse_origin, split_authority

# What browsers do not percent-encode in a path and in a query (https://url.spec.whatwg.org/#path-percent-encode-set).
_PATH: Final = "%/:@!$&'()*+,;=~[]|\\"
_QUERY: Final = _PATH.replace("'", "") + "?`{}^"
_DOT: Final = re.compile("%2e", re.IGNORECASE)


class Url(NamedTuple):
    """A parsed URL: `authority` as in Host, `target` as in a request line (path and query)."""

    scheme: str
    authority: str
    target: str

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.target}"

    @property
    def origin(self) -> bytes:
        """The origin as browsers write it: lower case, without a default port."""
        return f"{self.scheme}://{self.authority}".encode("ascii")

    @property
    def host(self) -> str:
        """The name or address to connect to, IPv6 without brackets."""
        return split_authority(self.authority.encode("ascii"))[0].decode("ascii").strip("[]")

    @property
    def port(self) -> int:
        """The port, by default that of the scheme."""
        port = split_authority(self.authority.encode("ascii"))[1][1:]
        return int(port or DEFAULT_PORTS[self.scheme.encode("ascii")])


def read_url(text: str) -> Url:
    """Parse the absolute http(s) or ws(s) URL `text` as a browser would.

    Dot segments are resolved, other characters percent-encoded, the fragment is dropped
    (https://url.spec.whatwg.org/#concept-url-parser). Raises ValueError, whose message includes
    the fix, for a URL that no page can request.
    """
    try:
        parts = urlsplit(text.strip().replace("\\", "/"))
        port = parts.port
    except ValueError as error:
        raise ValueError(f"{text!r} is not a valid URL: {error}") from None
    scheme = parts.scheme.encode()
    if scheme not in DEFAULT_PORTS or not parts.hostname:
        raise ValueError(f"{text!r} is not an absolute URL; write it as https://host/path")
    if "@" in parts.netloc:
        raise ValueError(f"{text!r} contains a user name, which no page can send; remove it")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    shown = "" if port is None or DEFAULT_PORTS[scheme] == b"%d" % port else f":{port}"
    url = Url(parts.scheme, host + shown, _target(parts.path, parts.query))
    # The grammar of hosts and ports is that of origins (cors.md 10).
    if not url.authority.isascii() or parse_origin(url.origin) is None:
        raise ValueError(f"{text!r} has no valid host; write the name in ASCII (xn--…)")
    return url


def _target(path: str, query: str) -> str:
    target = quote(_resolved(path), safe=_PATH)
    return f"{target}?{quote(query, safe=_QUERY)}" if query else target


def _resolved(path: str) -> str:
    """Return `path` with its dot segments resolved, also those spelled with %2e."""
    kept: list[str] = []
    plain = ""
    for segment in path.split("/")[1:]:
        plain = _DOT.sub(".", segment)
        if plain == "..":
            del kept[-1:]
        elif plain != ".":
            kept.append(segment)
    end = "/" if plain in {".", ".."} and kept else ""
    return "/" + "/".join(kept) + end
