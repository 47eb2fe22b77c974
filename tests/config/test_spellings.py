"""Where a spelling leads around a stricter route of the same upstream (cors.md 72): W234, or nothing."""

import pytest

from corsproxy.config import load_text

START = """
version: 1
upstreams:
  api: {url: http://127.0.0.1:9000}
  other: {url: http://127.0.0.1:9000}
policies:
  wide: {allow_origins: [https://a.example.com, https://b.example.com]}
  narrow: {allow_origins: [https://a.example.com]}
  subdomains: {allow_origins: ["https://*.example.com", "http://localhost:*"]}
  public: {allow_origins: ["*"]}
  blocking: {allow_origins: [https://a.example.com], on_refused: block}
  cookies: {allow_origins: [https://a.example.com], allow_credentials: true}
  local: {allow_origins: [http://localhost:3000, https://x.example.com]}
routes:
"""


def warned(*routes: str) -> list[str]:
    """Return what is warned of these routes, each in flow style."""
    text = START + "".join(f"  - {{{route}}}\n" for route in routes)
    loaded = load_text(text, "config.yaml", {})
    assert loaded.plan is not None, loaded.problems
    return [
        f"{one.place.line} {one.message.rpartition(': ')[2]}"
        for one in loaded.problems
        if one.id == "W234"
    ]


def line(number: int) -> int:
    """Return the line of the route of that index."""
    return START.count("\n") + 1 + number


WIDE = "upstream: api, cors: wide"
AVOIDED = {
    "a prefix": (
        WIDE,
        "match: {path: /admin/}, upstream: api, cors: narrow",
        "//admin/x comes to {}, which allows an origin that this one refuses",
    ),
    "an exact path": (
        WIDE,
        "match: {path: /admin}, upstream: api, cors: narrow",
        "//admin comes to {}, which allows an origin that this one refuses",
    ),
    "below a prefix": (
        "match: {path: /api/}, upstream: api, cors: wide",
        "match: {path: /api/admin/}, upstream: api, cors: narrow",
        "/api/admin%2Fx comes to {}, which allows an origin that this one refuses",
    ),
    "in another case": (
        "match: {path: /ADMIN}, upstream: api, cors: wide",
        "match: {path: /admin}, upstream: api, cors: narrow",
        "/ADMIN comes to {}, which allows an origin that this one refuses",
    ),
    "with prefixes that change alike": (
        "match: {path: /api/}, upstream: api, cors: wide, path: {strip_prefix: /api}",
        ("match: {path: /api/admin/}, upstream: api, cors: narrow, path: {replace_prefix: /admin}"),
        "/api/admin%2Fx comes to {}, which allows an origin that this one refuses",
    ),
    "any origin": (
        "upstream: api, cors: public",
        "match: {path: /admin/}, upstream: api, cors: narrow",
        "//admin/x comes to {}, which allows an origin that this one refuses",
    ),
    "a pattern": (
        "upstream: api, cors: subdomains",
        "match: {path: /admin/}, upstream: api, cors: local",
        "//admin/x comes to {}, which allows an origin that this one refuses",
    ),
    "no policy where refused requests are blocked": (
        "upstream: api, cors: false",
        "match: {path: /admin/}, upstream: api, cors: blocking",
        "//admin/x comes to {}, which does not block what is refused",
    ),
    "credentials": (
        "upstream: api, cors: cookies",
        "match: {path: /admin/}, upstream: api, cors: narrow",
        "//admin/x comes to {}, which allows credentials",
    ),
    "on any host": (
        WIDE,
        "match: {host: '*.example.com', path: /admin/}, upstream: api, cors: narrow",
        "//admin/x comes to {}, which allows an origin that this one refuses",
    ),
    "by method": (
        "match: {methods: [POST]}, upstream: api, cors: wide",
        "match: {path: /admin/}, upstream: api, cors: narrow",
        "//admin/x comes to {}, which allows an origin that this one refuses",
    ),
    "the same URL": (
        "upstream: 'http://h:1', cors: wide",
        "match: {path: /admin/}, upstream: 'http://h:1', cors: narrow",
        "//admin/x comes to {}, which allows an origin that this one refuses",
    ),
}


@pytest.mark.parametrize("case", AVOIDED)
def test_72_a_spelling_that_leads_around_a_stricter_policy_is_warned_of(case: str) -> None:
    """cors.md 72: W, with a spelling, the route it comes to, and what that one lets in."""
    broad, narrow, said = AVOIDED[case]
    for routes in ((broad, narrow), (narrow, broad)):
        at, other = line(routes.index(narrow)), f"the route in line {line(routes.index(broad))}"
        assert warned(*routes) == [f"{at} {said.format(other)}"]


SOUND = {
    "one policy": (WIDE, "match: {path: /admin/}, upstream: api, cors: wide"),
    "the stricter one is the broader route's": (
        "upstream: api, cors: narrow",
        "match: {path: /open/}, upstream: api, cors: wide",
    ),
    "another upstream": (WIDE, "match: {path: /admin/}, upstream: other, cors: narrow"),
    "another upstream of two policies": (
        WIDE,
        "match: {path: /admin/}, upstream: other, cors: narrow",
        "match: {path: /page/}, upstream: other, cors: wide",
    ),
    "patterns that cover": (
        "upstream: api, cors: wide",
        "match: {path: /admin/}, upstream: api, cors: subdomains",
    ),
    "a public path": (
        "upstream: api, cors: cookies",
        "match: {path: /public/}, upstream: api, cors: public",
    ),
    "no policy below one": (WIDE, "match: {path: /health}, upstream: api, cors: false"),
    "a policy below none": (
        "upstream: api, cors: false",
        "match: {path: /api/}, upstream: api, cors: narrow",
    ),
    "paths that are others upstream": (
        WIDE,
        "match: {path: /admin/}, upstream: api, cors: narrow, path: {strip_prefix: /admin}",
    ),
    "another host": (
        "match: {host: a.example.com}, upstream: api, cors: wide",
        "match: {host: b.example.com, path: /admin/}, upstream: api, cors: narrow",
    ),
    "side by side": (
        "match: {path: /a/}, upstream: api, cors: wide",
        "match: {path: /b/}, upstream: api, cors: narrow",
    ),
    "methods of one path": (
        "match: {methods: [GET]}, upstream: api, cors: wide",
        "match: {methods: [PUT]}, upstream: api, cors: narrow",
    ),
}


@pytest.mark.parametrize("case", SOUND)
def test_72_what_no_spelling_opens_is_not_warned_of(case: str) -> None:
    """cors.md 72: a warning that cannot be followed is worse than none."""
    assert warned(*SOUND[case]) == []


def test_72_each_route_that_is_reached_is_named_once() -> None:
    """Not once for each path, host or method."""
    many = "match: {host: [x.example, y.example], path: [/a/, /b/], methods: [GET, PUT]}"
    assert len(warned(WIDE, f"{many}, upstream: api, cors: narrow")) == 1
