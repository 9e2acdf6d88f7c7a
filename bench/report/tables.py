"""Records sorted into tables: what may stand beside what, which record speaks for a cell.

    records -> DataGroup (one set of test images) -> ScoreTable (one protocol) -> Row (one method,
    its seeds together)

Nothing here formats text, so that every rendering shows the same tables.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

from bench.records import Cost, DatasetPart, ProtocolPart, Record, Score
from bench.report.statistics import Summary, summarise
from bench.types import Supervision

PRIMARY = "abs_rel"
"""Tables are ordered by this metric where they have it."""

AGREEMENT = 1e-6
"""Relative difference up to which records of one score agree: float32 noise between machines."""

TRAINED: frozenset[Supervision] = frozenset(("depth", "self-supervised"))


class MetricInfo(Protocol):
    """What a table needs to know of a metric (`bench.metrics.base.Metric` is one)."""

    @property
    def name(self) -> str:
        """As in records."""

    @property
    def unit(self) -> str:
        """Of its values; "" where it has none."""

    @property
    def higher_is_better(self) -> bool:
        """The direction."""

    @property
    def formula(self) -> str:
        """For the legend."""


class Metrics(Protocol):
    """The part of the registry that tables need."""

    @property
    def metrics(self) -> Mapping[str, MetricInfo]:
        """Every registered metric by name, in the order of the columns."""


@dataclass(frozen=True)
class Entry:
    """One score of one record."""

    record: Record
    score: Score

    @cached_property
    def question(self) -> str:
        """What was asked, without seed and code: rows are told apart by it."""
        record, method = self.record, self.record.method
        weights = [(item.name, item.origin, item.sha256) for item in record.weights]
        data = record.dataset
        learned = [data.train_images, data.depth.get("train")] if _trained(record) else None
        asked = [method.name, method.params, method.supervision, weights, learned, record.selection]
        return json.dumps(asked, sort_keys=True)


@dataclass(frozen=True)
class Row:
    """One method with its parameters and weights, from one code, under one protocol.

    Attributes:
        label: The newest record's label, with the parameters that tell it from its namesakes.
        entries: One per seed, by seed; the only one, of seed None, where the method has no seeds.
        older_code: A newer version of the method's code has a row in the same table.
    """

    label: str
    entries: tuple[Entry, ...]
    older_code: bool = False

    @property
    def record(self) -> Record:
        """One of its records: what all of them share can be read from it."""
        return self.entries[0].record

    @property
    def seeds(self) -> int | None:
        """How many seeds were run; None for a method without seeds."""
        return None if self.record.seed is None else len(self.entries)

    @property
    def trained(self) -> bool:
        """Whether the method learned from training images."""
        return _trained(self.record)

    @property
    def random_init(self) -> bool:
        """Whether pretrained weights were stood in for by random ones."""
        return any(item.origin == "random-init" for item in self.record.weights)

    @property
    def chosen_on_test(self) -> bool:
        """Whether the epoch was chosen by its score on the test images."""
        return any(entry.record.chosen_on_test for entry in self.entries)

    @cached_property
    def summaries(self) -> dict[str, Summary]:
        """Each metric that every seed has, over the seeds."""
        first, *others = [entry.score.metrics for entry in self.entries]
        shared = [name for name in first if all(name in other for other in others)]
        return {
            name: summarise([entry.score.metrics[name].mean for entry in self.entries])
            for name in shared
        }

    def interval(self, name: str) -> tuple[float, float] | None:
        """The 95% interval of a metric: over several seeds the mean of theirs; None without."""
        held = [entry.score.metrics[name].ci95 for entry in self.entries]
        known = [interval for interval in held if interval is not None]
        if not known or len(known) < len(held):
            return None
        low, high = (sum(ends) / len(known) for ends in zip(*known, strict=True))
        return low, high


@dataclass(frozen=True)
class Ranks:
    """The ranks of a table's rows by `PRIMARY`, as far as its images can tell the rows apart.

    Attributes:
        spans: First and last rank of the group a row is in, by the row's index; rows without a
            figure and such whose epoch was chosen on the test images (unless all were) are left
            out.
        why_not: Why there are none; "" where there are.
    """

    spans: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    why_not: str = ""


@dataclass(frozen=True)
class ScoreTable:
    """The rows that may be compared: one set of test images, one protocol; best first.

    Attributes:
        protocol: What they were scored under.
        rows: In order.
        ranks: None where there is nothing to rank (`bench.report.ranks` fills them in).
    """

    protocol: ProtocolPart
    rows: tuple[Row, ...]
    ranks: Ranks | None = None

    def metric_names(self, known: Mapping[str, MetricInfo]) -> list[str]:
        """The columns: registered metrics in their order, then those nobody registers any more."""
        held = {name for row in self.rows for name in row.summaries}
        return [name for name in known if name in held] + sorted(held - known.keys())


@dataclass(frozen=True)
class CostRow:
    """What one method cost: the mean over its seeds of what was measured.

    Attributes:
        label: As in the score tables.
        older_code: As in the score tables.
        records: The records it is read from.
        cost: None where nothing was measured.
    """

    label: str
    older_code: bool
    records: tuple[Record, ...]
    cost: Cost


@dataclass(frozen=True)
class DataGroup:
    """All tables on one set of test images."""

    dataset: DatasetPart
    tables: tuple[ScoreTable, ...]
    costs: tuple[CostRow, ...]

    @property
    def subset(self) -> bool:
        """Whether test images were left out."""
        return self.dataset.test_images < self.dataset.of

    @property
    def rows(self) -> Iterator[Row]:
        """The rows of all tables."""
        return (row for table in self.tables for row in table.rows)

    @property
    def train_images(self) -> list[int]:
        """The sizes of the training sets of the methods that learned from one."""
        return sorted({row.record.dataset.train_images for row in self.rows if row.trained})

    @property
    def train_depths(self) -> list[str]:
        """The depth variants that methods learned from."""
        learned = (row.record.dataset.depth for row in self.rows if row.trained)
        return sorted({depth["train"] for depth in learned if "train" in depth})


@dataclass(frozen=True)
class Disagreement:
    """Records that hold one score and differ.

    Attributes:
        label: Of the newest.
        protocol: Its name.
        records: Their ids, oldest first.
        metric: Where they differ most.
        difference: By how much, absolutely; NaN where one of them is NaN.
    """

    label: str
    protocol: str
    records: tuple[str, ...]
    metric: str
    difference: float


@dataclass(frozen=True)
class Leaderboard:
    """Everything the records say, sorted.

    Attributes:
        groups: Tables by data.
        failures: The newest failure of each cell that has not succeeded since, oldest first.
        superseded: Records with a score that a newer record of the same cell replaces.
        disagreements: Scores on which records differ.
        records: How many records there are.
    """

    groups: tuple[DataGroup, ...] = ()
    failures: tuple[Record, ...] = ()
    superseded: tuple[Record, ...] = ()
    disagreements: tuple[Disagreement, ...] = ()
    records: int = 0

    @property
    def rows(self) -> Iterator[Row]:
        """The rows of all tables."""
        return (row for group in self.groups for row in group.rows)

    @property
    def dirty(self) -> int:
        """How many of the records shown came from a git tree with uncommitted changes."""
        shown = (entry.record for row in self.rows for entry in row.entries)
        return len({record.id for record in shown if record.environment.git_dirty})


def build(records: Iterable[Record], metrics: Mapping[str, MetricInfo]) -> Leaderboard:
    """Sort records into tables.

    The newest record of a cell speaks for it, whichever code it came from; seeds of one method,
    parameters, weights and code share a row; figures on different data, splits, depth variants,
    image counts or protocols never share a table.

    Args:
        records: In any order.
        metrics: The registered metrics, in the order of the columns.
    """
    ordered = sorted(_distinct(records), key=_age)
    current, superseded = _newest(ordered)
    return Leaderboard(
        groups=tuple(_groups(current, metrics)),
        failures=tuple(_failures(ordered)),
        superseded=superseded,
        disagreements=tuple(_disagreements(ordered)),
        records=len(ordered),
    )


_DataKey = tuple[str, str, str, str, int, int]


def _distinct(records: Iterable[Record]) -> Iterator[Record]:
    """The records without copies (a folder merged into itself)."""
    known: dict[str, list[Record]] = {}
    for record in records:
        namesakes = known.setdefault(record.id, [])
        if record not in namesakes:
            namesakes.append(record)
            yield record


def _age(record: Record) -> tuple[str, str]:
    return record.finished_at, record.id


def _data_key(data: DatasetPart) -> _DataKey:
    depth = data.depth.get("test", "unknown")
    return data.name, data.fingerprint, data.split, depth, data.test_images, data.of


def _trained(record: Record) -> bool:
    return record.method.supervision in TRAINED


def _newest(ordered: Sequence[Record]) -> tuple[list[Entry], tuple[Record, ...]]:
    """The newest score of each question on each data, and the records it took the place of."""
    newest: dict[tuple[_DataKey, str, str], Entry] = {}
    replaced: dict[str, Record] = {}
    for record in ordered:
        if record.status != "ok":
            continue
        data = _data_key(record.dataset)
        for score in record.scores:
            question = data, score.protocol.sha256, record.keys.identity
            before = newest.get(question)
            if before is not None and before.record is not record:
                replaced[before.record.id] = before.record
            newest[question] = Entry(record, score)
    return list(newest.values()), tuple(replaced.values())


def _groups(current: Iterable[Entry], metrics: Mapping[str, MetricInfo]) -> Iterator[DataGroup]:
    by_data: dict[_DataKey, list[Entry]] = {}
    for entry in current:
        by_data.setdefault(_data_key(entry.record.dataset), []).append(entry)
    for _, entries in sorted(by_data.items(), key=_data_order):
        labels = _labels(entries)
        by_protocol: dict[str, list[Entry]] = {}
        for entry in entries:
            by_protocol.setdefault(entry.score.protocol.sha256, []).append(entry)
        tables = [_table(found, labels, metrics) for found in by_protocol.values()]
        tables.sort(key=lambda table: (table.protocol.name, table.protocol.sha256))
        yield DataGroup(entries[0].record.dataset, tuple(tables), tuple(_costs(tables)))


def _data_order(item: tuple[_DataKey, object]) -> tuple[str, int, _DataKey]:
    """By name; the largest set of test images first, so that subsets follow the whole."""
    key = item[0]
    return key[0], -key[4], key


def _labels(entries: Iterable[Entry]) -> dict[str, str]:
    """A label for each question: its newest record's, with what tells it from its namesakes."""
    newest: dict[str, Record] = {}
    for entry in sorted(entries, key=lambda entry: _age(entry.record)):
        newest[entry.question] = entry.record
    namesakes: dict[str, list[Record]] = {}
    for record in newest.values():
        namesakes.setdefault(record.label, []).append(record)
    varying = {label: _varying(group) for label, group in namesakes.items()}
    methods = {
        label: len({item.method.name for item in group}) for label, group in namesakes.items()
    }
    depths = {label: _train_depths(group) for label, group in namesakes.items()}
    labels = {}
    for question, record in newest.items():
        told = [record.method.name] if methods[record.label] > 1 else []
        params = record.method.params
        told += [f"{name}={params[name]}" for name in varying[record.label] if name in params]
        if len(depths[record.label]) > 1:
            told.append(f"trained on {record.dataset.depth.get('train', 'unknown')} depth")
        labels[question] = f"{record.label} ({', '.join(told)})" if told else record.label
    return labels


