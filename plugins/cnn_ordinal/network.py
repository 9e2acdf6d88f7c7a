"""The network of cnn-ordinal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.encoders.timm_pyramid import make_pyramid
from bench.training.loop import ground_truth
from bench.training.unet import UnetTrunk
from bench.types import Batch

from . import ordinal

if TYPE_CHECKING:
    from . import CnnOrdinalParams


class OrdinalUnet(UnetTrunk):
    """A U-Net whose 3×3 head gives K − 1 ordinal logits on the finest feature map's grid.

    The loss is taken on that grid too: at the image's size the logits would be hundreds of
    megabytes. Each of its cells covers s×s pixels of the padded image (s the grid's stride) and
    takes the target in their middle.

    Attributes:
        bin_edges: (K + 1,) metres.

    Args:
        encoder: A timm model made with ``features_only=True``.
        width: Decoder channels at stride 2.
        bin_edges: The edges of the K bins.
    """

    bin_edges: Tensor

    def __init__(self, encoder: nn.Module, width: int, bin_edges: list[float]) -> None:
        super().__init__(encoder, width)
        self.head = nn.Conv2d(self.channels, len(bin_edges) - 2, 3, padding=1)
        self.register_buffer("bin_edges", torch.tensor(bin_edges), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """Images (B, 3, h, w) in [0, 1] to logits (B, K − 1, h', w') of the padded image."""
        logits: Tensor = self.head(self.features(image)).float()
        return logits

    def depth(self, logits: Tensor, image: Tensor, decode: Literal["hard", "soft"]) -> Tensor:
        """Depth at the size of the image the logits are of: (B, 1, h, w) metres."""
        read = ordinal.hard_depth if decode == "hard" else ordinal.soft_depth
        height, width = image.shape[-2:]
        return self.at_image_size(read(logits, self.bin_edges), height, width)

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """The ordinal loss of logits against a batch's ground truth."""
        target, valid = ground_truth(batch)
        # Padded as the image was: 0 is invalid.
        known = F.pad(torch.where(valid, target, 0.0), self.edges(*target.shape[-2:]))
        on_grid = F.interpolate(known, logits.shape[-2:], mode="nearest-exact")
        return ordinal.ordinal_loss(logits, on_grid, on_grid > 0, self.bin_edges)


def build(params: CnnOrdinalParams) -> OrdinalUnet:
    """Make the network with random weights. Raises `MethodError`."""
    encoder = make_pyramid(params.encoder, "cnn-ordinal")
    edges = ordinal.edges(params.bins, params.alpha, params.beta)
    net = OrdinalUnet(encoder, params.decoder_width, edges)
    return net.to(memory_format=torch.channels_last)
