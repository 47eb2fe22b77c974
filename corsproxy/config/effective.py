"""Writes the effective configuration as YAML: defaults included, secrets masked."""

from typing import Any, Final

import yaml

from corsproxy.config.models.root import Settings
from corsproxy.config.yaml.nodes import Document, Path, Scalar

MASK: Final = "***"

# Parts of names of headers whose values are usually secret.
_SECRET_NAMES: Final = ("authorization", "cookie", "key", "password", "secret", "token")


def effective_text(settings: Settings, document: Document) -> str:
    """Return `settings` as an equivalent file, with secrets masked.

    Every value that contains an environment variable is masked, and so are the values of headers
    whose names suggest credentials.
    """
    tree = settings.model_dump(mode="json", by_alias=True, exclude_none=True)
    shown = _shown(tree, (), document)
    # Without a stream argument PyYAML returns the text.
    text: str = yaml.safe_dump(shown, sort_keys=False, allow_unicode=True, width=1000)
    return text


def _shown(value: Any, path: Path, document: Document) -> Any:  # noqa: ANN401 - a tree of JSON
    if isinstance(value, dict):
        below = {key: _shown(item, (*path, key), document) for key, item in value.items()}
        return {
            key: item
            for key, item in below.items()
            if item not in ({}, []) or document.wrote((*path, key))
        }
    if isinstance(value, list):
        return [_shown(item, (*path, index), document) for index, item in enumerate(value)]
    node = document.node(path)
    written = node if isinstance(node, Scalar) else None
    if (written and written.is_substituted) or _is_secret(path):
        return MASK
    # `$${` is kept as written, since `${` would be read as a reference.
    return written.source if written and isinstance(value, str) and "${" in value else value


def _is_secret(path: Path) -> bool:
    if len(path) != 6 or path[2] not in {"request_headers", "response_headers"}:
        return False
    name = str(path[-1]).lower()
    return path[4] in {"set", "add", "default"} and any(part in name for part in _SECRET_NAMES)
