"""Optimisers by name, over what a network trains."""

from __future__ import annotations

import torch
from torch import nn
from torch.optim import Optimizer

from bench.training.trained_method import TrainingParams

ADAM_SECOND_BETA = 0.999


def make_optimizer(params: TrainingParams, net: nn.Module) -> Optimizer:
    """Make the optimiser over the parameters that require grad.

    Args:
        params: `optimizer`, `learning_rate`, `momentum`, `weight_decay`.
        net: On the device it will train on.
    """
    trained = [parameter for parameter in net.parameters() if parameter.requires_grad]
    rate, decay = params.learning_rate, params.weight_decay
    if params.optimizer == "sgd":
        return torch.optim.SGD(trained, lr=rate, momentum=params.momentum, weight_decay=decay)
    adam = torch.optim.AdamW if params.optimizer == "adamw" else torch.optim.Adam
    betas = (params.momentum, ADAM_SECOND_BETA)
    return adam(trained, lr=rate, betas=betas, weight_decay=decay)


def set_rate(optimizer: Optimizer, rate: float) -> None:
    """Set the learning rate of every parameter group."""
    for group in optimizer.param_groups:
        group["lr"] = rate
