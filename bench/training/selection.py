"""Choosing the epoch on held-out training images; the test images are never looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import Tensor

from bench.errors import MethodError
from bench.training.images import TrainingImages
from bench.training.losses import MAX_DEPTH, MIN_DEPTH
from bench.types import Batch

_SPLIT_STREAM = 3


def split_for_validation(
    images: TrainingImages, share: float, seed: int
) -> tuple[list[int], list[int]]:
    """Indices to train on and indices to validate on.

    Whole scenes are held out, in an order drawn from the seed, until they make up the share:
    images of one scene look alike, and a scene on both sides would flatter the fit. Images
    without a scene stand for themselves.

    Raises:
        MethodError: All images are of one scene.
    """
    scenes: dict[str, list[int]] = {}
    for index in range(len(images)):
        sample = images[index]
        scenes.setdefault(sample.scene or f"image {sample.id}", []).append(index)
    if len(scenes) < 2:
        raise MethodError(
            f"selection: validation cannot split {len(images)} training images of one scene; "
            "use more images, or selection: last"
        )
    names = list(scenes)
    order = np.random.default_rng([_SPLIT_STREAM, seed, 0, 0]).permutation(len(names))
    wanted = share * len(images)
    held: list[int] = []
    for place in order[:-1]:
        if len(held) >= wanted:
            break
        held.extend(scenes[names[place]])
    out = set(held)
    return [index for index in range(len(images)) if index not in out], sorted(held)


def mean_abs_rel(batches: Iterable[Batch], predict: Callable[[Batch], Tensor]) -> float:
    """Mean over images of the mean |d − d*| / d* over valid pixels with 1 mm < d* < 10 m.

    Predictions are resized to the ground truth and clamped to [1 mm, 10 m]; images without a
    valid pixel do not count.

    Args:
        batches: With ground truth.
        predict: Returns (B, 1, h, w) metres.
    """
    values: list[Tensor] = []
    for batch in batches:
        assert batch.depth is not None
        assert batch.valid is not None
        raw = predict(batch).float()
        size = batch.depth.shape[-2:]
        depth = torch.nn.functional.interpolate(raw, size, mode="bilinear", align_corners=True)
        valid = batch.valid & (batch.depth > MIN_DEPTH) & (batch.depth < MAX_DEPTH)
        error = (depth.clamp(MIN_DEPTH, MAX_DEPTH) - batch.depth).abs() / batch.depth
        error = torch.where(valid, error, 0.0).double().flatten(1).sum(1)
        count = valid.flatten(1).sum(1)
        values.append((error / count)[count > 0])
    return float(torch.cat(values).mean())
