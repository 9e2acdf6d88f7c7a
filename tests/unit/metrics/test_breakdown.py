"""Regions and their sums against a plain loop over pixels in numpy float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from bench.metrics.breakdown import (
    DEPTH_EDGES,
    by_depth,
    by_edges,
    on_grid,
    region_sums,
    regions,
    stride,
)

Array = npt.NDArray[Any]


def scene(seed: int, height: int, width: int) -> tuple[Array, Array, Array]:
    """Predictions, ground truth with depth edges, and where it is valid: (2, height, width)."""
    random = np.random.default_rng(seed)
    blocks = random.uniform(0.2, 12, (2, -(-height // 6), -(-width // 6)))
    truth = blocks.repeat(6, 1).repeat(6, 2)[:, :height, :width]
    truth = (truth * random.uniform(1, 1.06, truth.shape)).astype(np.float32)
    prediction = (truth * random.uniform(0.5, 1.6, truth.shape)).astype(np.float32)
    return prediction, truth, random.random(truth.shape) > 0.15


def expected(p: Array, g: Array, valid: Array, scored: Array, step: int) -> tuple[Array, Array]:
    """(pixels, within, sum of relative error) by depth bin, and for flat and near edges."""
    depth, edges = np.zeros((len(DEPTH_EDGES), 3)), np.zeros((2, 3))
    images, rows, columns = range(len(g)), range(0, g.shape[1], step), range(0, g.shape[2], step)
    p, g = p.astype(np.float64), g.astype(np.float64)
    for b in images:
        for y in rows:
            for x in columns:
                if not scored[b, y, x]:
                    continue
                near = False
                for v, u in ((y - step, x), (y + step, x), (y, x - step), (y, x + step)):
                    if 0 <= v < g.shape[1] and 0 <= u < g.shape[2] and valid[b, v, u]:
                        ends = sorted((g[b, y, x], g[b, v, u]))
                        near |= ends[1] / ends[0] - 1 > 0.1
                ratio = max(p[b, y, x] / g[b, y, x], g[b, y, x] / p[b, y, x])
                row = [1, ratio < 1.25, abs(p[b, y, x] - g[b, y, x]) / g[b, y, x]]
                bin_ = next((i for i, e in enumerate(DEPTH_EDGES[1:]) if g[b, y, x] <= e), 6)
                depth[bin_] += row
                edges[int(near)] += row
    return depth, edges


@pytest.mark.parametrize(("seed", "height", "width"), [(0, 31, 45), (1, 1, 9), (2, 482, 13)])
def test_sums_are_those_of_a_loop_over_pixels(seed: int, height: int, width: int) -> None:
    p, g, valid = scene(seed, height, width)
    scored = valid & (g < 11)
    step = stride(height)
    assert step == (3 if height == 482 else 1)
    index = regions(torch.from_numpy(g), torch.from_numpy(valid))
    planes = [torch.from_numpy(each)[:, ::step, ::step] for each in (p, g, scored)]
    sums = region_sums(planes[0], planes[1], planes[2], index)
    depth, edges = expected(p, g, valid, scored, step)
    np.testing.assert_allclose(by_depth(sums).numpy(), depth, rtol=1e-6)
    np.testing.assert_allclose(by_edges(sums).numpy(), edges, rtol=1e-6)
    assert edges[:, 0].min() > 0
    assert not depth[:, 0].any() or depth[:, 0].sum() == scored[:, ::step, ::step].sum()


def test_a_bin_holds_its_upper_end_and_one_more_lies_above_the_last() -> None:
    g = torch.tensor([[[1e-3, 1.0, 1.0001, 4.0, 4.0001, 6.0, 10.0, 10.001, 80.0]]])
    sums = region_sums(g, g, g > 0, regions(g, g > 0))
    assert by_depth(sums)[:, 0].tolist() == [2, 1, 0, 1, 2, 1, 2]


def test_what_is_not_scored_may_hold_anything() -> None:
    g = torch.tensor([[[2.0, torch.nan, 0.0, torch.inf, -1.0]]])
    p = torch.tensor([[[3.0, torch.nan, torch.inf, 0.0, torch.nan]]])
    sums = region_sums(
        p, g, torch.tensor([[[True, False, False, False, False]]]), regions(g, g > 0)
    )
    assert by_depth(sums).sum(0).tolist() == [1, 0, 0.5]
    none = torch.zeros_like(g, dtype=torch.bool)
    assert not region_sums(p, g, none, regions(g, g > 0)).any()


def test_no_edge_across_what_is_not_valid() -> None:
    g = torch.tensor([[[1.0, 0.0, 5.0, 5.0]]])
    assert (regions(g, g > 0) % 2).tolist()[0][0][2:] == [0, 0]
    assert (regions(g + 0.1, g >= 0) % 2).tolist() == [[[1, 1, 1, 0]]]


def test_the_threshold_of_delta1_is_exact() -> None:
    g = torch.tensor([[[4.0, 4.0, 5.0, 5.0]]])
    p = torch.tensor([[[5.0, float(np.nextafter(np.float32(5), np.float32(0))), 4.0, 4.001]]])
    assert by_depth(region_sums(p, g, g > 0, regions(g, g > 0))).sum(0)[1] == 2


@pytest.mark.parametrize("step", [1, 2, 3])
@pytest.mark.parametrize("start", [0, 1, 2, 45])
@pytest.mark.parametrize("size", [1, 2, 7])
def test_grid_rows_of_a_region_are_those_of_the_frame(start: int, size: int, step: int) -> None:
    frame = np.arange(60)
    inside, grid = on_grid(start, size, step)
    np.testing.assert_array_equal(frame[start : start + size][inside], frame[::step][grid])
    assert set(frame[::step][grid]) == set(range(start, start + size)) & set(frame[::step])
