"""Generates the example file from the models: every key with its description and a value."""

import json
from collections.abc import Iterator
from typing import Any, Final

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from corsproxy.config.keys import fields_of, is_listed, is_named, model_in
from corsproxy.config.models.root import Settings

SCHEMA_LINE: Final = "# yaml-language-server: $schema=config.schema.json"

_HEAD: Final = f"""{SCHEMA_LINE}
# Every key, with an example or its default. An absent key has its default; keys that are commented
# out here are off by default. `corsproxy schema > config.schema.json` makes the schema for editors.
"""


def example_text() -> str:
    """Return a complete configuration file that contains every key once, each under its description."""
    return "\n".join([_HEAD, *_section(Settings, 0)]) + "\n"


def _section(model: type[BaseModel], depth: int) -> Iterator[str]:
    for name, field in fields_of(model).items():
        if depth == 0 and name != "version":
            yield ""
        yield from _key(name, field, depth)


def _key(name: str, field: FieldInfo, depth: int) -> Iterator[str]:
    indent = "  " * depth
    yield f"{indent}# {field.description}"
    example = example_of(field)
    model = model_in(field.annotation)
    if is_off(field):
        yield f"{indent}# {name}:" + (f" {example}" if example else "")
        if model:
            yield from (f"{indent}# {line[len(indent) :]}" for line in _section(model, depth + 1))
    elif is_named(field.annotation) and model:
        yield f"{indent}{name}:"
        yield f"{indent}  {example}:"
        yield from _section(model, depth + 2)
    elif is_listed(field.annotation) and model and example is None:
        yield f"{indent}{name}:"
        yield from _items(model, depth + 1)
    elif model and example is None:
        yield f"{indent}{name}:"
        yield from _section(model, depth + 1)
    else:
        yield f"{indent}{name}: {_default(field) if example is None else example}"


def _items(model: type[BaseModel], depth: int) -> Iterator[str]:
    """Yield one item with all keys; of keys that exclude each other, one item for each."""
    fields = fields_of(model)
    alternatives: tuple[str, ...] = getattr(model, "alternatives", ())
    for name in alternatives:
        yield from _item(list(_key(name, fields[name], depth + 1)), depth)
    rest = [
        line
        for name, field in fields.items()
        if name not in alternatives
        for line in _key(name, field, depth + 1)
    ]
    if alternatives:
        # Conditions alone are not a valid rule, so the first operation is added to them.
        rest.append(list(_key(alternatives[0], fields[alternatives[0]], depth + 1))[1])
    yield from _item(rest, depth)


def _item(lines: list[str], depth: int) -> Iterator[str]:
    """Put the dash before the first key, and its description above."""
    indent = "  " * depth
    comment, first, *others = lines
    yield indent + comment.lstrip()
    yield f"{indent}- {first.lstrip()}"
    yield from others


def is_off(field: FieldInfo) -> bool:
    """Return whether a key is commented out: it is off by default, or excludes other keys."""
    extra = field.json_schema_extra
    return isinstance(extra, dict) and "x-off" in extra


def example_of(field: FieldInfo) -> str | None:
    """Return the declared example of a key, None if it has none."""
    extra = field.json_schema_extra
    return str(extra["x-example"]) if isinstance(extra, dict) and "x-example" in extra else None


def _default(field: FieldInfo) -> str:
    value: Any = field.default
    return str(value) if isinstance(value, str) else json.dumps(value)
