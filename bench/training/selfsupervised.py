"""Methods that can learn from pairs of views instead of depth: parameters and base class.

Imports no torch at import time; making the pairs and the loss are `bench.training.pairs`'s part.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from bench.training.trained_method import TrainedMethod, TrainingParams
from bench.types import Batch, Supervision

if TYPE_CHECKING:
    from torch import Tensor, nn

    from bench.training.images import TrainingImages
    from bench.training.loop import StepOutput


class SelfSupervisedParams(TrainingParams):
    """How a network is trained, with depth or without."""

    supervision: Literal["depth", "self-supervised"] = Field(
        "depth",
        description="depth: `loss` against ground truth. self-supervised: no depth is used; the "
        "image, rotated by up to ±10° and shifted by up to ±10 px (of 640×480), shall look like "
        "the plain image seen through the predicted depth. There is no colour change, `loss` is "
        "not used, and `augmentation` says whether views are mirrored (none: not).",
    )
    photometric_weight: float = Field(
        1.0, gt=0, allow_inf_nan=False, description="Weight of the photometric loss."
    )
    photometric: Literal["monodepth2", "study"] = Field(
        "monodepth2",
        description="monodepth2: 0.85·DSSIM + 0.15·L1; study: 0.85·(1 − DSSIM)/2 + 0.15·L1, which "
        "rewards what is unlike, as released.",
    )
    registration: Literal["fixed", "study"] = Field(
        "fixed",
        description="fixed: depth 1 m registers the two views. study: the shift's sign is wrong "
        "and the rotation is about the frame's centre in the view's coordinates, as released, so "
        "no depth does.",
    )

    @model_validator(mode="after")
    def _chooses_without_depth(self) -> SelfSupervisedParams:
        if self.supervision == "self-supervised" and self.selection == "validation":
            raise ValueError(
                "selection: validation compares with depth, which supervision: self-supervised "
                "must not use; set selection: last"
            )
        return self


class SelfSupervisedMethod(TrainedMethod):
    """Base of trained methods with the parameter `supervision`."""

    params: SelfSupervisedParams

    @classmethod
    def supervision(cls, params: Any) -> Supervision:
        """As the parameter says."""
        chosen: Supervision = params.supervision
        return chosen

    def training_batches(
        self, images: TrainingImages, indices: Sequence[int], seed: int, epoch: int
    ) -> Iterator[Batch]:
        """The batches of one epoch: with depth, or pairs of views without."""
        if self.params.supervision == "depth":
            return super().training_batches(images, indices, seed, epoch)
        from bench.training.pairs import pair_batches

        return pair_batches(images, indices, self.params, seed, epoch)

    def losses(self, net: nn.Module, step: StepOutput) -> dict[str, Tensor]:
        """The weighted loss terms of one step, with depth or without."""
        if self.params.supervision == "depth":
            return super().losses(net, step)
        from bench.training.pairs import self_supervised_losses

        return self_supervised_losses(self.params, step)
