"""The network of cnn-unet."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from bench.encoders.timm_pyramid import make_pyramid
from bench.training.unet import UnetTrunk

START_DEPTH = 2.5
"""Metres an untrained network predicts, about the middle of an indoor image."""


class Unet(UnetTrunk):
    """A U-Net with a 3×3 head that gives log depth, resized to the image.

    Args:
        encoder: A timm model made with ``features_only=True``.
        width: Decoder channels at stride 2.
    """

    def __init__(self, encoder: nn.Module, width: int) -> None:
        super().__init__(encoder, width)
        self.head = nn.Conv2d(self.channels, 1, 3, padding=1)
        nn.init.normal_(self.head.weight, std=1e-3)
        nn.init.constant_(self.head.bias, math.log(START_DEPTH))  # type: ignore[arg-type]

    def forward(self, image: Tensor) -> Tensor:
        """Predict depth.

        Args:
            image: (B, 3, h, w) RGB in [0, 1].

        Returns:
            (B, 1, h, w) metres, positive.
        """
        # Half precision would leave steps of 1 to 3 cm between neighbouring depths.
        log_depth = self.head(self.features(image)).float()
        return self.at_image_size(log_depth, *image.shape[-2:]).exp()


def build(encoder: str, width: int) -> Unet:
    """Make the network with random weights.

    Args:
        encoder: A timm model's name.
        width: Decoder channels at stride 2.

    Raises:
        MethodError: timm has no such model, or it gives no feature maps.
    """
    net = Unet(make_pyramid(encoder, "cnn-unet"), width)
    return net.to(memory_format=torch.channels_last)
