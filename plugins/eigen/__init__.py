"""eigen: the two-scale convolutional network of Eigen, Puhrsch & Fergus, as the paper has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field

from bench.hookspecs import hookimpl
from bench.method import Method
from bench.training.staged import StagedMethod, StagedParams
from bench.types import Batch

if TYPE_CHECKING:
    from torch import Tensor, nn

SMALLEST_SIDE = 55
"""Pixels the coarse network needs along a side for its last convolution to have one position."""
PAPER_RATES = {"coarse.fc": 100.0, "refine.merge": 10.0}
"""Learning rates relative to the other convolutions': 0.1 and 0.01 where those have 0.001."""


def _check_size(size: tuple[int, int]) -> tuple[int, int]:
    if any(side < SMALLEST_SIDE for side in size):
        raise ValueError(f"both sides must be at least {SMALLEST_SIDE}, [228, 304] say")
    return size


class EigenParams(StagedParams):
    """The network, and how it is trained."""

    size: Annotated[tuple[int, int], AfterValidator(_check_size)] = Field(
        (228, 304),
        description="Rows and columns views are resized to. The maps have about a quarter of it "
        "(55×74).",
    )
    width: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Factor on the channels of every hidden layer, rounded, at least 1.",
    )
    layer_rates: Literal["paper", "equal"] = Field(
        "paper",
        description="paper: the fully connected layers learn at 100, the refine stage's second "
        "convolution at 10 times learning_rate; equal: all at learning_rate.",
    )

    epochs: int = Field(50, ge=1, description="Passes over the training images, coarse stage.")
    batch_size: int = Field(32, ge=1, description="Images a step.")
    optimizer: Literal["sgd", "adam", "adamw"] = Field(
        "sgd", description="SGD is without Nesterov; AdamW decouples the weight decay."
    )
    learning_rate: float = Field(
        1e-3, gt=0, allow_inf_nan=False, description="The rate of the convolutions."
    )
    weight_decay: float = Field(
        0.0, ge=0, allow_inf_nan=False, description="On every trained parameter, biases included."
    )
    schedule: Literal["constant", "step", "multistep", "cosine"] = Field(
        "constant", description="How the rate changes in each stage."
    )
    loss: Literal["l1", "l2", "silog"] = Field(
        "silog",
        description="Depth loss on valid points of the predicted map; silog: the paper's "
        "scale-invariant log error, λ = 0.5.",
    )


class Eigen(StagedMethod):
    """A coarse network sees the whole image; a fine one edits its map locally."""

    name: ClassVar[str] = "eigen"
    summary: ClassVar[str] = "two-scale CNN of Eigen et al. 2014, coarse and refined, supervised"
    Params = EigenParams
    paper: ClassVar[str] = (
        "Eigen, Puhrsch & Fergus, Depth Map Prediction from a Single Image using a Multi-Scale "
        "Deep Network, NeurIPS 2014, arXiv 1406.2283"
    )
    params: EigenParams

    def build_stages(self) -> nn.Module:
        """Build both networks at random."""
        from .network import EigenNet

        return EigenNet(self.params.size, self.params.width)

    def rate_scales(self, net: nn.Module) -> Mapping[str, float]:
        """The paper's ratios between layers."""
        return PAPER_RATES if self.params.layer_rates == "paper" else {}

    def forward(self, net: Any, batch: Batch) -> Tensor:
        """Depth on the network's grid: (B, 1, 55, 74) metres for 228×304, positive."""
        log_depth: Tensor = net(batch.image, self.params.stage)
        # Half precision would leave steps of 1 to 3 cm between neighbouring depths.
        return log_depth.float().exp()


@hookimpl
def register_methods() -> Sequence[type[Method]]:
    """Add eigen."""
    return [Eigen]
