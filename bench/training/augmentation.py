"""Which part of a frame is trained on, and how it is varied.

Everything acts on one `Sample` and draws from the generator it is given, so what an image looks
like in an epoch depends on seed, epoch and index alone: not on workers, batches or what ran before.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from bench.training.trained_method import TrainingParams
from bench.types import Sample, Window

STUDY_FRAME = (480, 640)
STUDY_TEST_VIEW = (56, 472, 60, 604)
"""Rows and columns of the study's test view: 416×544."""
STUDY_TRAINING_REGION = (45, 472, 43, 608)
"""Where the study's random 416×544 training crop may lie."""
ROTATION_DEGREES = 2.5
BRIGHTNESS = (0.8, 1.2)
_AUGMENTATION_STREAM = 2

_Number = TypeVar("_Number", bound=np.integer[Any] | np.floating[Any])


@dataclass(frozen=True)
class Augmented:
    """A training view and the factors of its colours.

    Attributes:
        sample: The view.
        brightness: What its image is multiplied by (in [0, 1] scale, not clipped).
        paint_brightness: What its painted segments are multiplied by, where they are painted.
    """

    sample: Sample
    brightness: float = 1.0
    paint_brightness: float = 1.0


def training_window(view: str, height: int, width: int) -> Window:
    """The window a training view covers when it is not augmented.

    Args:
        view: `whole` or `study`.
        height: Rows of the frame.
        width: Columns of the frame.
    """
    if view == "whole":
        return Window.whole(height, width)
    return _scaled(STUDY_TEST_VIEW, height, width)


def augmented(
    sample: Sample, params: TrainingParams, seed: int, epoch: int, index: int
) -> Augmented:
    """The view of one image in one epoch.

    `study`: rotation about the frame's centre by U(−2.5°, 2.5°) (image bilinear, the rest nearest;
    corners opened by it are black and invalid), the `study` view's crop at a random place of rows
    45:472, columns 43:608, mirror with p = 0.5, brightness U(0.8, 1.2) and another of the painted
    segments. `flip`: mirror with p = 0.5. `none`: the plain view.

    Args:
        sample: The whole frame.
        params: `view` and `augmentation`.
        seed: Of the fit.
        epoch: Counted from 1.
        index: Of the image in the training set.
    """
    generator = np.random.default_rng([_AUGMENTATION_STREAM, seed, epoch, index])
    angle, down, right, mirror, light, paint_light = generator.random(6)
    height, width = sample.depth.shape
    window = training_window(params.view, height, width)
    brightness = paint_brightness = 1.0
    if params.augmentation == "study":
        sample = rotated(sample, ROTATION_DEGREES * (2 * angle - 1))
        if params.view == "study":
            window = _random_place(window, float(down), float(right))
        brightness, paint_brightness = _brightness(light), _brightness(paint_light)
    sample = cropped(sample, window)
    if params.augmentation != "none" and mirror < 0.5:
        sample = mirrored(sample)
    return Augmented(sample, brightness, paint_brightness)


def rotated(sample: Sample, degrees: float) -> Sample:
    """Turn a sample counter-clockwise about its centre; what comes from outside is invalid.

    The camera matrix no longer describes the pixels exactly and is dropped.
    """
    height, width = sample.depth.shape
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1.0)

    def warp(plane: npt.NDArray[_Number], how: int) -> npt.NDArray[_Number]:
        turned = cv2.warpAffine(plane, matrix, (width, height), flags=how)
        return np.asarray(turned, dtype=plane.dtype)

    image = warp(np.ascontiguousarray(sample.image.transpose(1, 2, 0)), cv2.INTER_LINEAR)
    valid = warp(sample.valid.astype(np.uint8), cv2.INTER_NEAREST).astype(bool)
    depth = warp(sample.depth, cv2.INTER_NEAREST)
    segments = sample.segments
    if segments is not None:
        # OpenCV warps no int32; float64 holds every int32 exactly.
        turned = warp(segments.astype(np.float64), cv2.INTER_NEAREST)
        segments = turned.astype(np.int32)
    return replace(
        sample,
        image=image.transpose(2, 0, 1),
        depth=depth,
        valid=valid,
        segments=segments,
        intrinsics=None,
    )


def cropped(sample: Sample, window: Window) -> Sample:
    """Cut a window out of a sample; the camera's principal point moves with it."""
    if window.is_whole:
        return sample
    rows, columns = window.rows, window.columns
    intrinsics = sample.intrinsics
    if intrinsics is not None:
        intrinsics = intrinsics.copy()
        intrinsics[0, 2] -= window.left
        intrinsics[1, 2] -= window.top
    return replace(
        sample,
        image=sample.image[:, rows, columns],
        depth=sample.depth[rows, columns],
        valid=sample.valid[rows, columns],
        segments=None if sample.segments is None else sample.segments[rows, columns],
        intrinsics=intrinsics,
    )


def mirrored(sample: Sample) -> Sample:
    """Swap left and right; the camera's principal point moves with it."""
    intrinsics = sample.intrinsics
    if intrinsics is not None:
        intrinsics = intrinsics.copy()
        intrinsics[0, 2] = sample.depth.shape[1] - 1 - intrinsics[0, 2]
    return replace(
        sample,
        image=sample.image[:, :, ::-1],
        depth=sample.depth[:, ::-1],
        valid=sample.valid[:, ::-1],
        segments=None if sample.segments is None else sample.segments[:, ::-1],
        intrinsics=intrinsics,
    )


def _brightness(share: float) -> float:
    return BRIGHTNESS[0] + (BRIGHTNESS[1] - BRIGHTNESS[0]) * float(share)


def _scaled(rectangle: tuple[int, int, int, int], height: int, width: int) -> Window:
    by_row, by_column = height / STUDY_FRAME[0], width / STUDY_FRAME[1]
    top, bottom = round(rectangle[0] * by_row), round(rectangle[1] * by_row)
    left, right = round(rectangle[2] * by_column), round(rectangle[3] * by_column)
    return Window(top, left, max(1, bottom - top), max(1, right - left), height, width)


def _random_place(window: Window, down: float, right: float) -> Window:
    """Move a window to a uniformly drawn place inside the study's training region."""
    region = _scaled(STUDY_TRAINING_REGION, window.frame_height, window.frame_width)
    slack_rows = max(0, region.height - window.height)
    slack_columns = max(0, region.width - window.width)
    return replace(
        window,
        top=region.top + int(down * (slack_rows + 1)),
        left=region.left + int(right * (slack_columns + 1)),
    )