def _train_depths(records: Iterable[Record]) -> set[str | None]:
    return {record.dataset.depth.get("train") for record in records if _trained(record)}


def _varying(records: Sequence[Record]) -> list[str]:
    """The parameters in which records of the same method differ."""
    values: dict[tuple[str, str], set[str]] = {}
    for record in records:
        for name, value in record.method.params.items():
            values.setdefault((record.method.name, name), set()).add(json.dumps(value))
    return list(dict.fromkeys(name for (_, name), found in values.items() if len(found) > 1))


def _table(
    entries: Iterable[Entry], labels: Mapping[str, str], metrics: Mapping[str, MetricInfo]
) -> ScoreTable:
    bundles = _bundle_seeds(entries)
    newest: dict[str, Record] = {}
    for bundle in bundles:
        question, record = bundle[-1].question, bundle[-1].record
        newest[question] = max(newest.get(question, record), record, key=_age)
    rows = []
    for bundle in bundles:
        question, record = bundle[-1].question, bundle[-1].record
        older = record.method.code_sha256 != newest[question].method.code_sha256
        by_seed = sorted(bundle, key=lambda entry: entry.record.seed or 0)
        rows.append(Row(labels[question], tuple(by_seed), older))
    protocol = rows[0].entries[0].score.protocol
    return ScoreTable(protocol, tuple(sorted(rows, key=_ranking(rows, metrics))))


