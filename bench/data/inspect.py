"""What a data set holds, for ``bench data inspect``: counted by reading every image once a variant.

Nothing is kept but counts: depth goes into a histogram of 1 mm, from which the median comes.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.data.base import Dataset
from bench.types import DepthVariant, Sample

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_BINS_PER_METRE = 1000
_HISTOGRAM_METRES = 100
_REPORT_EVERY = 100
_TYPES_SHOWN = 10


@dataclass(frozen=True)
class DepthSummary:
    """The depth of a split in one variant.

    Attributes:
        variant: Raw or filled.
        minimum: Smallest valid depth in metres; None where no pixel is valid.
        median: Median of the valid depth in metres, to 1 mm; depths over 100 m count as 100 m.
        maximum: Largest valid depth in metres.
        hole_share: Share of all pixels without depth, 0 to 1.
        empty_images: Images without a single valid pixel.
    """

    variant: DepthVariant
    minimum: float | None
    median: float | None
    maximum: float | None
    hole_share: float
    empty_images: int


@dataclass(frozen=True)
class SplitSummary:
    """One split.

    Attributes:
        name: The split's name.
        images: Images in the split.
        read: Images read for this summary; fewer than `images` under a limit.
        sizes: Images by size, ``"480×640"`` (rows × columns).
        depth: One entry a variant the data set holds.
        scenes: Different places; 0 where the data does not say.
        scene_types: Images by kind of place, the most frequent first.
        with_instances: Images with object instances.
        with_intrinsics: Images with a camera matrix.
    """

    name: str
    images: int
    read: int
    sizes: dict[str, int]
    depth: tuple[DepthSummary, ...]
    scenes: int
    scene_types: dict[str, int]
    with_instances: int
    with_intrinsics: int


@dataclass(frozen=True)
class Summary:
    """A data set.

    Attributes:
        name: What suites call it.
        synthetic: No camera took these images.
        fingerprint: SHA-256 of the content.
        variants: The depth variants it holds.
        splits: One entry a split.
    """

    name: str
    synthetic: bool
    fingerprint: str
    variants: tuple[DepthVariant, ...]
    splits: tuple[SplitSummary, ...]

    def as_json(self) -> dict[str, Any]:
        """The same as plain lists and dicts, keys as the attributes."""
        return dataclasses.asdict(self)


def inspect(
    dataset: Dataset, report: Callable[[str], None] | None = None, *, limit: int | None = None
) -> Summary:
    """Read a data set through and describe it.

    Args:
        dataset: What to read.
        report: Called with a line of progress now and then.
        limit: Read only the first `limit` images of each split.

    Raises:
        DataError: The data set, or an image of it, cannot be read.
    """
    variants = dataset.variants()
    return Summary(
        name=dataset.name,
        synthetic=dataset.synthetic,
        fingerprint=dataset.fingerprint(),
        variants=variants,
        splits=tuple(
            _inspect_split(dataset, split, ids, variants, limit, report or _silent)
            for split, ids in dataset.splits().items()
        ),
    )


def _silent(line: str) -> None:
    pass


def _inspect_split(
    dataset: Dataset,
    split: str,
    ids: Sequence[str],
    variants: Sequence[DepthVariant],
    limit: int | None,
    report: Callable[[str], None],
) -> SplitSummary:
    chosen = ids[:limit]
    depths = {variant: _DepthCounts() for variant in variants}
    sizes: Counter[str] = Counter()
    scenes: set[str] = set()
    types: Counter[str] = Counter()
    instances = intrinsics = 0
    for number, image_id in enumerate(chosen, start=1):
        sample: Sample | None = None
        for variant, counts in depths.items():
            sample = dataset.read(image_id, variant)
            counts.add(sample)
        assert sample is not None, "a data set holds at least one depth variant"
        sizes[f"{sample.depth.shape[0]}×{sample.depth.shape[1]}"] += 1
        scenes.update([sample.scene] if sample.scene else [])
        types.update([sample.scene_type] if sample.scene_type else [])
        instances += sample.segments is not None and bool(sample.segments.any())
        intrinsics += sample.intrinsics is not None
        if number % _REPORT_EVERY == 0 and number < len(chosen):
            report(f"{split}: {number} of {len(chosen)} images read")
    return SplitSummary(
        name=split,
        images=len(ids),
        read=len(chosen),
        sizes=dict(sizes.most_common()),
        depth=tuple(counts.summary(variant) for variant, counts in depths.items()),
        scenes=len(scenes),
        scene_types=dict(types.most_common()),
        with_instances=instances,
        with_intrinsics=intrinsics,
    )


class _DepthCounts:
    """Counts over the depth of many images."""

    def __init__(self) -> None:
        import numpy as np

        self._minimum, self._maximum = float("inf"), 0.0
        self._pixels = self._valid = self._empty = 0
        self._histogram: npt.NDArray[np.int64] = np.zeros(
            _HISTOGRAM_METRES * _BINS_PER_METRE + 1, dtype=np.int64
        )

    def add(self, sample: Sample) -> None:
        import numpy as np

        depth = sample.depth[sample.valid]
        self._pixels += sample.depth.size
        self._valid += depth.size
        self._empty += depth.size == 0
        if depth.size == 0:
            return
        self._minimum = min(self._minimum, float(depth.min()))
        self._maximum = max(self._maximum, float(depth.max()))
        bins = np.rint(depth * _BINS_PER_METRE).astype(np.int64)
        counts = np.bincount(np.minimum(bins, self._histogram.size - 1))
        self._histogram[: counts.size] += counts

    def summary(self, variant: DepthVariant) -> DepthSummary:
        import numpy as np

        median = None
        if self._valid:
            half = (self._valid + 1) // 2
            median = int(np.searchsorted(np.cumsum(self._histogram), half)) / _BINS_PER_METRE
        return DepthSummary(
            variant=variant,
            minimum=self._minimum if self._valid else None,
            median=median,
            maximum=self._maximum if self._valid else None,
            hole_share=1 - self._valid / self._pixels if self._pixels else 0.0,
            empty_images=self._empty,
        )


def render(summary: Summary) -> str:
    """Lay a summary out as text."""
    kind = "synthetic: no camera took these images" if summary.synthetic else "camera images"
    parts = [
        _aligned(
            [
                ("data set", summary.name),
                ("kind", kind),
                ("depth", ", ".join(summary.variants)),
                ("fingerprint", summary.fingerprint),
            ]
        )
    ]
    parts += [_render_split(split) for split in summary.splits]
    return "\n\n".join(parts)


def _render_split(split: SplitSummary) -> str:
    part = "" if split.read == split.images else f" (the first {split.read} read)"
    lines = [
        (f"split {split.name}", f"{split.images} images{part}"),
        ("  size", _counted(split.sizes, split.read)),
        *((f"  depth, {depth.variant}", _depth_line(depth)) for depth in split.depth),
        ("  scenes", str(split.scenes) if split.scenes else "not stated"),
        ("  scene types", _types_line(split.scene_types)),
        ("  instances", _presence(split.with_instances, split.read)),
        ("  camera matrix", _presence(split.with_intrinsics, split.read)),
    ]
    return _aligned(lines)


def _depth_line(depth: DepthSummary) -> str:
    if depth.minimum is None or depth.median is None or depth.maximum is None:
        return "no valid pixel"
    line = (
        f"{depth.minimum:.3f} to {depth.maximum:.3f} m, median {depth.median:.3f} m, "
        f"holes {depth.hole_share:.1%}"
    )
    return f"{line}, {depth.empty_images} images without depth" if depth.empty_images else line


def _types_line(types: dict[str, int]) -> str:
    if not types:
        return "not stated"
    shown = list(types.items())[:_TYPES_SHOWN]
    more = f", {len(types) - len(shown)} more" if len(types) > len(shown) else ""
    return f"{len(types)}: " + ", ".join(f"{name} {count}" for name, count in shown) + more


def _counted(sizes: dict[str, int], images: int) -> str:
    if len(sizes) == 1:
        return next(iter(sizes))
    return ", ".join(f"{size} ({count} of {images})" for size, count in sizes.items())


def _presence(count: int, images: int) -> str:
    return {0: "none", images: "every image"}.get(count, f"{count} of {images} images")


def _aligned(rows: Sequence[tuple[str, str]]) -> str:
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)
