"""What running cells means: fit once, predict, score, and make a record of each.

A job is the cells of one fit key. It runs in this process or in a worker; it holds the fit key's
lock so that two runs on one machine do not do the same work, but correctness rests on atomic
publishing alone.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import shutil
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from bench import pictures
from bench.breakdown import breakdown
from bench.cost import PeakMemory, latency_ms, multiply_accumulates, parameter_counts
from bench.data.base import Subset
from bench.data.batches import to_batch
from bench.errors import BenchError, BlockedError, DataError
from bench.evaluate import Evaluation, LivePredictor, Predictor, evaluate
from bench.events import Emit, Event
from bench.method import FitContext, Method
from bench.metrics.base import Metric
from bench.metrics.standard import METRICS
from bench.plan import Cell, Wanted
from bench.predictions import Passes, is_kept
from bench.protocols.base import FramedProtocol
from bench.protocols.presets import NYU_STUDY
from bench.provenance import environment
from bench.records import (
    KEY_LENGTH,
    Cost,
    DatasetPart,
    ErrorPart,
    Invalid,
    Keys,
    MethodPart,
    MetricValue,
    ProtocolPart,
    Record,
    Score,
    WeightsPart,
    load_record,
    newest_scores,
    publish,
)
from bench.statistics.bootstrap import cluster_index, mean_intervals
from bench.store import cache_root, publish_folder
from bench.types import Batch

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor

Publish = Callable[[Record, "pd.DataFrame | None"], Record]


@dataclass(frozen=True)
class Job:
    """The cells of one fit key, and all that is needed to run them anywhere.

    Attributes:
        cells: Cells with missing scores.
        suite: The suite's name.
        overrides: The ``--set``, ``--only`` and ``--limit`` the suite was run with.
        train: The training images.
        test: The test images.
        metrics: What to compute, by name: a plugin's metric need not survive pickling.
        keep: Whether raw predictions are kept.
        force: Whether finished artifacts and records are made again.
        device: ``cpu``, ``cuda:0``.
        records: The records folder.
        owners: By method: the plugin's name and version.
        rescore_only: Only kept predictions are scored; no method is made.
    """

    cells: tuple[Cell, ...]
    suite: str
    overrides: tuple[str, ...]
    train: Subset
    test: Subset
    metrics: tuple[str, ...]
    keep: bool
    force: bool
    device: str
    records: Path
    owners: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    rescore_only: bool = False


def run_job(
    job: Job,
    metrics: Mapping[str, Metric],
    emit: Emit,
    publish_record: Publish | None = None,
) -> None:
    """Run the cells of a job one after another; a cell that fails leaves the others alone.

    Args:
        job: The cells.
        metrics: The registered metrics.
        emit: Told what happens.
        publish_record: Where records go; by default into the job's records folder.
    """

    def into_folder(record: Record, values: pd.DataFrame | None) -> Record:
        return publish(record, values, job.records)

    with _locked(job.cells[0], emit):
        shared = _Shared(job, metrics, _Fits(job), emit, publish_record or into_folder)
        for cell in job.cells:
            _CellRun(cell, shared).run()


@contextlib.contextmanager
def _locked(cell: Cell, emit: Emit) -> Iterator[None]:
    import os
    import socket

    import filelock

    folder = cache_root() / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    holder = folder / f"{cell.keys.fit[:KEY_LENGTH]}.json"
    lock = filelock.FileLock(folder / f"{cell.keys.fit[:KEY_LENGTH]}.lock")
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        emit(Event("note", cell.keys.cell, cell.label, {"text": f"waiting for {_holder(holder)}"}))
        lock.acquire()
    try:
        told = {"host": socket.gethostname(), "pid": os.getpid(), "since": time.time()}
        holder.write_text(json.dumps(told))
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def _holder(path: Path) -> str:
    try:
        told = json.loads(path.read_text())
        age = time.time() - told["since"]
        return f"process {told['pid']} on {told['host']}, which has had this fit for {age:.0f} s"
    except (OSError, ValueError, KeyError):
        return "another process that has this fit"


@dataclass
class _Fit:
    """A finished fit: where it is saved, and what it took."""

    folder: Path
    seconds: float | None = None
    selection: str | None = None
    history: list[dict[str, float]] = field(default_factory=list)


class _Fits:
    """The fit the cells of a job share: made by the first cell that needs it."""

    FILE = "fit.json"

    def __init__(self, job: Job) -> None:
        self._job = job
        self._forced = job.force

    def ready(self, cell: Cell, run: _CellRun) -> _Fit:
        """The finished fit, made now if there is none."""
        folder = cache_root() / "fits" / cell.keys.fit
        if self._forced:
            shutil.rmtree(folder, ignore_errors=True)
            shutil.rmtree(self._checkpoints(folder), ignore_errors=True)
            self._forced = False
        if not (folder / self.FILE).is_file():
            self._make(cell, run, folder)
        told = json.loads((folder / self.FILE).read_text())
        return _Fit(folder / "method", **told)

    @staticmethod
    def _checkpoints(folder: Path) -> Path:
        return folder.with_suffix(".checkpoints")

    def _make(self, cell: Cell, run: _CellRun, folder: Path) -> None:
        method = run.new_method()
        checkpoints = self._checkpoints(folder)
        checkpoints.mkdir(parents=True, exist_ok=True)
        context = FitContext(
            seed=cell.spec.seed or 0,
            device=run.device,
            score_on_test=run.score_on_test if method.selects_on_test(method.params) else None,
            checkpoints=checkpoints,
            report=lambda **data: run.tell("fit", **data),
            log=run.log,
        )
        begin = time.perf_counter()
        method.fit(run.train, context)
        told = {
            "seconds": time.perf_counter() - begin,
            "selection": method.selection,
            "history": list(method.history),
        }
        with publish_folder(folder) as aside:
            (aside / "method").mkdir()
            method.save(aside / "method")
            (aside / self.FILE).write_text(json.dumps(told))
        shutil.rmtree(checkpoints, ignore_errors=True)


@dataclass(frozen=True)
class _Shared:
    """What the cells of a job have in common."""

    job: Job
    metrics: Mapping[str, Metric]
    fits: _Fits
    emit: Emit
    publish: Publish


class _CellRun:
    """One cell on its way to a record."""

    def __init__(self, cell: Cell, shared: _Shared) -> None:
        self.cell = cell
        self.job = job = shared.job
        self.device = torch.device(job.device)
        # Scoring looks at no segments, so kept predictions need none.
        segments = None if job.rescore_only else cell.segments
        self.train = replace(job.train, segments=segments)
        self.test = replace(job.test, segments=segments)
        self._metrics = [shared.metrics[name] for name in job.metrics]
        self._fits = shared.fits
        self._emit = shared.emit
        self._publish = shared.publish
        self._fit: _Fit | None = None
        self.log = logging.getLogger(f"bench.cell.{cell.keys.cell[:KEY_LENGTH]}")
        stem = f"{cell.spec.method.name}-{cell.keys.cell[:KEY_LENGTH]}.log"
        self.log_path = cache_root() / "logs" / job.suite / stem

    def tell(self, kind: Any, **data: Any) -> None:
        """Emit news of this cell, and log what is worth keeping."""
        self._emit(Event(kind, self.cell.keys.cell, self.cell.label, data))
        if kind not in ("fit", "predict") or data.get("epoch_done"):
            self.log.info("%s %s", kind, json.dumps(data, default=str))

    def new_method(self) -> Method:
        """The method, not yet fitted."""
        spec = self.cell.spec
        method: Method = spec.method(spec.params, self.device, spec.seed or 0)
        return method

    @cached_property
    def method(self) -> Method:
        """The method, ready to predict; fitted or loaded on first use."""
        if self.job.rescore_only:
            raise BlockedError("some of the predictions were not kept; 'bench run' makes them")
        method = self.new_method()
        if method.fitted:
            self._fit = self._fits.ready(self.cell, self)
            method.load(self._fit.folder)
        return method

    def score_on_test(self, predict: Callable[[Batch], Tensor]) -> float:
        """What the study chose its epoch by (see `FitContext.score_on_test`)."""
        result = evaluate(
            LivePredictor(predict), self.test, [NYU_STUDY], METRICS, self.device, lambda _: None
        )
        return sum(
            _mean(values, [pixels > 0 for pixels in result.counts[NYU_STUDY.name]["scored_pixels"]])
            for values in result.values[NYU_STUDY.name].values()
        ) / len(METRICS)

    def run(self) -> None:
        """Make the record."""
        with _logging_to(self.log, self.log_path):
            wanted = self._still_missing()
            if not wanted:
                self.tell("done", text="another run made it meanwhile")
                return
            self.tell("start", device=self.job.device)
            started = _now()
            try:
                for item in () if self.job.rescore_only else self.cell.weights:
                    item.fetch()
                wanted, lacking = self._scorable(wanted)
                record, values = self._measure(wanted, started)
            except BlockedError as error:
                self.tell("blocked", reason=_line(error))
            # A method may call sys.exit(); the suite goes on all the same.
            except (Exception, SystemExit) as error:
                self._fail(error, started)
            else:
                record = self._publish(record, values)
                means = {
                    score.protocol.name: {k: v.mean for k, v in score.metrics.items()}
                    for score in record.scores
                }
                if lacking:
                    reason = f"{', '.join(means)} scored, but {lacking}"
                    self.tell("blocked", reason=reason, record=record.id)
                else:
                    self.tell("done", record=record.id, scores=means)

    def _scorable(self, wanted: tuple[Wanted, ...]) -> tuple[tuple[Wanted, ...], str]:
        """The scores that can be made, and why others cannot: all, unless only to be rescored.

        Raises:
            BlockedError: None can be made.
        """
        if not self.job.rescore_only:
            return wanted, ""
        size = self.test[0].depth.shape
        kept = tuple(item for item in wanted if self._is_kept(item.protocol.at(*size)))
        names = [item.protocol.name for item in wanted if item not in kept]
        lacking = f"no predictions were kept for {', '.join(names)}" if names else ""
        if not kept:
            raise BlockedError(
                f"{lacking}; 'bench run' with predictions: keep makes and keeps them"
            )
        return kept, lacking

    def _is_kept(self, protocol: FramedProtocol) -> bool:
        passes = [protocol.view, *([protocol.view.mirror()] if protocol.flip else [])]
        keys = self.cell.keys
        return all(is_kept(keys.prediction(window)) for window in passes)

    def _still_missing(self) -> tuple[Wanted, ...]:
        """The scores no record holds by now: another run may have made some since the plan."""
        if self.job.force:
            return self.cell.missing
        pattern = f"{self.cell.keys.cell[:KEY_LENGTH]}-*.json"
        known: set[str] = set()
        for path in self.job.records.glob(pattern):
            with contextlib.suppress(BenchError):
                known.update(newest_scores([load_record(path)]))
        return tuple(item for item in self.cell.missing if item.key not in known)

    def _measure(self, wanted: Sequence[Wanted], started: str) -> tuple[Record, pd.DataFrame]:
        memory = PeakMemory(self.device)
        memory.start()
        torch.manual_seed(self.cell.spec.seed or 0)
        with ExitStack() as stack:
            passes = Passes(stack, keep=self.job.keep)
            predictor = Predictor(lambda: self.method, self.cell.keys, passes)
            result = evaluate(
                predictor,
                self.test,
                [item.protocol for item in wanted],
                self._metrics,
                self.device,
                lambda done: self.tell("predict", done=done, total=len(self.test)),
                self.cell.output,
            )
        pictures.keep(self.cell.keys.cell, result.pictures)
        cost = self._cost(result, memory)
        record = self._record("ok", started).model_copy(
            update={
                "scores": [_score(item, result, self._metrics) for item in wanted],
                "cost": cost,
                "selection": self._fit.selection if self._fit else None,
                "history": self._fit.history if self._fit else [],
            }
        )
        return record, result.frame()

    def _cost(self, result: Evaluation, memory: PeakMemory) -> Cost:
        peak = memory.bytes()
        fit_seconds = self._fit.seconds if self._fit else None
        if not result.predictions:
            return Cost(fit_seconds=fit_seconds, peak_memory_bytes=peak)
        view = next(iter(result.protocols.values())).view
        with torch.inference_mode():
            batch = to_batch([self.test[0]], view, self.device, with_depth=False)
            latency = latency_ms(self.method, batch)
            macs = multiply_accumulates(self.method, batch)
        parameters, trained = parameter_counts(self.method.network())
        return Cost(
            fit_seconds=fit_seconds,
            predict_seconds=result.predict_seconds,
            images_per_second=result.predictions / result.predict_seconds,
            latency_ms_batch1=latency,
            peak_memory_bytes=peak,
            parameters=parameters,
            trained_parameters=trained,
            macs=macs,
        )

    def _record(self, status: Any, started: str) -> Record:
        cell, job = self.cell, self.job
        spec, method = cell.spec, cell.spec.method
        plugin, version = job.owners.get(method.name, ("", ""))
        return Record(
            status=status,
            suite=job.suite,
            label=spec.label,
            overrides=list(job.overrides),
            keys=Keys(fit=cell.keys.fit, cell=cell.keys.cell, identity=cell.keys.identity),
            method=MethodPart(
                name=method.name,
                params=spec.params.model_dump(mode="json"),
                plugin=plugin,
                version=version,
                code_sha256=cell.code.sha256,
                output=cell.output,
                supervision=method.supervision(spec.params),
                code_files=cell.code.modules,
            ),
            dataset=dataset_part(job.train, job.test),
            seed=spec.seed,
            weights=[WeightsPart(**item) for item in self._weights()],
            environment=environment(self.device),
            started_at=started,
            finished_at=_now(),
        )

    def _weights(self) -> Iterator[dict[str, Any]]:
        yield from (item.record() for item in self.cell.weights)
        segments = self.cell.segments.record() if self.cell.segments else None
        if segments is not None:
            yield segments

    def _fail(self, error: BaseException, started: str) -> None:
        message = _failure(error)
        self.log.error("failed", exc_info=error)
        failure = ErrorPart(
            type=type(error).__name__,
            message=message,
            traceback="".join(traceback.format_exception(error)),
            log=str(self.log_path),
        )
        with contextlib.suppress(BenchError):
            record = self._record("failed", started).model_copy(update={"error": failure})
            self._publish(record, None)
        self.tell("failed", message=message, log=str(self.log_path))


def dataset_part(train: Subset, test: Subset) -> DatasetPart:
    """What a record says of the images."""
    return DatasetPart(
        name=test.dataset.name,
        split=test.split,
        depth={"train": train.variant, "test": test.variant},
        fingerprint=test.dataset.fingerprint(),
        train_images=len(train),
        test_images=len(test),
        of=test.of,
        synthetic=test.dataset.synthetic,
        params=test.dataset.params.model_dump(mode="json"),
    )


def _score(wanted: Wanted, result: Evaluation, metrics: Sequence[Metric]) -> Score:
    name = wanted.protocol.name
    framed = result.protocols[name]
    counts = result.counts[name]
    scored = [pixels > 0 for pixels in counts["scored_pixels"]]
    if not any(scored):
        raise DataError(
            f"protocol '{framed.name}': no test image has valid ground truth in the scored region; "
            "check dataset.depth and the depth's unit"
        )
    bad = zip(counts["nonfinite"], counts["nonpositive"], strict=True)
    intervals, clusters = _intervals(metrics, result, name, scored)
    return Score(
        key=wanted.key,
        protocol=ProtocolPart(
            name=framed.name,
            version=framed.version,
            sha256=framed.sha256,
            settings=dict(framed.settings),
            rules=framed.rules.model_dump(mode="json", exclude={"name", "description", "source"}),
        ),
        metrics={
            metric: MetricValue(mean=_mean(values, scored), ci95=intervals.get(metric))
            for metric, values in result.values[name].items()
        },
        invalid=Invalid(
            nonfinite_pixels=sum(counts["nonfinite"]),
            nonpositive_pixels=sum(counts["nonpositive"]),
            clamped_pixels=sum(counts["clamped"]),
            images=sum(bool(a or b) for a, b in bad),
            negative_scale_images=sum(counts["negative_scale"]),
        ),
        images=sum(scored),
        clusters=clusters,
        breakdown=breakdown(result, name, scored),
    )


def _intervals(
    metrics: Sequence[Metric], result: Evaluation, name: str, scored: Sequence[bool]
) -> tuple[dict[str, tuple[float, float]], int]:
    """95% intervals by metric, and the number of scenes they were drawn from.

    Only the images that have ground truth in the region count. A metric that is not finite for all
    of them has no interval; none has one where the scenes are too few.
    """
    kept = [index for index, has_truth in enumerate(scored) if has_truth]
    index = cluster_index([result.images[image]["scene"] for image in kept])
    columns = {
        metric: np.asarray(result.values[name][metric.name], dtype=np.float64)[kept]
        for metric in metrics
    }
    finite = {metric: values for metric, values in columns.items() if np.isfinite(values).all()}
    ends = mean_intervals(np.stack(list(finite.values()), axis=1), index) if finite else None
    found = {}
    for metric, (low, high) in zip(finite, ends, strict=True) if ends is not None else ():
        lowest, highest = metric.range
        top = math.inf if highest is None else highest
        found[metric.name] = max(float(low), lowest), min(float(high), top)
    return found, int(index.max()) + 1


def _mean(values: Sequence[float], scored: Sequence[bool]) -> float:
    """Mean over the images that have ground truth in the region."""
    kept = [value for value, has_truth in zip(values, scored, strict=True) if has_truth]
    return math.fsum(kept) / len(kept)


def _failure(error: BaseException) -> str:
    line = _line(error)
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return f"out of memory ({line}); set a smaller batch_size, or precision: bf16"
    if isinstance(error, BenchError):
        return line
    return f"{type(error).__name__}: {line}"


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


@contextlib.contextmanager
def _logging_to(log: logging.Logger, path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log.setLevel(logging.INFO)
    log.propagate = False
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)
        handler.close()
