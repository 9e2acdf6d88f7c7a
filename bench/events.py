"""What a running cell tells whoever watches: plain values that cross process borders."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["start", "fit", "predict", "note", "done", "failed", "blocked"]


@dataclass(frozen=True)
class Event:
    """One piece of news about one cell.

    Attributes:
        kind: start; fit (epoch, epochs, loss, images_per_second); predict (done, total); note
            (text); done (record id and headline metrics); failed (message, log); blocked (reason).
        cell: The cell's key.
        label: The cell's label.
        data: By kind, as above.
    """

    kind: Kind
    cell: str
    label: str
    data: dict[str, Any] = field(default_factory=dict)


Emit = Callable[[Event], None]
