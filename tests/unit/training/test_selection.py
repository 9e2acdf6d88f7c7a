from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from bench.data.base import Subset
from bench.errors import MethodError
from bench.training.images import TrainingImages
from bench.training.selection import mean_abs_rel, split_for_validation
from bench.types import Batch, Window


def test_no_scene_is_on_both_sides(ramps: Callable[..., Subset]) -> None:
    images = TrainingImages(ramps(images=20, scenes=5), segments=False)
    train, held = split_for_validation(images, share=0.3, seed=1)
    assert sorted([*train, *held]) == list(range(20))
    assert len(held) == 8  # scenes of four: the first count to reach 0.3 × 20
    assert not {images[i].scene for i in train} & {images[i].scene for i in held}


def test_the_split_follows_the_seed(ramps: Callable[..., Subset]) -> None:
    images = TrainingImages(ramps(images=40, scenes=40), segments=False)
    assert split_for_validation(images, 0.2, 1) == split_for_validation(images, 0.2, 1)
    assert split_for_validation(images, 0.2, 1) != split_for_validation(images, 0.2, 2)


def test_something_is_left_to_train_on(ramps: Callable[..., Subset]) -> None:
    images = TrainingImages(ramps(images=4, scenes=2), segments=False)
    train, held = split_for_validation(images, 0.99, 1)
    assert len(train) == 2
    assert len(held) == 2


def test_a_single_scene_cannot_be_split(ramps: Callable[..., Subset]) -> None:
    images = TrainingImages(ramps(images=4, scenes=1), segments=False)
    with pytest.raises(MethodError, match="selection: last"):
        split_for_validation(images, 0.5, 1)


def test_abs_rel_is_a_mean_over_images_of_clamped_predictions() -> None:
    # Image 0: |2−1|/1 and |2−4|/4 (0 and 10 m are out of range); image 1: |10−5|/5, clamped from
    # 40; image 2 has nothing to measure.
    depth = torch.tensor([[[[1.0, 4.0, 0.0, 10.0]]], [[[5.0, 0, 0, 0]]], [[[0.0, 0, 0, 0]]]])
    raw = torch.tensor([2.0, 40.0, 7.0]).view(3, 1, 1, 1).expand(3, 1, 1, 4)
    batch = Batch(
        torch.zeros(3, 3, 1, 4), Window.whole(1, 4), ("a", "b", "c"), depth=depth, valid=depth > 0
    )
    assert mean_abs_rel([batch], lambda _: raw) == pytest.approx(((1 + 0.5) / 2 + 1) / 2)
