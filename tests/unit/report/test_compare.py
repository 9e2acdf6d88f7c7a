from __future__ import annotations

import io
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from bench.cli import main
from bench.errors import BenchError, RecordError, UnknownNameError
from bench.records import Record
from bench.report.compare import RecordComparison, compare_records, print_comparison
from tests.unit.report.making import METRICS, make_protocol, make_record, write_values

IMAGES = 40
EASY = np.random.default_rng(0).lognormal(-1, 0.3, IMAGES)


def two(
    folder: Path,
    a: dict[str, Sequence[float]],
    b: dict[str, Sequence[float]],
    *,
    scenes: Sequence[str | None] | None = None,
    ids: tuple[Sequence[str] | None, Sequence[str] | None] = (None, None),
    changes: dict[str, Any] | None = None,
) -> tuple[str, str]:
    """Two records with per-image values; `changes` are the second's."""
    made = []
    for label, values, own, more in (("Ours", a, ids[0], {}), ("Theirs", b, ids[1], changes or {})):
        means = {name: float(np.nanmean(column)) for name, column in values.items()}
        record = make_record(label, params={"p": label}, **{"metrics": means, **more})
        made.append(write_values(folder, record, values, scenes=scenes, ids=own).id)
    return made[0], made[1]


def found(folder: Path, ids: tuple[str, str], **options: Any) -> RecordComparison:
    return compare_records(folder, ids, METRICS, **options)


def text_of(comparison: RecordComparison) -> str:
    console = Console(file=io.StringIO(), width=60, force_terminal=False)
    print_comparison(console, comparison)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_clear_winner_is_named_with_size_and_certainty(tmp_path: Path) -> None:
    ids = two(tmp_path, {"abs_rel": EASY, "rmse": EASY}, {"abs_rel": EASY + 0.1, "rmse": EASY})
    comparison = found(tmp_path, ids)
    out = text_of(comparison)
    assert "A  Ours" in out
    assert ids[1] in out
    assert "A is better than B on abs_rel: 0.1000 lower (Holm-adjusted p < 0.0001)" in out
    assert "of 2 metrics A is significantly better in 1, B in 0." in out
    assert "Holm's method for the metrics of the table" in out
    (protocol,) = comparison.protocols
    abs_rel, rmse = protocol.metrics
    assert abs_rel.result.difference == pytest.approx(-0.1, abs=1e-6)
    assert abs_rel.result.a_better == 1
    assert rmse.result.difference == 0
    assert rmse.p_holm == 1
    assert (protocol.images, protocol.clusters) == (IMAGES, IMAGES)


def test_more_metrics_ask_for_more_certainty(tmp_path: Path) -> None:
    names = ["rmse", "abs_rel", "log10"]
    shift = 0.05 * np.where(np.arange(IMAGES) < 27, 1.0, -1.0)  # p near 0.04 by itself
    ids = two(tmp_path, dict.fromkeys(names, EASY), dict.fromkeys(names, EASY + shift))
    (alone,) = found(tmp_path, ids, metrics=["rmse"]).protocols[0].metrics
    together = found(tmp_path, ids).protocols[0].metrics
    assert alone.result.test.p_value == alone.p_holm < 0.05
    assert alone.verdict == 1
    assert [item.p_holm for item in together] == [pytest.approx(3 * alone.p_holm)] * 3
    assert [item.verdict for item in together] == [0, 0, 0]
    assert "A is better than B on rmse" in text_of(found(tmp_path, ids, metrics=["rmse"]))
    assert " m lower (Holm-adjusted p = 0.0" in text_of(found(tmp_path, ids, metrics=["rmse"]))


def test_the_order_of_the_two_changes_nothing_but_the_signs(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).normal(0.03, 0.05, IMAGES)
    a, b = two(tmp_path, {"delta1": EASY}, {"delta1": EASY + noise})
    one, other = (found(tmp_path, ids).protocols[0].metrics[0] for ids in ((a, b), (b, a)))
    assert one.result.difference == -other.result.difference
    assert one.result.test == other.result.test
    assert one.result.a_better == other.result.b_better
    assert one.verdict == -other.verdict == -1  # delta1: higher is better


def test_what_cannot_be_separated_is_said(tmp_path: Path) -> None:
    noise = np.random.default_rng(2).normal(0, 0.05, IMAGES)
    out = text_of(found(tmp_path, two(tmp_path, {"abs_rel": EASY}, {"abs_rel": EASY + noise})))
    assert "The data cannot separate A and B on abs_rel" in out
    assert "undecided" in out


def test_scenes_stay_whole_and_few_of_them_are_flagged(tmp_path: Path) -> None:
    scenes = [f"kitchen_{image // 10}" for image in range(IMAGES)]
    values = {"abs_rel": EASY}, {"abs_rel": EASY + 0.1}
    out = text_of(found(tmp_path, two(tmp_path, *values, scenes=scenes)))
    assert "40 images of 4 scenes" in out
    assert "no p below 0.12 with 4" in out
    assert "cannot separate" in out


def test_images_are_matched_by_id(tmp_path: Path) -> None:
    ids = [f"i{image}" for image in range(IMAGES)]
    theirs = {"abs_rel": (EASY + 0.1)[::-1][:30]}
    pair = two(tmp_path, {"abs_rel": EASY}, theirs, ids=(ids, ids[::-1][:30]))
    (protocol,) = found(tmp_path, pair).protocols
    assert protocol.images == 30
    assert protocol.metrics[0].result.difference == pytest.approx(-0.1, abs=1e-6)


