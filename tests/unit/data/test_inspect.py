from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.data.inspect import inspect, render
from bench.data.nyu import NyuParams, NyuV2
from tests.unit.data.making import (
    REAL,
    WITHOUT_REAL,
    arrays_as_published,
    make_folder,
    make_mat,
    metres,
    write_arrays,
)


def data_set(path: Path, splits: Path | None = None, **params: Any) -> NyuV2:
    return NyuV2(NyuParams(path=path, splits=splits, **params))


def test_figures_of_a_small_file(tmp_path: Path) -> None:
    data = data_set(*make_mat(tmp_path, count=6))
    summary = inspect(data)
    assert (summary.name, summary.synthetic) == ("nyu-v2", False)
    assert summary.fingerprint == data.fingerprint()
    assert summary.variants == ("raw", "filled")
    train, test = summary.splits
    assert (train.name, train.images, train.read) == ("train", 4, 4)
    assert train.sizes == {"24×32": 4}
    assert (train.scenes, train.scene_types) == (3, {"kitchen": 3, "office": 1})
    assert (test.scenes, test.scene_types) == (2, {"kitchen": 1, "office": 1})
    assert (test.with_instances, test.with_intrinsics) == (2, 2)
    raw, filled = test.depth
    depth = np.stack([metres(index, 24, 32) for index in (4, 5)]).astype(np.float64)
    assert filled.minimum == pytest.approx(depth.min())
    assert filled.maximum == pytest.approx(depth.max())
    assert filled.median == pytest.approx(np.median(depth), abs=0.02)
    assert filled.hole_share == 0
    assert raw.hole_share == pytest.approx(1 / 8)


def test_median_is_exact_to_a_millimetre(tmp_path: Path) -> None:
    arrays = arrays_as_published(2, 6, 8)
    values = np.random.default_rng(0).uniform(0.5, 9.5, (2, 8, 6)).astype(np.float32)
    arrays["depths"] = values
    _, splits = make_mat(tmp_path, count=2)
    data = data_set(write_arrays(tmp_path / "a.mat", arrays), splits)
    for number, split in enumerate(inspect(data).splits):
        expected = np.quantile(values[number], 0.5, method="inverted_cdf")
        median = split.depth[1].median
        assert median == pytest.approx(float(expected), abs=6e-4)


def test_images_without_depth_are_counted(tmp_path: Path) -> None:
    arrays = arrays_as_published(2, 6, 8)
    arrays["depths"][0] = 0
    _, splits = make_mat(tmp_path, count=2)
    data = data_set(write_arrays(tmp_path / "a.mat", arrays), splits)
    summary = inspect(data)
    empty, full = (split.depth[1] for split in summary.splits)
    assert (empty.minimum, empty.median, empty.hole_share, empty.empty_images) == (None, None, 1, 1)
    assert full.empty_images == 0
    assert "no valid pixel" in render(summary)


def test_limit_and_progress(tmp_path: Path) -> None:
    mat, splits = make_mat(tmp_path, count=240, height=4, width=4)
    lines: list[str] = []
    summary = inspect(data_set(mat, splits), lines.append)
    assert lines == ["train: 100 of 160 images read"]
    lines.clear()
    summary = inspect(data_set(mat, splits), lines.append, limit=3)
    assert [(split.images, split.read) for split in summary.splits] == [(160, 3), (80, 3)]
    assert "160 images (the first 3 read)" in render(summary)


def test_text_says_what_a_user_asks(tmp_path: Path) -> None:
    summary = inspect(data_set(*make_mat(tmp_path)))
    text = render(summary)
    for wanted in (
        "nyu-v2",
        "camera images",
        summary.fingerprint,
        "raw, filled",
        "split train",
        "4 images",
        "24×32",
        "holes 12.5%",
        "2: kitchen 3, office 1",
        "every image",
    ):
        assert wanted in text
    values = [line[17:] for line in text.splitlines() if line.startswith("  ")]
    assert not any(value.startswith(" ") for value in values), "the columns are aligned"


def test_folder_without_scenes_or_instances(tmp_path: Path) -> None:
    summary = inspect(data_set(make_folder(tmp_path), depth="raw"))
    assert summary.variants == ("raw",)
    text = render(summary)
    assert "instances      none" in text
    assert "holes 0.8%" in text


def test_json_is_plain(tmp_path: Path) -> None:
    summary = inspect(data_set(*make_mat(tmp_path)))
    plain = json.loads(json.dumps(summary.as_json()))
    assert plain["splits"][0]["depth"][1]["variant"] == "filled"
    assert plain["fingerprint"] == summary.fingerprint


@pytest.mark.skipif(not REAL.is_dir(), reason=WITHOUT_REAL)
def test_real_subset() -> None:
    data = data_set(REAL / "nyu_real25_labeled.mat", REAL / "splits_real25.mat", depth="filled")
    summary = inspect(data, limit=4)
    text = render(summary)
    assert summary.variants == ("filled",)
    assert "16 images (the first 4 read)" in text
    assert "480×640" in text
    assert all(split.depth[0].hole_share == 0 for split in summary.splits)
