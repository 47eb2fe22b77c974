"""docs/reasons.md contains the table that the code generates (cors.md 66)."""

from pathlib import Path

from corsproxy.policy.cors.reasons import reasons_table

PAGE = Path(__file__).parents[3] / "docs" / "reasons.md"


def test_66_the_page_ends_in_the_table_of_the_code() -> None:
    """If it fails, replace the table with the output of `reasons_table()`."""
    assert PAGE.read_text(encoding="utf-8").endswith(f"\n\n{reasons_table()}\n")
