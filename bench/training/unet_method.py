"""Trained methods on a timm encoder with a U-Net decoder: what they share. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pydantic import Field

from bench.encoders.weights import Weights, WeightsChoice
from bench.training.trained_method import TrainedMethod, TrainingParams

if TYPE_CHECKING:
    from torch import nn


class UnetParams(TrainingParams):
    """Encoder and decoder, and how they are trained."""

    encoder: str = Field(
        "resnet50",
        min_length=1,
        description="A timm model with feature maps of several strides, tag included if wanted "
        "(resnet50.a1_in1k).",
    )
    weights: WeightsChoice = Field(
        "pretrained",
        description="The encoder's starting weights: pretrained (timm's default), a timm tag, a "
        "file, or random-init. All else always starts at random.",
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

    @property
    def encoder_weights(self) -> Weights:
        """What the encoder starts from."""
        return Weights(library="timm", architecture=self.encoder, choice=self.weights)


class UnetMethod(TrainedMethod):
    """A network whose module `encoder` starts from timm's weights, all else at random."""

    params: UnetParams

    @classmethod
    def weights(cls, params: Any) -> Sequence[Weights]:
        """The encoder's starting weights."""
        return (params.encoder_weights,)

    def initialise(self, net: nn.Module) -> None:
        """Load the encoder's starting weights. Raises `MethodError`, `BlockedError`."""
        from bench.encoders.timm_pyramid import load_pyramid

        load_pyramid(net.get_submodule("encoder"), self.params.encoder_weights)
