"""Optimisers by name, over what a network trains."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from bench.training.trained_method import TrainingParams

ADAM_SECOND_BETA = 0.999


def make_optimizer(
    params: TrainingParams, net: nn.Module, rate_scales: Mapping[str, float] | None = None
) -> Optimizer:
    """Make the optimiser over the parameters that require grad.

    Args:
        params: `optimizer`, `learning_rate`, `momentum`, `weight_decay`.
        net: On the device it will train on.
        rate_scales: Factors on the learning rate by module name; that of the innermost module
            named counts, and 1 where none is.
    """
    trained = _groups(net, rate_scales or {})
    rate, decay = params.learning_rate, params.weight_decay
    if params.optimizer == "sgd":
        return torch.optim.SGD(trained, lr=rate, momentum=params.momentum, weight_decay=decay)
    adam = torch.optim.AdamW if params.optimizer == "adamw" else torch.optim.Adam
    betas = (params.momentum, ADAM_SECOND_BETA)
    return adam(trained, lr=rate, betas=betas, weight_decay=decay)


def set_rate(optimizer: Optimizer, rate: float) -> None:
    """Set the learning rate of every parameter group, times the group's own factor."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["rate_scale"]


def _groups(net: nn.Module, scales: Mapping[str, float]) -> list[dict[str, Any]]:
    groups: dict[float, list[nn.Parameter]] = {}
    for name, parameter in net.named_parameters():
        if parameter.requires_grad:
            groups.setdefault(_scale_of(name, scales), []).append(parameter)
    return [{"params": members, "rate_scale": scale} for scale, members in groups.items()]


def _scale_of(name: str, scales: Mapping[str, float]) -> float:
    """The factor of the innermost module named in `scales` that holds a parameter."""
    above = name.rpartition(".")[0]
    while above and above not in scales:
        above = above.rpartition(".")[0]
    return scales.get(above, 1.0)
