from __future__ import annotations

import pytest
import torch
from torch import nn

from bench.errors import MethodError
from bench.training.modes import restore_tensors, seeded, train_mode, trained_tensors


def network() -> nn.Module:
    """A frozen encoder with batch norm and dropout, a trained decoder with the same."""
    net = nn.Module()
    net.encoder = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Dropout(0.5))
    net.decoder = nn.Sequential(nn.Conv2d(4, 1, 1), nn.BatchNorm2d(1, affine=False), nn.Dropout())
    net.encoder.requires_grad_(False)
    return net


def test_frozen_parts_stay_in_eval_mode() -> None:
    net = network().eval()
    train_mode(net)
    modes = {name: module.training for name, module in net.named_modules() if name}
    assert modes == {
        "encoder": False,
        "encoder.0": False,
        "encoder.1": False,
        "encoder.2": False,
        "decoder": True,
        "decoder.0": True,
        "decoder.1": True,
        "decoder.2": True,
    }


def test_frozen_tensors_are_not_kept() -> None:
    assert set(trained_tensors(network())) == {
        "decoder.0.weight",
        "decoder.0.bias",
        "decoder.1.running_mean",
        "decoder.1.running_var",
        "decoder.1.num_batches_tracked",
    }


@pytest.mark.parametrize("change", ["missing", "unexpected", "shape"])
def test_tensors_of_another_network_are_refused(change: str) -> None:
    tensors = trained_tensors(network())
    if change == "missing":
        del tensors["decoder.0.bias"]
    elif change == "unexpected":
        tensors["decoder.0.bias2"] = torch.zeros(1)
    else:
        tensors["decoder.0.bias"] = torch.zeros(2)
    with pytest.raises(MethodError, match=r"method 'x': tensor 'decoder\.0\.bias2?' is .*"):
        restore_tensors(network(), tensors, "x")


def test_seeding_is_undone() -> None:
    torch.manual_seed(7)
    before = torch.get_rng_state()
    with seeded(3, torch.device("cpu")):
        inside = torch.rand(2)
    assert torch.equal(torch.get_rng_state(), before)
    with seeded(3, torch.device("cpu")):
        assert torch.equal(torch.rand(2), inside)
