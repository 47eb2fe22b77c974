"""Parses and formats durations and sizes with units."""

import re
from typing import Final

DURATION_PATTERN: Final = r"-?[0-9]{1,9}(\.[0-9]{1,6})?(ms|s|m|h)?"
SIZE_PATTERN: Final = r"[0-9]{1,12}(B|KB|MB|GB|KiB|MiB|GiB)?"

_DURATION: Final = re.compile(r"(?P<amount>-?[0-9]{1,9}(\.[0-9]{1,6})?)(?P<unit>ms|s|m|h)?")
_SIZE: Final = re.compile(r"(?P<amount>[0-9]{1,12})(?P<unit>[A-Za-z]{0,3})")

_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_BYTES: Final = {
    "B": 1,
    "KB": 1000,
    "MB": 1000**2,
    "GB": 1000**3,
    "KiB": 1024,
    "MiB": 1024**2,
    "GiB": 1024**3,
}


def read_duration(text: str) -> float | None:
    """Parse a duration (`250ms`, `10s`, `5m`, `1h`, or a number) to seconds; None if it is not valid."""
    found = _DURATION.fullmatch(text)
    if found is None:
        return None
    return float(found["amount"]) * _SECONDS[found["unit"] or "s"]


def read_size(text: str) -> int | None:
    """Parse a size (`8KiB`, `10MB`, or a number) to bytes; None if it is not valid."""
    found = _SIZE.fullmatch(text)
    if found is None:
        return None
    factor = _BYTES.get(found["unit"] or "B")
    return None if factor is None else int(found["amount"]) * factor


def write_duration(seconds: float) -> str:
    """Format `seconds` in the largest unit that needs no fraction, else as a fraction."""
    for unit in ("h", "m", "s"):
        amount = seconds / _SECONDS[unit]
        if amount == int(amount) and (amount or unit == "s"):
            return f"{int(amount)}{unit}"
    amount, unit = (seconds * 1000, "ms") if seconds < 1 else (seconds, "s")
    return f"{amount:.6f}".rstrip("0").rstrip(".") + unit


def write_size(size: int) -> str:
    """Format `size` in the largest binary unit that needs no fraction."""
    for unit in ("GiB", "MiB", "KiB"):
        if size and size % _BYTES[unit] == 0:
            return f"{size // _BYTES[unit]}{unit}"
    return f"{size}B"
