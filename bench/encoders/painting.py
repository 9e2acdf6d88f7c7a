"""Painting segments: a label map and its image become a picture, for networks and for figures.

Every label has a colour of its own, a pure function of the label: the same in both views of an
image, in every process and on every device, bit for bit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Paint = Literal["blend", "flat"]
"""`blend`: the colours laid over the image, which shows where there is no segment. `flat`: the
colours alone, black where there is no segment."""

ALPHA = 0.35
"""How much of a blended pixel is the label's colour."""

# The fractions of the R3 sequence (powers of 1/1.2207…, the root of x⁴ = x + 1) in units of 2⁻³²:
# multiples of them, modulo 1, fill the colour cube evenly however many labels there are, and
# integers keep them exact. Source: M. Roberts, "The Unreasonable Effectiveness of Quasirandom
# Sequences", 2018.
_STEPS = (3518319155, 2882110345, 2360945575)
_BITS = 32
_FRACTION_BITS = 24  # as many as a float32 holds exactly
_DARKEST = 0.2


def colours(labels: Tensor) -> Tensor:
    """The colour of each label.

    Args:
        labels: (B, 1, h, w) int64.

    Returns:
        (B, 3, h, w) float32 in [0.2, 1): black stays free for "no segment".
    """
    steps = torch.tensor(_STEPS, dtype=torch.int64, device=labels.device).view(1, 3, 1, 1)
    places = (labels * steps) & ((1 << _BITS) - 1)
    fractions = (places >> (_BITS - _FRACTION_BITS)).to(torch.float32) / (1 << _FRACTION_BITS)
    return _DARKEST + (1 - _DARKEST) * fractions


def paint(image: Tensor, labels: Tensor, mode: Paint = "blend", alpha: float = ALPHA) -> Tensor:
    """Paint each segment in its label's colour.

    It acts on each pixel alone, so it commutes with cropping and mirroring.

    Args:
        image: (B, 3, h, w) float RGB in [0, 1].
        labels: (B, 1, h, w) int64; 0 = no segment.
        mode: `blend`: ``(1 - alpha)·image + alpha·colour``, the image itself where the label is 0.
            `flat`: the colour, black where the label is 0; the image's values are not used.
        alpha: The colour's share when blending, from 0 to 1.

    Returns:
        (B, 3, h, w) in [0, 1], of the image's type.

    Raises:
        ValueError: The labels do not go with the image.
    """
    if image.ndim != 4 or labels.shape != (image.shape[0], 1, *image.shape[2:]):
        raise ValueError(
            f"labels of shape {tuple(labels.shape)} do not go with an image of shape "
            f"{tuple(image.shape)}; expected (B, 1, h, w) and (B, 3, h, w)"
        )
    colour = colours(labels).to(image.dtype)
    segment = labels != 0
    if mode == "flat":
        return colour * segment
    return torch.where(segment, torch.lerp(image, colour, alpha), image)


def paint_array(
    image: npt.NDArray[np.uint8],
    labels: npt.NDArray[np.int32],
    mode: Paint = "blend",
    alpha: float = ALPHA,
) -> npt.NDArray[np.uint8]:
    """Paint one image for a figure; see `paint`.

    Args:
        image: (3, H, W) uint8 RGB.
        labels: (H, W) int32; 0 = no segment.
        mode: `blend` or `flat`.
        alpha: The colour's share when blending, from 0 to 1.

    Returns:
        (3, H, W) uint8 RGB.
    """
    pixels = torch.tensor(image, dtype=torch.float32)[None] / 255
    painted = paint(pixels, torch.tensor(labels, dtype=torch.int64)[None, None], mode, alpha)
    array: npt.NDArray[np.uint8] = (painted[0] * 255).round().to(torch.uint8).numpy()
    return array
