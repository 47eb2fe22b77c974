"""Finds request fields that CGI, WSGI and PHP confuse with a field that a route's rules write.

These interfaces treat `-` and `_` alike: `X_Api_Key` and `X-Api-Key` both become HTTP_X_API_KEY
(RFC 3875 4.1.18). If a rule sets or removes one of them, a client could pass its own value in the
other spelling, which the rule does not match (forwarding.md S6).
"""

from collections.abc import Sequence
from typing import NamedTuple

from corsproxy.policy.fields import Field
from corsproxy.policy.rules.apply import Rule


def cgi_name(name: bytes) -> bytes:
    """Return `name` in the form in which CGI compares names: lower case, `_` as `-`."""
    return name.lower().replace(b"_", b"-")


class SpoofableNames(NamedTuple):
    """The names that the rules of a route write or remove.

    `cgi_names` are these names as CGI compares them, `exact` as the rules spell them, in lower case.
    `has_underscores`: a name in a rule contains one. Otherwise only a field name with an underscore
    (`fields.UNDERSCORED`) can be a spoof, so most requests need no check.
    """

    cgi_names: frozenset[bytes]
    exact: frozenset[bytes]
    has_underscores: bool

    def without_spoofed(self, fields: Sequence[Field]) -> list[Field]:
        """Return `fields` without those that only CGI confuses with a field of the rules."""
        cgi_names, exact = self.cgi_names, self.exact
        return [
            field
            for field in fields
            if cgi_name(field[0]) not in cgi_names or field[0].lower() in exact
        ]


def find_spoofable_names(rules: Sequence[Rule]) -> SpoofableNames | None:
    """Return the names that request `rules` write or remove; None if there are none.

    A name that rules only `add` to is not included: its value may come from the client anyway.
    """
    exact: set[bytes] = set()
    for rule in rules:
        if rule.op != "add":
            exact.add(rule.lower)
        if rule.op == "rename" and isinstance(rule.value, bytes):
            exact.add(rule.value.lower())
    if not exact:
        return None
    has_underscores = any(b"_" in name for name in exact)
    return SpoofableNames(frozenset(map(cgi_name, exact)), frozenset(exact), has_underscores)
