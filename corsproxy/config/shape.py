"""From the tree of a file to `Settings`, and pydantic's complaints in words. Knows no policy.

What is wrong is left out and the rest is read again, so that one run tells all that is wrong: an
unknown key goes alone, a wrong value takes its policy, upstream or route along.
"""

import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from pydantic import ValidationError

from corsproxy.config.keys import known_keys
from corsproxy.config.models.root import Settings
from corsproxy.config.models.types import BRANCHES
from corsproxy.config.nodes import Document, Entries, Items, Leaf, Node, Path, to_tree
from corsproxy.config.problems import Problem, problem
from corsproxy.config.scalars import scalar
from corsproxy.config.spelling import nearest

# More than any file of good faith has; each round only takes time.
_MOST_ROUNDS: Final = 8
MOST_PROBLEMS: Final = 200

# pydantic's own names of faults -> slugs of the catalogue.
_KINDS: Final = {
    "list_type": "not_a_list",
    "dict_type": "not_a_section",
    "model_type": "not_a_section",
    "model_attributes_type": "not_a_section",
    "literal_error": "not_a_choice",
    "enum": "not_a_choice",
}


class Shaped(NamedTuple):
    """What could be read: the settings without their faulty parts, None if nothing is left.

    `routes` holds, for each route of the settings, its index in the file.
    """

    settings: Settings | None
    routes: tuple[int, ...]
    problems: list[Problem]


def shape(document: Document) -> Shaped:
    """Read `document` as `Settings`."""
    tree: Any = to_tree(document.root)
    count = len(tree["routes"]) if isinstance(tree.get("routes"), list) else 0
    kept = list(range(count))
    problems = list(_empty(document, tree, ()))
    for round_ in range(_MOST_ROUNDS):
        try:
            return Shaped(Settings.model_validate(tree), tuple(kept), problems)
        except ValidationError as error:
            faults = error.errors(include_url=False, include_input=False)
        if round_ == 0:
            problems += _tell(document, faults)
        for path in _victims(faults):
            _leave_out(tree, path, kept)
    return Shaped(None, (), problems)


def _empty(document: Document, tree: Any, path: Path) -> Iterator[Problem]:  # noqa: ANN401
    """Take the keys without a value out of `tree` and report them: the language has no null."""
    for key, value in list(tree.items()) if isinstance(tree, dict) else enumerate(tree):
        at = (*path, key)
        if value is None and isinstance(tree, dict):
            del tree[key]
            span = document.key_span(at)
            yield problem("empty_value", document.at(span), span.width, key=key)
        elif isinstance(value, (dict, list)):
            yield from _empty(document, value, at)


def _tell(document: Document, faults: Any) -> Iterator[Problem]:  # noqa: ANN401 - pydantic's own
    """Translate pydantic's errors; a key that is only misspelt is not missing too."""
    meant = {
        (*path[:-1], nearest(str(path[-1]), known_keys(path[:-1])))
        for fault in faults
        if fault["type"] == "extra_forbidden"
        for path in [_path(fault)]
    }
    told = [
        fault
        for fault in faults
        if _path(fault) not in meant
        and not (fault["type"] == "missing" and document.wrote(_path(fault)))
    ]
    for fault in told[:MOST_PROBLEMS]:
        yield _translate(document, fault["type"], _path(fault), fault.get("ctx", {}))
    if len(told) > MOST_PROBLEMS:
        place = document.place(_path(told[MOST_PROBLEMS]))
        yield problem("problems_left_out", place, count=len(told) - MOST_PROBLEMS)


def _path(fault: Any) -> Path:  # noqa: ANN401
    """Return where a fault is, without the branches of unions and the marks of keys."""
    return tuple(part for part in fault["loc"] if part not in BRANCHES)


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
    if isinstance(node, Leaf) and node.value is None:
        return problem("empty_value", document.at(node.span), key=key)
    values = {"key": key, "found": describe(node), "choices": _choices(context), **context}
    slug = _KINDS.get(kind, kind)
    if isinstance(node, Leaf) and slug in {
        "out_of_range",
        "duration_out_of_range",
        "not_a_choice",
        "version_unknown",
    }:
        values["found"] = node.source
    return problem(slug, document.at(node.span), node.span.width, **values)


def _unknown(document: Document, path: Path) -> Problem:
    """Name the key that was meant, or where the key belongs, or which keys there are."""
    span = document.key_span(path)
    key = str(path[-1])
    known = known_keys(path[:-1])
    meant = nearest(key, known)
    if meant:
        advice = f"did you mean {meant}"
    elif home := _home(key):
        advice = f"{key} belongs to {home}"
    else:
        advice = f"keys here are {', '.join(known)}"
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
    ("upstreams", "*", "timeouts"),
    ("upstreams", "*", "pool"),
    (),
)


def _home(key: str) -> str | None:
    """Return in words where `key` would be known, or None."""
    for path in _HOMES:
        if key in known_keys(path):
            return _where((*path, key)).removeprefix("in ")
    return None


def _where(path: Path) -> str:
    """Return in words what holds the last part of `path`."""
    keys = [part for part in path[:-1] if isinstance(part, str)]
    if not keys:
        return "at the top of the file"
    owner = _OWNERS.get(keys[0])
    if owner is None:
        return f"in {'.'.join(keys)}"
    inner = ".".join(keys[1:] if keys[0] == "routes" else keys[2:])
    return f"in {inner} of {owner}" if inner else f"in {owner}"


def _key_name(path: Path) -> str:
    """Return the nearest key of `path`, an item of a list by the list's name."""
    if path and isinstance(path[-1], int):
        return f"an item of {_key_name(path[:-1])}"
    return str(path[-1]) if path else "the file"


def describe(node: Node) -> str:
    """Return in words what stands at `node`, never a value of the environment."""
    if isinstance(node, Items):
        return "a list"
    if isinstance(node, Entries):
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


def _victims(faults: Any) -> list[Path]:  # noqa: ANN401
    """Return what has to be left out because of `faults`, last first, nothing inside another."""
    found = {_victim(_path(fault), fault["type"]) for fault in faults}
    outer = [path for path in found if not any(path[:size] in found for size in range(len(path)))]
    return sorted(outer, key=_order, reverse=True)


def _order(path: Path) -> tuple[int, ...]:
    return tuple(part if isinstance(part, int) else 0 for part in path)


def _victim(path: Path, kind: str) -> Path:
    """Return the key whose default does no harm, or what holds it where there is no default."""
    if kind == "extra_forbidden":
        # A rule without its misspelt operation says something else: the whole list goes.
        return path[:3] if path[0] == "routes" else path
    if path[0] not in _OWNERS:
        return path[:2]
    # A route without its match would take every request, and tie with others.
    is_match = path[0] == "routes" and path[2:3] == ("match",)
    return path[:2] if is_match or (kind == "missing" and len(path) == 3) else path[:3]


def _leave_out(tree: Any, path: Path, kept: list[int]) -> None:  # noqa: ANN401
    """Remove what stands at `path`; what has to be there is put in as small as can be."""
    holder: Any = tree
    for part in path[:-1]:
        holder = holder[part]
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
