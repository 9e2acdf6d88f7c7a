from __future__ import annotations

import itertools
import math

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from bench.training.photometric import dssim, inverse_warp, photometric, ssim

Array = npt.NDArray[np.float64]


def two_images(height: int = 7, width: int = 9) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(5)
    one = torch.randn(2, 3, height, width, generator=generator)
    return one, 0.6 * one + 0.5 * torch.randn(2, 3, height, width, generator=generator)


def ssim_by_windows(one: Tensor, other: Tensor) -> Array:
    """One window after the other, in float64."""
    a, b = one.double().numpy(), other.double().numpy()
    batch, channels, height, width = a.shape
    out = np.empty((batch, channels, height - 2, width - 2))
    for at in np.ndindex(out.shape):
        window = (at[0], at[1], slice(at[2], at[2] + 3), slice(at[3], at[3] + 3))
        x, y = a[window].ravel(), b[window].ravel()
        covariance = ((x - x.mean()) * (y - y.mean())).mean()
        top = (2 * x.mean() * y.mean() + 1e-4) * (2 * covariance + 9e-4)
        bottom = (x.mean() ** 2 + y.mean() ** 2 + 1e-4) * (x.var() + y.var() + 9e-4)
        out[at] = top / bottom
    return out


def apart(found: Tensor, wanted: Array) -> float:
    """Largest difference relative to the largest value."""
    return float(np.abs(found.double().numpy() - wanted).max() / np.abs(wanted).max())


def test_ssim_is_the_definition() -> None:
    one, other = two_images()
    assert ssim(one, other).shape == (2, 3, 5, 7)
    assert apart(ssim(one, other), ssim_by_windows(one, other)) < 1e-5


def test_ssim_is_as_exact_on_smooth_bright_images() -> None:
    """E[x²] − E[x]² in float32 would be off by more than the contrast constant here."""
    ramp = torch.linspace(0, 0.05, 40).view(1, 1, 5, 8)
    one, other = 40 + ramp, 40 + ramp.flip(-1)
    assert apart(ssim(one, other), ssim_by_windows(one, other)) < 1e-4


def test_dssim_is_0_for_like_and_1_for_opposite() -> None:
    one, _ = two_images()
    assert dssim(one, one).abs().max() < 1e-6
    waves = torch.tensor([1.0, -1, 0]).repeat(4).view(1, 1, 1, 12).expand(1, 1, 6, 12) * 50
    assert dssim(waves, -waves).mean() > 0.999


def test_the_photometric_loss_is_the_definition() -> None:
    one, other = two_images()
    unlike = (1 - ssim_by_windows(one, other)) / 2
    difference = np.abs(one.double().numpy() - other.double().numpy()).mean()
    wanted = 0.85 * unlike.mean() + 0.15 * difference
    assert photometric(one, other).item() == pytest.approx(wanted, rel=1e-5)
    released = 0.85 * ((1 - unlike) / 2).mean() + 0.15 * difference
    assert photometric(one, other, variant="study").item() == pytest.approx(released, rel=1e-5)


def test_only_the_study_rewards_what_is_unlike() -> None:
    one, other = two_images()
    assert photometric(one, one) < photometric(one, other)
    flat = torch.zeros_like(one)
    assert photometric(flat, flat, variant="study") == pytest.approx(0.85 / 2)
    waves = 1e-3 * torch.tensor([1.0, -1, 0]).repeat(3).expand(2, 3, 7, 9) * 60
    like, unlike = (photometric(waves, sign * waves, variant="study") for sign in (1, -1))
    assert unlike < like


def test_pixels_outside_the_overlap_do_not_count() -> None:
    one, other = two_images()
    overlap = torch.ones(2, 1, 7, 9, dtype=torch.bool)
    overlap[0, 0, :, :4] = False
    overlap[1] = False
    wanted = photometric(one[:1, :, :, 4:], other[:1, :, :, 4:])
    assert photometric(one, other, overlap).item() == pytest.approx(wanted.item(), rel=1e-5)
    assert photometric(one, other, torch.zeros_like(overlap)) == 0


