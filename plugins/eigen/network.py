"""The two networks of Eigen, Puhrsch & Fergus 2014 (arXiv 1406.2283, figure 1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.training.normalisation import imagenet_normalised

if TYPE_CHECKING:
    from bench.training.staged import Stage

DROPOUT = 0.5


class Coarse(nn.Module):
    """Global: five convolutions and two fully connected layers (sizes at 228×304).

    conv 11×11/4 (96, 55×74), pool; conv 5×5 (256, 27×37), pool; conv 3×3 (384, 13×18), twice;
    conv 3×3/2 (256, 6×8); fully connected 4096 with dropout; fully connected to 55×74. The first
    and the last convolution are not padded, the others keep their size. ReLU after each but the
    last.

    Args:
        size: Rows and columns of the image.
        wanted: Rows and columns of the map that comes out.
        width: Factor on all channels.
    """

    def __init__(self, size: tuple[int, int], wanted: tuple[int, int], width: float) -> None:
        super().__init__()
        c1, c2, c3, c4, c5, hidden = (
            _scaled(channels, width) for channels in (96, 256, 384, 384, 256, 4096)
        )
        self.wanted = wanted
        self.convs = nn.Sequential(
            nn.Conv2d(3, c1, 11, stride=4),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(c1, c2, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(c2, c3, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(c3, c4, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(c4, c5, 3, stride=2),
            nn.ReLU(),
        )
        rows, columns = (_last_side(side) for side in size)
        self.fc = nn.Sequential(
            nn.Linear(c5 * rows * columns, hidden),
            nn.ReLU(),
            nn.Dropout(DROPOUT),
            nn.Linear(hidden, wanted[0] * wanted[1]),
        )

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, h, w), normalised, to log depth (B, 1, h', w')."""
        flat: Tensor = self.fc(self.convs(image).flatten(1))
        return flat.view(-1, 1, *self.wanted)


class Refine(nn.Module):
    """Local: conv 9×9/2 (63) and pool; with the coarse map, conv 5×5 (64) and conv 5×5 (1).

    The first convolution is not padded, the others keep their size. ReLU after each but the last.

    Args:
        width: Factor on all channels.
    """

    def __init__(self, width: float) -> None:
        super().__init__()
        c1, c2 = _scaled(63, width), _scaled(64, width)
        self.edges = nn.Conv2d(3, c1, 9, stride=2)
        self.merge = nn.Conv2d(c1 + 1, c2, 5, padding=2)
        self.head = nn.Conv2d(c2, 1, 5, padding=2)

    def forward(self, image: Tensor, coarse: Tensor) -> Tensor:
        """Edit a coarse map.

        Args:
            image: (B, 3, h, w), normalised.
            coarse: (B, 1, h', w') log depth.

        Returns:
            (B, 1, h', w') log depth.
        """
        edges = F.max_pool2d(F.relu(self.edges(image)), 2)
        merged = F.relu(self.merge(torch.cat([edges, coarse], dim=1)))
        log_depth: Tensor = self.head(merged)
        return log_depth


class EigenNet(nn.Module):
    """Both networks.

    Attributes:
        size: Rows and columns images are resized to.
        coarse: The first stage.
        refine: The second.

    Args:
        size: Rows and columns images are resized to.
        width: Factor on the channels of every hidden layer.
    """

    def __init__(self, size: tuple[int, int], width: float = 1.0) -> None:
        super().__init__()
        self.size = size
        # What the fine network's first convolution and pool leave of the image.
        wanted = (((size[0] - 9) // 2 + 1) // 2, ((size[1] - 9) // 2 + 1) // 2)
        self.coarse = Coarse(size, wanted, width)
        self.refine = Refine(width)

    def forward(self, image: Tensor, stage: Stage) -> Tensor:
        """Log depth of images.

        Args:
            image: (B, 3, h, w) RGB in [0, 1].
            stage: Whose map is wanted.

        Returns:
            (B, 1, h', w'), 55×74 for 228×304.
        """
        if tuple(image.shape[-2:]) != self.size:
            image = F.interpolate(
                image, self.size, mode="bilinear", align_corners=False, antialias=True
            )
        image = imagenet_normalised(image)
        coarse: Tensor = self.coarse(image)
        if stage == "coarse":
            return coarse
        log_depth: Tensor = self.refine(image, coarse)
        return log_depth


def _scaled(channels: int, width: float) -> int:
    return max(1, round(channels * width))


def _last_side(side: int) -> int:
    """Positions of the coarse network's last convolution along a side of the image."""
    pooled = ((side - 11) // 4 + 1) // 2 // 2
    return (pooled - 3) // 2 + 1
