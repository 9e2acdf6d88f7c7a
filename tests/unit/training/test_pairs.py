from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from bench.errors import MethodError
from bench.training.homography import camera_matrix
from bench.training.loop import StepOutput
from bench.training.pairs import (
    Pair,
    PairBatch,
    collate_pairs,
    make_pair,
    pair_window,
    self_supervised_losses,
)
from bench.training.photometric import inverse_warp
from bench.training.selfsupervised import SelfSupervisedParams
from bench.types import Sample, Window


def params(**settings: Any) -> SelfSupervisedParams:
    return SelfSupervisedParams(**{"supervision": "self-supervised", "view": "study"} | settings)


def smooth(height: int = 480, width: int = 640) -> Sample:
    """Synthetic: slow waves, other ones in each colour."""
    rows, columns = np.indices((height, width)) * (480 / height)
    image = np.stack(
        [
            127 + 80 * np.sin(columns / 23 + rows / 31),
            127 + 80 * np.cos(columns / 17 - rows / 29),
            127 + 60 * np.sin(columns * rows / 9000),
        ]
    )
    depth = np.full((height, width), 3.0, dtype=np.float32)
    segments = (np.indices((height, width)).sum(0) // 40).astype(np.int32)
    return Sample("smooth", image.astype(np.uint8), depth, depth > 0, segments=segments)


def batch_of(pair: Pair) -> PairBatch:
    height, width = pair.source.shape[1:]
    return collate_pairs([pair], Window.whole(height, width))


def seen_through(batch: PairBatch, depth: float) -> Tensor:
    size = tuple(batch.image.shape[-2:])
    camera = torch.from_numpy(camera_matrix(*size)).float()
    plane = torch.full((len(batch), 1, *size), depth)
    return inverse_warp(batch.source, plane, camera, batch.rotation, batch.translation)


def grey_levels_apart(batch: PairBatch, depth: float) -> float:
    apart = 255 * (seen_through(batch, depth) - batch.image).abs()
    return apart[batch.overlap.expand_as(apart)].mean().item()


def loss_at(batch: PairBatch, depth: float, **settings: Any) -> float:
    plane = torch.full_like(batch.image[:, :1], depth)
    step = StepOutput(batch, (plane,), plane, {})
    return self_supervised_losses(params(**settings), step)["photometric"].item()


@pytest.mark.parametrize(("view", "height", "width"), [("study", 480, 640), ("whole", 120, 160)])
def test_the_source_seen_through_one_metre_is_the_target(
    view: str, height: int, width: int
) -> None:
    for index in range(4):
        pair = make_pair(smooth(height, width), params(view=view), seed=1, epoch=1, index=index)
        batch = batch_of(pair)
        assert grey_levels_apart(batch, 1.0) < 0.5
        assert batch.overlap.float().mean() > 0.75


def test_the_studys_registration_is_tens_of_grey_levels_off() -> None:
    apart = []
    for index in range(6):
        pair = make_pair(smooth(), params(registration="study"), seed=1, epoch=1, index=index)
        apart.append(grey_levels_apart(batch_of(pair), 1.0))
    assert np.mean(apart) > 20


def test_the_views_are_the_same_whatever_the_registration() -> None:
    fixed, study = (
        make_pair(smooth(), params(registration=how), seed=1, epoch=1, index=0)
        for how in ("fixed", "study")
    )
    assert np.array_equal(fixed.target.image, study.target.image)
    assert np.array_equal(fixed.source, study.source)
    assert not np.allclose(fixed.motion.translation, study.motion.translation)


def test_the_signal_is_satisfied_by_one_metre_everywhere_and_holds_no_depth() -> None:
    """The scene is 3 m away, or 7 m: the loss is least at 1 m and says nothing of either."""
    far = replace(smooth(), depth=np.full((480, 640), 7.0, dtype=np.float32))
    near = smooth()
    pairs = [make_pair(sample, params(), seed=1, epoch=1, index=0) for sample in (near, far)]
    losses = [[loss_at(batch_of(pair), depth) for depth in (0.7, 1, 1.5, 3, 7)] for pair in pairs]
    assert losses[0] == losses[1]
    assert np.argmin(losses[0]) == 1
    assert losses[0][1] < 0.02
    assert min(losses[0][2:]) > 5 * losses[0][1]


def test_the_studys_view_is_in_the_middle_of_its_training_region() -> None:
    assert pair_window("study", 480, 640) == Window(51, 53, 416, 544, 480, 640)
    assert pair_window("study", 120, 160) == Window(13, 13, 104, 136, 120, 160)
    assert pair_window("whole", 120, 160) == Window.whole(120, 160)


def test_motions_stay_within_their_bounds_and_half_are_mirrored() -> None:
    angles, shifts, mirrors = [], [], 0
    sample = smooth(48, 64)
    for index in range(200):
        pair = make_pair(sample, params(view="whole"), seed=1, epoch=1, index=index)
        turn = pair.to_source[:2, :2]
        middle = np.array([31.5, 23.5])
        angles.append(np.degrees(np.arctan2(turn[1, 0], turn[0, 0])))
        shifts.append(-turn.T @ (pair.to_source[:2] @ [*middle, 1] - middle))
        mirrors += np.array_equal(pair.source, sample.image[:, :, ::-1])
    assert 9 < np.abs(angles).max() <= 10
    # 10 px of 640×480 are 1 px of 64×48.
    assert 0.9 < np.abs(shifts).max() <= 1 + 1e-9
    assert 70 < mirrors < 130


def test_without_augmentation_nothing_is_mirrored() -> None:
    sample = smooth(48, 64)
    for index in range(10):
        settings = params(view="whole", augmentation="none")
        pair = make_pair(sample, settings, seed=1, epoch=1, index=index)
        assert np.array_equal(pair.source, sample.image)
        assert not np.array_equal(pair.target.image, sample.image)


def test_segments_move_with_the_image() -> None:
    segments = np.zeros((120, 160), dtype=np.int32)
    segments[40:80, 50:110] = 70_001
    image = np.repeat((segments[None] > 0) * np.uint8(200), 3, axis=0)
    sample = replace(smooth(120, 160), image=image, segments=segments)
    batch = batch_of(make_pair(sample, params(view="whole"), seed=1, epoch=1, index=3))
    assert batch.segments is not None
    assert set(batch.segments.unique().tolist()) == {0, 70_001}
    lit = batch.image[:, :1] > 100 / 255
    assert (lit != (batch.segments > 0)).float().mean() < 0.01
    assert lit.any()


def test_a_pair_depends_on_seed_epoch_and_index_only() -> None:
    sample = smooth(48, 64)

    def pair(seed: int, epoch: int, index: int) -> bytes:
        return make_pair(sample, params(), seed, epoch, index).target.image.tobytes()

    reference = pair(1, 2, 3)
    assert pair(1, 2, 3) == reference
    assert reference not in (pair(2, 2, 3), pair(1, 3, 3), pair(1, 2, 4))


def test_the_batch_has_no_depth() -> None:
    batch = batch_of(make_pair(smooth(48, 64), params(), seed=1, epoch=1, index=0))
    assert batch.depth is None
    assert batch.valid is None
    target = make_pair(smooth(48, 64), params(), seed=1, epoch=1, index=0).target
    assert not target.valid.any()
    assert not target.depth.any()


def test_pairs_of_two_sizes_are_refused_in_one_line() -> None:
    pairs = [make_pair(smooth(*size), params(), 1, 1, 0) for size in ((48, 64), (60, 80))]
    with pytest.raises(MethodError, match="differ in size") as refusal:
        collate_pairs(pairs, pair_window("study", 48, 64))
    assert "\n" not in str(refusal.value)


def test_the_terms_are_weighted_and_those_of_weight_0_left_out() -> None:
    batch = batch_of(make_pair(smooth(48, 64), params(), seed=1, epoch=1, index=0))
    rough = 1 + torch.rand(batch.image[:, :1].shape, generator=torch.Generator().manual_seed(1))
    step = StepOutput(batch, (rough, rough + 0.1), rough, {})
    plain = self_supervised_losses(params(), step)
    assert list(plain) == ["photometric"]
    weighted = self_supervised_losses(
        params(
            photometric_weight=2.0, smoothness_weight=0.5, symmetry_weight=1.0, mirror_pass=True
        ),
        step,
    )
    assert list(weighted) == ["photometric", "smoothness", "symmetry"]
    assert weighted["photometric"].item() == pytest.approx(2 * plain["photometric"].item())
    assert weighted["symmetry"].item() == pytest.approx(0.02, rel=1e-4)


def test_the_studys_photometric_loss_can_be_chosen() -> None:
    batch = batch_of(make_pair(smooth(), params(), seed=1, epoch=1, index=1))
    assert loss_at(batch, 1.0, photometric="study") > 0.42
    assert loss_at(batch, 1.0) < 0.02
