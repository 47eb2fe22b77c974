"""Fetch's lists and algorithms, checked against the standard's own examples and lists."""

import pytest

from corsproxy.explain import fetch_algorithm
from corsproxy.explain.fetch_algorithm import BrowserRefusal, PageRequest
from corsproxy.policy.fetch_lists import is_forbidden_request_header
from corsproxy.policy.fields import Field

APP = b"https://app.example.com"
GET = PageRequest(b"GET", "https://api.example.com/", APP)
WITH_COOKIES = GET._replace(credentials=True)


@pytest.mark.parametrize(
    ("method", "sent"),
    [
        (b"get", b"GET"),
        (b"Head", b"HEAD"),
        (b"post", b"POST"),
        (b"put", b"PUT"),
        (b"delete", b"DELETE"),
        (b"options", b"OPTIONS"),
        (b"patch", b"patch"),
        (b"PATCH", b"PATCH"),
        (b"foo", b"foo"),
    ],
)
def test_six_methods_are_put_in_upper_case(method: bytes, sent: bytes) -> None:
    """Fetch "normalize": and `patch` is not one of them (cors.md 25)."""
    assert fetch_algorithm.normalize_method(method) == sent


FORBIDDEN = (
    b"Accept-Charset Accept-Encoding Access-Control-Request-Headers Access-Control-Request-Method "
    b"Connection Content-Length Cookie Cookie2 Date DNT Expect Host Keep-Alive Origin Referer "
    b"Set-Cookie TE Trailer Transfer-Encoding Upgrade Via Proxy-Authorization proxy- Sec-Fetch-Mode "
    b"sec-"
).split()


@pytest.mark.parametrize("name", FORBIDDEN)
def test_a_page_cannot_set_a_forbidden_header(name: bytes) -> None:
    """Fetch "forbidden request-header", in any case."""
    assert is_forbidden_request_header(name)
    assert is_forbidden_request_header(name.upper(), b"x")


@pytest.mark.parametrize("name", [b"Authorization", b"X-A", b"User-Agent", b"Accept", b"Security"])
def test_other_headers_are_a_page_s_to_set(name: bytes) -> None:
    """Nothing but the list and the two prefixes is forbidden."""
    assert not is_forbidden_request_header(name)


@pytest.mark.parametrize(
    ("value", "forbidden"),
    [(b"TRACE", True), (b"GET, connect", True), (b"track", True), (b"PUT", False), (b"", False)],
)
@pytest.mark.parametrize(
    "name", [b"X-HTTP-Method", b"X-HTTP-Method-Override", b"x-method-override"]
)
def test_a_method_override_may_not_name_a_forbidden_method(
    name: bytes,
    value: bytes,
    forbidden: bool,  # noqa: FBT001 - an expectation
) -> None:
    """Fetch "forbidden request-header", its second half."""
    assert is_forbidden_request_header(name, value) is forbidden


SAFELIST: list[tuple[bytes, bytes, bool]] = [
    (b"Accept", b"*/*", True),
    (b"accept", b"text/html;q=0.9, application/xml", True),
    (b"accept", b"a" * 128, True),
    (b"accept", b"a" * 129, False),
    (b"accept", b'"', False),
    (b"accept", b"a\tb", True),
    (b"accept", b"a\x01", False),
    (b"accept", b"a\x7f", False),
    (b"accept", b"\xff", True),
    *[(b"accept", bytes([byte]), False) for byte in b'"():<>?@[\\]{}'],
    (b"accept-language", b"de-DE, en;q=0.5, *", True),
    (b"accept-language", b"de_DE", False),
    (b"content-language", b"en", True),
    (b"content-language", b"en/us", False),
    (b"content-type", b"text/plain", True),
    (b"content-type", b"Text/Plain; charset=utf-8", True),
    (b"content-type", b" text/plain ", True),
    (b"content-type", b"multipart/form-data; boundary=x", True),
    (b"content-type", b"application/x-www-form-urlencoded", True),
    (b"content-type", b"application/json", False),
    (b"content-type", b"text/plain, text/plain", False),
    (b"content-type", b'text/plain; charset="utf-8"', False),
    (b"content-type", b"", False),
    (b"range", b"bytes=0-", True),
    (b"range", b"bytes=0-499", True),
    (b"range", b"bytes=0-0", True),
    (b"range", b"bytes=7-7", True),
    (b"range", b"bytes=9-10", True),
    (b"range", b"bytes=10-9", False),
    (b"range", b"bytes=9-1", False),
    (b"range", b"bytes=8-7", False),
    (b"range", b"bytes=-", False),
    (b"range", b"bytes=", False),
    (b"range", b"bytes=0-9-", False),
    (b"range", b"bytes=0-x", False),
    (b"range", b"bytes=x-9", False),
    (b"range", b"bytes=0- 9", False),
    (b"range", b" bytes=0-9", False),
    (b"range", b"Bytes=0-9", False),
    (b"range", b"bytes=-500", False),
    (b"range", b"bytes=0-1,3-4", False),
    (b"range", b"bytes =0-", False),
    (b"range", b"items=0-", False),
    (b"range", b"bytes=0", False),
    (b"x-a", b"", False),
    (b"authorization", b"", False),
]


