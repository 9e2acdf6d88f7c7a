"""Feature pyramids of timm networks: making them and loading their weights."""

from __future__ import annotations

import difflib
from typing import Any

import timm
import torch
from torch import Tensor, nn

from bench.encoders.state import load_state
from bench.encoders.weights import Weights
from bench.errors import MethodError


def make_pyramid(encoder: str, method: str) -> nn.Module:
    """Make a timm network that returns its feature maps, finest first, with random weights.

    Its ``feature_info`` tells their channels and strides.

    Args:
        encoder: A timm model's name.
        method: Whose encoder it is, for messages.

    Raises:
        MethodError: timm has no such model, or it gives no feature maps.
    """
    if not timm.is_model(encoder):
        near = difflib.get_close_matches(encoder, timm.list_models(), n=1)
        hint = f"; did you mean '{near[0]}'?" if near else "; see timm.list_models()"
        raise MethodError(f"method '{method}': timm has no model '{encoder}'{hint}")
    try:
        return _made(encoder)
    except (RuntimeError, AttributeError, TypeError, AssertionError) as error:
        raise MethodError(
            f"method '{method}': timm's '{encoder}' gives no feature maps ({error}); "
            "choose a convolutional encoder such as resnet50"
        ) from error


def load_pyramid(pyramid: nn.Module, weights: Weights) -> None:
    """Put pretrained weights into a pyramid; random-init leaves it as it is.

    Args:
        pyramid: From `make_pyramid`.
        weights: For the encoder it was made as.

    Raises:
        BlockedError: The weights cannot be had.
        DataError: The file cannot be read.
        MethodError: They are of another architecture.
    """
    path = weights.fetch()
    if path is None:
        return
    what = f"weights '{path}' for {weights.architecture}"
    try:
        blank, loaded = _twice(weights.architecture, load_state(path))
    except (RuntimeError, LookupError, AttributeError, TypeError, ValueError) as error:
        line = str(error).strip().splitlines()[0]
        raise MethodError(f"{what}: these weights are of another architecture: {line}") from error
    untouched = [
        name
        for name, tensor in loaded.items()
        if tensor.ndim > 1 and torch.equal(tensor, blank[name])
    ]
    if untouched:
        raise MethodError(
            f"{what}: these weights are of another architecture: {len(untouched)} tensors are "
            f"missing ({untouched[0]} first)"
        )
    pyramid.load_state_dict(loaded)


def _twice(encoder: str, state: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The pyramid's tensors without and with a state put in, from one random start.

    timm maps published names to its own and passes over what it does not find; a tensor that
    comes out the same both times was not in the state.
    """
    tensors = []
    with torch.random.fork_rng(devices=[]):
        for given in (None, state):
            torch.default_generator.manual_seed(0)
            tensors.append(_made(encoder, given).state_dict())
    return tensors[0], tensors[1]


def _made(encoder: str, state: dict[str, Tensor] | None = None) -> nn.Module:
    options: dict[str, Any] = {"pretrained": False}
    if state is not None:
        options = {"pretrained": True, "pretrained_cfg_overlay": {"state_dict": state}}
    made: nn.Module = timm.create_model(encoder, features_only=True, **options)
    return made
