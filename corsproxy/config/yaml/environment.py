"""Replaces `${NAME}` and `${NAME:-default}` in scalars.

Substitution comes after parsing and only changes the text of scalars, so no value can change the
structure (forwarding.md K2). In header values, variables such as `${request.id}` are left to the
rules.
"""

import re
from collections import abc
from collections.abc import Iterator
from typing import Final

from corsproxy.config.problems.found import Found, Unreadable, problem
from corsproxy.config.yaml.nodes import Document, Node, Path, Scalar, Sequence, Span
from corsproxy.config.yaml.scalars import resolve
from corsproxy.policy.rules.variables import escape

_REFERENCE: Final = re.compile(r"\$\$\{|\$\{(?P<inside>[^{}]*)(?P<end>\}?)")
_VARIABLE: Final = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)(:-(?P<default>.*))?", re.DOTALL)
_ALONE: Final = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*(:-[^{}]*)?\}")

# Limit on the text that the environment adds; more is a mistake or an attempt to exhaust memory.
_MOST_TEXT: Final = 4 * 1024 * 1024

_RULE_LISTS: Final = frozenset({"request_headers", "response_headers"})
_RULE_VALUES: Final = frozenset({"set", "add", "default"})


def substitute(document: Document, environ: abc.Mapping[str, str], found: Found) -> None:
    """Replace every reference in the scalars of `document`; add problems to `found`.

    Raises `Unreadable` if the environment adds too much text.
    """
    pass_ = _Pass(document, environ, found)
    for path, scalar in _scalars(document.root, ()):
        if "${" in scalar.source:
            pass_.substitute(scalar, is_template=_is_template(path))
    pass_.finish()


def is_reference(scalar: Scalar) -> bool:
    """Return whether the source of a scalar is exactly one `${NAME}`."""
    return scalar.is_substituted and _ALONE.fullmatch(scalar.source) is not None


class _Pass:
    """One substitution pass over a document."""

    def __init__(self, document: Document, environ: abc.Mapping[str, str], found: Found) -> None:
        self.document = document
        self.environ = environ
        self.found = found
        self.length = 0
        self._unknown: list[Span] = []

    def finish(self) -> None:
        """Ignore further problems of values whose text is unknown."""
        for span in self._unknown:
            self.found.silence(self.document.at(span))

    def substitute(self, scalar: Scalar, *, is_template: bool) -> None:
        pieces: list[str] = []
        end = 0
        for found in _REFERENCE.finditer(scalar.source):
            piece = self._piece(scalar, found, is_template)
            pieces += [scalar.source[end : found.start()], piece]
            end = found.end()
            self._count(scalar, len(piece))
        pieces.append(scalar.source[end:])
        scalar.text = "".join(pieces)
        # In braces a reference needs quotes, which then do not force its value to be text.
        is_open = scalar.plain or is_reference(scalar)
        value = resolve(scalar.text) if is_open else scalar.text
        # Never null: an empty variable is an empty text.
        scalar.value = scalar.text if value is None else value

    def _count(self, scalar: Scalar, length: int) -> None:
        self.length += length
        if self.length > _MOST_TEXT:
            pos = self.document.at(scalar.span)
            raise Unreadable(problem("environment_too_large", pos, limit=_MOST_TEXT))

    def _piece(self, scalar: Scalar, found: re.Match[str], is_template: bool) -> str:  # noqa: FBT001
        if found[0] == "$${":
            return found[0] if is_template else "${"
        known = _VARIABLE.fullmatch(found["inside"]) if found["end"] else None
        if known is None:
            return self._foreign(scalar, found, is_template)
        scalar.is_substituted = True
        value = self.environ.get(known["name"])
        # As in a shell, `:-` replaces an empty value too.
        if known["default"] is not None and not value:
            value = known["default"]
        if value is None or not _is_text(value):
            slug = "variable_missing" if value is None else "variable_not_utf8"
            self._report(scalar, found, slug, name=known["name"])
            return found[0]
        return escape(value) if is_template else value

    def _foreign(self, scalar: Scalar, found: re.Match[str], is_template: bool) -> str:  # noqa: FBT001
        if not is_template:
            slug = "variable_of_request" if "." in found["inside"] else "variable_malformed"
            self._report(scalar, found, slug, text=found[0])
        return found[0]

    def _report(self, scalar: Scalar, found: re.Match[str], slug: str, **values: object) -> None:
        span = _span_in(scalar, found)
        self.found.add(problem(slug, self.document.at(span), span.width, **values))
        self._unknown.append(scalar.span)


def _is_text(value: str) -> bool:
    """Return whether a variable was UTF-8: Python decodes other bytes to lone surrogates."""
    return not any("\ud800" <= char <= "\udfff" for char in value)


def _span_in(scalar: Scalar, found: re.Match[str]) -> Span:
    """Return the span of a reference; that of the scalar if escapes make its column unknown."""
    span = scalar.span
    quotes = span.width - len(scalar.source)
    if quotes not in {0, 2}:
        return span
    return Span(span.line, span.column + quotes // 2 + found.start(), len(found[0]))


def _scalars(node: Node, path: Path) -> Iterator[tuple[Path, Scalar]]:
    if isinstance(node, Scalar):
        yield path, node
    elif isinstance(node, Sequence):
        for index, item in enumerate(node.children):
            yield from _scalars(item, (*path, index))
    else:
        for key, item in node.children.items():
            yield from _scalars(item, (*path, key))


def _is_template(path: abc.Sequence[str | int]) -> bool:
    """Return whether the value at `path` is a header value of a rule, which has its own variables."""
    if len(path) != 6 or path[0] != "routes" or path[2] not in _RULE_LISTS:
        return False
    return path[4] in _RULE_VALUES or (path[4] == "replace" and path[5] == "with")
