"""What code a result hangs on: a hash over the sources a module can reach by import.

A mended loss must refit, an edited README or docstring must not. Sources are compared as syntax
trees without docstrings, so formatting and comments do not count either. The walk is static:
nothing is imported, imports inside functions count, imports under ``if TYPE_CHECKING`` do not.
"""

from __future__ import annotations

import ast
import hashlib
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

# They move results about; they do not make them. `bench` itself only re-exports.
NOT_METHOD_CODE = ("bench.cli", "bench.runner", "bench.store", "bench.report")


@dataclass(frozen=True)
class Code:
    """A hash over modules, and the hash of each, to say later which one changed."""

    sha256: str
    modules: dict[str, str]


def code_of(modules: Iterable[str]) -> Code:
    """Hash modules and every module of the same top-level packages, and of bench, they reach.

    Args:
        modules: Dotted names.
    """
    queue = sorted(set(modules))
    roots = {name.partition(".")[0] for name in queue} | {"bench"}
    found: dict[str, str] = {}
    while queue:
        name = queue.pop()
        path = _source(name)
        if name in found or path is None or _left_out(name):
            continue
        parsed = _parse(path, name)
        found[name] = parsed.sha256
        queue.extend(target for target in parsed.imports if target.partition(".")[0] in roots)
    ordered = dict(sorted(found.items()))
    joined = "\n".join(f"{name} {sha256}" for name, sha256 in ordered.items())
    return Code(hashlib.sha256(joined.encode()).hexdigest(), ordered)


def _left_out(name: str) -> bool:
    if name in ("bench", "bench.contrib"):
        return True
    return any(name == left or name.startswith(f"{left}.") for left in NOT_METHOD_CODE)


def _source(name: str) -> Path | None:
    """The file of a module, found without importing it."""
    first, *rest = name.split(".")
    if name.startswith("bench.contrib."):
        import bench.contrib

        folders = [Path(folder) for folder in bench.contrib.__path__]
        return _descend(folders, rest[1:])
    top = sys.modules.get(first)
    if top is None or getattr(top, "__file__", None) is None:
        return None
    if not rest:
        return Path(str(top.__file__))
    return _descend([Path(folder) for folder in getattr(top, "__path__", ())], rest)


def _descend(folders: list[Path], parts: list[str]) -> Path | None:
    for folder in folders:
        place = folder.joinpath(*parts)
        for candidate in (place.with_suffix(".py"), place / "__init__.py"):
            if candidate.is_file():
                return candidate
    return None


@dataclass(frozen=True)
class _Parsed:
    sha256: str
    imports: tuple[str, ...]


@lru_cache(maxsize=4096)
def _parse(path: Path, name: str) -> _Parsed:
    tree = ast.parse(path.read_bytes(), filename=str(path))
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    imports = tuple(sorted(set(_imports(tree, package)) | set(_parents(name))))
    sha256 = hashlib.sha256(_canonical(_without_docstrings(tree)).encode()).hexdigest()
    return _Parsed(sha256, imports)


def _parents(name: str) -> Iterator[str]:
    while "." in name:
        name = name.rpartition(".")[0]
        yield name


def _imports(node: ast.AST, package: str) -> Iterator[str]:
    children: Iterable[ast.AST] = ast.iter_child_nodes(node)
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
        children = node.orelse
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = _base(node, package)
        yield base
        yield from (f"{base}.{alias.name}" for alias in node.names)
    for child in children:
        yield from _imports(child, package)


def _base(node: ast.ImportFrom, package: str) -> str:
    if not node.level:
        return node.module or ""
    anchor = package.split(".")[: len(package.split(".")) - (node.level - 1)]
    return ".".join([*anchor, *([node.module] if node.module else [])])


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                node.body = node.body[1:]
    return tree


def _canonical(value: object) -> str:
    # Not ast.dump: Python 3.12 added empty fields to nodes, and the hash must be that of 3.11.
    if isinstance(value, ast.AST):
        fields = (
            f"{name}={_canonical(item)}"
            for name, item in ast.iter_fields(value)
            if item not in (None, []) and name not in ("ctx", "kind", "type_comment")
        )
        return f"{type(value).__name__}({','.join(fields)})"
    if isinstance(value, list):
        return f"[{','.join(map(_canonical, value))}]"
    return repr(value)
