"""What of a network is trained, and the state around a fit: modes, tensors, seeds, kernels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from bench.errors import MethodError


def trained_modules(net: nn.Module) -> set[str]:
    """Names of the modules that belong to a trained part.

    A module is trained if any parameter at or below it requires grad. One without parameters
    (dropout, batch norm without scale) goes with the nearest module above that has some.
    """
    trained: set[str] = set()
    for name, module in net.named_modules():
        flags = [parameter.requires_grad for parameter in module.parameters()]
        above = name.rpartition(".")[0]
        if any(flags) or (not flags and name and above in trained):
            trained.add(name)
    return trained


def train_mode(net: nn.Module) -> None:
    """Put trained parts in train mode and frozen ones in eval mode.

    A blanket ``net.train()`` would make a frozen encoder's batch norm use, and update, the
    statistics of the batch.
    """
    trained = trained_modules(net)
    for name, module in net.named_modules():
        module.training = name in trained


def trained_tensors(net: nn.Module) -> dict[str, Tensor]:
    """By name: the parameters that require grad and the persistent buffers of trained modules."""
    trained = trained_modules(net)
    learned = {name for name, item in net.named_parameters() if item.requires_grad}
    buffers = {name for name, _ in net.named_buffers() if name.rpartition(".")[0] in trained}
    kept = learned | buffers
    return {name: value for name, value in net.state_dict().items() if name in kept}


def restore_tensors(net: nn.Module, tensors: Mapping[str, Tensor], method: str) -> None:
    """Put saved trained tensors back into a network just built.

    Raises:
        MethodError: They are not this network's trained tensors, by name or by shape.
    """
    mine = {name: tuple(value.shape) for name, value in trained_tensors(net).items()}
    given = {name: tuple(value.shape) for name, value in tensors.items()}
    if mine != given:
        name = sorted(set(mine.items()) ^ set(given.items()))[0][0]
        raise MethodError(
            f"method '{method}': tensor '{name}' is {given.get(name, 'missing')} in the fit and "
            f"{mine.get(name, 'missing')} in the network; remove the fit to train again"
        )
    net.load_state_dict(dict(tensors), strict=False)


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch's generators (CPU, and the device's); put their states back afterwards."""
    cuda = device.type == "cuda"
    index = torch.cuda.current_device() if cuda and device.index is None else device.index
    with torch.random.fork_rng([index] if cuda else []):
        torch.default_generator.manual_seed(seed)
        if cuda:
            with torch.cuda.device(index):
                torch.cuda.manual_seed(seed)
        yield


@contextmanager
def exact_kernels() -> Iterator[None]:
    """Let cuDNN use neither TF32 in place of float32 nor kernels that differ between runs."""
    with torch.backends.cudnn.flags(
        enabled=True, benchmark=False, deterministic=True, allow_tf32=False
    ):
        yield
