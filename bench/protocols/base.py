"""A protocol: everything between a raw prediction and a figure, as named, versioned, hashed data.

In this order: the method sees `view` (and its mirror image, with `flip`); the passes are clamped
(`clamp_each`), averaged and resized bilinearly to the view's pixels; the result is put back where
the view was in the frame; it is brought to metres by `alignment` over the scored pixels, the pixels
of `region` with valid ground truth; those are clamped (`clamp`) and scored, one figure an image,
averaged over images. The mask comes from the ground truth alone, but in protocols that say so
(`mask`) to reproduce published figures.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, field_validator, model_validator

from bench.errors import ProtocolError
from bench.protocols.geometry import REFERENCE_HEIGHT, REFERENCE_WIDTH, Crop
from bench.types import Output, Window

SCALED = "-scaled"
"""What the name of a protocol gains in frames where its rectangles had to be scaled."""

Metres = Annotated[float, Field(ge=0, allow_inf_nan=False)]
PerMetre = Annotated[float, Field(gt=0, allow_inf_nan=False)]

Alignment = Literal[
    "none", "median-scale", "lstsq-scale", "lstsq-affine-depth", "lstsq-affine-disparity"
]

SCORABLE: Mapping[Alignment, tuple[Output, ...]] = {
    "none": ("metric",),
    "median-scale": ("metric", "scale"),
    "lstsq-scale": ("metric", "scale"),
    "lstsq-affine-depth": ("metric", "scale", "affine-depth"),
    "lstsq-affine-disparity": ("metric", "scale", "affine-disparity"),
}
"""What a method's numbers may mean (`bench.types.Output`) to be scored under an alignment.

