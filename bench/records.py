"""Records: what a run found out, one JSON file per cell and run, per-image values beside it.

A record is never edited. Its file name is ``<cell key>-<content hash>.json``, so folders of records
merge by copying files together; ``<same stem>.parquet`` holds the per-image values.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bench.errors import RecordError, suggestion
from bench.store import publish_file
from bench.types import DepthVariant, Output, Supervision

if TYPE_CHECKING:
    import pandas as pd

SCHEMA_VERSION: Literal[1] = 1
KEY_LENGTH = 16

Upgrade = Callable[[dict[str, Any]], dict[str, Any]]
UPGRADES: dict[int, Upgrade] = {}
"""From an older schema version to the next: by version, what brings a record's JSON one further.

Empty as long as version 1 is the only one there has been. Fields that are only added have a default
and need no new version. An entry is never removed: records are kept forever.
"""


class _Part(BaseModel):
    # Later schema versions may add fields; a reader of this version ignores them.
    model_config = ConfigDict(extra="ignore", frozen=True)


class MethodPart(_Part):
    """Which method, with which parameters, from which code."""

    name: str
    params: dict[str, Any]
    plugin: str
    version: str
    code_sha256: str
    output: Output
    supervision: Supervision
    code_files: dict[str, str] = Field(
        default_factory=dict, description="SHA-256 by module: says later which file changed"
    )


class DatasetPart(_Part):
    """Which images: `train_images` and `test_images` of the `of` in the whole test split.

    `params` are the data set's own, from which `bench verify` opens it again; empty in records made
    before they were kept.
    """

    name: str
    split: str
    depth: dict[str, DepthVariant]
    fingerprint: str
    train_images: int
    test_images: int
    of: int
    synthetic: bool = False
    params: dict[str, Any] = Field(default_factory=dict)


class WeightsPart(_Part):
    """One set of pretrained weights, or the admission that there were none."""

    name: str
    origin: Literal["pretrained", "file", "random-init"]
    sha256: str | None = None


class ProtocolPart(_Part):
    """The protocol as it was applied, every setting spelled out.

    `settings` are those of the frames that were met; `rules` those it was given, for any frame,
    from which `bench verify` makes it again; empty in records made before they were kept.
    """

    name: str
    version: int
    sha256: str
    settings: dict[str, Any]
    rules: dict[str, Any] = Field(default_factory=dict)


class MetricValue(_Part):
    """One metric over all test images: mean of the per-image values and its 95% interval.

    The interval is the clustered bootstrap's of `bench.statistics.bootstrap`; None with too few
    scenes, where a value is not finite, and in records made before there were intervals.
    """

    mean: float
    ci95: tuple[float, float] | None = None


class Invalid(_Part):
    """Scored pixels whose prediction was unusable as it came, summed over images.

    `images` counts the images with at least one non-finite or non-positive pixel,
    `negative_scale_images` those for which the protocol's alignment came to a negative scale.
    """

    nonfinite_pixels: int = 0
    nonpositive_pixels: int = 0
    clamped_pixels: int = 0
    images: int = 0
    negative_scale_images: int = 0


class PixelFigures(_Part):
    """The error of some scored pixels, pooled over all images; None where there are none."""

    pixels: int
    abs_rel: float | None
    delta1: float | None


class DepthBin(PixelFigures):
    """The error where the ground truth is above `low` and at most `high` metres (None: no end)."""

    low: float
    high: float | None


class SceneTypeFigures(_Part):
    """Means of the per-image values over the images of one type; None where it is not known."""

    scene_type: str | None
    images: int
    abs_rel: float
    delta1: float


class ImageFigure(_Part):
    """One image's value."""

    id: str
    abs_rel: float


class Breakdown(_Part):
    """Where the error is; all empty in records made before there was one.

    Pixel figures are pooled over the scored pixels of a grid (`bench.metrics.breakdown`, which also
    says what is near a depth edge), so they are no means over images; the figures by scene type
    are. `worst` and `best` are images by `abs_rel`, the most extreme first.
    """

    depth: list[DepthBin] = Field(default_factory=list)
    near_edges: PixelFigures | None = None
    flat: PixelFigures | None = None
    scene_types: list[SceneTypeFigures] = Field(default_factory=list)
    worst: list[ImageFigure] = Field(default_factory=list)
    best: list[ImageFigure] = Field(default_factory=list)


