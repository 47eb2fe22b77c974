"""Tracks positions, problems and secret values while one configuration is compiled."""

from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeVar

from corsproxy.config.problems.found import Found, problem
from corsproxy.config.yaml.environment import is_reference
from corsproxy.config.yaml.nodes import Document, Node, Path, Scalar, Sequence, Span
from corsproxy.policy.printable import printable
from corsproxy.policy.problems import LONGEST_VALUE, BadSpec, Problem, Report, shorten
from corsproxy.policy.source import SourcePos, SourceText

T = TypeVar("T")


class _Mark(NamedTuple):
    """The number of characters to underline at a position, and the `${NAME}` there, if any."""

    width: int
    reference: str | None


class CompileContext:
    """The positions and problems of one compilation.

    A problem that a check of `policy` finds at a position from here is underlined, and masked if the
    value is secret, when it is reported.
    """

    def __init__(self, document: Document, found: Found) -> None:
        self.document = document
        self.found = found
        self._marks: dict[SourcePos, _Mark] = {}

    def pos(self, path: Path) -> SourcePos:
        """Return the position of the value at `path`."""
        node = self.document.node(path)
        return self._mark(node.span, node)

    def key_pos(self, path: Path) -> SourcePos:
        """Return the position of the key that `path` ends in."""
        return self._mark(self.document.key_span(path), self.document.node(path))

    def _mark(self, span: Span, node: Node) -> SourcePos:
        pos = self.document.at(span)
        self._marks[pos] = _Mark(span.width, _substituted(node))
        return pos

    def source_texts(self, path: Path, texts: Iterable[str]) -> tuple[SourceText, ...]:
        """Return the items of a list with their positions; items of a default have none."""
        if not self.document.wrote(path):
            return tuple(SourceText(text) for text in texts)
        return tuple(SourceText(text, self.pos((*path, at))) for at, text in enumerate(texts))

    def origins(self, path: Path, texts: Iterable[str]) -> tuple[SourceText, ...]:
        """Return origins with their positions; a `${NAME}` may contain several (configuration.md L3)."""
        origins: list[SourceText] = []
        for index, item in enumerate(self.source_texts(path, texts)):
            node = self.document.node((*path, index))
            several = isinstance(node, Scalar) and is_reference(node)
            parts = item.text.split(",") if several else [item.text]
            origins += [SourceText(part.strip() if several else part, item.pos) for part in parts]
        return tuple(origins)

    def masked(self, path: Path, text: str) -> str:
        """Return `text`, or its source in the file if it contains a value of the environment."""
        node = self.document.node(path)
        return node.source if isinstance(node, Scalar) and node.is_substituted else text

    def reference(self, path: Path) -> str | None:
        """Return the first `${NAME}` at or below `path`, None if there is none; then no value is secret."""
        return _substituted(self.document.node(path))

    def report(self, slug: str, path: Path, **values: object) -> None:
        """Report a problem with the value at `path`."""
        span = self.document.node(path).span
        self.found.add(problem(slug, self.document.at(span), span.width, **values))

    def report_key(self, slug: str, path: Path, **values: object) -> None:
        """Report a problem with the key that `path` ends in."""
        span = self.document.key_span(path)
        self.found.add(problem(slug, self.document.at(span), span.width, **values))

    def report_all(self, problems: Iterable[Problem]) -> None:
        """Report the problems that a check found."""
        for item in problems:
            self._report_found(item)

    def compiled(self, make: Callable[[Report], T]) -> T | None:
        """Return the result of `make`, None if its spec has errors; report the problems it found."""
        try:
            return make(self._report_found)
        except BadSpec:
            return None

    def _report_found(self, item: Problem) -> None:
        # A KeyError is intended: a position that is not from here could reveal a secret.
        width, reference = self._marks[item.pos]
        shown = item if reference is None else item.masked(reference)
        self.found.add(shown._replace(width=width))


def _substituted(node: Node) -> str | None:
    """Return the source of the first value at or below `node` that uses the environment, None if none."""
    if isinstance(node, Scalar):
        return printable(shorten(node.source, LONGEST_VALUE)) if node.is_substituted else None
    below = node.children if isinstance(node, Sequence) else node.children.values()
    return next(filter(None, map(_substituted, below)), None)
