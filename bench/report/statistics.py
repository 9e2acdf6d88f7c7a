"""Statistics over seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Summary:
    """One metric of one row, over its seeds.

    Attributes:
        mean: Arithmetic mean over seeds; NaN if any seed's value is.
        std: Sample standard deviation (n − 1) over seeds; None for fewer than two.
        n: Number of seeds.
    """

    mean: float
    std: float | None
    n: int


def summarise(values: Sequence[float]) -> Summary:
    """Mean and sample standard deviation over seeds.

    Args:
        values: One value a seed, at least one.
    """
    n = len(values)
    if n == 1:
        return Summary(values[0], None, 1)
    mean = sum(values) / n
    # Products, not powers: a diverged method's squares overflow to infinity instead of raising.
    squares = sum((value - mean) * (value - mean) for value in values)
    return Summary(mean, math.sqrt(squares / (n - 1)), n)