A protocol aligns every method of its table alike. A stronger output may be given a weaker one's
freedom (metres are depth up to a scale), never the other way round. Depth up to scale and shift has
no disparity: the shift that would be needed before it can be inverted is not known.
"""


class Protocol(BaseModel):
    """How predictions become figures. Unknown keys are refused; values are frozen.

    Attributes:
        name: What suites and tables call it; lower case with hyphens. Not part of the hash.
        version: Raised when a setting of a published protocol changes. Part of the hash.
        description: One line in plain words. Not part of the hash.
        source: Whose evaluation it follows, and where it departs from it. Not part of the hash.
        view: What the method sees, in the 480×640 frame; None: the whole frame.
        region: The pixels scored, inside the view; None: all of the view.
        valid_min: Ground truth is scored where it is above this, metres.
        valid_max: Ground truth is scored where it is below this, metres; None: however far.
        valid_bounds: Whether ground truth equal to a bound is scored: to neither (exclusive), to
            either (inclusive), to the upper one (upper-inclusive). Bounds are compared in float32,
            as the ground truth is held.
        mask: What decides which pixels of `region` are scored: the ground truth alone; or, to
            reproduce a fault (prediction-positive), also the prediction, which must lie above the
            low end of `clamp` before it is clamped: *a method gains by failing there*. Only finite
            predictions are left out so, and an image that loses all its pixels is the worst.
        flip: Also predict the mirrored view, and average the two.
        clamp_each: Clamp each of the two passes to this range just before averaging; None: do not.
        average: Average the two passes on the method's own grid, or after resizing each.
        resize: How a prediction is brought to the view's pixels.
        align_corners: Whether the corner pixels' centres (True) or the outer borders (False) of the
            two grids coincide.
        clamp: The range every scored prediction is clamped to, metres.
        alignment: How predictions become metres, image by image, from the ground truth of the
            scored pixels (`bench.protocols.alignment`); none: they have to be metres (`SCORABLE`).
        disparity_min: The least an aligned disparity may be before it is inverted, 1/metres; or
            `ground-truth-max`: 1 / the image's own greatest scored depth. Of lstsq-affine-disparity
            only.
        negative_scale: What becomes of an image whose fitted scale is negative: the worst figures
            there are, or the ratio of medians in place of the fit (and the worst, if that is not
            positive either). Either way it is counted.
        nonfinite: A scored pixel that is NaN or infinite counts as the worst value in `clamp`, for
            each metric (worst); or, as some published code has it, infinity as the high end and NaN
            as the low end (clamp). It never enters an alignment.
        averaging: A figure is the mean over images of the per-image metric.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    name: Annotated[str, Field(pattern=r"^[a-z0-9]+([-.][a-z0-9]+)*$", max_length=64)]
    version: Annotated[int, Field(strict=True, ge=1)] = 1
    description: str = ""
    source: str = ""
    view: Crop | None = None
    region: Crop | None = None
    valid_min: Metres = 1e-3
    valid_max: Metres | None = 10.0
    valid_bounds: Literal["exclusive", "inclusive", "upper-inclusive"] = "exclusive"
    mask: Literal["ground-truth", "prediction-positive"] = "ground-truth"
    flip: StrictBool = False
    clamp_each: tuple[Metres, Metres] | None = None
    average: Literal["before-resize", "after-resize"] = "before-resize"
    resize: Literal["bilinear"] = "bilinear"
    align_corners: StrictBool = True
    clamp: tuple[Metres, Metres] = (1e-3, 10.0)
    alignment: Alignment = "none"
    disparity_min: PerMetre | Literal["ground-truth-max"] | None = None
    negative_scale: Literal["worst", "median"] = "worst"
    nonfinite: Literal["worst", "clamp"] = "worst"
    averaging: Literal["images"] = "images"

    @field_validator("name")
    @classmethod
    def _not_reserved(cls, name: str) -> str:
        if name.endswith(SCALED):
            raise ValueError(f"the ending '{SCALED}' is added by the harness; leave it out")
        return name

    @field_validator("description", "source")
    @classmethod
    def _one_line(cls, text: str) -> str:
        if len(text.splitlines()) > 1:
            raise ValueError("must be one line")
        return text

    @field_validator("clamp", "clamp_each")
    @classmethod
    def _ordered(cls, limits: tuple[float, float] | None) -> tuple[float, float] | None:
        if limits is not None and limits[0] >= limits[1]:
            raise ValueError(f"must be [lowest, highest], not {list(limits)}")
        return limits

    @field_validator("clamp")
    @classmethod
    def _positive(cls, limits: tuple[float, float]) -> tuple[float, float]:
        # Ratios and logarithms of what is scored are taken, in float32.
        if limits[0] < 1e-6:
            raise ValueError(f"must begin at 1e-6 m or above, not at {limits[0]:g}")
        return limits

    @model_validator(mode="after")
    def _consistent(self) -> Protocol:
        if self.valid_max is not None and self.valid_min >= self.valid_max:
            raise ValueError(
                f"valid_min {self.valid_min:g} must be below valid_max {self.valid_max:g}"
            )
        if self.view and self.region and not self.view.contains(self.region):
            raise ValueError(
                "region must lie inside view: where the method sees nothing, nothing can be scored"
            )
        if not self.flip and self.clamp_each is not None:
            raise ValueError("clamp_each works on the two passes that flip: true makes; set flip")
        if not self.flip and self.average != "before-resize":
            raise ValueError("average works on the two passes that flip: true makes; set flip")
        if self.alignment == "none" and self.negative_scale != "worst":
            raise ValueError("negative_scale is about a fitted scale; set alignment")
        return self

    @model_validator(mode="after")
    def _alignable(self) -> Protocol:
        in_disparity = self.alignment == "lstsq-affine-disparity"
        if in_disparity and self.disparity_min is None:
            raise ValueError("lstsq-affine-disparity needs disparity_min; give 1/metres (1e-3)")
        if not in_disparity and self.disparity_min is not None:
            raise ValueError("disparity_min belongs to alignment: lstsq-affine-disparity")
        if self.alignment != "none" and self.clamp_each is not None:
            raise ValueError(
                "clamp_each is in metres, and predictions are not before alignment; leave it out"
            )
        if self.alignment != "none" and self.mask != "ground-truth":
            raise ValueError("mask: prediction-positive works with alignment: none only")
        return self

    @property
    def settings(self) -> dict[str, Any]:
        """Every setting spelled out as JSON values, rectangles in the 480×640 frame."""
        windows = [_reduced(crop) for crop in (self.view, self.region or self.view)]
        frame = [REFERENCE_HEIGHT, REFERENCE_WIDTH] if any(windows) else None
        view, region = (crop.model_dump(mode="json") if crop else None for crop in windows)
        return self._settings(frame, view, region)

    @property
    def sha256(self) -> str:
        """SHA-256 (hex) of version and settings; name, description, source do not enter."""
        return _digest(self.settings)

    def at(self, height: int, width: int) -> FramedProtocol:
        """Return the protocol for frames of height×width pixels.

        Its rectangles are scaled to the frame. Where that changes them it is another protocol, with
        `-scaled` after its name and a hash that holds the frame's size.

        Raises:
            ProtocolError: A rectangle vanishes in so small a frame.
        """
        whole = Window.whole(height, width)
        crops = [_reduced(crop) for crop in (self.view, self.region or self.view)]
        try:
            view, region = (crop.at(height, width) if crop else whole for crop in crops)
        except ProtocolError as error:
            raise ProtocolError(f"protocol '{self.name}': {error}") from error
        settings, name = self.settings, self.name
        if any(crops) and (height, width) != (REFERENCE_HEIGHT, REFERENCE_WIDTH):
            settings = self._settings(
                [height, width],
                _rectangle(view) if crops[0] else None,
                _rectangle(region) if crops[1] else None,
            )
            name += SCALED
        return FramedProtocol(name, view, region, self, settings)

    def _settings(
        self, frame: list[int] | None, view: dict[str, Any] | None, region: dict[str, Any] | None
    ) -> dict[str, Any]:
        values = self.model_dump(mode="json", exclude={"name", "description", "source"})
        return values | {"frame": frame, "view": view, "region": region}


