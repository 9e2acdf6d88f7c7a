from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from bench.data.base import Subset
from bench.errors import MethodError
from bench.training import images as module
from bench.training.augmentation import Augmented
from bench.training.images import TrainingImages, collate, plain_batches, training_batches
from bench.training.trained_method import TrainingParams
from bench.types import Window

PLAIN = TrainingParams(augmentation="none", batch_size=4)


def order(images: TrainingImages, seed: int, epoch: int) -> list[str]:
    batches = training_batches(images, range(len(images)), PLAIN, seed, epoch)
    return [image_id for batch in batches for image_id in batch.ids]


def test_each_epoch_sees_every_image_once_in_an_order_of_its_own(
    ramps: Callable[..., Subset],
) -> None:
    images = TrainingImages(ramps(images=10), segments=False)
    first = order(images, seed=1, epoch=1)
    assert sorted(first) == sorted(images.data.ids)
    assert order(images, seed=1, epoch=1) == first
    assert order(images, seed=1, epoch=2) != first
    assert order(images, seed=2, epoch=1) != first


def test_the_last_short_batch_is_kept(ramps: Callable[..., Subset]) -> None:
    images = TrainingImages(ramps(images=10), segments=False)
    sizes = [len(batch) for batch in training_batches(images, range(10), PLAIN, 1, 1)]
    assert sizes == [4, 4, 2]


def test_images_that_fit_are_read_once(ramps: Callable[..., Subset]) -> None:
    data = ramps(images=6)
    images = TrainingImages(data, segments=False)
    for epoch in (1, 2, 3):
        order(images, seed=1, epoch=epoch)
    assert data.dataset.reads == 6  # type: ignore[attr-defined]


def test_images_that_do_not_fit_are_read_again(
    ramps: Callable[..., Subset], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = TrainingImages(ramps(images=6), segments=False)
    monkeypatch.setattr(module, "CACHE_BYTES", 100)
    data = ramps(images=6)
    images = TrainingImages(data, segments=False)
    assert order(images, 1, 1) == order(kept, 1, 1)
    order(images, 1, 2)
    assert data.dataset.reads >= 12  # type: ignore[attr-defined]


def test_a_batch_holds_what_the_samples_hold(ramps: Callable[..., Subset]) -> None:
    images = TrainingImages(ramps(images=3), segments=True)
    trained = next(training_batches(images, [1], PLAIN, 1, 1))
    plain = next(plain_batches(images, [1], PLAIN))
    sample = images[1]
    for batch in (trained, plain):
        assert batch.ids == ("image_1",)
        assert batch.window == Window.whole(12, 16)
        assert np.allclose(batch.image[0].numpy() * 255, sample.image, atol=1e-4)
        assert batch.depth is not None
        assert np.array_equal(batch.depth[0, 0].numpy(), sample.depth)
        assert batch.valid is not None
        assert np.array_equal(batch.valid[0, 0].numpy(), sample.valid)
        assert batch.segments is not None
        assert batch.segments.shape == (1, 1, 12, 16)
        assert batch.segments.dtype == torch.int64
        assert batch.intrinsics is not None
        assert batch.intrinsics.dtype == torch.float32


def test_segments_are_left_out_where_nobody_needs_them(ramps: Callable[..., Subset]) -> None:
    images = TrainingImages(ramps(images=2), segments=False)
    assert next(training_batches(images, [0], PLAIN, 1, 1)).segments is None


def test_images_of_different_sizes_in_one_batch_are_refused(ramps: Callable[..., Subset]) -> None:
    views = [Augmented(ramps()[0]), Augmented(ramps(height=10)[1])]
    with pytest.raises(MethodError, match=r"'image_0' .*'image_1' .*batch_size: 1"):
        collate(views, Window.whole(12, 16))
