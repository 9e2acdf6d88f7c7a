"""depthclip: depth without training, from CLIP's similarity of image tokens to distance words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from bench.encoders.config import ClipParams
from bench.encoders.weights import Weights
from bench.hookspecs import hookimpl
from bench.method import Method
from bench.types import Batch, Supervision

if TYPE_CHECKING:
    from torch import Tensor, nn

    from .model import ZeroShotDepth


class DepthClipParams(ClipParams):
    """The encoder, the prompts, the bins."""

    temperature: float = Field(
        0.001, gt=0, allow_inf_nan=False, description="Divides the similarities: small is sharp."
    )


class DepthClip(Method):
    """Each image token takes the depth of the distance words it is most similar to."""

    name: ClassVar[str] = "depthclip"
    summary: ClassVar[str] = "CLIP tokens against distance prompts, zero-shot"
    Params = DepthClipParams
    paper: ClassVar[str] = (
        "Zhang, Zeng, Guo & Li, Can Language Understand Depth?, ACM Multimedia 2022, "
        "arXiv 2207.01077"
    )
    params: DepthClipParams
    _net: ZeroShotDepth | None = None

    @classmethod
    def weights(cls, params: Any) -> Sequence[Weights]:
        """CLIP's."""
        return (params.clip_weights,)

    @classmethod
    def supervision(cls, params: Any) -> Supervision:
        """It sees no depth at all."""
        return "zero-shot"

    def predict(self, batch: Batch) -> Tensor:
        """Predict on the tokens' grid: RN50 13×17, ViT-B-16 26×34 at 416×544.

        Images go through the encoder one by one: at a temperature of 0.001 the last bits, which
        may change with the batch size, are seen in the depth; TF32 would be too.

        Raises:
            BlockedError: The weights cannot be had.
            DataError: The weights file cannot be read.
            MethodError: The weights are of another architecture, or a prompt is too long.
        """
        import torch

        from bench.training.modes import exact_kernels

        net = self._network()
        with torch.no_grad(), exact_kernels():
            return torch.cat([net(image) for image in torch.split(batch.image, 1)])

    def network(self) -> nn.Module:
        """The frozen encoder with its prompts."""
        return self._network()

    def _network(self) -> ZeroShotDepth:
        from .model import build

        if self._net is None:
            self._net = build(self.params, self.device)
        return self._net


@hookimpl
def register_methods() -> Sequence[type[Method]]:
    """Add depthclip."""
    return [DepthClip]
