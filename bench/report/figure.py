"""A suite's qualitative figure: a few test images, what is true, and what each method says.

Rows are test images; columns are the image, its segments where the data has them, the ground truth
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

    Cells without kept pictures (made on another machine, or failed) are left out.

    Args:
        plan: The suite's plan.
        out: The leaderboard's folder.

    Returns:
        The file; None where no cell has pictures.
    """
    held = [(cell, pictures.recall(cell.keys.cell)) for cell in plan.cells]
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

    view = plan.suite.protocols[0].at(*samples[0].depth.shape).view
    columns = _truths(samples, view)
    columns += [
        (clean(cell.label), [_on_view(kept.get(sample.id), view) for sample in samples])
        for cell, kept in shown
    ]
    height = CELL_INCHES * view.height / view.width
    figure = Figure(
        figsize=(CELL_INCHES * len(columns) + 0.9, height * len(samples) + 0.75),
        dpi=DPI,
        layout="constrained",
    )
    axes: Any = figure.subplots(len(samples), len(columns), squeeze=False)
    scale = _scale(columns)
    drawn = None
    for place, (title, panels) in enumerate(columns):
        axes[0][place].set_title(_wrapped(title), fontsize=7)
        for row, panel in enumerate(panels):
            axis = axes[row][place]
            axis.set_axis_off()
            if panel is None:
                continue
            if panel.ndim == 3:
                axis.imshow(panel, interpolation="nearest")
                continue
            drawn = axis.imshow(
                np.ma.masked_less_equal(panel, 0),
                cmap=_colours(),
                vmin=scale[0],
                vmax=scale[1],
                interpolation="nearest",
            )
    if drawn is not None:
        figure.colorbar(drawn, ax=axes.ravel().tolist(), label="depth (m)", shrink=0.8, pad=0.01)
    figure.suptitle(_caption(plan), fontsize=8)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


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

    return "\n".join(textwrap.wrap(title, 22)[:3])


def _caption(plan: Plan) -> str:
    data = plan.test.dataset
    kind = "synthetic, ranks nothing" if data.synthetic else plan.test.variant + " ground truth"
    random = any(item.origin == "random-init" for cell in plan.cells for item in cell.weights)
    note = "; weights random-init" if random else ""
    return f"{plan.suite.name} on {data.name} ({kind}){note}; grey: no ground truth"
