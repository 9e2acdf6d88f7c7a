"""Predict and score: one pass over the test images serves every protocol.

Images are read once; protocols that share a view share its predictions; nothing grows with the
number of images but the per-image values.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from bench.cost import synchronise
from bench.data.base import Subset
from bench.data.batches import sample_batches, to_batch
from bench.errors import MethodError
from bench.keys import CellKeys
from bench.method import Method
from bench.metrics.base import Metric
from bench.metrics.breakdown import regions
from bench.pictures import chosen
from bench.predictions import Passes
from bench.protocols.base import FramedProtocol, Protocol
from bench.protocols.scoring import BatchScores, View, score_batch, views
from bench.training.modes import exact_kernels
from bench.types import Batch, Output, Sample, Window

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd
    from torch import Tensor

BATCH_SIZE = 8


@dataclass
class Evaluation:
    """What came of predicting and scoring the test images under some protocols.

    Attributes:
        protocols: By name, as applied to the frames that were met.
        values: By protocol name, then metric: per-image float64 values in image order.
        counts: By protocol name: non-finite, non-positive, clamped pixels and scored pixels, and
            whether an alignment came to a negative scale.
        breakdown: By protocol name: sums by region over the images (`bench.metrics.breakdown`).
        images: Per image: id, scene, scene type.
        pictures: Raw (h, w) predictions of the pictured images, of the first protocol's view.
        predict_seconds: Wall clock inside the method, all passes.
        predictions: Number of images that went through the method, all passes.
    """

    protocols: dict[str, FramedProtocol] = field(default_factory=dict)
    values: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    counts: dict[str, dict[str, list[int]]] = field(default_factory=dict)
    breakdown: dict[str, Tensor] = field(default_factory=dict)
    images: list[dict[str, str | None]] = field(default_factory=list)
    pictures: dict[str, npt.NDArray[np.float32]] = field(default_factory=dict)
    predict_seconds: float = 0.0
    predictions: int = 0

    def add(self, base: str, scores: BatchScores) -> None:
        """Append the scores of some images under the protocol called `base`."""
        values = self.values.setdefault(base, {})
        for metric, tensor in scores.values.items():
            values.setdefault(metric, []).extend(tensor.tolist())
        counts = self.counts.setdefault(base, {})
        for name in COUNTS:
            counts.setdefault(name, []).extend(getattr(scores, name).tolist())
        if scores.breakdown is not None:
            held = self.breakdown.get(base)
            self.breakdown[base] = scores.breakdown if held is None else held + scores.breakdown

    def picture(self, samples: Sequence[Sample], raw: Tensor, wanted: frozenset[str]) -> None:
        """Keep the raw predictions (B, 1, h, w) of the images that are wanted."""
        for sample, values in zip(samples, raw[:, 0], strict=True):
            if sample.id in wanted:
                self.pictures[sample.id] = values.cpu().numpy()

    def frame(self) -> pd.DataFrame:
        """Per-image values: id, scene, scene_type, protocol, and a float32 column a metric."""
        import pandas as pd

        parts = []
        for base, values in self.values.items():
            part = pd.DataFrame(self.images)
            part["protocol"] = self.protocols[base].name
            for metric, column in values.items():
                part[metric] = np.asarray(column, dtype=np.float32)
            parts.append(part)
        return pd.concat(parts, ignore_index=True)


COUNTS = ("nonfinite", "nonpositive", "clamped", "scored_pixels", "negative_scale")


class Predictor:
    """Where raw predictions come from: kept passes where there are any, else the method."""

    def __init__(self, method: Callable[[], Method], keys: CellKeys, passes: Passes) -> None:
        self._method = method
        self._keys = keys
        self._passes = passes
        self.seconds = 0.0
        self.predictions = 0
        self._chunk = BATCH_SIZE

    def predict(self, samples: Sequence[Sample], window: Window, device: torch.device) -> Tensor:
        """Raw predictions (B, 1, h, w) float32 of one pass."""
        key = self._keys.prediction(window)
        kept = self._passes.kept(key)
        if kept is not None:
            arrays = kept.read([sample.id for sample in samples])
            return torch.from_numpy(np.stack(arrays))[:, None].to(device)
        method = self._method()
        batch = to_batch(samples, window, device, with_depth=False)
        if not self.predictions:
            # Encoders are built on first use; that is not what a prediction costs.
            self._predict(method, split(batch, 1)[0])
            synchronise(device)
        begin = time.perf_counter()
        raw = self._predict(method, batch)
        synchronise(device)
        self.seconds += time.perf_counter() - begin
        self.predictions += len(batch)
        self._passes.append(key, batch.ids, raw)
        return raw

    def _predict(self, method: Method, batch: Batch) -> Tensor:
        """Predict, in smaller batches where the memory asks for it: scores do not depend on it."""
        while True:
            try:
                with torch.inference_mode(), exact_kernels():
                    parts = [checked_predict(method, part) for part in split(batch, self._chunk)]
            except torch.OutOfMemoryError:
                if self._chunk == 1:
                    raise
                self._chunk //= 2
                if batch.image.is_cuda:
                    torch.cuda.empty_cache()
            else:
                return parts[0] if len(parts) == 1 else torch.cat(parts)


class LivePredictor:
    """Predicts with a function; keeps and times nothing."""

    seconds = 0.0
    predictions = 0

    def __init__(self, function: Callable[[Batch], Tensor]) -> None:
        self._function = function

    def predict(self, samples: Sequence[Sample], window: Window, device: torch.device) -> Tensor:
        """Raw predictions (B, 1, h, w) of one pass."""
        return self._function(to_batch(samples, window, device, with_depth=False))


def evaluate(
    predictor: Predictor | LivePredictor,
    test: Subset,
    protocols: Sequence[Protocol],
    metrics: Sequence[Metric],
    device: torch.device,
    report: Callable[[int], None],
    output: Output = "metric",
) -> Evaluation:
    """Predict and score the test images.

    Args:
        predictor: Where raw predictions come from.
        test: The images.
        protocols: What to score under.
        metrics: What to compute.
        device: Where predictions and scores are computed.
        report: Called with the number of images done.
        output: What the predictions' numbers mean.

    Raises:
        MethodError: The method returned something that is no depth map of its input.
    """
    result = Evaluation()
    pictured = frozenset(chosen(test.ids))
    plan = _Framing(protocols)
    for samples in sample_batches(test, BATCH_SIZE):
        target, valid = _ground_truth(samples, device)
        index = _regions(target, valid)
        framed, groups = plan.at(*samples[0].depth.shape)
        result.protocols.update(
            {name: item for name, item in framed.items() if name not in result.protocols}
        )
        for view in groups:
            plain = predictor.predict(samples, view.window, device)
            mirrored = (
                predictor.predict(samples, view.window.mirror(), device) if view.mirrored else None
            )
            if view is groups[0]:
                result.picture(samples, plain, pictured)
            for protocol in view.protocols:
                with torch.inference_mode():
                    scores = score_batch(
                        protocol, plain, mirrored, target, valid, metrics, output, index
                    )
                result.add(protocol.rules.name, scores)
        result.images.extend(
            {"id": item.id, "scene": item.scene, "scene_type": item.scene_type} for item in samples
        )
        report(len(result.images))
    result.predict_seconds = predictor.seconds
    result.predictions = predictor.predictions
    return result


class _Framing:
    """The protocols in pixels, once for each frame size that is met."""

    def __init__(self, protocols: Sequence[Protocol]) -> None:
        self._protocols = protocols
        self._known: dict[tuple[int, int], tuple[Mapping[str, FramedProtocol], list[View]]] = {}

    def at(self, height: int, width: int) -> tuple[Mapping[str, FramedProtocol], list[View]]:
        if (height, width) not in self._known:
            framed = {item.name: item.at(height, width) for item in self._protocols}
            self._known[height, width] = framed, views(list(framed.values()))
        return self._known[height, width]


def _ground_truth(samples: Sequence[Sample], device: torch.device) -> tuple[Tensor, Tensor]:
    depth = torch.from_numpy(np.stack([sample.depth for sample in samples]))[:, None]
    valid = torch.from_numpy(np.stack([sample.valid for sample in samples]))[:, None]
    return depth.to(device), valid.to(device)


def _regions(target: Tensor, valid: Tensor) -> Tensor:
    """The regions of each image's grid (B, H', W'): protocols share them."""
    if target.device.type != "cpu":
        return regions(target[:, 0], valid[:, 0])
    # On a CPU one image at a time: its planes stay in the cache.
    return torch.cat([regions(*planes) for planes in zip(target, valid, strict=True)])


