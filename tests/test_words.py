"""Prose uses the words of RFC 9110, Fetch and asyncio; phrases of any other dialect are listed here.

Only prose is searched: not code blocks, nor what is in backticks, which quotes keys, values, reason
codes, ids and commands that never change.
"""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import pytest

ROOT: Final = Path(__file__).parent.parent

# A phrase to avoid (a regular expression over words), and what to write instead.
INSTEAD: Final[dict[str, str]] = {
    r"answer(s|ed|ing|able)?": "response, respond",
    r"(?<!there )(is|are|was|were|be) no(?! (more|longer|less|fewer|later|earlier|larger)\b)": "is not a valid …",
    r"(tell|tells|told|telling)": "report, log, show, distinguish",
    r"(say|says|said) (so|it|which|where|how|that)": "report, print, state",
    r"(hear|hears|heard|hearing)": "receive; does not reach",
    r"(stand|stands|stood|standing)": "is, runs, appears",
    r"(hold|holds|held|holding) (up|back|good|of|a|an|the|no|what|several|one|that|it)": "contain, delay, buffer",
    r"(believe|believes|believed)": "trust",
    r"(judge|judges|judged|judging)": "check, decide, evaluate",
    r"(know|knows|known|knew) (of|no|nothing|neither|which|whether|what|who)": "has, uses",
    r"(know|knows|known|knew) [^.:;]{1,80}, (not|nor|never)": "state what the module does",
    r"(learn|learns|learned|learnt) (of|that|whether|what)": "receive, is notified",
    r"(wish|wishes|wished)": "request",
    r"(goodbye|in the books|keep the books|keeps the books)": "close, register",
    r"turn(s|ed|ing)? away": "reject",
    r"wave(s|d)? through": "accept",
    r"whoever": "a client that, people who",
    r"as far as": "if, unless",
    r"where (nobody|somebody|there is|there are|there was|none|no|one is|nothing)": "if",
    r"but for": "except",
    r"all but": "except",
    r"(become|becomes|became|make|makes) of": "effect, result",
    r"(come|comes|came) (to nothing|of it|to it)": "fail",
    r"(take|takes|taken|took) into force": "apply, activate",
    r"(is|are|was|were) to be had": "is available",
    r"(give|gives|gave|given|giving) way": "is closed",
    r"(is|are) of use": "is useful",
    r"for good": "permanently",
    r"at work": "in flight",
    r"(is|was|be) owed": "is due",
    r"on its feet": "start",
    r"what (waits|waited)": "requests that wait",
    r"(nobody|somebody|everybody) (else )?(waits|asks|answers|wants|reads|listens|notices)": "no client",
}

_COMPILED: Final = {
    re.compile(rf"\b(?:{phrase})\b", re.IGNORECASE): words for phrase, words in INSTEAD.items()
}

# The parts of documents that the code prints: the rows of their tables.
_GENERATED: Final = frozenset({"configuration.md", "operations.md", "reasons.md"})


class Text(NamedTuple):
    """A piece of prose and where it is."""

    where: str
    words: str


def prose(markdown: str) -> str:
    """Return the words of a document, without code blocks and what is in backticks."""
    without_blocks = re.sub(r"(?ms)^ *```.*?^ *```", "", markdown)
    # What a browser or a program prints is a quotation.
    without_quotes = re.sub(r"(?m)^>.*$", "", without_blocks)
    return re.sub(r"`[^`]*`", "`…`", without_quotes)


def documents(*, generated: bool) -> Iterator[Text]:
    """Return the documents line by line of prose; of some the tables are left out, or all else is."""
    for path in (*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/*.md"))):
        lines = prose(path.read_text(encoding="utf-8")).splitlines()
        tables = path.name in _GENERATED
        chosen = [line for line in lines if (tables and line.startswith("| ")) is generated]
        yield Text(str(path.relative_to(ROOT)), "\n".join(chosen))


def code() -> Iterator[Text]:
    """Return the docstrings and messages of the package, and its comments."""
    for path in sorted((ROOT / "corsproxy").rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        name = str(path.relative_to(ROOT))
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
                yield Text(f"{name}:{node.lineno}", prose(node.value))
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type == tokenize.COMMENT:
                yield Text(f"{name}:{token.start[0]}", prose(token.string))


def texts() -> Iterator[Text]:
    """Return all prose: documents, the tables in them that the code prints, docstrings and messages."""
    yield from documents(generated=False)
    yield from documents(generated=True)
    yield from code()


def phrases_in(text: Text) -> Iterator[str]:
    """Return each phrase to avoid with its place, a few words around it, and what to write instead."""
    words = " ".join(text.words.split())
    for phrase, instead in _COMPILED.items():
        for found in phrase.finditer(words):
            around = words[max(0, found.start() - 30) : found.end() + 20]
            yield f"{text.where}: {found[0]!r} in {around!r}: write {instead}"


def test_prose_has_no_phrase_of_the_list() -> None:
    """A reader who is used to the standards is not stopped by a word."""
    assert [found for text in texts() for found in phrases_in(text)] == []


@pytest.mark.parametrize(
    "sentence",
    [
        "The upstream never hears of it.",
        "it is no URL",
        "An answer\nof the upstream.",
        "Whoever asks is told.",
        "404 where there is none",
        "Requests at work per worker.",
    ],
)
def test_a_phrase_of_the_list_is_found(sentence: str) -> None:
    """The test above does not pass because it finds nothing."""
    assert list(phrases_in(Text("", prose(sentence))))


@pytest.mark.parametrize(
    "sentence",
    [
        "`half_close: answer` waits until a write fails.",
        "```\nit blocks the answer\n```",
        "There is no default of `*`.",
        "A response is no longer read.",
        "Standard error is where it prints.",
    ],
)
def test_what_is_quoted_or_plain_is_not_found(sentence: str) -> None:
    """Keys, values and codes never change, so they are not searched."""
    assert list(phrases_in(Text("", prose(sentence)))) == []


def test_prose_is_found_everywhere() -> None:
    """None of the sources is empty."""
    for found in (documents(generated=False), documents(generated=True), code()):
        assert sum(len(text.words) for text in found) > 1000
