"""Every numbered rule of the documents is cited by a test that proves it.

H, S, F, O, K and P are in docs/forwarding.md, L in docs/configuration.md, R and M in
docs/operations.md; the numbers of CORS are in docs/cors.md.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parent.parent

# The documents and the letters of their rules; docs/README.md says what each is about.
LETTERS: Final = {"forwarding.md": "HSFOKP", "configuration.md": "L", "operations.md": "RM"}
# How many rules each letter has: a number that is missing, or new, must be meant.
HIGHEST: Final = {
    "H": 20,
    "S": 13,
    "F": 10,
    "O": 7,
    "K": 3,
    "P": 7,
    "L": 22,
    "R": 9,
    "M": 7,
    "cors.md ": 73,
}

# Rules that are not implemented; each must leave this list with its first test.
NOT_YET: Final = frozenset({"cors.md 56", "cors.md 57"})

# "S1-S5" cites each of the five; a wider span tells where a rule is, not which one is proved.
WIDEST: Final = 5

_ALL: Final = "".join(LETTERS.values())
_LETTERED: Final = re.compile(rf"\b([{_ALL}])(\d{{1,2}})(?:-(?:\1)?(\d{{1,2}}))?\b")
_CORS: Final = re.compile(r"cors\.md ((?:\d{1,2}(?:-\d{1,2})?(?:, | and )?)+)")
_NAMED: Final = re.compile(rf"_([{_ALL.lower()}])(\d{{1,2}})(?=_|$)")
# Tables cite the rule of each row by its id, "37-max-age", if their test has this sentence.
_BY_ID: Final = "the number in the id is the rule"
_ID: Final = re.compile(r"(\d{1,2})-[a-z]")


def _span(prefix: str, first: str, last: str | None = None) -> Iterator[str]:
    for number in range(int(first), int(last or first) + 1):
        yield f"{prefix}{number}"


def _cited_in(text: str) -> Iterator[str]:
    found = _LETTERED.findall(text)
    for numbers in _CORS.findall(text):
        found += [("cors.md ", *span) for span in re.findall(r"(\d+)(?:-(\d+))?", numbers)]
    for group, first, last in found:
        if int(last or first) - int(first) < WIDEST:
            yield from _span(group, first, last)


def _claims(path: Path) -> Iterator[tuple[str, str]]:
    """Return the name and the docstring of every test in a file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if node.name.startswith("test_"):
            yield node.name, ast.get_docstring(node) or ""


def _ids(path: Path) -> Iterator[str]:
    """Return the rules that the rows of a file's tables cite by their ids."""
    text = path.read_text(encoding="utf-8")
    if _BY_ID in text.lower():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Constant) and (row := _ID.match(str(node.value))):
                yield f"cors.md {row[1]}"


def _cited() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for name, docstring in _claims(path):
            named = (f"{group.upper()}{number}" for group, number in _NAMED.findall(name))
            for rule in {*named, *_cited_in(docstring)}:
                found.setdefault(rule, []).append(f"{path.name}::{name}")
        for rule in _ids(path):
            found.setdefault(rule, []).append(f"{path.name}, a table")
    return found


def _cited_elsewhere() -> dict[str, list[str]]:
    """Return the rules that code and documents cite, with the places."""
    found: dict[str, list[str]] = {}
    for path in (*sorted((ROOT / "corsproxy").rglob("*.py")), *sorted(ROOT.glob("docs/*.md"))):
        text = path.read_text(encoding="utf-8")
        numbers = [(group, first) for group, first, _ in _LETTERED.findall(text)]
        for cited in _CORS.findall(text):
            numbers += [("cors.md ", first) for first, _ in re.findall(r"(\d+)(?:-(\d+))?", cited)]
        for group, first in numbers:
            found.setdefault(f"{group}{first}", []).append(path.name)
    return found


def _rules() -> set[str]:
    """Return every rule that the documents number."""
    found = {
        f"{letter}{number}"
        for name, letters in LETTERS.items()
        for letter, number in re.findall(rf"(?m)^- \*\*([{letters}])(\d+)\*\*", _text(name))
    }
    return found | {
        f"cors.md {number}" for number in re.findall(r"(?m)^(\d+)\. ", _text("cors.md"))
    }


def _text(document: str) -> str:
    return (ROOT / "docs" / document).read_text(encoding="utf-8")


def test_the_documents_number_the_rules_without_a_gap() -> None:
    """Otherwise a rule came or went, or this test reads the documents wrongly."""
    assert _rules() == {
        rule for group, last in HIGHEST.items() for rule in _span(group, "1", str(last))
    }


def test_every_rule_is_cited_by_a_test() -> None:
    """A rule that no test cites is a promise that is not checked."""
    missing = _rules() - set(_cited()) - NOT_YET
    assert sorted(missing) == []


def test_no_test_cites_a_rule_that_does_not_exist() -> None:
    """Such a number is a slip, or a rule that was removed."""
    unknown = {rule: where for rule, where in _cited().items() if rule not in _rules()}
    assert unknown == {}


def test_no_code_or_document_cites_a_rule_that_does_not_exist() -> None:
    """A reader who looks it up would not find it."""
    cited = _cited_elsewhere()
    assert len(cited) > 100
    assert {rule: where for rule, where in cited.items() if rule not in _rules()} == {}


@pytest.mark.parametrize("rule", sorted(NOT_YET))
def test_what_is_not_implemented_is_not_cited(rule: str) -> None:
    """The list of rules without a test is not stale."""
    assert _cited().get(rule, []) == []
