"""Suites: what should be known, read from YAML, validated, overridden and expanded into cells."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal
from typing import Protocol as Interface

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from bench.errors import BenchError, SuiteError, UnknownNameError, suggestion
from bench.suite_errors import Source, explain, lookup, shown
from bench.suite_expand import (
    CellSpec,
    Expansion,
    Mapped,
    MethodEntry,
    Names,
    Seeds,
    select,
)
from bench.suite_override import override
from bench.suite_yaml import Node, Place, merge, one_line, read_yaml, refusal

if TYPE_CHECKING:
    from bench.data.base import Dataset
    from bench.method import Method
    from bench.metrics.base import Metric
    from bench.protocols.base import Protocol

__all__ = ["CellSpec", "Registry", "Suite", "builtin_suites", "find_suite", "load_suite"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class Registry(Interface):
    """What a suite needs to know of the plugins (`bench.plugins.Registry` has it)."""

    @property
    def methods(self) -> Mapping[str, type[Method]]:
        """Method classes by name."""

    @property
    def datasets(self) -> Mapping[str, type[Dataset]]:
        """Data set classes by name."""

    @property
    def protocols(self) -> Mapping[str, Protocol]:
        """Protocols by name."""

    @property
    def metrics(self) -> Mapping[str, Metric]:
        """Metrics by name."""

    @property
    def broken(self) -> Sequence[object]:
        """Plugins that did not load; their `str` says why."""


@dataclass(frozen=True)
class Suite:
    """A validated suite.

    Attributes:
        name: As written under `suite`.
        description: What it is, in the suite's own words; "" where it says nothing.
        path: The file.
        dataset: The data, not opened yet.
        protocols: How the predictions are scored.
        metrics: Names, in the registry's order.
        predictions: Whether raw predictions are kept in the store.
        cells: Methods × parameters × seeds, in the suite's order.
        overrides: Every ``--set``, as given.
    """

    name: str
    description: str
    path: Path
    dataset: Dataset
    protocols: tuple[Protocol, ...]
    metrics: tuple[str, ...]
    predictions: Literal["keep", "drop"]
    cells: tuple[CellSpec, ...]
    overrides: tuple[str, ...] = ()


def _suite_name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError(
            "must be letters, digits, '-', '_' and '.', beginning with a letter or digit, "
            f"not {shown(text)}"
        )
    return str(text)


class _SuiteFile(BaseModel):
    """The keys of a suite; `extends` is resolved before this is validated."""

    model_config = ConfigDict(extra="forbid")

    suite: Annotated[str, AfterValidator(_suite_name)]
    description: str = ""
    extends: str | None = None
    dataset: dict[str, Any]
    protocols: Annotated[list[str | dict[str, Any]], Field(min_length=1)]
    metrics: Annotated[list[str], Field(min_length=1), Names] | None = None
    seeds: Seeds = [1]
    defaults: Annotated[dict[str, Any], Mapped] = {}
    predictions: Literal["keep", "drop"] = "drop"
    methods: Annotated[list[MethodEntry], Field(min_length=1)]


def load_suite(
    path: Path,
    registry: Registry,
    *,
    sets: Sequence[str] = (),
    only: Sequence[str] = (),
) -> Suite:
    """Read a suite, apply overrides, check every name and value, and expand it into cells.

    Args:
        path: The suite file.
        registry: What the plugins registered.
        sets: ``KEY=VALUE`` overrides, applied in order; their paths count from the current folder.
        only: Patterns; the cells that match any of them by method name, label or slug stay.

    Raises:
        SuiteError: Anything about the suite that cannot be run as written, in one line with file,
            line and key.
    """
    root = _read_with_parents(path)
    for text in sets:
        root = override(root, text)
    file = _validated(root)
    return Suite(
        name=file.suite,
        description=str(file.description),
        path=path,
        dataset=_dataset(root, registry),
        protocols=_protocols(root, registry),
        metrics=_metrics(root, registry),
        predictions=file.predictions,
        cells=select(_cells(root, file, registry), only, file.suite),
        overrides=tuple(sets),
    )


def _read_with_parents(path: Path) -> Node:
    """The file's tree laid upon those it extends."""
    layers: list[Node] = []
    chain: dict[Path, Path] = {}
    source: Source | None = None
    following: Path | None = path
    while following is not None:
        root = _read(following, source)
        resolved = following.resolve()
        if resolved in chain:
            assert source is not None
            names = " -> ".join(str(each) for each in [*chain.values(), following])
            raise refusal(source.node.place, "extends", f"extends itself: {names}; break the ring")
        chain[resolved] = following
        values = dict(root.value)
        parent = values.pop("extends", None)
        layers.append(Node(values, root.place))
        source = None if parent is None else Source("extends", parent)
        following = None if parent is None else _parent_path(parent, following)
    merged = layers.pop()
    while layers:
        merged = _inherit(merged, layers.pop())
    return merged


