"""The intervals that a record's scores carry."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from bench.evaluate import COUNTS, Evaluation
from bench.execute import _score
from bench.metrics.standard import abs_rel, delta1
from bench.plan import Wanted
from bench.protocols.presets import FULL
from bench.statistics.bootstrap import mean_intervals


def score(
    columns: dict[str, list[float]], scored: list[int], scenes: list[str | None] | None = None
) -> Any:
    count = len(scored)
    result = Evaluation(
        protocols={"full": FULL.at(48, 64)},
        values={"full": columns},
        counts={"full": {name: [0] * count for name in COUNTS} | {"scored_pixels": scored}},
        images=[
            {"id": str(index), "scene": scene, "scene_type": None}
            for index, scene in enumerate(scenes or [None] * count)
        ],
    )
    wanted = Wanted(FULL, "k")
    metrics = [metric for metric in (delta1, abs_rel) if metric.name in columns]
    return _score(wanted, result, metrics)


def test_images_without_ground_truth_are_in_neither_mean_nor_interval() -> None:
    values = np.random.default_rng(0).lognormal(size=30)
    padded = score({"abs_rel": [*values, math.nan, math.nan]}, [5] * 30 + [0, 0])
    expected = mean_intervals(values[:, None], np.arange(30))
    assert expected is not None
    assert padded.metrics["abs_rel"].ci95 == pytest.approx(tuple(expected[0]))
    assert padded.clusters == padded.images == 30


def test_scenes_are_counted_and_too_few_give_no_interval() -> None:
    values = [0.1 + 0.01 * image for image in range(12)]
    few = score({"abs_rel": values}, [1] * 12, [f"s{image // 4}" for image in range(12)])
    assert few.clusters == 3
    assert few.metrics["abs_rel"].ci95 is None
    assert few.metrics["abs_rel"].mean == pytest.approx(0.155)
    assert score({"abs_rel": values}, [1] * 12).metrics["abs_rel"].ci95 is not None


def test_an_interval_stays_within_what_the_metric_can_be() -> None:
    shares = [1.0] * 10 + [0.2, 0.95]
    low, high = score({"delta1": shares}, [1] * 12).metrics["delta1"].ci95
    assert 0 <= low < np.mean(shares) < high <= 1


def test_nan_takes_its_own_interval_only() -> None:
    values = [0.1 + 0.01 * image for image in range(12)]
    found = score({"delta1": values, "abs_rel": [*values[:11], math.nan]}, [1] * 12).metrics
    assert math.isnan(found["abs_rel"].mean)
    assert found["abs_rel"].ci95 is None
    assert found["delta1"].ci95 is not None