def checked_predict(method: Method, batch: Batch) -> Tensor:
    """Predict, and hold the answer against the contract.

    Returns:
        (B, 1, h, w) float32.

    Raises:
        MethodError: It is not one depth map for each image.
    """
    raw: Any = method.predict(batch)
    wanted = f"({len(batch)}, 1, h, w)"
    if not isinstance(raw, torch.Tensor):
        raise MethodError(
            f"method '{method.name}': predict() returned {type(raw).__name__}; "
            f"return a float tensor {wanted}"
        )
    if raw.ndim != 4 or raw.shape[:2] != (len(batch), 1) or 0 in raw.shape:
        raise MethodError(
            f"method '{method.name}': predict() returned shape {tuple(raw.shape)}; "
            f"return one depth map an image, {wanted}"
        )
    if not raw.is_floating_point():
        raise MethodError(
            f"method '{method.name}': predict() returned {raw.dtype}; return float32 metres"
        )
    return raw.float()


def split(batch: Batch, size: int) -> list[Batch]:
    """Cut a batch into batches of at most `size` images."""
    if len(batch) <= size:
        return [batch]
    cut = range(0, len(batch), size)
    tensors = ("image", "depth", "valid", "segments", "intrinsics")
    parts = []
    for begin in cut:
        piece = slice(begin, begin + size)
        given = {name: getattr(batch, name) for name in tensors}
        taken: dict[str, Any] = {
            name: value if value is None else value[piece] for name, value in given.items()
        }
        parts.append(Batch(window=batch.window, ids=batch.ids[piece], **taken))
    return parts
