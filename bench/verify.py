"""`bench verify`: redo a record from its own contents, away from the store and the records.

Fit, predictions and scores are made again in a store of their own that is removed afterwards; data,
segments and weights are those of the user's store. The records folder is only read.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from bench.data.base import Dataset
from bench.errors import BlockedError, DataError, RecordError, SuiteError, suggestion
from bench.plan import Plan, make_plan
from bench.plugins import Registry
from bench.protocols.base import SCALED, Protocol
from bench.records import ProtocolPart, Record, find_record, per_image_values
from bench.report.verification import TOLERANCE, Change, Verification, compare_redone
from bench.runner import Options, make_jobs, make_segments, resolve_device
from bench.store import cache_root
from bench.suite import CellSpec, Suite, make_dataset

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

SHARED = ("data", "hashes", "segments", "weights")
"""What a redone cell takes from the user's store: its inputs. All it makes is kept apart."""


def verify_record(
    folder: Path,
    prefix: str,
    registry: Registry,
    *,
    device: str = "auto",
    sets: Sequence[str] = (),
    tolerance: float | None = None,
    console: Console | None = None,
) -> Verification:
    """Make the numbers of a record again, and compare every one of them.

    Args:
        folder: The records folder.
        prefix: The record's id, or the beginning of it.
        registry: What plugins offer now.
        device: auto (the kind the record was made on, where there is one), cpu, cuda or cuda:N.
        sets: ``dataset.KEY=VALUE`` where the data set's parameters have changed since, as its path.
        tolerance: The relative difference allowed; by default none on the record's device and
            torch, else `bench.report.verification.TOLERANCE`.
        console: Where progress is shown; nowhere by default.

    Raises:
        BenchError: The record cannot be redone here: it failed, or its data, weights, method,
            protocols or metrics are not there.
    """
    from rich.console import Console as RichConsole

    record = find_record(folder, prefix)
    if record.status != "ok" or not record.scores:
        why = record.error.message if record.error else "it holds no scores"
        raise RecordError(f"record {record.id} failed ({why}); it has no numbers to redo")
    values = _recorded_values(record, folder)
    dataset = _dataset(record, sets, registry)
    other = _other_data(record, dataset, named=bool(record.dataset.params or sets))
    if other is not None:
        return Verification(record, tolerance or TOLERANCE, changes=(other,))
    plan = _plan(record, dataset, registry)
    kind = "cpu" if device == "auto" and record.environment.cuda is None else device
    redone, new_values = _redo(plan, resolve_device(kind), console or RichConsole(quiet=True))
    both = None if values is None or new_values is None else (values, new_values)
    return compare_redone(record, redone, both, tolerance)


def _recorded_values(record: Record, folder: Path) -> pd.DataFrame | None:
    """The per-image values, wherever under the folder they are; None where the file is gone."""
    name = Path(record.per_image).name if record.per_image else ""
    path = next(iter(sorted(folder.rglob(name))), None) if name else None
    return None if path is None else per_image_values(record, path.parent)


def _dataset(record: Record, sets: Sequence[str], registry: Registry) -> Dataset:
    part = record.dataset
    known = part.params or {"test": part.split, "depth": part.depth}
    # JSON is YAML: the record's parameters are read as --set reads a person's.
    given = [f"dataset.{name}={json.dumps(value)}" for name, value in known.items()]
    try:
        return make_dataset(part.name, [*given, *sets], registry)
    except SuiteError as error:
        hint = "give what it lacks as --set dataset.KEY=VALUE"
        raise RecordError(
            f"record {record.id}: its data cannot be opened again ({error}); {hint}"
        ) from error


def _other_data(record: Record, dataset: Dataset, *, named: bool) -> Change | None:
    """How the data differ from the record's; None where they do not."""
    try:
        found = dataset.fingerprint()
    except DataError as error:
        raise DataError(
            f"{error} (record {record.id}; --set dataset.KEY=VALUE says where they lie now)"
        ) from error
    if found == record.dataset.fingerprint:
        return None
    if not named:
        raise RecordError(
            f"record {record.id} is from before records held their data set's parameters, and "
            f"'{record.dataset.name}' as it is by default is not its data; give the suite's own as "
            "--set dataset.KEY=VALUE"
        )
    recorded = record.dataset.fingerprint
    what = f"{dataset}: fingerprint {recorded[:12]}… then, {found[:12]}… now"
    return Change("data", what)


