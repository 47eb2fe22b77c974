"""Checks the header rules of a route before they are compiled."""

from collections.abc import Iterator, Sequence
from typing import Final

from corsproxy.policy import fields
from corsproxy.policy.printable import printable
from corsproxy.policy.problems import Problem, ProblemKind, by_slug
from corsproxy.policy.rules.spec import RuleSpec, Side, WhenSpec
from corsproxy.policy.rules.variables import VARIABLES, UnknownVariable, compile_value, is_sendable
from corsproxy.policy.source import SourcePos
from corsproxy.policy.tokens import is_token_text

KINDS: Final = by_slug(
    ProblemKind(
        "E200",
        "rule_name_invalid",
        '"{value}" is not a valid header name',
        "use letters, digits and - only, such as X-Request-Source",
    ),
    ProblemKind(
        "E201",
        "rule_touches_hop_by_hop",
        "a rule cannot change {value}, which belongs to one connection, not to the message",
        "remove the rule; the proxy writes this header itself",
    ),
    ProblemKind(
        "E202",
        "rule_touches_length",
        "a rule cannot change {value}: with a wrong length, one message can be parsed as two",
        "remove the rule; the proxy derives the length from the body",
    ),
    ProblemKind(
        "E203",
        "rule_touches_cors",
        "a rule cannot change {value} on a route that has a CORS policy, which sets it",
        "change the policy instead, or set cors: false on the route",
    ),
    ProblemKind(
        "E204",
        "rule_touches_host",
        "a rule cannot change {value}: only the upstream determines where a request goes",
        "set host_header on the upstream",
    ),
    ProblemKind(
        "E205",
        "rule_touches_expect",
        "a rule cannot change {value}: the proxy handles 100-continue itself",
        "remove the rule",
    ),
    ProblemKind(
        "E206",
        "rule_value_unsendable",
        "a text in the rule for {value} contains {detail}, which no header value may contain",
        "write it on one line, without CR, LF, NUL, other control characters or lone surrogates",
    ),
    ProblemKind(
        "E207",
        "rule_variable_unknown",
        "there is no variable ${{{value}}}",
        "use one of " + ", ".join(f"${{{{{name}}}}}" for name in VARIABLES) + ", or $${{ for ${{",
    ),
    ProblemKind(
        "E208",
        "rule_find_empty",
        "replace in {value} has nothing to find",
        "set find to the literal text to search for",
    ),
    ProblemKind(
        "W200",
        "rule_without_effect",
        "this rule for {value} changes nothing: {detail}",
        "remove it, or correct it",
    ),
    ProblemKind(
        "W201",
        "rule_add_repeats",
        "add can give {value} a second line, which servers reject: it must not be repeated",
        "use set, or default to keep what the client sent",
    ),
    ProblemKind(
        "W202",
        "rule_when_empty",
        "the when of the rule for {value} has no condition, so the rule always applies",
        "remove when, or add a condition",
    ),
    ProblemKind(
        "E209",
        "rule_status_invalid",
        "{value} is not a valid status range",
        "use status codes from 200 to 999, the lower one first, such as 500-599",
    ),
    ProblemKind(
        "E210",
        "rule_status_of_request",
        "a rule for requests cannot match status {value}: there is no response yet",
        "move the rule to response_headers, or remove status",
    ),
    ProblemKind(
        "E211",
        "rule_content_type_invalid",
        '"{value}" is not a valid media type',
        "write type/subtype without parameters, such as text/html, or text/* for every text type",
    ),
    ProblemKind(
        "E212",
        "rule_method_invalid",
        '"{value}" is not a valid method',
        "write a method such as GET",
    ),
)

_CORS: Final = fields.CORS | fields.REQUEST_METHOD | fields.REQUEST_HEADERS

