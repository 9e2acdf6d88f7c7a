"""Predictions of any other code base, scored like those of the methods here."""

from __future__ import annotations

import string
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from bench.errors import MethodError, ProtocolError
from bench.hookspecs import hookimpl
from bench.method import Method, Params, location_param
from bench.paths import DataPath
from bench.protocols.geometry import Crop
from bench.types import Batch, Output, Supervision

if TYPE_CHECKING:
    from torch import Tensor

    from bench.data.base import Subset
    from bench.protocols.base import Protocol

    from .files import Predictions

FIELDS = ("id", "index", "number")


class PredictionsParams(Params):
    """Where the predictions lie, and what their numbers are."""

    path: DataPath = location_param(
        ..., description="A folder of one file an image, or one .npz or .h5 file."
    )
    format: Literal["auto", "npy", "png", "npz", "h5"] = Field(
        "auto", description="auto: by the suffix found."
    )
    output: Output = Field(
        "metric", description="What the numbers mean: metric, scale, affine-depth, ..."
    )
    content: Literal["depth", "disparity"] = Field(
        "depth", description="disparity: 1/depth, inverted here where output is metric or scale."
    )
    scale: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="Metres (or 1/metres) a unit; 1 by default, but PNG must say (0.001).",
    )
    names: str = Field(
        "{id}",
        description="Name of a file, or key in an archive: {id}, {index} from 0, {number} from 1.",
    )
    order: DataPath | None = location_param(
        None, description="A text file of image ids, one a line: what {index} counts in."
    )
    view: Crop | None = Field(
        None, description="The part of the 480×640 frame predicted; none: the whole image."
    )
    supervision: Supervision = Field("none", description="What the tables are to say of it.")

    @field_validator("names")
    @classmethod
    def _template(cls, names: str) -> str:
        try:
            fields = [field for _, field, _, _ in string.Formatter().parse(names) if field]
            names.format(id="a", index=0, number=1)
        except (ValueError, LookupError, AttributeError) as error:
            raise ValueError(f"is no template of {{id}}, {{index}}, {{number}}: {error}") from error
        if not fields or set(fields) - set(FIELDS):
            raise ValueError("must hold {id}, {index} (from 0) or {number} (from 1)")
        return names

    @model_validator(mode="after")
    def _counts_in_an_order(self) -> PredictionsParams:
        fields = {field for _, field, _, _ in string.Formatter().parse(self.names)}
        if self.order is None and "id" not in fields:
            raise ValueError("names with {index} or {number} need order: a file of image ids")
        return self

    @model_validator(mode="after")
    def _content_fits(self) -> PredictionsParams:
        if self.output == "affine-disparity" and self.content != "disparity":
            raise ValueError("output: affine-disparity needs content: disparity")
        if self.output == "affine-depth" and self.content != "depth":
            raise ValueError(
                "content: disparity up to scale and shift is output: affine-disparity; it cannot "
                "be turned into depth"
            )
        return self


class OutsidePredictions(Method):
    """Predictions made elsewhere, matched by image id.

    They have no mirrored pass: where a protocol asks for one, the prediction itself is mirrored, so
    that the average of the two is the prediction.
    """

    name: ClassVar[str] = "predictions"
    summary: ClassVar[str] = "predictions of other code, from a folder or an archive"
    Params = PredictionsParams

    def __init__(self, params: Any, device: Any, seed: int = 0) -> None:
        super().__init__(params, device, seed)
        self._opened: Predictions | None = None

    @classmethod
    def output_of(cls, params: Any) -> Output:
        """What the suite says they are."""
        output: Output = params.output
        return output

    @classmethod
    def supervision(cls, params: Any) -> Supervision:
        """What the suite says."""
        supervision: Supervision = params.supervision
        return supervision

    @classmethod
    def accepts(cls, params: Any, protocol: Protocol) -> None:
        """Refuse protocols that show a method another part of the image. Raises `ProtocolError`."""
        asked, given = _part(protocol.view), _part(params.view)
        if asked != given:
            raise ProtocolError(
                f"protocol '{protocol.name}' shows methods {asked}, but the predictions in "
                f"'{params.path}' are of {given}; set view to what they were made from, or leave "
                "one of them out"
            )

    @classmethod
    def content(cls, params: Any, test: Subset) -> str | None:
        """A hash over the predictions of the test images. Raises `DataError`."""
        from .files import Predictions

        with Predictions(params) as predictions:
            return predictions.checked(test.ids, test.dataset.splits()[test.split])

    def predict(self, batch: Batch) -> Tensor:
        """Return (B, 1, h, w), as read; mirrored where the batch is.

        Raises:
            MethodError: They are not of the window's shape, or no id says which they are.
        """
        import numpy as np
        import torch

        if self._opened is None:
            from .files import Predictions

            self._opened = Predictions(self.params)
        arrays = [self._opened.read(image_id) for image_id in batch.ids]
        for image_id, values in zip(batch.ids, arrays, strict=True):
            self._check_shape(image_id, values.shape, batch)
        depth = torch.from_numpy(np.stack(arrays))[:, None].to(batch.image.device)
        return depth.flip(-1) if batch.window.mirrored else depth

    def _check_shape(self, image_id: str, shape: tuple[int, ...], batch: Batch) -> None:
        """A map of other proportions than the view was cut, turned or stretched."""
        height, width = shape
        view = batch.window
        if abs(height - width * view.height / view.width) > max(1.0, 0.01 * height):
            raise MethodError(
                f"method '{self.name}': the prediction of '{image_id}' in '{self.params.path}' is "
                f"{height}×{width}, of other proportions than the {view.height}×{view.width} it "
                "should cover; set view to the part of the frame it was made from"
            )


def _part(view: Crop | None) -> str:
    if view is None or view.is_whole:
        return "the whole image"
    return f"rows {list(view.rows)}, cols {list(view.cols)}"


@hookimpl
def register_methods() -> Sequence[type[Method]]:
    """Add predictions."""
    return [OutsidePredictions]
