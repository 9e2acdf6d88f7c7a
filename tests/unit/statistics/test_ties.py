from __future__ import annotations

import math
import time

import numpy as np
import pytest

from bench.statistics.ties import shared_ranks, tie_groups


def rows(*means: float, images: int = 60, noise: float = 0.05, seed: int = 0) -> np.ndarray:
    """One row a mean, with noise of its own."""
    generator = np.random.default_rng(seed)
    values = generator.normal(0, noise, (len(means), images))
    return values - values.mean(axis=1, keepdims=True) + np.array(means)[:, None]


def test_rows_far_apart_have_ranks_of_their_own_and_near_ones_share() -> None:
    groups = tie_groups(rows(0.1, 0.101, 0.3, 0.302, 0.303, 0.9), np.arange(60))
    assert groups == [0, 0, 1, 1, 1, 2]
    assert shared_ranks(groups) == [(1, 2), (1, 2), (3, 5), (3, 5), (3, 5), (6, 6)]


def test_a_chain_of_near_rows_is_measured_from_the_first_of_the_group() -> None:
    steps = [0.1 + 0.012 * step for step in range(8)]
    groups = tie_groups(rows(*steps), np.arange(60))
    assert groups[:2] == [0, 0]
    assert groups[-1] >= 1


def test_images_are_paired() -> None:
    # A difference far smaller than the spread of images, but on every image.
    images = np.random.default_rng(0).lognormal(size=60)
    assert tie_groups(np.stack([images, images + 0.001]), np.arange(60)) == [0, 1]


def test_scenes_count_once() -> None:
    values = rows(0.1, 0.3, images=60, seed=3)
    assert tie_groups(np.repeat(values[:, :5], 12, axis=1), np.arange(60)) == [0, 1]
    assert tie_groups(np.repeat(values[:, :5], 12, axis=1), np.repeat(np.arange(5), 12)) == [0, 0]


def test_too_few_images_separate_nothing() -> None:
    assert tie_groups(rows(0.1, 0.5, 0.9, images=4), np.arange(4)) == [0, 0, 0]
    assert tie_groups(rows(0.1, 0.9, images=1), np.arange(1)) == [0, 0]


def test_equal_rows_are_rarely_told_apart_however_many_they_are() -> None:
    generator = np.random.default_rng(4)
    split = 0
    for _ in range(300):
        values = np.exp(0.3 * generator.normal(size=60) + 0.2 * generator.normal(size=(6, 60)))
        ordered = values[np.argsort(values.mean(axis=1))]
        split += max(tie_groups(ordered, np.arange(60))) > 0
    # 5% at most; had only the R − 1 tests made been corrected for, it would be 10%.
    assert split / 300 <= 0.07


def test_constant_and_equal_rows() -> None:
    assert tie_groups(np.full((3, 20), 0.5), np.arange(20)) == [0, 0, 0]
    assert tie_groups(np.ones((1, 20)), np.arange(20)) == [0]
    assert tie_groups(np.stack([np.zeros(20), np.ones(20)]), np.arange(20)) == [0, 1]


def test_nan_is_refused() -> None:
    values = rows(0.1, 0.2)
    values[1, 3] = math.nan
    with pytest.raises(ValueError, match="finite"):
        tie_groups(values, np.arange(60))


def test_thousands_of_rows_take_seconds() -> None:
    values = rows(*np.linspace(0.1, 0.5, 2000), images=654)
    begin = time.perf_counter()
    groups = tie_groups(values, np.repeat(np.arange(218), 3))
    assert time.perf_counter() - begin < 5
    assert groups[-1] > 3
