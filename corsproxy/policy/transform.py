"""Transforms the header fields of requests and responses as the route is configured.

The order matters. Request: Origin and Referer (cors.md 52), then the user's rules. Response: links
and cookies are mapped to public names (cors.md 58, 60), then the user's rules are applied, so that they
can override the result; CORS headers are added last (`response_headers.rewrite`).
"""

import re
from typing import Final, Literal, NamedTuple

from corsproxy.policy.compiled import Route
from corsproxy.policy.cookies.rewrite import rewrite_cookie
from corsproxy.policy.fields import FIELD_KINDS, LOCATION, ORIGIN, SET_COOKIE, Field
from corsproxy.policy.routing.links import BaseUrl, Links, rewrite_field
from corsproxy.policy.rules.apply import apply
from corsproxy.policy.rules.variables import Context

# The part of a Referer before its path.
_ORIGIN: Final = re.compile(rb"https?://[^/?#\\]*", re.IGNORECASE)


class Transformed(NamedTuple):
    """The fields of a response and the OR of their kinds.

    `left` contains the reason for each cookie that was left unchanged (`cookies.rewrite.Rewritten`).
    """

    fields: list[Field]
    kinds: int
    left: tuple[str, ...]


def transform_response(
    route: Route,
    fields: list[Field],
    kinds: int,
    links: Links | None,
    context: Context,
) -> Transformed:
    """Transform the fields of an upstream's final response; `kinds` is the OR of their kinds.

    `links` is None if links are not mapped: there are none, the route keeps them, or the public name
    is unknown.
    """
    left: list[str] = []
    if links is not None or (route.cookies and kinds & SET_COOKIE):
        fields = [_with_public_names(route, field, links, left) for field in fields]
    if route.response_rules:
        fields = apply(route.response_rules, fields, context)
        kinds = 0
        for name, _ in fields:
            kinds |= FIELD_KINDS[name]
    return Transformed(fields, kinds, tuple(left))


def _with_public_names(
    route: Route,
    field: Field,
    links: Links | None,
    left: list[str],
) -> Field:
    name, value = field
    kind = FIELD_KINDS[name]
    if kind == LOCATION and links is not None:
        return name, rewrite_field(name, value, links)
    if kind == SET_COOKIE and route.cookies:
        cookie = rewrite_cookie(route.cookies, value)
        if cookie.left:
            left.append(cookie.left)
        return name, cookie.value
    return field


def transform_origin(
    fields: list[Field],
    how: Literal["strip", "rewrite"],
    own: BaseUrl,
) -> list[Field]:
    """Return a request's fields with Origin and Referer removed or set to `own` (cors.md 52).

    A Referer keeps its path; one that is not an http(s) URL becomes the root of `own`. Neither is
    added if it was not sent (forwarding.md H9).
    """
    if how == "strip":
        return [field for field in fields if not _names_origin(field[0])]
    origin = b"%b://%b" % own
    return [
        (field[0], _with_origin(field, origin)) if _names_origin(field[0]) else field
        for field in fields
    ]


def _names_origin(name: bytes) -> bool:
    return FIELD_KINDS[name] == ORIGIN or name.lower() == b"referer"


def _with_origin(field: Field, origin: bytes) -> bytes:
    name, value = field
    if FIELD_KINDS[name] == ORIGIN:
        return origin
    found = _ORIGIN.match(value)
    return origin + value[found.end() :] if found else origin + b"/"
