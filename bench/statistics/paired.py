"""Two methods on the same images: is one better, by how much, and how surely.

The null hypothesis is that within each scene the two could be swapped: then the sign of a scene's
summed difference is a fair coin. N images, C clusters (scenes), M metrics.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from bench.statistics.bootstrap import Float64, Index, cluster_sums, mean_intervals

EXACT_UP_TO = 12
"""All 2^k sign flips are tried where at most this many clusters differ."""

FLIPS = 9_999
"""Random sign flips tried otherwise; with the observed one the smallest share is 1 / 10,000."""


@dataclass(frozen=True)
class Test:
    """A sign-flip permutation test.

    Attributes:
        p_value: Two-sided.
        exact: Every sign flip was tried.
    """

    __test__ = False  # no test class, whatever pytest thinks of the name

    p_value: float
    exact: bool


@dataclass(frozen=True)
class Comparison:
    """One metric of two methods on the same images.

    Attributes:
        mean_a: Mean over the common images.
        mean_b: The same for the other method.
        difference: Mean of a − b.
        ci95: 95% interval of the difference; None with too few clusters.
        test: Of the difference being zero.
        effect_size: Mean of a − b over its standard deviation over images (Cohen's d of pairs);
            0 where all differences are zero, None where they are equal but not zero, or of one
            image.
        a_better: Share of images on which a is better.
        b_better: Share of images on which b is better; on the rest they are equal.
    """

    mean_a: float
    mean_b: float
    difference: float
    ci95: tuple[float, float] | None
    test: Test
    effect_size: float | None
    a_better: float
    b_better: float


def compare(a: Float64, b: Float64, index: Index, higher_is_better: bool) -> Comparison:
    """Compare two methods on one metric.

    Args:
        a: (N,) per-image values, finite, N ≥ 1.
        b: (N,) the other method's on the same images.
        index: (N,) cluster of each image (`bench.statistics.bootstrap.cluster_index`).
        higher_is_better: The metric's direction.

    Raises:
        ValueError: There is no image, or a value is not finite.
    """
    differences = a - b
    if not len(differences) or not np.isfinite(differences).all():
        raise ValueError("a comparison needs at least one image and finite values")
    intervals = mean_intervals(differences[:, None], index)
    gains = differences if higher_is_better else -differences
    return Comparison(
        mean_a=float(a.mean()),
        mean_b=float(b.mean()),
        difference=float(differences.mean()),
        ci95=None if intervals is None else (float(intervals[0, 0]), float(intervals[0, 1])),
        test=sign_flip_test(cluster_sums(differences, index)),
        effect_size=_effect_size(differences),
        a_better=float((gains > 0).mean()),
        b_better=float((gains < 0).mean()),
    )


def _effect_size(differences: Float64) -> float | None:
    if not differences.any():
        return 0.0
    if len(differences) < 2 or np.ptp(differences) == 0:
        return None
    return float(differences.mean() / differences.std(ddof=1))


def sign_flip_test(sums: Float64) -> Test:
    """Test whether differences centre on zero, by flipping the signs of clusters.

    Exact where at most `EXACT_UP_TO` clusters differ. Otherwise `FLIPS` random flips, the same ones
    every time; where none of them reaches what was observed, the p-value is the smaller of
    1 / (FLIPS + 1) and Hoeffding's bound on the exact one, so that it is not cut off there.

    Args:
        sums: (C,) finite difference of each cluster, summed over its images.
    """
    differing = sums[sums != 0]
    if len(differing) <= EXACT_UP_TO:
        return Test(_exact(differing), exact=True)
    scaled = (sums / np.abs(sums).max()).astype(np.float32)
    observed = abs(float(scaled.sum(dtype=np.float64)))
    # What equals the observed sum must count as reaching it, float32 rounding or not.
    reached = int((np.abs(_signs(len(sums)) @ scaled) >= observed * (1 - 1e-5)).sum())
    if reached:
        return Test((reached + 1) / (FLIPS + 1), exact=False)
    return Test(min(1 / (FLIPS + 1), hoeffding_bound(sums)), exact=False)


def hoeffding_bound(sums: Float64) -> float:
    """An upper bound of the exact two-sided sign-flip p-value, at most 1.

    Hoeffding 1963, theorem 2, for independent ±x: P(|S| ≥ s) ≤ 2 exp(−s² / (2 Σ x²)).

    Args:
        sums: (C,) difference of each cluster.
    """
    largest = float(np.abs(sums).max(initial=0.0))
    if largest == 0:
        return 1.0
    scaled = sums / largest
    return min(1.0, 2 * math.exp(-(float(scaled.sum()) ** 2) / (2 * float((scaled**2).sum()))))


def _exact(sums: Float64) -> float:
    """The share of all sign flips that reach the observed sum."""
    if not len(sums):
        return 1.0
    scaled = sums / np.abs(sums).max()
    # Flipping every sign changes nothing, so the first one may stay.
    flips = np.array([(1, *rest) for rest in itertools.product((1, -1), repeat=len(sums) - 1)])
    return float((np.abs(flips @ scaled) >= abs(scaled.sum()) - 1e-12 * len(sums)).mean())


@lru_cache(maxsize=2)
def _signs(clusters: int) -> npt.NDArray[np.float32]:
    """(FLIPS, C) random signs, the same for the same C."""
    generator = np.random.default_rng(clusters)
    bits = generator.integers(0, 2, (FLIPS, clusters), dtype=np.int8)
    return (2 * bits - 1).astype(np.float32)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values for their number, by Holm's step-down method (1979).

    Args:
        p_values: Of the hypotheses tested together.

    Returns:
        In the same order; at a level of α reject what is at most α.
    """
    adjusted = [1.0] * len(p_values)
    highest = 0.0
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    for rank, index in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = highest
    return adjusted
