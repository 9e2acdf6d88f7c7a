"""The network of cnn-unet."""

from __future__ import annotations

import difflib
import math
from typing import Any

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.encoders.state import load_state
from bench.encoders.weights import Weights
from bench.errors import MethodError
from bench.training.normalisation import imagenet_normalised

START_DEPTH = 2.5
"""Metres an untrained network predicts, about the middle of an indoor image."""


class ConvBlock(nn.Sequential):
    """Two times 3×3 convolution, batch norm, ReLU."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        layers: list[nn.Module] = []
        for channels in (channels_in, channels_out):
            layers += [
                nn.Conv2d(channels, channels_out, 3, padding=1, bias=False),
                nn.BatchNorm2d(channels_out),
                nn.ReLU(inplace=True),
            ]
        super().__init__(*layers)


class Unet(nn.Module):
    """An encoder's feature maps, merged from the deepest up, to log depth.

    Each step resizes what there is to the next finer feature map (bilinear), concatenates the two
    and sends them through a `ConvBlock`. A 3×3 convolution makes log depth of the last, which is
    resized to the image. Images whose sides are no multiple of the encoder's stride are padded
    by repeating their border, and the output is cut back.

    Args:
        encoder: A timm model made with ``features_only=True``.
        width: Decoder channels at stride 2.
    """

    def __init__(self, encoder: nn.Module, width: int) -> None:
        super().__init__()
        info: Any = encoder.feature_info
        channels, strides = info.channels(), info.reduction()
        self.encoder = encoder
        self.stride = max(strides)
        blocks = []
        depth = channels[-1]
        for skip, stride in zip(channels[-2::-1], strides[-2::-1], strict=True):
            wanted = max(1, width * stride // 2)
            blocks.append(ConvBlock(depth + skip, wanted))
            depth = wanted
        self.decoder = nn.ModuleList(blocks)
        self.head = nn.Conv2d(depth, 1, 3, padding=1)
        nn.init.normal_(self.head.weight, std=1e-3)
        nn.init.constant_(self.head.bias, math.log(START_DEPTH))  # type: ignore[arg-type]

    def forward(self, image: Tensor) -> Tensor:
        """Predict depth.

        Args:
            image: (B, 3, h, w) RGB in [0, 1].

        Returns:
            (B, 1, h, w) metres, positive.
        """
        height, width = image.shape[-2:]
        down, right = -height % self.stride, -width % self.stride
        top, left = down // 2, right // 2
        edges = (left, right - left, top, down - top)
        padded = F.pad(imagenet_normalised(image), edges, mode="replicate")
        features = self.encoder(padded.contiguous(memory_format=torch.channels_last))
        merged = features[-1]
        for block, skip in zip(self.decoder, features[-2::-1], strict=True):
            merged = block(torch.cat([_resized(merged, skip.shape[-2:]), skip], dim=1))
        # Half precision would leave steps of 1 to 3 cm between neighbouring depths.
        log_depth = _resized(self.head(merged).float(), padded.shape[-2:])
        return log_depth[..., top : top + height, left : left + width].exp()


def build(encoder: str, width: int) -> Unet:
    """Make the network with random weights.

    Args:
        encoder: A timm model's name.
        width: Decoder channels at stride 2.

    Raises:
        MethodError: timm has no such model, or it gives no feature maps.
    """
    if not timm.is_model(encoder):
        near = difflib.get_close_matches(encoder, timm.list_models(), n=1)
        hint = f"; did you mean '{near[0]}'?" if near else "; see timm.list_models()"
        raise MethodError(f"method 'cnn-unet': timm has no model '{encoder}'{hint}")
    net = Unet(_features(encoder), width)
    return net.to(memory_format=torch.channels_last)


def load_encoder(net: nn.Module, weights: Weights) -> None:
    """Put pretrained weights into the encoder; random-init leaves it as it is.

    Args:
        net: From `build`.
        weights: For the encoder `net` was built with.

    Raises:
        BlockedError: The weights cannot be had.
        DataError: The file cannot be read.
        MethodError: They are of another architecture.
    """
    path = weights.fetch()
    if path is None:
        return
    assert isinstance(net, Unet)
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
    net.encoder.load_state_dict(loaded)


def _twice(encoder: str, state: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The encoder's tensors without and with a state put in, from one random start.

    timm maps published names to its own and passes over what it does not find; a tensor that
    comes out the same both times was not in the state.
    """
    tensors = []
    with torch.random.fork_rng(devices=[]):
        for given in (None, state):
            torch.default_generator.manual_seed(0)
            tensors.append(_features(encoder, given).state_dict())
    return tensors[0], tensors[1]


def _features(encoder: str, state: dict[str, Tensor] | None = None) -> nn.Module:
    options: dict[str, Any] = {"pretrained": False}
    if state is not None:
        options = {"pretrained": True, "pretrained_cfg_overlay": {"state_dict": state}}
    try:
        made: nn.Module = timm.create_model(encoder, features_only=True, **options)
    except (RuntimeError, AttributeError, TypeError, AssertionError) as error:
        if state is not None:
            raise
        raise MethodError(
            f"method 'cnn-unet': timm's '{encoder}' gives no feature maps ({error}); "
            "choose a convolutional encoder such as resnet50"
        ) from error
    return made


def _resized(features: Tensor, size: torch.Size) -> Tensor:
    if features.shape[-2:] == size:
        return features
    return F.interpolate(features, size, mode="bilinear", align_corners=False)
