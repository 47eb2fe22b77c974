"""Generates the JSON Schema and the Markdown reference of the configuration from the models."""

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

One YAML file. `corsproxy check` reports every problem in it, `corsproxy init full` prints an example
with every key. The rules of the language come first, then a table of keys for each section.

## The language, rule by rule

Code and tests cite these numbers; they never change their meaning.

- **L1** The file is one YAML 1.2 document in UTF-8 (its limits: forwarding.md K1). Plain scalars follow
  the core schema: `no`, `on` and `1:30` are text, `010` is the number 10. Anchors and aliases work; tags,
  merge keys and duplicate keys are errors.
- **L2** `${NAME}` and `${NAME:-default}` inside a value are replaced by that environment variable after the
  file is parsed, so that no value can change the structure. The default also replaces an empty variable;
  a missing variable without a default is an error at its position. `$${` yields `${`, and a `$` before
  anything else is literal. In braces or brackets a reference needs quotes: `{max_body: "${LIMIT}"}`.
- **L3** An item of `allow_origins` that is exactly one `${NAME}` may contain several origins, separated by
  commas. Each is checked as if it were written in the file, and its problems are reported at that item.
- **L4** Durations are `250ms`, `10s`, `5m`, `1h`, or a number of seconds; sizes are `7B`, `8KiB`, `10MB`,
  `1GiB`, or a number of bytes. In a `timeouts` section, and for `max_body`, 0 means no limit.
- **L5** An unknown key or name is an error. If a known one is close, the error suggests it.
- **L6** Every problem is reported in one run, in the order of the file: a stable id (`E` for errors, `W` for
  warnings, and three digits), the position as `file:line:column`, counted from 1 in characters, an excerpt
  with a caret, what is wrong with which value, and what to write instead.
- **L7** `check --format` prints problems as `full` (the above), `concise`
  (`FILE:LINE:COLUMN: E012 message`), `json`, or `github` (workflow commands).
- **L8** No value that comes from the environment, and none that a rule writes into a header, appears in a
  problem. `check --print` masks values from the environment and of headers whose names suggest a secret.
- **L9** The JSON Schema, this page and config.example.yaml are made from the classes that read the file. Every
  key has a description; the example begins with a yaml-language-server line and contains every key under a
  comment of one line.
- **L10** `check` runs the `tests` of every route; a test that fails is reported as a problem.
- **L11** The values that header rules write may contain `${request.id}`, `${request.host}`,
  `${request.origin}`, `${client.address}` and `${route.name}`; any other `${…}` is an error. `$${` yields
  `${` there too. Text that comes from the environment is literal: it cannot name a variable.
- **L12** No value carries CR, LF, NUL or another control byte except tab into a header, whether it comes
  from the file, the environment or a request. A rule with such a value is an error; a variable whose value
  contains such a byte is empty.
- **L13** Header rules are `set`, `add`, `default`, `remove`, `rename` and `replace`. They are applied in
  order, each to the result of the one before; names are case-insensitive, and `find` and `with` are literal
  text. Field lines that no rule names keep their bytes and their position.
- **L14** A rule with `when` applies if all its conditions are true: `status`, `content_type` (a response
  without Content-Type matches none), `methods`, `origin`, `header`.
- **L15** `request_headers` are applied last, to everything that would be sent except Host and the framing.
  `response_headers` are applied to the upstream's response, before the CORS headers are added and `Vary` is
  merged.
- **L16** Errors: a header rule for a hop-by-hop header or Content-Length, for Host or Expect in a request,
  and, on a route with a policy, for a response header that begins with `Access-Control-`. All other names
  are allowed.
- **L17** In `when.header` and in the `name` of cookies `*` matches any characters, including none; everything
  else matches itself.
- **L18** `path` has `strip_prefix`, `add_prefix`, or both, or else `replace_prefix`, which replaces the one
  prefix in `match.path`. The upstream receives a prefix that was stripped in `X-Forwarded-Prefix`, appended
  to the one that a trusted peer sent. `public_url` is scheme and host, as clients use them.
- **L19** `trusted_proxies` lists networks without host bits, or `unix` for peers on a unix socket, which have
  no address. `trusted_headers` names the family of headers that these peers write, `forwarded` the family
  that the upstream receives; `forwarded: off` adds nothing and passes what a trusted peer sent.
- **L20** A route's `timeouts` and `max_body` replace those of its upstream and of the server key by key; a key
  that is absent is inherited. `retries.attempts: 0` disables retries.
- **L21** Certificates, keys and authorities are read when the configuration is, and a file that cannot be used
  is an error at its key. Listeners accept TLS 1.2 and 1.3. With `client_ca_file` a client must present a
  certificate that one of its authorities signed, again after five minutes at most. To an https upstream
  `server_name` is sent as SNI and compared with its certificate, unless `insecure_skip_verify` is set;
  `cert_file` and `key_file` are presented if it asks.
- **L22** `listen` and `health.listen` are `host:port`, `[address]:port` or `unix:/path`; the `url` of an upstream
  is `http://host:port`, `https://host:port` or `unix:/path`, without a path of its own.
"""


# Keywords for the reference that are not part of JSON Schema.
_NOTES: Final = ("x-kind", "x-example", "x-off")


def json_schema() -> str:
    """Return the JSON Schema of the configuration, with descriptions and examples."""
    schema = {"$schema": _DIALECT, **_public(_raw_schema()), "title": "corsproxy configuration"}
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _raw_schema() -> dict[str, Any]:
    return Settings.model_json_schema(by_alias=True)


def _public(node: Any) -> Any:  # noqa: ANN401 - a tree of JSON
    """Remove the keywords for the reference, and null, which the language does not have."""
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
        # The example of a mapping with names chosen by the user is a name, not a value of that type.
        made |= (
            {}
            if node.get("type") == "object" and isinstance(example, str)
            else {"examples": [example]}
        )
    return made


def reference_text() -> str:
    """Return the reference in Markdown: a table of keys for each section."""
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
        # An inline policy in a route has the same keys as any policy; the same goes for header rules.
        is_known = _kind(shapes[name]).startswith("`false`") or _has_items_elsewhere(field)
        if below is not None and not is_known:
            yield from _tables(below, _join(path, name, field), definitions)


def _has_items_elsewhere(field: FieldInfo) -> bool:
    """Return whether a list has an example of its items, whose keys are described elsewhere."""
    return is_listed(field.annotation) and example_of(field) is not None


def _row(name: str, field: FieldInfo, shape: dict[str, Any]) -> str:
    cells = (f"`{name}`", _kind(shape), _default(field, shape), _meaning(field))
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _kind(shape: dict[str, Any]) -> str:
    """Describe the type of a value."""
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
