"""Formats the table of attacks as text and as Markdown."""

from typing import Final

from bench.attacks.attack import Attack
from bench.attacks.claims import BROKEN, HELD, NOT_RUN, Claim, verdict_of

Results = list[tuple[Attack, list[Claim]]]

_HEAD: Final = ["attack", "measured", "bound", "verdict"]


def _rows(results: Results, *, titled: bool) -> list[list[str]]:
    """Return a row for each claim; the first of an attack contains its name."""
    rows = []
    for attack, claims in results:
        name = f"{attack.name}: {attack.title} ({attack.rule})" if titled else attack.name
        names = [name, *[""] * (len(claims) - 1)]
        rows += [
            [name, claim.measured, claim.bound, claim.verdict]
            for name, claim in zip(names, claims, strict=True)
        ]
    return rows


def as_text(results: Results) -> str:
    """Return the table with aligned columns."""
    lines = [_HEAD, *_rows(results, titled=False)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEAD))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def as_markdown(results: Results) -> str:
    """Return the table as Markdown, with a description of each attack."""
    rows = [[cell.replace("|", r"\|") for cell in row] for row in _rows(results, titled=True)]
    lines = [_HEAD, ["---"] * len(_HEAD), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def summary(results: Results) -> str:
    """Return how many attacks were held off and how many were not."""
    verdicts = [verdict_of(claims) for _, claims in results]
    counts = [f"{verdicts.count(verdict)} {verdict}" for verdict in (HELD, BROKEN, NOT_RUN)]
    return f"{len(results)} attacks: {', '.join(counts)}"


def passed(results: Results) -> bool:
    """Return whether no bound was broken."""
    return all(verdict_of(claims) != BROKEN for _, claims in results)
