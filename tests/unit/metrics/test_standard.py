"""The nine metrics against formulas written out in plain numpy float64."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bench.metrics import terms
from bench.metrics.base import Metric, evaluate
from bench.metrics.standard import METRICS, abs_rel, delta1, silog

# A busy machine must not fail a test.
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

NAMES = ["delta1", "delta2", "delta3", "abs_rel", "sq_rel", "rmse", "rmse_log", "log10", "silog"]


def reference(
    prediction: npt.NDArray[np.float32],
    target: npt.NDArray[np.float32],
    mask: npt.NDArray[np.bool_],
) -> dict[str, float]:
    """One image's figures, each formula by itself."""
    p, g = prediction[mask].astype(np.float64), target[mask].astype(np.float64)
    ratio = np.maximum(p / g, g / p)
    log_error = np.log(p) - np.log(g)
    return {
        "delta1": np.mean(ratio < 1.25),
        "delta2": np.mean(ratio < 1.25**2),
        "delta3": np.mean(ratio < 1.25**3),
        "abs_rel": np.mean(np.abs(p - g) / g),
        "sq_rel": np.mean((p - g) ** 2 / g),
        "rmse": np.sqrt(np.mean((p - g) ** 2)),
        "rmse_log": np.sqrt(np.mean(log_error**2)),
        "log10": np.mean(np.abs(np.log10(p) - np.log10(g))),
        "silog": 100 * np.sqrt(np.mean((log_error - np.mean(log_error)) ** 2)),
    }


def tensors(*arrays: npt.NDArray[np.generic]) -> list[torch.Tensor]:
    return [torch.from_numpy(np.ascontiguousarray(array)) for array in arrays]


def both_ways(
    prediction: torch.Tensor, target: torch.Tensor, mask: torch.Tensor
) -> list[dict[str, torch.Tensor]]:
    """What a CPU computes, and what a GPU would (by the same operations, on this CPU)."""
    at_once = terms.ErrorTerms(prediction, target, mask)
    flat = (prediction.flatten(1), target.flatten(1), mask.flatten(1))
    at_once.__dict__["sums"] = terms.sums_at_once(*flat)
    return [
        evaluate(METRICS, prediction, target, mask),
        {metric.name: metric.function(at_once) for metric in METRICS},
    ]


def assert_close(
    prediction: npt.NDArray[np.float32],
    target: npt.NDArray[np.float32],
    mask: npt.NDArray[np.bool_],
) -> None:
    """(B, H, W) against the reference, to 1e-6 absolute or relative."""
    for values in both_ways(*tensors(prediction, target, mask)):
        for index in range(len(prediction)):
            wanted = reference(prediction[index], target[index], mask[index])
            got = {name: value[index].item() for name, value in values.items()}
            assert got == pytest.approx(wanted, rel=1e-6, abs=1e-6)


def test_names_and_order() -> None:
    assert [metric.name for metric in METRICS] == NAMES
    assert [metric.name for metric in METRICS if metric.higher_is_better] == NAMES[:3]
    assert {metric.name for metric in METRICS if metric.unit == "m"} == {"sq_rel", "rmse"}


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_declares_formula_source_and_range(metric: Metric) -> None:
    assert "p" in metric.formula
    assert "g" in metric.formula
    assert any(character.isdigit() for character in metric.source)
    assert metric.range[0] == 0


@pytest.mark.parametrize("pixels", [(7, 9), (480, 640)])
def test_random_images(pixels: tuple[int, int]) -> None:
    rng = np.random.default_rng(3)
    prediction, target = rng.uniform(1e-3, 10, (2, 2, *pixels)).astype(np.float32)
    assert_close(prediction, target, rng.random((2, *pixels)) < 0.7)


NEAREST = np.float32(1e-3).item()
DEPTHS = st.floats(NEAREST, 10, width=32) | st.sampled_from(
    [np.float32(x).item() for x in (0.8, 1.0, 1.25, 1.5625, 1.953125, 10.0)]
)


