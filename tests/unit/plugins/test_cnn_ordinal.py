from __future__ import annotations

import itertools
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from torch import Tensor

from bench.contrib.cnn_ordinal import CnnOrdinal, register_methods
from bench.contrib.cnn_ordinal.network import OrdinalUnet
from bench.contrib.cnn_ordinal.ordinal import edges, hard_depth, ordinal_loss, soft_depth
from bench.data.base import Subset
from bench.errors import BlockedError, MethodError
from bench.method import FitContext
from bench.types import Batch
from tests.unit.plugins.making import Array, four_rooms, images, walls

ENCODER = "test_resnet.r160_in1k"  # timm's smallest residual network
TINY = {
    "encoder": ENCODER,
    "weights": "random-init",
    "decoder_width": 4,
    "bins": 10,
    "epochs": 2,
    "batch_size": 2,
}
CPU = torch.device("cpu")


def method(**params: Any) -> CnnOrdinal:
    return CnnOrdinal(CnnOrdinal.Params(**TINY | params), CPU, seed=1)


def fitted(data: Subset | None = None, seed: int = 1, **params: Any) -> CnnOrdinal:
    learner = method(**params)
    learner.fit(data or walls(48, 64), FitContext(seed=seed, device=CPU))
    return learner


def network(**params: Any) -> OrdinalUnet:
    net = method(**params).build()
    assert isinstance(net, OrdinalUnet)
    return net


