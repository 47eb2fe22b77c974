"""The documents list files that exist, and every package and every directory of tests."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parent.parent
DOCUMENTS: Final = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/*.md")))
ARCHITECTURE: Final = ROOT / "docs" / "architecture.md"

_TICKED: Final = re.compile(r"`([^`\s]+)`")
_WHOLE: Final = re.compile(r"(?:corsproxy|tests|bench|docs|deploy)/[\w./-]*")
_LINK: Final = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")


def paths_in(text: str) -> Iterator[str]:
    """Return the paths that a document quotes.

    After a whole path, a name alone is a file beside it: `corsproxy/policy/match.py`, `urls.py`.
    """
    for line in text.splitlines():
        beside = ""
        for ticked in _TICKED.findall(line):
            if _WHOLE.fullmatch(ticked):
                beside = ticked if ticked.endswith("/") else ticked.rpartition("/")[0] + "/"
                yield ticked
            elif beside and re.fullmatch(r"\w+\.py", ticked):
                yield beside + ticked


def directories(top: str, marker: str) -> set[str]:
    """Return every directory below `top` that contains a file like `marker`."""
    found = {path.parent for path in (ROOT / top).rglob(marker) if "__pycache__" not in path.parts}
    return {str(path.relative_to(ROOT)) for path in found}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_path_in_a_document_exists(document: Path) -> None:
    """A table that leads to a file that was moved costs more than no table."""
    named = set(paths_in(document.read_text(encoding="utf-8")))
    assert sorted(path for path in named if not (ROOT / path).exists()) == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_in_a_document_leads_somewhere(document: Path) -> None:
    """Links between documents are relative, so that they work in a clone too."""
    links = set(_LINK.findall(document.read_text(encoding="utf-8")))
    assert sorted(link for link in links if not (document.parent / link).exists()) == []


@pytest.mark.parametrize(
    "path",
    sorted(
        directories("corsproxy", "__init__.py") - {"corsproxy"}
        | directories("tests", "*.py") - {"tests"}
    ),
)
def test_every_package_and_directory_of_tests_is_in_the_architecture(path: str) -> None:
    """A reader finds each package, and what tests it, on one page."""
    assert path in set(paths_in(ARCHITECTURE.read_text(encoding="utf-8")))


def test_a_name_alone_is_a_file_beside_the_path_before_it() -> None:
    """The tests above find both, in one row of a table, and no others."""
    row = "| `a.py` | `corsproxy/policy/match.py`, `urls.py` | `tests/proxy/`, `x.py` | `run -c` |"
    assert list(paths_in(row)) == [
        "corsproxy/policy/match.py",
        "corsproxy/policy/urls.py",
        "tests/proxy/",
        "tests/proxy/x.py",
    ]
