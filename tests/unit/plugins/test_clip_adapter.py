from __future__ import annotations

import logging
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench.contrib.clip_adapter import ClipAdapter, register_methods
from bench.contrib.clip_adapter.model import AdaptedClip, Adapter
from bench.data.base import Dataset, DatasetParams, Subset
from bench.method import FitContext
from bench.types import Batch, DepthVariant, Sample, Window
from tests.unit.plugins.making import four_rooms

RESNET = {
    "embed_dim": 64,
    "vision_cfg": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 8},
    "text_cfg": {"width": 32, "heads": 2, "layers": 1},
}
TINY = {
    "encoder": RESNET,
    "weights": "random-init",
    "epochs": 2,
    "batch_size": 2,
    "view": "whole",
    "augmentation": "none",
}
CPU = torch.device("cpu")


class Halves(Dataset):
    """Synthetic: a bright near half and a dark far half."""

    name = "halves"
    summary = "test data"
    synthetic = True

    def __init__(self, near: float, far: float) -> None:
        super().__init__(DatasetParams())
        self.near, self.far = near, far

    def fingerprint(self) -> str:
        return "halves"

    def splits(self) -> dict[str, tuple[str, ...]]:
        return {"train": ("a", "b", "c", "d"), "test": ("a",)}

    def read(self, image_id: str, variant: DepthVariant) -> Sample:
        generator = np.random.default_rng(ord(image_id))
        image = generator.integers(0, 60, (3, 64, 96), dtype=np.uint8)
        image[:, :, :48] += 180
        depth = np.full((64, 96), self.far, dtype=np.float32)
        depth[:, :48] = self.near
        return Sample(image_id, image, depth, depth > 0)


def method(**params: Any) -> ClipAdapter:
    return ClipAdapter(ClipAdapter.Params(**TINY | params), CPU, seed=1)


def fitted(**params: Any) -> ClipAdapter:
    learner = method(**params)
    data = Subset.of_split(Halves(1.5, 2.5), "train")
    learner.fit(data, FitContext(seed=1, device=CPU, log=logging.getLogger("test")))
    return learner


def network(**params: Any) -> AdaptedClip:
    net = method(**params).build()
    assert isinstance(net, AdaptedClip)
    return net


def images(count: int, height: int = 64, width: int = 96) -> Batch:
    pixels = torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(4))
    return Batch(pixels, Window.whole(height, width), tuple(map(str, range(count))))


def adapted(x: np.ndarray, adapter: Adapter) -> np.ndarray:
    """0.2 · ReLU(W₂ ReLU(W₁ x)) + 0.8 · x of one vector, in float64."""
    first, second = (value.detach().double().numpy() for value in adapter.parameters())
    hidden = [max(0.0, math.fsum(row * x)) for row in first]
    out = [max(0.0, math.fsum(row * hidden)) for row in second]
    return 0.2 * np.array(out) + 0.8 * x


def test_rn50_has_49152_trained_parameters() -> None:
    net = network(encoder="RN50")
    trained = [(name, p.numel()) for name, p in net.named_parameters() if p.requires_grad]
    assert sum(count for _, count in trained) == 49_152
    assert all("adapter" in name for name, _ in trained)


def test_the_adapter_is_the_definition() -> None:
    torch.manual_seed(0)
    adapter = Adapter(64, 8, 0.2)
    x = torch.randn(5, 64)
    wanted = [adapted(row, adapter) for row in x.double().numpy()]
    np.testing.assert_allclose(adapter(x).detach().numpy(), wanted, rtol=1e-5, atol=1e-7)


def test_depth_is_the_definition() -> None:
    """Adapters, even channels, both sides to unit length, softmax at τ = 0.1, by loops."""
    torch.manual_seed(0)
    net = network(encoder=RESNET | {"embed_dim": 128})
    batch = images(1)
    mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    tokens = net.clip.tokens((batch.image - mean) / std)[0].double().numpy()
    text = net.clip.text_embeddings(net.params.sentences()).double().numpy()
    rows = [adapted(row, net.text_adapter) for row in text]
    rows = [row / math.sqrt(math.fsum(row**2)) for row in rows]
    centres = (1.0, 1.5, 2.0, 2.25, 2.5, 2.75, 3.0)
    wanted = np.empty((2, 3))
    for y, x in np.ndindex(2, 3):
        token = adapted(tokens[:, y, x], net.image_adapter)[::2]
        token = token / math.sqrt(math.fsum(token**2))
        weights = [math.exp(math.fsum(token * row) / 0.1) for row in rows]
        wanted[y, x] = math.fsum(np.multiply(weights, centres)) / math.fsum(weights)
    np.testing.assert_allclose(net(batch.image)[0, 0].detach().numpy(), wanted, rtol=1e-5)


