"""Header rules applied to field lines (configuration.md L13, forwarding.md H7, H8). Pure, no loop."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corsproxy.policy.fields import Field
from corsproxy.policy.rules.apply import apply, compile_rules
from corsproxy.policy.rules.spec import RuleSpec, WhenSpec
from corsproxy.policy.rules.variables import Context

CONTEXT = Context(status=200, method=b"GET", request_id=b"id-1", route_name=b"api")

RESPONSE: list[Field] = [
    (b"Server", b"legacy/1"),
    (b"Content-Type", b"text/html; charset=utf-8"),
    (b"X-A", b"one"),
    (b"x-a", b"two"),
    (b"SET-COOKIE", b"a=\x85"),
    (b"X-B", b""),
]


def changed(
    *specs: RuleSpec, context: Context = CONTEXT, fields: list[Field] = RESPONSE
) -> list[Field]:
    """Apply rules to RESPONSE."""
    return apply(compile_rules(specs), fields, context)


def at(index: int, *lines: Field, drop: int = 1) -> list[Field]:
    """Return RESPONSE with `drop` lines at `index` replaced."""
    return [*RESPONSE[:index], *lines, *RESPONSE[index + drop :]]


OPERATIONS = [
    (RuleSpec(op="set", name="server", value="x"), at(0, (b"server", b"x"))),
    (RuleSpec(op="set", name="X-a", value="x"), at(2, (b"X-a", b"x"), drop=2)),
    (RuleSpec(op="set", name="X-New", value="x"), [*RESPONSE, (b"X-New", b"x")]),
    (RuleSpec(op="set", name="X-New", value=""), [*RESPONSE, (b"X-New", b"")]),
    (RuleSpec(op="set", name="X-Id", value="<${request.id}>"), [*RESPONSE, (b"X-Id", b"<id-1>")]),
    (RuleSpec(op="add", name="X-A", value="x"), [*RESPONSE, (b"X-A", b"x")]),
    (RuleSpec(op="add", name="X-R", value="${route.name}"), [*RESPONSE, (b"X-R", b"api")]),
    (RuleSpec(op="default", name="x-b", value="x"), RESPONSE),
    (RuleSpec(op="default", name="X-C", value="x"), [*RESPONSE, (b"X-C", b"x")]),
    (RuleSpec(op="remove", name="SERVER"), RESPONSE[1:]),
    (RuleSpec(op="remove", name="X-A"), at(2, drop=2)),
    (RuleSpec(op="remove", name="X-C"), RESPONSE),
    (
        RuleSpec(op="rename", name="x-a", value="X-Z"),
        at(2, (b"X-Z", b"one"), (b"X-Z", b"two"), drop=2),
    ),
    (RuleSpec(op="rename", name="X-C", value="X-A"), RESPONSE),
    (
        RuleSpec(op="rename", name="x-A", value="X-a"),
        at(2, (b"X-a", b"one"), (b"X-a", b"two"), drop=2),
    ),
    (
        RuleSpec(op="rename", name="Server", value="X-A"),
        [(b"X-A", b"legacy/1"), RESPONSE[1], *RESPONSE[4:]],
    ),
    (
        RuleSpec(op="replace", name="server", find="legacy", value="new"),
        at(0, (b"Server", b"new/1")),
    ),
    (
        RuleSpec(op="replace", name="X-A", find="o", value="$${}"),
        at(2, (b"X-A", b"${}ne"), (b"x-a", b"tw${}"), drop=2),
    ),
    (RuleSpec(op="replace", name="server", find=".*", value=""), RESPONSE),
    (RuleSpec(op="replace", name="X-C", find="a", value="b"), RESPONSE),
    (
        RuleSpec(op="replace", name="Content-Type", find="html", value="${route.name}"),
        at(1, (b"Content-Type", b"text/api; charset=utf-8")),
    ),
]


@pytest.mark.parametrize(("spec", "expected"), OPERATIONS)
def test_each_operation_changes_its_lines_only(spec: RuleSpec, expected: list[Field]) -> None:
    """L13: set, add, remove, default, rename and literal replace, case-insensitive names."""
    before = list(RESPONSE)
    assert changed(spec) == expected
    assert before == RESPONSE, "the lines given are left alone"


def test_rules_apply_in_order_to_the_previous_result() -> None:
    """L13: applied in order."""
    assert changed(
        RuleSpec(op="remove", name="Server"),
        RuleSpec(op="default", name="Server", value="corsproxy"),
        RuleSpec(op="rename", name="Server", value="X-Served-By"),
        RuleSpec(op="replace", name="X-Served-By", find="cors", value="the "),
        RuleSpec(
            op="set", name="X-Seen", value="1", when=WhenSpec(header=(("x-served-by", "the*"),))
        ),
    ) == [*RESPONSE[1:], (b"X-Served-By", b"the proxy"), (b"X-Seen", b"1")]


WHENS = [
    (WhenSpec(status=((500, 599),)), Context(status=500), True),
    (WhenSpec(status=((500, 599),)), Context(status=599), True),
    (WhenSpec(status=((500, 599),)), Context(status=499), False),
    (WhenSpec(status=((500, 599),)), Context(status=600), False),
    (WhenSpec(status=((404, 404), (500, 599))), Context(status=404), True),
    (WhenSpec(status=((200, 999),)), Context(), False),
    (WhenSpec(methods=("PUT", "GET")), Context(method=b"GET"), True),
    (WhenSpec(methods=("PUT",)), Context(method=b"put"), False),
    (WhenSpec(origin="allowed"), Context(origin="allowed"), True),
    (WhenSpec(origin="allowed"), Context(origin="refused"), False),
    (WhenSpec(origin="none"), Context(), True),
    (WhenSpec(content_type=("text/html",)), Context(), True),
    (WhenSpec(content_type=("TEXT/HTML",)), Context(), True),
    (WhenSpec(content_type=("text/*",)), Context(), True),
    (WhenSpec(content_type=("text/plain", "application/*")), Context(), False),
    (WhenSpec(header=(("X-A", "two"),)), Context(), True),
    (WhenSpec(header=(("X-A", "TWO"),)), Context(), False),
    (WhenSpec(header=(("X-A", "three"),)), Context(), False),
    (WhenSpec(header=(("x-b", "*"),)), Context(), True),
    (WhenSpec(header=(("X-C", "*"),)), Context(), False),
    (WhenSpec(header=(("Server", "leg*/*"),)), Context(), True),
    (WhenSpec(header=(("Server", "*y/2"),)), Context(), False),
    (WhenSpec(header=(("X-A", "one"), ("Server", "legacy*"))), Context(), True),
    (WhenSpec(header=(("X-A", "one"), ("Server", "modern*"))), Context(), False),
    (WhenSpec(status=((200, 200),), origin="refused"), Context(status=200), False),
    (WhenSpec(), Context(), True),
]


@pytest.mark.parametrize(("when", "context", "holds"), WHENS)
def test_a_rule_applies_if_all_conditions_are_met(
    when: WhenSpec,
    context: Context,
    holds: bool,  # noqa: FBT001 - a column of the table
) -> None:
    """L14: the conditions are status, content_type, methods, origin and header."""
    marked = changed(RuleSpec(op="add", name="X-M", value="1", when=when), context=context)
    assert marked == ([*RESPONSE, (b"X-M", b"1")] if holds else RESPONSE)


def test_without_a_content_type_no_type_matches() -> None:
    """L14: a response without Content-Type matches no type."""
    when = WhenSpec(content_type=("text/*",))
    spec = RuleSpec(op="add", name="X-M", value="1", when=when)
    assert changed(spec, fields=[(b"X-A", b"text/html")]) == [(b"X-A", b"text/html")]


UNFIT = [
    (RuleSpec(op="set", name="X-A", value="a\r\nX-Evil: 1"), r"X-A contains \r as character 2"),
    (RuleSpec(op="set", name="X-A", value="a\nX-Evil: 1"), r"X-A contains \n as character 2"),
    (
        RuleSpec(op="set", name="X-A\r\nX-Evil", value="1"),
        r'"X-A\r\nX-Evil" is not a valid header name',
    ),
    (RuleSpec(op="rename", name="X-A", value="X\n"), r'"X\n" is not a valid header name'),
    (
        RuleSpec(op="replace", name="X-A", find="one", value="\0"),
        r"X-A contains \x00 as character 1",
    ),
    (RuleSpec(op="set", name="Content-Length", value="5"), "cannot change Content-Length"),
    (
        RuleSpec(op="rename", name="X-A", value="Transfer-Encoding"),
        "cannot change Transfer-Encoding",
    ),
    (RuleSpec(op="replace", name="X-A", find="", value="x"), "X-A has nothing to find"),
    (RuleSpec(op="set", name="X-A", value="${nothing}"), "no variable ${nothing}"),
    (
        RuleSpec(op="set", name="X-A", value="1", when=WhenSpec(header=(("X-B", "\n*"),))),
        r"X-B contains \n as character 1",
    ),
]


@pytest.mark.parametrize(("spec", "fault"), UNFIT)
def test_a_rule_that_could_break_a_message_does_not_compile(spec: RuleSpec, fault: str) -> None:
    """L12, L16: no CR, LF, NUL into a header, hop-by-hop and length untouched on either side."""
    with pytest.raises(ValueError, match=re.escape(fault)):
        compile_rules([spec])


@pytest.mark.parametrize("at", range(3))
def test_one_invalid_rule_is_enough_wherever_it_is(at: int) -> None:
    """L16: a list of rules with one of these does not compile."""
    rules = [RuleSpec(op="remove", name=name) for name in ("X-A", "X-B", "X-C")]
    assert compile_rules(rules)
    rules[at] = RuleSpec(op="remove", name="Connection")
    with pytest.raises(ValueError, match="cannot change Connection"):
        compile_rules(rules)


def test_a_rule_with_only_a_warning_compiles() -> None:
    """L6: a warning is not an error."""
    renamed = RuleSpec(op="rename", name="X-A", value="X-A")
    assert changed(renamed) == at(2, (b"X-A", b"one"), (b"X-A", b"two"), drop=2)


names = st.sampled_from([b"X-A", b"x-a", b"X-B", b"Server", b"X-Other", b"x-OTHER2"])
lines = st.lists(st.tuples(names, st.binary(max_size=6)), max_size=10)
values = st.sampled_from(["", "v", "${request.id}", "${request.origin}x"])
specs = st.builds(
    lambda op, name, value, new: RuleSpec(
        op=op,
        name=name,
        value=new if op == "rename" else value,
        find="a" if op == "replace" else "",
    ),
    st.sampled_from(["set", "add", "default", "remove", "rename", "replace"]),
    st.sampled_from(["X-A", "x-b", "SERVER"]),
    values,
    st.sampled_from(["X-B", "x-a", "Server"]),
)


@settings(max_examples=200, deadline=None)
@given(lines, st.lists(specs, max_size=6))
def test_untouched_lines_keep_bytes_and_order(fields: list[Field], rules: list[RuleSpec]) -> None:
    """forwarding.md H7: lines that no rule names keep order, case and duplicates."""
    result = apply(compile_rules(rules), fields, CONTEXT)

    def untouched(lines: list[Field]) -> list[Field]:
        return [line for line in lines if line[0].lower() in {b"x-other", b"x-other2"}]

    assert untouched(result) == untouched(fields)


@settings(max_examples=200, deadline=None)
@given(lines, st.lists(specs, max_size=6), st.binary(max_size=8), st.binary(max_size=8))
def test_no_control_character_gets_in(
    fields: list[Field],
    rules: list[RuleSpec],
    request_id: bytes,
    request_origin: bytes,
) -> None:
    """L12: no value adds CR, LF or NUL to a header, wherever it comes from."""
    clean = [(name, value.translate(None, b"\r\n\0")) for name, value in fields]
    context = Context(request_id=request_id, request_origin=request_origin)
    for name, value in apply(compile_rules(rules), clean, context):
        assert not {*b"\r\n\0"} & {*name, *value}


def test_without_rules_lines_are_copied() -> None:
    """The result is a new list, so that the caller may change it."""
    result = apply((), RESPONSE, CONTEXT)
    assert result == RESPONSE
    assert result is not RESPONSE
