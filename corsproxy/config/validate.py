"""Validates the tree of a file as `Settings` and translates the errors of pydantic.

Invalid parts are removed and the rest is validated again, so that one run reports all problems: an
unknown key is removed alone, an invalid value together with its policy, upstream or route.
"""

import re
from typing import Any, Final, NamedTuple

from pydantic import ValidationError

from corsproxy.config.keys import known_keys
from corsproxy.config.models.root import Settings
from corsproxy.config.models.types import BRANCHES
from corsproxy.config.problems.found import Found, problem
from corsproxy.config.spelling import nearest
from corsproxy.config.yaml.nodes import Document, Mapping, Node, Path, Scalar, Sequence, to_tree
from corsproxy.config.yaml.scalars import scalar
from corsproxy.policy.problems import Problem

# More rounds than any real file needs.
_MOST_ROUNDS: Final = 8

# Types of pydantic errors -> slugs of our kinds of problems.
_KINDS: Final = {
    "list_type": "not_a_list",
    "dict_type": "not_a_section",
    "model_type": "not_a_section",
    "model_attributes_type": "not_a_section",
    "literal_error": "not_a_choice",
    "enum": "not_a_choice",
}

# Their messages show the value itself, without its type.
_SHOWN_PLAIN: Final = {
    "out_of_range",
    "duration_out_of_range",
    "not_whole_seconds",
    "not_a_choice",
    "version_unknown",
}


class Validated(NamedTuple):
    """The settings without the invalid parts of the file.

    `routes` contains the index in the file of each route in `settings`.
    """

    settings: Settings
    routes: tuple[int, ...]


def validate(document: Document, found: Found) -> Validated | None:
    """Validate `document` as `Settings`; add problems to `found`, return None if nothing valid is left."""
    tree: Any = to_tree(document.root)
    _remove_empty(document, tree, (), found)
    count = len(tree["routes"]) if isinstance(tree.get("routes"), list) else 0
    kept = list(range(count))
    for round_ in range(_MOST_ROUNDS):
        try:
            return Validated(Settings.model_validate(tree), tuple(kept))
        except ValidationError as error:
            faults = error.errors(include_url=False, include_input=False)
        if round_ == 0:
            _report(document, faults, found)
        for path in _parts_to_remove(document, faults):
            _remove(tree, path, kept)
    return None


def _remove_empty(document: Document, tree: Any, path: Path, found: Found) -> None:  # noqa: ANN401
    """Remove keys without a value from `tree` and report them: the language has no null."""
    for key, value in list(tree.items()) if isinstance(tree, dict) else enumerate(tree):
        at = (*path, key)
        if value is None and isinstance(tree, dict):
            del tree[key]
            span = document.key_span(at)
            found.add(problem("empty_value", document.at(span), span.width, key=key))
        elif isinstance(value, (dict, list)):
            _remove_empty(document, value, at, found)


def _report(document: Document, faults: Any, found: Found) -> None:  # noqa: ANN401 - pydantic's own
    """Translate pydantic's errors; an empty or misspelt key is not reported as missing as well."""
    misspelt: set[Path] = set()
    missing: list[Path] = []
    for fault in faults:
        path = _path(document, fault)
        if fault["type"] == "missing":
            missing.append(path)
            continue
        found.add(_translate(document, fault["type"], path, fault.get("ctx", {})))
        if fault["type"] == "extra_forbidden":
            meant = nearest(str(path[-1]), known_keys(path[:-1]))
            misspelt.add((*path[:-1], meant or ""))
    for path in missing:
        if path not in misspelt and not document.wrote(path):
            found.add(_translate(document, "missing", path, {}))


def _path(document: Document, fault: Any) -> Path:  # noqa: ANN401
    """Return the path of a fault, without the union branches that pydantic adds to it."""
    path: list[str | int] = []
    for part in fault["loc"]:
        if part not in BRANCHES or document.wrote((*path, part)):
            path.append(part)
    return tuple(path)


def _translate(document: Document, kind: str, path: Path, context: Any) -> Problem:  # noqa: ANN401
    node = document.node(path)
    key = _key_name(path)
    if kind == "extra_forbidden":
        return _unknown(document, path)
    if kind == "missing":
        span = document.key_span(path[:-1]) if len(path) > 1 else document.root.span
        field = known_keys(path[:-1])[str(path[-1])]
        values = {"key": key, "where": _where(path), "description": _lower(field.description or "")}
        return problem("missing_key", document.at(span), span.width, **values)
    if isinstance(node, Scalar) and node.value is None:
        return problem("empty_value", document.at(node.span), key=key)
    values = {"key": key, "found": describe(node), "choices": _choices(context), **context}
    slug = _KINDS.get(kind, kind)
    if isinstance(node, Scalar) and slug in _SHOWN_PLAIN:
        values["found"] = node.source
    return problem(slug, document.at(node.span), node.span.width, **values)


