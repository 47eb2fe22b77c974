"""Found: the problems of one file, each once and up to a limit."""

import pytest

from corsproxy.config.load import load_text
from corsproxy.config.problems.found import MOST_PROBLEMS, Found, TooMany, problem
from corsproxy.policy.source import SourcePos


def test_too_many_errors_stop_the_reading_and_warnings_do_not() -> None:
    """Above the limit nothing is collected; a file with only warnings is still used."""
    found = Found("f.yaml")
    for line in range(MOST_PROBLEMS + 1):
        found.add(problem("policy_unused", SourcePos("f.yaml", line + 1, 1), found="p"))
    assert not found.has_errors
    kept = found.in_order([])
    assert [item.slug for item in kept[-2:]] == ["policy_unused", "problems_left_out"]
    with pytest.raises(TooMany):
        found.add(problem("routes_empty", SourcePos("f.yaml", 1, 1)))


def test_a_configuration_with_many_warnings_is_valid() -> None:
    """The limit applies to what is shown, not to what works."""
    routes = "".join(
        f"  - {{upstream: 'http://h', match: {{path: /{number}/}}}}\n" for number in range(300)
    )
    loaded = load_text(f"version: 1\nroutes:\n{routes}", "f.yaml", {})
    assert loaded.config is not None
    assert loaded.problems[-1].slug == "problems_left_out"


def test_a_problem_that_is_found_twice_counts_once() -> None:
    """Also at the limit: two checks may find the same problem."""
    found = Found("f.yaml")
    error = problem("routes_empty", SourcePos("f.yaml", 1, 1))
    found.add(error)
    for line in range(MOST_PROBLEMS - 1):
        found.add(problem("policy_unused", SourcePos("f.yaml", line + 1, 1), found="p"))
    found.add(error)
    assert len(found.in_order([])) == MOST_PROBLEMS
