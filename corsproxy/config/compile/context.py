"""What is known while a configuration is built: places, problems, and what must not be shown."""

from collections.abc import Iterable
from typing import Final, NamedTuple

from corsproxy.config.problems.catalogue import ENTRIES
from corsproxy.config.problems.problem import LONGEST_MESSAGE, Found, Problem, problem, shorten
from corsproxy.config.yaml.environment import is_reference
from corsproxy.config.yaml.nodes import Document, Node, Path, Scalar, Sequence, Span
from corsproxy.policy.printable import printable
from corsproxy.policy.problems import Finding
from corsproxy.policy.source import SourcePos, SourceText

_HIDDEN: Final = "a value that is not shown"


class _Mark(NamedTuple):
    """How much of the file belongs to a place, and the `${NAME}` in it, if any."""

    width: int
    hidden: str | None


class CompileContext:
    """Places and problems of one build; every place it gives out it can later underline."""

    def __init__(self, document: Document, found: Found) -> None:
        self.document = document
        self.found = found
        self._marks: dict[SourcePos, _Mark] = {}

    def pos(self, path: Path) -> SourcePos:
        """Return where the value at `path` stands."""
        node = self.document.node(path)
        return self._mark(node.span, node)

    def key_place(self, path: Path) -> SourcePos:
        """Return where the key at the end of `path` stands."""
        return self._mark(self.document.key_span(path), self.document.node(path))

    def _mark(self, span: Span, node: Node) -> SourcePos:
        pos = self.document.at(span)
        self._marks[pos] = _Mark(span.width, _substituted(node))
        return pos

    def source_texts(self, path: Path, texts: Iterable[str]) -> tuple[SourceText, ...]:
        """Return the items of a list with their places; those of a default have none."""
        if not self.document.wrote(path):
            return tuple(SourceText(text) for text in texts)
        return tuple(SourceText(text, self.pos((*path, at))) for at, text in enumerate(texts))

    def origins(self, path: Path, texts: Iterable[str]) -> tuple[SourceText, ...]:
        """Return origins with their places; one `${NAME}` may stand for several (config.md)."""
        origins: list[SourceText] = []
        for index, item in enumerate(self.source_texts(path, texts)):
            node = self.document.node((*path, index))
            several = isinstance(node, Scalar) and is_reference(node)
            parts = item.text.split(",") if several else [item.text]
            origins += [SourceText(part.strip() if several else part, item.pos) for part in parts]
        return tuple(origins)

    def shown(self, path: Path, text: str) -> str:
        """Return `text`, or what the file says instead of it where it is the environment's."""
        node = self.document.node(path)
        return node.source if isinstance(node, Scalar) and node.is_substituted else text

    def hidden(self, path: Path) -> str | None:
        """Return the `${NAME}` below `path`, because of which values from there are not shown."""
        return _substituted(self.document.node(path))

    def note(self, slug: str, path: Path, **values: object) -> None:
        """Report a problem of the value at `path`."""
        span = self.document.node(path).span
        self.found.add(problem(slug, self.document.at(span), span.width, **values))

    def note_key(self, slug: str, path: Path, **values: object) -> None:
        """Report a problem of the key at the end of `path`."""
        span = self.document.key_span(path)
        self.found.add(problem(slug, self.document.at(span), span.width, **values))

    def take(self, findings: Iterable[Finding], fallback: Path) -> bool:
        """Report what a policy module found; what has no place stands at `fallback`.

        Returns whether there was no error among it.
        """
        is_sound = True
        for finding in findings:
            pos = finding.pos or self.pos(fallback)
            mark = self._marks.get(pos, _Mark(1, None))
            entry = ENTRIES[finding.slug]
            message = shorten(finding.message, LONGEST_MESSAGE)
            advice = shorten(finding.suggestion, LONGEST_MESSAGE)
            if mark.hidden is not None:
                message = entry.message.format(value=mark.hidden, detail=_HIDDEN)
                advice = f"correct the variable of the environment behind {mark.hidden}"
            self.found.add(
                Problem(entry.id, finding.slug, pos, message, advice, mark.width),
            )
            is_sound = is_sound and finding.severity == "warning"
        return is_sound


def _substituted(node: Node) -> str | None:
    """Return what the file says at the first value below `node` that is of the environment."""
    if isinstance(node, Scalar):
        return printable(shorten(node.source)) if node.is_substituted else None
    below = node.children if isinstance(node, Sequence) else node.children.values()
    return next(filter(None, map(_substituted, below)), None)
