from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bench import records
from bench.cli import main
from bench.errors import RecordError

RECORD: dict[str, Any] = {
    "status": "ok",
    "suite": "s",
    "label": "Constant",
    "keys": {"fit": "f" * 64, "cell": "c" * 64, "identity": "i" * 64},
    "method": {
        "name": "constant-depth",
        "params": {"depth": 2.5},
        "plugin": "baselines",
        "version": "0.1.0",
        "code_sha256": "0" * 64,
        "output": "metric",
        "supervision": "none",
    },
    "dataset": {
        "name": "rooms",
        "split": "test",
        "depth": {"train": "filled", "test": "raw"},
        "fingerprint": "d" * 64,
        "train_images": 4,
        "test_images": 2,
        "of": 2,
        "synthetic": True,
    },
    "seed": None,
    "scores": [
        {
            "key": "k" * 64,
            "protocol": {"name": "full", "version": 1, "sha256": "p" * 64, "settings": {}},
            "metrics": {"abs_rel": {"mean": 0.1 + 0.2}},
            "invalid": {},
            "images": 2,
        }
    ],
    "environment": {
        "python": "3.11",
        "packages": {},
        "torch": "2.11",
        "device": "cpu",
        "host": "h",
    },
    "started_at": "2026-01-01T00:00:00+00:00",
    "finished_at": "2026-01-01T00:00:01+00:00",
}


def record(**changes: Any) -> records.Record:
    return records.Record.model_validate({**RECORD, **changes})


def values() -> pd.DataFrame:
    return pd.DataFrame({"id": ["a", "b"], "protocol": "full", "abs_rel": [0.25, 0.35]})


def test_a_record_comes_back_as_it_was_written(tmp_path: Path) -> None:
    written = records.publish(record(), values(), tmp_path)
    assert written.id.startswith("c" * 16 + "-")
    assert records.load_records(tmp_path) == [written]
    assert records.load_records(tmp_path)[0].scores[0].metrics["abs_rel"].mean == 0.1 + 0.2
    assert records.per_image_values(written, tmp_path).equals(values())  # type: ignore[union-attr]


def test_the_same_content_gives_the_same_file_and_other_content_another(tmp_path: Path) -> None:
    for _ in range(2):
        records.publish(record(), None, tmp_path)
    records.publish(record(finished_at="2026-01-01T00:00:02+00:00"), None, tmp_path)
    assert len(list(tmp_path.glob("*.json"))) == 2


def test_folders_merge_by_copying(tmp_path: Path) -> None:
    first = records.publish(record(), None, tmp_path / "a")
    second = records.publish(record(suite="t"), None, tmp_path / "b")
    merged = tmp_path / "all"
    merged.mkdir()
    for path in tmp_path.glob("[ab]/*.json"):
        (merged / path.name).write_bytes(path.read_bytes())
    assert {item.id for item in records.load_records(merged)} == {first.id, second.id}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not valid JSON"),
        ("[]", "is not a JSON object"),
        ("{}", "has schema_version None"),
        (json.dumps({**RECORD, "schema_version": 99}), "schema_version 99; this bench reads 1"),
        (json.dumps({**RECORD, "schema_version": 1, "status": "fine"}), "status: Input should be"),
        (json.dumps({**RECORD, "schema_version": 1, "keys": {}}), "keys.fit: Field required"),
    ],
)
def test_what_is_no_record_is_named(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "bad.json"
    path.write_text(content)
    with pytest.raises(RecordError) as caught:
        records.load_records(tmp_path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_newest_ok_score_wins(tmp_path: Path) -> None:
    old, new = record(), record(label="new", finished_at="2026-02-01T00:00:00+00:00")
    failed = record(status="failed", finished_at="2026-03-01T00:00:00+00:00")
    [(found, _)] = records.newest_scores([new, failed, old]).values()
    assert found.label == "new"


def test_a_record_is_found_by_the_beginning_of_its_id(tmp_path: Path) -> None:
    one = records.publish(record(), None, tmp_path)
    assert records.find_record(tmp_path, one.id[:18]) == one
    records.publish(record(suite="t"), None, tmp_path)
    with pytest.raises(RecordError, match="is the beginning of 2 records"):
        records.find_record(tmp_path, "cccc")
    with pytest.raises(RecordError, match="no record 'zzz'"):
        records.find_record(tmp_path, "zzz")


GOLDEN = Path(__file__).parents[1] / "golden" / "record_v1"


def test_stored_records_of_schema_version_1_are_read_and_shown_forever(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    by_method = {item.method.name: item for item in records.load_records(GOLDEN)}
    first, later = by_method["mean-depth-map"], by_method["depthclip"]
    assert first.scores[0].metrics["rmse"].mean == 1.2195686995628992
    assert first.dataset.params == {}, "made before records held them"
    assert later.seed is None
    assert later.weights[0].origin == "random-init"
    assert later.scores[0].metrics["abs_rel"].ci95 is not None
    for item in by_method.values():
        images = records.per_image_values(item, GOLDEN)
        assert images is not None
        means = images.groupby("protocol")["rmse"].mean()
        for score in item.scores:
            expected = score.metrics["rmse"].mean
            assert means[score.protocol.name] == pytest.approx(expected, rel=1e-6)
        assert main(["show", item.id, "--records", str(GOLDEN)]) == 0
        assert item.method.name in capsys.readouterr().out
    assert main(["leaderboard", "--records", str(GOLDEN), "--out", str(tmp_path)]) == 0
    board = (tmp_path / "README.md").read_text()
    assert "mean-depth-map" in board
    assert "depthclip" in board


def test_older_versions_are_brought_up_one_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def titled(data: dict[str, Any]) -> dict[str, Any]:
        return {**data, "label": data["title"]}

    def in_a_suite(data: dict[str, Any]) -> dict[str, Any]:
        return {**data, "suite": "before suites"}

    monkeypatch.setattr(records, "UPGRADES", {-1: titled, 0: in_a_suite})
    old = {key: value for key, value in RECORD.items() if key not in ("label", "suite")}
    path = tmp_path / "old.json"
    path.write_text(json.dumps({**old, "title": "Old", "schema_version": -1}))
    found = records.load_record(path)
    assert (found.label, found.suite, found.schema_version) == ("Old", "before suites", 1)
    path.write_text(json.dumps({**old, "schema_version": 2}))
    with pytest.raises(RecordError, match="schema_version 2; this bench reads -1, 0, 1"):
        records.load_record(path)
