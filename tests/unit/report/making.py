"""Small records for the report's tests."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.records import (
    Breakdown,
    Cost,
    DatasetPart,
    Environment,
    ErrorPart,
    Invalid,
    Keys,
    MethodPart,
    MetricValue,
    ProtocolPart,
    Record,
    Score,
    WeightsPart,
)

VALUES = {
    "delta1": 0.4,
    "delta2": 0.7,
    "delta3": 0.85,
    "abs_rel": 0.35,
    "sq_rel": 0.3,
    "rmse": 1.1,
    "rmse_log": 0.42,
    "log10": 0.15,
    "silog": 35.0,
}

SETTINGS = {
    "version": 1,
    "view": None,
    "region": None,
    "valid_min": 0.001,
    "valid_max": 10.0,
    "valid_bounds": "exclusive",
    "flip": False,
    "clamp_each": None,
    "average": "before-resize",
    "resize": "bilinear",
    "align_corners": True,
    "clamp": [0.001, 10.0],
    "alignment": "none",
    "nonfinite": "worst",
    "averaging": "images",
    "frame": None,
}

STUDY_WINDOW = {"rows": [56, 472], "cols": [60, 604]}

PRESETS: dict[str, dict[str, Any]] = {
    "nyu-study": {
        "view": STUDY_WINDOW,
        "region": STUDY_WINDOW,
        "flip": True,
        "clamp_each": [0.0, 10.0],
        "frame": [480, 640],
    },
    "nyu-eigen": {"region": {"rows": [45, 471], "cols": [41, 601]}, "frame": [480, 640]},
}


@dataclass(frozen=True)
class StandInMetric:
    """What tables need to know of a metric."""

    name: str
    unit: str
    higher_is_better: bool
    formula: str


@dataclass(frozen=True)
class StandInRegistry:
    """The metrics of a registry."""

    metrics: Mapping[str, StandInMetric]


def _metric(name: str) -> StandInMetric:
    unit = {"rmse": "m", "sq_rel": "m", "silog": "×100"}.get(name, "")
    return StandInMetric(name, unit, name.startswith("delta"), f"formula of {name}")


METRICS = {name: _metric(name) for name in VALUES}
REGISTRY = StandInRegistry(METRICS)

RANDOM_INIT = (WeightsPart(name="open_clip RN50 (random-init)", origin="random-init"),)
OPENAI = (WeightsPart(name="open_clip RN50 (openai)", origin="pretrained", sha256="a" * 64),)

ROOMS = {"name": "rooms", "fingerprint": "f0" * 32, "of": 8, "test_images": 8, "synthetic": True}


def digest(*parts: object) -> str:
    """A key."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def make_protocol(name: str = "nyu-study", **settings: Any) -> ProtocolPart:
    """A protocol; other settings give another hash."""
    known = SETTINGS | PRESETS.get(name, {}) | settings
    return ProtocolPart(name=name, version=1, sha256=digest(known), settings=known)