@pytest.mark.parametrize(("name", "value", "safe"), SAFELIST)
def test_the_safelist_looks_at_names_and_values(name: bytes, value: bytes, safe: bool) -> None:  # noqa: FBT001 - an expectation
    """Fetch "CORS-safelisted request-header"."""
    assert fetch_algorithm.is_safelisted_request_header(name, value) is safe


def test_requested_names_are_sorted_and_in_lower_case() -> None:
    """Fetch "CORS-unsafe request-header names": safe ones are not listed."""
    headers = [(b"X-B", b"1"), (b"Accept", b"*/*"), (b"Authorization", b"a"), (b"x-b", b"2")]
    assert fetch_algorithm.unsafe_header_names(headers) == [b"authorization", b"x-b"]


def test_safe_values_that_add_up_are_requested() -> None:
    """Above 1024 bytes in total, each safe name has to be allowed, too."""
    at_limit = [(b"accept", b"a" * 128)] * 8
    assert fetch_algorithm.unsafe_header_names(at_limit) == []
    above = [*at_limit, (b"accept-language", b"a"), (b"x-a", b"1")]
    assert fetch_algorithm.unsafe_header_names(above) == [b"accept", b"accept-language", b"x-a"]


PREFLIGHTS: list[tuple[PageRequest, bool]] = [
    (GET, False),
    (GET._replace(method=b"post"), False),
    (GET._replace(method=b"PUT"), True),
    (GET._replace(method=b"patch"), True),
    (GET._replace(headers=((b"Accept", b"*/*"),)), False),
    (GET._replace(headers=((b"X-A", b""),)), True),
    (GET._replace(headers=((b"Cookie", b"a=b"),)), False),
    (GET._replace(method=b"POST", headers=((b"content-type", b"application/json"),)), True),
]


@pytest.mark.parametrize(("page_request", "needed"), PREFLIGHTS)
def test_a_preflight_is_sent_if_permission_is_needed(
    page_request: PageRequest,
    needed: bool,  # noqa: FBT001 - an expectation
) -> None:
    """Forbidden headers do not count, because the browser drops them."""
    assert fetch_algorithm.needs_preflight(page_request) is needed


def fields(**values: str) -> list[Field]:
    """Return response fields: `acao="*"` is Access-Control-Allow-Origin, and so on."""
    names = {
        "acao": b"Access-Control-Allow-Origin",
        "acac": b"access-control-allow-credentials",
        "acam": b"Access-Control-Allow-Methods",
        "acah": b"Access-Control-Allow-Headers",
        "aceh": b"Access-Control-Expose-Headers",
        "acma": b"Access-Control-Max-Age",
    }
    return [(names[key], value.encode()) for key, value in values.items()]


A = APP.decode()
CHECKS: list[tuple[PageRequest, list[Field], BrowserRefusal | None]] = [
    (GET, [], BrowserRefusal.allow_origin_missing),
    (GET, fields(acao="*"), None),
    (GET, fields(acao=" * "), None),
    (GET, fields(acao=A), None),
    (GET, fields(acao=A + "/"), BrowserRefusal.allow_origin_mismatch),
    (GET, fields(acao=A.upper()), BrowserRefusal.allow_origin_mismatch),
    (GET, fields(acao="null"), BrowserRefusal.allow_origin_mismatch),
    (GET, fields(acao=""), BrowserRefusal.allow_origin_mismatch),
    (GET, fields(acao=f"{A}, {A}"), BrowserRefusal.allow_origin_list),
    (GET, fields(acao=A) * 2, BrowserRefusal.allow_origin_multiple),
    (GET._replace(origin=b"null"), fields(acao="null"), None),
    (WITH_COOKIES, fields(acao="*", acac="true"), BrowserRefusal.wildcard_with_credentials),
    (WITH_COOKIES, fields(acao=A), BrowserRefusal.credentials_not_true),
    (WITH_COOKIES, fields(acao=A, acac="True"), BrowserRefusal.credentials_not_true),
    (WITH_COOKIES, fields(acao=A, acac="true"), None),
    (
        WITH_COOKIES,
        [*fields(acao=A, acac="true"), *fields(acac="true")],
        BrowserRefusal.credentials_not_true,
    ),
]


