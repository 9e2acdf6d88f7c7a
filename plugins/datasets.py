"""The built-in data sets."""

from __future__ import annotations

from collections.abc import Sequence

from bench.data.base import Dataset
from bench.hookspecs import hookimpl


@hookimpl
def register_datasets() -> Sequence[type[Dataset]]:
    """NYU Depth v2, and the synthetic rooms that need no download."""
    from bench.data.nyu import NyuV2
    from bench.data.rooms import Rooms

    return [NyuV2, Rooms]