def _bundle_seeds(entries: Iterable[Entry]) -> list[list[Entry]]:
    """Entries that differ in nothing but the seed, together, oldest first.

    Two entries of one seed are no repetition of each other (they may have learned from different
    splits, say): the second opens a bundle of its own.
    """
    turns: dict[tuple[str, str, int | None], int] = {}
    bundles: dict[tuple[str, str, bool, int], list[Entry]] = {}
    for entry in sorted(entries, key=lambda entry: _age(entry.record)):
        code, seed = entry.record.method.code_sha256, entry.record.seed
        turn = turns.get((entry.question, code, seed), 0)
        turns[entry.question, code, seed] = turn + 1
        bundles.setdefault((entry.question, code, seed is None, turn), []).append(entry)
    return list(bundles.values())


def _ranking(
    rows: Sequence[Row], metrics: Mapping[str, MetricInfo]
) -> Callable[[Row], tuple[bool, float, str, str]]:
    """Best first by `PRIMARY`; what has no number comes last."""
    held = [name for name in metrics if any(name in row.summaries for row in rows)]
    name = PRIMARY if PRIMARY in held else next(iter(held), "")
    sign = -1 if name and metrics[name].higher_is_better else 1

    def order(row: Row) -> tuple[bool, float, str, str]:
        summary = row.summaries.get(name)
        value = math.nan if summary is None else summary.mean
        lost = math.isnan(value)
        return lost, 0.0 if lost else sign * value, row.label, row.record.id

    return order


