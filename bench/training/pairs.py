"""Pairs of views for self-supervised training, and the loss on them.

The two views are one image, plain (source) and rotated and shifted (target), so the depth that
registers them is `bench.training.homography.PLANE_DEPTH` everywhere, whatever the image shows:
the signal holds no depth.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bench.training.augmentation import STUDY_FRAME, Augmented, cropped, mirrored
from bench.training.homography import (
    Matrix,
    Motion,
    camera_matrix,
    decompose,
    in_view,
    overlap,
    target_to_source,
)
from bench.training.images import TrainingImages, collate, shuffled
from bench.training.loop import StepOutput, regularisation
from bench.training.normalisation import imagenet_normalised
from bench.training.photometric import inverse_warp, photometric
from bench.training.selfsupervised import SelfSupervisedParams
from bench.types import Batch, Sample, Window

STUDY_PAIR_VIEW = (51, 467, 53, 597)
"""Rows and columns of the study's view: 416×544 in the middle of rows 45:472, columns 43:608."""
ROTATION_DEGREES = 10.0
SHIFT_PIXELS = 10.0
"""Of a 480×640 frame; scaled with others."""
_PAIR_STREAM = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class PairBatch(Batch):
    """Target views as the batch's images, without depth, and what they are to be made out of.

    Attributes:
        source: (B, 3, h, w) float32 RGB in [0, 1], the plain views.
        overlap: (B, 1, h, w) bool; which target pixels the source shows too.
        rotation: (B, 3, 3) float32, from target to source camera.
        translation: (B, 3) float32 metres.
    """

    source: Tensor
    overlap: Tensor
    rotation: Tensor
    translation: Tensor


@dataclass(frozen=True)
class Pair:
    """Two views of one image.

    Attributes:
        target: The rotated and shifted view; its depth is empty.
        source: (3, h, w) uint8 RGB, the plain view.
        to_source: (3, 3) homography of the views, in their pixels.
        motion: What the loss is told of it.
    """

    target: Sample
    source: npt.NDArray[np.uint8]
    to_source: Matrix
    motion: Motion


def pair_window(view: str, height: int, width: int) -> Window:
    """The window both views of a pair cover.

    Args:
        view: `whole` or `study`.
        height: Rows of the frame.
        width: Columns of the frame.
    """
    if view == "whole":
        return Window.whole(height, width)
    by_row, by_column = height / STUDY_FRAME[0], width / STUDY_FRAME[1]
    top, bottom = (round(edge * by_row) for edge in STUDY_PAIR_VIEW[:2])
    left, right = (round(edge * by_column) for edge in STUDY_PAIR_VIEW[2:])
    return Window(top, left, max(1, bottom - top), max(1, right - left), height, width)


def make_pair(
    sample: Sample, params: SelfSupervisedParams, seed: int, epoch: int, index: int
) -> Pair:
    """The two views of one image in one epoch.

    Rotation about the frame's centre by U(−10°, 10°), then a shift by U(−10, 10) px each way;
    before both, mirror with p = 0.5 unless `augmentation` is `none`. Image bilinear, segments
    nearest; what comes from outside the frame is black, and no segment.

    Args:
        sample: The whole frame; its depth is not looked at.
        params: `view`, `augmentation`, `registration`.
        seed: Of the fit.
        epoch: Counted from 1.
        index: Of the image in the training set.
    """
    generator = np.random.default_rng([_PAIR_STREAM, seed, epoch, index])
    turn, right, down, mirror = generator.random(4)
    if params.augmentation != "none" and mirror < 0.5:
        sample = mirrored(sample)
    height, width = sample.depth.shape
    degrees = ROTATION_DEGREES * (2 * turn - 1)
    shift = (
        SHIFT_PIXELS * (2 * right - 1) * width / STUDY_FRAME[1],
        SHIFT_PIXELS * (2 * down - 1) * height / STUDY_FRAME[0],
    )
    centre = ((width - 1) / 2, (height - 1) / 2)
    in_frame = target_to_source(degrees, shift, centre)
    window = pair_window(params.view, height, width)
    to_source = in_view(in_frame, window)
    told = to_source
    if params.registration == "study":
        told = target_to_source(degrees, (-shift[0], -shift[1]), centre)
    camera = camera_matrix(window.height, window.width)
    return Pair(
        target=cropped(_moved(sample, in_frame), window),
        source=sample.image[:, window.rows, window.columns],
        to_source=to_source,
        motion=decompose(told, camera),
    )


