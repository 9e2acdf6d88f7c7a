"""Data sets, protocols, weights and caveats in plain words, as markdown and terminal share them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bench.records import DatasetPart, Record, WeightsPart
from bench.report.text import DASH, clean, plural

UNUSABLE = {
    "nonfinite_pixels": "Not finite",
    "nonpositive_pixels": "Zero or negative",
    "clamped_pixels": "Clamped",
}
"""What can be wrong with a predicted pixel, by the record's field."""


def images(data: DatasetPart) -> str:
    """``654 test images``, or ``9 of 654 test images`` where the rest was left out."""
    if data.test_images < data.of:
        return f"{data.test_images:,} of {data.of:,} test images"
    return plural(data.test_images, "test image")


def depth_variant(data: DatasetPart) -> str:
    """``raw depth``: what predictions are held against."""
    return f"{data.depth.get('test', 'unknown')} depth"


def protocol(settings: Mapping[str, Any]) -> str:
    """A protocol's settings in words, in the order in which they are applied.

    Settings this version does not know follow by name; without the known ones all are named.
    """
    if not settings.keys() >= _TOLD - _LATER.keys():
        return _named(settings)
    settings = {**_LATER, **settings}
    extra = {name: value for name, value in settings.items() if name not in _TOLD | {"version"}}
    sentences = [_seen(settings), _passes(settings), _scored(settings), _counted(settings)]
    return ". ".join([*sentences, *([_named(extra)] if extra else [])]) + "."


_LATER: Mapping[str, Any] = {
    "mask": "ground-truth",
    "disparity_min": None,
    "negative_scale": "worst",
}
"""Settings that came later, and what held for protocols on record without them."""

_TOLD = frozenset(
    (
        "view",
        "region",
        "frame",
        "valid_min",
        "valid_max",
        "valid_bounds",
        "flip",
        "clamp_each",
        "average",
        "resize",
        "align_corners",
        "clamp",
        "alignment",
        "nonfinite",
        "averaging",
        *_LATER,
    )
)


def _seen(settings: Mapping[str, Any]) -> str:
    frame, view = settings["frame"], settings["view"]
    size = f" of the {_size(frame)} frame" if frame is not None else ""
    mirrored = ", and its mirror image" if settings["flip"] is True else ""
    return f"The method sees {_part(view)}{size if view is not None else ''}{mirrored}"


def _passes(settings: Mapping[str, Any]) -> str:
    corners = _words(settings["align_corners"])
    resized = f"resized to the view ({_words(settings['resize'])}, align corners: {corners})"
    steps = [resized]
    if settings["flip"] is True:
        averaged = ["the two averaged"]
        if settings["clamp_each"] is not None:
            averaged.insert(0, f"each clamped to {_words(settings['clamp_each'])} m")
        steps = [resized, *averaged] if _averaged_late(settings) else [*averaged, resized]
    steps += _aligned(settings)
    steps.append(f"clamped to {_words(settings['clamp'])} m")
    words = f"Predictions: {', '.join(steps)}; alignment: {_words(settings['alignment'])}"
    return words + _negative(settings)


_ALIGNED = {
    "median-scale": "multiplied by the image's ratio of medians (ground truth / prediction)",
    "lstsq-scale": "multiplied by the scale that fits the image best by least squares",
    "lstsq-affine-depth": "given the scale and shift that fit the image's depth best by least "
    "squares",
    "lstsq-affine-disparity": "given the scale and shift that fit the image's disparity best by "
    "least squares",
}


def _aligned(settings: Mapping[str, Any]) -> list[str]:
    steps = [_ALIGNED[name] for name in [settings["alignment"]] if name in _ALIGNED]
    lowest = settings["disparity_min"]
    if lowest is not None:
        least = "1 / the image's greatest scored depth"
        told = least if lowest == "ground-truth-max" else f"{_words(lowest)} 1/m"
        steps += [f"raised to {told}", "inverted to depth"]
    return steps


def _negative(settings: Mapping[str, Any]) -> str:
    if settings["alignment"] == "none":
        return ""
    median = settings["negative_scale"] == "median"
    becomes = "is given the ratio of medians" if median else "counts as the worst there is"
    return f" over the scored pixels; an image whose scale is negative {becomes}"


def _averaged_late(settings: Mapping[str, Any]) -> bool:
    return str(settings["average"]) == "after-resize"


def _scored(settings: Mapping[str, Any]) -> str:
    region = settings["region"]
    where = "all of that" if region == settings["view"] else _part(region)
    bounds = settings["valid_bounds"]
    above = "≤" if bounds == "inclusive" else "<"
    below = "<" if bounds == "exclusive" else "≤"
    low, high = _words(settings["valid_min"]), _words(settings["valid_max"])
    capped = " m, without upper bound" if settings["valid_max"] is None else f" {below} {high} m"
    return f"Scored: {where}, where {low} {above} ground truth{capped}{_masked(settings)}"


def _masked(settings: Mapping[str, Any]) -> str:
    if settings["mask"] == "ground-truth":
        return ""
    low = _words(settings["clamp"][0])
    return (
        f", and where the prediction is above {low} m: a fault, kept to reproduce published "
        "figures, by which a method gains where it fails"
    )


def _counted(settings: Mapping[str, Any]) -> str:
    rule = settings["nonfinite"]
    count = _NONFINITE.get(rule, _words(rule)) if isinstance(rule, str) else _words(rule)
    averaging = _words(settings["averaging"])
    return f"Pixels not finite count as {count}; figures are means over {averaging}"


_NONFINITE = {
    "worst": "the worst value",
    "clamp": "the ends of the clamp (infinity the high one, NaN the low one)",
}


def _part(rectangle: Any) -> str:
    return "the whole image" if rectangle is None else _words(rectangle)


def _size(frame: Any) -> str:
    return "×".join(map(_words, frame)) if isinstance(frame, list | tuple) else _words(frame)


def _named(values: Mapping[str, Any]) -> str:
    return "; ".join(f"{clean(key).replace('_', ' ')}: {_words(values[key])}" for key in values)


def _words(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, Mapping):
        return _rectangle(value) or ", ".join(f"{clean(k)} {_words(v)}" for k, v in value.items())
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_words, value))}]"
    return clean(value)


def _rectangle(value: Mapping[str, Any]) -> str:
    rows, columns = value.get("rows"), value.get("cols")
    if not (_is_span(rows) and _is_span(columns)) or len(value) > 2:
        return ""
    assert rows is not None
    assert columns is not None
    return f"rows {rows[0]}:{rows[1]}, columns {columns[0]}:{columns[1]}"


def _is_span(value: Any) -> bool:
    ends = value if isinstance(value, list | tuple) else ()
    return len(ends) == 2 and all(isinstance(end, int) for end in ends)


def weights(parts: Iterable[WeightsPart]) -> str:
    """``open_clip RN50 (openai)``; ``random-init`` wherever weights were not real ones."""
    names = ("random-init" if part.origin == "random-init" else part.name for part in parts)
    return ", ".join(dict.fromkeys(names)) or DASH


def failure(record: Record) -> str:
    """Why a cell failed, on one line."""
    return clean(record.error.message if record.error else "no reason recorded", 240)