class Score(_Part):
    """What one protocol says of one cell."""

    key: str
    protocol: ProtocolPart
    metrics: dict[str, MetricValue]
    invalid: Invalid
    images: int = Field(description="images with at least one scored pixel")
    clusters: int | None = Field(
        default=None, description="scenes those images are of; the intervals resample them"
    )
    breakdown: Breakdown = Field(default_factory=Breakdown)


class Cost(_Part):
    """What it cost. Seconds of wall clock; None where not measured."""

    fit_seconds: float | None = None
    predict_seconds: float | None = None
    images_per_second: float | None = None
    latency_ms_batch1: float | None = None
    peak_memory_bytes: int | None = None
    parameters: int | None = None
    trained_parameters: int | None = None
    macs: int | None = None


class Environment(_Part):
    """Where it ran."""

    python: str
    packages: dict[str, str]
    torch: str
    device: str
    cuda: str | None = None
    host: str
    git_commit: str | None = None
    git_dirty: bool | None = None


class ErrorPart(_Part):
    """Why a cell failed."""

    type: str
    message: str
    traceback: str
    log: str | None = None


class Keys(_Part):
    """The content keys of the cell (see `bench.keys`).

    `identity` is the cell without its code: records of one identity and different `cell` keys are
    the same question answered by different code.
    """

    fit: str
    cell: str
    identity: str


class Record(_Part):
    """One cell and the protocols scored in one run."""

    id: str = ""
    schema_version: Literal[1] = SCHEMA_VERSION
    status: Literal["ok", "failed"]
    suite: str
    label: str
    overrides: list[str] = Field(default_factory=list)
    keys: Keys
    method: MethodPart
    dataset: DatasetPart
    seed: int | None
    weights: list[WeightsPart] = Field(default_factory=list)
    scores: list[Score] = Field(default_factory=list)
    per_image: str | None = Field(default=None, description="file name of the Parquet beside it")
    cost: Cost = Field(default_factory=Cost)
    environment: Environment
    selection: str | None = Field(default=None, description="how the epoch was chosen")
    history: list[dict[str, float]] = Field(default_factory=list, description="training curve")
    error: ErrorPart | None = None
    started_at: str
    finished_at: str

    @property
    def chosen_on_test(self) -> bool:
        """Whether the epoch was chosen by its score on the test images, as the study did."""
        return self.method.params.get("selection") == "study" or self.selection == "study"

    def content_sha256(self) -> str:
        """SHA-256 over everything but the id and the Parquet's name."""
        content = self.model_dump(mode="json", exclude={"id", "per_image"})
        return hashlib.sha256(_canonical(content)).hexdigest()


def _canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=True).encode()


def publish(record: Record, per_image: pd.DataFrame | None, folder: Path) -> Record:
    """Write a record and its per-image values; whole or not at all.

    The Parquet file is published first: a record that exists always has its values.

    Args:
        record: Without id.
        per_image: Columns ``id, scene, scene_type, protocol`` and one float32 column a metric.
        folder: The records folder; made if missing.

    Returns:
        The record with its id.

    Raises:
        StoreError: The folder cannot be written.
    """
    stem = f"{record.keys.cell[:KEY_LENGTH]}-{record.content_sha256()[:12]}"
    update: dict[str, Any] = {"id": stem}
    if per_image is not None:
        update["per_image"] = f"{stem}.parquet"
        publish_file(folder / update["per_image"], _parquet(per_image))
    record = record.model_copy(update=update)
    text = json.dumps(record.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n"
    publish_file(folder / f"{stem}.json", text.encode())
    return record


def _parquet(frame: pd.DataFrame) -> bytes:
    import io

    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False, compression="zstd")
    return buffer.getvalue()


def load_records(folder: Path | str) -> list[Record]:
    """Read every record under a folder, oldest first.

    Raises:
        RecordError: A file is not a record; the message names the file and the place in it.
    """
    root = Path(folder)
    records = [load_record(path) for path in sorted(root.rglob("*.json"))]
    return sorted(records, key=lambda record: (record.finished_at, record.id))


