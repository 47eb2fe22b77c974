"""Resolves plain scalars by the core schema of YAML 1.2.

PyYAML resolves them by YAML 1.1, in which `no` is false, `010` is 8 and `1:30` is 90; in YAML 1.2 they
are text, 10 and text.
"""

import re
from typing import Final

ScalarValue = bool | int | float | str | None

_NULLS: Final = frozenset({"", "~", "null", "Null", "NULL"})
_FLAGS: Final = {
    "true": True,
    "True": True,
    "TRUE": True,
    "false": False,
    "False": False,
    "FALSE": False,
}
_DECIMAL: Final = re.compile(r"[-+]?[0-9]{1,18}")
_BASED: Final = {
    "0o": (re.compile(r"0o[0-7]{1,18}"), 8),
    "0x": (re.compile(r"0x[0-9a-fA-F]{1,15}"), 16),
}
_FLOAT: Final = re.compile(
    r"[-+]?(\.[0-9]{1,30}|[0-9]{1,30}(\.[0-9]{0,30})?)([eE][-+]?[0-9]{1,2})?"
)


class PlainScalar(str):
    """The text of a scalar, with the value that YAML resolves it to in `value`."""

    __slots__ = ("value",)

    value: ScalarValue


def scalar(text: str, value: ScalarValue) -> PlainScalar:
    """Return `text` as a `PlainScalar` with `value`."""
    made = PlainScalar(text)
    made.value = value
    return made


def resolve(text: str) -> ScalarValue:
    """Resolve a plain (unquoted) scalar to its value (YAML 1.2.2, 10.3.2).

    Numbers with more digits than any setting needs stay text, so that no input creates big integers.
    """
    if text in _NULLS:
        return None
    if text in _FLAGS:
        return _FLAGS[text]
    if _DECIMAL.fullmatch(text):
        return int(text)
    pattern, base = _BASED.get(text[:2], (None, 10))
    if pattern is not None and pattern.fullmatch(text):
        return int(text[2:], base)
    is_float = _FLOAT.fullmatch(text) and not text.lstrip("+-").isdigit()
    return float(text) if is_float else text
