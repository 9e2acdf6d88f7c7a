"""The network of msa.

Axes: B batch, C channels, h×w pixels of the image as the encoder takes it (sides that are multiples
of 32), K distances, D text channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.encoders.clip import FrozenClip, fit_to_stride, normalise
from bench.encoders.config import RESNET_STRIDE
from bench.encoders.painting import Paint, paint
from bench.encoders.similarity import similarity_depth
from bench.errors import MethodError
from bench.training.images import TrainingBatch
from bench.training.losses import MAX_DEPTH
from bench.types import Batch

if TYPE_CHECKING:
    from . import MsaParams

RGB = 3


class ConvBlock(nn.Sequential):
    """3×3 convolution with bias, batch norm, ReLU."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__(
            nn.Conv2d(channels_in, channels_out, 3, padding=1),
            nn.BatchNorm2d(channels_out),
            nn.ReLU(inplace=True),
        )


class UpBlock(nn.Module):
    """Doubles the resolution and merges the encoder's features of that scale.

    Args:
        channels_in: Of the coarser features.
        skip: Of the encoder's.
        channels_out: Of the merged ones.
    """

    def __init__(self, channels_in: int, skip: int, channels_out: int) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(channels_in, channels_out, 2, stride=2)
        self.merge = nn.Sequential(
            ConvBlock(channels_out + skip, channels_out), ConvBlock(channels_out, channels_out)
        )

    def forward(self, coarse: Tensor, skip: Tensor) -> Tensor:
        """(B, C, h/2, w/2) and (B, C', h, w) to (B, C'', h, w)."""
        merged: Tensor = self.merge(torch.cat([self.up(coarse), skip], dim=1))
        return merged


class Decoder(nn.Module):
    """A U-Net's expanding path over a pyramid d0 … d5.

    Two blocks at the deepest scale, five up blocks, a 1×1 convolution. For RN50 the channels go
    2048 → 1024 → 512 → 256 → 128 → 64 → 1.

    Args:
        width: Channels of d1; d2 to d5 have 4, 8, 16 and 32 times as many.
        image: Channels of d0.
    """

    def __init__(self, width: int, image: int) -> None:
        super().__init__()
        deepest = 32 * width
        self.bridge = nn.Sequential(ConvBlock(deepest, deepest), ConvBlock(deepest, deepest))
        channels = [factor * width for factor in (32, 16, 8, 4, 2, 1)]
        skips = [16 * width, 8 * width, 4 * width, width, image]
        self.up = nn.ModuleList(map(UpBlock, channels[:-1], skips, channels[1:]))
        self.head = nn.Conv2d(width, 1, 1)

    def forward(self, pyramid: Sequence[Tensor]) -> Tensor:
        """Merge d0 … d5 to Δ: (B, 1, h, w) float32, h×w the size of d0."""
        features = self.bridge(pyramid[-1])
        for block, skip in zip(self.up, reversed(pyramid[:-1]), strict=True):
            features = block(features, skip)
        # Half precision would leave steps of 1 to 3 cm between neighbouring depths.
        with torch.autocast(features.device.type, enabled=False):
            residual: Tensor = self.head(features.float())
        return residual


class MultiScaleAdapter(nn.Module):
    """Depth from a frozen CLIP's pyramid.

    Attributes:
        clip: The frozen encoder.
        decoder: Its trained counterpart.
        segments: Two trained blocks on the painted segments; None without segments.
        text: (K, D) unit vectors of the K distances; empty where the zero-shot depth is not used.
    """

    text: Tensor

    def __init__(self, clip: FrozenClip, params: MsaParams) -> None:
        super().__init__()
        painted = RGB if params.segments != "none" else 0
        self.params = params
        self.clip = clip
        self.segments = nn.Sequential(ConvBlock(RGB, RGB), ConvBlock(RGB, RGB)) if painted else None
        self.decoder = Decoder(params.config.vision_cfg.width, RGB + painted)
        text = (
            clip.text_embeddings(params.sentences()) if params.clip_weight > 0 else torch.empty(0)
        )
        self.register_buffer("text", text, persistent=False)

    def forward(self, image: Tensor, painted: Tensor | None = None) -> Tensor:
        """Depth of images.

        Args:
            image: (B, 3, H, W) RGB in [0, 1].
            painted: (B, 3, H, W) painted segments; where the network takes them.

        Returns:
            (B, 1, h, w) float32 metres, not clamped.
        """
        pyramid = self._pyramid(normalise(image, self.params.normalization))
        scales = list(pyramid)
        if self.segments is not None:
            assert painted is not None
            seen = self.segments(fit_to_stride(painted, RESNET_STRIDE))
            scales[0] = torch.cat([scales[0], seen], dim=1)
        residual: Tensor = self.decoder(scales)
        weight = self.params.clip_weight
        if weight == 0:
            return residual
        return weight * self._zero_shot(pyramid) + (2 * residual.sigmoid() - 1)

    def _pyramid(self, image: Tensor) -> list[Tensor]:
        """d0 … d5 in float32, without gradient.

        When predicting, images go through the encoder one by one: at a temperature of 0.001 the
        last bits, which may change with the batch size, are seen in the zero-shot depth.
        """
        parts = (image,) if self.training else torch.split(image, 1)
        with torch.no_grad(), torch.autocast(image.device.type, enabled=False):
            pyramids = [self.clip.pyramid(part) for part in parts]
            scales = (torch.cat(scale) for scale in zip(*pyramids, strict=True))
            return [scale.contiguous(memory_format=torch.channels_last) for scale in scales]

    def _zero_shot(self, pyramid: Sequence[Tensor]) -> Tensor:
        """CLIP's own depth at the size of d0: (B, 1, h, w) metres, without gradient."""
        centres, temperature = self.params.bin_centres, self.params.temperature
        with torch.no_grad(), torch.autocast(self.text.device.type, enabled=False):
            depth = similarity_depth(pyramid[-1], self.text, centres, temperature, "after")
            size = pyramid[0].shape[-2:]
            depth = depth.clamp(0, MAX_DEPTH)
            return F.interpolate(depth, size, mode="bilinear", align_corners=True)


def painted_segments(batch: Batch, mode: Paint) -> Tensor:
    """The batch's segments as a picture, (B, 3, h, w) in [0, 1], not normalised.

    Augmented images are painted as they were before they were brightened, the picture then
    brightened by a factor of its own.

    Raises:
        MethodError: The batch has no segments.
    """
    if batch.segments is None:
        raise MethodError(
            "method 'msa': there are no segments to paint; give it some, or set segments: none"
        )
    if isinstance(batch, TrainingBatch):
        plain = batch.image / batch.brightness
        return paint(plain, batch.segments, mode) * batch.paint_brightness
    return paint(batch.image, batch.segments, mode)


def build(params: MsaParams) -> MultiScaleAdapter:
    """Build the network on the CPU. Raises `BlockedError`, `DataError`, `MethodError`."""
    net = MultiScaleAdapter(FrozenClip.build(params.encoder, params.clip_weights), params)
    return net.to(memory_format=torch.channels_last)
