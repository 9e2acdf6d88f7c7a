"""Alignments and whole presets against plain numpy float64, and predictors that try to cheat."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bench.metrics.standard import METRICS
from bench.protocols.alignment import fit, median
from bench.protocols.base import SCORABLE, Alignment, Protocol
from bench.protocols.presets import PROTOCOLS
from bench.protocols.scoring import BatchScores, score_batch
from bench.types import Output
from tests.unit.protocols.test_scoring import REAL, bilinear, figures

Array = npt.NDArray[Any]
PRESETS = {protocol.name: protocol for protocol in PROTOCOLS}
ALIGNED: list[Alignment] = [name for name in get_args(Alignment) if name != "none"]
LOW = np.float32(1e-3)


def score(
    protocol: Protocol,
    plain: Array,
    target: Array,
    output: Output = "metric",
    mirrored: Array | None = None,
) -> BatchScores:
    """Score (H, W) predictions of one image."""
    framed = protocol.at(*target.shape)
    mirrored = plain[:, ::-1] if mirrored is None else mirrored
    passes = [
        torch.from_numpy(np.ascontiguousarray(each, dtype=np.float32))[None, None]
        for each in (plain, mirrored)
    ]
    truth = torch.from_numpy(target.astype(np.float32))[None, None]
    return score_batch(framed, passes[0], passes[1], truth, truth > 0, METRICS, output)


def values(scores: BatchScores) -> dict[str, float]:
    return {name: value.item() for name, value in scores.values.items()}


# --- fits -------------------------------------------------------------------------------------


def lstsq(columns: list[Array], target: Array) -> Array:
    """The least squares fit of `target` by the columns' sum, by numpy's SVD."""
    matrix = np.stack(columns, 1)
    norms = np.abs(matrix).max(0)
    solution = np.linalg.lstsq(matrix / norms, target, rcond=None)[0]
    return (matrix / norms) @ solution


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 2**20),
    pixels=st.integers(2, 300),
    exponent=st.integers(-30, 30),
    offset=st.sampled_from([0.0, 1.0, -3.0, 100.0]),
    outlier=st.booleans(),
)
@pytest.mark.parametrize("alignment", ALIGNED)
def test_fits_are_those_of_numpy(
    alignment: Alignment, seed: int, pixels: int, exponent: int, offset: float, outlier: bool
) -> None:
    rng = np.random.default_rng(seed)
    target = np.exp(rng.uniform(np.log(1e-3), np.log(10), pixels))
    prediction = (rng.normal(size=pixels) + offset) * 10.0**exponent
    if outlier:
        prediction[0] *= 1e5
    prediction = prediction.astype(np.float32).astype(float)
    assume(np.isfinite(prediction).all())
    line = fit(alignment, torch.from_numpy(prediction), torch.from_numpy(target))
    assert line is not None
    if alignment == "median-scale":
        wanted = prediction * (np.median(target) / np.median(prediction))
    elif alignment == "lstsq-scale":
        wanted = lstsq([prediction], target)
    else:
        wanted = lstsq([prediction, np.full(pixels, np.abs(prediction).max())], target)
    found = line(torch.from_numpy(prediction)).numpy()
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-6 * np.abs(wanted).max())


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40))
def test_median_is_numpys(numbers: list[float]) -> None:
    assert median(torch.tensor(numbers, dtype=torch.float64)) == pytest.approx(np.median(numbers))


@pytest.mark.parametrize("alignment", ["lstsq-affine-depth", "lstsq-affine-disparity"])
@pytest.mark.parametrize("value", [0.0, 2.5, -7.0, 1e30, 1e-30])
def test_a_constant_has_no_scale_and_becomes_the_mean(alignment: Alignment, value: float) -> None:
    rng = np.random.default_rng(0)
    target = torch.from_numpy(rng.uniform(1, 9, 50))
    noise = 1 + rng.choice([-1, 0, 1], 50) * 2.0**-24
    constant = torch.from_numpy((value * noise).astype(np.float32)).double()
    line = fit(alignment, constant, target)
    assert line is not None
    assert line.scale == 0
    np.testing.assert_allclose(line(constant).numpy(), target.mean().item())


def test_what_cannot_be_fitted() -> None:
    none = torch.zeros(0, dtype=torch.float64)
    for alignment in ALIGNED:
        assert fit(alignment, none, none) is None
    for alignment in ("median-scale", "lstsq-scale"):
        assert fit(alignment, none.new_zeros(4), none.new_ones(4)) is None


# --- whole presets ----------------------------------------------------------------------------

CROP = (56, 472, 60, 604)
FRAME = (0, 480, 0, 640)
EIGEN = (45, 471, 41, 601)


def cut(image: Array, box: tuple[int, int, int, int]) -> Array:
    return image[box[0] : box[1], box[2] : box[3]]


def affine(prediction: Array, target: Array) -> Array:
    scale, shift = np.polyfit(prediction, target, 1)
    return scale * prediction + shift


def reference(name: str, first: Array, second: Array, target: Array) -> dict[str, float]:
    """Finite predictions of one 480×640 image under a preset; `second` is mirrored back."""
    view, region = {
        "nyu-depthclip": (CROP, (56, 471, 60, 601)),
        "nyu-moge-affine-disparity": (FRAME, FRAME),
    }.get(name, (FRAME, EIGEN))
    prediction = first
    if name in ("nyu-depthclip", "nyu-zoedepth"):
        prediction = (first + second) / 2
    if name == "nyu-adabins":
        prediction = (np.clip(first, 1e-3, 10) + np.clip(second, 1e-3, 10)) / 2
    frame = np.full(target.shape, np.nan)
    frame[view[0] : view[1], view[2] : view[3]] = bilinear(
        prediction, view[1] - view[0], view[3] - view[2]
    )
    p, g = cut(frame, region), cut(target, region)
    moge = name == "nyu-moge-affine-disparity"
    mask = g > 0 if moge else (g > LOW) & (g < 10)
    if name == "nyu-depthclip":
        mask &= p > LOW
    p, g = p[mask], g[mask].astype(float)
    if name == "nyu-marigold":
        p = affine(p, g)
    if name == "nyu-affine-disparity":
        p = 1 / np.maximum(affine(p, 1 / g), 1e-3)
    if moge:
        return figures(1 / np.maximum(affine(p, 1 / g), 1 / g.max()), g)
    return figures(np.clip(p, 1e-3, 10), g)


@pytest.mark.parametrize("name", [protocol.name for protocol in PROTOCOLS[3:]])
@pytest.mark.parametrize("seed", [0, 1])
def test_presets_against_numpy(name: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    target = rng.uniform(0.3, 11, (480, 640)).astype(np.float32)
    target[rng.random(target.shape) < 0.1] = 0
    depth = bilinear(target.astype(float), 52, 68) + rng.normal(size=(52, 68))
    in_disparity = "disparity" in name
    first = 3 / np.clip(depth, 0.5, None) + 2 if in_disparity else depth * 1.3 - 2
    first = first.astype(np.float32)
    second = (first + 0.3 * rng.normal(size=first.shape)).astype(np.float32)
    output: Output = "affine-disparity" if in_disparity else "metric"
    found = values(score(PRESETS[name], first, target, output, second[:, ::-1]))
    wanted = reference(name, first.astype(float), second.astype(float), target)
    assert found == pytest.approx(wanted, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize(
    ("bounds", "scored"),
    [("exclusive", [3]), ("inclusive", [1, 3, 10]), ("upper-inclusive", [3, 10])],
)
def test_bounds_of_the_ground_truth(bounds: Any, scored: list[int]) -> None:
    protocol = Protocol(name="x", valid_min=1, valid_max=10, valid_bounds=bounds)
    target = np.array([[0.5, 1, 3, 10, 11]])
    scores = score(protocol, np.full((1, 5), 3), target)
    assert scores.scored_pixels.item() == len(scored)
    wanted = np.mean([abs(3 - depth) / depth for depth in scored])
    assert values(scores)["abs_rel"] == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize("stronger", ["metric", "scale"])
def test_depth_is_turned_into_disparity_where_that_is_aligned(stronger: Output) -> None:
    rng = np.random.default_rng(3)
    target = rng.uniform(1, 9, (30, 40)).astype(np.float32)
    protocol = PRESETS["nyu-moge-affine-disparity"]
    assert values(score(protocol, target * 7, target, stronger))["abs_rel"] < 1e-6
    disparity = (5 / target + 2).astype(np.float32)
    assert values(score(protocol, disparity, target, "affine-disparity"))["abs_rel"] < 1e-6


# --- scales that are negative -----------------------------------------------------------------


def aligned(alignment: Alignment, **more: Any) -> Protocol:
    lowest = 1e-3 if alignment == "lstsq-affine-disparity" else None
    return Protocol(name="x", alignment=alignment, disparity_min=lowest, **more)


def worst(target: Array) -> float:
    return float(np.mean(np.maximum(10 - target, target - 1e-3) / target))


@pytest.mark.parametrize("alignment", ALIGNED)
def test_a_negative_scale_is_counted_and_is_the_worst(alignment: Alignment) -> None:
    rng = np.random.default_rng(4)
    target = rng.uniform(1, 9, (30, 40)).astype(np.float32)
    known = 1 / target if alignment == "lstsq-affine-disparity" else target
    output: Output = SCORABLE[alignment][-1]
    good, bad = (score(aligned(alignment), sign * known, target, output) for sign in (1, -1))
    assert (good.negative_scale.item(), bad.negative_scale.item()) == (0, 1)
    assert values(good)["abs_rel"] < 1e-6
    assert values(bad)["abs_rel"] == pytest.approx(worst(target.astype(float)), rel=1e-5)
    assert values(bad)["delta3"] == 0


def test_a_negative_scale_may_fall_back_to_the_medians() -> None:
    rng = np.random.default_rng(4)
    target = rng.uniform(1, 9, (30, 40)).astype(np.float32)
    upside_down = 20 - target
    protocol = aligned("lstsq-affine-depth", negative_scale="median")
    scores = score(protocol, upside_down, target, "affine-depth")
    assert scores.negative_scale.item() == 1
    scaled = upside_down * (np.median(target) / np.median(upside_down.astype(float)))
    wanted = figures(np.clip(scaled, 1e-3, 10).ravel(), target.ravel().astype(float))
    assert values(scores) == pytest.approx(wanted, rel=1e-6, abs=1e-6)
    hopeless = score(protocol, -target, target, "affine-depth")
    assert values(hopeless)["abs_rel"] == pytest.approx(worst(target.astype(float)), rel=1e-5)


def test_one_image_with_a_negative_scale_leaves_the_others_alone() -> None:
    target = torch.rand(3, 1, 12, 16, generator=torch.manual_seed(0)) * 8 + 1
    plain = target * torch.tensor([1.0, -1.0, 2.0])[:, None, None, None]
    framed = aligned("lstsq-affine-depth").at(12, 16)
    scores = score_batch(framed, plain, None, target, target > 0, METRICS, "affine-depth")
    assert scores.negative_scale.tolist() == [0, 1, 0]
    assert (scores.values["abs_rel"] < 1e-6).tolist() == [True, False, True]


@pytest.mark.parametrize("alignment", ALIGNED)
def test_broken_pixels_stay_out_of_the_fit_and_count_as_the_worst(alignment: Alignment) -> None:
    rng = np.random.default_rng(5)
    target = rng.uniform(1, 9, (30, 40)).astype(np.float32)
    known = (1 / target if alignment == "lstsq-affine-disparity" else target).copy()
    broken = rng.permutation(known.size)[:30]
    known.flat[broken] = rng.choice([np.nan, np.inf, -np.inf], 30)
    scores = score(aligned(alignment), known, target, SCORABLE[alignment][-1])
    assert scores.nonfinite.item() == 30
    wanted = worst(target.flat[broken].astype(float)) * 30 / known.size
    assert values(scores)["abs_rel"] == pytest.approx(wanted, rel=1e-4)


def test_an_image_without_ground_truth_has_no_figures_under_an_alignment() -> None:
    target = np.zeros((6, 8), dtype=np.float32)
    scores = score(aligned("lstsq-affine-depth"), target + 2, target, "affine-depth")
    assert scores.scored_pixels.item() == scores.negative_scale.item() == 0
    assert all(np.isnan(value) for value in values(scores).values())


# --- predictors that try to cheat -------------------------------------------------------------


def scene(seed: int, height: int = 48, width: int = 64) -> Array:
    """Depth with the spread of a room, and holes."""
    rng = np.random.default_rng(seed)
    target = np.exp(rng.normal(np.log(2.7), 0.45, (height, width))).clip(0.5, 9.5)
    target[rng.random(target.shape) < 0.1] = 0
    return target.astype(np.float32)


def cheats(target: Array, output: Output = "metric") -> dict[str, Array]:
    if output == "affine-disparity":
        target = np.divide(1, target, where=target > 0, out=np.zeros_like(target))
    middle = float(np.median(target[target > 0]))
    constant = np.full_like(target, middle)
    lone = np.full_like(target, np.nan)
    lone[20:22, 30] = middle
    infinite = np.full_like(target, np.inf)
    infinite[20, 30] = middle
    return {
        "constant": constant,
        "negative": -constant,
        "negated": -np.where(target > 0, target, middle),
        "zero": constant * 0,
        "tiny": constant * 0 + np.float32(1e-30),
        "huge": constant * 0 + np.float32(3e38),
        "nan": constant * np.nan,
        "inf": constant + np.inf,
        "minus-inf": constant - np.inf,
        "inverted": 10 - np.where(target > 0, target, middle),
        "all-but-one-nan": lone,
        "all-but-one-inf": infinite,
        "all-but-one-zero": np.where(infinite == np.inf, 0, infinite).astype(np.float32),
        "all-but-one-negative": np.where(infinite == np.inf, -1, infinite).astype(np.float32),
    }


def outputs(protocol: Protocol) -> tuple[Output, ...]:
    return SCORABLE[protocol.alignment]


CASES = [(protocol, output) for protocol in PROTOCOLS for output in outputs(protocol)]


@pytest.mark.parametrize(
    ("protocol", "output"), CASES, ids=lambda item: getattr(item, "name", item)
)
@pytest.mark.parametrize("seed", [0, 1])
def test_no_one_gains_by_failing(protocol: Protocol, output: Output, seed: int) -> None:
    target = scene(seed)
    framed = protocol.at(*target.shape)
    seen = target[framed.view.rows, framed.view.columns]
    sane = values(score(protocol, cheats(seen, output)["constant"], target, output))
    for name, prediction in cheats(seen, output).items():
        found = score(protocol, prediction, target, output)
        for metric in METRICS:
            sign = -1 if metric.higher_is_better else 1
            got = values(found)[metric.name]
            assert np.isfinite(got), (name, metric.name)
            # The mask on the prediction is the fault its preset is flagged for: all but one.
            if protocol.mask == "prediction-positive" and name.startswith("all-but-one"):
                continue
            # Zero is a number like any other before a shift, and one pixel says a little.
            free = "affine" in protocol.alignment and name.startswith("all-but-one")
            slack = 2e-3 * abs(sane[metric.name]) if free else 1e-5
            assert sign * got >= sign * sane[metric.name] - slack, (name, metric.name)


def test_the_flagged_fault_is_there_and_nowhere_else() -> None:
    """Nine in ten pixels predicted as zero: they vanish, where they should count."""
    target = scene(0, 480, 640)
    for protocol in PROTOCOLS:
        if protocol.alignment != "none":
            continue
        framed = protocol.at(480, 640)
        seen = target[framed.view.rows, framed.view.columns]
        perfect = np.where(seen > 0, seen, 1)
        failing = perfect.copy()
        failing[:, : seen.shape[1] * 9 // 10] = 0
        mirror = failing[:, ::-1]
        found = values(score(protocol, failing, target, mirrored=mirror))
        assert (found["abs_rel"] < 1e-6) == (protocol.mask == "prediction-positive")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_under_the_flagged_mask_what_is_not_finite_still_counts(bad: float) -> None:
    protocol = PRESETS["nyu-depthclip"].model_copy(update={"view": None, "region": None})
    target = scene(0)
    broken = np.where(target > 0, target, 1)
    broken[tuple(np.argwhere(target > 0)[0])] = bad
    scores = score(protocol, broken, target)
    assert values(scores)["abs_rel"] > 1e-4
    assert scores.nonfinite.item() == 1


def test_under_the_flagged_mask_an_image_with_no_pixel_left_is_the_worst() -> None:
    protocol = PRESETS["nyu-depthclip"].model_copy(update={"view": None, "region": None})
    target = scene(0)
    nothing = score(protocol, np.zeros_like(target), target)
    assert nothing.scored_pixels.item() == (target > 0).sum()
    truth = target[target > 0].astype(float)
    assert values(nothing)["abs_rel"] == pytest.approx(worst(truth), rel=1e-5)
    assert values(nothing)["delta3"] == 0


def test_published_rules_for_what_is_not_finite() -> None:
    """inf counts as 10 m and NaN as 1 mm where the protocol says so, and both are counted."""
    target = np.full((480, 640), 4.0, dtype=np.float32)
    for bad, depth in ((np.inf, 10), (np.nan, 1e-3), (-np.inf, 1e-3)):
        for name in ("nyu-bts", "nyu-zoedepth", "nyu-adabins"):
            scores = score(PRESETS[name], np.full((480, 640), bad), target)
            assert values(scores)["rmse"] == pytest.approx(abs(depth - 4), rel=1e-6)
            assert scores.nonfinite.item() == scores.scored_pixels.item()


# --- the known answer -------------------------------------------------------------------------


def constant_on_real(name: str, depths: Array) -> dict[str, float]:
    """A constant 2.5 m, by hand: under an affine alignment it is each image's mean."""
    found = []
    for depth in depths.astype(float):
        g = cut(depth, (56, 471, 60, 601) if name == "nyu-depthclip" else EIGEN)
        g = g[(g > LOW) & (g < 10)]
        constant = {"nyu-marigold": g.mean(), "nyu-affine-disparity": 1 / np.mean(1 / g)}
        found.append(figures(np.full(g.shape, constant.get(name, 2.5)), g))
    return {metric: float(np.mean([each[metric] for each in found])) for metric in found[0]}


KNOWN_ABS_REL = {
    "nyu-depthclip": 0.389394,
    "nyu-marigold": 0.435581,
    "nyu-affine-disparity": 0.356891,
}


@pytest.mark.skipif(not REAL.is_dir(), reason="the real NYU samples are not beside the project")
@pytest.mark.parametrize("name", KNOWN_ABS_REL)
def test_known_answers_on_real_depth(name: str) -> None:
    """A constant 2.5 m on the nine test images of the real subset, in-filled depth."""
    import h5py
    from scipy.io import loadmat

    folder = Path(REAL)
    chosen = loadmat(folder / "splits_real25.mat")["testNdxs"].ravel() - 1
    with h5py.File(folder / "nyu_real25_labeled.mat") as file:
        depths = np.stack([file["depths"][index].T for index in chosen])
    plain = np.full((4, 4), 2.5)
    each = [values(score(PRESETS[name], plain, depth)) for depth in depths]
    means = {metric: np.mean([one[metric] for one in each]) for metric in each[0]}
    assert means == pytest.approx(constant_on_real(name, depths), rel=1e-6, abs=1e-6)
    assert means["abs_rel"] == pytest.approx(KNOWN_ABS_REL[name], abs=1e-6)
