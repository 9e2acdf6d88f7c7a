"""Training images: decoded once where they fit in memory, and made into batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.data.base import Subset
from bench.data.batches import to_batch
from bench.errors import MethodError
from bench.training.augmentation import Augmented, augmented, training_window
from bench.training.trained_method import TrainingParams
from bench.types import Batch, Sample, Window

CACHE_BYTES = 1 << 30
"""Training images are kept decoded (uint8 RGB, float32 depth) up to this many bytes in all."""
_ORDER_STREAM = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingBatch(Batch):
    """A batch of augmented views.

    Attributes:
        brightness: (B, 1, 1, 1) float32; what each image has been multiplied by.
        paint_brightness: (B, 1, 1, 1) float32; what each image's painted segments are to be
            multiplied by.
    """

    brightness: Tensor
    paint_brightness: Tensor


class TrainingImages:
    """The training samples, read again each epoch only where they do not fit in `CACHE_BYTES`."""

    def __init__(self, data: Subset, *, segments: bool) -> None:
        """Take a subset.

        Args:
            data: The images.
            segments: Whether instance labels are needed.
        """
        self.data = data
        self._segments = segments
        first = self._read(0)
        self._keep = _bytes(first) * len(data) <= CACHE_BYTES
        self._kept = {0: first} if self._keep else {}

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> Sample:
        """The sample at an index."""
        if index in self._kept:
            return self._kept[index]
        sample = self._read(index)
        if self._keep:
            self._kept[index] = sample
        return sample

    def _read(self, index: int) -> Sample:
        sample = self.data[index]
        return sample if self._segments else replace(sample, segments=None)


def _bytes(sample: Sample) -> int:
    arrays = (sample.image, sample.depth, sample.valid, sample.segments)
    return sum(array.nbytes for array in arrays if array is not None)


def training_batches(
    images: TrainingImages,
    indices: Sequence[int],
    params: TrainingParams,
    seed: int,
    epoch: int,
) -> Iterator[Batch]:
    """The augmented batches of one epoch, on the CPU, in an order drawn from seed and epoch.

    The window of a batch is the view before augmentation: crops and mirrors differ by image.

    Args:
        images: All training images.
        indices: Those to train on.
        params: `batch_size`, `view`, `augmentation`.
        seed: Of the fit.
        epoch: Counted from 1.
    """
    for chosen in shuffled(indices, params.batch_size, seed, epoch):
        frames = [images[index] for index in chosen]
        views = [
            augmented(frame, params, seed, epoch, index)
            for frame, index in zip(frames, chosen, strict=True)
        ]
        yield collate(views, training_window(params.view, *frames[0].depth.shape))


def shuffled(indices: Sequence[int], batch_size: int, seed: int, epoch: int) -> Iterator[list[int]]:
    """The indices by batch, in an order drawn from seed and epoch; the last may be shorter."""
    generator = np.random.default_rng([_ORDER_STREAM, seed, epoch, 0])
    order = generator.permutation(np.asarray(indices))
    for begin in range(0, len(order), batch_size):
        yield [int(index) for index in order[begin : begin + batch_size]]


def plain_batches(
    images: TrainingImages, indices: Sequence[int], params: TrainingParams
) -> Iterator[Batch]:
    """The batches of some images as they are, in order, with the view's ground truth."""
    for begin in range(0, len(indices), params.batch_size):
        frames = [images[index] for index in indices[begin : begin + params.batch_size]]
        window = training_window(params.view, *frames[0].depth.shape)
        yield to_batch(frames, window, torch.device("cpu"), with_depth=True)


def collate(views: Sequence[Augmented], window: Window) -> TrainingBatch:
    """Stack views of one size into a batch on the CPU.

    Args:
        views: B views.
        window: What the batch says its window is.

    Raises:
        MethodError: They are of different sizes.
    """
    samples = [view.sample for view in views]
    sizes = {sample.depth.shape: sample.id for sample in samples}
    if len(sizes) > 1:
        (size, one), (other, two) = list(sizes.items())[:2]
        raise MethodError(
            f"training images '{one}' {size} and '{two}' {other} differ in size; "
            "train on images of one size, or set batch_size: 1"
        )
    brightness = _factors([view.brightness for view in views])
    image = _stack([sample.image for sample in samples]).float() / 255
    return TrainingBatch(
        image=image * brightness,
        window=window,
        ids=tuple(sample.id for sample in samples),
        depth=_stack([sample.depth[None] for sample in samples]),
        valid=_stack([sample.valid[None] for sample in samples]),
        segments=_optional([sample.segments for sample in samples], torch.int64),
        intrinsics=_optional([sample.intrinsics for sample in samples], torch.float32),
        brightness=brightness,
        paint_brightness=_factors([view.paint_brightness for view in views]),
    )


def _factors(values: Sequence[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float32).view(-1, 1, 1, 1)


def _optional(arrays: Sequence[np.ndarray | None], dtype: torch.dtype) -> Tensor | None:
    present = [array for array in arrays if array is not None]
    if len(present) < len(arrays):
        return None
    stacked = _stack(present).to(dtype)
    return stacked[:, None] if dtype == torch.int64 else stacked


def _stack(arrays: Sequence[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.stack(arrays))


def on_device(batch: Batch, device: torch.device) -> Batch:
    """Move a batch's tensors to a device."""
    given = {field.name: getattr(batch, field.name) for field in fields(batch)}
    moved: dict[str, Any] = {
        name: value.to(device) for name, value in given.items() if isinstance(value, Tensor)
    }
    return replace(batch, **moved)
