"""Problems: one line each, from the texts of their kind (configuration.md L6)."""

import pytest

from corsproxy.policy.printable import printable
from corsproxy.policy.problems import NOWHERE, BadSpec, Problem, ProblemKind, require_sound
from corsproxy.policy.source import SourcePos

ODD = ProblemKind("W999", "odd", "{value} is odd: {detail}", "write {value} twice")
BAD = ProblemKind("E999", "bad", "{value} is bad", "remove it")
PLACE = SourcePos("c.yaml", 2, 3)


def test_a_problem_has_position_message_and_advice() -> None:
    """L6: file:line:column, which value, and what to write instead."""
    problem = ODD.at(PLACE, value=7, detail="no pair")
    assert str(problem) == "c.yaml:2:3: warning: 7 is odd: no pair; write 7 twice"


def test_without_a_position_it_starts_with_the_severity() -> None:
    """A spec that was built in code has no positions."""
    assert str(ODD.at(None, value=7, detail="")).startswith("warning: 7 is odd")


def test_a_value_is_kept_as_it_is_and_shown_escaped() -> None:
    """No control character of a value reaches a terminal or log."""
    problem = ODD.at(None, value="{a}\x1b[2J\n", detail="")
    assert problem.values["value"] == "{a}\x1b[2J\n"
    assert problem.message == r"{a}\x1b[2J\n is odd: "


def test_a_long_value_is_cut_in_the_middle() -> None:
    """The message stays readable; a checked value is cut only if the message is too long."""
    kind = ProblemKind("E998", "long", "{found} and {value}", "")
    problem = kind.at(None, found="f" * 100, value="v" * 100)
    assert problem.message == f"{'f' * 60}…{'f' * 19} and {'v' * 100}"
    long = BAD.at(None, value="v" * 400).message
    assert (len(long), long[299:303]) == (320, "v…vv")


def test_a_message_with_a_text_of_the_program_is_never_cut() -> None:
    """A list of known keys is only useful if it is complete."""
    kind = ProblemKind("E998", "long", "{found}; {choices}", "")
    assert kind.at(None, found="f", choices="c" * 400).message == "f; " + "c" * 400


def test_a_masked_problem_contains_none_of_its_values() -> None:
    """forwarding.md K2: a value from the environment is in no message, and in no `repr`."""
    problem = ODD.at(PLACE, value="hunter2", detail="as hunter2 is").masked("${NAME}")
    assert "hunter2" not in repr(problem)
    assert problem.message == "${NAME} is odd: a value that is not shown"
    assert problem.advice == "correct the environment variable in ${NAME}"


def test_a_spec_with_an_error_is_rejected_after_all_is_reported() -> None:
    """Bad configurations cannot be built; every problem is reported in one run."""
    reported: list[Problem] = []
    problems = [ODD.at(PLACE, value=1, detail=""), BAD.at(PLACE, value=2), BAD.at(PLACE, value=3)]
    with pytest.raises(BadSpec, match="error: 2 is bad") as raised:
        require_sound(problems, reported.append)
    assert reported == problems
    assert raised.value.problem == problems[1]


def test_a_spec_with_warnings_is_sound() -> None:
    """A warning is reported and the spec is compiled."""
    reported: list[Problem] = []
    require_sound([ODD.at(PLACE, value=1, detail="")], reported.append)
    assert [problem.pos for problem in reported] == [PLACE]
    assert PLACE != NOWHERE


def test_printable_leaves_other_text_alone() -> None:
    """Umlauts, quotes and backslashes are shown as written."""
    assert printable('ä "b" \\ c') == 'ä "b" \\ c'
