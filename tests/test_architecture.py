"""The arrow of imports: cli -> runner/report -> plan -> suite/registry -> types."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# Each layer may import the layers below it, never those above.
LAYERS = [
    {"cli", "__main__", "api"},
    {"runner", "cache", "listing", "verify"},
    {"executors", "execute", "breakdown", "progress", "report"},
    {"evaluate", "plan", "predictions", "pictures", "provenance", "events", "cost"},
    {"suite", "suite_expand", "suite_override", "suite_yaml", "suite_errors"},
    {"plugins"},
    {"keys", "code", "records"},
    {"training"},
    {"encoders", "data", "protocols", "metrics"},
    {"method", "hookspecs"},
    {"paths", "store", "statistics"},
    {"types", "errors", "contrib"},
]
RANK = {name: rank for rank, layer in enumerate(LAYERS) for name in layer}


def modules() -> list[Path]:
    return sorted((ROOT / "bench").rglob("*.py"))


def layer(path: Path) -> str:
    part = path.relative_to(ROOT / "bench").parts[0]
    return part.removesuffix(".py")


def imports(path: Path) -> set[str]:
    """Dotted names imported anywhere in a file but under `if TYPE_CHECKING`."""
    found: set[str] = set()

    def visit(node: ast.AST) -> None:
        children: list[ast.AST] = list(ast.iter_child_nodes(node))
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            children = list(node.orelse)
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
        for child in children:
            visit(child)

    visit(ast.parse(path.read_text(encoding="utf-8")))
    return found


def test_every_module_has_a_layer() -> None:
    names = {layer(path) for path in modules()} - {"__init__"}
    assert names == set(RANK)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_downwards(path: Path) -> None:
    own = layer(path)
    if own == "__init__":
        return
    used = {name.split(".")[1] for name in imports(path) if name.startswith("bench.")}
    upwards = {name for name in used if RANK.get(name, RANK[own]) < RANK[own]}
    assert upwards == set()


def test_bench_imports_no_plugin() -> None:
    plugins = [name for path in modules() for name in imports(path) if "bench.contrib." in name]
    assert set(plugins) <= {"bench.contrib.source_tree", "bench.contrib.PROJECT_NAME"}


def test_plugins_never_import_one_another() -> None:
    for path in sorted((ROOT / "plugins").rglob("*.py")):
        own = path.relative_to(ROOT / "plugins").parts[0].removesuffix(".py")
        others = {
            name.split(".")[2] for name in imports(path) if name.startswith("bench.contrib.")
        } - {own}
        assert others == set(), path
