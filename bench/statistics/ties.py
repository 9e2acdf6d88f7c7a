"""Ranks that the data can bear: rows that cannot be told apart share one.

Rows come best first. The first opens a group; each further row is tested against the first row of
the current group, and opens a group of its own where the two differ significantly.

Which rows meet is decided by the same data, so it is not enough to correct for the R − 1 tests that
are made: the best of many equal methods beats the worst of them too easily. The family is all
R (R − 1) / 2 pairs of rows, stepped down as Holm does by the pairs told apart so far (any order of
testing keeps the level: Goeman & Solari 2010, *The sequential rejection principle*). The chance of
telling apart rows that are equal is then at most α in a table.
"""

from __future__ import annotations

import numpy as np

from bench.statistics.bootstrap import Float64, Index, cluster_sums
from bench.statistics.paired import EXACT_UP_TO, FLIPS, hoeffding_bound, sign_flip_test

ALPHA = 0.05


def tie_groups(values: Float64, index: Index) -> list[int]:
    """Put rows into groups within which the data cannot tell the first from the others.

    Args:
        values: (R, N) finite per-image values of the rows, the rows in order, best first.
        index: (N,) cluster of each image (`bench.statistics.bootstrap.cluster_index`).

    Returns:
        For each row the number of its group, from 0.

    Raises:
        ValueError: A value is not finite.
    """
    if not np.isfinite(values).all():
        raise ValueError("tie groups need finite values")
    sums = cluster_sums(values.T, index).T
    pairs = len(sums) * (len(sums) - 1) // 2
    groups: list[int] = []
    head = 0
    for row, of_row in enumerate(sums):
        number = groups[-1] if groups else 0
        if row and separable(of_row - sums[head], ALPHA / (pairs - number)):
            head, number = row, number + 1
        groups.append(number)
    return groups


def separable(differences: Float64, level: float) -> bool:
    """Whether the sign-flip test rejects at a level, simulating only where that can decide.

    Args:
        differences: (C,) difference of each cluster, summed over its images.
        level: The significance level.
    """
    if hoeffding_bound(differences) <= level:
        return True
    if level < 1 / (FLIPS + 1) and np.count_nonzero(differences) > EXACT_UP_TO:
        return False
    return sign_flip_test(differences).p_value <= level


def shared_ranks(groups: list[int]) -> list[tuple[int, int]]:
    """First and last rank of each row's group, counted from 1.

    Args:
        groups: As `tie_groups` gives them.
    """
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    for rank, group in enumerate(groups, start=1):
        first.setdefault(group, rank)
        last[group] = rank
    return [(first[group], last[group]) for group in groups]