@dataclass(frozen=True)
class FramedProtocol:
    """A protocol in the pixels of one frame size.

    Attributes:
        name: The protocol's, with `-scaled` where its rectangles were scaled.
        view: What the method sees.
        region: The pixels scored, inside the view, in pixels of the frame.
        rules: The protocol it was made from.
        settings: Every setting spelled out as JSON values, rectangles in pixels of `frame`.
        sha256: Of the settings.
    """

    name: str
    view: Window
    region: Window
    rules: Protocol
    settings: Mapping[str, Any] = field(hash=False)
    sha256: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sha256", _digest(self.settings))

    @property
    def version(self) -> int:
        """The protocol's version."""
        return self.rules.version

    @property
    def flip(self) -> bool:
        """Whether it asks for the mirrored pass too."""
        return self.rules.flip


def check_output(
    protocol: Protocol | FramedProtocol, output: Output, method: str = "the method"
) -> None:
    """Refuse to score a method whose numbers the protocol's alignment does not bring to metres.

    Args:
        protocol: How predictions are to be scored.
        output: What the method declares its numbers to mean.
        method: What to call it.

    Raises:
        ProtocolError: They are less than the alignment needs (`SCORABLE`).
    """
    rules = protocol.rules if isinstance(protocol, FramedProtocol) else protocol
    if output in SCORABLE[rules.alignment]:
        return
    fitting = [name for name, outputs in SCORABLE.items() if output in outputs]
    raise ProtocolError(
        f"protocol '{protocol.name}' (alignment: {rules.alignment}) cannot score {method}, whose "
        f"output is '{output}'; leave one of them out, or use a protocol with alignment "
        f"{' or '.join(fitting)}"
    )


def _reduced(crop: Crop | None) -> Crop | None:
    return None if crop is None or crop.is_whole else crop


def _rectangle(window: Window) -> dict[str, Any]:
    return {
        "rows": [window.rows.start, window.rows.stop],
        "cols": [window.columns.start, window.columns.stop],
    }


def _digest(settings: Mapping[str, Any]) -> str:
    text = json.dumps(dict(settings), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
