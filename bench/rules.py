"""Measures the cost of header rules and routes, in microseconds, without sockets.

Run `python -m bench.rules`. The fastest of several rounds is printed: noise only adds to it.
"""

from collections.abc import Callable
from functools import partial
from timeit import repeat

from corsproxy.policy.compiled import Route, TcpAddress, Upstream
from corsproxy.policy.cookies.rewrite import compile_cookies, rewrite_cookie
from corsproxy.policy.cookies.spec import CookieSpec
from corsproxy.policy.fields import FIELD_KINDS, REQUEST_ID
from corsproxy.policy.routing.links import BaseUrl, Links, rewrite_link
from corsproxy.policy.routing.paths import PathMapping, is_ambiguous
from corsproxy.policy.routing.table import Match, RouteTable
from corsproxy.policy.rules.apply import apply, compile_rules
from corsproxy.policy.rules.spec import RuleSpec, WhenSpec
from corsproxy.policy.rules.variables import Context
from corsproxy.policy.transform import transform_response

ANSWER = [
    (b"Date", b"Tue, 15 Nov 1994 08:12:31 GMT"),
    (b"Server", b"gunicorn"),
    (b"X-Powered-By", b"PHP/5.6"),
    (b"Content-Type", b"application/json"),
    (b"Content-Length", b"1024"),
    (b"Cache-Control", b"private"),
    (b"ETag", b'"5d8c72a5edda8d6a"'),
    (b"Set-Cookie", b"sid=31d4d96e407aad42; Path=/app; HttpOnly"),
    (b"Content-Security-Policy", b"default-src 'self' legacy.internal"),
    (b"X-Legacy-Total", b"42"),
]

# The five of the example configuration; fifty are ten times these, on other names.
FIVE = (
    RuleSpec(op="remove", name="Server"),
    RuleSpec(op="set", name="Cache-Control", value="private, no-store"),
    RuleSpec(op="default", name="X-Content-Type-Options", value="nosniff"),
    RuleSpec(op="rename", name="X-Legacy-Total", value="X-Total-Count"),
    RuleSpec(
        op="set",
        name="X-Served",
        value="${route.name}/${request.id}",
        when=WhenSpec(status=((200, 299),), content_type=("application/json",)),
    ),
)
FIFTY = (
    *FIVE,
    *(
        RuleSpec(op=spec.op, name=f"{spec.name}-{n}", value=spec.value, when=spec.when)
        for n in range(9)
        for spec in FIVE
    ),
)

COOKIES = (CookieSpec(domain="remove", path=(("/app", "/api"),), secure=True),)


def microseconds(work: Callable[[], object], calls: int = 20_000) -> float:
    """Return the time of one call of `work`, the best of several rounds."""
    return min(repeat(work, number=calls, repeat=7)) / calls * 1e6


def tables(count: int) -> RouteTable[str]:
    """Build `count` routes of one shape."""
    return RouteTable.compile(
        (Match((f"h{number}.example",), (f"/api{number % 10}/",)), "route")
        for number in range(1, count + 1)
    )


def route_with(rules: tuple[RuleSpec, ...], cookies: tuple[CookieSpec, ...] = ()) -> Route:
    """Build a route to an upstream with these response rules."""
    address = TcpAddress("legacy", 9000)
    upstream = Upstream(name="legacy", scheme="http", address=address, authority=b"legacy:9000")
    return Route(
        name="api",
        upstream=upstream,
        policy=None,
        maps_links=True,
        reject_ambiguous_paths=True,
        upgrades=frozenset(),
        max_body=0,
        response_rules=compile_rules(rules),
        cookies=compile_cookies(cookies),
    )


def answer(route: Route, context: Context) -> Callable[[], object]:
    """Return a function that applies the rules of `route` to a response, as an exchange does."""
    kinds = REQUEST_ID
    for name, _ in ANSWER:
        kinds |= FIELD_KINDS[name]

    def work() -> object:
        if kinds & route.transformed_kinds:
            return transform_response(route, ANSWER, kinds, None, context)
        return None

    return work


def main() -> None:
    """Print one line per case."""
    context = Context(status=200, request_id=b"0123456789abcdef", route_name=b"api")
    for rules in ((), FIVE, FIFTY):
        compiled = compile_rules(rules)
        cost = microseconds(partial(apply, compiled, ANSWER, context))
        print(f"{f'apply, {len(rules)} rules, {len(ANSWER)} lines':30} {cost:7.2f} us")
    for rules in ((), FIVE, FIFTY):
        cost = microseconds(answer(route_with(rules), context))
        print(f"{f'a response, {len(rules)} rules':30} {cost:7.2f} us")
    cost = microseconds(answer(route_with(FIVE, COOKIES), context))
    print(f"{'the same, 5 and its cookie':30} {cost:7.2f} us")
    one, many, anywhere = tables(1), tables(1000), RouteTable.compile([(Match(), "route")])
    host, path = b"h1.example:8080", b"/api1/users/1"
    cookies = compile_cookies(COOKIES)
    links = Links(
        (BaseUrl(b"http", b"legacy:9000"),), BaseUrl(b"https", b"a.example"), PathMapping(b"/api")
    )
    cases: dict[str, Callable[[], object]] = {
        "match, 1 route, any host": lambda: anywhere.match(host, path, b"GET"),
        "match, 1 route with host": lambda: one.match(host, path, b"GET"),
        "match, 1000 routes with hosts": lambda: many.match(host, path, b"GET"),
        "is_ambiguous, plain": lambda: is_ambiguous(path),
        "is_ambiguous, a dot": lambda: is_ambiguous(b"/static/app.min.js"),
        "rewrite_cookie": lambda: rewrite_cookie(cookies, ANSWER[7][1]),
        "rewrite_link": lambda: rewrite_link(b"http://legacy:9000/login?next=%2F", links),
    }
    for name, work in cases.items():
        print(f"{name:30} {microseconds(work):7.2f} us")


if __name__ == "__main__":
    main()