# Kinds of names that no rule may change, and the slug of the problem.
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
) -> list[Problem]:
    """Return all problems of the rules of one route, in their order.

    `side` is the list that they are in; None checks only what applies to both. On a route with a
    policy, only the policy sets the CORS headers of responses (configuration.md L16, cors.md 49).
    """
    return [
        problem
        for spec in specs
        for problem in (
            *_names(spec, side, has_policy=has_policy),
            *_values(spec),
            *_when(spec, side),
        )
    ]


def _names(spec: RuleSpec, side: Side | None, *, has_policy: bool) -> Iterator[Problem]:
    for name in (spec.name, spec.value) if spec.op == "rename" else (spec.name,):
        slug = _forbidden(name, side, has_policy=has_policy)
        if slug:
            yield KINDS[slug].at(spec.pos, value=name)
    if side == "request" and spec.op == "add" and _is_singleton(spec.name):
        yield KINDS["rule_add_repeats"].at(spec.pos, value=spec.name)
    if spec.op == "rename" and spec.name == spec.value:
        yield KINDS["rule_without_effect"].at(
            spec.pos, value=spec.name, detail="that is its name already"
        )


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


def _is_singleton(name: str) -> bool:
    return bool(fields.classify(name.encode()) & (fields.SINGLETON | fields.ORIGIN))


def _values(spec: RuleSpec) -> Iterator[Problem]:
    if spec.op in {"remove", "rename"}:
        return
    fault = _unsendable(spec.value) or _unsendable(spec.find)
    if fault:
        yield KINDS["rule_value_unsendable"].at(spec.pos, value=spec.name, detail=fault)
        return
    try:
        compile_value(spec.value)
    except UnknownVariable as unknown:
        yield KINDS["rule_variable_unknown"].at(spec.pos, value=unknown.name)
    if spec.op == "replace" and not spec.find:
        yield KINDS["rule_find_empty"].at(spec.pos, value=spec.name)
    elif spec.op == "replace" and spec.find == spec.value:
        yield KINDS["rule_without_effect"].at(
            spec.pos, value=spec.name, detail="find and with are equal"
        )


def _unsendable(text: str) -> str:
    """Describe the first character that cannot be sent; no other is shown, as the text may be secret."""
    for position, char in enumerate(text, 1):
        if not is_sendable(char):
            return f"{printable(char)} as character {position}"
    return ""


def _when(spec: RuleSpec, side: Side | None) -> Iterator[Problem]:
    when = spec.when
    if when is None:
        return
    pos = when.pos or spec.pos
    if when == WhenSpec(pos=when.pos):
        yield KINDS["rule_when_empty"].at(pos, value=spec.name)
    yield from _statuses(when, side, pos)
    for slug, values, is_valid in (
        ("rule_content_type_invalid", when.content_type, _is_media_type),
        ("rule_method_invalid", when.methods, is_token_text),
        ("rule_name_invalid", [name for name, _ in when.header], is_token_text),
    ):
        for value in values:
            if not is_valid(value):
                yield KINDS[slug].at(pos, value=value)
    for name, pattern in when.header:
        if fault := _unsendable(pattern):
            yield KINDS["rule_value_unsendable"].at(pos, value=name, detail=fault)


def _is_media_type(text: str) -> bool:
    """Return whether `text` is a media type without parameters, or `type/*` (RFC 9110 8.3.1)."""
    kind, _, subtype = text.partition("/")
    return _is_literal(kind) and (subtype == "*" or _is_literal(subtype))


def _is_literal(text: str) -> bool:
    """Return whether `text` is a token without `*`, which means any subtype and nothing else."""
    return is_token_text(text) and "*" not in text


def _statuses(when: WhenSpec, side: Side | None, pos: SourcePos | None) -> Iterator[Problem]:
    for low, high in when.status:
        text = str(low) if low == high else f"{low}-{high}"
        if side == "request":
            yield KINDS["rule_status_of_request"].at(pos, value=text)
        elif not 200 <= low <= high <= 999:
            yield KINDS["rule_status_invalid"].at(pos, value=text)
