"""CLIP-Adapter for depth: the network. Source: Gao et al. 2021 (arXiv 2110.04544), section 3."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from bench.encoders.clip import FrozenClip, normalise
from bench.encoders.similarity import similarity_depth

if TYPE_CHECKING:
    from . import ClipAdapterParams


class Adapter(nn.Module):
    """α · ReLU(W₂ ReLU(W₁ x)) + (1 − α) · x over the last axis, without biases.

    Args:
        width: C, of input and output.
        bottleneck: Width in between.
        residual: α.
    """

    def __init__(self, width: int, bottleneck: int, residual: float) -> None:
        super().__init__()
        self.residual = residual
        self.layers = nn.Sequential(
            nn.Linear(width, bottleneck, bias=False),
            nn.ReLU(),
            nn.Linear(bottleneck, width, bias=False),
            nn.ReLU(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(…, C) to (…, C)."""
        adapted: Tensor = self.layers(x)
        return self.residual * adapted + (1 - self.residual) * x


class AdaptedClip(nn.Module):
    """Depth from a frozen CLIP whose tokens and prompts go through adapters.

    Attributes:
        clip: The frozen encoder.
        image_adapter: On unnormalised tokens (C channels), before the channel reduction.
        text_adapter: On the prompts' unit vectors (D channels).
        text: (K, D) unit vectors of the K distances, before the adapter.
    """

    text: Tensor

    def __init__(self, clip: FrozenClip, params: ClipAdapterParams) -> None:
        super().__init__()
        config = params.config
        self.clip = clip
        self.params = params
        self.image_adapter = Adapter(config.token_channels, params.bottleneck, params.residual)
        self.text_adapter = Adapter(config.embed_dim, params.bottleneck, params.residual)
        self.register_buffer("text", clip.text_embeddings(params.sentences()), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """Depth of images (B, 3, h, w) in [0, 1] as (B, 1, h', w') float32 metres."""
        tokens = self.clip.tokens(normalise(image, self.params.normalization))
        adapted = self.image_adapter(tokens.movedim(1, -1)).movedim(-1, 1)
        return similarity_depth(
            adapted, self.text_adapter(self.text), self.params.bin_centres, self.params.temperature
        )


def build(params: ClipAdapterParams) -> AdaptedClip:
    """Build the network on the CPU. Raises `BlockedError`, `DataError`, `MethodError`."""
    return AdaptedClip(FrozenClip.build(params.encoder, params.clip_weights), params)
