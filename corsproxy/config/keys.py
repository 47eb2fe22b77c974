"""Looks up in the models which keys a section may contain."""

from collections.abc import Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from corsproxy.config.models.root import Settings


def known_keys(path: Sequence[str | int]) -> Mapping[str, FieldInfo]:
    """Return the keys that the section at `path` may contain; none if the user chooses the names."""
    model: type[BaseModel] | None = Settings
    skip_name = False
    for part in path:
        if skip_name or isinstance(part, int):
            skip_name = False
            continue
        field = fields_of(model).get(part) if model else None
        model = model_in(field.annotation) if field else None
        skip_name = field is not None and is_named(field.annotation)
    return {} if model is None or skip_name else fields_of(model)


def fields_of(model: type[BaseModel]) -> Mapping[str, FieldInfo]:
    """Return the keys of one section, as they are written in the file."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def model_in(annotation: Any) -> type[BaseModel] | None:  # noqa: ANN401 - types are of any kind
    """Return the section in `annotation`, alone, in a list, in a mapping or in a union; None if none."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(model_in, get_args(annotation))), None)


def is_named(annotation: Any) -> bool:  # noqa: ANN401
    """Return whether `annotation` is a mapping whose keys are names chosen by the user."""
    return getattr(annotation, "__origin__", None) is dict


def is_listed(annotation: Any) -> bool:  # noqa: ANN401
    """Return whether `annotation` is a list."""
    return getattr(annotation, "__origin__", None) is list