@st.composite
def images(
    draw: st.DrawFn, depths: st.SearchStrategy[float]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    shape = (1, draw(st.integers(1, 5)), draw(st.integers(1, 7)))
    planes = [draw(hnp.arrays(np.float32, shape, elements=depths)) for _ in range(2)]
    mask = draw(hnp.arrays(np.bool_, shape))
    mask.flat[draw(st.integers(0, mask.size - 1))] = True
    return planes[0], planes[1], mask


@unhurried
@given(images(DEPTHS))
def test_hostile_depths(
    image: tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.bool_]],
) -> None:
    assert_close(*image)


@unhurried
@given(images(st.floats(np.float32(1e-30).item(), np.float32(1e30).item(), width=32)))
def test_tiny_and_huge_values(
    image: tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.bool_]],
) -> None:
    assert_close(*image)


@unhurried
@given(
    truth=st.floats(NEAREST, 10, width=32),
    power=st.integers(1, 3),
    side=st.sampled_from([-1, 0, 1]),
    inverted=st.booleans(),
)
@example(truth=1.0, power=1, side=0, inverted=False)
@example(truth=1.0, power=2, side=-1, inverted=True)
def test_delta_is_strict_to_the_last_bit(
    truth: float, power: int, side: int, inverted: bool
) -> None:
    """One float32 step beside each threshold, and on it where float32 can hold it."""
    g = np.float32(truth)
    p = np.float32(np.float64(g) * 1.25**power)
    if side:
        p = np.nextafter(p, np.float32(side * np.inf))
    if inverted:
        p, g = g, p
    assert_close(*(np.full((1, 1, 1), x) for x in (p, g)), np.ones((1, 1, 1), dtype=np.bool_))


def test_ratio_of_exactly_1_25_is_outside_delta1() -> None:
    target = torch.tensor([[[1.0, 1.25, 4.0]]])
    prediction = torch.tensor([[[1.25, 1.0, 4.0]]])
    assert delta1(prediction, target, target > 0).item() == pytest.approx(1 / 3)


@settings(unhurried, max_examples=30)
@given(factor=st.sampled_from([0.1, 0.37, 1.1, 3.0, 4999.7]), seed=st.integers(0, 2**16))
def test_silog_of_a_constant_ratio(factor: float, seed: int) -> None:
    """All that is left is the rounding of p to float32; nothing may be added to it."""
    target = np.random.default_rng(seed).uniform(1e-3, 10, (1, 30, 40)).astype(np.float32)
    prediction = (target * factor).astype(np.float32)
    mask = np.random.default_rng(seed).random(target.shape) < 0.8
    assert_close(prediction, target, mask)
    for values in both_ways(*tensors(prediction, target, mask)):
        assert values["silog"].item() < 1e-5


def test_silog_when_the_first_pixel_is_an_outlier() -> None:
    rng = np.random.default_rng(5)
    target = rng.uniform(1, 2, (1, 100, 300)).astype(np.float32)
    prediction = (target * 1.5).astype(np.float32)
    prediction[0, 0, 0] = 1e-3
    assert_close(prediction, target, np.ones(target.shape, dtype=np.bool_))


def test_hand_worked_values() -> None:
    target, prediction = torch.tensor([[[1.0, 2.0]]]), torch.tensor([[[2.0, 2.0]]])
    values = evaluate(METRICS, prediction, target, target > 0)
    got = {name: value.item() for name, value in values.items()}
    assert got == pytest.approx(
        {
            "delta1": 0.5,
            "delta2": 0.5,
            "delta3": 0.5,
            "abs_rel": 0.5,
            "sq_rel": 0.5,
            "rmse": math.sqrt(0.5),
            "rmse_log": math.log(2) / math.sqrt(2),
            "log10": math.log10(2) / 2,
            "silog": 50 * math.log(2),
        }
    )


