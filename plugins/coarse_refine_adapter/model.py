"""The network of coarse-refine-adapter. Axes: B batch, K distances, D text channels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.encoders.clip import FrozenClip, normalise
from bench.encoders.similarity import similarity_depth

if TYPE_CHECKING:
    from bench.training.staged import Stage

    from . import CoarseRefineParams

QUARTER = 4


class Coarse(nn.Module):
    """Two linear layers, nothing in between, from one whole map to another.

    Args:
        given: Rows and columns of the map that goes in.
        hidden: Width between the layers.
        wanted: Rows and columns of the map that comes out.
    """

    def __init__(self, given: tuple[int, int], hidden: int, wanted: tuple[int, int]) -> None:
        super().__init__()
        self.wanted = wanted
        self.first = nn.Linear(given[0] * given[1], hidden)
        self.second = nn.Linear(hidden, wanted[0] * wanted[1])

    def forward(self, depth: Tensor) -> Tensor:
        """(B, 1, h, w) to (B, 1, h', w'), in metres."""
        flat: Tensor = self.second(self.first(depth.flatten(1)))
        return flat.view(-1, 1, *self.wanted)


class Refine(nn.Module):
    """Convolutions over the image's edges and the coarse map (as in Eigen et al. 2014, §3.1.2)."""

    def __init__(self) -> None:
        super().__init__()
        self.edges = nn.Conv2d(3, 63, 9, stride=2, padding=4)
        self.merge = nn.Conv2d(64, 64, 5, padding=2)
        self.head = nn.Conv2d(64, 1, 5, padding=2)

    def forward(self, image: Tensor, coarse: Tensor) -> Tensor:
        """Refine a map.

        Args:
            image: (B, 3, h, w), normalised; sides are multiples of 4.
            coarse: (B, 1, h/4, w/4) metres.

        Returns:
            (B, 1, h/4, w/4) metres.
        """
        edges = F.max_pool2d(F.relu(self.edges(image)), 2)
        merged = F.relu(self.merge(torch.cat([edges, coarse], dim=1)))
        depth: Tensor = self.head(merged)
        return depth


class CoarseRefine(nn.Module):
    """Depth from a frozen CLIP's zero-shot map, through one or both of the stages.

    Attributes:
        clip: The frozen encoder.
        coarse: The first stage.
        refine: The second.
        text: (K, D) unit vectors of the K distances.
    """

    text: Tensor

    def __init__(self, clip: FrozenClip, params: CoarseRefineParams) -> None:
        super().__init__()
        height, width = params.size
        stride = params.config.vision_cfg.stride
        tokens = max(1, round(height / stride)), max(1, round(width / stride))
        self.params = params
        self.clip = clip
        self.coarse = Coarse(tokens, params.hidden, (height // QUARTER, width // QUARTER))
        self.refine = Refine()
        self.register_buffer("text", clip.text_embeddings(params.sentences()), persistent=False)

    def forward(self, image: Tensor, stage: Stage) -> Tensor:
        """Depth of images.

        Args:
            image: (B, 3, h, w) RGB in [0, 1].
            stage: Whose map is wanted.

        Returns:
            (B, 1, h', w') metres, not clamped; h'×w' a quarter of the parameter `size`.
        """
        image = normalise(_resized(image, self.params.size), self.params.normalization)
        centres, temperature = self.params.bin_centres, self.params.temperature
        zero_shot = similarity_depth(self.clip.tokens(image), self.text, centres, temperature)
        coarse: Tensor = self.coarse(zero_shot)
        if stage == "coarse":
            return coarse
        depth: Tensor = self.refine(image, coarse)
        return depth


def _resized(image: Tensor, size: tuple[int, int]) -> Tensor:
    if tuple(image.shape[-2:]) == size:
        return image
    return F.interpolate(image, size, mode="bilinear", align_corners=False, antialias=True)


def build(params: CoarseRefineParams) -> CoarseRefine:
    """Build the network on the CPU. Raises `BlockedError`, `DataError`, `MethodError`."""
    return CoarseRefine(FrozenClip.build(params.encoder, params.clip_weights), params)