def _unknown(document: Document, path: Path) -> Problem:
    """Report an unknown key; suggest the similar key, or the section it belongs to, or list the keys."""
    span = document.key_span(path)
    key = str(path[-1])
    known = known_keys(path[:-1])
    meant = nearest(key, known)
    if meant:
        advice = f"did you mean {meant}?"
    elif home := _home(key):
        advice = f"{key} belongs to {home}"
    else:
        advice = f"known keys are {', '.join(known)}"
    return problem(
        "unknown_key",
        document.at(span),
        span.width,
        key=key,
        where=_where(path),
        advice=advice,
    )


_OWNERS: Final = {"policies": "a policy", "upstreams": "an upstream", "routes": "a route"}

_HOMES: Final[tuple[Path, ...]] = (
    ("policies", "*"),
    ("upstreams", "*"),
    ("routes", 0),
    ("server",),
    ("server", "limits"),
    ("server", "timeouts"),
    ("server", "tls"),
    ("upstreams", "*", "timeouts"),
    ("upstreams", "*", "pool"),
    ("upstreams", "*", "tls"),
    ("upstreams", "*", "circuit_breaker"),
    (),
)


def _home(key: str) -> str | None:
    """Describe the section that has the key `key`; None if none has."""
    for path in _HOMES:
        if key in known_keys(path):
            return _where((*path, key)).removeprefix("in ")
    return None


def _where(path: Path) -> str:
    """Describe the section that contains the last part of `path`."""
    keys = [part for part in path[:-1] if isinstance(part, str)]
    if not keys:
        return "at the top of the file"
    owner = _OWNERS.get(keys[0])
    if owner is None:
        return f"in {'.'.join(keys)}"
    inner = ".".join(keys[1:] if keys[0] == "routes" else keys[2:])
    return f"in {inner} of {owner}" if inner else f"in {owner}"


def _key_name(path: Path) -> str:
    """Return the last key of `path`; an item of a list is described by the key of the list."""
    if path and isinstance(path[-1], int):
        return f"an item of {_key_name(path[:-1])}"
    return str(path[-1]) if path else "the file"


def describe(node: Node) -> str:
    """Describe the type or value of `node`, without any value of the environment."""
    if isinstance(node, Sequence):
        return "a list"
    if isinstance(node, Mapping):
        return "a mapping"
    if node.value is None:
        return "nothing"
    if node.plain and isinstance(node.value, (bool, int, float)):
        return node.source
    return f'the text "{node.source}"'


def _choices(context: Any) -> str:  # noqa: ANN401
    words = re.findall(r"'([^']*)'", str(context.get("expected", "")))
    return " or ".join((", ".join(words[:-1]), words[-1])) if len(words) > 1 else "".join(words)


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:].rstrip(".")


def _parts_to_remove(document: Document, faults: Any) -> list[Path]:  # noqa: ANN401
    """Return the parts to remove because of `faults`, last first; none is inside another."""
    found = {_part_to_remove(_path(document, fault), fault["type"]) for fault in faults}
    outer = [path for path in found if not any(path[:size] in found for size in range(len(path)))]
    return sorted(outer, key=_order, reverse=True)


def _order(path: Path) -> tuple[int, ...]:
    return tuple(part if isinstance(part, int) else 0 for part in path)


def _part_to_remove(path: Path, kind: str) -> Path:
    """Return the part to remove for a fault: the key if its default is harmless, else its section."""
    if kind == "extra_forbidden":
        # A rule without its misspelt operation would mean something else, so the whole list is removed.
        return path[:3] if path[0] == "routes" else path
    if path[0] not in _OWNERS:
        return path[:2]
    # A route without its `match` would match every request and tie with others.
    is_match = path[0] == "routes" and path[2:3] == ("match",)
    return path[:2] if is_match or (kind == "missing" and len(path) == 3) else path[:3]


def _remove(tree: Any, path: Path, kept: list[int]) -> None:  # noqa: ANN401
    """Remove the value at `path`; replace a required one by a minimal valid value."""
    holder: Any = tree
    for part in path[:-1]:
        holder = holder[part]  # exists, since pydantic reported it
    if path == ("version",):
        tree["version"] = scalar("1", 1)
    elif path == ("routes",):
        tree["routes"] = []
        kept.clear()
    elif isinstance(holder, list):
        index = int(path[-1])
        del holder[index], kept[index]
    elif isinstance(holder, dict):
        holder.pop(path[-1], None)
