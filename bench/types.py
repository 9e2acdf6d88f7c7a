"""The values that flow through the harness.

Axis legend, used in every docstring: B batch, C channels, H×W pixels of the whole frame, h×w pixels
of what a method sees or returns, N images, K depth bins. Depth is in metres, float32. Images are
RGB: uint8 in a `Sample`, float32 in [0, 1] in a `Batch`.

numpy holds what comes from disk (`Sample`), torch what goes to a method (`Batch`). This module
imports neither at run time, so that a plugin can be listed without torch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from torch import Tensor

Output = Literal["metric", "scale", "affine-depth", "affine-disparity"]
"""What a method's numbers mean: metres, depth up to a scale, depth up to scale and shift, or
disparity up to scale and shift. It decides which alignments a protocol may apply."""

Supervision = Literal["none", "zero-shot", "depth", "self-supervised"]
"""Where a method's knowledge of depth comes from."""

DepthVariant = Literal["raw", "filled"]
"""`raw`: as the sensor measured it, with holes. `filled`: holes in-filled afterwards."""


@dataclass(frozen=True, slots=True)
class Window:
    """A rectangle of the frame: rows ``top:top+height``, columns ``left:left+width``.

    Attributes:
        top: First row, in pixels of the frame.
        left: First column, in pixels of the frame.
        height: Rows.
        width: Columns.
        frame_height: Rows of the whole frame.
        frame_width: Columns of the whole frame.
        mirrored: The pixels run right to left: column 0 of the view is frame column
            ``left + width - 1``. top and left always speak of the unmirrored frame.
    """

    top: int
    left: int
    height: int
    width: int
    frame_height: int
    frame_width: int
    mirrored: bool = False

    def __post_init__(self) -> None:
        inside = (
            self.top >= 0
            and self.left >= 0
            and self.height > 0
            and self.width > 0
            and self.top + self.height <= self.frame_height
            and self.left + self.width <= self.frame_width
        )
        if not inside:
            raise ValueError(f"window {self} does not lie inside its frame")

    @classmethod
    def whole(cls, height: int, width: int) -> Window:
        """Return the window that is the whole frame of height×width pixels."""
        return cls(0, 0, height, width, height, width)

    @property
    def rows(self) -> slice:
        """The rows of the frame it covers."""
        return slice(self.top, self.top + self.height)

    @property
    def columns(self) -> slice:
        """The columns of the frame it covers."""
        return slice(self.left, self.left + self.width)

    @property
    def is_whole(self) -> bool:
        """Whether it covers the whole frame."""
        return (self.height, self.width) == (self.frame_height, self.frame_width)

    def mirror(self) -> Window:
        """Return the same rectangle seen in a mirror."""
        return replace(self, mirrored=not self.mirrored)


@dataclass(frozen=True, slots=True)
class Sample:
    """One image of a data set with its ground truth, whole frame, as read from disk.

    Attributes:
        id: Unique within the data set and stable across machines.
        image: (3, H, W) uint8 RGB.
        depth: (H, W) float32 metres; 0 where missing.
        valid: (H, W) bool; where the depth is a measurement (or an in-filled value): finite, > 0.
        segments: (H, W) int32 instance labels, 0 = no instance; None where the data has none.
        intrinsics: (3, 3) float64 camera matrix in pixels; None where unknown.
        scene: The place the image was taken in (`kitchen_0004`): images of one scene are not
            independent. None where unknown.
        scene_type: The kind of place (`kitchen`). None where unknown.
    """

    id: str
    image: npt.NDArray[np.uint8]
    depth: npt.NDArray[np.float32]
    valid: npt.NDArray[np.bool_]
    segments: npt.NDArray[np.int32] | None = None
    intrinsics: npt.NDArray[np.float64] | None = None
    scene: str | None = None
    scene_type: str | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """B images of one size as a method sees them: the pixels of `window`, on the run's device.

    Attributes:
        image: (B, 3, h, w) float32 RGB in [0, 1].
        window: Which part of the frame the pixels are, and whether they are mirrored.
        ids: The B image ids.
        depth: (B, 1, h, w) float32 metres, 0 where missing; None when predicting.
        valid: (B, 1, h, w) bool; None when predicting.
        segments: (B, 1, h, w) int64 instance labels; None where the data has none.
        intrinsics: (B, 3, 3) float32 camera matrices in pixels of the *view* (principal point
            shifted by the window, mirrored with it); None where unknown.
    """

    image: Tensor
    window: Window
    ids: tuple[str, ...]
    depth: Tensor | None = None
    valid: Tensor | None = None
    segments: Tensor | None = None
    intrinsics: Tensor | None = None

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a method returned for one image: raw, on its own grid, unclamped, NaN kept.

    Attributes:
        id: The image's id.
        plain: (h, w) float32, from the image as it is.
        mirrored: (h, w) float32, from the mirrored image and still mirrored; None if no protocol
            asked for that pass.
    """

    id: str
    plain: npt.NDArray[np.float32]
    mirrored: npt.NDArray[np.float32] | None = None
