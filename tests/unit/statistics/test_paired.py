from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bench.statistics.paired import (
    EXACT_UP_TO,
    FLIPS,
    compare,
    hoeffding_bound,
    holm,
    sign_flip_test,
)


def p_of(*sums: float) -> float:
    return sign_flip_test(np.array(sums)).p_value


def test_hand_worked_p_values() -> None:
    assert p_of(1) == 1  # +1 and −1 are both as far from 0
    assert p_of(1, 2) == 0.5  # ±3 of ±3, ±1
    assert p_of(1, 2, 3) == 0.25  # ±6 of 8 sums
    assert p_of(1, 2, -3) == 1  # 0 is reached by all
    assert p_of(1, 1, 1, -1) == 10 / 16  # |sum| ≥ 2: not the 6 flips that sum to 0
    assert p_of(-5, -1, -1) == 0.25
    assert p_of(0.1, 0.2, 0.3, 0.4, 0.5) == 2 / 32


def test_scenes_without_a_difference_say_nothing() -> None:
    assert p_of() == p_of(0, 0, 0) == 1
    assert p_of(1, 2, 3, *[0] * 50) == 0.25
    assert sign_flip_test(np.array([1, 2, 3, *[0.0] * 50])).exact


@given(st.lists(st.integers(-20, 20), min_size=1, max_size=8))
@settings(max_examples=60, deadline=None)
def test_exact_is_a_count_over_every_flip(sums: list[int]) -> None:
    flipped = [
        abs(sum(sign * value for sign, value in zip(signs, sums, strict=True)))
        for signs in itertools.product((1, -1), repeat=len(sums))
    ]
    expected = sum(value >= abs(sum(sums)) for value in flipped) / len(flipped)
    assert p_of(*sums) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("scale", [1e-300, 1e-12, 1, 1e12, 1e300])
def test_the_unit_does_not_matter(scale: float) -> None:
    sums = np.random.default_rng(3).normal(0.2, 1, 40)
    assert sign_flip_test(sums * scale).p_value == sign_flip_test(sums).p_value
    assert p_of(scale, 2 * scale, 3 * scale) == 0.25


def test_sampled_flips_agree_with_the_exact_and_with_the_t_test() -> None:
    sums = np.random.default_rng(5).normal(0.55, 1, 14)
    sampled = sign_flip_test(sums)
    signs = np.array(list(itertools.product((1, -1), repeat=14)))
    exact = (np.abs(signs @ sums) >= abs(sums.sum()) - 1e-9).mean()
    assert not sampled.exact
    assert sampled.p_value == pytest.approx(exact, abs=4 * math.sqrt(exact / FLIPS))
    many = np.random.default_rng(6).normal(0.15, 1, 300)
    assert sign_flip_test(many).p_value == pytest.approx(
        stats.ttest_1samp(many, 0).pvalue, abs=0.01
    )


def test_p_values_are_uniform_where_nothing_differs() -> None:
    generator = np.random.default_rng(8)
    p_values = [sign_flip_test(generator.standard_t(3, 30)).p_value for _ in range(600)]
    for level in (0.05, 0.2, 0.5):
        share = np.mean([p <= level for p in p_values])
        assert share == pytest.approx(level, abs=3.5 * math.sqrt(level * (1 - level) / 600))


def test_a_p_value_is_not_cut_off_by_the_number_of_flips() -> None:
    clear = sign_flip_test(np.full(100, 0.1))
    assert clear.p_value == pytest.approx(2 * math.exp(-50))
    assert clear.p_value > 2 / 2**100


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=EXACT_UP_TO))
@settings(max_examples=60, deadline=None)
def test_the_bound_is_never_below_the_exact_p_value(sums: list[float]) -> None:
    assert hoeffding_bound(np.array(sums)) >= p_of(*sums) - 1e-12


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([0.2]) == [0.2]
    assert holm([]) == []


def test_a_comparison_by_hand() -> None:
    a, b = np.array([0.1, 0.2, 0.3, 0.4]), np.array([0.2, 0.4, 0.3, 0.8])
    result = compare(a, b, np.arange(4), higher_is_better=False)
    assert result.mean_a == pytest.approx(0.25)
    assert result.mean_b == pytest.approx(0.425)
    assert result.difference == pytest.approx(-0.175)
    assert result.effect_size == pytest.approx(-0.175 / math.sqrt(0.0875 / 3))
    assert (result.a_better, result.b_better) == (0.75, 0)
    assert result.test.p_value == 0.25
    assert result.ci95 is None
    mirrored = compare(b, a, np.arange(4), higher_is_better=False)
    assert (mirrored.a_better, mirrored.b_better) == (0, 0.75)
    assert compare(a, b, np.arange(4), higher_is_better=True).b_better == 0.75


def test_scenes_flip_as_one() -> None:
    a = np.array([1.0, 1.1, 1.2, 1.3, 1.4, 1.5])
    b = np.zeros(6)
    assert compare(a, b, np.arange(6), True).test.p_value == 2 / 64
    assert compare(a, b, np.array([0, 0, 0, 1, 1, 1]), True).test.p_value == 0.5
    assert compare(a, b, np.zeros(6, dtype=np.intp), True).test.p_value == 1


def test_equal_methods_constant_differences_and_one_image() -> None:
    same = compare(np.ones(20), np.ones(20), np.arange(20), True)
    assert (same.test.p_value, same.effect_size, same.ci95) == (1, 0, (0, 0))
    shifted = compare(np.ones(20), np.zeros(20), np.arange(20), True)
    assert shifted.effect_size is None
    assert shifted.ci95 == (1, 1)
    assert shifted.test.p_value < 0.001
    single = compare(np.array([1.0]), np.array([0.5]), np.zeros(1, dtype=np.intp), True)
    assert (single.test.p_value, single.effect_size, single.ci95) == (1, None, None)


@pytest.mark.parametrize("hostile", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_refused(hostile: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        compare(np.array([1.0, hostile]), np.ones(2), np.arange(2), True)
    with pytest.raises(ValueError, match="at least one image"):
        compare(np.array([]), np.array([]), np.array([], dtype=np.intp), True)
