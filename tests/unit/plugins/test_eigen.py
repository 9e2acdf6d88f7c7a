from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bench.contrib.eigen import Eigen, register_methods
from bench.contrib.eigen.network import EigenNet
from bench.data.base import Subset
from bench.method import FitContext
from bench.training.optimizers import make_optimizer
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

TINY = {"size": (60, 80), "width": 0.05, "epochs": 2, "batch_size": 2, "augmentation": "none"}
CPU = torch.device("cpu")


def method(**params: Any) -> Eigen:
    return Eigen(Eigen.Params(**TINY | params), CPU, seed=1)


def fitted(data: Subset | None = None, seed: int = 1, **params: Any) -> Eigen:
    learner = method(**params)
    learner.fit(data or walls(), FitContext(seed=seed, device=CPU))
    return learner


def tensors(learner: Eigen) -> dict[str, Tensor]:
    assert learner._net is not None
    return learner._net.state_dict()


def test_the_papers_sizes() -> None:
    """Figure 1 of the paper, rows by columns."""
    with torch.device("meta"):
        net = EigenNet((228, 304))
        sizes: list[tuple[int, ...]] = []
        for layer in [*net.coarse.convs, *net.coarse.fc, net.refine.edges, net.refine.merge]:
            if not isinstance(layer, nn.ReLU | nn.Dropout):
                layer.register_forward_hook(lambda _, __, out: sizes.append(tuple(out.shape[1:])))
        depth = net(torch.rand(1, 3, 480, 640), "refine")
    assert depth.shape == (1, 1, 55, 74)
    assert sizes == [
        (96, 55, 74),
        (96, 27, 37),
        (256, 27, 37),
        (256, 13, 18),
        (384, 13, 18),
        (384, 13, 18),
        (256, 6, 8),
        (4096,),
        (55 * 74,),
        (63, 110, 148),
        (64, 55, 74),
    ]


def known() -> EigenNet:
    """Fixed random weights; the biases keep the maps off 0, where nothing is relative."""
    torch.manual_seed(0)
    net = EigenNet((63, 82), 0.1).eval()
    for layer in (net.coarse.fc[-1], net.refine.head):
        assert isinstance(layer.bias, nn.Parameter)
        nn.init.uniform_(layer.bias, 1, 2)
    return net


def plain_coarse(net: EigenNet, image: Array) -> Array:
    c1, c2, c3, c4, c5 = (layer for layer in net.coarse.convs if isinstance(layer, nn.Conv2d))
    planes = pooled(relu(convolution(c1, image)))
    planes = pooled(relu(convolution(c2, planes)))
    for layer in (c3, c4, c5):
        planes = relu(convolution(layer, planes))
    first, second = (layer for layer in net.coarse.fc if isinstance(layer, nn.Linear))
    return linear(second, relu(linear(first, planes.flatten()))).reshape(14, 18)


def test_the_networks_are_the_definition() -> None:
    net, batch = known(), images(1, 63, 82)
    image = normalised(batch.image[0])
    coarse = plain_coarse(net, image)
    edges = pooled(relu(convolution(net.refine.edges, image)))
    merged = relu(convolution(net.refine.merge, np.concatenate([edges, coarse[None]])))
    refined = convolution(net.refine.head, merged)[0]
    with torch.no_grad():
        np.testing.assert_allclose(net(batch.image, "coarse")[0, 0].numpy(), coarse, rtol=1e-5)
        np.testing.assert_allclose(net(batch.image, "refine")[0, 0].numpy(), refined, rtol=1e-5)


def test_the_output_is_the_exponential_of_log_depth() -> None:
    learner = fitted()
    batch = images(2, 60, 80)
    assert learner._net is not None
    with torch.no_grad():
        log_depth = learner._net(batch.image, "refine")
    assert torch.allclose(learner.predict(batch).log(), log_depth, atol=1e-6)


def test_the_loss_is_the_scale_invariant_log_error() -> None:
    """On the predicted map: mean g² − ½ (mean g)², g = ln d − ln d*, per image."""
    learner = fitted(walls(), epochs=1, batch_size=4, learning_rate=1e-12, stage="coarse")
    net = learner._net
    assert net is not None
    net.train()  # with dropout, as in the only step of that epoch
    data = walls()
    values = []
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(1)
        EigenNet((60, 80), 0.05)
        order = [int(i) for i in np.random.default_rng([1, 1, 1, 0]).permutation(4)]
        pixels = torch.stack([torch.from_numpy(data[i].image).float() / 255 for i in order])
        log_depth = net(pixels, "coarse")[:, 0].double().numpy()
    for index, logs in zip(order, log_depth, strict=True):
        target, valid = sampled(data[index].depth, *logs.shape)
        g = (logs - np.log(np.where(valid, target, 1)))[valid]
        values.append((g**2).mean() - g.mean() ** 2 / 2)
    assert learner.history[0]["loss"] == pytest.approx(np.mean(values), rel=1e-5)