def _costs(tables: Iterable[ScoreTable]) -> Iterator[CostRow]:
    """One row for each method of the tables, in the order of the first table that has it."""
    found: dict[tuple[str, str], list[Row]] = {}
    for row in (row for table in tables for row in table.rows):
        key = row.entries[0].question, row.record.method.code_sha256
        found.setdefault(key, []).append(row)
    for rows in found.values():
        seeds: dict[int | None, dict[str, Record]] = {}
        for record in (entry.record for row in rows for entry in row.entries):
            seeds.setdefault(record.seed, {})[record.id] = record
        records = tuple(record for held in seeds.values() for record in held.values())
        older = any(row.older_code for row in rows)
        yield CostRow(rows[0].label, older, records, _cost(list(seeds.values())))


def _cost(seeds: Sequence[Mapping[str, Record]]) -> Cost:
    """The mean over seeds; a seed's newest record that measured a cost speaks for it."""
    values: dict[str, float | int | None] = {}
    for name in Cost.model_fields:
        measured = []
        for records in seeds:
            newest_first = sorted(records.values(), key=_age, reverse=True)
            found = (getattr(record.cost, name) for record in newest_first)
            measured.append(next((value for value in found if value is not None), None))
        held = [value for value in measured if value is not None]
        mean = sum(held) / len(held) if held else None
        whole = bool(held) and all(isinstance(value, int) for value in held)
        values[name] = round(mean) if mean is not None and whole else mean
    return Cost.model_validate(values)


def _failures(ordered: Iterable[Record]) -> Iterator[Record]:
    """The newest failure of each question, unless it was answered later."""
    failed: dict[str, Record] = {}
    for record in ordered:
        failed.pop(record.keys.identity, None)
        if record.status == "failed":
            failed[record.keys.identity] = record
    yield from failed.values()


def _disagreements(ordered: Iterable[Record]) -> Iterator[Disagreement]:
    holders: dict[str, list[Entry]] = {}
    for record in ordered:
        if record.status == "ok":
            for score in record.scores:
                holders.setdefault(score.key, []).append(Entry(record, score))
    for entries in holders.values():
        if len(entries) < 2:
            continue
        metric, difference = _largest_difference([entry.score for entry in entries])
        if metric:
            newest = entries[-1]
            ids = tuple(entry.record.id for entry in entries)
            name = newest.score.protocol.name
            yield Disagreement(newest.record.label, name, ids, metric, difference)


def _largest_difference(scores: Sequence[Score]) -> tuple[str, float]:
    """The metric in which scores differ most beyond noise, and by how much; "" where they agree."""
    worst, largest = "", -1.0
    for name in scores[-1].metrics:
        values = [score.metrics[name].mean for score in scores if name in score.metrics]
        if all(map(math.isnan, values)):
            continue
        if any(map(math.isnan, values)):
            return name, math.nan
        low, high = min(values), max(values)
        if high - low > largest and not math.isclose(low, high, rel_tol=AGREEMENT, abs_tol=1e-9):
            worst, largest = name, high - low
    return worst, largest
