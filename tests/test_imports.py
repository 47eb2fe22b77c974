"""No modules import each other in a circle, not even for types: each can be read without the next."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parent.parent


def modules(top: Path) -> dict[str, Path]:
    """Return the files of the package `corsproxy` below `top`, by module name."""
    return {
        ".".join(path.relative_to(top).with_suffix("").parts).removesuffix(".__init__"): path
        for path in (top / "corsproxy").rglob("*.py")
    }


def imports(top: Path) -> dict[str, set[str]]:
    """Return the modules of the package that each of them imports, for types and in functions too."""
    found = modules(top)
    graph: dict[str, set[str]] = {name: set() for name in found}
    for name, path in found.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.ImportFrom) or node.module not in found:
                continue
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                graph[name].add(whole if whole in found else node.module)
    return graph


def test_no_modules_import_each_other_in_a_circle() -> None:
    """The import contract orders packages; this orders the modules within them."""
    graph = imports(ROOT)
    assert sum(map(len, graph.values())) > 300, "imports are found"
    assert list(TopologicalSorter(graph).static_order())


def test_a_circle_is_found(tmp_path: Path) -> None:
    """Also if one of its imports is only for types."""
    package = tmp_path / "corsproxy"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "a.py").write_text("from corsproxy.b import B\n")
    (package / "b.py").write_text(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from corsproxy import a\n"
    )
    with pytest.raises(CycleError):
        TopologicalSorter(imports(tmp_path)).prepare()
