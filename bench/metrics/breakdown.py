"""Where the error is: by depth, and near depth edges against flat regions.

The figures are pooled: every scored pixel of a grid over every image counts once, so they do not
average to the per-image means of the metrics. The grid, every `stride`-th row and column of the
frame from its first, keeps this cheap. B images, H×W pixels, H'×W' of them on the grid.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

DEPTH_EDGES = (0, 1, 2, 3, 4, 6, 10)
"""Ends of the depth bins in metres; a bin holds its upper end, and one more lies above the last."""

STEP = 0.1
"""A depth edge: of two neighbours on the grid one is more than this share beyond the other."""

_LAYERS = DEPTH_EDGES[-1] + 1
"""Layers of 1 m, and all that lies beyond: depth bins are made of these afterwards."""

REGIONS = 2 * _LAYERS
"""A pixel's region is twice its layer, plus one near a depth edge."""

_UNSCORED = 255


def stride(height: int) -> int:
    """Every how many rows and columns of a frame are on the grid: 3 for NYU's 480 rows."""
    return max(1, height // 160)


def on_grid(start: int, size: int, step: int) -> tuple[slice, slice]:
    """The grid's rows (or columns) among `size` rows of a frame from row `start`.

    Returns:
        As a slice of those `size` rows, and as a slice of the grid's rows.
    """
    first = -start % step
    begin = (start + first) // step
    return slice(first, None, step), slice(begin, begin + len(range(first, size, step)))


def regions(depth: Tensor, valid: Tensor) -> Tensor:
    """Sort the pixels of the grid by ground truth: depth, and whether a depth edge is near.

    Near means that one of the 4 neighbours on the grid (3 of NYU's pixels away) is valid and more
    than `STEP` farther or nearer, as a share of the nearer depth.

    Args:
        depth: (B, H, W) float32 metres, whole frames; where not valid it may hold anything.
        valid: (B, H, W) bool.

    Returns:
        (B, H', W') uint8: ``2 * layer + near``, layers being (0, 1] m, (1, 2] m and so on. What
        stands at invalid pixels means nothing.

    Example:
        >>> depth = torch.tensor([[[0.5, 0.52, 1.5, 1.5]]])
        >>> regions(depth, depth > 0).tolist()
        [[[0, 1, 3, 2]]]
    """
    step = stride(depth.shape[1])
    depth = depth[:, ::step, ::step].contiguous()
    valid = valid[:, ::step, ::step].contiguous()
    layer = depth.ceil().sub_(1).clamp_(0, _LAYERS - 1).to(torch.uint8)
    return layer * 2 + _beside_steps(depth, valid)


def _beside_steps(depth: Tensor, valid: Tensor) -> Tensor:
    """Which pixels have a step to one of their 4 neighbours: (B, H', W') uint8."""
    stretched = depth * (1 + STEP)
    # As bytes: on a CPU these are combined several times faster than truth values.
    usable = valid.view(torch.uint8)
    near = torch.zeros_like(usable)
    for axis in (1, 2):
        length = depth.shape[axis] - 1
        (first, second), (limit, other), (one, two), (left, right) = (
            (each.narrow(axis, 0, length), each.narrow(axis, 1, length))
            for each in (depth, stretched, usable, near)
        )
        # The lesser room to the limit of a step is below 0: one comparison, the slow operation.
        step = (torch.minimum(other - first, limit - second) < 0).view(torch.uint8)
        step &= one & two
        left |= step
        right |= step
    return near


def region_sums(prediction: Tensor, target: Tensor, mask: Tensor, index: Tensor) -> Tensor:
    """Sum what `abs_rel` and `delta1` are made of, region by region over all images.

    p is the prediction, g the ground truth. |p - g| / g is taken in float32 and added up in
    float64; max(p/g, g/p) < 1.25 is exact, as p - g has no rounding error where it is near.

    Args:
        prediction: (B, H', W') float32 metres, positive and finite inside the mask.
        target: (B, H', W') float32 metres, > 0 inside the mask.
        mask: (B, H', W') bool, the scored pixels. Outside it the other two may hold anything.
        index: (B, H', W') uint8, of `regions`.

    Returns:
        (`REGIONS`, 3) float64 on the CPU: scored pixels, those of them with
        max(p/g, g/p) < 1.25, and the sum of |p - g| / g.
    """
    prediction, target, mask = (each.contiguous() for each in (prediction, target, mask))
    error = prediction - target
    beyond = torch.maximum(4 * error - target, -4 * error - prediction)
    within = (beyond < 0).view(torch.uint8)
    # All bits set where nothing is scored: no pixel need be gathered.
    unscored = mask.view(torch.uint8) - 1
    groups = (index * 2 + within | unscored).flatten()
    relative = (error.abs_() / target).flatten().double()
    pixels = torch.bincount(groups, minlength=_UNSCORED + 1)[: 2 * REGIONS].reshape(REGIONS, 2)
    total = torch.bincount(groups, relative, _UNSCORED + 1)[: 2 * REGIONS].reshape(REGIONS, 2)
    return torch.stack([pixels.sum(1).double(), pixels[:, 1].double(), total.sum(1)], 1).cpu()


def by_depth(sums: Tensor) -> Tensor:
    """Region sums by depth bin: (``len(DEPTH_EDGES)``, 3), the last of all above the last end.

    Args:
        sums: (`REGIONS`, 3), of `region_sums`.
    """
    layers = sums.reshape(_LAYERS, 2, -1).sum(1)
    ends = [*DEPTH_EDGES, _LAYERS]
    return torch.stack([layers[a:b].sum(0) for a, b in pairwise(ends)])


def by_edges(sums: Tensor) -> Tensor:
    """Region sums of what lies in flat regions and what near depth edges: (2, 3).

    Args:
        sums: (`REGIONS`, 3), of `region_sums`.
    """
    return sums.reshape(_LAYERS, 2, -1).sum(0)
