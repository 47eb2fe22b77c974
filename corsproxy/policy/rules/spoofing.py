"""Header names that CGI, WSGI and PHP cannot tell apart: to them `-` and `_` are one. Knows no rules' meaning.

`X_Api_Key` and `X-Api-Key` both become HTTP_X_API_KEY there. A name that a route's rules are about
must not come a second time in a spelling that they do not see (forwarding.md S6).
"""

from collections.abc import Sequence
from typing import NamedTuple

from corsproxy.policy.fields import Field
from corsproxy.policy.rules.apply import Rule


def dashed(name: bytes) -> bytes:
    """Return `name` as CGI would compare it."""
    return name.lower().replace(b"_", b"-")


class Lookalikes(NamedTuple):
    """The spellings that a route drops: those of `names`, dashed, but for the `own` ones themselves.

    A field without an underscore in its name (`fields.UNDERSCORED`) can only be one if `of_dashes`:
    a rule itself has an underscore in a name.
    """

    names: frozenset[bytes]
    own: frozenset[bytes]
    of_dashes: bool

    def without(self, fields: Sequence[Field]) -> list[Field]:
        """Return `fields` less what only looks like a name of the rules."""
        names, own = self.names, self.own
        return [
            field for field in fields if dashed(field[0]) not in names or field[0].lower() in own
        ]


def lookalikes_of(rules: Sequence[Rule]) -> Lookalikes | None:
    """Return the lookalikes of what request rules decide; None if they decide about no header.

    What a rule only adds to may come from the client too, in any spelling.
    """
    own: set[bytes] = set()
    for rule in rules:
        if rule.op != "add":
            own.add(rule.lower)
        if rule.op == "rename" and isinstance(rule.value, bytes):
            own.add(rule.value.lower())
    if not own:
        return None
    of_dashes = any(b"_" in name for name in own)
    return Lookalikes(frozenset(map(dashed, own)), frozenset(own), of_dashes)
