from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from bench.data.base import Dataset, DatasetParams, Subset
from bench.types import DepthVariant, Sample


class Ramps(Dataset):
    """Synthetic images whose red channel is their depth: learnable by a single convolution."""

    name = "ramps"
    summary = "test data"
    synthetic = True

    def __init__(self, images: int, height: int, width: int, scenes: int) -> None:
        super().__init__(DatasetParams())
        self.images, self.size, self.scenes = images, (height, width), scenes
        self.reads = 0

    def fingerprint(self) -> str:
        return "ramps"

    def splits(self) -> dict[str, tuple[str, ...]]:
        ids = tuple(f"image_{index}" for index in range(self.images))
        return {"train": ids, "test": ids}

    def read(self, image_id: str, variant: DepthVariant) -> Sample:
        self.reads += 1
        index = int(image_id.removeprefix("image_"))
        generator = np.random.default_rng(index)
        depth = generator.uniform(1, 9, self.size).astype(np.float32)
        image = generator.integers(0, 256, (3, *self.size), dtype=np.uint8)
        image[0] = np.round(depth * 25)
        depth[0, 0] = 0
        return Sample(
            id=image_id,
            image=image,
            depth=depth,
            valid=depth > 0,
            segments=generator.integers(0, 5, self.size, dtype=np.int32),
            intrinsics=np.array([[50.0, 0, 7.25], [0, 50.0, 5.5], [0, 0, 1]]),
            scene=f"scene_{index % self.scenes}",
        )


@pytest.fixture
def ramps() -> Callable[..., Subset]:
    def make(images: int = 6, height: int = 12, width: int = 16, scenes: int = 3) -> Subset:
        return Subset.of_split(Ramps(images, height, width, scenes), "train")

    return make
