"""Matches bytes with patterns in which `*` stands for any bytes, or none. Knows no kind of value."""

from typing import NamedTuple


class Glob(NamedTuple):
    """A compiled pattern: the pieces between its `*`, which are compared byte for byte."""

    pieces: tuple[bytes, ...]

    @classmethod
    def compile(cls, pattern: str) -> "Glob":
        """Compile a pattern; every character but `*` stands for itself."""
        return cls(tuple(pattern.encode().split(b"*")))

    def fits(self, value: bytes) -> bool:
        """Whether the pattern matches `value`.

        One pass: if a piece is found at its leftmost place, most is left for the pieces after it. So
        there is no backtracking, unlike in `fnmatch`, which compiles to a regular expression.
        """
        if len(self.pieces) == 1:
            return value == self.pieces[0]
        first, *middle, last = self.pieces
        end = len(value) - len(last)
        if end < len(first) or not value.startswith(first) or not value.endswith(last):
            return False
        start = len(first)
        for piece in middle:
            found = value.find(piece, start, end)
            if found < 0:
                return False
            start = found + len(piece)
        return True
