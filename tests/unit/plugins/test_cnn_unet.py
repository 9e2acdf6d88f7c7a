from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from torch import Tensor, nn

from bench.contrib.cnn_unet import CnnUnet
from bench.contrib.cnn_unet.network import build
from bench.data.base import Dataset, DatasetParams, Subset
from bench.errors import BlockedError, DataError, MethodError
from bench.method import FitContext
from bench.types import Batch, DepthVariant, Sample, Window

CPU = torch.device("cpu")
ENCODER = "test_resnet.r160_in1k"  # timm's smallest residual network


class Walls(Dataset):
    """Synthetic: a bright wall at one depth in front of a dark one at another."""

    name = "walls"
    summary = "test data"
    synthetic = True

    def fingerprint(self) -> str:
        return "walls"

    def splits(self) -> dict[str, tuple[str, ...]]:
        return {"train": tuple("abcd"), "test": tuple("abcd")}

    def read(self, image_id: str, variant: DepthVariant) -> Sample:
        index = "abcd".index(image_id)
        image = np.full((3, 48, 64), 40, dtype=np.uint8)
        depth = np.full((48, 64), 7.0 - index, dtype=np.float32)
        image[:, 8:40, 10 * index : 10 * index + 20] = 200
        depth[8:40, 10 * index : 10 * index + 20] = 1.0 + index
        return Sample(image_id, image, depth, depth > 0)


@pytest.fixture
def walls() -> Subset:
    return Subset.of_split(Walls(DatasetParams()), "train")


def unet(**settings: Any) -> CnnUnet:
    defaults: dict[str, Any] = {
        "encoder": ENCODER,
        "weights": "random-init",
        "decoder_width": 4,
        "epochs": 2,
        "batch_size": 2,
    }
    return CnnUnet(CnnUnet.Params(**{**defaults, **settings}), CPU, seed=1)


def fitted(data: Subset, seed: int = 1, **settings: Any) -> CnnUnet:
    method = unet(**settings)
    method.fit(data, FitContext(seed=seed, device=CPU))
    return method


def images(count: int, height: int = 48, width: int = 64) -> Batch:
    image = torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(0))
    return Batch(image, Window.whole(height, width), tuple(str(i) for i in range(count)))


def tensors(method: CnnUnet) -> dict[str, Tensor]:
    net = method.network()
    assert net is not None
    return net.state_dict()


def test_it_overfits_four_images(walls: Subset) -> None:
    method = fitted(
        walls,
        epochs=60,
        learning_rate=5e-3,
        decoder_width=8,
        batch_size=4,
        augmentation="none",
    )
    assert method.history[-1]["loss"] <= method.history[0]["loss"] / 5


def test_a_fit_is_determined_by_its_seed(walls: Subset) -> None:
    one, same, other = fitted(walls, seed=1), fitted(walls, seed=1), fitted(walls, seed=2)
    assert all(torch.equal(tensors(one)[name], tensors(same)[name]) for name in tensors(one))
    assert not torch.equal(tensors(one)["head.weight"], tensors(other)["head.weight"])


def test_save_and_load(walls: Subset, tmp_path: Path) -> None:
    method = fitted(walls)
    method.save(tmp_path)
    loaded = unet()
    loaded.load(tmp_path)
    assert torch.equal(method.predict(images(2)), loaded.predict(images(2)))


@pytest.mark.parametrize(("height", "width"), [(48, 64), (33, 47), (1, 1), (416, 544)])
def test_any_size_goes_in_and_comes_out_positive(height: int, width: int) -> None:
    net = build(ENCODER, 4).eval()
    with torch.no_grad():
        depth = net(images(1, height, width).image)
    assert depth.shape == (1, 1, height, width)
    assert (depth > 0).all()


def test_an_untrained_network_is_near_the_start_depth() -> None:
    torch.manual_seed(0)
    with torch.no_grad():
        depth = build(ENCODER, 4)(images(2).image)
    assert depth.min() > 2
    assert depth.max() < 3


def test_an_images_prediction_does_not_depend_on_its_batch(walls: Subset) -> None:
    method = fitted(walls)
    batch = images(3)
    together = method.predict(batch)
    for index in range(3):
        alone = Batch(batch.image[index : index + 1], batch.window, ("x",))
        assert torch.allclose(method.predict(alone)[0], together[index], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "encoder", ["test_efficientnet", "test_convnext", "resnet18.tv_in1k", "hrnet_w18_small"]
)
def test_other_encoders_fit_too(encoder: str) -> None:
    with torch.no_grad():
        depth = build(encoder, 2).eval()(images(1, 40, 70).image)
    assert depth.shape == (1, 1, 40, 70)


def test_pretrained_weights_are_the_encoders_start(walls: Subset, tmp_path: Path) -> None:
    torch.manual_seed(3)
    published = timm.create_model(ENCODER, pretrained=False)
    for module in published.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean)
    path = tmp_path / "encoder.pth"
    torch.save({"state_dict": published.state_dict()}, path)
    method = unet(weights=str(path))
    net = method.build()
    method.initialise(net)
    state = net.state_dict()
    encoder = {name: value for name, value in state.items() if name.startswith("encoder.")}
    assert len(encoder) > 20
    for name, value in encoder.items():
        assert torch.equal(value, published.state_dict()[name.removeprefix("encoder.")]), name


def test_weights_of_another_architecture_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.pth"
    torch.save(timm.create_model("test_convnext", pretrained=False).state_dict(), path)
    with pytest.raises(MethodError, match="of another architecture") as refusal:
        unet(weights=str(path)).initialise(unet().build())
    assert "\n" not in str(refusal.value)
    torch.save(timm.create_model("resnet34", pretrained=False).state_dict(), path)
    with pytest.raises(MethodError, match="of another architecture") as refusal:
        unet(encoder="resnet50", weights=str(path)).initialise(unet().build())
    assert "\n" not in str(refusal.value)


def test_weights_that_are_not_there_block(tmp_path: Path) -> None:
    method = unet(weights=str(tmp_path / "none.pth"))
    with pytest.raises(BlockedError, match=r"none\.pth"):
        method.initialise(method.build())
    (tmp_path / "torn.pth").write_bytes(b"PK\x03\x04 torn")
    torn = unet(weights=str(tmp_path / "torn.pth"))
    with pytest.raises(DataError, match=r"torn\.pth"):
        torn.initialise(torn.build())


def test_random_init_is_labelled() -> None:
    (weights,) = CnnUnet.weights(unet().params)
    assert weights.record()["origin"] == "random-init"
    (weights,) = CnnUnet.weights(CnnUnet.Params())
    assert weights.record()["origin"] == "pretrained"


def test_an_unknown_encoder_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(MethodError, match="no model 'resnet5O'; did you mean 'resnet5"):
        unet(encoder="resnet5O").build()
    with pytest.raises(MethodError, match=r"no model 'qqqqqq'; see timm\.list_models"):
        unet(encoder="qqqqqq").build()


def test_listing_the_plugin_does_not_import_torch() -> None:
    code = (
        "import sys, bench.contrib.cnn_unet as plugin, bench.contrib.baselines\n"
        "[plugin.CnnUnet] = plugin.register_methods()\n"
        "plugin.CnnUnet.weights(plugin.CnnUnet.Params())\n"
        "heavy = {'torch', 'timm', 'pandas', 'scipy', 'h5py', 'open_clip'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