def make_record(
    label: str = "DepthCLIP",
    *,
    method: str = "depthclip",
    params: Mapping[str, Any] | None = None,
    supervision: str = "zero-shot",
    output: str = "metric",
    code: str = "1",
    seed: int | None = None,
    weights: tuple[WeightsPart, ...] = (),
    dataset: Mapping[str, Any] | None = None,
    protocols: tuple[ProtocolPart, ...] | None = None,
    metrics: Mapping[str, float] | None = None,
    invalid: Mapping[str, int] | None = None,
    cost: Mapping[str, Any] | None = None,
    selection: str | None = None,
    dirty: bool = False,
    device: str = "Test CPU",
    error: str | None = None,
    minute: int = 0,
    ci95: Mapping[str, tuple[float, float]] | None = None,
    clusters: int | None = None,
    breakdown: Breakdown | None = None,
) -> Record:
    """A record; what is not given is the same every time. `minute` orders records by age."""
    data = {
        "name": "nyu-v2",
        "split": "test",
        "depth": {"train": "filled", "test": "raw"},
        "fingerprint": "d1" * 32,
        "train_images": 795,
        "test_images": 654,
        "of": 654,
        **(dataset or {}),
    }
    params = dict(params or {"encoder": "RN50"})
    question = method, params, seed, [item.name for item in weights], data
    cell = digest("cell", question, code)
    protocols = (make_protocol(),) if protocols is None else protocols
    values = VALUES | dict(metrics or {})
    at = f"2026-01-01T00:{minute:02d}:00+00:00" if minute < 60 else f"2026-01-02T{minute:08d}"
    record = Record(
        status="ok" if error is None else "failed",
        suite="some-suite",
        label=label,
        keys=Keys(fit=digest("fit", cell), cell=cell, identity=digest("identity", question)),
        method=MethodPart(
            name=method,
            params=params,
            plugin="some_plugin",
            version="0.1.0",
            code_sha256=digest("code", code),
            output=output,
            supervision=supervision,
        ),
        dataset=DatasetPart(**data),
        seed=seed,
        weights=list(weights),
        scores=[]
        if error is not None
        else [
            Score(
                key=digest("score", cell, protocol.sha256),
                protocol=protocol,
                metrics={
                    name: MetricValue(mean=value, ci95=(ci95 or {}).get(name))
                    for name, value in values.items()
                },
                clusters=clusters,
                breakdown=breakdown or Breakdown(),
                invalid=Invalid(**(invalid or {})),
                images=data["test_images"],
            )
            for protocol in protocols
        ],
        cost=Cost(**({"images_per_second": 12.5, "peak_memory_bytes": 812_000_000} | (cost or {}))),
        environment=Environment(
            python="3.11.9",
            packages={"numpy": "2.0.0"},
            torch="2.11.0",
            device=device,
            host="testhost",
            git_commit="c" * 40,
            git_dirty=dirty,
        ),
        selection=selection,
        error=None
        if error is None
        else ErrorPart(type="MethodError", message=error, traceback=f"Traceback\n  {error}\n"),
        started_at=at,
        finished_at=at,
    )
    content = digest(label, at, sorted(values.items()), error)
    return record.model_copy(update={"id": f"{cell[:16]}-{content[:12]}"})


def make_breakdown(
    abs_rel: float = 0.2, scene_types: Mapping[str | None, int] | None = None
) -> Breakdown:
    """Where some error is: it grows with depth, and near edges."""
    ends = [(0, 1), (1, 2), (2, 3), (3, 4), (4, 6), (6, 10), (10, None)]
    types = {"kitchen": 110, "office": 78} if scene_types is None else scene_types
    return Breakdown.model_validate(
        {
            "depth": [
                {
                    "low": low,
                    "high": high,
                    "pixels": 1000 * (6 - index),
                    "abs_rel": None if high is None else abs_rel + index / 100,
                    "delta1": None if high is None else 0.5,
                }
                for index, (low, high) in enumerate(ends)
            ],
            "near_edges": {"pixels": 1000, "abs_rel": abs_rel + 0.1, "delta1": 0.4},
            "flat": {"pixels": 20000, "abs_rel": abs_rel, "delta1": 0.6},
            "scene_types": [
                {"scene_type": name, "images": images, "abs_rel": abs_rel, "delta1": 0.5}
                for name, images in types.items()
            ],
            "worst": [{"id": "01449", "abs_rel": 1.25}],
            "best": [{"id": "00003", "abs_rel": 0.0625}],
        }
    )


def write_records(folder: Path, *records: Record) -> Path:
    """Write records as `bench.records.publish` names them, without its flushes to disk."""
    folder.mkdir(parents=True, exist_ok=True)
    for record in records:
        text = json.dumps(record.model_dump(mode="json"))
        (folder / f"{record.id}.json").write_text(text, encoding="utf-8")
    return folder


def write_values(
    folder: Path,
    record: Record,
    values: Mapping[str, Sequence[float]],
    *,
    scenes: Sequence[str | None] | None = None,
    ids: Sequence[str] | None = None,
) -> Record:
    """Write a record with per-image values by metric, the same for each of its protocols."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    count = len(next(iter(values.values())))
    ids = [f"{index:05d}" for index in range(count)] if ids is None else ids
    parts = [
        pa.table(
            {
                "id": list(ids),
                "scene": pa.array([None] * count if scenes is None else list(scenes), pa.string()),
                "scene_type": pa.array([None] * count, pa.string()),
                "protocol": [score.protocol.name] * count,
                **{
                    name: pa.array(list(map(float, column)), pa.float32(), from_pandas=True)
                    for name, column in values.items()
                },
            }
        )
        for score in record.scores
    ]
    record = record.model_copy(update={"per_image": f"{record.id}.parquet"})
    write_records(folder, record)
    pq.write_table(pa.concat_tables(parts), folder / f"{record.id}.parquet")
    return record
