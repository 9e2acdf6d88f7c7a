"""clip-adapter: depthclip with two small trained adapters, one for tokens, one for prompts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from bench.encoders.config import ClipParams
from bench.encoders.weights import Weights
from bench.hookspecs import hookimpl
from bench.method import Method
from bench.training.selfsupervised import SelfSupervisedMethod, SelfSupervisedParams
from bench.training.trained_method import EpochNumbers

if TYPE_CHECKING:
    from torch import nn


class ClipAdapterParams(ClipParams, SelfSupervisedParams):
    """The encoder, the prompts, the adapters, and how they are trained (the study's settings)."""

    temperature: float = Field(
        0.1, gt=0, allow_inf_nan=False, description="Divides the similarities: small is sharp."
    )
    bottleneck: int = Field(8, ge=1, description="Width between an adapter's two layers.")
    residual: float = Field(
        0.2, ge=0, le=1, description="Share of the adapter's output; the rest is its input."
    )

    epochs: int = Field(30, ge=1, description="Passes over the training images.")
    batch_size: int = Field(64, ge=1, description="Images a step.")
    optimizer: Literal["sgd", "adam", "adamw"] = Field(
        "sgd", description="SGD is without Nesterov; AdamW decouples the weight decay."
    )
    learning_rate: float = Field(
        0.02, gt=0, allow_inf_nan=False, description="The rate the schedule multiplies."
    )
    schedule: Literal["constant", "step", "multistep", "cosine"] = Field(
        "step", description="How the rate changes; step: × step_gamma every step_epochs."
    )
    step_epochs: EpochNumbers = Field((10,), description="Epochs of the schedule.")
    smoothness_weight: float = Field(
        0.001, ge=0, allow_inf_nan=False, description="Weight of the edge-aware smoothness."
    )
    mirror_pass: bool = Field(
        True, description="Each step takes the view and its mirror image and averages the two."
    )
    clamp_predictions: bool = Field(
        True, description="Clamp each prediction to [0, 10] m before the loss."
    )
    view: Literal["whole", "study"] = Field(
        "study", description="Train on the whole frame, or on the study's 416×544 window."
    )


class ClipAdapter(SelfSupervisedMethod):
    """depthclip's tokens and prompts, each moved a little by a trained bottleneck."""

    name: ClassVar[str] = "clip-adapter"
    summary: ClassVar[str] = "adapters on frozen CLIP tokens and distance prompts"
    Params = ClipAdapterParams
    paper: ClassVar[str] = (
        "Gao et al., CLIP-Adapter: Better Vision-Language Models with Feature Adapters, 2021, "
        "arXiv 2110.04544"
    )
    params: ClipAdapterParams

    @classmethod
    def weights(cls, params: Any) -> Sequence[Weights]:
        """CLIP's."""
        return (params.clip_weights,)

    def build(self) -> nn.Module:
        """Build encoder and adapters. Raises `BlockedError`, `DataError`, `MethodError`."""
        from .model import build

        return build(self.params)


@hookimpl
def register_methods() -> Sequence[type[Method]]:
    """Add clip-adapter."""
    return [ClipAdapter]
