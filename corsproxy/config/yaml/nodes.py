"""Defines the tree of a YAML file, in which each node has a position.

An alias of a list or mapping is the same node as its anchor, so nodes may be shared; `size` and
`height` count a shared node each time it is used (forwarding.md K1).
"""

from collections import abc
from typing import NamedTuple

from corsproxy.config.yaml.scalars import ScalarValue, scalar
from corsproxy.policy.source import SourcePos

Path = tuple[str | int, ...]
Tree = str | None | list["Tree"] | dict[str, "Tree"]


class Span(NamedTuple):
    """The start of a node (counted from 1) and its width in characters on the first line."""

    line: int
    column: int
    width: int


class Scalar:
    """A scalar: its `text` and its parsed `value`; `source` is the text before `${NAME}` is replaced.

    `is_substituted`: the text contains a value of the environment, so it is never shown.
    """

    __slots__ = ("is_substituted", "plain", "source", "span", "text", "value")

    size = 1
    height = 1

    def __init__(self, span: Span, text: str, value: ScalarValue, *, plain: bool) -> None:
        self.span = span
        self.source = text
        self.text = text
        self.value = value
        self.plain = plain
        self.is_substituted = False

    def copy(self, span: Span) -> "Scalar":
        """Return the same scalar at another position, for an alias."""
        return Scalar(span, self.source, self.value, plain=self.plain)


class Sequence:
    """A list."""

    __slots__ = ("children", "height", "size", "span")

    def __init__(self, span: Span) -> None:
        self.span = span
        self.children: list[Node] = []
        self.size = 1
        self.height = 1


class Mapping:
    """A mapping: `keys` contains the span of each key, `children` the value."""

    __slots__ = ("children", "height", "keys", "size", "span")

    def __init__(self, span: Span) -> None:
        self.span = span
        self.keys: dict[str, Span] = {}
        self.children: dict[str, Node] = {}
        self.size = 1
        self.height = 1


Node = Scalar | Sequence | Mapping


class Document(NamedTuple):
    """One configuration file as a tree."""

    file: str
    root: Node

    def node(self, path: abc.Sequence[str | int]) -> Node:
        """Return the node at `path`; if there is none, the closest ancestor."""
        node = self.root
        for part in path:
            below = child(node, part)
            if below is None:
                return node
            node = below
        return node

    def pos(self, path: abc.Sequence[str | int]) -> SourcePos:
        """Return the position of the value at `path`; if there is none, of the closest ancestor."""
        return self.at(self.node(path).span)

    def key_span(self, path: abc.Sequence[str | int]) -> Span:
        """Return the span of the key that `path` ends in; for an item of a list, of the item."""
        holder = self.node(path[:-1])
        if isinstance(holder, Mapping) and path and path[-1] in holder.keys:
            return holder.keys[str(path[-1])]
        return self.node(path).span

    def at(self, span: Span) -> SourcePos:
        """Return the position in this file where `span` starts."""
        return SourcePos(self.file, span.line, span.column)

    def wrote(self, path: abc.Sequence[str | int]) -> bool:
        """Return whether the file contains a value at `path`."""
        node: Node | None = self.root
        for part in path:
            node = None if node is None else child(node, part)
        return node is not None


def width_at(root: Node, line: int, column: int) -> int:
    """Return the width of the node that starts there; 1 if none does."""
    pending = [root]
    while pending:
        node = pending.pop()
        if node.span[:2] == (line, column):
            return node.span.width
        if isinstance(node, Mapping):
            pending += node.children.values()
        elif isinstance(node, Sequence):
            pending += node.children
    return 1


def child(node: Node, part: str | int) -> Node | None:
    """Return the child of `node` at a key or an index, None if there is none."""
    if isinstance(node, Mapping):
        return node.children.get(str(part))
    if isinstance(node, Sequence) and isinstance(part, int) and part < len(node.children):
        return node.children[part]
    return None


def to_tree(node: Node) -> Tree:
    """Convert `node` to plain values: None, `PlainScalar`, lists and dictionaries."""
    if isinstance(node, Scalar):
        return None if node.value is None else scalar(node.text, node.value)
    if isinstance(node, Sequence):
        return [to_tree(item) for item in node.children]
    return {key: to_tree(item) for key, item in node.children.items()}
