"""Synthetic data and plain float64 layers to check networks against."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from bench.data.base import Dataset, DatasetParams, Subset
from bench.data.rooms import Rooms, RoomsParams
from bench.types import Batch, DepthVariant, Sample, Window

Array = npt.NDArray[np.float64]
MEAN = np.array([0.485, 0.456, 0.406])[:, None, None]
STD = np.array([0.229, 0.224, 0.225])[:, None, None]


def four_rooms(height: int = 120, width: int = 160) -> Subset:
    """Four images of `rooms`."""
    dataset = Rooms(RoomsParams(images=4, test_images=1, height=height, width=width))
    dataset.prepare(lambda line: None)
    return Subset.of_split(dataset, "train")


class Walls(Dataset):
    """Synthetic: a bright wall at one depth in front of a dark one at another; a hole."""

    name = "walls"
    summary = "test data"
    synthetic = True

    def __init__(self, height: int, width: int) -> None:
        super().__init__(DatasetParams())
        self.size = (height, width)

    def fingerprint(self) -> str:
        return "walls"

    def splits(self) -> dict[str, tuple[str, ...]]:
        return {"train": tuple("abcd"), "test": tuple("abcd")}

    def read(self, image_id: str, variant: DepthVariant) -> Sample:
        index = "abcd".index(image_id)
        image = np.full((3, *self.size), 40, dtype=np.uint8)
        depth = np.full(self.size, 7.0 - index, dtype=np.float32)
        wall = (slice(8, 40), slice(10 * index, 10 * index + 20))
        image[:, *wall] = 200
        depth[wall] = 1.0 + index
        depth[:4, :4] = 0
        return Sample(image_id, image, depth, depth > 0)


def walls(height: int = 60, width: int = 80) -> Subset:
    """Four images of `Walls`."""
    return Subset.of_split(Walls(height, width), "train")


def images(count: int, height: int, width: int) -> Batch:
    """Noise."""
    pixels = torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(4))
    return Batch(pixels, Window.whole(height, width), tuple(map(str, range(count))))


def normalised(image: torch.Tensor) -> Array:
    """One image (3, h, w) with ImageNet's mean and standard deviation taken out."""
    return np.asarray((image.double().numpy() - MEAN) / STD)


def linear(layer: nn.Linear, x: Array) -> Array:
    """W x + b."""
    return np.asarray(_array(layer.weight) @ x + _array(layer.bias))


def convolution(layer: nn.Conv2d, planes: Array) -> Array:
    """(C, h, w) to (C', h', w'), one output position after the other."""
    weight, bias = _array(layer.weight), _array(layer.bias)
    step, around, side = layer.stride[0], layer.padding[0], layer.kernel_size[0]
    assert isinstance(around, int)
    padded = np.pad(planes, ((0, 0), (around, around), (around, around)))
    rows, columns = ((length - side) // step + 1 for length in padded.shape[1:])
    out = np.empty((len(weight), rows, columns))
    for y, x in np.ndindex(rows, columns):
        patch = padded[:, y * step : y * step + side, x * step : x * step + side]
        out[:, y, x] = np.tensordot(weight, patch, axes=3) + bias
    return out


def pooled(planes: Array) -> Array:
    """The largest of each 2×2; an odd last row or column is left out."""
    rows, columns = planes.shape[1] // 2, planes.shape[2] // 2
    blocks = planes[:, : 2 * rows, : 2 * columns].reshape(-1, rows, 2, columns, 2)
    return np.asarray(blocks.max(axis=(2, 4)))


def relu(x: Array) -> Array:
    """max(x, 0)."""
    return np.maximum(x, 0)


def _array(parameter: Any) -> Array:
    return np.asarray(parameter.detach().double().numpy())
