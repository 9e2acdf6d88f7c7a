"""msa: a U-Net decoder on a frozen CLIP's feature pyramid, the study's multi-scale adapter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from bench.data.segments import SegmentsChoice
from bench.encoders.config import ClipParams
from bench.encoders.weights import Weights
from bench.hookspecs import hookimpl
from bench.method import Method
from bench.training.selfsupervised import SelfSupervisedMethod, SelfSupervisedParams
from bench.training.trained_method import EpochNumbers
from bench.types import Batch

if TYPE_CHECKING:
    from torch import Tensor, nn


class MsaParams(ClipParams, SelfSupervisedParams):
    """The encoder, the prompts, what is fed in, and how it is trained (the study's settings)."""

    clip_weight: float = Field(
        0.0,
        ge=0,
        allow_inf_nan=False,
        description="w > 0: depth = w·(CLIP's zero-shot depth) + a residual within ±1 m; 0: the "
        "decoder's output is the depth.",
    )
    segments: Literal["none", "sam", "instances"] = Field(
        "none",
        description="Painted segments beside the image: made by Segment Anything, or the data "
        "set's own instance masks (an oracle).",
    )
    paint: Literal["blend", "flat"] = Field(
        "blend", description="Segments' colours laid over the image, or alone."
    )
    temperature: float = Field(
        0.001, gt=0, allow_inf_nan=False, description="Divides the similarities: small is sharp."
    )

    epochs: int = Field(90, ge=1, description="Passes over the training images.")
    batch_size: int = Field(8, ge=1, description="Images a step.")
    optimizer: Literal["sgd", "adam", "adamw"] = Field(
        "sgd", description="SGD is without Nesterov; AdamW decouples the weight decay."
    )
    learning_rate: float = Field(
        0.002, gt=0, allow_inf_nan=False, description="The rate the schedule multiplies."
    )
    weight_decay: float = Field(
        1e-5, ge=0, allow_inf_nan=False, description="On every trained parameter, biases included."
    )
    schedule: Literal["constant", "step", "multistep", "cosine"] = Field(
        "step", description="How the rate changes; step: × step_gamma every step_epochs."
    )
    step_epochs: EpochNumbers = Field((30,), description="Epochs of the schedule.")
    mirror_pass: bool = Field(
        True, description="Each step takes the view and its mirror image and averages the two."
    )
    clamp_predictions: bool = Field(
        True, description="Clamp each prediction to [0, 10] m before the loss."
    )
    view: Literal["whole", "study"] = Field(
        "study", description="Train on the whole frame, or on the study's 416×544 window."
    )

    @model_validator(mode="after")
    def _has_a_pyramid(self) -> Self:
        if not self.config.vision_cfg.is_resnet:
            raise ValueError(
                "encoder must be a ResNet (RN50): a transformer has no feature pyramid"
            )
        return self


class Msa(SelfSupervisedMethod):
    """A frozen CLIP's features at six scales, merged from the deepest up."""

    name: ClassVar[str] = "msa"
    summary: ClassVar[str] = "U-Net decoder on frozen CLIP features, ± zero-shot depth ± segments"
    Params = MsaParams
    paper: ClassVar[str] = (
        "the study's own; after Ronneberger, Fischer & Brox, U-Net, MICCAI 2015, arXiv 1505.04597, "
        "and Zhang et al., Can Language Understand Depth?, ACM Multimedia 2022, arXiv 2207.01077"
    )
    params: MsaParams

    @classmethod
    def weights(cls, params: Any) -> Sequence[Weights]:
        """CLIP's."""
        return (params.clip_weights,)

    @classmethod
    def segments(cls, params: Any) -> SegmentsChoice | None:
        """What is painted beside the image."""
        return None if params.segments == "none" else SegmentsChoice(params.segments)

    def uses_segments(self) -> bool:
        """Unless `segments` is none."""
        return self.params.segments != "none"

    def build(self) -> nn.Module:
        """Build encoder and decoder. Raises `BlockedError`, `DataError`, `MethodError`."""
        from .model import build

        return build(self.params)

    def forward(self, net: Any, batch: Batch) -> Tensor:
        """Depth at the view's size, or the nearest that is a multiple of 32: (B, 1, h', w') metres.

        Raises:
            MethodError: Segments are to be painted and the batch has none.
        """
        from .model import painted_segments

        painted = painted_segments(batch, self.params.paint) if self.uses_segments() else None
        depth: Tensor = net(batch.image, painted)
        return depth

    def predict(self, batch: Batch) -> Tensor:
        """Predict, without TF32: at a temperature of 0.001 it would be seen in the depth."""
        from bench.training.modes import exact_kernels

        with exact_kernels():
            return super().predict(batch)


@hookimpl
def register_methods() -> Sequence[type[Method]]:
    """Add msa."""
    return [Msa]
