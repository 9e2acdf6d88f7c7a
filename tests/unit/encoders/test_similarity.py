from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
import torch

from bench.encoders.prompts import BIN_CENTRES
from bench.encoders.similarity import Normalise, reduce_channels, similarity_depth
from bench.errors import MethodError

Array = npt.NDArray[np.float64]


def unit(vector: Array) -> Array:
    return vector / math.sqrt(sum(float(value) ** 2 for value in vector))


def reference(
    tokens: Array, text: Array, centres: tuple[float, ...], temperature: float, normalise: str
) -> Array:
    """The definition, token by token, in float64."""
    batch, channels, height, width = tokens.shape
    kept = [math.floor(i * channels / text.shape[1]) for i in range(text.shape[1])]
    depth = np.empty((batch, 1, height, width))
    for b, y, x in np.ndindex(batch, height, width):
        token = tokens[b, :, y, x]
        token = unit(token)[kept] if normalise == "before" else unit(token[kept])
        scores = []
        for embedding in text:
            other = embedding if normalise == "before" else unit(embedding)
            scores.append(math.fsum(token * other) / temperature)
        largest = max(scores)
        weights = [math.exp(score - largest) for score in scores]
        total = math.fsum(weights)
        depth[b, 0, y, x] = math.fsum(
            weight / total * centre for weight, centre in zip(weights, centres, strict=True)
        )
    return depth


@pytest.mark.parametrize("temperature", [0.001, 0.1])
@pytest.mark.parametrize("normalise", ["before", "after"])
@pytest.mark.parametrize(("channels", "width"), [(64, 32), (48, 32), (32, 32)])
def test_similarity_map_is_the_definition(
    normalise: Normalise, temperature: float, channels: int, width: int
) -> None:
    random = np.random.default_rng(5)
    tokens = random.normal(size=(2, channels, 4, 5)).astype(np.float32)
    text = random.normal(size=(7, width)).astype(np.float32)
    if normalise == "before":
        text = np.stack([unit(row.astype(np.float64)) for row in text]).astype(np.float32)
    found = similarity_depth(
        torch.from_numpy(tokens), torch.from_numpy(text), BIN_CENTRES, temperature, normalise
    )
    wanted = reference(
        tokens.astype(np.float64), text.astype(np.float64), BIN_CENTRES, temperature, normalise
    )
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-5)
    assert found.min() >= 1
    assert found.max() <= 3


def test_similarities_that_are_almost_equal_keep_their_digits() -> None:
    """As CLIP's sentences are: at τ = 0.001 float32 rounding would show in the depth."""
    random = np.random.default_rng(5)
    common = random.normal(size=1024)
    text = np.stack([unit(common + 0.03 * random.normal(size=1024)) for _ in range(7)])
    tokens = common.repeat(2)[None, :, None, None] + 0.03 * random.normal(size=(1, 2048, 6, 6))
    tokens, text = tokens.astype(np.float32), text.astype(np.float32)
    found = similarity_depth(
        torch.from_numpy(tokens), torch.from_numpy(text), BIN_CENTRES, 0.001, "after"
    )
    wanted = reference(
        tokens.astype(np.float64), text.astype(np.float64), BIN_CENTRES, 0.001, "after"
    )
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-6)


def test_reduction_keeps_the_even_channels_of_twice_as_many() -> None:
    tokens = torch.arange(2048.0).view(1, 2048, 1, 1)
    assert torch.equal(reduce_channels(tokens, 1024), tokens[:, ::2])


def test_reduction_is_torchs_nearest_interpolation() -> None:
    tokens = torch.randn(2, 30, 4, generator=torch.Generator().manual_seed(1))
    wanted = torch.nn.functional.interpolate(tokens.movedim(1, 2), 20, mode="nearest")
    assert torch.equal(reduce_channels(tokens, 20), wanted.movedim(2, 1))


def test_channels_are_never_made_up() -> None:
    with pytest.raises(MethodError, match="8 channels, the text embeddings 16"):
        reduce_channels(torch.zeros(1, 8, 2, 2), 16)


def test_a_sharp_temperature_does_not_overflow() -> None:
    tokens = torch.full((1, 4, 1, 1), 1e6)
    text = torch.eye(4)[:2]
    depth = similarity_depth(tokens, text, (1.0, 3.0), 1e-6)
    assert depth.item() == pytest.approx(2.0)
