"""Escapes text from clients and servers so that it is safe to print.

Commands and logs print what clients and servers sent. Control characters in it (C0, DEL, C1) can
rewrite the screen and inject key strokes; bidirectional controls and invisible characters change how
text reads; a lone surrogate cannot be encoded at all. Letters of every script are kept.
"""

import json


def printable_ascii(value: bytes, limit: int = 128) -> str:
    """Return bytes from a client as printable ASCII of at most `limit` characters (cors.md 69)."""
    text = "".join(
        chr(byte) if 0x20 <= byte < 0x7F and byte != 0x5C else f"\\x{byte:02x}"
        for byte in value[:limit]
    )
    return text if len(text) <= limit and len(value) <= limit else text[: limit - 1] + "…"


def printable(text: str) -> str:
    r"""Return `text` with each unprintable character escaped, such as \x9b or \u202e."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def printable_lines(text: str) -> str:
    """Return `text` as `printable` does, but keep line ends and tabs."""
    return "".join(char if char in "\n\t" else printable(char) for char in text)


def json_text(value: object, *, indent: int | None = None) -> str:
    """Return `value` as printable JSON that parses back to the same value."""
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    # Line ends within strings are escaped by now; the others are indentation.
    return "".join(char if char.isprintable() or char == "\n" else _escape(char) for char in text)


def _escape(char: str) -> str:
    """Return `char` as JSON escapes, one for each of its UTF-16 code units (RFC 8259 7)."""
    units = char.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[start : start + 4]}" for start in range(0, len(units), 4))
