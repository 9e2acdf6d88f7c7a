from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from bench.records import Record
from bench.report.markdown import write_leaderboard
from bench.report.ranks import with_ranks
from bench.report.tables import Ranks, build
from bench.store import cache_root
from tests.unit.report.making import (
    METRICS,
    REGISTRY,
    make_record,
    write_records,
    write_values,
)

EASY = np.random.default_rng(0).lognormal(-1, 0.3, 60)
NOISE = np.random.default_rng(1).normal(0, 0.02, (4, 60))


def put(folder: Path, label: str, values: np.ndarray, **changes: object) -> Record:
    metrics = {"abs_rel": float(np.nanmean(values))}
    options = {"params": {"p": label}, "metrics": metrics, **changes}
    record = make_record(label, **options)  # type: ignore[arg-type]
    return write_values(folder, record, {"abs_rel": list(values)})


def ranks(folder: Path, *records: Record) -> Ranks | None:
    board = with_ranks(build(records, METRICS), folder)
    return board.groups[0].tables[0].ranks


def test_rows_that_tie_share_a_rank(tmp_path: Path) -> None:
    found = ranks(
        tmp_path,
        put(tmp_path, "Far", EASY + 0.5),
        put(tmp_path, "Best", EASY),
        put(tmp_path, "Near", EASY + NOISE[0] - NOISE[0].mean() + 0.0001),
    )
    assert found == Ranks({0: (1, 2), 1: (1, 2), 2: (3, 3)})


def test_seeds_are_averaged_image_by_image(tmp_path: Path) -> None:
    # Each seed alone is noise of ±1 about the same values; together they are exactly above.
    swing = np.where(np.arange(60) % 2, 1.0, -1.0)
    seeds = [
        put(tmp_path, "Seeds", EASY + 0.05 + side * swing, params={}, seed=seed)
        for seed, side in enumerate((1, -1))
    ]
    assert ranks(tmp_path, put(tmp_path, "One", EASY), *seeds) == Ranks({0: (1, 1), 1: (2, 2)})


def test_nan_rows_and_epochs_chosen_on_test_have_no_rank(tmp_path: Path) -> None:
    found = ranks(
        tmp_path,
        put(tmp_path, "A", EASY + 0.1),
        put(tmp_path, "B", EASY + 0.3),
        put(tmp_path, "Chosen", EASY, selection="study"),
        put(tmp_path, "Broken", EASY, metrics={"abs_rel": math.nan}),
    )
    assert found == Ranks({1: (1, 1), 2: (2, 2)})


def test_why_there_are_no_ranks_is_said(tmp_path: Path) -> None:
    a, b = put(tmp_path, "A", EASY), put(tmp_path, "B", EASY + 1)
    assert ranks(tmp_path, a) is None
    (tmp_path / f"{b.id}.parquet").write_bytes(b"broken")
    assert ranks(tmp_path, a, b) == Ranks(why_not="the per-image values of a row cannot be read")
    (tmp_path / f"{b.id}.parquet").unlink()
    found = ranks(tmp_path, a, b)
    assert found == Ranks(why_not="the per-image values of 1 row are not there")
    (page,) = write_leaderboard(tmp_path, tmp_path, REGISTRY)
    text = page.read_text(encoding="utf-8")
    assert "Ranks not computed: the per-image values of 1 row are not there." in text
    assert "| Rank" not in text


def test_rows_scored_on_other_images_are_not_ranked(tmp_path: Path) -> None:
    a = put(tmp_path, "A", EASY)
    gap = EASY + 0.5
    gap[3] = math.nan
    b = put(tmp_path, "B", gap)
    assert ranks(tmp_path, a, b) == Ranks(why_not="the rows were not scored on the same images")
    c = write_values(
        tmp_path,
        make_record("C", params={"p": "c"}),
        {"abs_rel": list(EASY)},
        ids=[f"other{image}" for image in range(60)],
    )
    assert ranks(tmp_path, a, c) == Ranks(why_not="the rows were not scored on the same images")


def test_images_nobody_was_scored_on_do_not_count(tmp_path: Path) -> None:
    values = EASY.copy()
    values[:2] = math.nan
    found = ranks(tmp_path, put(tmp_path, "A", values), put(tmp_path, "B", values + 0.5))
    assert found == Ranks({0: (1, 1), 1: (2, 2)})


def test_ranks_are_remembered_until_the_values_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = put(tmp_path, "A", EASY), put(tmp_path, "B", EASY + 0.5)
    first = ranks(tmp_path, a, b)

    def unreadable(*_: object) -> None:
        raise AssertionError("read again")

    with monkeypatch.context() as patched:
        patched.setattr("bench.report.ranks.image_values", unreadable)
        assert ranks(tmp_path, a, b) == first
    write_values(tmp_path, b, {"abs_rel": [*EASY[:59], EASY[59] + 0.001]})
    assert ranks(tmp_path, a, b) == Ranks({0: (1, 2), 1: (1, 2)})
    for memo in (cache_root() / "ranks").iterdir():
        memo.write_text("[[1], 2]")
    assert ranks(tmp_path, a, b) == Ranks({0: (1, 2), 1: (1, 2)})


def test_intervals_stand_beside_the_primary_metric(tmp_path: Path) -> None:
    records = [
        make_record("One", params={"p": 1}, ci95={"abs_rel": (0.31, 0.392)}, clusters=218),
        make_record("Two", params={"p": 2}, seed=1, ci95={"abs_rel": (0.30, 0.40)}),
        make_record("Two", params={"p": 2}, seed=2, ci95={"abs_rel": (0.32, 0.44)}),
        make_record("Older", params={"p": 3}),
    ]
    (page,) = write_leaderboard(write_records(tmp_path, *records), tmp_path, REGISTRY)
    lines = page.read_text(encoding="utf-8").splitlines()
    assert "0.310 to 0.392" in next(line for line in lines if line.startswith("| One"))
    assert "0.310 to 0.420" in next(line for line in lines if line.startswith("| Two"))
    assert " to " not in next(line for line in lines if line.startswith("| Older"))
    assert any("studentised bootstrap over 218 scenes; over seeds" in line for line in lines)
