"""The documentation of metrics matches the code."""

from pathlib import Path

from corsproxy.observe.snapshot import families_table

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"


def test_every_metric_is_documented() -> None:
    """M2: name, kind, labels and help are in docs/operations.md as in the code.

    Put `families_table()` there where this fails.
    """
    assert f"\n\n{families_table()}\n\n" in PAGE.read_text(encoding="utf-8")
