"""Imports point one way: a module uses only modules of earlier layers."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "python" / "glimm"
CORE = ROOT / "crates" / "glimm-core" / "src"

LAYERS = [
    ["errors"],
    ["_core", "certificate", "confidence", "data"],
    ["datasets", "formula", "relations"],
    ["design", "families", "graphs", "structures", "supports", "tracing"],
    ["custom", "memory", "penalty", "restrictions", "tables"],
    ["mixed", "pedigree", "progress"],
    ["problem", "diagnose", "doors", "parts"],
    ["fit"],
    ["predict"],
    ["simulate"],
    ["inference", "suits"],
    ["model"],
    ["summary", "compare", "verify", "power", "effects"],
    ["genetics"],
    ["gee"],
    ["checks", "files"],
    ["plots"],
    ["cli"],
]
# The methods of a Fit are doors to what is computed from it; they open when called.
DOORS = {"doors", "fit"}
# Results open their pictures in the same way.
PICTURES = "plots"

CORE_LAYERS = [
    ["control", "error", "special"],
    ["integration", "link", "linalg"],
    ["family", "quadrature", "structure"],
    ["population"],
    ["pedigree", "precision"],
    ["design", "shuffle"],
    ["suffstat"],
    ["objective"],
    ["compress", "optim"],
    ["fit", "gee", "residuals", "simulate"],
]


def modules() -> Iterator[tuple[str, Path]]:
    """Each room of the package with the files in it."""
    for path in sorted(PACKAGE.rglob("*.py")):
        room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if room != "__init__":
            yield room, path


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Rooms of the package that a file imports, and whether at module level (types aside)."""
    tree = ast.parse(path.read_text())
    depth = len(path.relative_to(PACKAGE).parts)
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    top = {id(node) for node in tree.body}
    for node in ast.walk(tree):
        if id(node) in typing_only or not isinstance(node, ast.ImportFrom | ast.Import):
            continue
        for room in _rooms(node, depth):
            yield room, id(node) in top


def _rooms(node: ast.ImportFrom | ast.Import, depth: int) -> list[str]:
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif node.level == depth and node.module is None:
        names = [f"glimm.{alias.name}" for alias in node.names]
    elif node.level == depth:
        names = [f"glimm.{node.module}"]
    elif node.level:
        return []
    elif node.module == "glimm":
        names = [f"glimm.{alias.name}" for alias in node.names]
    else:
        names = [node.module or ""]
    return [name.split(".")[1] for name in names if name.startswith("glimm.")]


def layer(room: str, layers: list[list[str]]) -> int:
    """The layer of a room."""
    return next(i for i, rooms in enumerate(layers) if room in rooms)


@pytest.mark.parametrize(("room", "path"), list(modules()), ids=lambda p: getattr(p, "name", p))
def test_python_imports_point_downwards(room: str, path: Path) -> None:
    for used, at_top in imports(path):
        if used == room or (not at_top and (room in DOORS or used == PICTURES)):
            continue
        assert layer(used, LAYERS) < layer(room, LAYERS), f"{path.name} imports {used}"


def test_only_data_knows_narwhals() -> None:
    for room, path in modules():
        assert room == "data" or "narwhals" not in path.read_text(), path


def test_only_one_file_knows_formulaic() -> None:
    users = {
        path.name
        for _, path in modules()
        if re.search(r"^\s*(from|import) formulaic", path.read_text(), re.M)
    }
    assert users == {"by_formulaic.py"}


@pytest.mark.parametrize("path", sorted(CORE.rglob("*.rs")), ids=lambda p: str(p.relative_to(CORE)))
def test_core_imports_point_downwards(path: Path) -> None:
    room = path.relative_to(CORE).parts[0].removesuffix(".rs")
    if room == "lib":
        return
    text = re.sub(r"#\[cfg\(test\)\].*", "", path.read_text(), flags=re.S)
    for used in re.findall(r"\bcrate::(\w+)", text):
        if used != room:
            assert layer(used, CORE_LAYERS) < layer(room, CORE_LAYERS), f"{path.name} uses {used}"


def test_the_core_knows_no_python() -> None:
    assert "pyo3" not in (CORE.parent / "Cargo.toml").read_text()


def test_only_the_sparse_room_knows_sparse_matrices_of_faer() -> None:
    for path in CORE.rglob("*.rs"):
        if "sparse" not in path.parts:
            assert "faer::sparse" not in path.read_text(), path


def test_no_unsafe_code() -> None:
    for path in (ROOT / "crates").rglob("*.rs"):
        assert not re.search(r"\bunsafe\b", path.read_text()), path
