"""check_rules(): what is not valid in a header rule, and how it is reported (configuration.md L16)."""

import pytest

from corsproxy.policy.rules.check import KINDS, check_rules
from corsproxy.policy.rules.spec import Operation, RuleSpec, Side, WhenSpec
from corsproxy.policy.source import SourcePos

PLACE = SourcePos("config.yaml", 7, 9)


def rule(
    name: str,
    value: str = "x",
    op: Operation = "set",
    find: str = "",
    when: WhenSpec | None = None,
) -> RuleSpec:
    """Return a rule with a position."""
    return RuleSpec(op=op, name=name, value=value, find=find, when=when, pos=PLACE)


def when(spec: WhenSpec) -> RuleSpec:
    """Return a rule that is valid except for its condition."""
    return rule("X-A", when=spec)


BAD: list[tuple[RuleSpec, Side, str, str]] = [
    (rule("X A"), "response", "rule_name_invalid", '"X A"'),
    (rule(""), "response", "rule_name_invalid", '""'),
    (rule("X-A", "X:B", "rename"), "response", "rule_name_invalid", '"X:B"'),
    (rule("Connection"), "response", "rule_touches_hop_by_hop", "Connection"),
    (rule("keep-alive", op="remove"), "response", "rule_touches_hop_by_hop", "keep-alive"),
    (rule("TE"), "request", "rule_touches_hop_by_hop", "TE"),
    (rule("Trailer"), "response", "rule_touches_hop_by_hop", "Trailer"),
    (rule("Upgrade"), "request", "rule_touches_hop_by_hop", "Upgrade"),
    (rule("X-A", "Transfer-Encoding", "rename"), "response", "rule_touches_hop_by_hop", "Transfer"),
    (rule("Proxy-Authenticate"), "response", "rule_touches_hop_by_hop", "Proxy-Auth"),
    (rule("content-length", op="remove"), "response", "rule_touches_length", "content-length"),
    (rule("Access-Control-Allow-Origin"), "response", "rule_touches_cors", "policy"),
    (rule("X-A", "access-control-max-age", "rename"), "response", "rule_touches_cors", "policy"),
    (rule("Access-Control-Request-Method"), "response", "rule_touches_cors", "policy"),
    (rule("Host"), "request", "rule_touches_host", "host_header"),
    (rule("Expect", op="remove"), "request", "rule_touches_expect", "100-continue"),
    (
        rule("X-A", "a\r\nB: c"),
        "response",
        "rule_value_unsendable",
        r"X-A contains \r as character 2,",
    ),
    (rule("X-A", "\0"), "request", "rule_value_unsendable", r"X-A contains \x00 as character 1,"),
    (rule("X-A", "a", "replace", "\n"), "response", "rule_value_unsendable", r"contains \n as"),
    (
        when(WhenSpec(header=(("X-A", "\n*"),))),
        "response",
        "rule_value_unsendable",
        r"X-A contains \n as",
    ),
    (rule("X-A", "${request.boddy}"), "response", "rule_variable_unknown", "${request.id}"),
    (rule("X-A", "a", "replace"), "response", "rule_find_empty", "nothing to find"),
    (rule("X-A", "a", "replace", "a"), "response", "rule_without_effect", "equal"),
    (rule("X-A", "X-A", "rename"), "response", "rule_without_effect", "its name already"),
    (rule("Authorization", op="add"), "request", "rule_add_repeats", "use set"),
    (rule("Origin", op="add"), "request", "rule_add_repeats", "use set"),
    (when(WhenSpec()), "response", "rule_when_empty", "remove when"),
    (when(WhenSpec(pos=PLACE)), "response", "rule_when_empty", "remove when"),
    (when(WhenSpec(status=((599, 500),))), "response", "rule_status_invalid", "599-500"),
    (when(WhenSpec(status=((100, 100),))), "response", "rule_status_invalid", "100 is"),
    (when(WhenSpec(status=((500, 599),))), "request", "rule_status_of_request", "500-599"),
    (when(WhenSpec(content_type=("html",))), "response", "rule_content_type_invalid", '"html"'),
    (when(WhenSpec(content_type=("*/*",))), "response", "rule_content_type_invalid", '"*/*"'),
    (when(WhenSpec(content_type=("text/*x",))), "response", "rule_content_type_invalid", "text/*x"),
    (when(WhenSpec(content_type=("a/b;c=d",))), "response", "rule_content_type_invalid", "text/*"),
    (when(WhenSpec(methods=("GET ",))), "response", "rule_method_invalid", '"GET "'),
    (when(WhenSpec(header=(("X:A", "1"),))), "response", "rule_name_invalid", '"X:A"'),
]


@pytest.mark.parametrize(("spec", "side", "slug", "says"), BAD)
def test_each_fault_is_reported_with_value_position_and_fix(
    spec: RuleSpec,
    side: Side,
    slug: str,
    says: str,
) -> None:
    """L6: what is wrong with which value, where, and what to write instead."""
    (problem,) = check_rules([spec], has_policy=True, side=side)
    assert problem.slug == slug
    assert str(problem).startswith(f"config.yaml:7:9: {problem.severity}: ")
    assert says in str(problem)
    assert "\n" not in str(problem)
    assert problem.advice


def test_every_slug_has_a_case() -> None:
    """The table contains no kind that is never found."""
    assert {slug for _, _, slug, _ in BAD} == set(KINDS)


@pytest.mark.parametrize(
    ("spec", "side"),
    [
        (rule("Access-Control-Request-Headers"), "request"),
        (rule("Vary", "Accept", "add"), "response"),
        (rule("Set-Cookie", "a=b", "add"), "response"),
        (rule("Timing-Allow-Origin", "*"), "response"),
        (rule("Authorization", "Bearer x"), "request"),
        (rule("X-A", "ä ${request.id} $${x}"), "request"),
        (
            when(WhenSpec(status=((200, 200), (500, 599)), origin="none", methods=("GET",))),
            "response",
        ),
        (when(WhenSpec(content_type=("text/*", "application/problem+json"))), "response"),
    ],
)
def test_valid_rules_have_no_problems(spec: RuleSpec, side: Side) -> None:
    """L16: nothing else is forbidden."""
    assert check_rules([spec], has_policy=True, side=side) == []


def test_cors_headers_are_allowed_without_a_policy() -> None:
    """L16: the rule is for routes that have a policy; cors.md 51."""
    assert check_rules([rule("Access-Control-Allow-Origin", "*")], has_policy=False) == []


def test_the_value_of_a_header_is_never_shown() -> None:
    """L8: secrets never appear in errors, and a header's value may be one."""
    (problem,) = check_rules([rule("X-Api-Key", "hunter2\n")], has_policy=False)
    assert "hunter2" not in repr(problem)


def test_all_faults_of_all_rules_are_reported_in_order() -> None:
    """L6: every problem in one run, in the order of the file."""
    bad = rule("X A", "${x}", when=WhenSpec(methods=("",), status=((1, 2),)))
    slugs = [problem.slug for problem in check_rules([bad, rule("Upgrade")], has_policy=False)]
    assert slugs == [
        "rule_name_invalid",
        "rule_variable_unknown",
        "rule_status_invalid",
        "rule_method_invalid",
        "rule_touches_hop_by_hop",
    ]
