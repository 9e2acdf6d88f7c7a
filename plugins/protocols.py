"""The built-in evaluation protocols, registered as any plugin's are."""

from __future__ import annotations

from collections.abc import Sequence

from bench.hookspecs import hookimpl
from bench.protocols.base import Protocol
from bench.protocols.presets import PROTOCOLS


@hookimpl
def register_protocols() -> Sequence[Protocol]:
    """Return the presets of `bench.protocols.presets`."""
    return PROTOCOLS
