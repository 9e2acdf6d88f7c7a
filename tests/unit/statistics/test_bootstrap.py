from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest

from bench.statistics.bootstrap import (
    FEWEST_CLUSTERS,
    Float64,
    cluster_index,
    cluster_sums,
    mean_intervals,
)

Draw = Callable[
    [np.random.Generator, int], tuple[Float64, "np.ndarray[tuple[int], np.dtype[np.intp]]"]
]


def alone(count: int) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    return np.arange(count)


def skewed(generator: np.random.Generator, clusters: int) -> tuple[Float64, object]:
    """Errors as of images that know nothing of each other; their mean is exp(0.125)."""
    return np.exp(generator.normal(0, 0.5, (clusters, 1))), alone(clusters)


def by_scene(generator: np.random.Generator, clusters: int) -> tuple[Float64, object]:
    """Scenes of 1 to 6 images that share half of what they are; the mean is exp(0.125)."""
    index = np.repeat(alone(clusters), generator.integers(1, 7, clusters))
    scene = generator.normal(0, 0.4, clusters)[index]
    return np.exp(scene + generator.normal(0, 0.3, len(index)))[:, None], index


def coverage(draw: Callable[..., tuple[Float64, object]], clusters: int, rounds: int) -> float:
    generator = np.random.default_rng(7)
    covered = 0
    for _ in range(rounds):
        values, index = draw(generator, clusters)
        interval = mean_intervals(values, index)  # type: ignore[arg-type]
        assert interval is not None
        covered += interval[0, 0] <= np.exp(0.125) <= interval[0, 1]
    return covered / rounds


@pytest.mark.parametrize("draw", [skewed, by_scene])
@pytest.mark.parametrize("clusters", [25, 60])
def test_nominal_95_percent_cover_93_to_97(
    draw: Callable[..., tuple[Float64, object]], clusters: int
) -> None:
    # 1,000 rounds have a standard error of 0.7 percentage points.
    assert 0.93 <= coverage(draw, clusters, 1000) <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize("draw", [skewed, by_scene])
@pytest.mark.parametrize("clusters", [20, 215])
def test_nominal_95_percent_cover_93_to_97_in_many_rounds(
    draw: Callable[..., tuple[Float64, object]], clusters: int
) -> None:
    assert 0.93 <= coverage(draw, clusters, 3000) <= 0.97


def test_taking_images_of_a_scene_for_independent_covers_too_little() -> None:
    def blind(generator: np.random.Generator, clusters: int) -> tuple[Float64, object]:
        values, _ = by_scene(generator, clusters)
        return values, alone(len(values))

    assert coverage(blind, 40, 400) < 0.90


def test_of_many_normal_values_it_is_the_closed_form() -> None:
    values = np.random.default_rng(0).normal(2.0, 0.3, (654, 3))
    intervals = mean_intervals(values, alone(654))
    assert intervals is not None
    half = 1.96 * values.std(axis=0, ddof=1) / np.sqrt(654)
    expected = np.stack([values.mean(axis=0) - half, values.mean(axis=0) + half], axis=1)
    np.testing.assert_allclose(intervals, expected, atol=0.08 * half.max())


def test_clusters_of_copies_are_one_observation_each() -> None:
    scenes = np.random.default_rng(1).normal(size=(30, 1))
    once = mean_intervals(scenes, alone(30))
    fourfold = mean_intervals(np.repeat(scenes, 4, axis=0), np.repeat(alone(30), 4))
    assert once is not None
    assert fourfold is not None
    np.testing.assert_allclose(fourfold, once, rtol=1e-12)


def test_columns_do_not_touch_one_another_and_repeats_agree() -> None:
    values = np.random.default_rng(2).lognormal(size=(50, 4))
    together = mean_intervals(values, alone(50))
    assert together is not None
    again = mean_intervals(values.copy(), alone(50))
    np.testing.assert_array_equal(again, together)
    for column in range(4):
        single = mean_intervals(values[:, [column]], alone(50))
        np.testing.assert_allclose(single, together[[column]], rtol=1e-12)


def test_constant_values_have_an_interval_of_no_width() -> None:
    values = np.full((20, 2), 0.1) * [1, 1e9]
    intervals = mean_intervals(values, alone(20))
    np.testing.assert_allclose(intervals, [[0.1, 0.1], [1e8, 1e8]], rtol=1e-12)


def test_one_image_that_differs_gives_a_finite_interval_around_the_mean() -> None:
    values = np.zeros((10, 1))
    values[3] = 1.0
    intervals = mean_intervals(values, alone(10))
    assert intervals is not None
    assert np.isfinite(intervals).all()
    assert intervals[0, 0] <= 0.1 <= intervals[0, 1]


@pytest.mark.parametrize("clusters", [0, 1, FEWEST_CLUSTERS - 1])
def test_too_few_scenes_give_none_however_many_images(clusters: int) -> None:
    index = np.repeat(alone(clusters), 100)
    values = np.random.default_rng(0).normal(size=(len(index), 2))
    assert mean_intervals(values, index) is None


@pytest.mark.parametrize("hostile", [np.nan, np.inf])
def test_what_is_not_finite_is_refused(hostile: float) -> None:
    values = np.ones((20, 1))
    values[4] = hostile
    with pytest.raises(ValueError, match="finite"):
        mean_intervals(values, alone(20))


def test_images_without_a_scene_stand_alone() -> None:
    assert cluster_index(["a", None, "b", "a", None]).tolist() == [0, 1, 2, 0, 3]
    assert cluster_index([]).tolist() == []
    sums = cluster_sums(np.array([1.0, 2, 3, 4, 5]), cluster_index(["a", None, "b", "a", None]))
    assert sums.tolist() == [5, 2, 3, 5]


def test_nyu_sized_records_take_a_fraction_of_a_second() -> None:
    values = np.random.default_rng(0).lognormal(size=(654, 9))
    begin = time.perf_counter()
    for _ in range(4):
        mean_intervals(values, alone(654))
    assert time.perf_counter() - begin < 2  # 0.3 s where nothing else runs
