from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from bench.encoders.painting import Paint, colours, paint, paint_array


def example() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    image = torch.rand(2, 3, 5, 7, generator=generator)
    labels = torch.randint(0, 4, (2, 1, 5, 7), generator=generator)
    return image, labels


def colour_of(label: int) -> npt.NDArray[np.float64]:
    """The R3 sequence in exact rational arithmetic, 0.2 lifted from black."""
    root = Fraction(1)
    for _ in range(60):  # Newton's method for x⁴ = x + 1
        root -= (root**4 - root - 1) / (4 * root**3 - 1)
        root = root.limit_denominator(10**30)
    places = [(label / root**power) % 1 for power in (1, 2, 3)]
    return np.array([0.2 + 0.8 * float(place) for place in places])


@pytest.mark.parametrize("label", [1, 2, 3, 50, 254])
def test_a_label_has_the_same_colour_everywhere(label: int) -> None:
    found = colours(torch.full((1, 1, 1, 1), label)).flatten().numpy()
    np.testing.assert_allclose(found, colour_of(label), atol=1e-6)


def test_blending_lays_the_colour_over_the_image() -> None:
    image, labels = example()
    painted = paint(image, labels, "blend", alpha=0.35).numpy()
    for b, row, column in itertools.product(range(2), range(5), range(7)):
        pixel, label = image[b, :, row, column].numpy(), int(labels[b, 0, row, column])
        expected = 0.65 * pixel + 0.35 * colour_of(label) if label else pixel
        np.testing.assert_allclose(painted[b, :, row, column], expected, atol=1e-6)


def test_where_there_is_no_segment_blending_keeps_the_image_to_the_bit() -> None:
    image, labels = example()
    nothing = (labels == 0).expand_as(image)
    assert torch.equal(paint(image, labels)[nothing], image[nothing])


def test_flat_shows_the_colours_alone() -> None:
    image, labels = example()
    painted = paint(image, labels, "flat")
    assert torch.equal(painted, paint(torch.zeros_like(image), labels, "flat"))
    nothing = (labels == 0).expand_as(image)
    assert not painted[nothing].any()
    assert torch.equal(painted[~nothing], colours(labels)[~nothing])


@pytest.mark.parametrize("mode", ["blend", "flat"])
def test_a_mirrored_view_is_painted_as_the_mirror_image(mode: Paint) -> None:
    image, labels = example()
    mirrored = paint(image.flip(-1), labels.flip(-1), mode)
    assert torch.equal(mirrored.flip(-1), paint(image, labels, mode))


@pytest.mark.parametrize("mode", ["blend", "flat"])
def test_painted_values_stay_in_range(mode: Paint) -> None:
    labels = torch.tensor([0, 1, 2**16, 2**31 - 1, 2**40]).view(1, 1, 1, 5)
    for level in (0.0, 1.0):
        painted = paint(torch.full((1, 3, 1, 5), level), labels, mode)
        assert painted.dtype == torch.float32
        assert painted.min() >= 0
        assert painted.max() <= 1


def cielab(rgb: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(N, 3) sRGB to CIELAB (D65)."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    matrix = [[0.4125, 0.3576, 0.1804], [0.2127, 0.7152, 0.0722], [0.0193, 0.1192, 0.9503]]
    xyz = linear @ np.array(matrix).T / [0.9505, 1.0, 1.0888]
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    lightness = 116 * f[:, 1] - 16
    return np.stack([lightness, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], 1)


@pytest.mark.parametrize(("count", "apart"), [(16, 15), (64, 6), (128, 2.3)])
def test_colours_can_be_told_apart_and_from_black(count: int, apart: float) -> None:
    """2.3 in CIELAB is just noticeable."""
    labels = torch.arange(1, count + 1).view(1, 1, 1, count)
    rgb = colours(labels)[0, :, 0].T.double().numpy()
    lab = cielab(np.vstack([np.zeros(3), rgb]))
    distances = np.linalg.norm(lab[:, None] - lab[None], axis=-1)
    assert distances[np.triu_indices(count + 1, 1)].min() > apart


def test_figures_are_painted_as_networks_see_them() -> None:
    image, labels = example()
    bytes_ = (image[0] * 255).round().to(torch.uint8).numpy()
    painted = paint_array(bytes_, labels[0, 0].int().numpy(), "blend", 0.5)
    assert painted.dtype == np.uint8
    assert painted.shape == (3, 5, 7)
    expected = paint(image[:1], labels[:1], "blend", 0.5)[0].numpy() * 255
    np.testing.assert_allclose(painted.astype(float), expected, atol=1)


def test_figures_are_painted_from_read_only_arrays() -> None:
    image = np.zeros((3, 2, 2), np.uint8)
    image.flags.writeable = False
    assert not paint_array(image, np.zeros((2, 2), np.int32)).any()


@pytest.mark.parametrize("shape", [(2, 1, 5, 6), (1, 1, 5, 7), (2, 5, 7), (2, 3, 5, 7)])
def test_labels_of_another_image_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="do not go with"):
        paint(example()[0], torch.zeros(shape, dtype=torch.int64))
