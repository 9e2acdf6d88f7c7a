"""Where a method fails, as records keep it."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from bench.breakdown import breakdown
from bench.cli import main
from bench.evaluate import Evaluation
from bench.metrics.breakdown import REGIONS
from bench.records import Breakdown, load_records, per_image_values


def evaluation(
    abs_rel: list[float], types: list[str | None], metrics: tuple[str, ...] = ("abs_rel", "delta1")
) -> Evaluation:
    columns = {"abs_rel": abs_rel, "delta1": [0.5] * len(abs_rel)}
    return Evaluation(
        values={"full": {name: columns[name] for name in metrics}},
        images=[
            {"id": f"{index:02d}", "scene": None, "scene_type": kind}
            for index, kind in enumerate(types)
        ],
        breakdown={"full": torch.zeros(REGIONS, 3, dtype=torch.float64)},
    )


def test_worst_and_best_images_and_what_is_no_number_is_worst() -> None:
    values = [0.3, math.nan, 0.1, 9.0, 0.2, 0.4, math.nan]
    found = breakdown(evaluation(values, [None] * 7), "full", [True] * 6 + [False])
    assert [item.id for item in found.worst] == ["01", "03", "05"]
    assert [item.id for item in found.best] == ["02", "04", "00"]
    assert found.scene_types == []


def test_scene_types_are_means_over_their_images_with_ground_truth() -> None:
    types = ["office", "kitchen", None, "kitchen", "kitchen"]
    found = breakdown(
        evaluation([1.0, 2.0, 3.0, 5.0, math.nan], types), "full", [True] * 4 + [False]
    )
    shown = [(item.scene_type, item.images, item.abs_rel) for item in found.scene_types]
    assert shown == [("kitchen", 2, 3.5), (None, 1, 3.0), ("office", 1, 1.0)]


def test_regions_without_pixels_have_no_figure() -> None:
    found = breakdown(evaluation([1.0], [None]), "full", [True])
    assert {(item.pixels, item.abs_rel, item.delta1) for item in found.depth} == {(0, None, None)}
    assert [item.high for item in found.depth] == [1, 2, 3, 4, 6, 10, None]


def test_a_suite_without_these_metrics_still_has_depth_bins() -> None:
    found = breakdown(evaluation([1.0], ["office"], metrics=()), "full", [True])
    assert (found.worst, found.scene_types) == ([], [])
    assert len(found.depth) == 7


def test_a_run_keeps_it_and_it_agrees_with_the_scores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("s.yml").write_text(
        "suite: s\n"
        "dataset: {name: rooms, images: 1, test_images: 3, height: 48, width: 64}\n"
        "protocols: [full]\n"
        "methods: [{name: constant-depth}]\n"
    )
    assert main(["run", "s.yml"]) == 0
    [record] = load_records("leaderboard/records")
    found = record.scores[0].breakdown
    frame = per_image_values(record, Path("leaderboard/records"))
    assert frame is not None
    assert found.near_edges is not None
    assert found.flat is not None
    assert found.near_edges.pixels > 0
    assert sum(item.pixels for item in found.depth) == found.flat.pixels + found.near_edges.pixels
    worst = frame.sort_values("abs_rel")["id"].tolist()[::-1]
    assert [item.id for item in found.worst] == worst
    images = sum(item.images for item in found.scene_types)
    total = sum(item.images * item.abs_rel for item in found.scene_types)
    assert total / images == pytest.approx(record.scores[0].metrics["abs_rel"].mean)
    assert Breakdown() != found