def _parent_path(node: Node, child: Path) -> Path:
    if not isinstance(node.value, str) or not node.value:
        raise refusal(node.place, "extends", "must be the path of another suite, from this file's")
    return child.parent / node.value


def _read(path: Path, source: Source | None) -> Node:
    try:
        return read_yaml(path)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        if source is None:
            problem = f"cannot read suite '{path}': {reason}; name a suite file"
            raise SuiteError(one_line(problem)) from error
        near = difflib.get_close_matches(path.name, _files_beside(path), n=1)
        hint = f"did you mean '{near[0]}'?" if near else "paths count from this file's folder"
        problem = f"cannot read '{path}': {reason}; {hint}"
        raise refusal(source.node.place, source.path, problem) from error


def _files_beside(path: Path) -> list[str]:
    try:
        return sorted(file.name for file in path.parent.glob("*.y*ml"))
    except (OSError, ValueError):
        return []


def _inherit(base: Node, over: Node) -> Node:
    """`merge`, but another data set brings its own parameters instead of taking the old one's."""
    before, after = base.child("dataset"), over.child("dataset")
    if before is not None and after is not None:
        old, new = before.child("name"), after.child("name")
        if old is not None and new is not None and old.value != new.value:
            kept = {key: node for key, node in base.value.items() if key != "dataset"}
            return merge(Node(kept, base.place), over)
    return merge(base, over)


def _validated(root: Node) -> _SuiteFile:
    try:
        return _SuiteFile.model_validate(root.plain())
    except ValidationError as error:
        sources = {key: Source(key, node) for key, node in root.value.items()}
        raise explain(error, _SuiteFile, Source("", root), sources) from error


def _dataset(root: Node, registry: Registry) -> Dataset:
    node = root.value["dataset"]
    values = dict(node.value)
    name = values.pop("name", None)
    if name is None or not isinstance(name.value, str):
        place = node.place if name is None else name.place
        problem = f"must name a data set{suggestion('', registry.datasets)}"
        raise refusal(place, "dataset.name", problem)
    reader = lookup(registry.datasets, Source("dataset.name", name), "data set", registry.broken)
    # Who chose the data set is to blame for what is missing of it.
    whole = Source("dataset", Node(node.value, name.place))
    sources = {key: Source(f"dataset.{key}", below) for key, below in values.items()}
    try:
        params = reader.Params.model_validate({key: below.plain() for key, below in values.items()})
    except ValidationError as error:
        refused = explain(error, reader.Params, whole, sources, f"data set '{name.value}'")
        raise SuiteError(f"{refused}{_replace_whole(error, name)}") from error
    except BenchError as error:
        raise refusal(whole.node.place, whole.path, str(error)) from error
    return reader(params)


def _replace_whole(error: ValidationError, name: Node) -> str:
    """Advice for ``--set dataset.name``, which leaves the other data set's parameters standing."""
    left_over = any(detail["type"] == "extra_forbidden" for detail in error.errors())
    if name.place.override != "dataset.name" or not left_over:
        return ""
    return (
        f" (--set 'dataset={{name: {name.value}}}' drops what the suite says of its own data set)"
    )


