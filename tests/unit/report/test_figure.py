from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench import pictures
from bench.plan import Plan
from bench.plugins import build_registry
from bench.report.figure import COLOURS, write_figure
from bench.runner import Options, plan_suite

SUITE = """
suite: shown
dataset: {name: rooms, images: 1, test_images: 2, height: 48, width: 64}
protocols: [full]
methods:
  - {name: constant-depth, label: "Near & <b>", params: {depth: 1.0}}
  - {name: constant-depth, label: Far, params: {depth: 9.0}}
"""


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    (tmp_path / "shown.yml").write_text(SUITE)
    return plan_suite(tmp_path / "shown.yml", build_registry(), Options(tmp_path / "records"))


def keep(plan: Plan, index: int, value: float) -> None:
    ids = pictures.chosen(plan.test.ids)
    key = plan.cells[index].keys.cell
    pictures.keep(key, {name: np.full((2, 2), value, np.float32) for name in ids})


def colours_of(path: Path) -> set[tuple[int, ...]]:
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB")).reshape(-1, 3)
    values, counts = np.unique(pixels, axis=0, return_counts=True)
    return {tuple(int(part) for part in value) for value in values[counts > 500]}


def height_of(path: Path) -> int:
    with Image.open(path) as image:
        return image.height


def test_no_pictures_no_figure(plan: Plan, tmp_path: Path) -> None:
    assert write_figure(plan, tmp_path) is None
    assert not (tmp_path / "figures").exists()


def test_near_and_far_have_the_ends_of_one_colour_scale(plan: Plan, tmp_path: Path) -> None:
    import matplotlib

    keep(plan, 0, 0.2)
    keep(plan, 1, 9.0)
    path = write_figure(plan, tmp_path)
    assert path == tmp_path / "figures" / "shown.png"
    scale = matplotlib.colormaps[COLOURS]
    near, far = (tuple(map(int, scale(end, bytes=True)[:3])) for end in (0.0, 1.0))
    assert {near, far} <= colours_of(path)


def test_a_cell_made_elsewhere_is_left_out(plan: Plan, tmp_path: Path) -> None:
    keep(plan, 0, 1.0)
    short = write_figure(plan, tmp_path)
    assert short is not None
    height = height_of(short)
    keep(plan, 1, 1.0)
    tall = write_figure(plan, tmp_path)
    assert tall is not None
    assert height_of(tall) > height


def test_predictions_that_are_no_numbers_are_drawn_as_missing(plan: Plan, tmp_path: Path) -> None:
    for index, value in enumerate((np.nan, np.inf)):
        keep(plan, index, value)
    path = write_figure(plan, tmp_path)
    assert path is not None
    assert (0xD8, 0xD8, 0xD8) in colours_of(path)
