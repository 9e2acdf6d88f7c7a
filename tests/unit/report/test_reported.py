from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from bench.records import Record
from bench.report.reported import Difference, reported_results
from bench.report.tables import build
from tests.unit.report.making import (
    METRICS,
    OPENAI,
    RANDOM_INIT,
    make_protocol,
    make_record,
)

GIVEN = Path(__file__).parents[3].parent / "shared" / "reported_results.yml"


def differences(record: Record) -> list[Difference]:
    (group,) = build([record], METRICS).groups
    (table,) = group.tables
    return list(reported_results().differences(group, table))


def msa(**params: Any) -> Record:
    return make_record(
        "MSA", method="msa", params=params, supervision="depth", seed=1, weights=OPENAI
    )


def test_the_difference_is_measured_minus_reported() -> None:
    (found,) = differences(make_record(weights=OPENAI, metrics={"delta1": 0.401, "rmse": 1.2}))
    assert found.reported.label == "DepthCLIP"
    assert found.values["delta1"] == pytest.approx(0.401 - 0.394)
    assert found.values["rmse"] == pytest.approx(1.2 - 1.167)
    assert "silog" not in found.values


@pytest.mark.parametrize(
    "unlike",
    [
        {"weights": RANDOM_INIT},
        {"weights": OPENAI + RANDOM_INIT},
        {"dataset": {"test_images": 653}},
        {"dataset": {"test_images": 9, "of": 9}},
        {"dataset": {"depth": {"train": "filled", "test": "filled"}}},
        {"dataset": {"name": "rooms"}},
        {"protocols": (make_protocol("nyu-eigen"),)},
        {"protocols": (make_protocol("nyu-study-scaled"),)},
        {"params": {"encoder": "ViT-B-16"}},
        {"params": {"something": "else"}},
        {"supervision": "depth"},
        {"method": "my-depthclip"},
    ],
)
def test_only_like_is_compared(unlike: dict[str, Any]) -> None:
    assert differences(make_record(**{"weights": OPENAI, **unlike})) == []


@pytest.mark.parametrize(
    ("clip_weight", "segments", "loss", "abs_rel"),
    [
        (0, "none", "l1", 0.255),
        (0, "sam", "l1", 0.254),
        (1, "none", "l1", 0.379),
        (1.0, "sam", "l2", 0.394),
        (0.0, "none", "l2", 0.308),
    ],
)
def test_ablation_rows_are_found_by_their_switches(
    clip_weight: float, segments: str, loss: str, abs_rel: float
) -> None:
    (found,) = differences(msa(clip_weight=clip_weight, segments=segments, loss=loss))
    assert found.reported.metrics["abs_rel"] == abs_rel


@pytest.mark.skipif(not GIVEN.is_file(), reason="the given figures are not beside the checkout")
def test_every_figure_is_as_given() -> None:
    given = yaml.safe_load(GIVEN.read_text(encoding="utf-8"))
    names = ("delta1", "delta2", "delta3", "abs_rel", "log10", "rmse")
    tables = reported_results().tables
    assert [len(table.rows) for table in tables] == [10, 12]
    for table, rows in zip(tables, (given["quantitative"], given["ablation"]), strict=True):
        for row, source in zip(table.rows, rows, strict=True):
            expected = dict(zip(names, source["values"], strict=True))
            expected["rmse_log"] = source.get("rmse_log")
            assert row.metrics == {k: v for k, v in expected.items() if v is not None}, row.label
            assert row.quoted == source.get("quoted", False)
            if "supervision" in source:
                assert (row.supervision, row.pretraining) == (
                    source["supervision"],
                    source["pretraining"],
                )
            else:
                assert row.matches is not None
                params = row.matches.params
                assert params["clip_weight"] == int(source["clip"])
                assert params["segments"] == ("sam" if source["sam"] else "none")
                loss = source["loss"].removeprefix("depth-")
                assert params.get("loss", "self-supervised") == loss
