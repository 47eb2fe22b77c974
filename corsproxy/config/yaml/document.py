"""Builds the tree of a YAML file from the events of the C parser.

PyYAML's own composer has no limits; here each one is applied before memory is allocated
(forwarding.md K1): size of the file, depth, and number of nodes with aliases expanded.
"""

from typing import Any, Final, NoReturn

import yaml

from corsproxy.config.problems.found import Found, Unreadable, problem
from corsproxy.config.yaml.nodes import Document, Mapping, Node, Scalar, Sequence, Span
from corsproxy.config.yaml.scalars import resolve
from corsproxy.config.yaml.syntax import explain_error
from corsproxy.policy.source import SourcePos

LARGEST_FILE: Final = 1024 * 1024
DEEPEST: Final = 20
MOST_NODES: Final = 25_000

# Wider than any excerpt: a value of several lines is underlined to the end of its first line.
_REST_OF_LINE: Final = 1000


def decode(data: bytes, file: str) -> str:
    """Decode the content of a file; raise `Unreadable` if it is too large or not UTF-8."""
    if len(data) > LARGEST_FILE:
        raise Unreadable(problem("file_too_large", SourcePos(file, 1, 1), limit=LARGEST_FILE))
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        line = before.count(b"\n") + 1
        column = len(before.rpartition(b"\n")[2].decode("utf-8-sig")) + 1
        fault = problem(
            "not_utf8", SourcePos(file, line, column), byte=f"0x{data[error.start]:02x}"
        )
        raise Unreadable(fault) from None


def compose(text: str, file: str, found: Found) -> Document:
    """Parse `text` to a tree; add problems that do not stop the parsing to `found`.

    Raises `Unreadable` for a syntax error, a file whose top level is not a mapping, and above a limit.
    """
    builder = _Builder(file, found)
    try:
        for event in yaml.parse(text, Loader=yaml.CSafeLoader):
            builder.handle(event)
    except yaml.YAMLError as error:
        raise Unreadable(explain_error(error, text, file)) from None
    root = builder.root
    if root is None:
        raise Unreadable(problem("file_empty", SourcePos(file, 1, 1)))
    if not isinstance(root, Mapping):
        at = SourcePos(file, root.span.line, root.span.column)
        raise Unreadable(problem("not_a_mapping", at, root.span.width))
    return Document(file, root)


# The prefix that YAML expands `!!` to.
_YAML_TAGS: Final = "tag:yaml.org,2002:"


class _Builder:
    """Builds the tree from parser events; `open` is the stack of incomplete collections."""

    def __init__(self, file: str, found: Found) -> None:
        self.file = file
        self.found = found
        self.root: Node | None = None
        self.open: list[Sequence | Mapping] = []
        self.keys: list[tuple[str, Span] | None] = []
        self.anchors: dict[str, Node] = {}
        self.documents = 0
        self.nodes = 0

    def handle(self, event: Any) -> None:  # noqa: ANN401 - events of PyYAML have no types
        kind = type(event)
        if kind is yaml.ScalarEvent:
            self._scalar(event)
        elif kind is yaml.MappingStartEvent or kind is yaml.SequenceStartEvent:
            self._begin(event)
        elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
            self._end()
        elif kind is yaml.AliasEvent:
            self._alias(event)
        elif kind is yaml.DocumentStartEvent:
            self.documents += 1
            if self.documents > 1:
                self._stop("second_document", _span(event))

    def _scalar(self, event: Any) -> None:  # noqa: ANN401
        span = _span(event)
        self._refuse_tag(event, span)
        plain = not event.style
        text = event.value
        node = Scalar(span, text, resolve(text) if plain else text, plain=plain)
        self._anchor(event, node)
        self._place(node, span)

    def _begin(self, event: Any) -> None:  # noqa: ANN401
        span = _span(event)
        self._refuse_tag(event, span)
        if self.open and isinstance(self.open[-1], Mapping) and self.keys[-1] is None:
            self._stop("key_not_scalar", span)
        if len(self.open) >= DEEPEST:
            self._stop("too_deep", span, limit=DEEPEST)
        node = Mapping(span) if type(event) is yaml.MappingStartEvent else Sequence(span)
        self._anchor(event, node)
        self.open.append(node)
        self.keys.append(None)

    def _end(self) -> None:
        node = self.open.pop()
        self.keys.pop()
        self._place(node, node.span)

    def _alias(self, event: Any) -> None:  # noqa: ANN401
        span = _span(event)
        name = event.anchor
        target = self.anchors.get(name)
        if target is None:
            self._stop("alias_unknown", span, name=name)
        if any(target is node for node in self.open):
            self._stop("alias_recursive", span, name=name)
        if len(self.open) + target.height > DEEPEST:
            self._stop("too_deep", span, limit=DEEPEST)
        self._place(target.copy(span) if isinstance(target, Scalar) else target, span)

    def _place(self, node: Node, span: Span) -> None:
        """Add a complete node to its parent, as a key, a value or an item, or set it as the root."""
        if not self.open:
            self.root = node
            return
        holder = self.open[-1]
        if isinstance(holder, Sequence):
            holder.children.append(node)
            self._grow(holder, node, span)
            return
        key = self.keys[-1]
        if key is None:
            self.keys[-1] = self._key(node, span)
            return
        self.keys[-1] = None
        self._grow(holder, node, span)
        text, key_span = key
        if text == "<<":
            self._report("merge_key", key_span)
            return
        if text in holder.keys:
            first = holder.keys[text]
            self._report("duplicate_key", key_span, key=text, line=first.line)
            return
        holder.keys[text] = key_span
        holder.children[text] = node

    def _key(self, node: Node, span: Span) -> tuple[str, Span]:
        if not isinstance(node, Scalar):
            self._stop("key_not_scalar", span)
        self._count(span)
        return node.text, span

    def _grow(self, holder: Sequence | Mapping, node: Node, span: Span) -> None:
        """Count a node, with everything below it if it is an alias, before it is expanded."""
        holder.size += node.size
        holder.height = max(holder.height, node.height + 1)
        self._count(span)
        if holder.size > MOST_NODES:
            self._stop("too_many_nodes", span, limit=MOST_NODES)

    def _count(self, span: Span) -> None:
        self.nodes += 1
        if self.nodes > MOST_NODES:
            self._stop("too_many_nodes", span, limit=MOST_NODES)

    def _anchor(self, event: Any, node: Node) -> None:  # noqa: ANN401
        if event.anchor is not None:
            self.anchors[event.anchor] = node

    def _refuse_tag(self, event: Any, span: Span) -> None:  # noqa: ANN401
        if event.tag is not None:
            self._report("tag", span, tag=event.tag.replace(_YAML_TAGS, "!!"))

    def _report(self, slug: str, span: Span, **values: object) -> None:
        pos = SourcePos(self.file, span.line, span.column)
        self.found.add(problem(slug, pos, span.width, **values))

    def _stop(self, slug: str, span: Span, **values: object) -> NoReturn:
        pos = SourcePos(self.file, span.line, span.column)
        raise Unreadable(problem(slug, pos, span.width, **values))


def _span(event: Any) -> Span:  # noqa: ANN401
    start, end = event.start_mark, event.end_mark
    width = end.column - start.column if end.line == start.line else _REST_OF_LINE
    return Span(start.line + 1, start.column + 1, max(1, width))
