"""cnn-unet: a convolutional encoder with a U-Net decoder, trained on depth. The usual baseline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from bench.encoders.weights import Weights, WeightsChoice
from bench.hookspecs import hookimpl
from bench.method import Method
from bench.training.trained_method import TrainedMethod, TrainingParams

if TYPE_CHECKING:
    from torch import nn


class CnnUnetParams(TrainingParams):
    """The network, and how it is trained."""

    encoder: str = Field(
        "resnet50",
        min_length=1,
        description="A timm model with feature maps of several strides, tag included if wanted "
        "(resnet50.a1_in1k).",
    )
    weights: WeightsChoice = Field(
        "pretrained",
        description="The encoder's starting weights: pretrained (timm's default), a timm tag, a "
        "file, or random-init. The decoder always starts at random.",
    )
    decoder_width: int = Field(
        32,
        ge=1,
        description="Decoder channels at stride 2; doubled with each doubling of the stride.",
    )
    warmup_epochs: int = Field(
        1, ge=0, description="Epochs over which the rate rises linearly; fewer than epochs."
    )
    weight_decay: float = Field(
        1e-2, ge=0, allow_inf_nan=False, description="On every trained parameter."
    )


class CnnUnet(TrainedMethod):
    """A timm encoder with a U-Net decoder, trained end to end on depth."""

    name: ClassVar[str] = "cnn-unet"
    summary: ClassVar[str] = "timm encoder with a U-Net decoder, supervised"
    Params = CnnUnetParams
    paper: ClassVar[str] = (
        "Ronneberger, Fischer & Brox, U-Net: Convolutional Networks for Biomedical Image "
        "Segmentation, MICCAI 2015, arXiv 1505.04597"
    )
    params: CnnUnetParams

    @classmethod
    def weights(cls, params: Any) -> Sequence[Weights]:
        """The encoder's starting weights."""
        return (_weights(params),)

    def build(self) -> nn.Module:
        """Build encoder and decoder, both at random. Raises `MethodError`."""
        from .network import build

        return build(self.params.encoder, self.params.decoder_width)

    def initialise(self, net: nn.Module) -> None:
        """Load the encoder's starting weights. Raises `MethodError`, `BlockedError`."""
        from bench.encoders.timm_pyramid import load_pyramid

        load_pyramid(net.get_submodule("encoder"), _weights(self.params))


def _weights(params: CnnUnetParams) -> Weights:
    return Weights(library="timm", architecture=params.encoder, choice=params.weights)


@hookimpl
def register_methods() -> Sequence[type[Method]]:
    """Add cnn-unet."""
    return [CnnUnet]
