"""Text that a terminal must not be shown as it is, and text that it must."""

from typing import Final

# C0, DEL, C1, invisible and bidirectional controls, line ends of Unicode, halves of surrogate pairs.
DANGEROUS: Final = (
    *map(chr, range(0x20)),
    *map(chr, range(0x7F, 0xA0)),
    *"\xad\u200b\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff",
    *"\udc00\udc9b\udfff\ud800\udbff",  # in this order no two make a pair
    "\U000e0001",
)
READABLE: Final = "é漢ß→ \U0001f600'\"\\"
# The same as bytes of a field's value, without what ends a line: raw, and as UTF-8.
RAW: Final = bytes(byte for byte in range(0x100) if byte not in b"\r\n")
AS_UTF8: Final = "".join(char for char in DANGEROUS if char not in "\r\n").encode(
    "utf-8", "surrogatepass"
)


def dangerous_in(text: str) -> list[str]:
    """Return by number the characters of `text` that are not shown as themselves; line ends are."""
    found = {char for char in text if not char.isprintable() and char != "\n"}
    return [f"U+{ord(char):04X}" for char in sorted(found)]
