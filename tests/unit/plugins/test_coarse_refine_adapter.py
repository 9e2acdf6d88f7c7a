from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bench.contrib.coarse_refine_adapter import CoarseRefineAdapter, register_methods
from bench.contrib.coarse_refine_adapter.model import CoarseRefine
from bench.data.base import Subset
from bench.method import FitContext
from bench.types import Batch
from tests.unit.plugins.making import (
    Array,
    convolution,
    four_rooms,
    images,
    linear,
    normalised,
    pooled,
    relu,
    walls,
)

RESNET = {
    "embed_dim": 128,
    "vision_cfg": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 8},
    "text_cfg": {"width": 32, "heads": 2, "layers": 1},
}
TINY = {
    "encoder": RESNET,
    "weights": "random-init",
    "size": (64, 96),
    "hidden": 16,
    "epochs": 2,
    "batch_size": 2,
    "augmentation": "none",
}
CPU = torch.device("cpu")


def method(**params: Any) -> CoarseRefineAdapter:
    return CoarseRefineAdapter(CoarseRefineAdapter.Params(**TINY | params), CPU, seed=1)


def fitted(data: Subset | None = None, seed: int = 1, **params: Any) -> CoarseRefineAdapter:
    learner = method(**params)
    learner.fit(data or walls(), FitContext(seed=seed, device=CPU))
    return learner


def network(**params: Any) -> CoarseRefine:
    net = method(**params).build()
    assert isinstance(net, CoarseRefine)
    return net


def tensors(learner: CoarseRefineAdapter) -> dict[str, Tensor]:
    assert learner._net is not None
    return learner._net.state_dict()


def count(part: nn.Module) -> int:
    return sum(parameter.numel() for parameter in part.parameters())


def test_the_studys_sizes() -> None:
    net = network(size=(416, 544), hidden=4096)
    assert count(net.coarse) == 58_857_280
    assert count(net.refine) == 63 * (3 * 81 + 1) + 64 * (64 * 25 + 1) + (64 * 25 + 1)
    trained = {name for name, value in net.named_parameters() if value.requires_grad}
    assert {name.split(".")[0] for name in trained} == {"coarse", "refine"}
    assert net.coarse.first.in_features == 13 * 17
    with torch.no_grad():
        assert net(images(1, 416, 544).image, "refine").shape == (1, 1, 104, 136)


def test_the_coarse_map_is_an_affine_map_of_the_zero_shot_map() -> None:
    """Even channels, both sides to unit length, softmax at τ = 0.1, then two layers, by loops."""
    net, batch = known(), images(1, 64, 96)
    with torch.no_grad():
        coarse = net(batch.image, "coarse")[0, 0].numpy()
    wanted = plain_coarse(net, normalised(batch.image[0]))
    np.testing.assert_allclose(coarse, wanted, rtol=1e-5)


def test_the_refined_map_is_the_definition() -> None:
    """The coarse map goes in as it is, below 0 and above 10 m too."""
    net, batch = known(), images(1, 64, 96)
    with torch.no_grad():
        depth = net(batch.image, "refine")[0, 0].numpy()
    image = normalised(batch.image[0])
    coarse = plain_coarse(net, image)
    assert coarse.min() < 0
    assert coarse.max() > 10
    edges = pooled(relu(convolution(net.refine.edges, image)))
    merged = relu(convolution(net.refine.merge, np.concatenate([edges, coarse[None]])))
    wanted = convolution(net.refine.head, merged)[0]
    np.testing.assert_allclose(depth, wanted, rtol=1e-5)


def known() -> CoarseRefine:
    """Fixed random weights; the biases keep the maps off 0, where nothing is relative."""
    torch.manual_seed(0)
    net = network().eval()
    nn.init.uniform_(net.coarse.second.bias, 11, 30)
    with torch.no_grad():
        net.coarse.second.bias[:100] -= 45
        net.refine.head.bias += 5
    return net


def plain_coarse(net: CoarseRefine, image: Array) -> Array:
    with torch.no_grad():
        tokens = net.clip.tokens(torch.from_numpy(image).float()[None])[0].double().numpy()
    text = net.clip.text_embeddings(net.params.sentences()).double().numpy()
    centres = (1.0, 1.5, 2.0, 2.25, 2.5, 2.75, 3.0)
    zero_shot = []
    for y, x in np.ndindex(tokens.shape[1:]):
        token = tokens[::2, y, x] / math.sqrt(math.fsum(tokens[::2, y, x] ** 2))
        scores = [math.exp(math.fsum(token * row) / 0.1) for row in text]
        zero_shot.append(math.fsum(np.multiply(scores, centres)) / math.fsum(scores))
    flat = linear(net.coarse.second, linear(net.coarse.first, np.array(zero_shot)))
    return flat.reshape(16, 24)


def test_a_view_of_another_size_is_resized() -> None:
    net, small = network().eval(), images(1, 61, 83)
    resized = nn.functional.interpolate(small.image, (64, 96), mode="bilinear", antialias=True)
    with torch.no_grad():
        for stage in ("coarse", "refine"):
            assert net(small.image, stage).shape == (1, 1, 16, 24)
            assert torch.equal(net(small.image, stage), net(resized, stage))


