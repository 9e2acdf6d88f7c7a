from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bench.data.base import Subset
from bench.training.augmentation import augmented, cropped, mirrored, rotated, training_window
from bench.training.images import TrainingImages, training_batches
from bench.training.trained_method import TrainingParams
from bench.types import Sample, Window


def params(**settings: Any) -> TrainingParams:
    return TrainingParams(**settings)


@pytest.fixture
def frame(ramps: Callable[..., Subset]) -> Sample:
    return ramps(height=48, width=64)[0]


def test_the_studys_view_is_its_test_window() -> None:
    assert training_window("study", 480, 640) == Window(56, 60, 416, 544, 480, 640)
    assert training_window("study", 120, 160) == Window(14, 15, 104, 136, 120, 160)
    assert training_window("whole", 120, 160) == Window.whole(120, 160)


def test_without_augmentation_the_view_is_cut_out(frame: Sample) -> None:
    view = augmented(frame, params(view="study", augmentation="none"), seed=1, epoch=1, index=0)
    window = training_window("study", 48, 64)
    assert np.array_equal(view.sample.image, frame.image[:, window.rows, window.columns])
    assert np.array_equal(view.sample.depth, frame.depth[window.rows, window.columns])
    assert view.sample.intrinsics is not None
    assert view.sample.intrinsics[:2, 2].tolist() == [7.25 - window.left, 5.5 - window.top]
    assert view.brightness == 1


def test_a_mirror_turns_everything_and_twice_is_nothing(frame: Sample) -> None:
    once = mirrored(frame)
    assert np.array_equal(once.image, frame.image[:, :, ::-1])
    assert once.segments is not None
    assert frame.segments is not None
    assert np.array_equal(once.segments, frame.segments[:, ::-1])
    assert once.intrinsics is not None
    assert once.intrinsics[0, 2] == 63 - 7.25
    again = mirrored(once)
    assert np.array_equal(again.depth, frame.depth)
    assert np.array_equal(again.intrinsics, frame.intrinsics)


def test_flip_mirrors_half_of_the_views(frame: Sample) -> None:
    settings = params(augmentation="flip")
    views = [augmented(frame, settings, 1, 1, index).sample.image for index in range(200)]
    turned = sum(np.array_equal(view, frame.image[:, :, ::-1]) for view in views)
    plain = sum(np.array_equal(view, frame.image) for view in views)
    assert turned + plain == 200
    assert 70 < turned < 130


def test_rotation_opens_invalid_corners_and_mixes_no_depths(frame: Sample) -> None:
    frame = replace(frame, valid=np.ones_like(frame.valid))
    turned = rotated(frame, 10.0)
    assert not turned.valid[[0, 0, -1, -1], [0, -1, 0, -1]].any()
    assert turned.valid[24, 32]
    assert set(np.unique(turned.depth[turned.valid])) <= set(np.unique(frame.depth))
    assert turned.intrinsics is None


def test_rotation_is_counter_clockwise_about_the_centre() -> None:
    image = np.zeros((3, 41, 41), dtype=np.uint8)
    depth = np.zeros((41, 41), dtype=np.float32)
    depth[20, 20:] = 1  # a hand pointing right
    sample = Sample("hand", image, depth, depth > 0, segments=depth.astype(np.int32))
    turned = rotated(sample, 90.0)
    expected = np.zeros((41, 41), dtype=bool)
    expected[:21, 20] = True  # points up
    assert np.array_equal(turned.valid, expected)
    assert np.array_equal(turned.depth > 0, expected)
    assert turned.segments is not None
    assert turned.segments.dtype == np.int32
    assert np.array_equal(turned.segments > 0, expected)


def test_the_studys_augmentation_stays_within_its_bounds() -> None:
    columns = np.tile(np.arange(640, dtype=np.float32), (480, 1))
    rows = np.tile(np.arange(480, dtype=np.float32)[:, None], (1, 640))
    settings = params(view="study", augmentation="study")
    seen = []
    for index in range(60):
        image = np.zeros((3, 480, 640), dtype=np.uint8)
        sample = Sample("x", image, rows * 1000 + columns, np.ones((480, 640), dtype=bool))
        view = augmented(sample, settings, 1, 1, index)
        depth = view.sample.depth
        assert depth.shape == (416, 544)
        middle = depth[208, 272]
        left_to_right = np.sign(depth[208, 300] % 1000 - middle % 1000)
        tilt = (depth[208, 500] // 1000 - depth[208, 44] // 1000) / 456
        seen.append((middle // 1000 - 208, middle % 1000 - 272, left_to_right, tilt))
        assert 0.8 <= view.brightness <= 1.2
    tops, lefts, mirrors, tilts = map(np.array, zip(*seen, strict=True))
    # Rows 45:472 leave 45 to 56 for the top, columns 43:608 leave 43 to 64 for the left edge; the
    # frame's centre is near the crop's, so rotation moves the middle by at most a pixel or two.
    assert tops.min() >= 43
    assert tops.max() <= 58
    assert tops.max() - tops.min() > 6
    assert lefts.min() >= 41
    assert lefts.max() <= 66
    assert lefts.max() - lefts.min() > 12
    assert set(mirrors) == {-1, 1}
    assert np.abs(tilts).max() <= np.tan(np.radians(2.5)) + 0.005
    assert np.abs(tilts).max() > np.tan(np.radians(1.5))


def test_brightness_is_not_clipped(ramps: Callable[..., Subset]) -> None:
    images = TrainingImages(ramps(images=8), segments=False)
    settings = params(augmentation="study", batch_size=8)
    batch = next(training_batches(images, range(8), settings, seed=1, epoch=1))
    assert batch.image.max() > 1


def test_a_view_depends_on_seed_epoch_and_index_only(frame: Sample) -> None:
    settings = params(augmentation="study")

    def view(seed: int, epoch: int, index: int) -> bytes:
        return augmented(frame, settings, seed, epoch, index).sample.image.tobytes()

    reference = view(1, 2, 3)
    assert view(1, 2, 3) == reference
    assert reference not in (view(2, 2, 3), view(1, 3, 3), view(1, 2, 4))


def test_a_crop_of_the_whole_is_the_sample(frame: Sample) -> None:
    assert cropped(frame, Window.whole(48, 64)) is frame
