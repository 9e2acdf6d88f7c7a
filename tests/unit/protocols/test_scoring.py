"""Whole protocols against a plain numpy float64 implementation of their descriptions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.errors import MethodError
from bench.metrics.breakdown import by_depth, regions
from bench.metrics.standard import METRICS
from bench.protocols.base import FramedProtocol, Protocol
from bench.protocols.presets import FULL, NYU_EIGEN, NYU_STUDY
from bench.protocols.scoring import BatchScores, score_batch, views

REAL = Path(__file__).parents[4] / "shared" / "nyu_real"
LOW, HIGH = np.float32(1e-3), np.float32(10)

Floats = npt.NDArray[np.float32]
Array = npt.NDArray[Any]


def bilinear(image: Array, height: int, width: int, align_corners: bool = True) -> Array:
    """(h, w) float64 -> (height, width)."""

    def weights(old: int, new: int) -> Array:
        if align_corners:
            places = np.arange(new) * ((old - 1) / (new - 1)) if new > 1 else np.zeros(new)
        else:
            places = np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, None)
        below = np.minimum(places.astype(int), old - 1)
        matrix = np.zeros((new, old))
        matrix[np.arange(new), below] = 1 - (places - below)
        matrix[np.arange(new), np.minimum(below + 1, old - 1)] += places - below
        return matrix

    return weights(image.shape[0], height) @ image @ weights(image.shape[1], width).T


def figures(p: Array, g: Array) -> dict[str, float]:
    """Figures of one image's scored pixels, both (N,) float64."""
    ratio, log = np.maximum(p / g, g / p), np.log(p) - np.log(g)
    within = {f"delta{k}": float(np.mean(ratio < 1.25**k)) for k in (1, 2, 3)}
    return within | {
        "abs_rel": np.mean(np.abs(p - g) / g),
        "sq_rel": np.mean((p - g) ** 2 / g),
        "rmse": np.sqrt(np.mean((p - g) ** 2)),
        "rmse_log": np.sqrt(np.mean(log**2)),
        "log10": np.mean(np.abs(log)) / np.log(10),
        "silog": 100 * np.std(log),
    }


WINDOWS = {  # view, region: top, bottom, left, right
    ("full", 480): ((0, 480, 0, 640), (0, 480, 0, 640)),
    ("full", 120): ((0, 120, 0, 160), (0, 120, 0, 160)),
    ("nyu-eigen", 480): ((0, 480, 0, 640), (45, 471, 41, 601)),
    ("nyu-eigen", 120): ((0, 120, 0, 160), (11, 118, 10, 150)),
    ("nyu-study", 480): ((56, 472, 60, 604), (56, 472, 60, 604)),
    ("nyu-study", 120): ((14, 118, 15, 151), (14, 118, 15, 151)),
}


def reference(
    name: str, plain: Floats, mirrored: Floats, target: Floats, valid: npt.NDArray[np.bool_]
) -> tuple[dict[str, float], dict[str, int]]:
    """One image under one of the presets; all predictions finite."""
    view, region = WINDOWS[name, len(target)]
    size = (view[1] - view[0], view[3] - view[2])
    first, second = plain.astype(float), mirrored.astype(float)[:, ::-1]
    raw = bilinear(first, *size)
    final = raw
    if name == "nyu-study":
        raw = bilinear((first + second) / 2, *size)
        final = bilinear((np.clip(first, 0, 10) + np.clip(second, 0, 10)) / 2, *size)
    scored = np.zeros(target.shape, dtype=bool)
    scored[region[0] : region[1], region[2] : region[3]] = True
    scored &= valid & (target > LOW) & (target < HIGH)
    frame_raw, frame = np.full(target.shape, np.nan), np.full(target.shape, np.nan)
    frame_raw[view[0] : view[1], view[2] : view[3]] = raw
    frame[view[0] : view[1], view[2] : view[3]] = np.clip(final, float(LOW), 10)
    raw = frame_raw[scored]
    counts = {
        "nonfinite": 0,
        "nonpositive": int((raw <= 0).sum()),
        "clamped": int(((raw < LOW) | (raw > HIGH)).sum()),
        "scored_pixels": int(scored.sum()),
    }
    return figures(frame[scored], target[scored].astype(float)), counts