def sampled(depth: Any, rows: int, columns: int) -> tuple[Array, Any]:
    """Bilinear with aligned corners by loops; valid where all four neighbours that count are."""
    out = np.zeros((rows, columns))
    valid = np.ones((rows, columns), dtype=bool)
    for y, x in np.ndindex(rows, columns):
        v, u = y * (depth.shape[0] - 1) / (rows - 1), x * (depth.shape[1] - 1) / (columns - 1)
        for i, j in np.ndindex(2, 2):
            row, column = int(v) + i, int(u) + j
            weight = (1 - abs(v - row)) * (1 - abs(u - column))
            if weight > 1e-9:
                out[y, x] += weight * depth[row, column]
                valid[y, x] &= depth[row, column] > 0
    return out, valid


def test_layers_learn_at_the_papers_rates() -> None:
    learner = method()
    net = learner.build()
    names = {id(value): name.rpartition(".")[0] for name, value in net.named_parameters()}
    scales = learner.rate_scales(net)
    groups = make_optimizer(learner.params, net, scales).param_groups
    rates = {
        names[id(value)]: 1e-3 * group["rate_scale"]
        for group in groups
        for value in group["params"]
    }
    assert {rate for name, rate in rates.items() if name.startswith("coarse.convs")} == {1e-3}
    assert {rate for name, rate in rates.items() if name.startswith("coarse.fc")} == {0.1}
    assert rates["refine.edges"] == rates["refine.head"] == 1e-3
    assert rates["refine.merge"] == 1e-2
    assert method(layer_rates="equal").rate_scales(net) == {}


def test_the_defaults_are_the_papers() -> None:
    params = Eigen.Params()
    assert (params.size, params.width, params.loss) == ((228, 304), 1, "silog")
    assert (params.optimizer, params.learning_rate, params.momentum) == ("sgd", 1e-3, 0.9)
    assert (params.layer_rates, params.weight_decay, params.batch_size) == ("paper", 0, 32)
    assert (params.schedule, params.mirror_pass, params.clamp_predictions) == (
        "constant",
        False,
        False,
    )


def test_it_overfits_four_rooms() -> None:
    learner = fitted(four_rooms(), width=0.125, epochs=100, batch_size=4)
    losses = [entry["loss"] for entry in learner.history]
    assert losses[99] < losses[0] / 5
    assert losses[199] < losses[100] / 5
    assert losses[199] < losses[99]


def test_a_fit_is_determined_by_its_seed() -> None:
    one, other = tensors(fitted()), tensors(fitted())
    assert all(torch.equal(one[name], other[name]) for name in one)
    another = tensors(fitted(seed=2))
    assert not torch.equal(one["coarse.fc.0.weight"], another["coarse.fc.0.weight"])


def test_one_fit_is_saved_and_read_out_twice(tmp_path: Path) -> None:
    learner = fitted()
    learner.save(tmp_path)
    coarse, refine = method(stage="coarse"), method()
    coarse.load(tmp_path)
    refine.load(tmp_path)
    batch = images(2, 60, 80)
    assert torch.equal(refine.predict(batch), learner.predict(batch))
    assert torch.equal(coarse.predict(batch), fitted(stage="coarse").predict(batch))
    assert not torch.equal(refine.predict(batch), coarse.predict(batch))


@pytest.mark.parametrize("stage", ["coarse", "refine"])
def test_the_batch_size_changes_no_image(stage: str) -> None:
    learner = fitted(stage=stage)
    batch = images(5, 61, 83)
    together = learner.predict(batch)
    alone = [
        learner.predict(Batch(one, batch.window, ("x",))) for one in torch.split(batch.image, 1)
    ]
    assert together.shape == (5, 1, 13, 18)
    assert torch.allclose(together, torch.cat(alone), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("height", "width"), [(61, 83), (1, 1), (30, 200)])
def test_any_size_goes_in_and_comes_out_positive(height: int, width: int) -> None:
    depth = fitted(walls(61, 83), epochs=1).predict(images(1, height, width))
    assert depth.shape == (1, 1, 13, 18)
    assert (depth > 0).all()


def test_the_smallest_size_works() -> None:
    net = EigenNet((55, 55), 0.01)
    assert net(images(1, 55, 55).image, "refine").shape == (1, 1, 12, 12)


def test_it_needs_no_weights() -> None:
    assert list(Eigen.weights(Eigen.Params())) == []
    assert Eigen.supervision(Eigen.Params()) == "depth"
    assert list(register_methods()) == [Eigen]
    assert Eigen.Params.predict_names() == frozenset({"stage"})


@pytest.mark.parametrize(
    "bad", [{"size": (54, 80)}, {"size": 228}, {"width": 0}, {"width": 2}, {"layer_rates": "x"}]
)
def test_impossible_parameters_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        Eigen.Params(**bad)


def test_importing_it_does_not_import_torch() -> None:
    code = "import sys, bench.contrib.eigen as e; e.Eigen.Params()\n"
    code += "assert not {'torch', 'scipy', 'h5py'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
