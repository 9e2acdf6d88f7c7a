"""Ordinal regression of depth. Source: Fu et al. 2018 (arXiv 1806.02446), section 3.2 and 3.3.

Axes: B batch, K bins. K − 1 logits a pixel, the k-th (from 0) for the event that depth lies beyond
bin k. The paper has K events, of which the last, beyond all bins, never happens.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def edges(bins: int, alpha: float, beta: float) -> list[float]:
    """The K + 1 edges of spacing-increasing bins, in metres (equation 1).

    tᵢ = exp(ln β* · i/K) − ξ with α* = α + ξ = 1 and β* = β + ξ.

    Args:
        bins: K.
        alpha: α, the first edge.
        beta: β, the last.
    """
    shift = 1.0 - alpha
    return [math.exp(math.log(beta + shift) * i / bins) - shift for i in range(bins + 1)]


def hard_depth(logits: Tensor, edges: Tensor) -> Tensor:
    """The middle of bin l̂, l̂ the number of events with probability ≥ ½ (equations 4 and 5).

    Args:
        logits: (B, K − 1, h, w).
        edges: (K + 1,) metres.

    Returns:
        (B, 1, h, w) metres.
    """
    count = (logits >= 0).sum(dim=1, keepdim=True)
    return _middles(edges)[count]


def soft_depth(logits: Tensor, edges: Tensor) -> Tensor:
    """The expectation of the bins' middles: m₀ + Σₖ Pₖ·(mₖ₊₁ − mₖ).

    Where the probabilities Pₖ fall with k it is the mean of the distribution they imply.

    Args:
        logits: (B, K − 1, h, w).
        edges: (K + 1,) metres.

    Returns:
        (B, 1, h, w) metres.
    """
    middles = _middles(edges)
    steps = middles.diff().view(1, -1, 1, 1)
    return middles[0] + (logits.sigmoid() * steps).sum(dim=1, keepdim=True)


def ordinal_loss(logits: Tensor, target: Tensor, valid: Tensor, edges: Tensor) -> Tensor:
    """Mean over valid pixels of −Σ_{k<l} ln Pₖ − Σ_{k≥l} ln(1 − Pₖ) (equations 2 and 3).

    l is the bin of the target; below the first edge it is the first, beyond the last the last.

    Args:
        logits: (B, K − 1, h, w).
        target: (B, 1, h, w) metres.
        valid: (B, 1, h, w) bool; where there are none the loss is 0.
        edges: (K + 1,) metres.
    """
    beyond = target >= edges[1:-1].view(1, -1, 1, 1)
    entropy = F.binary_cross_entropy_with_logits(logits, beyond.to(logits.dtype), reduction="none")
    pixel = entropy.sum(dim=1, keepdim=True)
    return torch.where(valid, pixel, 0.0).sum() / valid.sum().clamp(min=1)


def _middles(edges: Tensor) -> Tensor:
    return (edges[1:] + edges[:-1]) / 2
