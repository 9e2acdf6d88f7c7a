"""From raw predictions and ground truth to per-image figures, as a protocol says.

B images of one frame size, H×W pixels of the frame, h×w pixels of the method's own grid.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.errors import MethodError
from bench.metrics.base import Metric, evaluate
from bench.metrics.breakdown import on_grid, region_sums, stride
from bench.protocols.alignment import align
from bench.protocols.base import FramedProtocol, Protocol
from bench.types import Output, Window

Limits = tuple[float, float]


@dataclass(frozen=True)
class View:
    """One part of the frame a method has to see, and the protocols that ask for it.

    Attributes:
        window: The part, not mirrored.
        mirrored: Some of the protocols ask for the mirrored pass too.
        protocols: Those that share it, in the order given.
    """

    window: Window
    mirrored: bool
    protocols: tuple[FramedProtocol, ...]


@dataclass(frozen=True)
class BatchScores:
    """What a protocol says of B images.

    The counts are of pixels whose ground truth is scored, as predicted: after averaging and
    resizing without any clamp, and after alignment where there is one that could be made.

    Attributes:
        values: (B,) float64 by metric name, on the CPU; NaN for an image without a scored pixel.
        nonfinite: (B,) int64: pixels that are NaN or infinite.
        nonpositive: (B,) int64: finite pixels that are zero or negative.
        clamped: (B,) int64: finite pixels outside the protocol's clamp, non-positive ones included,
            as are those below the least disparity.
        scored_pixels: (B,) int64.
        negative_scale: (B,) int64: 1 where the alignment came to a negative scale.
        breakdown: Sums by region over the images (see `bench.metrics.breakdown.region_sums`); None
            where none was asked for.
    """

    values: dict[str, Tensor]
    nonfinite: Tensor
    nonpositive: Tensor
    clamped: Tensor
    scored_pixels: Tensor
    negative_scale: Tensor
    breakdown: Tensor | None = None


def views(protocols: Sequence[FramedProtocol]) -> list[View]:
    """Group protocols that share a view, so that one pass of predictions serves them all."""
    groups: dict[Window, list[FramedProtocol]] = {}
    for protocol in protocols:
        groups.setdefault(protocol.view, []).append(protocol)
    return [
        View(window, any(protocol.flip for protocol in group), tuple(group))
        for window, group in groups.items()
    ]


def score_batch(
    protocol: FramedProtocol,
    plain: Tensor,
    mirrored: Tensor | None,
    target: Tensor,
    valid: Tensor,
    metrics: Sequence[Metric],
    output: Output = "metric",
    regions: Tensor | None = None,
) -> BatchScores:
    """Score B images.

    Args:
        protocol: For this frame size.
        plain: (B, 1, h, w) float; the raw prediction of the protocol's view, on the method's grid.
        mirrored: (B, 1, h, w) float; that of the mirrored view, still mirrored. Only looked at
            where the protocol asks for it.
        target: (B, 1, H, W) float32 metres, whole frame.
        valid: (B, 1, H, W) bool; where the target is a measurement.
        metrics: What to compute.
        output: What the method's numbers mean; `bench.protocols.base.check_output` allows it.
        regions: (B, H', W') uint8, of `bench.metrics.breakdown.regions`: asks for a breakdown.

    Returns:
        Figures and counts per image.

    Raises:
        MethodError: The two passes differ in shape.
        ValueError: The protocol averages two passes and `mirrored` is None, or the target is not of
            the protocol's frame size.
    """
    frame = (protocol.view.frame_height, protocol.view.frame_width)
    if target.shape[-2:] != frame:
        raise ValueError(f"target is {tuple(target.shape[-2:])}, the protocol's frame {frame}")
    passes = [plain]
    if protocol.flip:
        if mirrored is None:
            raise ValueError(f"protocol '{protocol.name}' needs the mirrored pass")
        if mirrored.shape != plain.shape:
            raise MethodError(
                f"predict() returned {tuple(plain.shape)} for the view and "
                f"{tuple(mirrored.shape)} for its mirror image; the grid must be the same"
            )
        passes.append(mirrored)
    if plain.device.type != "cpu":
        return _score(protocol, passes, target, valid, metrics, output, regions)
    # On a CPU one image at a time: its planes stay in the cache.
    images = [slice(index, index + 1) for index in range(len(plain))]
    return _joined(
        [
            _score(
                protocol,
                [each[i] for each in passes],
                target[i],
                valid[i],
                metrics,
                output,
                None if regions is None else regions[i],
            )
            for i in images
        ]
    )


def _joined(parts: Sequence[BatchScores]) -> BatchScores:
    if len(parts) == 1:
        return parts[0]
    sums = [part.breakdown for part in parts if part.breakdown is not None]
    return BatchScores(
        values={name: torch.cat([part.values[name] for part in parts]) for name in parts[0].values},
        nonfinite=torch.cat([part.nonfinite for part in parts]),
        nonpositive=torch.cat([part.nonpositive for part in parts]),
        clamped=torch.cat([part.clamped for part in parts]),
        scored_pixels=torch.cat([part.scored_pixels for part in parts]),
        negative_scale=torch.cat([part.negative_scale for part in parts]),
        breakdown=torch.stack(sums).sum(0) if sums else None,
    )


def _score(
    protocol: FramedProtocol,
    passes: Sequence[Tensor],
    target: Tensor,
    valid: Tensor,
    metrics: Sequence[Metric],
    output: Output,
    regions: Tensor | None,
) -> BatchScores:
    rules, region = protocol.rules, protocol.region
    raw, bounded = (_region(protocol, each) for each in _merged(protocol, passes))
    truth = target[:, 0, region.rows, region.columns]
    mask = valid[:, 0, region.rows, region.columns] & _in_range(rules, truth)
    if rules.alignment == "none":
        troubles = _troubles(raw, mask, rules.clamp)
        scored, lost = _still_scored(rules, bounded, mask)
        negative = torch.zeros(len(mask), dtype=torch.int64)
    else:
        found = align(rules, bounded, truth, mask, output)
        bounded, scored, lost = found.depth, mask, ~found.fitted & mask.flatten(1).any(1)
        troubles = _troubles(found.depth, mask, rules.clamp, found.nonpositive, found.raised)
        negative = found.negative.long().cpu()
    nonfinite, nonpositive, clamped = troubles
    usable = _usable(rules, bounded)
    values = evaluate(metrics, usable, truth, scored)
    # Filled, below, with what counts at unusable pixels.
    filled = usable
    for index, unusable in _unusable(rules, nonfinite, scored, lost):
        image = slice(index, index + 1)
        worst = _worst(metrics, usable[image], truth[image], scored[image], unusable, rules.clamp)
        row = torch.tensor([index], device=truth.device)
        values = {name: values[name].index_copy(0, row, worst[name]) for name in values}
        if regions is not None:
            farthest = _farthest(truth[image], rules.clamp)
            filled = filled.index_copy(0, row, torch.where(unusable, farthest, usable[image]))
    return BatchScores(
        values={name: value.cpu() for name, value in values.items()},
        nonfinite=_count(nonfinite),
        nonpositive=_count(nonpositive),
        clamped=_count(clamped),
        scored_pixels=_count(mask),
        negative_scale=negative,
        breakdown=None
        if regions is None
        else _broken_down(protocol, filled, truth, scored, regions),
    )


def _broken_down(
    protocol: FramedProtocol, prediction: Tensor, truth: Tensor, scored: Tensor, regions: Tensor
) -> Tensor:
    """The region sums of the pixels of the scored region that are on the grid."""
    region, step = protocol.region, stride(protocol.view.frame_height)
    rows, grid_rows = on_grid(region.top, region.height, step)
    columns, grid_columns = on_grid(region.left, region.width, step)
    prediction, truth, scored = (each[:, rows, columns] for each in (prediction, truth, scored))
    return region_sums(prediction, truth, scored, regions[:, grid_rows, grid_columns])


def _farthest(truth: Tensor, limits: Limits) -> Tensor:
    """The end of the limits that is farther from the ground truth, as `truth`."""
    low, high = torch.tensor(limits, device=truth.device)
    return torch.where(high - truth > truth - low, high, low)


def _in_range(rules: Protocol, truth: Tensor) -> Tensor:
    """Where the ground truth lies within the protocol's bounds: bool, as `truth`."""
    low, high = rules.valid_min, rules.valid_max
    inside = truth >= low if rules.valid_bounds == "inclusive" else truth > low
    if high is None:
        return inside & truth.isfinite()
    inside &= truth < high if rules.valid_bounds == "exclusive" else truth <= high
    return inside


