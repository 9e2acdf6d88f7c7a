"""Bringing predictions of unknown scale or shift to metres, image by image, in float64.

p is the prediction and g the ground truth (metres) of an image's scored pixels:

    median-scale            g ≈ s p,        s = median(g) / median(p)
    lstsq-scale             g ≈ s p,        least squares
    lstsq-affine-depth      g ≈ s p + t,    least squares (Ranftl et al. 2020, arXiv 1907.01341)
    lstsq-affine-disparity  1/g ≈ s p + t,  least squares, p a disparity; then inverted

A pixel without a finite prediction stays out of the fit. B images, H×W pixels, N scored pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bench.protocols.base import Alignment, Protocol
from bench.types import Output

FLAT = 2.0**-21
"""A prediction that varies by less than this share of its largest value is constant: what it varies
by is float32 rounding, and the sign of a scale fitted to that is chance."""


@dataclass(frozen=True)
class Line:
    """``value + scale (p - pivot)``: a fitted scale and shift, written so that no digits cancel.

    Attributes:
        scale: What a prediction is multiplied by.
        pivot: Taken from the prediction first.
        value: Where the pivot is brought to.
    """

    scale: float
    pivot: float = 0.0
    value: float = 0.0

    def __call__(self, prediction: Tensor) -> Tensor:
        """Bring a prediction to the target's unit."""
        return (prediction - self.pivot) * self.scale + self.value


@dataclass(frozen=True)
class Aligned:
    """Predictions in metres.

    Attributes:
        depth: (B, H, W) float64 metres before any clamp; NaN where the prediction was not finite
            or had no disparity. As predicted in an image that could not be fitted.
        nonpositive: (B, H, W) bool: aligned depth (or disparity) is zero or negative.
        raised: (B, H, W) bool: aligned disparity was below `disparity_min`.
        fitted: (B,) bool: whether the image could be brought to metres.
        negative: (B,) bool: whether its fitted scale was negative.
    """

    depth: Tensor
    nonpositive: Tensor
    raised: Tensor
    fitted: Tensor
    negative: Tensor


def align(
    rules: Protocol, prediction: Tensor, truth: Tensor, mask: Tensor, output: Output
) -> Aligned:
    """Bring B predictions to metres.

    Args:
        rules: With an alignment other than none.
        prediction: (B, H, W) float, resized and averaged; depth, or disparity where `output` says
            so. Depth that is not positive has no disparity and counts as not finite where the
            alignment is in disparity.
        truth: (B, H, W) float32 metres.
        mask: (B, H, W) bool, the scored pixels.
        output: What the prediction's numbers mean.
    """
    images = [
        _align_one(rules, *image, output)
        for image in zip(prediction.double(), truth.double(), mask, strict=True)
    ]
    depth, nonpositive, raised, fitted, negative = zip(*images, strict=True)
    return Aligned(
        torch.stack(depth),
        torch.stack(nonpositive),
        torch.stack(raised),
        torch.tensor(fitted, device=mask.device),
        torch.tensor(negative, device=mask.device),
    )


def _align_one(
    rules: Protocol, prediction: Tensor, truth: Tensor, mask: Tensor, output: Output
) -> tuple[Tensor, Tensor, Tensor, bool, bool]:
    in_disparity = rules.alignment == "lstsq-affine-disparity"
    given, known = prediction, truth
    if in_disparity:
        known = truth.reciprocal()
        if output != "affine-disparity":
            given = torch.where(prediction > 0, prediction, torch.nan).reciprocal()
    given = torch.where(given.isfinite(), given, torch.nan)
    used = mask & given.isfinite()
    line, negative = fit(rules.alignment, given[used], known[used]), False
    if line is not None and line.scale < 0:
        negative = True
        fallback = rules.negative_scale == "median"
        line = fit("median-scale", given[used], known[used]) if fallback else None
        line = None if line is None or line.scale < 0 else line
    if line is None:
        nowhere = torch.zeros_like(mask)
        return prediction, mask & (prediction <= 0), nowhere, False, negative
    aligned = line(given)
    nonpositive = aligned <= 0
    if not in_disparity:
        return aligned, nonpositive, torch.zeros_like(mask), True, negative
    lowest = rules.disparity_min
    if lowest == "ground-truth-max":
        lowest = known[mask].min().item()
    assert isinstance(lowest, float)
    return aligned.clamp(min=lowest).reciprocal(), nonpositive, aligned < lowest, True, negative


def fit(alignment: Alignment, prediction: Tensor, target: Tensor) -> Line | None:
    """Fit one image.

    A constant prediction has no scale to be fitted: the affine alignments bring it to the target's
    mean (scale 0), which is their least squares solution.

    Args:
        alignment: Other than none.
        prediction: (N,) float64, finite.
        target: (N,) float64, finite, > 0.

    Returns:
        The fitted line; its scale may be negative. None where there is none: no pixel, or a scale
        fitted to zeros or coming out as zero.
    """
    if not len(prediction):
        return None
    if alignment == "median-scale":
        return _scaled(median(target), median(prediction))
    if alignment == "lstsq-scale":
        return _scaled((prediction @ target).item(), (prediction @ prediction).item())
    middle, value = prediction.mean(), target.mean()
    low, high = prediction.aminmax()
    if high - low <= FLAT * torch.maximum(high.abs(), low.abs()):
        return Line(0.0, middle.item(), value.item())
    centred = prediction - middle
    scale = (centred @ (target - value)) / (centred @ centred)
    return Line(scale.item(), middle.item(), value.item())


def _scaled(numerator: float, denominator: float) -> Line | None:
    scale = numerator / denominator if denominator else 0.0
    return Line(scale) if scale else None


def median(values: Tensor) -> float:
    """The median of (N,) values, the mean of the middle two where N is even."""
    middle = len(values) // 2
    upper = values.kthvalue(middle + 1).values.item()
    if len(values) % 2:
        return upper
    return 0.5 * upper + 0.5 * values.kthvalue(middle).values.item()
