from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from bench.contrib.depthclip import DepthClip, register_methods
from bench.errors import BlockedError
from bench.types import Batch, Window

TEXT = {"width": 32, "heads": 2, "layers": 1}
RESNET = {
    "embed_dim": 64,
    "vision_cfg": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 8},
    "text_cfg": TEXT,
}
VIT = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 64, "layers": 2, "width": 64, "patch_size": 16},
    "text_cfg": TEXT,
}


def depthclip(**params: Any) -> DepthClip:
    settings = {"encoder": RESNET, "weights": "random-init"} | params
    return DepthClip(DepthClip.Params(**settings), torch.device("cpu"))


def batch(images: int, height: int = 416, width: int = 544) -> Batch:
    pixels = torch.rand(images, 3, height, width, generator=torch.Generator().manual_seed(4))
    return Batch(pixels, Window.whole(height, width), tuple(map(str, range(images))))


@pytest.mark.parametrize(("encoder", "grid"), [(RESNET, (13, 17)), (VIT, (26, 34))])
def test_it_predicts_metres_on_the_tokens_grid(encoder: dict[str, Any], grid: Any) -> None:
    depth = depthclip(encoder=encoder).predict(batch(2))
    assert depth.shape == (2, 1, *grid)
    assert depth.dtype == torch.float32
    assert not depth.requires_grad
    assert depth.min() >= 1
    assert depth.max() <= 3
    assert depth.std() > 0


def test_depth_is_the_definition() -> None:
    """Tokens to unit length, even channels, dot products, softmax at τ: in float64, by loops."""
    method = depthclip(encoder=RESNET | {"embed_dim": 128})
    images = batch(1, 64, 96)
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    pixels = (images.image.double() - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(
        3, 1, 1
    )
    net: Any = method.network()
    tokens = net.clip.tokens(pixels.float())[0].double().numpy()
    text = net.clip.text_embeddings(method.params.sentences()).double().numpy()
    centres = (1.0, 1.5, 2.0, 2.25, 2.5, 2.75, 3.0)
    wanted = np.empty((2, 3))
    for y, x in np.ndindex(2, 3):
        token = tokens[:, y, x]
        token = (token / math.sqrt(math.fsum(token**2)))[::2]
        scores = [math.fsum(token * row) / 0.001 for row in text]
        weights = [math.exp(score - max(scores)) for score in scores]
        wanted[y, x] = math.fsum(np.multiply(weights, centres)) / math.fsum(weights)
    np.testing.assert_allclose(method.predict(images)[0, 0].numpy(), wanted, rtol=1e-5)


@pytest.mark.parametrize("encoder", [RESNET, VIT], ids=["resnet", "vit"])
def test_the_batch_size_changes_no_image(encoder: dict[str, Any]) -> None:
    method = depthclip(encoder=encoder)
    images = batch(5, 96, 128)
    together = method.predict(images)
    alone = [
        method.predict(Batch(one, images.window, ("x",))) for one in torch.split(images.image, 1)
    ]
    assert (together - torch.cat(alone)).abs().max() <= 1e-6


def test_every_parameter_reaches_the_depth() -> None:
    images = batch(1, 64, 96)
    plain = depthclip().predict(images)
    other: list[dict[str, Any]] = [
        {"temperature": 0.1},
        {"normalization": "clip"},
        {"templates": ["A photo of something {distance}"]},
        {"object": "chair"},
        {"bin_centres": [1, 2, 3, 4, 5, 6, 7]},
        {"distances": ["a", "b", "c", "d", "e", "f", "g"]},
    ]
    for params in other:
        assert not torch.equal(depthclip(**params).predict(images), plain), params


def test_bins_follow_the_distances() -> None:
    depth = depthclip(distances=["near", "far"], bin_centres=[2, 9]).predict(batch(1, 64, 96))
    assert depth.min() >= 2
    assert depth.max() <= 9
    with pytest.raises(ValidationError, match="bin_centres has 3 values"):
        depthclip(bin_centres=[1, 2, 3])


def test_it_learns_nothing_and_says_so() -> None:
    method = depthclip()
    assert not DepthClip.fitted
    assert not DepthClip.seeded
    assert DepthClip.supervision(method.params) == "zero-shot"
    assert not any(parameter.requires_grad for parameter in method.network().parameters())
    assert list(register_methods()) == [DepthClip]


@pytest.mark.parametrize("encoder", ["RN50", "ViT-B-16"])
def test_its_weights_are_openais_by_default(encoder: str) -> None:
    weights = DepthClip.weights(DepthClip.Params(encoder=encoder))
    assert [item.name for item in weights] == [f"open_clip {encoder} (openai)"]


def test_missing_weights_block_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(BlockedError, match="RN50"):
        depthclip(encoder="RN50", weights="openai").predict(batch(1, 64, 96))


def test_prediction_works_in_inference_mode_as_outside() -> None:
    images = batch(1, 64, 96)
    method = depthclip()
    with torch.inference_mode():
        inside: Tensor = method.predict(images)
    assert torch.equal(inside, method.predict(images))


def test_importing_it_does_not_import_torch() -> None:
    code = "import sys, bench.contrib.depthclip as d; d.DepthClip.Params()\n"
    code += "assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