def warped_by_hand(
    source: Array, depth: Array, camera: Array, rotation: Array, translation: Array
) -> Array:
    """Pixel by pixel: (C, H, W), (H, W), (3, 3), (3, 3), (3,) to (C, H, W)."""
    height, width = source.shape[1:]
    out = np.zeros_like(source)
    for row, column in np.ndindex(height, width):
        point = depth[row, column] * np.linalg.solve(camera, [column, row, 1.0])
        x, y, scale = camera @ (rotation @ point + translation)
        x, y = x / scale, y / scale
        left, top = math.floor(x), math.floor(y)
        for j, i in itertools.product((top, top + 1), (left, left + 1)):
            if 0 <= j < height and 0 <= i < width:
                share = (1 - abs(x - i)) * (1 - abs(y - j))
                out[:, row, column] += share * source[:, j, i]
    return out


def scene() -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(6)
    source = torch.rand(2, 3, 8, 11, generator=generator)
    depth = 1 + torch.rand(2, 1, 8, 11, generator=generator)
    camera = torch.tensor([[9.0, 0, 5], [0, 9.5, 3.5], [0, 0, 1]])
    turns = []
    for angle in (0.1, -0.07):
        c, s = math.cos(angle), math.sin(angle)
        about_z = torch.tensor([[c, -s, 0], [s, c, 0], [0, 0, 1]])
        about_x = torch.tensor([[1, 0, 0], [0, c, -s], [0, s, c]])
        turns.append(about_z @ about_x)
    translation = torch.tensor([[0.2, -0.1, 0.05], [-0.3, 0.25, -0.1]])
    return source, depth, camera, torch.stack(turns), translation


def test_the_warp_is_the_definition() -> None:
    source, depth, camera, rotation, translation = scene()
    found = inverse_warp(source, depth, camera, rotation, translation)
    for index in range(2):
        given = (source[index], depth[index, 0], camera, rotation[index], translation[index])
        wanted = warped_by_hand(*(value.double().numpy() for value in given))
        assert apart(found[index], wanted) < 1e-5
        assert (wanted == 0).any()  # part of the view is outside


def test_the_gradient_leads_to_the_depth_that_registers() -> None:
    rows, columns = torch.meshgrid(torch.arange(24.0), torch.arange(32.0), indexing="ij")
    source = torch.sin(rows / 5 + columns / 4).expand(1, 3, 24, 32)
    camera = torch.tensor([[30.0, 0, 15.5], [0, 30, 11.5], [0, 0, 1]])
    view = camera, torch.eye(3)[None], torch.tensor([[0.2, 0.0, 0.0]])
    target = inverse_warp(source, torch.full((1, 1, 24, 32), 2.0), *view)
    inner = torch.zeros(1, 1, 24, 32, dtype=torch.bool)
    inner[..., 6:-6, 6:-6] = True
    depth = torch.full((1, 1, 1, 1), 1.7, requires_grad=True)
    optimizer = torch.optim.Adam([depth], lr=0.03)
    for _ in range(60):
        optimizer.zero_grad()
        warped = inverse_warp(source, depth.expand(1, 1, 24, 32), *view)
        photometric(warped, target, inner).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert depth.item() == pytest.approx(2.0, abs=0.05)


@pytest.mark.parametrize("value", [0.0, -3.0, 1e6])
def test_a_senseless_depth_breaks_nothing(value: float) -> None:
    source, depth, camera, rotation, translation = scene()
    depth = torch.full_like(depth, value, requires_grad=True)
    warped = inverse_warp(source, depth, camera, rotation, translation)
    warped.sum().backward()  # type: ignore[no-untyped-call]
    assert torch.isfinite(warped).all()
    assert depth.grad is not None
    assert torch.isfinite(depth.grad).all()