@pytest.mark.parametrize(("page_request", "response", "refusal"), CHECKS)
def test_the_cors_check(
    page_request: PageRequest, response: list[Field], refusal: BrowserRefusal | None
) -> None:
    """Fetch "CORS check", byte for byte."""
    blocked = fetch_algorithm.cors_check(page_request, 200, response)
    assert (blocked.refusal if blocked else None) is refusal


PUT = GET._replace(method=b"PUT", headers=((b"X-A", b"1"), (b"Authorization", b"x")))
PUT_COOKIES = PUT._replace(credentials=True)
LISTS = {"acao": A, "acam": "PUT", "acah": "x-a, Authorization"}
ANSWERS: list[tuple[PageRequest, int, list[Field], list[BrowserRefusal]]] = [
    (PUT, 204, fields(**LISTS), []),
    (PUT, 299, fields(**LISTS), []),
    (PUT, 200, [], [BrowserRefusal.allow_origin_missing]),
    (PUT, 403, [], [BrowserRefusal.allow_origin_missing, BrowserRefusal.preflight_status]),
    (PUT, 401, fields(**LISTS), [BrowserRefusal.preflight_status]),
    (PUT, 301, fields(**LISTS), [BrowserRefusal.preflight_redirect]),
    (PUT, 204, fields(acao=A), [BrowserRefusal.method_not_allowed, BrowserRefusal.header_not_allowed, BrowserRefusal.header_not_allowed]),
    (PUT, 204, fields(acao=A, acam="put", acah="X-A,AUTHORIZATION"), [BrowserRefusal.method_not_allowed]),
    (PUT, 204, fields(acao="*", acam="*", acah="*"), [BrowserRefusal.authorization_not_named]),
    (PUT, 204, fields(acao="*", acam="*", acah="*, authorization"), []),
    (PUT_COOKIES, 204, fields(acao=A, acac="true", acam="*", acah="authorization, x-a"), [BrowserRefusal.method_not_allowed]),
    (PUT_COOKIES, 204, fields(acao=A, acac="true", acam="PUT", acah="*"), [BrowserRefusal.header_not_allowed, BrowserRefusal.header_not_allowed]),
    (PUT, 204, fields(acao=A, acam="PUT GET", acah="x-a"), [BrowserRefusal.methods_unreadable]),
    (PUT, 204, fields(acao=A, acam="PUT", acah="x a"), [BrowserRefusal.headers_unreadable]),
    (GET._replace(headers=((b"X-A", b""),)), 204, fields(acao=A, acah="x-a"), []),
    (PUT._replace(method=b"put"), 204, fields(**LISTS), []),
]  # fmt: skip


@pytest.mark.parametrize(("page_request", "status", "response", "faults"), ANSWERS)
def test_the_evaluation_of_a_preflight(
    page_request: PageRequest, status: int, response: list[Field], faults: list[BrowserRefusal]
) -> None:
    """Fetch "CORS-preflight fetch": origin, status, methods, headers, in this order."""
    found = fetch_algorithm.check_preflight(page_request, status, response)
    assert [blocked.refusal for blocked in found] == faults
    assert all(blocked.in_preflight and blocked.status == status for blocked in found)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(None, 5), ("600", 600), ("0", 0), ("-1", 5), ("x", 5), ("", 5), ("9" * 30, 9_999_999_999)],
)
def test_max_age_is_five_seconds_unless_it_is_a_number(value: str | None, seconds: int) -> None:
    """Fetch, "CORS-preflight fetch": the default is 5."""
    assert fetch_algorithm.max_age([] if value is None else fields(acma=value)) == seconds


def test_a_page_reads_safelisted_and_exposed_names() -> None:
    """Fetch "CORS filtered response"; `*` counts without credentials only (cors.md 27, 28)."""
    response = [(b"Content-Type", b"a"), (b"X-A", b"1"), (b"X-B", b"2"), (b"Set-Cookie", b"c=d")]
    assert fetch_algorithm.exposed_names(GET, response) == [b"content-type"]
    assert fetch_algorithm.exposed_names(GET, [*response, *fields(aceh="x-a, set-cookie")])[:2] == [
        b"content-type",
        b"x-a",
    ]
    star = [*response, *fields(aceh="*")]
    assert fetch_algorithm.exposed_names(GET, star)[:3] == [b"content-type", b"x-a", b"x-b"]
    assert b"set-cookie" not in fetch_algorithm.exposed_names(GET, star)
    assert fetch_algorithm.exposed_names(WITH_COOKIES, star) == [b"content-type"]
