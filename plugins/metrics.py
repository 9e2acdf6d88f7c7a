"""The built-in metrics, registered as any plugin's are."""

from __future__ import annotations

from collections.abc import Sequence

from bench.hookspecs import hookimpl
from bench.metrics.base import Metric
from bench.metrics.standard import METRICS


@hookimpl
def register_metrics() -> Sequence[Metric]:
    """Return the nine metrics every table shows."""
    return METRICS
