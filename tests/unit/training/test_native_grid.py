from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from bench.data.base import Subset
from bench.training import losses
from bench.training.loop import StepOutput
from bench.training.native_grid import native_losses, target_on_grid
from bench.training.normalisation import imagenet_normalised
from bench.training.trained_method import TrainingParams
from bench.types import Batch, Window


def batch_of(depth: Tensor) -> Batch:
    shape = tuple(depth.shape[-2:])
    image = torch.rand(len(depth), 3, *shape, generator=torch.Generator().manual_seed(0))
    return Batch(image, Window.whole(*shape), ("x",) * len(depth), depth, depth > 0)


def test_the_target_is_resized_with_aligned_corners() -> None:
    rows, columns = torch.meshgrid(torch.arange(5.0), torch.arange(9.0), indexing="ij")
    depth = (1 + rows + columns / 2)[None, None]
    target, valid = target_on_grid(batch_of(depth), 3, 3)
    assert valid.all()
    assert target[0, 0].tolist() == [[1, 3, 5], [3, 5, 7], [5, 7, 9]]
    target, valid = target_on_grid(batch_of(depth), 2, 6)
    wanted = [1 + row + column for row in (0.0, 4.0) for column in np.linspace(0, 4, 6)]
    np.testing.assert_allclose(target.flatten(), wanted, rtol=1e-6)


def test_a_point_beside_a_missing_pixel_is_not_valid() -> None:
    depth = torch.full((1, 1, 7, 7), 4.0)
    depth[0, 0, 3, 3] = 0
    _, valid = target_on_grid(batch_of(depth), 3, 3)  # points lie on pixels 0, 3, 6
    assert (~valid).nonzero().tolist() == [[0, 0, 1, 1]]
    target, valid = target_on_grid(batch_of(depth), 4, 4)  # on pixels 0, 2, 4, 6
    assert valid.all()
    target, valid = target_on_grid(batch_of(depth), 6, 6)  # between pixels 2 and 3, 3 and 4
    assert (~valid).nonzero()[:, 2:].tolist() == [[2, 2], [2, 3], [3, 2], [3, 3]]
    assert (target[valid] == 4).all()
    assert (target[~valid] == 0).all()


def test_the_target_is_clipped_to_ten_metres() -> None:
    target, _ = target_on_grid(batch_of(torch.full((1, 1, 4, 4), 30.0)), 2, 2)
    assert (target == 10).all()


def step_of(passes: tuple[Tensor, ...], batch: Batch) -> StepOutput:
    unused = torch.full_like(batch.image[:, :1], float("nan"))
    return StepOutput(batch, passes, unused, {})


def test_losses_are_of_the_mean_pass_on_its_own_grid(ramps: Callable[..., Subset]) -> None:
    depth = torch.rand(2, 1, 13, 17, generator=torch.Generator().manual_seed(1)) * 5 + 1
    batch = batch_of(depth)
    one, two = torch.rand(2, 2, 1, 4, 5, generator=torch.Generator().manual_seed(2)) * 5
    target, valid = target_on_grid(batch, 4, 5)
    mean = (one + two) / 2
    settings: dict[str, Any] = {"mirror_pass": True, "smoothness_weight": 0.5}
    params = TrainingParams(loss="l2", symmetry_weight=0.25, **settings)
    terms = native_losses(params, step_of((one, two), batch))
    assert list(terms) == ["l2", "smoothness", "symmetry"]
    wanted = ((mean - target) ** 2).mean()
    assert valid.all()
    assert terms["l2"].item() == pytest.approx(wanted.item(), rel=1e-6)
    image = torch.nn.functional.interpolate(
        imagenet_normalised(batch.image), (4, 5), mode="bilinear", align_corners=True
    )
    assert terms["smoothness"] == 0.5 * losses.smoothness(mean, image)
    assert terms["symmetry"].item() == pytest.approx(0.5 * ((one - two) ** 2).mean().item())


def test_losses_of_weight_zero_are_left_out() -> None:
    batch = batch_of(torch.ones(1, 1, 8, 8))
    terms = native_losses(TrainingParams(loss="silog"), step_of((torch.ones(1, 1, 2, 2),), batch))
    assert terms == {"silog": torch.tensor(0.0)}


def test_an_image_without_depth_gives_no_loss_and_no_gradient() -> None:
    batch = batch_of(torch.zeros(1, 1, 8, 8))
    prediction = torch.ones(1, 1, 2, 2, requires_grad=True)
    for loss in ("l1", "l2", "silog"):
        (value,) = native_losses(TrainingParams(loss=loss), step_of((prediction,), batch)).values()
        value.backward()
        assert value == 0
        assert prediction.grad is not None
        assert (prediction.grad == 0).all()
