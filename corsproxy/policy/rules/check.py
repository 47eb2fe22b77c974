"""What a header rule may not say, and the words for it. Knows rules as written, not messages."""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from corsproxy.policy import fields
from corsproxy.policy.printable import printable
from corsproxy.policy.problems import Finding, Words, find
from corsproxy.policy.rules.spec import RuleSpec, Side, WhenSpec
from corsproxy.policy.rules.variables import VARIABLES, UnknownVariable, compile_value, is_sendable
from corsproxy.policy.source import SourcePos
from corsproxy.policy.tokens import is_token_text

WORDS: Final[dict[str, Words]] = {
    "rule_name_invalid": Words(
        "error",
        '"{value}" is no header name',
        "use letters, digits and - only, such as X-Request-Source",
    ),
    "rule_touches_hop_by_hop": Words(
        "error",
        "a rule may not touch {value}: it belongs to one connection, not to the message",
        "remove the rule; the proxy writes this header itself",
    ),
    "rule_touches_length": Words(
        "error",
        "a rule may not touch {value}: a wrong length lets one message pose as two",
        "remove the rule; the length always follows the body",
    ),
    "rule_touches_cors": Words(
        "error",
        "a rule may not touch {value} on a route that has a CORS policy: the policy decides it",
        "say it in the policy instead, or give the route cors: false",
    ),
    "rule_touches_host": Words(
        "error",
        "a rule may not touch {value}: where a request goes comes from the upstream alone",
        "use host_header of the upstream",
    ),
    "rule_touches_expect": Words(
        "error",
        "a rule may not touch {value}: the proxy answers 100-continue itself",
        "remove the rule",
    ),
    "rule_value_unsendable": Words(
        "error",
        "a text in the rule for {value} holds {detail}, which no header can carry",
        "write it on one line, without CR, LF, NUL, other controls or half a surrogate pair",
    ),
    "rule_variable_unknown": Words(
        "error",
        "there is no variable ${{{value}}}",
        "use one of " + ", ".join(f"${{{{{name}}}}}" for name in VARIABLES) + ", or $${{ for ${{",
    ),
    "rule_find_empty": Words(
        "error",
        "replace in {value} has nothing to find",
        "give find the literal text to look for",
    ),
    "rule_without_effect": Words(
        "warning",
        "this rule for {value} changes nothing: {detail}",
        "remove it, or write what was meant",
    ),
    "rule_add_repeats": Words(
        "warning",
        "add can give {value} a second line, which servers refuse: it may stand once only",
        "use set, or default to keep what the client sent",
    ),
    "rule_when_empty": Words(
        "warning",
        "the when of the rule for {value} asks nothing, so the rule always applies",
        "leave when out, or say when",
    ),
    "rule_status_invalid": Words(
        "error",
        "{value} is no range of statuses",
        "use statuses from 200 to 999, the lower one first, such as 500-599",
    ),
    "rule_status_of_request": Words(
        "error",
        "a rule for requests cannot ask for status {value}: there is no answer yet",
        "move the rule to response_headers, or leave status out",
    ),
    "rule_content_type_invalid": Words(
        "error",
        '"{value}" is no media type',
        "write type/subtype without parameters, such as text/html, or text/* for all of a kind",
    ),
    "rule_method_invalid": Words(
        "error",
        '"{value}" is no method',
        "write a method such as GET",
    ),
}

_MEDIA_TYPE: Final = re.compile(r"[!#$%&'+.^_`|~\w-]+/(\*|[!#$%&'+.^_`|~\w-]+)", re.ASCII)

_CORS: Final = fields.CORS | fields.REQUEST_METHOD | fields.REQUEST_HEADERS

# Kinds of names that no rule may touch, and the slug that says so.
_FORBIDDEN: Final[dict[int, str]] = {
    (
        fields.HOP_BY_HOP
        | fields.CONNECTION
        | fields.KEEP_ALIVE
        | fields.UPGRADE
        | fields.TRANSFER_ENCODING
    ): "rule_touches_hop_by_hop",
    fields.CONTENT_LENGTH: "rule_touches_length",
}
_FORBIDDEN_OF_REQUESTS: Final[dict[int, str]] = {
    fields.HOST: "rule_touches_host",
    fields.EXPECT: "rule_touches_expect",
}