def _plan(record: Record, dataset: Dataset, registry: Registry) -> Plan:
    """The record's one cell, with nothing known of it.

    Raises:
        BlockedError: Weights or segments it needs cannot be had.
    """
    metrics = {name for score in record.scores for name in score.metrics}
    unknown = sorted(metrics - registry.metrics.keys())
    if unknown:
        near = suggestion(unknown[0], registry.metrics)
        raise RecordError(f"record {record.id}: no metric '{unknown[0]}'{near}")
    suite = Suite(
        name=record.suite,
        description="",
        path=Path(),
        dataset=dataset,
        protocols=tuple(_protocol(record, score.protocol, registry) for score in record.scores),
        metrics=tuple(name for name in registry.metrics if name in metrics),
        predictions="drop",
        cells=(_spec(record, registry),),
    )
    # The larger count, taken as --limit of both splits, is what either split came to.
    limit = max(record.dataset.train_images, record.dataset.test_images)
    plan = make_plan(suite, registry, [], limit=limit)
    if plan.cells[0].state == "blocked":
        raise BlockedError(f"record {record.id} cannot be redone here: {plan.cells[0].reason}")
    return plan


def _spec(record: Record, registry: Registry) -> CellSpec:
    part = record.method
    method = registry.methods.get(part.name)
    if method is None:
        broken = next((f"; {item}" for item in registry.broken if item.name == part.plugin), "")
        raise RecordError(
            f"record {record.id}: no method '{part.name}' (of plugin '{part.plugin}'); give its "
            f"folder as --plugins{broken}"
        )
    try:
        params = method.Params.model_validate(part.params)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(step) for step in first["loc"])
        raise RecordError(
            f"record {record.id}: method '{part.name}' no longer takes its parameters "
            f"({place}: {first['msg']}); check out the code it was made by"
        ) from error
    return CellSpec(method, params, record.label, record.seed)


def _protocol(record: Record, part: ProtocolPart, registry: Registry) -> Protocol:
    """The protocol as the suite had it; by its name where the record does not hold its rules."""
    name = part.name.removesuffix(SCALED)
    if not part.rules:
        if name not in registry.protocols:
            raise RecordError(
                f"record {record.id} does not hold the rules of protocol '{name}', and there is "
                f"none of that name{suggestion(name, registry.protocols)}"
            )
        return registry.protocols[name]
    try:
        return Protocol.model_validate({"name": name, **part.rules})
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(step) for step in first["loc"])
        raise RecordError(
            f"record {record.id}: protocol '{name}': {place}: {first['msg']}; check out the code "
            "it was made by"
        ) from error


def _redo(plan: Plan, device: str, console: Console) -> tuple[Record, pd.DataFrame | None]:
    from bench.execute import run_job
    from bench.progress import Watcher

    def say(line: str) -> None:
        console.print(line, markup=False, highlight=False)

    made: list[tuple[Record, pd.DataFrame | None]] = []

    def take(record: Record, values: pd.DataFrame | None) -> Record:
        made.append((record, values))
        return record

    plan.suite.dataset.prepare(say)
    make_segments(plan, device, say)
    with _own_store() as store, Watcher(console, 1) as watcher:
        [job] = make_jobs(plan, Options(records=store / "records"), device)
        run_job(job, plan.metrics, watcher, take)
    plan.suite.dataset.close()
    for event in (*watcher.failed, *watcher.blocked):
        why = event.data.get("message") or event.data.get("reason")
        raise RecordError(f"'{event.label}' cannot be redone here: {why}")
    return made[0]


@contextlib.contextmanager
def _own_store() -> Iterator[Path]:
    """Make everything in a store that is removed afterwards, with the user's inputs in it."""
    user = cache_root().absolute()
    configured = os.environ.get("BENCH_CACHE")
    with tempfile.TemporaryDirectory(prefix="bench-verify-") as folder:
        for name in SHARED:
            (user / name).mkdir(parents=True, exist_ok=True)
            (Path(folder) / name).symlink_to(user / name, target_is_directory=True)
        os.environ["BENCH_CACHE"] = folder
        try:
            yield Path(folder)
        finally:
            _restore("BENCH_CACHE", configured)


def _restore(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value
