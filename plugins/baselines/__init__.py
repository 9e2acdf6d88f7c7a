"""Baselines every table needs: what a score is worth that looks at no image at all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from bench.errors import MethodError
from bench.hookspecs import hookimpl
from bench.method import FitContext, Method, Params
from bench.types import Batch, Window

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from torch import Tensor

    from bench.data.base import Subset

MAP_FILE = "mean_depth.npy"


class ConstantDepthParams(Params):
    """The constant."""

    depth: float = Field(
        2.5, gt=0, allow_inf_nan=False, description="Metres predicted for every pixel."
    )


class ConstantDepth(Method):
    """The same depth everywhere. It learns nothing and looks at nothing."""

    name: ClassVar[str] = "constant-depth"
    summary: ClassVar[str] = "the same depth for every pixel"
    Params = ConstantDepthParams

    def predict(self, batch: Batch) -> Tensor:
        """Return (B, 1, h, w) metres, all `depth`."""
        size = (len(batch), 1, *batch.image.shape[-2:])
        return batch.image.new_full(size, self.params.depth)


class MeanDepthMap(Method):
    """The pixel-wise mean of the training depth: what is known of a pixel from its place alone.

    The mean is over valid depth, pixel by pixel of the frame, in float64. A pixel that no training
    image measures gets the mean over all valid pixels of all images. A view gets its window of the
    map, mirrored if it is; where test frames have another size than the training frames, the map
    is resized to them first (bilinear, pixel areas kept in place: ``align_corners=False``).
    """

    name: ClassVar[str] = "mean-depth-map"
    summary: ClassVar[str] = "pixel-wise mean of the training depth"
    fitted: ClassVar[bool] = True

    def __init__(self, params: Any, device: Any, seed: int = 0) -> None:
        super().__init__(params, device, seed)
        self._map: npt.NDArray[np.float64] | None = None
        self._views: dict[Window, Tensor] = {}

    def fit(self, data: Subset, context: FitContext) -> None:
        """Average the training depth.

        Raises:
            MethodError: Frames differ in size, or no pixel of any image is valid.
        """
        import numpy as np

        shape = data[0].depth.shape
        total = np.zeros(shape, dtype=np.float64)
        count = np.zeros(shape, dtype=np.int64)
        for index in range(len(data)):
            sample = data[index]
            if sample.depth.shape != shape:
                raise MethodError(
                    f"method '{self.name}': training image '{sample.id}' is {sample.depth.shape} "
                    f"and '{data.ids[0]}' {shape}; the mean needs frames of one size"
                )
            total += np.where(sample.valid, sample.depth, 0.0)
            count += sample.valid
            context.report(epoch=1, epochs=1, progress=(index + 1) / len(data))
        if not count.any():
            raise MethodError(
                f"method '{self.name}': none of the {len(data)} training images has a valid pixel"
            )
        overall = total.sum() / count.sum()
        self._set(np.where(count > 0, total / np.maximum(count, 1), overall))

    def predict(self, batch: Batch) -> Tensor:
        """Return the window's part of the map: (B, 1, h, w) metres. Raises `MethodError`."""
        if self._map is None:
            raise MethodError(f"method '{self.name}': predict() before fit() or load()")
        if batch.window not in self._views:
            self._views[batch.window] = self._view(batch.window)
        view = self._views[batch.window].to(batch.image.device)
        return view.expand(len(batch), 1, *view.shape[-2:]).clone()

    def save(self, folder: Path) -> None:
        """Write the map: (H, W) float64 metres."""
        import numpy as np

        assert self._map is not None
        np.save(folder / MAP_FILE, self._map, allow_pickle=False)

    def load(self, folder: Path) -> None:
        """Read the map. Raises `MethodError`."""
        import numpy as np

        path = folder / MAP_FILE
        try:
            self._set(np.load(path, allow_pickle=False))
        except (OSError, ValueError) as error:
            raise MethodError(
                f"method '{self.name}': '{path}' cannot be read ({error}); "
                "remove the folder to fit again"
            ) from error

    def _set(self, depth_map: npt.NDArray[np.float64]) -> None:
        self._map = depth_map
        self._views = {}

    def _view(self, window: Window) -> Tensor:
        import torch
        import torch.nn.functional as F

        frame = torch.from_numpy(self._map)[None, None]
        size = (window.frame_height, window.frame_width)
        if frame.shape[-2:] != size:
            frame = F.interpolate(frame, size, mode="bilinear", align_corners=False)
        view = frame[..., window.rows, window.columns].float()
        return view.flip(-1) if window.mirrored else view


@hookimpl
def register_methods() -> Sequence[type[Method]]:
    """Add constant-depth and mean-depth-map."""
    return [ConstantDepth, MeanDepthMap]
