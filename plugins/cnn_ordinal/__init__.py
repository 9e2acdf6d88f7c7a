"""cnn-ordinal: depth as ordinal regression over bins that widen with depth (DORN's head)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from bench.hookspecs import hookimpl
from bench.method import Method, predict_param
from bench.training.unet_method import UnetMethod, UnetParams
from bench.types import Batch

if TYPE_CHECKING:
    from torch import Tensor, nn

    from bench.training.loop import StepOutput


class CnnOrdinalParams(UnetParams):
    """The network, the bins, and how it is trained."""

    bins: int = Field(80, ge=2, le=1024, description="K, the number of depth bins.")
    alpha: float = Field(
        0.0, ge=0, allow_inf_nan=False, description="Where the first bin begins, metres."
    )
    beta: float = Field(
        10.0, gt=0, allow_inf_nan=False, description="Where the last bin ends, metres."
    )
    decode: Literal["hard", "soft"] = predict_param(
        "hard",
        description="hard: the middle of the bin, counting the thresholds exceeded with "
        "probability ≥ ½ (the paper's); soft: the expectation over the bins.",
    )

    # None of the losses on depth: this method's is on the probabilities of its bins.
    loss: Literal["ordinal"] = Field(  # type: ignore[assignment]
        "ordinal", description="The paper's ordinal loss; there is no other here."
    )
    mirror_pass: Literal[False] = Field(
        False, description="Not here: the ordinal loss is of one pass."
    )

    @model_validator(mode="after")
    def _bins_have_a_width(self) -> Self:
        if self.beta <= self.alpha:
            raise ValueError(f"beta ({self.beta:g}) must be more than alpha ({self.alpha:g})")
        return self


class CnnOrdinal(UnetMethod):
    """A timm encoder with a U-Net decoder that says, bin by bin, whether depth lies beyond."""

    name: ClassVar[str] = "cnn-ordinal"
    summary: ClassVar[str] = "timm encoder, U-Net decoder, ordinal regression head, supervised"
    Params = CnnOrdinalParams
    paper: ClassVar[str] = (
        "Fu, Gong, Wang, Batmanghelich & Tao, Deep Ordinal Regression Network for Monocular Depth "
        "Estimation, CVPR 2018, arXiv 1806.02446"
    )
    params: CnnOrdinalParams

    def build(self) -> nn.Module:
        """Build encoder, decoder and head, all at random. Raises `MethodError`."""
        from .network import build

        return build(self.params)

    def forward(self, net: Any, batch: Batch) -> Tensor:
        """Depth (B, 1, h, w) in metres, within the middles of the first and the last bin."""
        depth: Tensor = net.depth(net(batch.image), batch.image, self.params.decode)
        return depth

    def forward_training(self, net: Any, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Soft depth, which has a gradient, and the logits (B, K − 1, h', w')."""
        logits = net(batch.image)
        return net.depth(logits, batch.image, "soft"), {"logits": logits}

    def losses(self, net: Any, step: StepOutput) -> dict[str, Tensor]:
        """The ordinal loss, and smoothness of the soft depth where it is asked for."""
        from bench.training.losses import smoothness
        from bench.training.normalisation import imagenet_normalised

        terms: dict[str, Tensor] = {"ordinal": net.loss(step.extras["logits"], step.batch)}
        if self.params.smoothness_weight > 0:
            image = imagenet_normalised(step.batch.image)
            value = smoothness(step.prediction, image)
            terms["smoothness"] = self.params.smoothness_weight * value
        return terms

    def predict(self, batch: Batch) -> Tensor:
        """Predict at the view's size.

        For `hard` images go through the network one by one: where a probability is ½ but for
        its last bits, which may change with the batch size, the bin would.
        """
        import torch

        if self.params.decode == "soft":
            return super().predict(batch)
        alone = (
            replace(batch, image=image, ids=(name,), segments=None, intrinsics=None)
            for image, name in zip(torch.split(batch.image, 1), batch.ids, strict=True)
        )
        return torch.cat([super(CnnOrdinal, self).predict(one) for one in alone])


@hookimpl
def register_methods() -> Sequence[type[Method]]:
    """Add cnn-ordinal."""
    return [CnnOrdinal]
