"""Rectangles of the reference frame, and what becomes of them in frames of another size."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from bench.errors import ProtocolError
from bench.types import Window

REFERENCE_HEIGHT = 480
"""Rows of the frame in which protocols give their rectangles: NYU Depth v2's."""

REFERENCE_WIDTH = 640
"""Columns of that frame."""

Row = Annotated[int, Field(strict=True, ge=0, le=REFERENCE_HEIGHT)]
Column = Annotated[int, Field(strict=True, ge=0, le=REFERENCE_WIDTH)]


class Crop(BaseModel):
    """A rectangle of the 480×640 reference frame.

    Attributes:
        rows: First row, and the row after the last.
        cols: First column, and the column after the last.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    rows: tuple[Row, Row]
    cols: tuple[Column, Column]

    @model_validator(mode="after")
    def _not_empty(self) -> Crop:
        for name, (first, stop) in (("rows", self.rows), ("cols", self.cols)):
            if first >= stop:
                raise ValueError(f"{name} [{first}, {stop}] hold nothing: give [first, last + 1]")
        return self

    @property
    def is_whole(self) -> bool:
        """Whether it is the whole frame."""
        return self.rows == (0, REFERENCE_HEIGHT) and self.cols == (0, REFERENCE_WIDTH)

    def contains(self, other: Crop) -> bool:
        """Whether all of `other` lies inside."""
        return (
            self.rows[0] <= other.rows[0]
            and other.rows[1] <= self.rows[1]
            and self.cols[0] <= other.cols[0]
            and other.cols[1] <= self.cols[1]
        )

    def at(self, height: int, width: int) -> Window:
        """Return the rectangle in a frame of height×width pixels.

        Each border is scaled and rounded to the nearest pixel (halves to even).

        Raises:
            ProtocolError: Nothing is left of it in so small a frame.
        """
        top, bottom = (round(row * height / REFERENCE_HEIGHT) for row in self.rows)
        left, right = (round(column * width / REFERENCE_WIDTH) for column in self.cols)
        if top >= bottom or left >= right:
            raise ProtocolError(
                f"rows {list(self.rows)}, cols {list(self.cols)} of the 480×640 frame vanish in "
                f"images of {height}×{width} pixels; use larger images or a protocol without crops"
            )
        return Window(top, left, bottom - top, right - left, height, width)
