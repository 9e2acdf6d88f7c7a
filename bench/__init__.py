"""bench: reproducible benchmarks of monocular depth estimation.

    import bench

    model = bench.create_method("depthclip", weights="random-init")
    depth = model.predict(images)                       # (B, 3, H, W) -> (B, 1, h, w) metres
    result = bench.run_suite("suites/quickstart.yml")
    records = bench.load_records("leaderboard/records")

Names are loaded on first use: ``import bench`` imports neither torch nor any plugin.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOME = {
    "BenchError": "bench.errors",
    "Batch": "bench.types",
    "Dataset": "bench.data.base",
    "DepthModel": "bench.api",
    "Method": "bench.method",
    "Metric": "bench.metrics.base",
    "Params": "bench.method",
    "Protocol": "bench.protocols.base",
    "Record": "bench.records",
    "Sample": "bench.types",
    "Window": "bench.types",
    "create_method": "bench.api",
    "hookimpl": "bench.hookspecs",
    "load_records": "bench.records",
    "location_param": "bench.method",
    "predict_param": "bench.method",
    "run_suite": "bench.api",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'bench' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *_HOME]
