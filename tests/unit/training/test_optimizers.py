from __future__ import annotations

import pytest
import torch
from torch import nn

from bench.training.optimizers import make_optimizer, set_rate
from bench.training.trained_method import TrainingParams


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(2, 2), nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)), nn.Linear(2, 1)
    )


def moved(net: nn.Sequential, scales: dict[str, float] | None) -> dict[str, float]:
    """How far a step of size 0.1 moves each parameter whose gradient is 1."""
    params = TrainingParams(optimizer="sgd", momentum=0, weight_decay=0, learning_rate=7)
    optimizer = make_optimizer(params, net, scales)
    set_rate(optimizer, 0.1)
    before = {name: value.detach().clone() for name, value in net.named_parameters()}
    for value in net.parameters():
        value.grad = torch.ones_like(value)
    optimizer.step()
    return {
        name: float((before[name] - value.detach()).mean())
        for name, value in net.named_parameters()
    }


def test_all_parameters_learn_at_the_rate() -> None:
    assert list(moved(network(), None).values()) == [pytest.approx(0.1)] * 8


def test_the_innermost_named_module_scales_the_rate() -> None:
    steps = moved(network(), {"1": 10.0, "1.1": 100.0, "2": 0.5})
    wanted = {"0": 0.1, "1.0": 1.0, "1.1": 10.0, "2": 0.05}
    for name, step in steps.items():
        assert step == pytest.approx(wanted[name.rpartition(".")[0]], rel=1e-5), name


def test_frozen_parameters_are_left_out() -> None:
    net = network()
    net[0].requires_grad_(False)
    groups = make_optimizer(TrainingParams(), net, {"1": 2.0}).param_groups
    assert [len(group["params"]) for group in groups] == [4, 2]