def tensors(learner: CnnOrdinal) -> dict[str, Tensor]:
    net = learner.network()
    assert net is not None
    return net.state_dict()


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_bins_widen_with_depth() -> None:
    """t* from 1 to β − α + 1 in equal ratios, less the shift; hand-worked for α = 0, β = 15."""
    np.testing.assert_allclose(edges(4, 0, 15), [0, 1, 3, 7, 15], rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(edges(3, 2, 9), [2, 3, 5, 9], rtol=1e-12)
    np.testing.assert_allclose(edges(2, 0.5, 8.5), [0.5, 2.5, 8.5], rtol=1e-12)


def logits_and_target() -> tuple[Tensor, Tensor, Tensor, list[float]]:
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(2, 5, 3, 4, generator=generator)
    target = 12 * torch.rand(2, 1, 3, 4, generator=generator)
    valid = torch.rand(2, 1, 3, 4, generator=generator) < 0.7
    bounds = edges(6, 0.5, 10)
    target[0, 0, 0, :3] = torch.tensor([0.1, bounds[2], 11.0])  # below, on an edge, beyond
    valid[0, 0, 0, :3] = True
    return logits, target, valid, bounds


def test_decoding_is_the_definition() -> None:
    """By loops: count the probabilities ≥ ½; sum bin probabilities times their middles."""
    logits, _, _, bounds = logits_and_target()
    middles = [(a + b) / 2 for a, b in itertools.pairwise(bounds)]
    hard, soft = np.empty((2, 3, 4)), np.empty((2, 3, 4))
    for b, y, x in np.ndindex(2, 3, 4):
        beyond = [sigmoid(value) for value in logits[b, :, y, x].double().tolist()]
        hard[b, y, x] = middles[sum(p >= 0.5 for p in beyond)]
        shares = [p - q for p, q in zip([1.0, *beyond], [*beyond, 0.0], strict=True)]
        soft[b, y, x] = math.fsum(p * m for p, m in zip(shares, middles, strict=True))
    read = torch.tensor(bounds)
    np.testing.assert_allclose(hard_depth(logits, read)[:, 0].numpy(), hard, rtol=1e-5)
    np.testing.assert_allclose(soft_depth(logits, read)[:, 0].numpy(), soft, rtol=1e-5)


def test_the_ordinal_loss_is_the_definition() -> None:
    """Equation 2 by loops; a target on an edge belongs to the farther bin."""
    logits, target, valid, bounds = logits_and_target()
    total = []
    for b, y, x in np.ndindex(2, 3, 4):
        if valid[b, 0, y, x]:
            depth = float(target[b, 0, y, x])
            label = sum(depth >= edge for edge in np.float32(bounds[1:-1]))
            beyond = [sigmoid(value) for value in logits[b, :, y, x].double().tolist()]
            total += [-math.log(p) for p in beyond[:label]]
            total += [-math.log(1 - p) for p in beyond[label:]]
    wanted = math.fsum(total) / int(valid.sum())
    loss = ordinal_loss(logits, target, valid, torch.tensor(bounds))
    assert loss.item() == pytest.approx(wanted, rel=1e-5)


def test_pixels_without_depth_give_no_loss_and_no_gradient() -> None:
    logits = torch.full((1, 3, 2, 2), 50.0, requires_grad=True)
    target = torch.full((1, 1, 2, 2), float("nan"))
    bounds = torch.tensor(edges(4, 0, 10))
    loss = ordinal_loss(logits, target, torch.zeros(1, 1, 2, 2, dtype=torch.bool), bounds)
    loss.backward()
    assert loss == 0
    assert logits.grad is not None
    assert (logits.grad == 0).all()


def perfect(depth: Array, bounds: list[float]) -> Tensor:
    """Logits of a network that is sure of each bin."""
    beyond = depth[None] >= np.array(bounds[1:-1])[:, None, None]
    return torch.from_numpy(np.where(beyond, 30.0, -30.0)).float()[None]


def test_certainty_gives_the_bin_that_holds_the_depth() -> None:
    bounds = edges(80, 0, 10)
    depth = np.linspace(0.05, 9.95, 300).reshape(15, 20)
    logits = perfect(depth, bounds)
    for decode in (hard_depth, soft_depth):
        read = decode(logits, torch.tensor(bounds))[0, 0].numpy()
        assert (np.abs(read - depth) < 0.5 * (depth + 1) * (11 ** (1 / 80) - 1) + 1e-5).all()


def test_the_loss_compares_each_cell_with_the_depth_it_covers() -> None:
    """Padded frames too: 45×61 pixels in the middle of 64×64."""
    net = network(bins=40)
    rows, columns = np.mgrid[:45, :61]
    depth = (1.0 + rows / 10 + columns / 20).astype(np.float32)
    image = torch.zeros(1, 3, 45, 61)
    truth = torch.from_numpy(depth)[None, None]
    batch = Batch(image, walls_window(45, 61), ("x",), truth, truth > 0)
    (grid_rows, grid_columns) = net(image).shape[-2:]
    assert (grid_rows, grid_columns) == (32, 32)
    # What lies in the middle of cell (i, j): frame row 2i + 1 − 9, column 2j + 1 − 1.
    inside = np.zeros((32, 32))
    for i, j in np.ndindex(32, 32):
        y, x = 2 * i + 1 - 9, 2 * j + 1 - 1
        if 0 <= y < 45 and 0 <= x < 61:
            inside[i, j] = depth[y, x]
    logits = perfect(inside, edges(40, 0, 10))
    assert net.loss(logits, batch) < 1e-6
    assert net.loss(logits.roll(2, dims=-1), batch) > 1
    read = net.depth(logits, image, "soft")[0, 0].numpy()
    assert np.abs(read - depth)[3:-3, 3:-3].max() < 0.6


def walls_window(height: int, width: int) -> Any:
    return images(1, height, width).window


def test_it_overfits_four_rooms() -> None:
    learner = fitted(
        four_rooms(60, 80),
        decoder_width=8,
        bins=32,
        epochs=60,
        learning_rate=1e-2,
        batch_size=4,
        augmentation="none",
    )
    losses = [entry["loss"] for entry in learner.history]
    assert losses[-1] < losses[0] / 5


def test_decode_is_read_out_of_one_fit(tmp_path: Path) -> None:
    assert CnnOrdinal.Params.predict_names() == frozenset({"decode"})
    fitted(decode="soft").save(tmp_path)
    batch = images(2, 48, 64)
    read = {}
    for decode in ("hard", "soft"):
        loaded = method(decode=decode)
        loaded.load(tmp_path)
        read[decode] = loaded.predict(batch)
        assert torch.equal(read[decode], fitted(decode=decode).predict(batch))
    assert not torch.equal(read["hard"], read["soft"])


def test_a_fit_begun_for_one_row_goes_on_for_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.training.loop.SECONDS_BETWEEN_CHECKPOINTS", 0)
    data, told = walls(48, 64), []
    context = FitContext(
        seed=1, device=CPU, checkpoints=tmp_path, report=lambda **_: told.append(_["epoch"])
    )
    method(decode="soft").fit(data, context)
    told.clear()
    method(decode="hard").fit(data, context)
    assert told == []


def test_a_fit_is_determined_by_its_seed() -> None:
    one, same, other = tensors(fitted()), tensors(fitted()), tensors(fitted(seed=2))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["head.weight"], other["head.weight"])


