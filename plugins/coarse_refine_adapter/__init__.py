"""coarse-refine-adapter: CLIP's zero-shot depth map, corrected by two trained stages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, Field

from bench.encoders.config import ClipParams
from bench.encoders.weights import Weights
from bench.hookspecs import hookimpl
from bench.method import Method
from bench.training.staged import Stage, StagedMethod, StagedParams
from bench.types import Batch

if TYPE_CHECKING:
    from torch import Tensor, nn

STUDY_SCHEDULE = {
    "schedule": "step",
    "step_epochs": (1, 2, 3, 4, 5, 10, 15, 20),
    "step_gamma": 0.1,
}
"""× 0.1 after each epoch that is a multiple of any of these: so after every epoch."""


def _check_size(size: tuple[int, int]) -> tuple[int, int]:
    if any(side < 32 or side % 4 for side in size):
        raise ValueError("both sides must be multiples of 4 and at least 32, [416, 544] say")
    return size


class CoarseRefineParams(ClipParams, StagedParams):
    """The encoder, the prompts, the two stages, and how they are trained (the study's settings)."""

    temperature: float = Field(
        0.1, gt=0, allow_inf_nan=False, description="Divides the similarities: small is sharp."
    )
    size: Annotated[tuple[int, int], AfterValidator(_check_size)] = Field(
        (416, 544),
        description="Rows and columns of the image both stages work on; views of another size are "
        "resized to it. The maps have a quarter of it.",
    )
    hidden: int = Field(4096, ge=1, description="Width between the coarse stage's two layers.")

    epochs: int = Field(10, ge=1, description="Passes over the training images, coarse stage.")
    batch_size: int = Field(64, ge=1, description="Images a step.")
    optimizer: Literal["sgd", "adam", "adamw"] = Field(
        "sgd", description="SGD is without Nesterov; AdamW decouples the weight decay."
    )
    learning_rate: float = Field(
        0.02, gt=0, allow_inf_nan=False, description="The rate of the coarse stage."
    )
    refine_learning_rate: float | None = Field(
        0.002, gt=0, allow_inf_nan=False, description="The rate of the refine stage."
    )
    weight_decay: float = Field(
        0.1, ge=0, allow_inf_nan=False, description="On every trained parameter, biases included."
    )
    # The study's own is one more to choose from; `training` makes a step schedule of it.
    schedule: Literal["constant", "step", "multistep", "cosine", "study"] = Field(  # type: ignore[assignment]
        "cosine",
        description="How the rate changes in each stage; study: × 0.1 after every epoch.",
    )
    loss: Literal["l1", "l2", "silog"] = Field(
        "l2", description="Depth loss on valid points of the quarter-resolution map."
    )
    smoothness_weight: float = Field(
        0.001, ge=0, allow_inf_nan=False, description="Weight of the edge-aware smoothness."
    )
    mirror_pass: bool = Field(
        True, description="Each step takes the view and its mirror image and averages the two."
    )
    view: Literal["whole", "study"] = Field(
        "study", description="Train on the whole frame, or on the study's 416×544 window."
    )

    def training(self, stage: Stage) -> Self:
        """The parameters one stage is trained with."""
        params = super().training(stage)
        if params.schedule == "study":
            params = params.model_copy(update=STUDY_SCHEDULE)
        return params


class CoarseRefineAdapter(StagedMethod):
    """Two linear layers on CLIP's zero-shot map; three convolutions on that and the image."""

    name: ClassVar[str] = "coarse-refine-adapter"
    summary: ClassVar[str] = "coarse and refine stage on CLIP's zero-shot depth map, supervised"
    Params = CoarseRefineParams
    paper: ClassVar[str] = (
        "the study's own; after Zhang et al., Can Language Understand Depth?, ACM Multimedia 2022, "
        "arXiv 2207.01077, and Eigen, Puhrsch & Fergus, NeurIPS 2014, arXiv 1406.2283"
    )
    params: CoarseRefineParams

    @classmethod
    def weights(cls, params: Any) -> Sequence[Weights]:
        """CLIP's."""
        return (params.clip_weights,)

    def build_stages(self) -> nn.Module:
        """Build encoder and stages. Raises `BlockedError`, `DataError`, `MethodError`."""
        from .model import build

        return build(self.params)

    def forward(self, net: Any, batch: Batch) -> Tensor:
        """Depth at a quarter of `size`: (B, 1, 104, 136) metres for 416×544, not clamped."""
        depth: Tensor = net(batch.image, self.params.stage)
        return depth


@hookimpl
def register_methods() -> Sequence[type[Method]]:
    """Add coarse-refine-adapter."""
    return [CoarseRefineAdapter]
