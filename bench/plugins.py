"""Finding plugins and asking each what it offers: the registry.

Nothing here runs at import. A plugin that does not load is kept with its traceback, so that the
error can be shown where a person looks for the missing name.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import inspect
import os
import re
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy

import bench.contrib
from bench import hookspecs
from bench.data.base import Dataset
from bench.errors import PluginError
from bench.method import Method, Params
from bench.metrics.base import Metric
from bench.protocols.base import Protocol

ENTRY_POINT_GROUP = "bench"
_NAME = re.compile(r"[a-z0-9]+([-_.][a-z0-9]+)*")


@dataclass(frozen=True)
class Plugin:
    """A plugin that loaded.

    Attributes:
        name: Its module's name, or the entry point's.
        origin: The file it came from.
        version: Of the distribution it is installed with; bench's own for the built-ins.
        offers: Names by kind (methods, datasets, protocols, metrics).
    """

    name: str
    origin: str
    version: str
    offers: dict[str, list[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class BrokenPlugin:
    """A plugin that did not load, and why."""

    name: str
    origin: str
    reason: str
    traceback: str

    def __str__(self) -> str:
        return f"plugin '{self.name}' ({self.origin}) did not load: {self.reason}"


@dataclass(frozen=True)
class Registry:
    """Everything the plugins registered, by name."""

    methods: dict[str, type[Method]] = field(default_factory=dict)
    datasets: dict[str, type[Dataset]] = field(default_factory=dict)
    protocols: dict[str, Protocol] = field(default_factory=dict)
    metrics: dict[str, Metric] = field(default_factory=dict)
    plugins: dict[str, Plugin] = field(default_factory=dict)
    broken: list[BrokenPlugin] = field(default_factory=list)
    owners: dict[tuple[str, str], str] = field(default_factory=dict)

    def plugin_of(self, kind: str, name: str) -> Plugin:
        """The plugin that registered a name; `kind` is methods, datasets, protocols or metrics."""
        return self.plugins[self.owners[kind, name]]


def build_registry(folders: Iterable[Path] = ()) -> Registry:
    """Load every plugin and collect what it registers.

    Args:
        folders: Plugin folders besides the built-ins and ``$BENCH_PLUGINS`` (``--plugins``). They
            are exported into ``$BENCH_PLUGINS``, so that worker processes find them too.

    Raises:
        PluginError: A folder is missing, or two plugins claim one name.
    """
    _export(folders)
    registry = Registry()
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    for name, origin, version, load in _candidates():
        try:
            with contextlib.redirect_stdout(sys.stderr):
                _register(registry, manager, Plugin(name, origin, version), load())
        except _ConflictError as conflict:
            raise PluginError(str(conflict)) from conflict
        # A plugin may call sys.exit() at import; that must not end the user's run.
        except (Exception, SystemExit) as error:
            registry.broken.append(_broken(name, origin, error))
    return registry


class _ConflictError(Exception):
    """Two plugins claim one name."""


def _export(folders: Iterable[Path]) -> None:
    wanted = [Path(folder).expanduser().resolve() for folder in folders]
    for folder in wanted:
        if not folder.is_dir():
            raise PluginError(f"--plugins: '{folder}' is not a folder")
    if wanted:
        known = [name for name in os.environ.get("BENCH_PLUGINS", "").split(os.pathsep) if name]
        exported = dict.fromkeys([*known, *map(str, wanted)])
        os.environ["BENCH_PLUGINS"] = os.pathsep.join(exported)
    bench.contrib.refresh_path()


def _candidates() -> Iterator[tuple[str, str, str, Callable[[], Any]]]:
    modules = [(path, _module_name(path)) for path in _plugin_files()]
    counts = Counter(name for _, name in modules)
    for _, name in modules:
        if counts[name] > 1:
            places = " and ".join(f"'{path}'" for path, other in modules if other == name)
            raise PluginError(f"two plugins are called '{name}': {places}; rename one")
    built_in = bench.contrib.plugin_folders()[0]
    for path, name in modules:
        version = bench_version() if path.is_relative_to(built_in) else "local"
        load = partial(importlib.import_module, f"bench.contrib.{name}")
        yield name, str(path), version, load
    for point in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP):
        version = point.dist.version if point.dist else "unknown"
        yield point.name, point.value, version, point.load


def _plugin_files() -> Iterator[Path]:
    for folder in bench.contrib.plugin_folders():
        if not folder.is_dir():
            raise PluginError(f"plugin folder '{folder}' ($BENCH_PLUGINS) does not exist")
        for path in sorted(folder.iterdir()):
            if path.name.startswith(("_", ".", "test_")):
                continue
            if path.suffix == ".py":
                yield path
            elif (path / "__init__.py").is_file():
                yield path / "__init__.py"


def _module_name(path: Path) -> str:
    return path.parent.name if path.name == "__init__.py" else path.stem


def _register(
    registry: Registry, manager: pluggy.PluginManager, plugin: Plugin, module: ModuleType
) -> None:
    manager.register(module, name=plugin.name)
    try:
        manager.check_pending()
        found = {kind: _ask(manager, module, kind) for kind in _CHECKS}
    except BaseException:
        manager.unregister(module)
        raise
    for kind, items in found.items():
        names = [item.name for item in items]
        for name in names:
            if (kind, name) in registry.owners:
                other = registry.plugin_of(kind, name)
                raise _ConflictError(
                    f"{kind[:-1]} '{name}' is registered by two plugins: "
                    f"'{other.origin}' and '{plugin.origin}'; rename one"
                )
            registry.owners[kind, name] = plugin.name
        getattr(registry, kind).update(zip(names, items, strict=True))
        if names:
            plugin.offers[kind] = names
    registry.plugins[plugin.name] = plugin


def _ask(manager: pluggy.PluginManager, module: ModuleType, kind: str) -> list[Any]:
    others = [other for other in manager.get_plugins() if other is not module]
    hook = manager.subset_hook_caller(f"register_{kind}", remove_plugins=others)
    items: list[Any] = []
    for answer in hook():
        if not isinstance(answer, Sequence) or isinstance(answer, str):
            raise PluginError(
                f"register_{kind}() must return a list, it returned {type(answer).__name__}"
            )
        items.extend(answer)
    names: set[str] = set()
    for item in items:
        _CHECKS[kind](item)
        if not _NAME.fullmatch(item.name):
            raise PluginError(
                f"{kind[:-1]} name {item.name!r} must be lower-case letters, digits and hyphens"
            )
        if item.name in names:
            raise PluginError(f"{kind[:-1]} '{item.name}' is registered twice")
        names.add(item.name)
    return items


def _check_class(item: Any, base: Any, kind: str) -> None:
    if not isinstance(item, type) or not issubclass(item, base):
        raise PluginError(f"register_{kind}s() must return {base.__name__} classes, got {item!r}")
    declared: Any = item
    for attribute in ("name", "summary"):
        if not isinstance(getattr(item, attribute, None), str):
            raise PluginError(f"{kind} class {item.__name__} has no '{attribute}' string")
    missing = sorted(getattr(item, "__abstractmethods__", ()))
    if missing:
        raise PluginError(f"{kind} '{declared.name}' does not implement {', '.join(missing)}()")


def _check_method(item: Any) -> None:
    _check_class(item, Method, "method")
    if not (isinstance(item.Params, type) and issubclass(item.Params, Params)):
        raise PluginError(f"method '{item.name}': Params must be a subclass of bench.method.Params")
    for name, arguments in {"predict": 2, "fit": 3, "save": 2, "load": 2}.items():
        try:
            inspect.signature(getattr(item, name)).bind(*range(arguments))
        except TypeError as error:
            raise PluginError(
                f"method '{item.name}': {name}() has a wrong signature: {error}"
            ) from None


def _check_dataset(item: Any) -> None:
    _check_class(item, Dataset, "dataset")


def _check_instance(item: Any, kind: type) -> None:
    if not isinstance(item, kind):
        raise PluginError(f"expected {kind.__name__} objects, got {item!r}")


_CHECKS: dict[str, Callable[[Any], None]] = {
    "methods": _check_method,
    "datasets": _check_dataset,
    "protocols": partial(_check_instance, kind=Protocol),
    "metrics": partial(_check_instance, kind=Metric),
}


def _broken(name: str, origin: str, error: BaseException) -> BrokenPlugin:
    text = " ".join(str(error).split()) or "no message"
    kind = "" if isinstance(error, PluginError) else f"{type(error).__name__}: "
    trace = "".join(traceback.format_exception(error))
    return BrokenPlugin(name, origin, f"{kind}{text}", trace)


def bench_version() -> str:
    """The version of this package, as installed."""
    try:
        return importlib.metadata.version(bench.contrib.PROJECT_NAME)
    except importlib.metadata.PackageNotFoundError:
        return "0+source"
