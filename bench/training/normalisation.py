"""Image normalisation."""

from __future__ import annotations

from torch import Tensor

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def imagenet_normalised(image: Tensor) -> Tensor:
    """(image − mean) / std with ImageNet's RGB statistics.

    Args:
        image: (B, 3, H, W) RGB in [0, 1].
    """
    mean = image.new_tensor(IMAGENET_MEAN).view(1, 3, 1, 1)
    std = image.new_tensor(IMAGENET_STD).view(1, 3, 1, 1)
    return (image - mean) / std
