"""Findings: one line each, with words from one table (config.md)."""

from corsproxy.policy.printable import printable
from corsproxy.policy.problems import Words, find
from corsproxy.policy.source import SourcePos

TABLE = {"odd": Words("warning", "{value} is odd: {detail}", "write {value} twice")}


def test_a_finding_names_position_mistake_and_fix() -> None:
    """config.md: file:line:column, which value, what to write instead."""
    finding = find(TABLE, "odd", "7", SourcePos("c.yaml", 2, 3), "no pair")
    assert str(finding) == "c.yaml:2:3: warning: 7 is odd: no pair; write 7 twice"


def test_without_a_place_it_begins_with_the_severity() -> None:
    """A setting that was built in code has no position."""
    assert str(find(TABLE, "odd", "7", None)).startswith("warning: 7 is odd")


def test_a_value_is_kept_as_it_is_and_shown_escaped() -> None:
    """forwarding.md P3 in spirit: no control character of a value reaches a terminal or log."""
    finding = find(TABLE, "odd", "{a}\x1b[2J\n", None)
    assert finding.value == "{a}\x1b[2J\n"
    assert finding.message == r"{a}\x1b[2J\n is odd: "


def test_printable_leaves_other_text_alone() -> None:
    """Umlauts, quotes and backslashes are shown as written."""
    assert printable('ä "b" \\ c') == 'ä "b" \\ c'