def test_images_without_ground_truth_are_left_out_of_both(tmp_path: Path) -> None:
    ours, theirs = EASY.copy(), EASY + 0.1
    ours[3] = theirs[3] = math.nan
    (protocol,) = found(tmp_path, two(tmp_path, {"abs_rel": ours}, {"abs_rel": theirs})).protocols
    assert protocol.images == IMAGES - 1
    assert protocol.metrics[0].result.mean_a == pytest.approx(np.nanmean(ours), abs=1e-6)


def test_nan_on_one_side_takes_the_metric_out_and_never_helps(tmp_path: Path) -> None:
    broken = EASY + 0.1
    broken[0] = math.nan
    ids = two(
        tmp_path,
        {"abs_rel": EASY, "rmse": EASY, "log10": EASY},
        {"abs_rel": broken, "rmse": EASY, "log10": EASY},
        changes={"metrics": {"log10": math.nan}},
    )
    comparison = found(tmp_path, ids)
    assert [item.metric.name for item in comparison.protocols[0].metrics] == ["rmse"]
    out = text_of(comparison)
    assert "abs_rel left out: it is not finite for some images of one record only" in out
    assert "log10 left out: it is not finite in B" in out
    with pytest.raises(RecordError, match="nothing to compare under protocol 'nyu-study': abs_rel"):
        found(tmp_path, ids, metrics=["abs_rel"])


def test_the_widest_leads_are_named(tmp_path: Path) -> None:
    theirs = EASY + 0.01
    theirs[[5, 9]] += [0.5, 0.3]
    theirs[7] -= 0.2
    (protocol,) = found(tmp_path, two(tmp_path, {"abs_rel": EASY}, {"abs_rel": theirs})).protocols
    assert [win.image for win in protocol.a_wins][:2] == ["00005", "00009"]
    assert [win.image for win in protocol.b_wins] == ["00007"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dataset": {"name": "rooms"}}, "data set is 'nyu-v2' in one, 'rooms' in the other"),
        ({"dataset": {"split": "val"}}, "split is 'test' in one, 'val' in the other"),
        (
            {"dataset": {"depth": {"train": "raw", "test": "filled"}}},
            "test depth is 'raw' in one, 'filled' in the other",
        ),
        ({"dataset": {"fingerprint": "e" * 64}}, "data fingerprint is 'd1d1d1d1d1d1' in one"),
        (
            {"protocols": (make_protocol("nyu-study", flip=False),)},
            "the settings of protocol 'nyu-study' have hash",
        ),
        (
            {"protocols": (make_protocol("full"),)},
            "no protocol in common: nyu-study in one, full in the other",
        ),
    ],
)
def test_what_is_not_comparable_is_refused_with_what_differs(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    ids = two(tmp_path, {"abs_rel": EASY}, {"abs_rel": EASY}, changes=changes)
    with pytest.raises(RecordError) as caught:
        found(tmp_path, ids)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_failed_records_missing_values_and_unknown_names_are_refused(tmp_path: Path) -> None:
    a, b = two(tmp_path, {"abs_rel": EASY}, {"abs_rel": EASY})
    failed = make_record("Failed", params={"p": 1}, error="out of memory")
    (tmp_path / f"{failed.id}.json").write_text(json.dumps(failed.model_dump(mode="json")))
    with pytest.raises(RecordError, match="failed: it has no scores"):
        found(tmp_path, (a, failed.id))
    with pytest.raises(UnknownNameError, match="unknown metric 'abs_re'; did you mean 'abs_rel'"):
        found(tmp_path, (a, b), metrics=["abs_re"])
    with pytest.raises(RecordError, match="has no protocol 'nyu-stud'; did you mean 'nyu-study'"):
        found(tmp_path, (a, b), protocol="nyu-stud")
    with pytest.raises(RecordError, match="rmse: A does not have it"):
        found(tmp_path, (a, b), metrics=["rmse"])
    (tmp_path / f"{b}.parquet").write_bytes(b"not parquet")
    with pytest.raises(RecordError, match="cannot read per-image values"):
        found(tmp_path, (a, b))
    (tmp_path / f"{b}.parquet").unlink()
    with pytest.raises(RecordError, match="has no per-image values"):
        found(tmp_path, (a, b))


def test_other_images_altogether_are_refused(tmp_path: Path) -> None:
    values = {"abs_rel": EASY}
    names = [[f"{side}{image}" for image in range(IMAGES)] for side in "ab"]
    with pytest.raises(BenchError, match="no test image in common"):
        found(tmp_path, two(tmp_path, values, values, ids=(names[0], names[1])))


def test_the_command_prints_json_that_stays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    both = make_protocol(), make_protocol("full")
    values = {"abs_rel": EASY}, {"abs_rel": EASY + 0.1}
    records: list[Record] = []
    for label, column in zip(("Ours", "Theirs"), values, strict=True):
        record = make_record(label, params={"p": label}, protocols=both)
        records.append(write_values(tmp_path, record, column))
    a, b = (record.id for record in records)
    arguments = ["compare", a[:10], b[:10], "--records", str(tmp_path)]
    assert main([*arguments, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert list(told) == ["a", "b", "dataset", "alpha", "protocols", "how"]
    assert [item["protocol"] for item in told["protocols"]] == ["nyu-study", "full"]
    assert list(told["protocols"][0]["metrics"][0]) == [
        "metric",
        "higher_is_better",
        "a",
        "b",
        "difference",
        "ci95",
        "p",
        "p_exact",
        "p_holm",
        "effect_size",
        "a_better",
        "b_better",
        "verdict",
    ]
    assert told["protocols"][0]["metrics"][0]["verdict"] == "A"
    assert main([*arguments, "--protocol", "full"]) == 0
    out = capsys.readouterr().out
    assert "protocol full v1" in out
    assert "nyu-study" not in out
    assert main(["compare", a, "nothing", "--records", str(tmp_path)]) == 2
    assert "no record 'nothing'" in capsys.readouterr().err
