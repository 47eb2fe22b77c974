"""What is generated from the models: example, reference and JSON Schema; and the starting files."""

import ast
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from pydantic import BaseModel

from corsproxy.config import models
from corsproxy.config.example import SCHEMA_LINE, example_text
from corsproxy.config.inline_tests import count_tests, run_tests
from corsproxy.config.keys import fields_of, known_keys, model_in
from corsproxy.config.load import load, load_text
from corsproxy.config.models.root import Settings
from corsproxy.config.schema import json_schema, reference_text
from corsproxy.config.templates import COMPOSE, KUBERNETES, MINIMAL

ROOT: Final = Path(__file__).parents[2]


def sections(model: type[BaseModel] = Settings) -> Iterator[type[BaseModel]]:
    """Yield every section of the configuration."""
    yield model
    for field in fields_of(model).values():
        below = model_in(field.annotation)
        if below is not None:
            yield from sections(below)


def test_the_example_file_is_generated_from_the_models() -> None:
    """L9: every key is in it; `corsproxy init full > config.example.yaml` regenerates it."""
    assert (ROOT / "config.example.yaml").read_text("utf-8") == example_text()


def test_the_reference_is_generated_from_the_models() -> None:
    """`corsproxy schema --format markdown > docs/configuration.md` regenerates it."""
    assert (ROOT / "docs" / "configuration.md").read_text("utf-8") == reference_text()


def test_the_example_starts_with_the_line_for_editors() -> None:
    """L9: a yaml-language-server line."""
    assert example_text().startswith(f"{SCHEMA_LINE}\n")


def test_the_example_has_no_problem_and_its_test_passes() -> None:
    """The example is a working configuration."""
    loaded = load(ROOT / "config.example.yaml", {})
    assert loaded.problems == ()
    assert count_tests(loaded) == 1
    assert run_tests(loaded) == ()


@pytest.mark.parametrize(
    "model", sorted(set(sections()), key=str), ids=lambda model: model.__name__
)
def test_every_key_is_in_the_example_under_its_comment(model: type[BaseModel]) -> None:
    """L9: every key with one comment line."""
    lines = example_text().splitlines()
    for name, field in fields_of(model).items():
        assert field.description
        at = [
            number
            for number, line in enumerate(lines)
            if line.lstrip("#- ").startswith(f"{name}:")
            and lines[number - 1].lstrip("# ") == field.description
        ]
        assert len(at) == 1, name


@pytest.mark.parametrize(
    "model", sorted(set(sections()), key=str), ids=lambda model: model.__name__
)
def test_every_key_is_described_in_schema_and_reference(model: type[BaseModel]) -> None:
    """L9: the schema is generated from the classes that read the file, with descriptions."""
    schema = json.loads(json_schema())
    definition = schema if model is Settings else schema["$defs"][model.__name__]
    for name, field in fields_of(model).items():
        shape = definition["properties"][name]
        # A section whose own description says the same is not described twice.
        named = schema["$defs"].get(shape.get("$ref", "").rpartition("/")[2], {})
        assert {**named, **shape}["description"] == field.description
        assert f"| `{name}` |" in reference_text()
    assert definition["additionalProperties"] is False


def test_the_schema_has_no_null_and_none_of_our_keywords() -> None:
    """The language has no null; keywords for the reference are not JSON Schema."""
    text = json_schema()
    assert '"null"' not in text
    assert "x-kind" not in text
    assert "x-example" not in text
    assert json.loads(text)["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_examples_in_the_schema_are_values_not_yaml() -> None:
    """Editors offer them as they are."""
    schema: dict[str, Any] = json.loads(json_schema())
    origins = schema["$defs"]["PolicySection"]["properties"]["allow_origins"]
    assert origins["examples"][0][0] == "https://app.example.com"


@pytest.mark.parametrize("text", [MINIMAL, COMPOSE, KUBERNETES], ids=["minimal", "compose", "k8s"])
def test_every_starting_file_works(text: str) -> None:
    """R6: `init` prints a starting point that has no problem."""
    loaded = load_text(text, "config.yaml", {"CORS_ORIGINS": "https://a.example,https://b.example"})
    assert loaded.problems == ()
    assert loaded.config is not None
    assert text.startswith(SCHEMA_LINE)


def test_the_starting_files_mean_the_same_to_any_yaml_parser() -> None:
    """YAML 1.1 and 1.2 parsers agree on them."""
    for text in (MINIMAL, COMPOSE, KUBERNETES, example_text()):
        assert yaml.safe_load(text)["version"] == 1


# Defaults that have another form in `policy`, or no counterpart there.
OF_THE_LANGUAGE: Final = {
    "ServerSection.listen",
    "InlineTestSection.method",
    "RouteSection.location",
    "RouteSection.ambiguous_paths",
    "RouteSection.upgrades",
}


def is_written(default: ast.expr) -> bool:
    """Return whether a default is written in the models; None and empty lists do not count."""
    if isinstance(default, ast.List):
        return any(map(is_written, default.elts))
    if isinstance(default, ast.Constant):
        return default.value not in {None, ...}
    return isinstance(default, ast.BinOp)


def written_defaults() -> Iterator[str]:
    """Yield each key whose default is written in the models, not taken from `policy`."""
    for file in Path(models.__path__[0]).glob("*.py"):
        for section in ast.parse(file.read_text("utf-8")).body:
            if not isinstance(section, ast.ClassDef):
                continue
            for line in section.body:
                match line:
                    case ast.AnnAssign(
                        target=ast.Name(id=name),
                        value=ast.Call(func=ast.Name(id="key"), args=[default, *_]),
                    ) if is_written(default):
                        yield f"{section.name}.{name}"


def test_a_default_is_written_once() -> None:
    """L9: an absent key has one default, for the file, its schema and the code."""
    assert set(written_defaults()) == OF_THE_LANGUAGE


def test_names_chosen_by_the_user_are_not_known_keys() -> None:
    """Below `policies` and `upstreams` the user chooses the names, so none is suggested."""
    assert known_keys(("policies",)) == {}
    assert "allow_origins" in known_keys(("policies", "allow_origins"))
    assert "allow_origins" in known_keys(("routes", 0, "cors"))