def test_both_adapters_get_a_gradient_and_the_encoder_none() -> None:
    torch.manual_seed(0)
    net = network()
    net(images(2).image).sum().backward()
    for adapter in (net.image_adapter, net.text_adapter):
        for parameter in adapter.parameters():
            assert parameter.grad is not None
            assert parameter.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in net.clip.parameters())


def test_training_lowers_the_loss() -> None:
    learner = fitted(epochs=30, optimizer="adam", schedule="constant", learning_rate=0.01)
    losses = [entry["loss"] for entry in learner.history]
    assert losses[-1] < 0.6 * losses[0]


def test_a_saved_fit_holds_the_adapters_alone_and_predicts_as_before(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    learner = fitted()
    learner.save(tmp_path)
    (tensors,) = tmp_path.glob("*.safetensors")
    assert sorted(load_file(tensors)) == [
        "image_adapter.layers.0.weight",
        "image_adapter.layers.2.weight",
        "text_adapter.layers.0.weight",
        "text_adapter.layers.2.weight",
    ]
    again = method()
    again.load(tmp_path)
    assert torch.equal(again.predict(images(2)), learner.predict(images(2)))


def test_the_batch_size_changes_no_image() -> None:
    learner = fitted()
    batch = images(5)
    together = learner.predict(batch)
    alone = [
        learner.predict(Batch(one, batch.window, ("x",))) for one in torch.split(batch.image, 1)
    ]
    assert together.shape == (5, 1, 2, 3)
    assert (together - torch.cat(alone)).abs().max() <= 1e-6


def test_the_defaults_are_the_studys() -> None:
    params = ClipAdapter.Params()
    assert (params.temperature, params.bottleneck, params.residual) == (0.1, 8, 0.2)
    assert (params.optimizer, params.learning_rate, params.momentum) == ("sgd", 0.02, 0.9)
    assert (params.weight_decay, params.epochs, params.batch_size) == (1e-4, 30, 64)
    assert (params.schedule, params.step_epochs, params.step_gamma) == ("step", (10,), 0.1)
    assert (params.loss, params.smoothness_weight) == ("l1", 0.001)


def test_it_is_supervised_and_needs_clip() -> None:
    params = ClipAdapter.Params()
    assert ClipAdapter.supervision(params) == "depth"
    assert [item.name for item in ClipAdapter.weights(params)] == ["open_clip RN50 (openai)"]
    assert list(register_methods()) == [ClipAdapter]


@pytest.mark.parametrize("bad", [{"bin_centres": [1.0]}, {"residual": 2}, {"bottleneck": 0}])
def test_impossible_parameters_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        ClipAdapter.Params(**bad)


def test_importing_it_does_not_import_torch() -> None:
    code = "import sys, bench.contrib.clip_adapter as c; c.ClipAdapter.Params()\n"
    code += "assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
def test_it_comes_close_to_the_best_its_range_and_grid_allow() -> None:
    """Four rooms learned by heart, against a free map of [1, 3] m on the same 4×5 grid."""
    data = four_rooms()
    samples = [data[index] for index in range(4)]
    depth = torch.from_numpy(np.stack([sample.depth for sample in samples]))[:, None]
    valid = torch.from_numpy(np.stack([sample.valid for sample in samples]))[:, None]
    free = torch.zeros(4, 1, 4, 5, requires_grad=True)
    optimizer = torch.optim.Adam([free], 0.05)
    for _ in range(800):
        inside = 1 + 2 * torch.sigmoid(free)
        resized = torch.nn.functional.interpolate(
            inside, depth.shape[2:], mode="bilinear", align_corners=True
        )
        best = (resized - depth).abs()[valid].mean()
        optimizer.zero_grad()
        best.backward()
        optimizer.step()
    encoder = RESNET | {"vision_cfg": RESNET["vision_cfg"] | {"width": 16}}  # type: ignore[operator]
    learner = ClipAdapter(
        ClipAdapter.Params(
            **TINY
            | {"encoder": encoder, "epochs": 500, "batch_size": 4}
            | {"bottleneck": 256, "residual": 0.8, "temperature": 0.03}
            | {"optimizer": "adam", "learning_rate": 0.003, "schedule": "cosine"}
            | {"weight_decay": 0, "smoothness_weight": 0, "mirror_pass": False}
        ),
        CPU,
        0,
    )
    learner.fit(data, FitContext(0, CPU))
    bound = best.item()
    assert 0.99 * bound < learner.history[-1]["loss"] < 1.1 * bound
