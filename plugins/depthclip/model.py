"""DepthCLIP's network. Source: Zhang et al. 2022 (arXiv 2207.01077)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from bench.encoders.clip import FrozenClip, normalise
from bench.encoders.similarity import similarity_depth

if TYPE_CHECKING:
    from . import DepthClipParams


class ZeroShotDepth(nn.Module):
    """Depth from a frozen CLIP.

    Attributes:
        clip: The encoder.
        text: (K, D) unit vectors of the K distances.
    """

    text: Tensor

    def __init__(self, clip: FrozenClip, params: DepthClipParams) -> None:
        super().__init__()
        self.clip = clip
        self.params = params
        self.register_buffer("text", clip.text_embeddings(params.sentences()), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """Depth of images (B, 3, h, w) in [0, 1] as (B, 1, h', w') float32 metres."""
        tokens = self.clip.tokens(normalise(image, self.params.normalization))
        return similarity_depth(
            tokens, self.text, self.params.bin_centres, self.params.temperature, "before"
        )


def build(params: DepthClipParams, device: torch.device) -> ZeroShotDepth:
    """Build the network with its weights. Raises `BlockedError`, `DataError`, `MethodError`."""
    clip = FrozenClip.build(params.encoder, params.clip_weights, device)
    return ZeroShotDepth(clip, params).eval()
