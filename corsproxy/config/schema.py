"""Writes the language as JSON Schema and as a reference in Markdown, both from the models."""

import json
from collections.abc import Iterator
from typing import Any, Final

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from corsproxy.config.example import example_of
from corsproxy.config.keys import fields_of, is_listed, is_named, model_in
from corsproxy.config.models.root import Settings
from corsproxy.config.units import write_duration, write_size

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

_HEAD: Final = """# Configuration

<!-- Made by `corsproxy schema --format markdown`; edit the models in corsproxy/config/models. -->

One YAML file (YAML 1.2, UTF-8, at most 1 MiB). `corsproxy check` tells all that is wrong with it,
`corsproxy init full` prints an example with every key.

- **Durations** are `250ms`, `10s`, `5m`, `1h`, or a number of seconds; **sizes** are `8KiB`, `10MB`,
  or a number of bytes.
- **Environment**: `${NAME}` and `${NAME:-default}` inside a value, replaced after the file was parsed,
  so that no value can change its structure; a missing variable is an error. `$${` stands for `${`.
  An item of `allow_origins` that is exactly one `${NAME}` may hold several origins, separated by
  commas. In braces or brackets a reference needs quotes: `{max_body: "${LIMIT}"}`.
- **Header values** of rules may hold `${request.id}`, `${request.host}`, `${request.origin}`,
  `${client.address}` and `${route.name}`.
- Anchors and aliases work; tags, merge keys and duplicate keys are refused.
"""


# Notes for the reference, which are not JSON Schema.
_NOTES: Final = ("x-kind", "x-example", "x-off")


def json_schema() -> str:
    """Return the JSON Schema of the language; each key has its description, most an example."""
    schema = {"$schema": _DIALECT, **_public(_raw_schema()), "title": "corsproxy configuration"}
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _raw_schema() -> dict[str, Any]:
    return Settings.model_json_schema(by_alias=True)


def _public(node: Any) -> Any:  # noqa: ANN401 - a tree of JSON
    """Leave out what is for the docs, and null: the language has no null."""
    if isinstance(node, list):
        return [_public(item) for item in node if item != {"type": "null"}]
    if not isinstance(node, dict):
        return node
    made = {
        name: _public(item)
        for name, item in node.items()
        if name not in _NOTES and not (name == "title" and isinstance(item, str))
    }
    if made.get("default", 0) is None:
        del made["default"]
    if len(made.get("anyOf", ())) == 1:
        made |= made.pop("anyOf")[0]
    if isinstance(node.get("x-example"), str):
        example = yaml.safe_load(node["x-example"])
        # The example of what users name themselves is such a name, and so no value.
        made |= (
            {}
            if node.get("type") == "object" and isinstance(example, str)
            else {"examples": [example]}
        )
    return made


def reference_text() -> str:
    """Return all keys in tables, one for each section, as Markdown."""
    definitions = _raw_schema()
    definitions["$defs"][Settings.__name__] = definitions
    return _HEAD + "".join(f"{line}\n" for line in _tables(Settings, "", definitions["$defs"]))


def _tables(model: type[BaseModel], path: str, definitions: dict[str, Any]) -> Iterator[str]:
    yield f"\n## `{path}`\n" if path else "\n## The top of the file\n"
    yield from ("| key | value | default | meaning |", "|---|---|---|---|")
    shapes = definitions[model.__name__]["properties"]
    for name, field in fields_of(model).items():
        yield _row(name, field, shapes[name])
    for name, field in fields_of(model).items():
        below = model_in(field.annotation)
        # A policy inside of a route has the keys that a policy has anywhere, and so have rules.
        is_known = _kind(shapes[name]).startswith("`false`") or _has_items_elsewhere(field)
        if below is not None and not is_known:
            yield from _tables(below, _join(path, name, field), definitions)


def _has_items_elsewhere(field: FieldInfo) -> bool:
    """Return whether a list shows an example of its items, whose keys are described elsewhere."""
    return is_listed(field.annotation) and example_of(field) is not None


def _row(name: str, field: FieldInfo, shape: dict[str, Any]) -> str:
    cells = (f"`{name}`", _kind(shape), _default(field, shape), _meaning(field))
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _kind(shape: dict[str, Any]) -> str:
    """Say in words what a value looks like."""
    if "x-kind" in shape:
        return str(shape["x-kind"])
    if "enum" in shape or "const" in shape:
        return ", ".join(f"`{choice}`" for choice in shape.get("enum", [shape.get("const")]))
    if shape.get("type") == "array":
        items = _kind(shape["items"])
        return "list of sections" if items == "section" else f"list of {items}"
    branches = shape.get("anyOf") or shape.get("oneOf")
    if branches:
        kinds = [_kind(branch) for branch in branches if branch != {"type": "null"}]
        return " or ".join(dict.fromkeys(kinds))
    if isinstance(shape.get("additionalProperties"), dict):
        return f"names, each with a {_kind(shape['additionalProperties'])}"
    return "section"


def _default(field: FieldInfo, shape: dict[str, Any]) -> str:
    default = field.default
    if field.is_required():
        return "required"
    if field.default_factory is not None or default is None or default in ([], {}):
        return ""
    kind = _kind(shape)
    if kind == "duration":
        return f"`{write_duration(default)}`"
    if kind == "size":
        return f"`{write_size(default)}`"
    if isinstance(default, list):
        return f"`[{', '.join(default)}]`"
    return f"`{default if isinstance(default, str) else json.dumps(default)}`"


def _meaning(field: FieldInfo) -> str:
    example = example_of(field)
    text = field.description or ""
    is_section = model_in(field.annotation) is not None and not _has_items_elsewhere(field)
    return text if example is None or is_section else f"{text} `{example}`"


def _join(path: str, name: str, field: FieldInfo) -> str:
    here = f"{path}.{name}" if path else name
    if is_named(field.annotation):
        return f"{here}.NAME"
    return f"{here}[]" if is_listed(field.annotation) else here