def counts_of(scores: BatchScores, index: int) -> dict[str, int]:
    names = ("nonfinite", "nonpositive", "clamped", "scored_pixels")
    return {name: int(getattr(scores, name)[index]) for name in names}


def ground_truth(
    rng: np.random.Generator, images: int, height: int, width: int
) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Depth with pixels on and beyond both bounds, and holes: invalid, and invalid with junk."""
    target = rng.uniform(0.3, 11, (images, 1, height, width)).astype(np.float32)
    edges = np.array([0, LOW, np.nextafter(LOW, HIGH), np.nextafter(HIGH, LOW), HIGH, 80])
    places = rng.random(target.shape) < 0.02
    target[places] = rng.choice(edges.astype(np.float32), int(places.sum()))
    valid = (rng.random(target.shape) < 0.8) & (target > 0)
    target[~valid & (rng.random(target.shape) < 0.5)] = np.nan
    return target, valid


def run(
    protocol: FramedProtocol,
    plain: Array,
    mirrored: Array | None,
    target: Array,
    valid: Array,
) -> BatchScores:
    passes = [
        None if x is None else torch.from_numpy(np.ascontiguousarray(x)) for x in (plain, mirrored)
    ]
    assert passes[0] is not None
    truth = (torch.from_numpy(target), torch.from_numpy(valid))
    return score_batch(protocol, passes[0], passes[1], *truth, METRICS)


@pytest.mark.parametrize("protocol", [FULL, NYU_EIGEN, NYU_STUDY], ids=lambda item: item.name)
@pytest.mark.parametrize(
    ("height", "width", "grid"),
    [
        (480, 640, (13, 17)),
        (480, 640, (104, 136)),
        (120, 160, (1, 1)),
        (120, 160, (5, 1)),
        (120, 160, (104, 136)),
        (120, 160, (120, 160)),
        (120, 160, (300, 400)),
    ],
)
@pytest.mark.parametrize("wild", [False, True], ids=["sane", "wild"])
def test_presets_against_numpy(
    protocol: Protocol, height: int, width: int, grid: tuple[int, int], wild: bool
) -> None:
    rng = np.random.default_rng([height, *grid, wild])
    images = 1 if height == 480 else 2
    target, valid = ground_truth(rng, images, height, width)
    low, high = (-4, 14) if wild else (0.5, 9)
    plain, mirrored = rng.uniform(low, high, (2, images, 1, *grid)).astype(np.float32)
    scores = run(protocol.at(height, width), plain, mirrored, target, valid)
    for index in range(images):
        inputs = (plain[index, 0], mirrored[index, 0], target[index, 0], valid[index, 0])
        wanted, counts = reference(protocol.name, *inputs)
        got = {name: value[index].item() for name, value in scores.values.items()}
        assert got == pytest.approx(wanted, rel=1e-6, abs=1e-6)
        assert counts_of(scores, index) == counts


@pytest.mark.parametrize("align_corners", [True, False])
def test_align_corners_is_obeyed(align_corners: bool) -> None:
    protocol = Protocol(name="x", align_corners=align_corners).at(30, 40)
    rng = np.random.default_rng(0)
    plain = rng.uniform(1, 9, (1, 1, 7, 9)).astype(np.float32)
    target = rng.uniform(1, 9, (1, 1, 30, 40)).astype(np.float32)
    wanted = bilinear(plain[0, 0].astype(float), 30, 40, align_corners)
    scores = run(protocol, plain, None, target, target > 0)
    rmse = np.sqrt(np.mean((wanted - target) ** 2))
    assert scores.values["rmse"].item() == pytest.approx(rmse, rel=1e-6)


@pytest.mark.parametrize("average", ["before-resize", "after-resize"])
def test_clamp_each_comes_just_before_averaging(average: Any) -> None:
    protocol = Protocol(name="x", flip=True, clamp_each=(2, 5), average=average).at(30, 40)
    rng = np.random.default_rng(0)
    plain, mirrored = rng.uniform(-3, 14, (2, 1, 1, 7, 9)).astype(np.float32)
    target = rng.uniform(1, 9, (1, 1, 30, 40)).astype(np.float32)
    first, second = plain[0, 0].astype(float), mirrored[0, 0, :, ::-1].astype(float)
    if average == "before-resize":
        wanted = bilinear((np.clip(first, 2, 5) + np.clip(second, 2, 5)) / 2, 30, 40)
    else:
        first, second = (np.clip(bilinear(each, 30, 40), 2, 5) for each in (first, second))
        wanted = (first + second) / 2
    scores = run(protocol, plain, mirrored, target, target > 0)
    rmse = np.sqrt(np.mean((wanted - target) ** 2))
    assert scores.values["rmse"].item() == pytest.approx(rmse, rel=1e-6)


def test_clamp_each_works_where_the_average_needs_no_clamp() -> None:
    """-4 and 8 average to 2, inside the final clamp; clamped first, they average to 4."""
    target = np.full((1, 1, 480, 640), 4, dtype=np.float32)
    plain = np.full((1, 1, 4, 4), -4, dtype=np.float32)
    scores = run(NYU_STUDY.at(480, 640), plain, plain * -2, target, target > 0)
    assert scores.values["rmse"].item() == 0
    assert counts_of(scores, 0)["nonpositive"] == 0


def test_clamp_each_hides_no_negative_prediction_from_the_counts() -> None:
    target = np.full((1, 1, 480, 640), 4, dtype=np.float32)
    plain = np.full((1, 1, 4, 4), -4, dtype=np.float32)
    scores = run(NYU_STUDY.at(480, 640), plain, plain, target, target > 0)
    everything = 416 * 544
    assert counts_of(scores, 0) == {
        "nonfinite": 0,
        "nonpositive": everything,
        "clamped": everything,
        "scored_pixels": everything,
    }


@pytest.mark.parametrize(
    ("value", "nonpositive", "clamped"),
    [(0, 1, 1), (-2, 1, 1), (5e-4, 0, 1), (11, 0, 1), (9, 0, 0)],
)
def test_unusable_values_are_counted_and_scored_at_the_clamp(
    value: float, nonpositive: int, clamped: int
) -> None:
    target = np.full((1, 1, 4, 4), 4, dtype=np.float32)
    plain = np.full((1, 1, 4, 4), value, dtype=np.float32)
    scores = run(FULL.at(4, 4), plain, None, target, target > 0)
    assert scores.nonpositive.item() == 16 * nonpositive
    assert scores.clamped.item() == 16 * clamped
    assert scores.values["delta3"].item() == 0
    assert scores.values["abs_rel"].item() == pytest.approx(abs(np.clip(value, LOW, HIGH) - 4) / 4)


def test_a_prediction_is_put_back_where_its_view_was() -> None:
    rng = np.random.default_rng(8)
    target = rng.uniform(1, 9, (1, 1, 480, 640)).astype(np.float32)
    seen = target[:, :, 56:472, 60:604]
    scores = run(NYU_STUDY.at(480, 640), seen, seen[..., ::-1], target, target > 0)
    assert scores.values["rmse"].item() == 0
    assert scores.values["delta1"].item() == 1
    shifted = run(NYU_STUDY.at(480, 640), np.roll(seen, 1, -1), seen, target, target > 0)
    assert shifted.values["rmse"].item() > 0.5


def test_a_region_smaller_than_its_view() -> None:
    protocol = Protocol.model_validate(
        {
            "name": "depthclip",
            "view": {"rows": [56, 472], "cols": [60, 604]},
            "region": {"rows": [56, 471], "cols": [62, 601]},
        }
    )
    target = np.full((1, 1, 480, 640), 3, dtype=np.float32)
    seen = np.full((1, 1, 416, 544), 9, dtype=np.float32)
    seen[:, :, : 471 - 56, 2 : 601 - 60] = 3
    scores = run(protocol.at(480, 640), seen, None, target, target > 0)
    assert scores.values["rmse"].item() == 0
    assert counts_of(scores, 0)["scored_pixels"] == (471 - 56) * (601 - 62)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf], ids=str)
@pytest.mark.parametrize("protocol", [FULL, NYU_STUDY], ids=lambda item: item.name)
@pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("kind", ["sane", "constant", "perfect", "extreme"])
def test_broken_pixels_never_improve_a_figure(
    protocol: Protocol, bad: float, share: float, kind: str
) -> None:
    rng = np.random.default_rng(11)
    target = rng.uniform(0.5, 9.5, (1, 1, 60, 80)).astype(np.float32)
    framed = protocol.at(60, 80)
    view = target[:, :, framed.view.rows, framed.view.columns]
    plain = {
        "sane": view * rng.uniform(0.7, 1.4, view.shape).astype(np.float32),
        "constant": np.full_like(view, 2.5),
        "perfect": view.copy(),
        "extreme": rng.choice(np.array([LOW, HIGH]), view.shape),
    }[kind]
    broken = plain.copy()
    broken[rng.random(broken.shape) < share] = bad
    broken[..., 20, 20] = bad
    mirror = plain[..., ::-1]
    before = run(framed, plain, mirror, target, target > 0)
    after = run(framed, broken, mirror, target, target > 0)
    assert counts_of(before, 0)["nonfinite"] == 0
    assert counts_of(after, 0)["nonfinite"] == (~np.isfinite(broken)).sum()
    for metric in METRICS:
        sign = -1 if metric.higher_is_better else 1
        better, worse = (sign * each.values[metric.name].item() for each in (before, after))
        assert worse >= better - 1e-9, metric.name
        assert np.isfinite(worse)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**20), broken=st.integers(1, 6), equal_depths=st.booleans())
def test_nothing_within_the_clamp_would_score_worse(
    seed: int, broken: int, equal_depths: bool
) -> None:
    """All ends of the clamp at up to six broken pixels, tried one by one."""
    rng = np.random.default_rng(seed)
    target = np.exp(rng.uniform(np.log(0.002), np.log(9.9), (1, 1, 2, 4))).astype(np.float32)
    if equal_depths:
        target[:] = target[0, 0, 0, 0]
    plain = np.exp(rng.uniform(np.log(0.002), np.log(9.9), target.shape)).astype(np.float32)
    places = np.unravel_index(rng.permutation(8)[:broken], (2, 4))
    holed = plain.copy()
    holed[0, 0][places] = np.nan
    scores = run(FULL.at(2, 4), holed, None, target, target > 0)
    got = {name: value.item() for name, value in scores.values.items()}
    tried = []
    for choice in np.ndindex(*(2,) * broken):
        ends = plain.copy()
        ends[0, 0][places] = np.where(choice, HIGH, LOW)
        tried.append(figures(ends[0, 0].ravel().astype(float), target[0, 0].ravel().astype(float)))
    wanted = {
        name: (min if name.startswith("delta") else max)(each[name] for each in tried)
        for name in got
    }
    assert got == pytest.approx(wanted, rel=1e-6, abs=1e-6)


def test_broken_pixels_that_are_not_scored_cost_nothing() -> None:
    target = np.full((1, 1, 480, 640), 4, dtype=np.float32)
    plain = target * 1.1
    clean = run(NYU_EIGEN.at(480, 640), plain, None, target, target > 0)
    plain[..., :45, :] = np.nan
    valid = target > 0
    valid[..., 100, 100], plain[..., 100, 100] = False, np.inf
    scores = run(NYU_EIGEN.at(480, 640), plain, None, target, valid)
    assert counts_of(scores, 0)["nonfinite"] == 0
    for name, value in clean.values.items():
        assert scores.values[name].item() == pytest.approx(value.item(), rel=1e-6, abs=1e-9)


def test_only_the_image_that_is_broken_suffers() -> None:
    rng = np.random.default_rng(0)
    target = rng.uniform(1, 9, (3, 1, 24, 32)).astype(np.float32)
    plain = target * rng.uniform(0.8, 1.2, target.shape).astype(np.float32)
    clean = run(FULL.at(24, 32), plain, None, target, target > 0)
    plain[1, 0, 3, 3] = np.nan
    scores = run(FULL.at(24, 32), plain, None, target, target > 0)
    assert scores.nonfinite.tolist() == [0, 1, 0]
    for name, value in clean.values.items():
        changed = (value != scores.values[name]).tolist()
        assert changed[0] is changed[2] is False
        assert name.startswith("delta") or changed[1]


def test_huge_finite_passes_are_not_taken_for_broken() -> None:
    target = np.full((1, 1, 480, 640), 4, dtype=np.float32)
    plain = np.full((1, 1, 2, 2), 3e38, dtype=np.float32)
    scores = run(NYU_STUDY.at(480, 640), plain, plain, target, target > 0)
    assert counts_of(scores, 0)["nonfinite"] == 0
    assert scores.values["rmse"].item() == pytest.approx(6)


def test_an_image_without_ground_truth_has_no_figures() -> None:
    target = np.ones((2, 1, 24, 32), dtype=np.float32)
    target[1] = 10  # on the bound, so not scored
    plain = np.full((2, 1, 24, 32), np.nan, dtype=np.float32)
    plain[0] = 2
    scores = run(FULL.at(24, 32), plain, None, target, target > 0)
    assert scores.scored_pixels.tolist() == [24 * 32, 0]
    assert scores.nonfinite.tolist() == [0, 0]
    for value in scores.values.values():
        assert np.isfinite(value[0].item())
        assert np.isnan(value[1].item())


def test_half_precision_predictions_are_scored() -> None:
    target = torch.full((1, 1, 24, 32), 4.0)
    for dtype in (torch.float16, torch.bfloat16):
        plain = torch.full((1, 1, 3, 4), 2.0, dtype=dtype)
        scores = score_batch(FULL.at(24, 32), plain, None, target, target > 0, METRICS)
        assert scores.values["rmse"].item() == pytest.approx(2)


def test_batch_scores_do_not_depend_on_the_batch() -> None:
    rng = np.random.default_rng(6)
    target, valid = ground_truth(rng, 3, 120, 160)
    plain, mirrored = rng.uniform(-1, 11, (2, 3, 1, 26, 34)).astype(np.float32)
    plain[2, 0, 5, 5] = np.nan
    framed = NYU_STUDY.at(120, 160)
    together = run(framed, plain, mirrored, target, valid)
    for index in range(3):
        one = slice(index, index + 1)
        alone = run(framed, plain[one], mirrored[one], target[one], valid[one])
        assert counts_of(alone, 0) == counts_of(together, index)
        for name, value in alone.values.items():
            assert together.values[name][index] == value[0]


def test_inputs_are_left_as_they_were() -> None:
    rng = np.random.default_rng(6)
    target, valid = ground_truth(rng, 1, 120, 160)
    plain, mirrored = rng.uniform(-1, 11, (2, 1, 1, 104, 136)).astype(np.float32)
    plain[0, 0, 5, 5] = np.nan
    before = [x.copy() for x in (plain, mirrored, target, valid)]
    run(NYU_STUDY.at(120, 160), plain, mirrored, target, valid)
    for old, new in zip(before, (plain, mirrored, target, valid), strict=True):
        np.testing.assert_array_equal(old, new)


def test_passes_that_differ_in_shape_are_refused() -> None:
    target = torch.ones(1, 1, 480, 640)
    framed = NYU_STUDY.at(480, 640)
    plain = torch.ones(1, 1, 4, 4)
    with pytest.raises(MethodError, match="the grid must be the same"):
        score_batch(framed, plain, torch.ones(1, 1, 4, 5), target, target > 0, METRICS)
    with pytest.raises(ValueError, match="mirrored pass"):
        score_batch(framed, plain, None, target, target > 0, METRICS)
    with pytest.raises(ValueError, match="frame"):
        score_batch(framed, plain, plain, target[..., 1:], target > 0, METRICS)


def test_views_are_shared() -> None:
    protocols = [item.at(480, 640) for item in (NYU_EIGEN, NYU_STUDY, FULL)]
    whole, crop = views(protocols)
    assert whole.window == FULL.at(480, 640).view
    assert not whole.mirrored
    assert [item.name for item in whole.protocols] == ["nyu-eigen", "full"]
    assert whole.protocols[0] is protocols[0]
    assert crop.mirrored
    assert [item.name for item in crop.protocols] == ["nyu-study"]
    flipped = Protocol(name="flipped", flip=True).at(480, 640)
    assert [view.mirrored for view in views([protocols[2], flipped])] == [True]


KNOWN = {
    "delta1": 0.313845,
    "delta2": 0.605690,
    "delta3": 0.757221,
    "abs_rel": 0.391863,
    "sq_rel": 0.866105,
    "rmse": 2.016280,
    "rmse_log": 0.544135,
    "log10": 0.195753,
    "silog": 42.861621,
}


@pytest.mark.skipif(not REAL.is_dir(), reason="the real NYU samples are not beside the project")
def test_known_answer_on_real_depth() -> None:
    """A constant 2.5 m on the nine test images of the real subset, in-filled depth."""
    import h5py
    from scipy.io import loadmat

    chosen = loadmat(REAL / "splits_real25.mat")["testNdxs"].ravel() - 1
    with h5py.File(REAL / "nyu_real25_labeled.mat") as file:
        depths = np.stack([file["depths"][index].T for index in chosen])[:, None]
    plain = np.full((len(depths), 1, 1, 1), 2.5, dtype=np.float32)
    scores = run(NYU_EIGEN.at(480, 640), plain, None, depths, depths > 0)
    means = {name: value.mean().item() for name, value in scores.values.items()}
    assert len(depths) == 9
    assert means == pytest.approx(KNOWN, abs=1e-6)


def broken_down(protocol: FramedProtocol, plain: Floats, target: Floats, valid: Array) -> Array:
    """(depth bins, 3): pixels, within, sum of relative error."""
    truth = torch.from_numpy(target), torch.from_numpy(valid)
    index = regions(truth[0][:, 0], truth[1][:, 0])
    passes = torch.from_numpy(plain), torch.from_numpy(plain[..., ::-1].copy())
    scores = score_batch(protocol, *passes, *truth, METRICS, regions=index)
    assert scores.breakdown is not None
    return np.asarray(by_depth(scores.breakdown))


def test_the_breakdown_adds_up_to_the_metrics() -> None:
    rng = np.random.default_rng(7)
    target = rng.uniform(0.5, 12, (2, 1, 24, 32)).astype(np.float32)
    plain = (target * rng.uniform(0.6, 1.5, target.shape)).astype(np.float32)
    valid = rng.random(target.shape) > 0.2
    scores = run(FULL.at(24, 32), plain, None, target, valid)
    weights = scores.scored_pixels.double()
    pixels, within, relative = broken_down(FULL.at(24, 32), plain, target, valid).sum(0)
    assert pixels == weights.sum()
    assert within == pytest.approx((scores.values["delta1"] * weights).sum().item())
    total = (scores.values["abs_rel"] * weights).sum().item()
    assert relative == pytest.approx(total, rel=1e-6)


def test_the_breakdown_is_of_the_scored_region_on_the_grid_of_the_frame() -> None:
    rows, columns = np.mgrid[:480, :640]
    on_grid = (rows % 3 == 0) & (columns % 3 == 0)
    truth = np.where(rows < 100, 0.5, np.where(columns < 300, 1.5, 2.5))
    target = np.where(on_grid, truth, 8).astype(np.float32)[None, None]
    plain = np.full((1, 1, 2, 2), 2, dtype=np.float32)
    for protocol in (NYU_STUDY, NYU_EIGEN):
        framed = protocol.at(480, 640)
        seen = framed.region.rows, framed.region.columns
        kept = truth[seen][on_grid[seen]]
        wanted = [np.count_nonzero(kept == depth) for depth in (0.5, 1.5, 2.5)]
        found = broken_down(framed, plain, target, target > 0)
        assert found[:, 0].tolist() == [*wanted, 0, 0, 0, 0]
        np.testing.assert_allclose(found[:3, 2] / wanted, [3, 1 / 3, 0.2], rtol=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, -1.0, 0.0])
def test_failing_never_betters_the_breakdown(bad: float) -> None:
    rng = np.random.default_rng(8)
    target = rng.uniform(0.5, 9, (2, 1, 24, 32)).astype(np.float32)
    plain = (target * 1.5).astype(np.float32)
    honest = broken_down(FULL.at(24, 32), plain, target, target > 0).sum(0)
    plain[1, 0, 5:9] = bad
    failed = broken_down(FULL.at(24, 32), plain, target, target > 0).sum(0)
    assert failed[0] == honest[0]
    assert failed[1] <= honest[1]
    assert failed[2] > honest[2]
    assert np.isfinite(failed).all()
