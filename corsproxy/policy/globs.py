"""Matches bytes against patterns in which `*` matches any bytes, including none."""

from typing import NamedTuple


class Glob(NamedTuple):
    """A compiled pattern: the literal pieces between its `*`."""

    pieces: tuple[bytes, ...]

    @classmethod
    def compile(cls, pattern: str) -> "Glob":
        """Compile a pattern; every character except `*` is literal."""
        return cls(tuple(pattern.encode().split(b"*")))

    def fits(self, value: bytes) -> bool:
        """Whether the pattern matches `value`.

        One pass without backtracking, unlike `fnmatch`, which compiles to a regular expression: taking
        each piece at its leftmost position leaves the most room for the pieces after it.
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