def test_an_encoder_with_another_stride_gives_another_grid() -> None:
    vision = {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16}
    net = network(encoder=RESNET | {"embed_dim": 32, "vision_cfg": vision}, size=(40, 96))
    assert net.coarse.first.in_features == 2 * 6
    with torch.no_grad():
        assert net(images(2, 40, 96).image, "refine").shape == (2, 1, 10, 24)


def test_the_studys_schedule_spends_the_rate_at_once() -> None:
    learner = fitted(schedule="study", epochs=5)
    rates = [entry["learning_rate"] for entry in learner.history]
    wanted = [start * 0.1**done for start in (0.02, 0.002) for done in range(5)]
    assert rates == pytest.approx(wanted)


def test_the_defaults_are_the_studys_but_for_schedule_and_clamping() -> None:
    params = CoarseRefineAdapter.Params()
    assert (params.temperature, params.size, params.hidden) == (0.1, (416, 544), 4096)
    assert (params.optimizer, params.momentum, params.weight_decay) == ("sgd", 0.9, 0.1)
    assert (params.learning_rate, params.refine_learning_rate) == (0.02, 0.002)
    assert (params.training("coarse").epochs, params.training("refine").epochs) == (10, 10)
    assert (params.batch_size, params.loss, params.smoothness_weight) == (64, "l2", 0.001)
    assert (params.view, params.mirror_pass) == ("study", True)
    assert (params.schedule, params.clamp_predictions) == ("cosine", False)


@pytest.mark.slow
def test_it_overfits_four_rooms() -> None:
    learner = fitted(
        four_rooms(), size=(104, 136), hidden=64, epochs=100, batch_size=4, view="whole"
    )
    losses = [entry["loss"] for entry in learner.history]
    assert losses[99] < losses[0] / 5
    assert losses[199] < losses[100] / 5
    assert losses[199] < losses[99]


def test_a_fit_is_determined_by_its_seed() -> None:
    one, other = tensors(fitted()), tensors(fitted())
    assert all(torch.equal(one[name], other[name]) for name in one)
    another = tensors(fitted(seed=2))
    assert not torch.equal(one["coarse.first.weight"], another["coarse.first.weight"])
    assert not torch.equal(one["refine.head.weight"], another["refine.head.weight"])


def test_a_saved_fit_holds_the_stages_alone_and_predicts_as_before(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    learner = fitted(stage="coarse")
    learner.save(tmp_path)
    (path,) = tmp_path.glob("*.safetensors")
    parts = ("coarse.first", "coarse.second", "refine.edges", "refine.head", "refine.merge")
    assert sorted(load_file(path)) == sorted(
        f"{part}.{x}" for part in parts for x in ("bias", "weight")
    )
    coarse, refine = method(stage="coarse"), method()
    coarse.load(tmp_path)
    refine.load(tmp_path)
    batch = images(2, 60, 80)
    assert torch.equal(coarse.predict(batch), learner.predict(batch))
    assert torch.equal(refine.predict(batch), fitted().predict(batch))
    assert not torch.equal(refine.predict(batch), coarse.predict(batch))


@pytest.mark.parametrize("stage", ["coarse", "refine"])
def test_the_batch_size_changes_no_image(stage: str) -> None:
    learner = fitted(stage=stage)
    batch = images(5, 61, 83)
    together = learner.predict(batch)
    alone = [
        learner.predict(Batch(one, batch.window, ("x",))) for one in torch.split(batch.image, 1)
    ]
    assert together.shape == (5, 1, 16, 24)
    assert torch.allclose(together, torch.cat(alone), rtol=1e-5, atol=1e-5)


def test_frames_of_odd_size_are_learned_from() -> None:
    learner = fitted(walls(61, 83), view="study", augmentation="study")
    assert len(learner.history) == 4


def test_it_is_supervised_and_needs_clip() -> None:
    params = CoarseRefineAdapter.Params()
    assert CoarseRefineAdapter.supervision(params) == "depth"
    assert [item.name for item in CoarseRefineAdapter.weights(params)] == [
        "open_clip RN50 (openai)"
    ]
    assert list(register_methods()) == [CoarseRefineAdapter]
    assert CoarseRefineAdapter.Params.predict_names() == frozenset({"stage"})


@pytest.mark.parametrize(
    "bad",
    [
        {"size": (416, 543)},
        {"size": (28, 64)},
        {"size": 416},
        {"hidden": 0},
        {"stage": "fine"},
        {"schedule": "studies"},
        {"temperature": 0},
    ],
)
def test_impossible_parameters_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        CoarseRefineAdapter.Params(**bad)


def test_importing_it_does_not_import_torch() -> None:
    code = "import sys, bench.contrib.coarse_refine_adapter as c\n"
    code += "c.CoarseRefineAdapter.weights(c.CoarseRefineAdapter.Params())\n"
    code += "assert not {'torch', 'open_clip', 'scipy', 'h5py'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