def check_rules(
    specs: Sequence[RuleSpec],
    *,
    has_policy: bool,
    side: Side | None = "response",
) -> list[Finding]:
    """Return all that is wrong with the rules of one route, in their order.

    `side` is the list they stand in; None checks only what holds for both. Under a policy the
    ACA* headers of responses belong to it (config.md, cors.md 49).
    """
    return [
        finding
        for spec in specs
        for finding in (
            *_names(spec, side, has_policy=has_policy),
            *_values(spec),
            *_when(spec, side),
        )
    ]


def _names(spec: RuleSpec, side: Side | None, *, has_policy: bool) -> Iterator[Finding]:
    for name in (spec.name, spec.value) if spec.op == "rename" else (spec.name,):
        slug = _forbidden(name, side, has_policy=has_policy)
        if slug:
            yield find(WORDS, slug, name, spec.pos)
    if side == "request" and spec.op == "add" and _may_stand_once(spec.name):
        yield find(WORDS, "rule_add_repeats", spec.name, spec.pos)
    if spec.op == "rename" and spec.name == spec.value:
        yield find(WORDS, "rule_without_effect", spec.name, spec.pos, "it has that name already")


def _forbidden(name: str, side: Side | None, *, has_policy: bool) -> str | None:
    if not is_token_text(name):
        return "rule_name_invalid"
    kind = fields.classify(name.encode())
    forbidden = _FORBIDDEN
    if side == "request":
        forbidden = {**_FORBIDDEN, **_FORBIDDEN_OF_REQUESTS}
    elif side == "response" and has_policy:
        forbidden = {**_FORBIDDEN, _CORS: "rule_touches_cors"}
    return next((slug for kinds, slug in forbidden.items() if kind & kinds), None)


def _may_stand_once(name: str) -> bool:
    return bool(fields.classify(name.encode()) & (fields.SINGLETON | fields.ORIGIN))


def _values(spec: RuleSpec) -> Iterator[Finding]:
    if spec.op in {"remove", "rename"}:
        return
    fault = _unsendable(spec.value) or _unsendable(spec.find)
    if fault:
        yield find(WORDS, "rule_value_unsendable", spec.name, spec.pos, fault)
        return
    try:
        compile_value(spec.value)
    except UnknownVariable as unknown:
        yield find(WORDS, "rule_variable_unknown", unknown.name, spec.pos)
    if spec.op == "replace" and not spec.find:
        yield find(WORDS, "rule_find_empty", spec.name, spec.pos)
    elif spec.op == "replace" and spec.find == spec.value:
        yield find(WORDS, "rule_without_effect", spec.name, spec.pos, "find and with are equal")


def _unsendable(text: str) -> str:
    """Name the first character that cannot be sent, and never its neighbours: it may be a secret."""
    for position, char in enumerate(text, 1):
        if not is_sendable(char):
            return f"{printable(char)} as character {position}"
    return ""


def _when(spec: RuleSpec, side: Side | None) -> Iterator[Finding]:
    when = spec.when
    if when is None:
        return
    pos = when.pos or spec.pos
    if when == WhenSpec(pos=when.pos):
        yield find(WORDS, "rule_when_empty", spec.name, pos)
    yield from _statuses(when, side, pos)
    for slug, values, is_valid in (
        ("rule_content_type_invalid", when.content_type, _MEDIA_TYPE.fullmatch),
        ("rule_method_invalid", when.methods, is_token_text),
        ("rule_name_invalid", [name for name, _ in when.header], is_token_text),
    ):
        for value in values:
            if not is_valid(value):
                yield find(WORDS, slug, value, pos)
    for name, pattern in when.header:
        if fault := _unsendable(pattern):
            yield find(WORDS, "rule_value_unsendable", name, pos, fault)


def _statuses(when: WhenSpec, side: Side | None, pos: SourcePos | None) -> Iterator[Finding]:
    for low, high in when.status:
        text = str(low) if low == high else f"{low}-{high}"
        if side == "request":
            yield find(WORDS, "rule_status_of_request", text, pos)
        elif not 200 <= low <= high <= 999:
            yield find(WORDS, "rule_status_invalid", text, pos)
