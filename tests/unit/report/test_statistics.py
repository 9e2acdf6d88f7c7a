from __future__ import annotations

import math

import numpy as np
import pytest

from bench.report.statistics import summarise


def test_mean_and_sample_deviation_are_numpys() -> None:
    values = [0.31, 0.35, 0.29, 0.42]
    summary = summarise(values)
    assert summary.mean == pytest.approx(np.mean(values))
    assert summary.std == pytest.approx(np.std(values, ddof=1))
    assert summary.n == 4


def test_one_seed_has_no_spread() -> None:
    assert summarise([0.5]).std is None


def test_nan_is_kept() -> None:
    assert math.isnan(summarise([0.5, math.nan]).mean)


def test_a_diverged_seed_does_not_raise() -> None:
    assert summarise([1.0, 1e300]).mean == pytest.approx(5e299)
    assert summarise([1.0, math.inf]).mean == math.inf
