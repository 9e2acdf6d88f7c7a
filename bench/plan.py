"""What a suite asks for, held against what the records already know: cells, keys, states.

Planning never imports torch and never writes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

from bench.code import Code, code_of
from bench.data.base import Dataset, Subset
from bench.keys import CellKeys, cell_keys, score_key, subset_identity
from bench.method import Method
from bench.protocols.base import Protocol, check_output
from bench.records import Record
from bench.suite import CellSpec, Suite
from bench.types import Output

if TYPE_CHECKING:
    from bench.data.segments import Availability as SegmentAvailability
    from bench.data.segments import SegmentsChoice, SegmentSource
    from bench.encoders.weights import Availability, Weights
    from bench.metrics.base import Metric
    from bench.plugins import Registry

State = Literal["done", "to do", "stale", "blocked"]


@dataclass(frozen=True)
class Wanted:
    """A protocol a cell is to be scored under, and the key of that score."""

    protocol: Protocol
    key: str


@dataclass(frozen=True)
class Cell:
    """One method with its parameters and seed, on the suite's data.

    Attributes:
        spec: Method class, parameters, label and seed.
        keys: Its content keys.
        code: The code the method hangs on.
        weights: The pretrained weights it needs.
        segments: The segments it needs; None where it needs none.
        scores: Every score the suite asks of it.
        missing: Those that no record holds.
        output: What the method's numbers mean under these parameters.
        state: done, to do, stale (older code answered it) or blocked.
        reason: Why it is stale or blocked, or what will happen first; "" otherwise.
    """

    spec: CellSpec
    keys: CellKeys
    code: Code
    weights: tuple[Weights, ...]
    segments: SegmentSource | None
    scores: tuple[Wanted, ...]
    missing: tuple[Wanted, ...]
    output: Output
    state: State
    reason: str = ""

    @property
    def label(self) -> str:
        """The label with the seed, as progress lines show it."""
        return self.spec.label if self.spec.seed is None else f"{self.spec.label} #{self.spec.seed}"

    def as_json(self) -> dict[str, Any]:
        """The stable form of ``bench plan --json``."""
        return {
            "method": self.spec.method.name,
            "label": self.spec.label,
            "params": self.spec.params.model_dump(mode="json"),
            "seed": self.spec.seed,
            "state": self.state,
            "reason": self.reason,
            "keys": {
                "fit": self.keys.fit,
                "cell": self.keys.cell,
                "scores": {wanted.protocol.name: wanted.key for wanted in self.scores},
            },
            "missing": [wanted.protocol.name for wanted in self.missing],
        }


@dataclass(frozen=True)
class Plan:
    """The cells of a suite in the suite's order, and the images they run on."""

    suite: Suite
    train: Subset
    test: Subset
    metrics: Mapping[str, Metric]
    cells: tuple[Cell, ...]
    owners: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    def groups(self) -> list[list[Cell]]:
        """The cells to run, those of one fit together: they are scheduled and locked as one."""
        by_fit: dict[str, list[Cell]] = {}
        for cell in self.cells:
            if cell.state in ("to do", "stale"):
                by_fit.setdefault(cell.keys.fit, []).append(cell)
        return list(by_fit.values())

    def count(self, state: State) -> int:
        """How many cells are in a state."""
        return sum(cell.state == state for cell in self.cells)


def make_plan(
    suite: Suite,
    registry: Registry,
    records: Sequence[Record],
    *,
    limit: int | None = None,
    force: bool = False,
    rescore: bool = False,
) -> Plan:
    """Find out what a suite still has to make.

    Args:
        suite: A validated suite.
        registry: For the metrics and the plugins' names and versions.
        records: What is known.
        limit: The first `limit` training and test images only.
        force: Take nothing as known.
        rescore: No method is going to run, so nothing that methods need can block a cell.

    Raises:
        DataError: The data set is missing or not in its layout.
        ProtocolError: A method's output is not what a protocol can score.
    """
    train = Subset.of_split(suite.dataset, "train", limit)
    test = Subset.of_split(suite.dataset, "test", limit)
    metrics = tuple(registry.metrics[name] for name in suite.metrics)
    known = _Known(() if force else records)
    identities = _Identities(
        dataset=suite.dataset,
        subset=test,
        train=subset_identity(train),
        test=subset_identity(test),
        metrics=suite.metrics,
        metrics_code=metrics_code(metrics).sha256,
        rescore=rescore,
    )
    cells = tuple(_plan_cell(spec, suite.protocols, identities, known) for spec in suite.cells)
    names = {spec.method.name for spec in suite.cells}
    plugins = {name: registry.plugin_of("methods", name) for name in names}
    owners = {name: (plugin.name, plugin.version) for name, plugin in plugins.items()}
    return Plan(suite, train, test, registry.metrics, cells, owners)


