"""What a route makes of the fields of a request and of an answer. Knows fields, no messages.

The order is that of the names. A request: Origin and Referer (cors.md 52), then the user's rules.
An answer: links and cookies get public names first (cors.md 58, 60), then come the user's rules,
which so have the last word; CORS headers are added after them (`rewrite`).
"""

import re
from typing import Final, Literal, NamedTuple

from corsproxy.policy.compiled import Route
from corsproxy.policy.cookies.rewrite import rewrite_cookie
from corsproxy.policy.fields import FIELD_KINDS, LOCATION, ORIGIN, SET_COOKIE, Field
from corsproxy.policy.routing.links import Links, Site, rewrite_field
from corsproxy.policy.rules.apply import apply
from corsproxy.policy.rules.variables import Context

# What stands before the path of a Referer.
_ORIGIN: Final = re.compile(rb"https?://[^/?#\\]*", re.IGNORECASE)


class Transformed(NamedTuple):
    """An answer's fields and the OR of their kinds.

    `left` says for each cookie that was left as it is why (`cookies.Rewritten`).
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
    """Return what `route` makes of an upstream's final answer; `kinds` is the OR of its fields'.

    `links` is None where they stay: there are none, the route keeps them, or nobody knows a public
    name.
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
    own: Site,
) -> list[Field]:
    """Return a request's fields with Origin and Referer stripped, or naming `own` (cors.md 52).

    A Referer keeps its path; one that is no http(s) URL becomes the root of `own`. What was not
    sent is not added (forwarding.md H9).
    """
    if how == "strip":
        return [field for field in fields if not _tells_origin(field[0])]
    origin = b"%b://%b" % own
    return [
        (field[0], _renamed(field, origin)) if _tells_origin(field[0]) else field
        for field in fields
    ]


def _tells_origin(name: bytes) -> bool:
    return FIELD_KINDS[name] == ORIGIN or name.lower() == b"referer"


def _renamed(field: Field, origin: bytes) -> bytes:
    name, value = field
    if FIELD_KINDS[name] == ORIGIN:
        return origin
    found = _ORIGIN.match(value)
    return origin + value[found.end() :] if found else origin + b"/"
