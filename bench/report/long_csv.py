"""The leaderboard's scores as one tidy CSV table: a line a record, protocol and metric."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from typing import Any

from bench.report import wording
from bench.report.tables import DataGroup, Entry, Leaderboard, MetricInfo, Row, ScoreTable
from bench.report.text import clean

COLUMNS = (
    "dataset",
    "split",
    "depth",
    "synthetic",
    "fingerprint",
    "test_images",
    "test_images_of",
    "protocol",
    "protocol_version",
    "protocol_sha256",
    "method",
    "label",
    "params",
    "output",
    "supervision",
    "weights",
    "train_images",
    "seed",
    "chosen_on_test",
    "older_code",
    "metric",
    "unit",
    "higher_is_better",
    "value",
    "ci95_low",
    "ci95_high",
    "images",
    "scenes",
    "record",
    "cell_key",
    "score_key",
    "code_sha256",
    "suite",
    "finished_at",
)

# A spreadsheet takes a cell that begins like this for a formula; the last four are their full-width
# forms, which some read alike.
_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")


def render(board: Leaderboard, metrics: Mapping[str, MetricInfo]) -> str:
    """The table: the scores that the leaderboard's tables show, at full precision.

    Args:
        board: What to show.
        metrics: The registered metrics.
    """
    file = io.StringIO()
    writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for line in _lines(board, metrics):
        writer.writerow({name: _cell(value) for name, value in line.items()})
    return file.getvalue()


def _cell(value: object) -> str:
    """A number as it is, text on one line and no formula, nothing for None."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    shown = clean(value)
    return f"'{shown}" if shown.startswith(_FORMULA) else shown


def _lines(board: Leaderboard, metrics: Mapping[str, MetricInfo]) -> Iterator[dict[str, Any]]:
    for group in board.groups:
        for scores in group.tables:
            names = scores.metric_names(metrics)
            for row in scores.rows:
                for entry in row.entries:
                    fixed = _data(group, scores) | _who(row, entry) | _origin(entry)
                    held = (name for name in names if name in entry.score.metrics)
                    yield from (fixed | _figure(entry, name, metrics) for name in held)


def _data(group: DataGroup, scores: ScoreTable) -> dict[str, Any]:
    data, protocol = group.dataset, scores.protocol
    return {
        "dataset": data.name,
        "split": data.split,
        "depth": data.depth.get("test"),
        "synthetic": data.synthetic,
        "fingerprint": data.fingerprint,
        "test_images": data.test_images,
        "test_images_of": data.of,
        "protocol": protocol.name,
        "protocol_version": protocol.version,
        "protocol_sha256": protocol.sha256,
    }


def _who(row: Row, entry: Entry) -> dict[str, Any]:
    record = entry.record
    return {
        "method": record.method.name,
        "label": row.label,
        "params": json.dumps(record.method.params, ensure_ascii=False, sort_keys=True),
        "output": record.method.output,
        "supervision": record.method.supervision,
        "weights": wording.weights(record.weights) if record.weights else None,
        "train_images": record.dataset.train_images if row.trained else None,
        "seed": record.seed,
        "chosen_on_test": record.chosen_on_test,
        "older_code": row.older_code,
    }


def _origin(entry: Entry) -> dict[str, Any]:
    record = entry.record
    return {
        "images": entry.score.images,
        "scenes": entry.score.clusters,
        "record": record.id,
        "cell_key": record.keys.cell,
        "score_key": entry.score.key,
        "code_sha256": record.method.code_sha256,
        "suite": record.suite,
        "finished_at": record.finished_at,
    }


def _figure(entry: Entry, name: str, metrics: Mapping[str, MetricInfo]) -> dict[str, Any]:
    value, known = entry.score.metrics[name], metrics.get(name)
    low, high = value.ci95 or (None, None)
    return {
        "metric": name,
        "unit": known.unit if known else None,
        "higher_is_better": known.higher_is_better if known else None,
        "value": value.mean,
        "ci95_low": low,
        "ci95_high": high,
    }