def _protocols(root: Node, registry: Registry) -> tuple[Protocol, ...]:
    protocols: dict[str, Protocol] = {}
    for index, node in enumerate(root.value["protocols"].value):
        source = Source(f"protocols.{index}", node)
        protocol = _protocol(source, registry)
        if protocol.name in protocols:
            raise refusal(node.place, source.path, f"'{protocol.name}' is there twice; keep one")
        protocols[protocol.name] = protocol
    return tuple(protocols.values())


def _protocol(source: Source, registry: Registry) -> Protocol:
    if not isinstance(source.node.value, dict):
        return lookup(registry.protocols, source, "protocol", registry.broken)
    from bench.protocols.base import Protocol

    sources = {key: Source(f"{source.path}.{key}", n) for key, n in source.node.value.items()}
    try:
        protocol = Protocol.model_validate(source.node.plain())
    except ValidationError as error:
        raise explain(error, Protocol, source, sources) from error
    except BenchError as error:
        raise refusal(source.node.place, source.path, str(error)) from error
    if protocol.name in registry.protocols:
        problem = f"'{protocol.name}' is a registered protocol; give this one another name"
        raise refusal(source.node.place, f"{source.path}.name", problem)
    return protocol


def _metrics(root: Node, registry: Registry) -> tuple[str, ...]:
    node = root.value.get("metrics")
    if node is None or node.value is None:
        return tuple(registry.metrics)
    for index, each in enumerate(node.value):
        lookup(registry.metrics, Source(f"metrics.{index}", each), "metric", registry.broken)
    wanted = {each.value for each in node.value}
    return tuple(name for name in registry.metrics if name in wanted)


def _cells(root: Node, file: _SuiteFile, registry: Registry) -> tuple[CellSpec, ...]:
    return Expansion(
        root=root,
        entries=file.methods,
        defaults=file.defaults,
        seeds=file.seeds,
        methods=registry.methods,
        broken=registry.broken,
    ).cells()


def make_dataset(name: str, sets: Sequence[str], registry: Registry) -> Dataset:
    """A data set outside any suite, with parameters as ``--set KEY=VALUE`` gives them.

    Args:
        name: A registered data set.
        sets: Each names a parameter; paths count from the current folder.
        registry: What the plugins registered.

    Raises:
        SuiteError: A name or value that is not the data set's.
    """
    place = Place(f"data set '{name}'")
    root = Node({"dataset": Node({"name": Node(name, place)}, place)}, place)
    for text in sets:
        root = override(root, text if text.startswith("dataset.") else f"dataset.{text}")
    return _dataset(root, registry)


def builtin_suites() -> dict[str, Path]:
    """The suites that come with bench, by name (the file's stem)."""
    from bench.contrib import source_tree

    root = source_tree()
    folder = Path(__file__).parent / "suites" if root is None else root / "suites"
    return {path.stem: path for path in sorted(folder.glob("*.yml"))}


def find_suite(name_or_path: str | Path) -> Path:
    """The file of a suite: a path that exists, else the built-in suite of that name.

    ``quickstart``, ``quickstart.yml`` and ``suites/quickstart.yml`` all find the built-in one.

    Raises:
        UnknownNameError: There is neither.
        SuiteError: The path is a folder.
    """
    path = Path(name_or_path)
    try:
        exists, is_folder = path.exists(), path.is_dir()
    except OSError:  # a name longer than the file system allows
        exists = is_folder = False
    if exists and not is_folder:
        return path
    known = builtin_suites()
    plain = path.parent in (Path(), Path("suites")) and path.suffix in ("", ".yml", ".yaml")
    if plain and path.stem in known:
        return known[path.stem]
    if is_folder:
        raise SuiteError(one_line(f"suite '{path}' is a folder; name a file in it"))
    problem = f"no suite file '{path}', and no built-in suite of that name"
    raise UnknownNameError(one_line(f"{problem}{suggestion(path.stem, known)}"))
