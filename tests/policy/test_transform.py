"""Properties of field transformations, over any rules and lines."""

from hypothesis import given, settings
from hypothesis import strategies as st

from corsproxy.policy.compiled import Route, TcpAddress, Upstream
from corsproxy.policy.cookies.rewrite import compile_cookies
from corsproxy.policy.cookies.spec import CookieSpec
from corsproxy.policy.fields import FIELD_KINDS, Field
from corsproxy.policy.routing.links import BaseUrl, Links
from corsproxy.policy.routing.paths import UNCHANGED, PathMapping
from corsproxy.policy.rules.apply import compile_rules
from corsproxy.policy.rules.spec import Operation, RuleSpec
from corsproxy.policy.rules.variables import Context
from corsproxy.policy.transform import transform_origin, transform_response

UPSTREAM = Upstream(
    name="legacy", scheme="http", address=TcpAddress("legacy", 80), authority=b"legacy"
)
LINKS = Links(
    (BaseUrl(b"http", b"legacy"),), BaseUrl(b"https", b"api.example.com"), PathMapping(b"/api")
)

NAMES = ["X-A", "x-a", "X-B", "Location", "Refresh", "Set-Cookie", "set-cookie", "Server", "Vary"]
values = st.binary(max_size=30).map(lambda raw: raw.translate(None, bytes([*range(32), 127])))
lines = st.lists(st.tuples(st.sampled_from(NAMES).map(str.encode), values), max_size=12)
operations: st.SearchStrategy[Operation] = st.sampled_from(
    ["set", "add", "default", "remove", "rename", "replace"],
)
rules = st.lists(
    st.builds(
        RuleSpec,
        op=operations,
        name=st.sampled_from(["X-A", "X-B", "Server"]),
        value=st.sampled_from(["X-B", "X-C"]),
        find=st.just("x"),
    ),
    max_size=6,
).map(compile_rules)


def kinds_of(fields: list[Field]) -> int:
    """Return the OR of the kinds of `fields`, as the parser of a head computes it."""
    kinds = 0
    for name, _ in fields:
        kinds |= FIELD_KINDS[name]
    return kinds


def route_of(**keys: object) -> Route:
    """Return a route to the upstream, without a policy."""
    given: dict[str, object] = {
        "maps_links": True,
        "reject_ambiguous_paths": True,
        "upgrades": frozenset(),
        "max_body": 0,
        **keys,
    }
    return Route(name="api", upstream=UPSTREAM, policy=None, **given)  # type: ignore[arg-type]


@given(lines, rules)
@settings(max_examples=150)
def test_lines_that_nothing_names_keep_bytes_and_order(
    fields: list[Field],
    compiled: tuple[object, ...],
) -> None:
    """forwarding.md H7: whatever the rules, other lines are untouched; kinds are those of the rest."""
    before = list(fields)
    route = route_of(response_rules=compiled)
    shaped = transform_response(route, fields, kinds_of(fields), None, Context(status=200))
    named = {b"x-a", b"x-b", b"x-c", b"server"}
    assert fields == before
    assert [field for field in shaped.fields if field[0].lower() not in named] == [
        field for field in before if field[0].lower() not in named
    ]
    assert shaped.kinds == kinds_of(shaped.fields)


@given(lines)
@settings(max_examples=150)
def test_public_names_change_links_and_cookies_alone(fields: list[Field]) -> None:
    """cors.md 58, 60: as many lines as before, in order, others unchanged; a second pass changes nothing."""
    cookies = compile_cookies([CookieSpec(same_site="none")])
    route = route_of(cookies=cookies)
    shaped = transform_response(route, fields, kinds_of(fields), LINKS, Context())
    assert [name for name, _ in shaped.fields] == [name for name, _ in fields]
    for (name, old), (_, new) in zip(fields, shaped.fields, strict=True):
        if name.lower() not in {b"location", b"refresh", b"set-cookie"}:
            assert new == old
    kept = [field for field in shaped.fields if field[0].lower() == b"set-cookie"]
    again = transform_response(route, kept, kinds_of(kept), None, Context())
    assert again.fields == kept


@given(lines, st.sampled_from([b"https://a.example", b"null", b"\xff"]))
@settings(max_examples=100)
def test_stripping_removes_origin_and_referer_alone(fields: list[Field], origin: bytes) -> None:
    """cors.md 52: all other lines stay, in order."""
    sent = [(b"oRigin", origin), *fields, (b"REFERER", b"https://a.example/x")]
    assert transform_origin(sent, "strip", BaseUrl(b"http", b"legacy")) == fields


def test_a_route_without_settings_transforms_links_only() -> None:
    """The common case is one test; only Location needs more (cors.md 58)."""
    quiet = route_of(maps_links=False)
    assert (quiet.transforms_requests, quiet.transformed_kinds) == (False, 0)
    assert route_of().transformed_kinds == FIELD_KINDS[b"Location"]
    assert route_of().mapping == UNCHANGED