def metrics_code(metrics: Iterable[Metric]) -> Code:
    """The code a score hangs on: the metrics' own modules, masking, resizing and alignment."""
    functions = (getattr(metric.function, "func", metric.function) for metric in metrics)
    return code_of({function.__module__ for function in functions} | {"bench.protocols.scoring"})


@dataclass(frozen=True)
class _Identities:
    dataset: Dataset
    subset: Subset
    train: Mapping[str, str]
    test: Mapping[str, str]
    metrics: tuple[str, ...]
    metrics_code: str
    rescore: bool = False
    sources: dict[SegmentsChoice, SegmentSource] = field(default_factory=dict)

    def learned_from(self, spec: CellSpec) -> dict[str, str] | None:
        """What identifies the images a fit sees: test images too, where it chooses on them."""
        if not spec.method.fitted:
            return None
        if not spec.method.selects_on_test(spec.params):
            return dict(self.train)
        return {**self.train, **{f"chosen on {name}": item for name, item in self.test.items()}}

    def segments(self, choice: SegmentsChoice | None) -> SegmentSource | None:
        """The segments a choice comes to on this data, looked up once."""
        if choice is None:
            return None
        if choice not in self.sources:
            self.sources[choice] = choice.resolve(self.dataset)
        return self.sources[choice]


class _Known:
    """The records, indexed by what a plan asks of them."""

    def __init__(self, records: Iterable[Record]) -> None:
        self.scores: set[str] = set()
        self.latest: dict[str, Record] = {}
        self.failed: dict[str, Record] = {}
        for record in sorted(records, key=lambda record: record.finished_at):
            if record.status == "ok":
                self.scores.update(score.key for score in record.scores)
                self.latest[record.keys.identity] = record
                self.failed.pop(record.keys.cell, None)
            else:
                self.failed[record.keys.cell] = record


def _plan_cell(
    spec: CellSpec, protocols: Sequence[Protocol], identities: _Identities, known: _Known
) -> Cell:
    method, params = spec.method, spec.params
    output = method.output_of(params)
    for protocol in protocols:
        check_output(protocol, output, f"method '{method.name}'")
        method.accepts(params, protocol)
    code = _method_code(method)
    weights = tuple(method.weights(params))
    segments = identities.segments(method.segments(params))
    content = method.content(params, identities.subset)
    keys = cell_keys(
        method=method.name,
        code_sha256=code.sha256,
        params=params.model_dump(mode="json"),
        predict_params=params.predict_names(),
        weights=[
            *(item.key() for item in weights),
            *([segments.key] if segments else []),
            *([content] if content is not None else []),
        ],
        train=identities.learned_from(spec),
        test=identities.test,
        seed=spec.seed,
        location_params=params.location_names(),
    )
    scores = tuple(
        Wanted(
            protocol,
            score_key(
                keys,
                identities.test["depth"],
                protocol.sha256,
                identities.metrics,
                identities.metrics_code,
            ),
        )
        for protocol in protocols
    )
    missing = tuple(wanted for wanted in scores if wanted.key not in known.scores)
    needs: list[Availability | SegmentAvailability] = [item.availability() for item in weights]
    if segments is not None:
        needs.append(segments.availability())
    state, reason = _state(keys, code, [] if identities.rescore else needs, missing, known)
    return Cell(spec, keys, code, weights, segments, scores, missing, output, state, reason)


@lru_cache(maxsize=1024)
def _method_code(method: type[Method]) -> Code:
    return code_of([method.__module__])


def _state(
    keys: CellKeys,
    code: Code,
    needs: Sequence[Availability | SegmentAvailability],
    missing: Sequence[Wanted],
    known: _Known,
) -> tuple[State, str]:
    if not missing:
        return "done", ""
    absent = [item.reason for item in needs if item.state == "missing"]
    if absent:
        return "blocked", "; ".join(absent)
    reasons = [item.reason for item in needs if item.state in ("download", "make")]
    failed = known.failed.get(keys.cell)
    if failed is not None and failed.error is not None:
        reasons.append(f"failed before: {failed.error.message}")
    older = known.latest.get(keys.identity)
    if older is not None and older.keys.cell != keys.cell:
        return "stale", _changes(older, code)
    if older is not None:
        reasons.append("already predicted; new protocol, metric or scoring code")
    return "to do", "; ".join(reasons)


def _changes(older: Record, code: Code) -> str:
    before = older.method.code_files
    names = before.keys() | code.modules.keys()
    changed = sorted(name for name in names if before.get(name) != code.modules.get(name))
    shown = ", ".join(changed[:3]) + (f" and {len(changed) - 3} more" if len(changed) > 3 else "")
    return f"code changed since record {older.id}: {shown}" if changed else "code changed"
