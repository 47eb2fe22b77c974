"""W234: another spelling of a path bypasses the stricter route of the same upstream (cors.md 72)."""

import pytest

from corsproxy.config.load import load_text

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
  deleting: {allow_origins: [https://a.example.com], allow_methods: [GET, DELETE]}
  all-methods: {allow_origins: [https://a.example.com], allow_methods: ["*"]}
  signed: {allow_origins: [https://a.example.com], allow_headers: [X-Key]}
  all-headers: {allow_origins: [https://a.example.com], allow_headers: ["*", Authorization]}
  showing: {allow_origins: [https://a.example.com], expose_headers: [X-Total]}
  showing-all: {allow_origins: [https://a.example.com], expose_headers: ["*"]}
  safe: {allow_origins: [https://a.example.com], expose_headers: [Cache-Control], allow_methods: [GET]}
  sockets: {allow_origins: [https://a.example.com], websocket: {check_origin: false}}
  timed: {allow_origins: [https://a.example.com], timing_allow_origins: [https://b.example.com]}
  timed-same: {allow_origins: [https://a.example.com], timing_allow_origins: same}
  timed-any: {allow_origins: [https://a.example.com], timing_allow_origins: ["*"]}
  public-timed: {allow_origins: ["*"], timing_allow_origins: same}
  public-deleting: {allow_origins: ["*"], allow_methods: [DELETE]}
  local: {allow_origins: [http://localhost:3000, https://x.example.com]}
routes:
"""


def warned(*routes: str) -> list[str]:
    """Return the warnings for these routes, each in flow style."""
    text = START + "".join(f"  - {{{route}}}\n" for route in routes)
    loaded = load_text(text, "config.yaml", {})
    assert loaded.config is not None, loaded.problems
    return [
        f"{one.pos.line} {one.message.rpartition(': ')[2]}"
        for one in loaded.problems
        if one.id == "W234"
    ]


def line(number: int) -> int:
    """Return the line of the route at that index."""
    return START.count("\n") + 1 + number


WIDE = "upstream: api, cors: wide"
AVOIDED = {
    "a prefix": (
        WIDE,
        "match: {path: /admin/}, upstream: api, cors: narrow",
        "//admin/x matches {}, which allows an origin that this one refuses",
    ),
    "an exact path": (
        WIDE,
        "match: {path: /admin}, upstream: api, cors: narrow",
        "//admin matches {}, which allows an origin that this one refuses",
    ),
    "below a prefix": (
        "match: {path: /api/}, upstream: api, cors: wide",
        "match: {path: /api/admin/}, upstream: api, cors: narrow",
        "/api/admin%2Fx matches {}, which allows an origin that this one refuses",
    ),
    "in another case": (
        "match: {path: /ADMIN}, upstream: api, cors: wide",
        "match: {path: /admin}, upstream: api, cors: narrow",
        "/ADMIN matches {}, which allows an origin that this one refuses",
    ),
    "with prefixes that change alike": (
        "match: {path: /api/}, upstream: api, cors: wide, path: {strip_prefix: /api}",
        ("match: {path: /api/admin/}, upstream: api, cors: narrow, path: {replace_prefix: /admin}"),
        "/api/admin%2Fx matches {}, which allows an origin that this one refuses",
    ),
    "any origin": (
        "upstream: api, cors: public",
        "match: {path: /admin/}, upstream: api, cors: narrow",
        "//admin/x matches {}, which allows an origin that this one refuses",
    ),
    "a pattern": (
        "upstream: api, cors: subdomains",
        "match: {path: /admin/}, upstream: api, cors: local",
        "//admin/x matches {}, which allows an origin that this one refuses",
    ),
    "no policy where refused requests are blocked": (
        "upstream: api, cors: false",
        "match: {path: /admin/}, upstream: api, cors: blocking",
        "//admin/x matches {}, which does not block refused requests",
    ),
    "credentials": (
        "upstream: api, cors: cookies",
        "match: {path: /admin/}, upstream: api, cors: narrow",
        "//admin/x matches {}, which allows credentials",
    ),
    "on any host": (
        WIDE,
        "match: {host: '*.example.com', path: /admin/}, upstream: api, cors: narrow",
        "//admin/x matches {}, which allows an origin that this one refuses",
    ),
    "by another method than GET and POST": (
        "match: {methods: [PATCH]}, upstream: api, cors: wide",
        "match: {path: /admin/}, upstream: api, cors: narrow",
        "//admin/x matches {}, which allows an origin that this one refuses",
    ),
    "by method": (
        "match: {methods: [POST]}, upstream: api, cors: wide",
        "match: {path: /admin/}, upstream: api, cors: narrow",
        "//admin/x matches {}, which allows an origin that this one refuses",
    ),
    "an exact path below a prefix": (
        "match: {path: /a/b/}, upstream: api, cors: wide",
        "match: {path: /a/b/c}, upstream: api, cors: narrow",
        "/a/b//c matches {}, which allows an origin that this one refuses",
    ),
    "a doubled slash alone": (
        "match: {path: /x//y/}, upstream: api, cors: wide",
        "match: {path: /x/y/z}, upstream: api, cors: narrow",
        "/x//y/z matches {}, which allows an origin that this one refuses",
    ),
    "an inner slash as an escape": (
        "match: {path: /x%2Fy/}, upstream: api, cors: wide",
        "match: {path: /x/y/z/}, upstream: api, cors: narrow",
        "/x%2Fy/z/x matches {}, which allows an origin that this one refuses",
    ),
    "in lower case": (
        "match: {path: /admin/}, upstream: api, cors: wide",
        "match: {path: /Admin/}, upstream: api, cors: narrow",
        "/admin/x matches {}, which allows an origin that this one refuses",
    ),
    "one segment in another case": (
        "match: {path: /api/ADMIN/}, upstream: api, cors: wide",
        "match: {path: /api/admin/}, upstream: api, cors: narrow",
        "/api/ADMIN/x matches {}, which allows an origin that this one refuses",
    ),
    "one letter in another case": (
        "match: {path: /aDmin/}, upstream: api, cors: wide",
        "match: {path: /admin/users}, upstream: api, cors: narrow",
        "/aDmin/users matches {}, which allows an origin that this one refuses",
    ),
    "one letter of an exact path": (
        "match: {path: /adMin}, upstream: api, cors: wide",
        "match: {path: /admin}, upstream: api, cors: narrow",
        "/adMin matches {}, which allows an origin that this one refuses",
    ),
    "a method": (
        "upstream: api, cors: deleting",
        "match: {path: /admin/}, upstream: api, cors: narrow",
        "//admin/x matches {}, which allows a method that this one refuses",
    ),
    "any method": (
        "upstream: api, cors: all-methods",
        "match: {path: /admin/}, upstream: api, cors: deleting",
        "//admin/x matches {}, which allows a method that this one refuses",
    ),
    "a method of a public policy": (
        "upstream: api, cors: public-deleting",
        "match: {path: /admin/}, upstream: api, cors: public",
        "//admin/x matches {}, which allows a method that this one refuses",
    ),
    "a request header": (
        "upstream: api, cors: signed",
        "match: {path: /admin/}, upstream: api, cors: narrow",
        "//admin/x matches {}, which allows a request header that this one refuses",
    ),
    "any request header": (
        "upstream: api, cors: all-headers",
        "match: {path: /admin/}, upstream: api, cors: signed",
        "//admin/x matches {}, which allows a request header that this one refuses",
    ),
    "a response header": (
        "upstream: api, cors: showing",
        "match: {path: /admin/}, upstream: api, cors: narrow",
        "//admin/x matches {}, which exposes a response header that this one hides",
    ),
    "every response header": (
        "upstream: api, cors: showing-all",
        "match: {path: /admin/}, upstream: api, cors: showing",
        "//admin/x matches {}, which exposes a response header that this one hides",
    ),
    "WebSockets": (
        "upstream: api, cors: sockets",
        "match: {path: /admin/}, upstream: api, cors: narrow",
        "//admin/x matches {}, which does not check the origin of WebSockets",
    ),
    "timings of one's own": (
        "upstream: api, cors: timed",
        "match: {path: /admin/}, upstream: api, cors: timed-same",
        "//admin/x matches {}, which exposes timings to an origin that this one does not",
    ),
    "timings of the allowed origins": (
        "upstream: api, cors: timed-same",
        "match: {path: /admin/}, upstream: api, cors: narrow",
        "//admin/x matches {}, which exposes timings to an origin that this one does not",
    ),
    "timings of every origin": (
        "upstream: api, cors: public-timed",
        "match: {path: /admin/}, upstream: api, cors: public",
        "//admin/x matches {}, which exposes timings to an origin that this one does not",
    ),
    "the same URL": (
        "upstream: 'http://h:1', cors: wide",
        "match: {path: /admin/}, upstream: 'http://h:1', cors: narrow",
        "//admin/x matches {}, which allows an origin that this one refuses",
    ),
}


@pytest.mark.parametrize("case", AVOIDED)
def test_72_a_spelling_that_bypasses_a_stricter_policy_is_reported(case: str) -> None:
    """cors.md 72: the warning has the spelling, the route it matches, and what that one permits."""
    broad, narrow, said = AVOIDED[case]
    for routes in ((broad, narrow), (narrow, broad)):
        at, other = line(routes.index(narrow)), f"the route on line {line(routes.index(broad))}"
        assert warned(*routes) == [f"{at} {said.format(other)}"]


SERVED = "upstream: api, cors: narrow"
LONE = {
    "upper case": (["//", "/aB", "/ab"], "/Ab", "/AB"),
    "lower case": (["//", "/aB", "/AB"], "/Ab", "/ab"),
    "the case of the first segment": (["//", "/ab//", "/ab%2Fcd", "/AB/CD"], "/ab/cd", "/AB/cd"),
    "the case of the last segment": (["//", "/ab//", "/ab%2Fcd", "/AB/"], "/ab/cd", "/ab/CD"),
}


@pytest.mark.parametrize("case", LONE)
def test_72_each_spelling_is_tried_by_itself(case: str) -> None:
    """cors.md 72: each may reach the broader route while every other one is handled strictly."""
    served, path, spelled = LONE[case]
    strict = [f"match: {{path: {one}}}, {SERVED}" for one in (path, *served)]
    words = "allows an origin that this one refuses"
    said = warned(WIDE, *strict)
    assert f"{line(1)} {spelled} matches the route on line {line(0)}, which {words}" in said


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
    "methods that cover": (
        "upstream: api, cors: deleting",
        "match: {path: /admin/}, upstream: api, cors: all-methods",
    ),
    "a method that does not come to the broader route": (
        "match: {methods: [GET, POST]}, upstream: api, cors: deleting",
        "match: {path: /admin/}, upstream: api, cors: narrow",
    ),
    "a method that has a route of its own": (
        "upstream: api, cors: deleting",
        "match: {path: /admin/}, upstream: api, cors: narrow",
        "match: {path: /admin/, methods: [DELETE]}, upstream: api, cors: deleting",
    ),
    "a method that the stricter route does not match": (
        "upstream: api, cors: deleting",
        "match: {path: /admin/, methods: [GET]}, upstream: api, cors: narrow",
    ),
    "request headers that cover": (
        "upstream: api, cors: signed",
        "match: {path: /admin/}, upstream: api, cors: all-headers",
    ),
    "response headers that cover": (
        "upstream: api, cors: showing",
        "match: {path: /admin/}, upstream: api, cors: showing-all",
    ),
    "response headers that are never hidden": (
        "upstream: api, cors: safe",
        "match: {path: /admin/}, upstream: api, cors: narrow",
    ),
    "WebSockets of a policy for every origin": (
        "upstream: api, cors: sockets",
        "match: {path: /admin/}, upstream: api, cors: public",
    ),
    "timings that cover": (
        "upstream: api, cors: timed-same",
        "match: {path: /admin/}, upstream: api, cors: timed-any",
    ),
    "more for one origin beside a public path": (
        "upstream: api, cors: deleting",
        "match: {path: /public/}, upstream: api, cors: public",
    ),
    "another route for the same request": (
        "match: {path: /p%3aq/x}, upstream: api, cors: wide",
        "match: {path: /p%3Aq/}, upstream: api, cors: narrow",
    ),
    "no policy beside a public path": (
        "upstream: api, cors: false",
        "match: {path: /public/}, upstream: api, cors: public",
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
def test_72_no_warning_without_a_bypass(case: str) -> None:
    """cors.md 72: a warning that cannot be acted upon is worse than none."""
    assert warned(*SOUND[case]) == []


@pytest.mark.parametrize(("length", "count"), [(1024, 1), (1025, 0), (500_000, 0)])
def test_72_a_very_long_path_is_not_tried(length: int, count: int) -> None:
    """K1: a hostile file is checked quickly: the last of these took minutes."""
    path = "/a" + "/" * (length - 2)
    assert len(warned(WIDE, f"match: {{path: {path}}}, upstream: api, cors: narrow")) == count


@pytest.mark.parametrize(("slashes", "count"), [(16, 1), (17, 0)])
def test_72_sixteen_slashes_of_a_path_are_tried(slashes: int, count: int) -> None:
    """K1: only the last slash of these, written twice, leads to the broader route."""
    path = "/1" * (slashes - 1) + "/"
    routes = (
        f"match: {{path: {path}}}, upstream: api, cors: wide",
        f"match: {{path: {path}5}}, upstream: api, cors: narrow",
    )
    assert len(warned(*routes)) == count


@pytest.mark.parametrize(("place", "is_found"), [(8, True), (9, False)])
def test_72_eight_spellings_of_other_routes_are_tried(place: int, *, is_found: bool) -> None:
    """K1: in the order of the file."""
    cases = ("abcd", "aBcd", "abCd", "Abcd", "aBCd", "AbCd", "ABcd", "abcD")[: place - 1]
    # The x keeps them from being each other's with all letters in the other case.
    paths = [f"/x{case}" for case in cases]
    routes = [f"match: {{path: {path}}}, upstream: api, cors: narrow" for path in paths]
    broader = "match: {path: /xABcD}, upstream: api, cors: wide"
    assert bool(warned(*routes, broader)) == is_found


@pytest.mark.parametrize(("methods", "count"), [(8, 1), (9, 0)])
def test_72_eight_methods_that_routes_name_are_tried(methods: int, count: int) -> None:
    """K1: in addition to GET, in alphabetical order."""
    others = ", ".join(f"M{number}" for number in range(1, methods))
    routes = (
        f"match: {{path: /other/, methods: [{others}]}}, upstream: api, cors: narrow",
        "match: {methods: [M9]}, upstream: api, cors: wide",
        "match: {path: /admin/}, upstream: api, cors: narrow",
    )
    assert len(warned(*routes)) == count


def test_72_each_route_that_is_reached_is_reported_once() -> None:
    """Not once for each path, host or method."""
    many = "match: {host: [x.example, y.example], path: [/a/, /b/], methods: [GET, PUT]}"
    assert len(warned(WIDE, f"{many}, upstream: api, cors: narrow")) == 1
