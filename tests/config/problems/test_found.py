"""Found: the problems of one file, each once and up to a limit."""

import pytest

from corsproxy.config.load import load_text
from corsproxy.config.problems.found import MOST_PROBLEMS, Found, TooMany, problem
from corsproxy.policy.source import SourcePos


def test_errors_too_many_stop_the_reading_and_warnings_do_not() -> None:
    """What nobody reads is not collected; a file with warnings alone is still of use."""
    found = Found("f.yaml")
    for line in range(MOST_PROBLEMS + 1):
        found.add(problem("policy_unused", SourcePos("f.yaml", line + 1, 1), found="p"))
    assert not found.has_errors
    kept = found.in_order([])
    assert [item.slug for item in kept[-2:]] == ["policy_unused", "problems_left_out"]
    with pytest.raises(TooMany):
        found.add(problem("routes_empty", SourcePos("f.yaml", 1, 1)))


def test_a_plan_with_many_warnings_is_a_plan() -> None:
    """A limit on what is shown is none on what works."""
    routes = "".join(
        f"  - {{upstream: 'http://h', match: {{path: /{number}/}}}}\n" for number in range(300)
    )
    loaded = load_text(f"version: 1\nroutes:\n{routes}", "f.yaml", {})
    assert loaded.config is not None
    assert loaded.problems[-1].slug == "problems_left_out"


def test_a_problem_that_is_found_again_is_not_one_more() -> None:
    """Only what is new counts, also at the limit: checks may find the same twice."""
    found = Found("f.yaml")
    error = problem("routes_empty", SourcePos("f.yaml", 1, 1))
    found.add(error)
    for line in range(MOST_PROBLEMS - 1):
        found.add(problem("policy_unused", SourcePos("f.yaml", line + 1, 1), found="p"))
    found.add(error)
    assert len(found.in_order([])) == MOST_PROBLEMS
