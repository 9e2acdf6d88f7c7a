"""Losses as pure functions.

Shapes: prediction and target (B, 1, H, W) metres, valid (B, 1, H, W) bool, image (B, 3, H, W)
normalised. Each returns a scalar. Only valid pixels count; where there are none the loss is 0 and
so is its gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

DepthLoss = Callable[[Tensor, Tensor, Tensor], Tensor]

MIN_DEPTH = 1e-3
MAX_DEPTH = 10.0
SILOG_LAMBDA = 0.5


def l1(prediction: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """Mean absolute error: mean |d − d*| over the valid pixels of the batch, in metres."""
    return _difference(prediction, target, valid).abs().sum() / _count(valid)


def l2(prediction: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """Mean squared error: mean (d − d*)² over the valid pixels of the batch, in m²."""
    return _difference(prediction, target, valid).square().sum() / _count(valid)


def silog(prediction: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """Scale-invariant log error: mean(g²) − λ·mean(g)², g = ln d − ln d*, λ = 0.5.

    Means are over the valid pixels of each image, then over the images that have any (Eigen,
    Puhrsch & Fergus 2014, arXiv 1406.2283, eq. 4). Both depths are at least 1 mm: below that a
    prediction has no gradient.
    """
    logs = prediction.clamp(min=MIN_DEPTH).log(), target.clamp(min=MIN_DEPTH).log()
    difference = _difference(*logs, valid).flatten(1)
    count = valid.flatten(1).sum(1)
    safe = count.clamp(min=1)
    mean = difference.sum(1) / safe
    square = difference.square().sum(1) / safe
    return (square - SILOG_LAMBDA * mean.square()).sum() / (count > 0).sum().clamp(min=1)


DEPTH_LOSSES: dict[str, DepthLoss] = {"l1": l1, "l2": l2, "silog": silog}


def smoothness(depth: Tensor, image: Tensor) -> Tensor:
    """Edge-aware smoothness: mean |∂x d|·exp(−|∂x I|) + mean |∂y d|·exp(−|∂y I|).

    ∂ is the difference of neighbours, |∂I| its mean magnitude over the channels of the normalised
    image (Godard, Mac Aodha & Brostow 2017, arXiv 1609.03677, eq. 3, on depth instead of
    disparity). An axis of one pixel contributes 0.

    Args:
        depth: (B, 1, H, W) metres.
        image: (B, 3, H, W), normalised.
    """
    total = depth.new_zeros(())
    for axis in (-1, -2):
        if depth.shape[axis] > 1:
            edges = image.diff(dim=axis).abs().mean(dim=1, keepdim=True)
            total = total + (depth.diff(dim=axis).abs() * torch.exp(-edges)).mean()
    return total


def symmetry(plain: Tensor, mirrored: Tensor) -> Tensor:
    """Agreement of two views: MSE(a, sg(b)) + MSE(b, sg(a)), sg stopping the gradient.

    Args:
        plain: (B, 1, h, w) prediction of the view.
        mirrored: (B, 1, h, w) prediction of its mirror image, turned back.
    """
    return F.mse_loss(plain, mirrored.detach()) + F.mse_loss(mirrored, plain.detach())


def bin_classification(
    logits: Tensor, target: Tensor, valid: Tensor, centres: Sequence[float]
) -> Tensor:
    """Cross-entropy against the depth bin that holds the target, mean over valid pixels.

    The edges between bins are the midpoints of neighbouring centres; a target on an edge belongs
    to the farther bin.

    Args:
        logits: (B, K, H, W), before softmax.
        target: (B, 1, H, W) metres.
        valid: (B, 1, H, W) bool.
        centres: K bin centres in metres, increasing.
    """
    middle = torch.tensor(centres, dtype=target.dtype, device=target.device)
    edges = (middle[1:] + middle[:-1]) / 2
    index = torch.bucketize(target[:, 0].contiguous(), edges, right=True)
    entropy = F.cross_entropy(logits, index, reduction="none")
    return torch.where(valid[:, 0], entropy, 0.0).sum() / _count(valid)


def _difference(prediction: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    # where, not a product, and before any non-linearity: a NaN under an invalid pixel must reach
    # neither the loss nor its gradient.
    return torch.where(valid, prediction - target, 0.0)


def _count(valid: Tensor) -> Tensor:
    return valid.sum().clamp(min=1)