def test_what_lies_outside_the_mask_may_be_anything() -> None:
    target = torch.full((1, 4, 4), 2.0)
    prediction = torch.full((1, 4, 4), 3.0)
    mask = torch.zeros(1, 4, 4, dtype=torch.bool)
    mask[0, :2] = True
    wanted = evaluate(METRICS, prediction[:, :2], target[:, :2], mask[:, :2])
    for bad in (math.nan, math.inf, -math.inf, 0.0, -1.0):
        p, g = prediction.clone(), target.clone()
        p[0, 2:], g[0, 3:] = bad, bad
        for values in both_ways(p, g, mask):
            assert {k: v.item() for k, v in values.items()} == pytest.approx(
                {k: v.item() for k, v in wanted.items()}
            )


def test_negative_and_zero_predictions_never_pass_delta() -> None:
    target = torch.ones(1, 1, 2)
    for values in both_ways(torch.tensor([[[-1.0, 0.0]]]), target, target > 0):
        assert values["delta3"].item() == 0


@pytest.mark.parametrize("bad", [math.nan, math.inf, 0.0, -1.0])
def test_a_prediction_that_breaks_the_contract_looks_like_no_good_figure(bad: float) -> None:
    prediction = torch.full((1, 1, 4), 2.0)
    prediction[0, 0, 1] = bad
    target = torch.full((1, 1, 4), 2.0)
    for values in both_ways(prediction, target, target > 0):
        assert values["delta3"].item() == 0.75
        for name in ("rmse_log", "log10", "silog"):
            assert not math.isfinite(values[name].item())


def test_an_empty_mask_gives_nan_and_leaves_the_other_images_alone() -> None:
    target = torch.ones(2, 3, 3)
    mask = torch.ones(2, 3, 3, dtype=torch.bool)
    mask[0] = False
    for values in both_ways(target * 2, target, mask):
        assert all(math.isnan(value[0].item()) for value in values.values())
        assert values["abs_rel"][1].item() == 1


def test_each_image_is_scored_by_itself() -> None:
    rng = np.random.default_rng(1)
    prediction, target = rng.uniform(0.5, 9, (2, 3, 8, 8)).astype(np.float32)
    batch = tensors(prediction, target, rng.random((3, 8, 8)) < 0.9)
    together = evaluate(METRICS, *batch)
    for index in range(3):
        alone = evaluate(METRICS, *(tensor[index : index + 1] for tensor in batch))
        for name, value in alone.items():
            assert value.dtype == torch.float64
            assert together[name][index].item() == pytest.approx(value.item(), rel=1e-12)


def test_views_into_larger_tensors_and_inputs_left_as_they_were() -> None:
    rng = np.random.default_rng(2)
    prediction, target = rng.uniform(0.5, 9, (2, 1, 20, 30)).astype(np.float32)
    batch = tensors(prediction, target, rng.random((1, 20, 30)) < 0.9)
    before = [tensor.clone() for tensor in batch]
    window = [tensor[:, 3:17, 5:22] for tensor in batch]
    apart = [tensor.contiguous() for tensor in window]
    assert rmse_of(window) == rmse_of(apart)
    assert all(torch.equal(*pair) for pair in zip(batch, before, strict=True))


def rmse_of(batch: list[torch.Tensor]) -> float:
    return evaluate(METRICS, batch[0], batch[1], batch[2])["rmse"].item()


def test_predictions_that_still_have_gradients() -> None:
    target = torch.ones(1, 2, 2)
    prediction = torch.full((1, 2, 2), 2.0, requires_grad=True)
    assert abs_rel(prediction, target, target > 0).item() == 1


def test_many_blocks_give_what_one_block_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(4)
    prediction, target = rng.uniform(0.5, 9, (2, 1, 60, 70)).astype(np.float32)
    mask = rng.random((1, 60, 70)) < 0.6
    mask[:, :10] = False  # the first blocks hold nothing
    monkeypatch.setattr(terms, "BLOCK", 97)
    assert_close(prediction, target, mask)
    assert silog(*tensors(prediction, target, mask)).item() > 1
