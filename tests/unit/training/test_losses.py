"""Each loss against plain numpy float64, written from its formula with loops over pixels."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from bench.training import losses
from bench.training.losses import DEPTH_LOSSES

CENTRES = (1.0, 1.5, 2.0, 2.25, 2.5, 2.75, 3.0)


def random_case() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    prediction = torch.rand(3, 1, 5, 7, generator=generator) * 9 + 0.5
    target = torch.rand(3, 1, 5, 7, generator=generator) * 9 + 0.5
    valid = torch.rand(3, 1, 5, 7, generator=generator) > 0.3
    return prediction, target, valid


def pixels(*tensors: Tensor) -> list[list[tuple[float, ...]]]:
    """By image, the tuples of values at each pixel."""
    arrays = [tensor.double().numpy() for tensor in tensors]
    return [
        [
            tuple(array[image, 0, row, column] for array in arrays)
            for row in range(arrays[0].shape[2])
            for column in range(arrays[0].shape[3])
        ]
        for image in range(arrays[0].shape[0])
    ]


def test_l1_is_the_mean_absolute_error_over_valid_pixels() -> None:
    errors = [abs(p - t) for image in pixels(*random_case()) for p, t, v in image if v]
    assert float(losses.l1(*random_case())) == pytest.approx(np.mean(errors), rel=1e-6)


def test_l2_is_the_mean_squared_error_over_valid_pixels() -> None:
    errors = [(p - t) ** 2 for image in pixels(*random_case()) for p, t, v in image if v]
    assert float(losses.l2(*random_case())) == pytest.approx(np.mean(errors), rel=1e-6)


def test_silog_is_taken_per_image_and_leaves_out_images_without_valid_pixels() -> None:
    prediction, target, valid = random_case()
    valid[1] = False
    values = []
    for image in pixels(prediction, target, valid):
        logs = [math.log(p) - math.log(t) for p, t, v in image if v]
        if logs:
            values.append(np.mean(np.square(logs)) - 0.5 * np.mean(logs) ** 2)
    assert len(values) == 2
    assert float(losses.silog(prediction, target, valid)) == pytest.approx(
        np.mean(values), rel=1e-5
    )


def test_silog_forgives_half_of_a_scale_error() -> None:
    target = torch.full((1, 1, 4, 4), 2.0)
    scaled = losses.silog(target * math.e, target, target > 0)
    assert float(scaled) == pytest.approx(0.5, rel=1e-6)


@pytest.mark.parametrize("name", DEPTH_LOSSES)
def test_what_lies_under_invalid_pixels_reaches_neither_loss_nor_gradient(name: str) -> None:
    prediction, target, valid = random_case()
    prediction.requires_grad_()
    clean = DEPTH_LOSSES[name](prediction, target, valid)
    poisoned = DEPTH_LOSSES[name](
        prediction, torch.where(valid, target, torch.tensor(float("nan"))), valid
    )
    poisoned.backward()
    assert torch.equal(clean, poisoned)
    assert prediction.grad is not None
    assert torch.isfinite(prediction.grad).all()
    assert (prediction.grad[~valid] == 0).all()
    assert (prediction.grad[valid] != 0).all()


@pytest.mark.parametrize("name", DEPTH_LOSSES)
def test_without_valid_pixels_loss_and_gradient_are_zero(name: str) -> None:
    prediction, target, _ = random_case()
    prediction.requires_grad_()
    loss = DEPTH_LOSSES[name](prediction, target, torch.zeros_like(target, dtype=torch.bool))
    loss.backward()
    assert float(loss.detach()) == 0
    assert prediction.grad is not None
    assert (prediction.grad == 0).all()


def test_smoothness_weighs_depth_steps_by_image_edges() -> None:
    generator = torch.Generator().manual_seed(1)
    depth = torch.rand(2, 1, 4, 6, generator=generator)
    image = torch.randn(2, 3, 4, 6, generator=generator)
    d, i = depth.double().numpy(), image.double().numpy()
    across, down = [], []
    for b in range(2):
        for y in range(4):
            for x in range(6):
                if x < 5:
                    edge = np.mean([abs(i[b, c, y, x + 1] - i[b, c, y, x]) for c in range(3)])
                    across.append(abs(d[b, 0, y, x + 1] - d[b, 0, y, x]) * math.exp(-edge))
                if y < 3:
                    edge = np.mean([abs(i[b, c, y + 1, x] - i[b, c, y, x]) for c in range(3)])
                    down.append(abs(d[b, 0, y + 1, x] - d[b, 0, y, x]) * math.exp(-edge))
    expected = np.mean(across) + np.mean(down)
    assert float(losses.smoothness(depth, image)) == pytest.approx(expected, rel=1e-6)


def test_symmetry_pulls_each_view_to_the_other_but_through_one_side_only() -> None:
    plain = torch.tensor([[[[1.0, 2.0]]]], requires_grad=True)
    turned = torch.tensor([[[[1.5, 5.0]]]], requires_grad=True)
    loss = losses.symmetry(plain, turned)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(2 * (0.25 + 9) / 2)
    # With gradients through both sides these would be twice as large.
    assert plain.grad is not None
    assert plain.grad.flatten().tolist() == pytest.approx([-0.5, -3.0])
    assert turned.grad is not None
    assert turned.grad.flatten().tolist() == pytest.approx([0.5, 3.0])


def test_bin_classification_against_numpy() -> None:
    generator = torch.Generator().manual_seed(2)
    logits = torch.randn(2, 7, 4, 5, generator=generator)
    target = torch.rand(2, 1, 4, 5, generator=generator) * 3 + 0.5
    valid = torch.rand(2, 1, 4, 5, generator=generator) > 0.3
    # Edges 1.25, 1.75, 2.125, 2.375, 2.625, 2.875; a target on one is of the farther bin.
    target[0, 0, 0, 0], valid[0, 0, 0, 0] = 2.125, True
    values = []
    for b in range(2):
        for y in range(4):
            for x in range(5):
                if valid[b, 0, y, x]:
                    depth = float(target[b, 0, y, x])
                    index = sum(depth >= e for e in (1.25, 1.75, 2.125, 2.375, 2.625, 2.875))
                    scores = logits[b, :, y, x].double().numpy()
                    values.append(np.log(np.exp(scores).sum()) - scores[index])
    loss = losses.bin_classification(logits, target, valid, CENTRES)
    assert float(loss) == pytest.approx(np.mean(values), rel=1e-6)