@pytest.mark.parametrize(("height", "width"), [(48, 64), (33, 47), (1, 1), (200, 30)])
@pytest.mark.parametrize("decode", ["hard", "soft"])
def test_any_size_goes_in_and_stays_within_the_bins(height: int, width: int, decode: Any) -> None:
    net = network(alpha=0.5, beta=8).eval()
    image = images(1, height, width).image
    with torch.no_grad():
        depth = net.depth(net(image), image, decode)
    assert depth.shape == (1, 1, height, width)
    bounds = edges(10, 0.5, 8)
    assert depth.min() >= (bounds[0] + bounds[1]) / 2 - 1e-5
    assert depth.max() <= (bounds[-2] + bounds[-1]) / 2 + 1e-5


def test_frames_of_odd_size_are_learned_from() -> None:
    assert len(fitted(walls(61, 83), augmentation="study", view="study").history) == 2


@pytest.mark.parametrize(("decode", "tolerance"), [("hard", 0.0), ("soft", 1e-5)])
def test_the_batch_size_changes_no_image(decode: str, tolerance: float) -> None:
    learner = fitted(decode=decode)
    batch = images(5, 48, 64)
    together = learner.predict(batch)
    for index, image in enumerate(torch.split(batch.image, 1)):
        alone = learner.predict(Batch(image, batch.window, ("x",)))[0]
        assert torch.allclose(alone, together[index], rtol=tolerance, atol=0)


def test_smoothness_is_of_the_soft_depth() -> None:
    learner = fitted(smoothness_weight=0.5)
    assert {"ordinal", "smoothness"} <= learner.history[0].keys()
    assert learner.history[0]["smoothness"] > 0
    assert "smoothness" not in fitted().history[0]


def test_pretrained_weights_are_the_encoders_start(tmp_path: Path) -> None:
    torch.manual_seed(3)
    published = timm.create_model(ENCODER, pretrained=False)
    path = tmp_path / "encoder.pth"
    torch.save(published.state_dict(), path)
    learner = method(weights=str(path))
    net = learner.build()
    learner.initialise(net)
    state = published.state_dict()
    mine = net.get_submodule("encoder").state_dict()
    assert len(mine) > 20
    assert all(torch.equal(value, state[name]) for name, value in mine.items())


def test_weights_that_are_not_there_block(tmp_path: Path) -> None:
    learner = method(weights=str(tmp_path / "none.pth"))
    with pytest.raises(BlockedError, match=r"none\.pth"):
        learner.initialise(learner.build())
    (weights,) = CnnOrdinal.weights(method().params)
    assert weights.record()["origin"] == "random-init"
    assert list(register_methods()) == [CnnOrdinal]


def test_an_unknown_encoder_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(MethodError, match="'cnn-ordinal': timm has no model 'resnet5O'; did you"):
        method(encoder="resnet5O").build()


@pytest.mark.parametrize(
    "bad",
    [
        {"bins": 1},
        {"beta": 1, "alpha": 1},
        {"alpha": -1},
        {"beta": float("inf")},
        {"loss": "l1"},
        {"mirror_pass": True},
        {"decode": "mean"},
    ],
)
def test_impossible_parameters_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        CnnOrdinal.Params(**bad)


def test_importing_it_does_not_import_torch() -> None:
    code = "import sys, bench.contrib.cnn_ordinal as c\n"
    code += "c.CnnOrdinal.weights(c.CnnOrdinal.Params())\n"
    code += "assert not {'torch', 'timm', 'scipy', 'h5py'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
