"""Scalars, durations, sizes and spelling: what one value means, apart from any file."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corsproxy.config.spelling import nearest
from corsproxy.config.units import read_duration, read_size, write_duration, write_size
from corsproxy.config.yaml.scalars import resolve


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("off", "off"),
        ("yes", "yes"),
        ("y", "y"),
        ("010", 10),
        ("0o10", 8),
        ("0x1F", 31),
        ("1:30", "1:30"),
        ("12:30:45", "12:30:45"),
        ("1_000", "1_000"),
        ("2001-12-14", "2001-12-14"),
        ("-12", -12),
        ("+12", 12),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("1.2.3.4", "1.2.3.4"),
        ("true", True),
        ("TRUE", True),
        ("tRUE", "tRUE"),
        ("False", False),
        ("", None),
        ("~", None),
        ("null", None),
        ("nUll", "nUll"),
        ("=", "="),
        ("<<", "<<"),
        ("9" * 19, "9" * 19),
        ("1e999", "1e999"),
    ],
)
def test_plain_scalars_are_those_of_yaml_1_2(text: str, value: object) -> None:
    """L1: `no`, `on` and `1:30` are text, `010` is 10."""
    read = resolve(text)
    assert read == value
    assert type(read) is type(value)


@given(st.text(max_size=40))
def test_any_text_is_some_scalar(text: str) -> None:
    """Resolving never raises, and what is not resolved is the text itself."""
    value = resolve(text)
    assert value is None or isinstance(value, (bool, int, float)) or value == text


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("250ms", 0.25),
        ("10s", 10.0),
        ("5m", 300.0),
        ("1h", 3600.0),
        ("1.5s", 1.5),
        ("10", 10.0),
        ("0", 0.0),
        ("-1s", -1.0),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    """L4: `250ms 10s 5m 1h`, plain numbers are seconds."""
    assert read_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["", "s", "1 s", "1d", "1S", "1m30s", "1e3", "1.s", "٣s", "10s\n", "1" * 10]
)
def test_invalid_durations(text: str) -> None:
    """Nothing but digits and one of the four units."""
    assert read_duration(text) is None


@pytest.mark.parametrize(
    ("text", "size"),
    [("8KiB", 8192), ("10MB", 10_000_000), ("1GiB", 2**30), ("7B", 7), ("7", 7), ("0", 0)],
)
def test_sizes(text: str, size: int) -> None:
    """L4: `8KiB 10MB`, plain numbers are bytes."""
    assert read_size(text) == size


@pytest.mark.parametrize("text", ["", "KiB", "8 KiB", "8kib", "8K", "-8", "1.5MB", "8KiB\n"])
def test_invalid_sizes(text: str) -> None:
    """Nothing but digits and one of the seven units."""
    assert read_size(text) is None


@given(st.integers(0, 365 * 24 * 3600 * 1000))
def test_a_formatted_duration_parses_back(milliseconds: int) -> None:
    """What `check --print` writes means the same."""
    seconds = milliseconds / 1000
    assert read_duration(write_duration(seconds)) == pytest.approx(seconds)


@given(st.integers(0, 10**12 - 1))
def test_a_formatted_size_parses_back(size: int) -> None:
    """What `check --print` writes means the same."""
    assert read_size(write_size(size)) == size


KEYS = ("allow_origins", "allow_methods", "allow_headers", "max_age", "name", "cors", "upstream")


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("allow_origin", "allow_origins"),
        ("allowOrigins", "allow_origins"),
        ("Allow-Origins", "allow_origins"),
        ("alow_orgins", "allow_origins"),
        ("allow_orgiins", "allow_origins"),
        ("maxage", "max_age"),
        ("upstraem", "upstream"),
        ("corz", "cors"),
        ("methods", None),
        ("x", None),
        ("", None),
        ("a" * 1000, None),
    ],
)
def test_a_wrong_word_suggests_the_one_that_was_meant(word: str, meant: str | None) -> None:
    """L5: for an unknown name, a similar one is suggested."""
    assert nearest(word, KEYS) == meant


@pytest.mark.parametrize(("length", "is_found"), [(64, True), (65, False)])
def test_a_word_beyond_64_letters_is_not_compared(length: int, *, is_found: bool) -> None:
    """K1: comparing two words costs the product of their lengths."""
    known = "a" * (length - 1) + "b"
    assert (nearest("a" * length, [known]) == known) == is_found
