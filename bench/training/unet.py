"""A U-Net without a head: an encoder's feature maps, merged from the deepest up."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.training.normalisation import imagenet_normalised

Edges = tuple[int, int, int, int]
"""Pixels an image is padded by: left, right, top, bottom, as `torch.nn.functional.pad` takes it."""


class ConvBlock(nn.Sequential):
    """Two times 3×3 convolution, batch norm, ReLU."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        layers: list[nn.Module] = []
        for channels in (channels_in, channels_out):
            layers += [
                nn.Conv2d(channels, channels_out, 3, padding=1, bias=False),
                nn.BatchNorm2d(channels_out),
                nn.ReLU(inplace=True),
            ]
        super().__init__(*layers)


class UnetTrunk(nn.Module):
    """Encoder and decoder of a U-Net; a subclass adds the head.

    Each step of the decoder resizes what there is to the next finer feature map (bilinear),
    concatenates the two and sends them through a `ConvBlock`.

    Attributes:
        encoder: The feature pyramid.
        decoder: One block a step, the deepest first.
        stride: Of the deepest feature map; padded images are multiples of it.
        channels: Of what `features` returns.

    Args:
        encoder: A timm model made with ``features_only=True``.
        width: Decoder channels at stride 2; doubled with each doubling of the stride.
    """

    def __init__(self, encoder: nn.Module, width: int) -> None:
        super().__init__()
        info: Any = encoder.feature_info
        channels, strides = info.channels(), info.reduction()
        self.encoder = encoder
        self.stride: int = max(strides)
        blocks = []
        depth = channels[-1]
        for skip, stride in zip(channels[-2::-1], strides[-2::-1], strict=True):
            wanted = max(1, width * stride // 2)
            blocks.append(ConvBlock(depth + skip, wanted))
            depth = wanted
        self.decoder = nn.ModuleList(blocks)
        self.channels: int = depth

    def edges(self, height: int, width: int) -> Edges:
        """What an image is padded by, evenly, to sides that are multiples of `stride`."""
        down, right = -height % self.stride, -width % self.stride
        return (right // 2, right - right // 2, down // 2, down - down // 2)

    def features(self, image: Tensor) -> Tensor:
        """The merged features of images, padded by repeating their border.

        Args:
            image: (B, 3, h, w) RGB in [0, 1].

        Returns:
            (B, `channels`, h', w') on the grid of the finest feature map.
        """
        edges = self.edges(*image.shape[-2:])
        padded = F.pad(imagenet_normalised(image), edges, mode="replicate")
        features = self.encoder(padded.contiguous(memory_format=torch.channels_last))
        merged: Tensor = features[-1]
        for block, skip in zip(self.decoder, features[-2::-1], strict=True):
            merged = block(torch.cat([_resized(merged, skip.shape[-2:]), skip], dim=1))
        return merged

    def at_image_size(self, plane: Tensor, height: int, width: int) -> Tensor:
        """Resize a map that covers the padded image to it (bilinear), and cut the padding off.

        Args:
            plane: (B, C, h', w') on any grid.
            height: Rows of the image.
            width: Columns of the image.

        Returns:
            (B, C, height, width).
        """
        left, right, top, bottom = self.edges(height, width)
        padded = torch.Size((top + height + bottom, left + width + right))
        whole = _resized(plane, padded)
        return whole[..., top : top + height, left : left + width]


def _resized(features: Tensor, size: torch.Size) -> Tensor:
    if features.shape[-2:] == size:
        return features
    return F.interpolate(features, size, mode="bilinear", align_corners=False)