def load_record(path: Path) -> Record:
    """Read one record. Raises `RecordError`."""
    try:
        data = json.loads(path.read_bytes())
    except OSError as error:
        raise RecordError(f"cannot read record '{path}': {error.strerror or error}") from error
    except ValueError as error:
        raise RecordError(
            f"record '{path}' is not valid JSON ({error}); delete it or restore it"
        ) from error
    if not isinstance(data, dict):
        raise RecordError(f"record '{path}' is not a JSON object; delete it or restore it")
    try:
        return Record.model_validate(_upgraded(data, path))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise RecordError(
            f"record '{path}': {place}: {first['msg']}; delete it or restore it"
        ) from error


def _upgraded(data: dict[str, Any], path: Path) -> dict[str, Any]:
    """A record's JSON in the present schema version, brought there one version at a time."""
    version = data.get("schema_version")
    while version != SCHEMA_VERSION:
        if not isinstance(version, int) or version not in UPGRADES:
            readable = ", ".join(map(str, sorted({*UPGRADES, SCHEMA_VERSION})))
            raise RecordError(
                f"record '{path}' has schema_version {version!r}; this bench reads {readable}"
            )
        data = UPGRADES[version](data)
        version += 1
        data = {**data, "schema_version": version}
    return data


def find_record(folder: Path, prefix: str) -> Record:
    """The record whose id begins with `prefix`.

    Raises:
        RecordError: There is none, or more than one.
    """
    ids = sorted(path.stem for path in folder.rglob("*.json"))
    found = [item for item in ids if item.startswith(prefix)]
    if len(found) > 1 and prefix not in found:
        raise RecordError(
            f"'{prefix}' is the beginning of {len(found)} records: {', '.join(found)}"
        )
    if not found:
        raise RecordError(f"no record '{prefix}' under '{folder}'{suggestion(prefix, ids)}")
    chosen = prefix if prefix in found else found[0]
    return load_record(next(folder.rglob(f"{chosen}.json")))


def per_image_values(record: Record, folder: Path) -> pd.DataFrame | None:
    """The per-image values of a record, or None where it has none. Raises `RecordError`."""
    import pandas as pd

    if record.per_image is None:
        return None
    path = folder / Path(record.per_image).name
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise RecordError(f"cannot read per-image values '{path}': {error}") from error


@dataclass(frozen=True)
class ImageValues:
    """Per-image values of one record under one protocol.

    Attributes:
        ids: Of the images, in test order.
        scenes: Their scenes; None where not known.
        values: By metric, one an image; NaN where nothing of the image is scored.
    """

    ids: tuple[str, ...]
    scenes: tuple[str | None, ...]
    values: dict[str, list[float]]


def image_values(path: Path, protocol: str, metrics: Sequence[str]) -> ImageValues:
    """Read some per-image values, without pandas, whose import takes longer than the reading.

    Args:
        path: The Parquet file.
        protocol: The protocol's name, as in the record.
        metrics: Which; those that the file does not have are left out.

    Raises:
        RecordError: The file cannot be read, or holds nothing of the protocol.
    """
    import pyarrow.parquet

    try:
        file = pyarrow.parquet.ParquetFile(path)
        held = [name for name in metrics if name in file.schema_arrow.names]
        table = file.read(columns=["id", "scene", "protocol", *held], use_threads=False)
        columns = table.to_pydict()
        rows = [row for row, name in enumerate(columns["protocol"]) if name == protocol]
        ids, scenes = columns["id"], columns["scene"]
    except (OSError, ValueError, KeyError) as error:
        raise RecordError(f"cannot read per-image values '{path}': {error}") from error
    if not rows:
        raise RecordError(f"per-image values '{path}' hold nothing of protocol '{protocol}'")
    return ImageValues(
        ids=tuple(ids[row] for row in rows),
        scenes=tuple(scenes[row] for row in rows),
        values={
            name: [math.nan if columns[name][row] is None else columns[name][row] for row in rows]
            for name in held
        },
    )


def newest_scores(records: Iterable[Record]) -> Mapping[str, tuple[Record, Score]]:
    """For each score key the newest ok record that holds it."""
    newest: dict[str, tuple[Record, Score]] = {}
    ordered: Sequence[Record] = sorted(records, key=lambda record: record.finished_at)
    for record in ordered:
        if record.status == "ok":
            newest.update({score.key: (record, score) for score in record.scores})
    return newest