def pair_batches(
    images: TrainingImages,
    indices: Sequence[int],
    params: SelfSupervisedParams,
    seed: int,
    epoch: int,
) -> Iterator[PairBatch]:
    """The pairs of one epoch by batch, on the CPU, in an order drawn from seed and epoch.

    Args:
        images: All training images.
        indices: Those to train on.
        params: `batch_size`, `view`, `augmentation`, `registration`.
        seed: Of the fit.
        epoch: Counted from 1.
    """
    for chosen in shuffled(indices, params.batch_size, seed, epoch):
        frames = [images[index] for index in chosen]
        pairs = [
            make_pair(frame, params, seed, epoch, index)
            for frame, index in zip(frames, chosen, strict=True)
        ]
        yield collate_pairs(pairs, pair_window(params.view, *frames[0].depth.shape))


def collate_pairs(pairs: Sequence[Pair], window: Window) -> PairBatch:
    """Stack pairs of one size into a batch on the CPU.

    Args:
        pairs: B pairs.
        window: What the batch says its window is.

    Raises:
        MethodError: They are of different sizes.
    """
    targets = collate([Augmented(pair.target) for pair in pairs], window)
    height, width = targets.image.shape[-2:]
    seen = [overlap(pair.to_source, height, width)[None] for pair in pairs]
    motions = [pair.motion for pair in pairs]
    return PairBatch(
        image=targets.image,
        window=window,
        ids=targets.ids,
        segments=targets.segments,
        source=_stack([pair.source for pair in pairs]).float() / 255,
        overlap=_stack(seen),
        rotation=_stack([motion.rotation for motion in motions]).float(),
        translation=_stack([motion.translation for motion in motions]).float(),
    )


def self_supervised_losses(params: SelfSupervisedParams, step: StepOutput) -> dict[str, Tensor]:
    """Photometric loss, smoothness and symmetry, weighted; those of weight 0 are left out.

    Target and source are normalised before the source is warped, so outside of it is ImageNet's
    mean colour. Pixels the source does not show (corners opened by the rotation, margins) do not
    count.
    """
    batch = step.batch
    assert isinstance(batch, PairBatch)
    target, source = imagenet_normalised(batch.image), imagenet_normalised(batch.source)
    camera = torch.from_numpy(camera_matrix(*target.shape[-2:])).to(target)
    warped = inverse_warp(source, step.prediction, camera, batch.rotation, batch.translation)
    apart = photometric(warped, target, batch.overlap, params.photometric)
    return {
        "photometric": params.photometric_weight * apart,
        **regularisation(params, step),
    }


def _moved(sample: Sample, to_source: Matrix) -> Sample:
    """The frame as seen after the motion: image and segments, no depth."""
    height, width = sample.depth.shape
    matrix, size = to_source[:2], (width, height)
    plane = np.ascontiguousarray(sample.image.transpose(1, 2, 0))
    image = cv2.warpAffine(plane, matrix, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    segments = sample.segments
    if segments is not None:
        # OpenCV warps no int32; float64 holds every int32 exactly.
        nearest = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
        segments = cv2.warpAffine(segments.astype(np.float64), matrix, size, flags=nearest).astype(
            np.int32
        )
    return replace(
        sample,
        image=np.asarray(image, dtype=np.uint8).transpose(2, 0, 1),
        depth=np.zeros_like(sample.depth),
        valid=np.zeros_like(sample.valid),
        segments=segments,
        intrinsics=None,
    )


def _stack(arrays: Sequence[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.stack(arrays))
