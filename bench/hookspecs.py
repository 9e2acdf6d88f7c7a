"""The hooks a plugin can implement. This file is the contract.

A plugin is a module with functions of these names, each marked with `bench.hookimpl`. It implements
the hooks it needs and leaves out the others. A misspelt hook is refused when the plugin is loaded.
Hooks are called once a process, when the registry is built, before any suite is read; they must be
fast and must not import torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from bench.data.base import Dataset
    from bench.method import Method
    from bench.metrics.base import Metric
    from bench.protocols.base import Protocol

PROJECT = "bench"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def register_methods() -> Sequence[type[Method]]:  # type: ignore[empty-body]
    """Return the method classes this plugin adds (not instances). Names must be new."""


@hookspec
def register_datasets() -> Sequence[type[Dataset]]:  # type: ignore[empty-body]
    """Return the data set classes this plugin adds. Names must be new."""


@hookspec
def register_protocols() -> Sequence[Protocol]:  # type: ignore[empty-body]
    """Return the evaluation protocols this plugin adds. Names must be new."""


@hookspec
def register_metrics() -> Sequence[Metric]:  # type: ignore[empty-body]
    """Return the metrics this plugin adds; every record made from then on carries them."""
