"""The syntax of header values: `${variables}` and `$${` (configuration.md L11)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corsproxy.policy.rules.variables import (
    VARIABLES,
    Context,
    UnknownVariable,
    compile_value,
    escape,
    has_controls,
    is_sendable,
    render,
)

CONTEXT = Context(
    status=200,
    method=b"PUT",
    origin="allowed",
    request_id=b"id-1",
    request_host=b"api.example.com",
    request_origin=b"https://app.example.com",
    client_address=b"192.0.2.1",
    route_name=b"api",
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", b""),
        ("plain", b"plain"),
        ("${request.id}", b"id-1"),
        ("${request.host}", b"api.example.com"),
        ("${request.origin}", b"https://app.example.com"),
        ("${client.address}", b"192.0.2.1"),
        ("${route.name}", b"api"),
        ("a ${route.name}/${request.id} z", b"a api/id-1 z"),
        ("${route.name}${route.name}", b"apiapi"),
        ("$${route.name}", b"${route.name}"),
        ("$$${route.name}", b"$${route.name}"),
        ("$5 $ $$ $x {a}", b"$5 $ $$ $x {a}"),
        ("costs $${x} in ${route.name}", b"costs ${x} in api"),
        ("grüße", "grüße".encode()),
    ],
)
def test_values_are_rendered(text: str, value: bytes) -> None:
    """L11: five variables, `$${` yields `${`, any other `$` is literal."""
    assert render(compile_value(text), CONTEXT) == value


def test_a_value_without_variables_is_bytes_already() -> None:
    """It needs no rendering on the hot path."""
    assert compile_value("a $${b}") == b"a ${b}"


@pytest.mark.parametrize(
    "text", ["${request.body}", "${}", "${HOME}", "${request.id", "a ${ b", "${a{b}}"]
)
def test_anything_else_is_an_error_that_lists_the_variables(text: str) -> None:
    """L11: anything else is an error."""
    with pytest.raises(UnknownVariable, match=r"unknown variable \$\{") as raised:
        compile_value(text)
    assert all(name in str(raised.value) for name in VARIABLES)


@given(st.text(st.sampled_from("${}a.request.id"), max_size=30))
def test_escaped_text_is_inert(text: str) -> None:
    """L11: a value from the environment cannot name a variable."""
    assert compile_value(escape(text)) == text.encode()


@pytest.mark.parametrize("bad", [b"\r", b"\n", b"\0", b"\x7f", b"\x1f"])
def test_a_variable_with_a_control_character_counts_as_empty(bad: bytes) -> None:
    """L12: no value adds CR, LF or NUL to a header; it is not repaired either."""
    context = CONTEXT._replace(request_origin=b"https://ev" + bad + b"il.com")
    assert render(compile_value("<${request.origin}>"), context) == b"<>"


@given(st.binary(max_size=20))
def test_only_bytes_of_field_values_get_through(value: bytes) -> None:
    """forwarding.md H8: 0x20-0x7E, 0x80-0xFF and HTAB, whatever the value of a variable is."""
    rendered = render(compile_value("${request.id}"), CONTEXT._replace(request_id=value))
    allowed = all(byte == 9 or 32 <= byte != 127 for byte in value)
    assert rendered == (value if allowed else b"")
    assert has_controls(value) is not allowed


@pytest.mark.parametrize(
    ("text", "sendable"),
    [("ä\t ~", True), ("a\nb", False), ("a\0", False), ("\ud800", False), ("\x85", True)],
)
def test_text_is_sendable_if_it_encodes_without_controls(text: str, sendable: bool) -> None:  # noqa: FBT001
    """forwarding.md H8, applied to the text of a configuration."""
    assert is_sendable(text) is sendable
