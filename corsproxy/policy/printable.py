"""Escapes for text that ends on a terminal. Knows no output, and nothing of what is printed.

Several commands and logs print what other machines sent. Control characters in it (C0, DEL, C1) can
rewrite the screen and type for the user; bidirectional controls and other invisible characters change
how it reads; a lone surrogate cannot be encoded at all. Letters of every script are left as they are.
"""

import json


def printable(text: str) -> str:
    r"""Return `text` with each character that is not printable as an escape, such as \x9b or \u202e."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def printable_lines(text: str) -> str:
    """Return `text` as `printable` does, with its line ends and tabs as they are."""
    return "".join(char if char in "\n\t" else printable(char) for char in text)


def json_text(value: object, *, indent: int | None = None) -> str:
    """Return `value` as JSON that is `printable`, by escapes of JSON: it reads back the same."""
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    # A line end outside of strings is the indentation's; inside of them it is escaped by now.
    return "".join(char if char.isprintable() or char == "\n" else _escape(char) for char in text)


def _escape(char: str) -> str:
    """Return one character as the escapes of JSON: one for each of its UTF-16 units (RFC 8259 7)."""
    units = char.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[start : start + 4]}" for start in range(0, len(units), 4))
