"""Patterns in which `*` stands for any bytes, none included. Knows no meaning of what it matches."""

from typing import NamedTuple


class Glob(NamedTuple):
    """A compiled pattern: its pieces, which a `*` each parts. Compared byte for byte."""

    pieces: tuple[bytes, ...]

    @classmethod
    def compile(cls, pattern: str) -> "Glob":
        """Compile a pattern; all but `*` stands for itself."""
        return cls(tuple(pattern.encode().split(b"*")))

    def fits(self, value: bytes) -> bool:
        """Tell whether `value` fits, in one pass over it: the leftmost place is always the best."""
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
