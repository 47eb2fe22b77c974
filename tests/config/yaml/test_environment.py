"""`${NAME}` in scalars: what is replaced, what is kept, and that the structure never changes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corsproxy.config.load import Loaded, load_text
from corsproxy.policy.rules.apply import apply
from corsproxy.policy.rules.variables import Context

ROUTE = "routes:\n  - upstream: http://127.0.0.1:9000\n"
POLICY = ROUTE + "    cors:\n      allow_origins: [%s]\n"


def load(text: str, **environ: str) -> Loaded:
    """Load a configuration with an environment."""
    return load_text("version: 1\n" + text, "f.yaml", environ)


def origins(item: str, **environ: str) -> list[str]:
    """Return the origins of one item of allow_origins."""
    loaded = load(POLICY % item, **environ)
    assert loaded.config, loaded.problems
    policy = next(iter(loaded.config.routes)).policy
    assert policy is not None
    return [term.text for term in policy.spec.allow_origins]


def test_a_variable_is_replaced_inside_a_value() -> None:
    """L2: `${NAME}` inside scalars."""
    assert origins('"https://${HOST}"', HOST="a.example") == ["https://a.example"]


@pytest.mark.parametrize("environ", [{}, {"HOST": ""}], ids=["missing", "empty"])
def test_a_default_replaces_a_missing_variable(environ: dict[str, str]) -> None:
    """L2: `${NAME:-default}`, as in a shell."""
    assert origins('"https://${HOST:-b.example}"', **environ) == ["https://b.example"]


def test_a_variable_alone_may_contain_several_origins() -> None:
    """L3: an item that is exactly one `${NAME}`, separated by commas."""
    assert origins('"${ALL}"', ALL="https://a.example, https://b.example") == [
        "https://a.example",
        "https://b.example",
    ]


def test_each_of_several_origins_is_checked_as_if_written() -> None:
    """L3: each is checked as if written, and all problems are reported at that item."""
    loaded = load(POLICY % '"${ALL}"', ALL="https://a.example/,b.example,https://c.example")
    assert [item.slug for item in loaded.problems] == [
        "origin_trailing_slash",
        "origin_scheme_missing",
    ]


def test_a_variable_with_text_around_it_is_one_origin() -> None:
    """Only an item that is exactly one reference is split."""
    loaded = load(POLICY % '"${ALL} "', ALL="https://a.example,https://b.example")
    assert loaded.config is None


def test_a_value_of_the_environment_cannot_change_the_structure() -> None:
    """forwarding.md K2: substitution comes after parsing."""
    evil = "x\nadmin: true\n- [a, b"
    loaded = load("log: {level: '${LEVEL}'}\n" + ROUTE, LEVEL=evil)
    assert [item.slug for item in loaded.problems if item.severity == "error"] == ["not_a_choice"]


@given(st.text(st.characters(exclude_characters="\0"), max_size=30))
@settings(max_examples=60, deadline=None)
def test_a_variable_only_affects_its_value(value: str) -> None:
    """forwarding.md K2: no value adds a key, raises or is shown."""
    marked = "Zq9" + value
    loaded = load("server:\n  drain: ${X}\n" + ROUTE, X=marked)
    assert {item.pos.line for item in loaded.problems} <= {3, 5}
    assert all("Zq9" not in item.message + item.advice for item in loaded.problems)


@pytest.mark.parametrize(
    "text", ["server: {limits: {max_headers: '${N}'}}", "server:\n  limits:\n    max_headers: ${N}"]
)
def test_numbers_may_come_from_the_environment(text: str) -> None:
    """A reference alone has the type of its value; in braces it needs quotes."""
    loaded = load(f"{text}\n{ROUTE}", N="7")
    assert loaded.config
    assert loaded.config.server.limits.max_headers == 7


def test_an_empty_variable_is_an_empty_text_not_null() -> None:
    """An empty variable does not make a key absent."""
    loaded = load("log:\n  level: ${LEVEL}\n" + ROUTE, LEVEL="null")
    assert [item.slug for item in loaded.problems][:1] == ["not_a_choice"]


def test_two_dollars_give_one() -> None:
    """L2: `$${` yields `${`; any other `$` is literal."""
    loaded = load("routes:\n  - {upstream: 'unix:/run/$${a}$b$', cors: false}\n")
    assert loaded.config
    assert str(loaded.config.upstreams[0].address) == "unix:/run/${a}$b$"


def header_value(value: str, **environ: str) -> bytes:
    """Return the value of the header X under a rule, for a request with the id "id"."""
    rules = f"    response_headers:\n      - set: {{X: {value}}}\n"
    loaded = load(ROUTE + rules, **environ)
    assert loaded.config, loaded.problems
    route = next(iter(loaded.config.routes))
    return apply(route.response_rules, [], Context(request_id=b"id"))[0][1]


def test_variables_of_a_request_stay_in_header_values() -> None:
    """L11: `${request.id}` inside header values."""
    assert header_value('"${request.id} ${NAME}"', NAME="n") == b"id n"


def test_the_environment_cannot_bring_in_a_variable_of_a_request() -> None:
    """forwarding.md K2: a value of `${NAME}` is literal text, whatever it looks like."""
    assert header_value('"${NAME}"', NAME="${request.id} $${x}") == b"${request.id} $${x}"


def test_two_dollars_in_a_header_value_give_one() -> None:
    """L11: the escape is the same there."""
    assert header_value('"$${request.id}"') == b"${request.id}"


def test_find_has_no_variables_of_a_request() -> None:
    """L13: `find` is literal text."""
    rules = "    response_headers:\n      - replace: {header: X, find: '$${a}', with: '${request.id}'}\n"
    loaded = load(ROUTE + rules)
    assert loaded.config, loaded.problems
    route = next(iter(loaded.config.routes))
    fields = apply(route.response_rules, [(b"X", b"1${a}2")], Context(request_id=b"id"))
    assert fields == [(b"X", b"1id2")]
