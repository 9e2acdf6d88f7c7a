"""A suite's qualitative figure: a few test images, what is true, and what each method says.

Columns are test images; rows are the image, its segments where the data has them, the ground truth
and every cell of the suite. All depth is in metres on one colour scale with one bar.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bench import pictures
from bench.report.markdown import FIGURES
from bench.report.text import clean
from bench.store import write_atomically
from bench.types import Sample, Window

if TYPE_CHECKING:
    from bench.plan import Cell, Plan

CELL_INCHES = 1.7
DPI = 110
COLOURS = "viridis_r"  # perceptually even, and read alike by the colour-blind; near is dark
MISSING = "#d8d8d8"

Image = npt.NDArray[np.float32]


def write_figure(plan: Plan, out: Path) -> Path | None:
    """Draw the figure of a suite into ``out/figures/SUITE.png``.

    Cells without kept pictures (made on another machine, or failed) are left out, and so are
    methods whose numbers are not metres: they would have no place on the scale.

    Args:
        plan: The suite's plan.
        out: The leaderboard's folder.

    Returns:
        The file; None where no cell has pictures.
    """
    metric = [cell for cell in plan.cells if cell.output == "metric"]
    held = [(cell, pictures.recall(cell.keys.cell)) for cell in metric]
    shown = [(cell, kept) for cell, kept in held if kept]
    if not shown:
        return None
    ids = [image_id for image_id in pictures.chosen(plan.test.ids) if image_id in shown[0][1]]
    samples = [plan.test.dataset.read(image_id, plan.test.variant) for image_id in ids]
    path = out / FIGURES / f"{plan.suite.name}.png"
    write_atomically(path, _draw(plan, samples, shown))
    return path


def _draw(
    plan: Plan, samples: Sequence[Sample], shown: Sequence[tuple[Cell, pictures.Pictures]]
) -> bytes:
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    view = plan.suite.protocols[0].at(*samples[0].depth.shape).view
    bands = _truths(samples, view)
    labels = [cell.spec.label for cell, _ in shown]
    bands += [
        (_name(cell, labels), [_on_view(kept.get(sample.id), view) for sample in samples])
        for cell, kept in shown
    ]
    height = CELL_INCHES * view.height / view.width
    figure = Figure(
        figsize=(CELL_INCHES * len(samples) + 2.6, height * len(bands) + 0.6),
        dpi=DPI,
        layout=ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.03),
    )
    axes: Any = figure.subplots(len(bands), len(samples), squeeze=False)
    scale = _scale(bands)
    for row, (title, panels) in zip(axes, bands, strict=True):
        for axis, panel in zip(row, panels, strict=True):
            axis.set(xticks=[], yticks=[], frame_on=False)
            if panel is not None:
                _show(axis, panel, scale)
        row[0].set_ylabel(
            _wrapped(title), fontsize=8, rotation=0, ha="right", va="center", labelpad=6
        )
    _bar(figure, axes, scale)
    figure.suptitle(_caption(plan), fontsize=8)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _name(cell: Cell, labels: Sequence[str]) -> str:
    """The label; with the seed only where several seeds are shown."""
    return clean(cell.spec.label if labels.count(cell.spec.label) == 1 else cell.label)


def _show(axis: Any, panel: Image, scale: tuple[float, float]) -> None:
    if panel.ndim == 3:
        axis.imshow(panel, interpolation="nearest")
        return
    depth = np.ma.masked_less_equal(panel, 0)
    limits = dict(zip(("vmin", "vmax"), scale, strict=True))
    axis.imshow(depth, cmap=_colours(), interpolation="nearest", **limits)


def _bar(figure: Any, axes: Any, scale: tuple[float, float]) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    shades = ScalarMappable(Normalize(*scale), _colours())
    figure.colorbar(
        shades, ax=axes.ravel().tolist(), label="depth (m)", pad=0.02, shrink=0.6, aspect=40
    )


def _colours() -> Any:
    import matplotlib

    return matplotlib.colormaps[COLOURS].with_extremes(bad=MISSING)


def _truths(samples: Sequence[Sample], view: Window) -> list[tuple[str, list[Any]]]:
    cut = (view.rows, view.columns)
    columns: list[tuple[str, list[Any]]] = [
        ("image", [np.moveaxis(sample.image, 0, -1)[cut] for sample in samples])
    ]
    if all(sample.segments is not None for sample in samples):
        columns.append(("segments", [_painted(sample)[cut] for sample in samples]))
    columns.append(("ground truth", [sample.depth[cut] for sample in samples]))
    return columns


def _painted(sample: Sample) -> Image:
    import torch

    from bench.encoders.painting import paint

    assert sample.segments is not None
    image = torch.from_numpy(sample.image).float()[None] / 255
    labels = torch.from_numpy(sample.segments).long()[None, None]
    painted: Image = paint(image, labels, "blend")[0].permute(1, 2, 0).numpy()
    return painted


def _on_view(raw: Image | None, view: Window) -> Image | None:
    """A raw prediction resized bilinearly to the view's pixels, as protocols do."""
    if raw is None:
        return None
    import torch
    import torch.nn.functional as F

    grid = torch.from_numpy(raw)[None, None]
    size = (view.height, view.width)
    resized: Image = F.interpolate(grid, size, mode="bilinear", align_corners=True)[0, 0].numpy()
    return np.nan_to_num(resized, nan=0.0, posinf=0.0, neginf=0.0)


def _scale(columns: Sequence[tuple[str, list[Any]]]) -> tuple[float, float]:
    """The range of the ground truth: what a method says beyond it saturates."""
    truth = next(panels for title, panels in columns if title == "ground truth")
    values = np.concatenate([panel[panel > 0] for panel in truth])
    if not len(values):
        return 0.0, 10.0
    low, high = np.percentile(values, [1, 99])
    return float(low), float(max(high, low + 0.1))


def _wrapped(title: str) -> str:
    import textwrap

    return "\n".join(textwrap.wrap(title, 20)[:4])


def _caption(plan: Plan) -> str:
    data = plan.test.dataset
    kind = "synthetic, ranks nothing" if data.synthetic else plan.test.variant + " ground truth"
    random = any(item.origin == "random-init" for cell in plan.cells for item in cell.weights)
    note = "; weights random-init" if random else ""
    return f"{plan.suite.name} on {data.name} ({kind}){note}; grey: no ground truth"