def _still_scored(rules: Protocol, bounded: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """The pixels that are scored, and (B,) which images lost all of theirs to the prediction."""
    if rules.mask == "ground-truth":
        return mask, torch.zeros(len(mask), dtype=torch.bool, device=mask.device)
    # What is not finite stays: it counts as the protocol says.
    left = mask & ~((bounded <= rules.clamp[0]) & bounded.isfinite())
    lost = mask.flatten(1).any(1) & ~left.flatten(1).any(1)
    return torch.where(lost[:, None, None], mask, left), lost


def _usable(rules: Protocol, bounded: Tensor) -> Tensor:
    """What is scored: (B, rows, columns) float32 metres within the clamp, NaN where it was."""
    low, high = rules.clamp
    if rules.nonfinite == "clamp":
        bounded = bounded.nan_to_num(nan=low, posinf=high, neginf=low)
    return bounded.clamp(low, high).float()


def _unusable(
    rules: Protocol, nonfinite: Tensor, scored: Tensor, lost: Tensor
) -> Iterator[tuple[int, Tensor]]:
    """The images with pixels that count as the worst value, and (1, rows, columns) which."""
    worst = lost
    if rules.nonfinite == "worst":
        worst = lost | nonfinite.flatten(1).any(1)
    for index in worst.nonzero().flatten().tolist():
        image = slice(index, index + 1)
        yield index, scored[image] if lost[index] else nonfinite[image]


def _troubles(
    raw: Tensor,
    mask: Tensor,
    limits: Limits,
    nonpositive: Tensor | None = None,
    raised: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Where scored predictions are non-finite, non-positive, outside the limits: bool, as `mask`.

    All three are empty, with no pixel in them, where the first look finds nothing amiss.

    Args:
        raw: (B, H, W) metres.
        mask: (B, H, W) bool.
        limits: Of the protocol's clamp.
        nonpositive: (B, H, W) bool; by default where `raw` is not positive.
        raised: (B, H, W) bool: others that count as outside the limits.
    """
    if _within(raw, limits) and (raised is None or not raised.any()):
        none = mask[:, :0]
        return none, none, none
    finite = raw.isfinite()
    outside = (raw < limits[0]) | (raw > limits[1])
    if raised is not None:
        outside |= raised
    below = raw <= 0 if nonpositive is None else nonpositive
    return mask & ~finite, mask & finite & below, mask & finite & outside


def _count(flags: Tensor) -> Tensor:
    return flags.sum((1, 2)).cpu()


def _within(values: Tensor, limits: Limits) -> bool:
    """Whether all values are finite and inside the limits."""
    lowest, highest = values.aminmax()  # NaN if there is one, and then both comparisons fail
    return bool((lowest >= limits[0]) & (highest <= limits[1]))


def _merged(protocol: FramedProtocol, passes: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """The prediction on the view's pixels (B, 1, rows, columns): never clamped, and as ruled."""
    rules = protocol.rules
    passes = [passes[0].float(), *(each.float().flip(-1) for each in passes[1:])]
    raw = _averaged(protocol, passes)
    limits = rules.clamp_each
    if limits is None or all(_within(each, limits) for each in passes):
        return raw, raw
    return raw, _averaged(protocol, passes, limits)


def _averaged(
    protocol: FramedProtocol, passes: Sequence[Tensor], limits: Limits | None = None
) -> Tensor:
    after = protocol.rules.average == "after-resize"
    if after:
        passes = [_resized(protocol, each) for each in passes]
    if limits is not None:
        passes = [each.clamp(*limits) for each in passes]
    # Halved before adding, so that two finite passes have a finite average.
    average = passes[0] if len(passes) == 1 else passes[0] * 0.5 + passes[1] * 0.5
    return average if after else _resized(protocol, average)


def _resized(protocol: FramedProtocol, prediction: Tensor) -> Tensor:
    size = (protocol.view.height, protocol.view.width)
    if prediction.shape[-2:] == size:
        return prediction
    # In float32 the sample positions are off by up to 2e-5 pixels, differently on each device.
    resized = F.interpolate(
        prediction.double(), size, mode="bilinear", align_corners=protocol.rules.align_corners
    )
    return resized.float()


def _region(protocol: FramedProtocol, prediction: Tensor) -> Tensor:
    """Cut the scored region (B, rows, columns) out of a prediction that covers the view."""
    view, region = protocol.view, protocol.region
    top, left = region.top - view.top, region.left - view.left
    return prediction[:, 0, top : top + region.height, left : left + region.width]


def _worst(
    metrics: Sequence[Metric],
    prediction: Tensor,
    truth: Tensor,
    mask: Tensor,
    unusable: Tensor,
    limits: Limits,
) -> dict[str, Tensor]:
    """The worst figures one image can have, whatever stands at its unusable pixels within limits.

    Each end of the limits is tried where it does most harm: in metres, in the logarithm, and to the
    spread of the log error. For the nine standard metrics no other choice is worse.

    Args:
        metrics: Which.
        prediction: (1, H, W) float32 metres, clamped to the limits where it is finite.
        truth: (1, H, W) float32 metres.
        mask: (1, H, W) bool, the scored pixels.
        unusable: (1, H, W) bool, those of them without a finite prediction.
        limits: Of the protocol's clamp.
    """
    low, high = torch.tensor(limits, device=truth.device)
    rises = (
        high - truth > truth - low,
        high / truth > truth / low,
        _most_spread(prediction, truth, mask, unusable, limits),
    )
    tried = [
        evaluate(
            metrics, torch.where(unusable, torch.where(rise, high, low), prediction), truth, mask
        )
        for rise in rises
    ]
    worst = {}
    for metric in metrics:
        values = torch.stack([each[metric.name] for each in tried])
        worst[metric.name] = values.amin(0) if metric.higher_is_better else values.amax(0)
    return worst


def _most_spread(
    prediction: Tensor, truth: Tensor, mask: Tensor, unusable: Tensor, limits: Limits
) -> Tensor:
    """Which unusable pixels to put at the high end so that the log error spreads most.

    The variance is convex in each pixel's error, so it is greatest with every unusable pixel at an
    end of the limits; and with k of them at the high end, greatest if those have the k smallest
    ground truths. So the n + 1 divisions of the n pixels are tried, and one of them is the best.

    Returns:
        (1, H, W) bool, as `mask`.
    """
    usable = mask & ~unusable
    known = prediction[usable].double().log() - truth[usable].double().log()
    logs, order = truth[unusable].double().log().sort()
    low, high = torch.tensor(limits, device=truth.device).double().log()[:, None] - logs
    total, squares = (
        known.pow(power).sum() + _divided(high.pow(power), low.pow(power)) for power in (1, 2)
    )
    count = len(known) + len(logs)
    at_high_end = int((squares / count - (total / count).square()).argmax())
    rises = torch.zeros_like(unusable)
    places = unusable.nonzero()[order[:at_high_end]]
    rises[tuple(places.T)] = True
    return rises


def _divided(first: Tensor, rest: Tensor) -> Tensor:
    """(n + 1,): element k is the sum of the k first of `first` and of all but k of `rest`."""
    zero = first.new_zeros(1)
    return torch.cat([zero, first.cumsum(0)]) + rest.sum() - torch.cat([zero, rest.cumsum(0)])
