"""Defines the types of values, and functions to declare keys.

Validators raise `PydanticCustomError` with the slug of a kind of problem.
"""

from collections.abc import Callable
from dataclasses import fields
from typing import Annotated, Any, Final, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    WithJsonSchema,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import PydanticCustomError

from corsproxy.config.units import (
    DURATION_PATTERN,
    SIZE_PATTERN,
    read_duration,
    read_size,
    write_duration,
    write_size,
)
from corsproxy.config.yaml.scalars import PlainScalar

# Any value may be a variable reference, which the schema has to accept.
_REFERENCE: Final = {"type": "string", "pattern": r"^\$\{[^{}]+\}$"}

# The tags of union branches, as they appear in the paths of pydantic errors.
BRANCHES: Final = frozenset({"<off>", "<policy>", "<name>", "<same>", "<list>"})

_LONGEST_DURATION: Final = 365 * 24 * 3600.0

MOST_WORKERS: Final = 256


class Section(BaseModel):
    """A mapping in the file; immutable, unknown keys are errors."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        alias_generator=lambda name: name.rstrip("_"),  # `with` is a Python keyword
    )


def key(default: Any, description: str, example: str | None = None) -> Any:  # noqa: ANN401
    """Declare a key: its default (`...` if required), description and example in YAML.

    `example` is needed if the default is not a good example; for sections that the user names it is
    such a name. Schema, reference and example file are generated from these declarations.
    """
    if example is None:
        return Field(default, description=description)
    return Field(default, description=description, json_schema_extra={"x-example": example})


def default_of(compiled: type, name: str) -> Any:  # noqa: ANN401 - fields are of any type
    """Return the default of a field of the compiled type, so that each default is written once."""
    return {field.name: field.default for field in fields(compiled)}[name]


def other_key(description: str, example: str) -> Any:  # noqa: ANN401
    """Declare a key that excludes others; it is commented out in the example file."""
    return Field(
        None,
        description=description,
        json_schema_extra={"x-example": example, "x-off": True},
    )


def section(model: type[BaseModel], description: str) -> Any:  # noqa: ANN401
    """Declare a nested section, all of whose keys have defaults."""
    return Field(default_factory=model, description=description)


def optional_section(description: str) -> Any:  # noqa: ANN401
    """Declare a nested section that is off by default; it is commented out in the example file."""
    return Field(None, description=description, json_schema_extra={"x-off": True})


def _text(value: object) -> str:
    if isinstance(value, str):
        return str(value)
    raise PydanticCustomError("not_a_text", "not a text")


def _flag(value: object) -> bool:
    if isinstance(value, PlainScalar) and isinstance(value.value, bool):
        return value.value
    raise PydanticCustomError("not_a_flag", "not a flag")


def whole_number(minimum: int, maximum: int) -> Callable[[object], int]:
    """Return a validator of whole numbers from `minimum` to `maximum`."""

    def read(value: object) -> int:
        number = value.value if isinstance(value, PlainScalar) else None
        if isinstance(number, bool) or not isinstance(number, int):
            raise PydanticCustomError("not_a_number", "not a number")
        if not minimum <= number <= maximum:
            context = {"minimum": minimum, "maximum": maximum}
            raise PydanticCustomError("out_of_range", "out of range", context)
        return number

    return read


def _workers(value: object) -> int | str:
    number = value.value if isinstance(value, PlainScalar) else None
    if value == "auto":
        return "auto"
    if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= MOST_WORKERS:
        context = {"choices": f"a number from 1 to {MOST_WORKERS}, or auto"}
        raise PydanticCustomError("not_a_choice", "no number of workers", context)
    return number


def _duration(value: object) -> float:
    seconds = read_duration(value) if isinstance(value, str) else None
    if seconds is None:
        raise PydanticCustomError("not_a_duration", "not a duration")
    if not 0 <= seconds <= _LONGEST_DURATION:
        raise PydanticCustomError("duration_out_of_range", "out of range")
    return seconds


def _whole_seconds(value: object) -> int:
    """Parse a duration in whole seconds; its range is checked with the policy (cors.md 29)."""
    seconds = read_duration(value) if isinstance(value, str) else None
    if seconds is None:
        raise PydanticCustomError("not_a_duration", "not a duration")
    if seconds != int(seconds):
        raise PydanticCustomError("not_whole_seconds", "not whole seconds")
    return int(seconds)


def _size(value: object) -> int:
    size = read_size(value) if isinstance(value, str) else None
    if size is None:
        raise PydanticCustomError("not_a_size", "not a size")
    return size


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _open(kind: str, *shapes: JsonSchemaValue) -> JsonSchemaValue:
    """Return the schema of a value or a variable reference; `kind` describes it in the reference."""
    return {"x-kind": kind, "anyOf": [*shapes, _REFERENCE]}


def _number(minimum: int, maximum: int) -> JsonSchemaValue:
    shape = {"type": "integer", "minimum": minimum, "maximum": maximum}
    return _open(f"{minimum} to {maximum}", shape)


_NUMBER: Final = {"type": "number", "minimum": 0}
_DURATION: Final = _open(
    "duration", {"type": "string", "pattern": f"^{DURATION_PATTERN}$"}, _NUMBER
)
_SIZE: Final = _open(
    "size",
    {"type": "string", "pattern": f"^{SIZE_PATTERN}$"},
    {"type": "integer", "minimum": 0},
)
_TEXT: Final = {"x-kind": "text", "type": "string", "minLength": 1}
_SCALAR: Final = {"x-kind": "text", "type": ["string", "number", "boolean"]}

Text = Annotated[str, PlainValidator(_text), WithJsonSchema(_TEXT)]
HeaderValue = Annotated[str, PlainValidator(_text), WithJsonSchema(_SCALAR)]
Flag = Annotated[
    bool,
    PlainValidator(_flag),
    WithJsonSchema(_open("`true` or `false`", {"type": "boolean"})),
]
Count = Annotated[
    int,
    PlainValidator(whole_number(0, 1_000_000)),
    WithJsonSchema(_number(0, 1_000_000)),
]
Positive = Annotated[
    int,
    PlainValidator(whole_number(1, 1_000_000)),
    WithJsonSchema(_number(1, 1_000_000)),
]
Workers = Annotated[
    int | Literal["auto"],
    PlainValidator(_workers),
    WithJsonSchema(
        _open(
            f"1 to {MOST_WORKERS}, or `auto`",
            {"type": "integer", "minimum": 1, "maximum": MOST_WORKERS},
            {"const": "auto"},
        ),
    ),
]
NoneOrOne = Annotated[int, PlainValidator(whole_number(0, 1)), WithJsonSchema(_number(0, 1))]
Status = Annotated[
    int,
    PlainValidator(whole_number(200, 499)),
    WithJsonSchema(_number(200, 499)),
]
Seconds = Annotated[
    float,
    PlainValidator(_duration),
    PlainSerializer(write_duration),
    WithJsonSchema(_DURATION),
]
WholeSeconds = Annotated[
    int,
    PlainValidator(_whole_seconds),
    PlainSerializer(write_duration),
    WithJsonSchema(_DURATION),
]
Bytes = Annotated[
    int,
    PlainValidator(_size),
    PlainSerializer(write_size),
    WithJsonSchema(_SIZE),
]
OneOrMany = Annotated[
    list[Text],
    BeforeValidator(_listed),
    WithJsonSchema(
        {
            "x-kind": "text, or a list of them",
            "anyOf": [_SCALAR, {"type": "array", "items": _SCALAR}],
        },
    ),
]
