"""What a record says of where a method fails, from what one evaluation came to."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from bench.evaluate import Evaluation
from bench.metrics.breakdown import DEPTH_EDGES, by_depth, by_edges
from bench.records import Breakdown, DepthBin, ImageFigure, PixelFigures, SceneTypeFigures

if TYPE_CHECKING:
    from torch import Tensor

EXTREMES = 3
"""How many worst and best images are named."""


def breakdown(result: Evaluation, name: str, scored: Sequence[bool]) -> Breakdown:
    """Where the error is under one protocol.

    What needs `abs_rel` or `delta1` is left out where a suite computes neither.

    Args:
        result: Of predicting and scoring.
        name: The protocol's.
        scored: Which images have ground truth in the scored region; the others do not count.
    """
    kept = [index for index, has_truth in enumerate(scored) if has_truth]
    images = [result.images[index] for index in kept]
    columns: dict[str, list[float]] = {
        metric: [result.values[name][metric][index] for index in kept]
        for metric in ("abs_rel", "delta1")
        if metric in result.values[name]
    }
    parts: dict[str, Any] = {}
    if name in result.breakdown:
        parts |= _pixels(result.breakdown[name])
    if len(columns) == 2:
        parts["scene_types"] = _scene_types([item["scene_type"] for item in images], columns)
    if "abs_rel" in columns:
        parts |= _extremes([str(item["id"]) for item in images], columns["abs_rel"])
    return Breakdown(**parts)


def _pixels(sums: Tensor) -> dict[str, Any]:
    ends = [*pairwise(DEPTH_EDGES), (DEPTH_EDGES[-1], None)]
    bins = [
        DepthBin(low=low, high=high, **_figures(row))
        for (low, high), row in zip(ends, by_depth(sums).tolist(), strict=True)
    ]
    flat, near = (PixelFigures(**_figures(row)) for row in by_edges(sums).tolist())
    return {"depth": bins, "flat": flat, "near_edges": near}


def _figures(row: Sequence[float]) -> dict[str, Any]:
    pixels, within, relative = row
    if not pixels:
        return {"pixels": 0, "abs_rel": None, "delta1": None}
    return {"pixels": int(pixels), "abs_rel": relative / pixels, "delta1": within / pixels}


def _scene_types(
    types: Sequence[str | None], columns: Mapping[str, Sequence[float]]
) -> list[SceneTypeFigures]:
    """One a type, the most images first; none where no type is known."""
    members: dict[str | None, list[int]] = {}
    for index, kind in enumerate(types):
        members.setdefault(kind, []).append(index)
    if not members.keys() - {None}:
        return []
    ordered = sorted(members.items(), key=lambda item: (-len(item[1]), item[0] or ""))
    return [
        SceneTypeFigures(
            scene_type=kind,
            images=len(held),
            **{
                metric: math.fsum(values[index] for index in held) / len(held)
                for metric, values in columns.items()
            },
        )
        for kind, held in ordered
    ]


def _extremes(ids: Sequence[str], values: Sequence[float]) -> dict[str, list[ImageFigure]]:
    """The worst and the best images; what is no number is worst."""
    order = sorted(
        range(len(ids)),
        key=lambda index: (math.inf if math.isnan(values[index]) else values[index], ids[index]),
    )
    named = [ImageFigure(id=ids[index], abs_rel=values[index]) for index in order]
    return {"worst": named[::-1][:EXTREMES], "best": named[:EXTREMES]}
