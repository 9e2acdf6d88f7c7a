"""Depth from the similarity of image tokens and distance prompts.

Axes: B batch, C token channels, D text channels, h×w tokens, K depth bins.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.errors import MethodError

Normalise = Literal["before", "after"]
"""When token vectors get unit length: before the channel reduction and not again, or after it."""


def reduce_channels(tokens: Tensor, channels: int) -> Tensor:
    """Nearest interpolation along channels: channel i of D is channel floor(i·C/D) of C.

    With C = k·D these are every k-th channel (CLIP RN50: 2048 → 1024, the even ones).

    Args:
        tokens: (B, C, …).
        channels: D.

    Returns:
        (B, D, …).

    Raises:
        MethodError: C < D: there are too few channels to choose from.
    """
    available = tokens.shape[1]
    if available == channels:
        return tokens
    if available < channels:
        raise MethodError(
            f"the encoder's tokens have {available} channels, the text embeddings {channels}: "
            "channels can only be left out; choose an encoder with embed_dim ≤ token channels"
        )
    index = torch.arange(channels, device=tokens.device) * available // channels
    return tokens.index_select(1, index)


def similarity(tokens: Tensor, text: Tensor, normalise: Normalise) -> Tensor:
    """Similarity of each token to each distance prompt, in float64.

    Divided by a temperature of 0.001 a float32 rounding error becomes 1e-4 of a logit; in float64
    what remains is the encoder's.

    Args:
        tokens: (B, C, h, w).
        text: (K, D) embeddings, each of unit length unless `normalise` is ``after``.
        normalise: ``before``: tokens to unit length, then the channel reduction, so the result is
            not quite a cosine (DepthCLIP). ``after``: the reduction, then both sides to unit
            length: a cosine.

    Returns:
        (B, K, h, w) float64.
    """
    tokens, text = tokens.double(), text.double()
    if normalise == "before":
        tokens = reduce_channels(F.normalize(tokens, dim=1), text.shape[1])
    else:
        tokens = F.normalize(reduce_channels(tokens, text.shape[1]), dim=1)
        text = F.normalize(text, dim=1)
    return torch.einsum("bdhw,kd->bkhw", tokens, text)


def expected_depth(logits: Tensor, bin_centres: Sequence[float]) -> Tensor:
    """Depth = Σ softmax(logits) · bin centre.

    Args:
        logits: (B, K, h, w), over temperature.
        bin_centres: K depths in metres.

    Returns:
        (B, 1, h, w) metres, within the bin centres' range, in the logits' type.
    """
    centres = torch.tensor(bin_centres, dtype=logits.dtype, device=logits.device)
    return (logits.softmax(dim=1) * centres.view(1, -1, 1, 1)).sum(dim=1, keepdim=True)


def similarity_depth(
    tokens: Tensor,
    text: Tensor,
    bin_centres: Sequence[float],
    temperature: float,
    normalise: Normalise = "after",
) -> Tensor:
    """Depth map from tokens and prompts: Σ softmax(similarity / τ) · bin centre.

    Args:
        tokens: (B, C, h, w).
        text: (K, D).
        bin_centres: K depths in metres.
        temperature: τ.
        normalise: See `similarity`.

    Returns:
        (B, 1, h, w) float32 metres.
    """
    logits = similarity(tokens, text, normalise) / temperature
    return expected_depth(logits, bin_centres).float()
