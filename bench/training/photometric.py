"""Photometric supervision: structural similarity, and looking at one view through another.

Shapes: images (B, C, H, W), depth (B, 1, H, W) metres, overlap (B, 1, H, W) bool.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.training.losses import MIN_DEPTH

Photometric = Literal["monodepth2", "study"]

WINDOW = 3
"""Side of the windows SSIM is taken over, in pixels."""
LUMINANCE_CONSTANT = 0.01**2
CONTRAST_CONSTANT = 0.03**2
DSSIM_SHARE = 0.85


def ssim(one: Tensor, other: Tensor) -> Tensor:
    """Structural similarity over 3×3 windows of equal weight, without padding.

    (2μ₁μ₂ + C₁)(2σ₁₂ + C₂) / ((μ₁² + μ₂² + C₁)(σ₁² + σ₂² + C₂)) with C₁ = 0.01², C₂ = 0.03²
    (Wang, Bovik, Sheikh & Simoncelli 2004, eq. 13; the constants are those of a range of 1).

    Args:
        one: (B, C, H, W), at least 3×3.
        other: The same shape.

    Returns:
        (B, C, H−2, W−2), from −1 to 1; position (y, x) is of the window around (y+1, x+1).
    """
    first, second = F.avg_pool2d(one, WINDOW, stride=1), F.avg_pool2d(other, WINDOW, stride=1)
    luminance = (2 * first * second + LUMINANCE_CONSTANT) / (
        first.square() + second.square() + LUMINANCE_CONSTANT
    )
    contrast = (2 * _covariance(one, other) + CONTRAST_CONSTANT) / (
        _covariance(one, one) + _covariance(other, other) + CONTRAST_CONSTANT
    )
    return luminance * contrast


def dssim(one: Tensor, other: Tensor) -> Tensor:
    """Structural dissimilarity (1 − SSIM)/2: (B, C, H−2, W−2), from 0 (alike) to 1."""
    return (1 - ssim(one, other)) / 2


def photometric(
    warped: Tensor,
    target: Tensor,
    overlap: Tensor | None = None,
    variant: Photometric = "monodepth2",
) -> Tensor:
    """How much two images differ: 0.85·DSSIM + 0.15·L1, each a mean (a scalar).

    Source: Godard, Mac Aodha, Firman & Brostow 2019 (monodepth2), arXiv 1806.01260, eq. 3.

    Args:
        warped: (B, C, H, W), normalised.
        target: The same shape.
        overlap: (B, 1, H, W); L1 is over these pixels, DSSIM over the windows wholly among them.
            None: all of them.
        variant: `study` has (1 − DSSIM)/2 in DSSIM's place, so it rewards what is unlike.
    """
    unlike = dssim(warped, target)
    if variant == "study":
        unlike = (1 - unlike) / 2
    apart = (warped - target).abs()
    if overlap is None:
        return DSSIM_SHARE * unlike.mean() + (1 - DSSIM_SHARE) * apart.mean()
    windows = ~(F.max_pool2d((~overlap).to(apart.dtype), WINDOW, stride=1) > 0)
    return DSSIM_SHARE * _mean(unlike, windows) + (1 - DSSIM_SHARE) * _mean(apart, overlap)


def inverse_warp(
    source: Tensor, depth: Tensor, camera: Tensor, rotation: Tensor, translation: Tensor
) -> Tensor:
    """The target view as its depth makes it out of the source view.

    Each target pixel is back-projected with its depth, moved into the source camera (R X + t),
    projected, and the source is sampled there bilinearly; outside it is 0.

    Args:
        source: (B, C, H, W).
        depth: (B, 1, H, W) of the target; depths below 1 mm count as 1 mm.
        camera: (3, 3) intrinsics of both views, in pixels whose centres are at whole numbers.
        rotation: (B, 3, 3).
        translation: (B, 3) metres.

    Returns:
        (B, C, H, W).
    """
    batch, _, height, width = depth.shape
    rows, columns = torch.meshgrid(
        torch.arange(height, dtype=depth.dtype, device=depth.device),
        torch.arange(width, dtype=depth.dtype, device=depth.device),
        indexing="ij",
    )
    pixels = torch.stack([columns, rows, torch.ones_like(rows)]).flatten(1)
    rays = torch.linalg.inv(camera) @ pixels
    points = rays * depth.clamp(min=MIN_DEPTH).flatten(2)
    moved = rotation @ points + translation[:, :, None]
    x, y, scale = (camera @ moved).unbind(1)
    scale = scale.clamp(min=MIN_DEPTH)
    places = torch.stack([_relative(x / scale, width), _relative(y / scale, height)], dim=-1)
    return F.grid_sample(
        source,
        places.view(batch, height, width, 2),
        mode="bilinear",
        padding_mode="zeros",
        align_corners=True,
    )


def _relative(place: Tensor, side: int) -> Tensor:
    """From pixels to −1 (first pixel's centre) … 1 (the last one's)."""
    return 2 * place / max(side - 1, 1) - 1


def _covariance(one: Tensor, other: Tensor) -> Tensor:
    """Covariance in 3×3 windows, from differences within them: nothing large is subtracted.

    The covariance of nine values is the mean of their rows' covariances plus that of the rows'
    means.
    """
    within = F.avg_pool2d(_covariance_of_three(one, other, -1), (WINDOW, 1), stride=1)
    means = [F.avg_pool2d(image, (1, WINDOW), stride=1) for image in (one, other)]
    return within + _covariance_of_three(means[0], means[1], -2)


def _covariance_of_three(one: Tensor, other: Tensor, axis: int) -> Tensor:
    """Covariance of three neighbours along an axis: Σ over pairs of Δ₁Δ₂ / 9."""
    near = one.diff(dim=axis) * other.diff(dim=axis)
    count = one.shape[axis]
    far = _apart_by_two(one, axis) * _apart_by_two(other, axis)
    pairs = near.narrow(axis, 0, count - 2) + near.narrow(axis, 1, count - 2) + far
    return pairs / WINDOW**2


def _apart_by_two(image: Tensor, axis: int) -> Tensor:
    count = image.shape[axis] - 2
    return image.narrow(axis, 2, count) - image.narrow(axis, 0, count)


def _mean(values: Tensor, where: Tensor) -> Tensor:
    """Mean over the pixels of (B, 1, h, w) `where` and all channels; 0 where there are none."""
    kept = torch.where(where, values, 0.0)
    return kept.sum() / (where.sum() * values.shape[1]).clamp(min=1)
