"""`bench compare A B`: two records on the same images, metric by metric.

Everything is paired: the images both records hold, the differences between them, scenes kept whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.errors import RecordError, UnknownNameError, suggestion
from bench.records import ImageValues, ProtocolPart, Record, Score, find_record, image_values
from bench.report import text, wording
from bench.report.markup import has_unit
from bench.report.tables import PRIMARY, MetricInfo
from bench.report.terminal import print_table, say
from bench.report.text import DASH, clean
from bench.statistics.bootstrap import FEWEST_CLUSTERS, Float64, Index, cluster_index
from bench.statistics.paired import Comparison, compare, holm

if TYPE_CHECKING:
    from rich.console import Console

ALPHA = 0.05
EXTREMES = 3
"""How many images are named that each record wins by most."""

HOW = (
    "Paired over images, scenes kept whole: 95% interval of A − B by studentised bootstrap, p by "
    "sign-flip permutation test, adjusted by Holm's method for the metrics of the table; effect "
    "size is the mean of A − B over its standard deviation over images."
)


@dataclass(frozen=True)
class MetricComparison:
    """One metric of two records under one protocol.

    Attributes:
        metric: Which.
        result: What the per-image values say.
        p_holm: The p-value adjusted for the metrics shown.
    """

    metric: MetricInfo
    result: Comparison
    p_holm: float

    @property
    def verdict(self) -> int:
        """1 where A is significantly better, −1 where B is, 0 where the data cannot tell."""
        if self.p_holm > ALPHA:
            return 0
        return 1 if (self.result.difference > 0) == self.metric.higher_is_better else -1

    def as_json(self) -> dict[str, Any]:
        """The stable form of one metric."""
        result = self.result
        return {
            "metric": self.metric.name,
            "higher_is_better": self.metric.higher_is_better,
            "a": result.mean_a,
            "b": result.mean_b,
            "difference": result.difference,
            "ci95": result.ci95,
            "p": result.test.p_value,
            "p_exact": result.test.exact,
            "p_holm": self.p_holm,
            "effect_size": result.effect_size,
            "a_better": result.a_better,
            "b_better": result.b_better,
            "verdict": {1: "A", -1: "B", 0: "undecided"}[self.verdict],
        }


@dataclass(frozen=True)
class Extreme:
    """An image on which one record is far ahead."""

    image: str
    a: float
    b: float


@dataclass(frozen=True)
class ProtocolComparison:
    """Two records under one protocol.

    Attributes:
        protocol: Which.
        images: How many were compared.
        clusters: How many scenes they are of.
        metrics: In the order of the columns of a leaderboard.
        left_out: Why metrics are missing, by name.
        a_wins: The images on which A leads by most in the first metric that counts, widest first.
        b_wins: The same for B.
    """

    protocol: ProtocolPart
    images: int
    clusters: int
    metrics: tuple[MetricComparison, ...]
    left_out: Mapping[str, str]
    a_wins: tuple[Extreme, ...]
    b_wins: tuple[Extreme, ...]

    @property
    def leading(self) -> MetricComparison:
        """The metric that the verdict speaks of: `PRIMARY`, else the first."""
        found = (item for item in self.metrics if item.metric.name == PRIMARY)
        return next(found, self.metrics[0])

    @property
    def verdict(self) -> str:
        """One sentence."""
        first = self.leading
        name, result = clean(first.metric.name), first.result
        shown = _p_value(first.p_holm)
        p = f"Holm-adjusted p {shown if shown.startswith('<') else f'= {shown}'}"
        ahead = [sum(item.verdict == side for item in self.metrics) for side in (1, -1)]
        rest = (
            f"of {text.plural(len(self.metrics), 'metric')} A is significantly better in "
            f"{ahead[0]}, B in {ahead[1]}"
        )
        if not first.verdict:
            images = f"{text.plural(self.images, 'image')}"
            return f"The data cannot separate A and B on {name} ({p}, {images}); {rest}."
        better, worse = ("A", "B") if first.verdict > 0 else ("B", "A")
        unit = f" {clean(first.metric.unit)}" if has_unit(first.metric) else ""
        size = f"{abs(result.difference):.4f}{unit}"
        way = "higher" if first.metric.higher_is_better else "lower"
        return f"{better} is better than {worse} on {name}: {size} {way} ({p}); {rest}."

    def as_json(self) -> dict[str, Any]:
        """The stable form of one protocol."""
        return {
            "protocol": self.protocol.name,
            "protocol_version": self.protocol.version,
            "protocol_sha256": self.protocol.sha256,
            "images": self.images,
            "scenes": self.clusters,
            "metrics": [item.as_json() for item in self.metrics],
            "left_out": dict(self.left_out),
            "extremes_metric": self.leading.metric.name,
            "a_wins": [vars(item) for item in self.a_wins],
            "b_wins": [vars(item) for item in self.b_wins],
            "verdict": self.verdict,
        }


@dataclass(frozen=True)
class RecordComparison:
    """Two records, under every protocol they share."""

    a: Record
    b: Record
    protocols: tuple[ProtocolComparison, ...]

    def as_json(self) -> dict[str, Any]:
        """The stable form of ``bench compare --json``."""
        records = {"a": self.a, "b": self.b}
        return {
            **{side: {"id": item.id, "label": item.label} for side, item in records.items()},
            "dataset": self.a.dataset.name,
            "alpha": ALPHA,
            "protocols": [item.as_json() for item in self.protocols],
            "how": HOW,
        }


def compare_records(
    folder: Path,
    ids: tuple[str, str],
    known: Mapping[str, MetricInfo],
    *,
    metrics: Sequence[str] = (),
    protocol: str | None = None,
) -> RecordComparison:
    """Compare two records on the images both hold.

    Args:
        folder: The records folder.
        ids: The two ids, or their beginnings.
        known: The registered metrics, in the order of columns.
        metrics: Only these; all registered ones that both records hold by default.
        protocol: Only this one; all that both records were scored under by default.

    Raises:
        RecordError: A record is missing, failed or unreadable, or they cannot be compared: other
            images, or no protocol in common.
        UnknownNameError: A metric nobody registered.
    """
    for name in metrics:
        if name not in known:
            raise UnknownNameError(f"unknown metric '{name}'{suggestion(name, known)}")
    a, b = (find_record(folder, item) for item in ids)
    _require_comparable(a, b)
    wanted = [known[name] for name in (dict.fromkeys(metrics) or known)]
    pairs = _shared_scores(a, b, protocol)
    files = [_values_file(item, folder) for item in (a, b)]
    found = [_compare_scores(pair, files, wanted, named=bool(metrics)) for pair in pairs]
    return RecordComparison(a, b, tuple(found))


def _require_comparable(a: Record, b: Record) -> None:
    for record in (a, b):
        if record.status != "ok":
            raise RecordError(f"record '{record.id}' failed: it has no scores to compare")
    told = [
        {
            "data set": record.dataset.name,
            "split": record.dataset.split,
            "test depth": record.dataset.depth.get("test", "unknown"),
            "data fingerprint": record.dataset.fingerprint[:12],
        }
        for record in (a, b)
    ]
    for what, of_a in told[0].items():
        of_b = told[1][what]
        if of_a != of_b:
            raise _not_comparable(a, b, f"{what} is '{clean(of_a)}' in one, '{clean(of_b)}' in the")


def _not_comparable(a: Record, b: Record, why: str) -> RecordError:
    return RecordError(f"records '{a.id}' and '{b.id}' cannot be compared: {why} other")


def _shared_scores(a: Record, b: Record, only: str | None) -> list[tuple[Score, Score]]:
    of_a, of_b = ({score.protocol.name: score for score in record.scores} for record in (a, b))
    if only is not None:
        for record, held in ((a, of_a), (b, of_b)):
            if only not in held:
                hint = suggestion(only, held)
                raise RecordError(f"record '{record.id}' has no protocol '{only}'{hint}")
        of_a = {only: of_a[only]}
    common = [(score, of_b[name]) for name, score in of_a.items() if name in of_b]
    same = [pair for pair in common if pair[0].protocol.sha256 == pair[1].protocol.sha256]
    if same:
        return same
    if common:
        first, second = (score.protocol for score in common[0])
        why = f"the settings of protocol '{clean(first.name)}' have hash {first.sha256[:12]}"
        raise _not_comparable(a, b, f"{why} in one, {second.sha256[:12]} in the")
    names = [", ".join(map(clean, held)) or "none" for held in (of_a, of_b)]
    raise _not_comparable(a, b, f"no protocol in common: {names[0]} in one, {names[1]} in the")


def _values_file(record: Record, folder: Path) -> Path:
    name = Path(record.per_image or "").name
    found = next(iter(sorted(folder.rglob(name))), None) if name else None
    if found is None:
        raise RecordError(
            f"record '{record.id}' has no per-image values{f' ({name})' if name else ''}; copy the "
            "Parquet file beside the record, or run its suite with --force"
        )
    return found


def _compare_scores(
    pair: tuple[Score, Score], files: Sequence[Path], wanted: Sequence[MetricInfo], named: bool
) -> ProtocolComparison:
    protocol = pair[0].protocol
    names = [metric.name for metric in wanted]
    a, b = _paired(*(image_values(file, protocol.name, names) for file in files))
    usable, left_out = {}, {}
    for metric in wanted:
        why = _unusable(metric.name, pair, (a, b))
        if not why:
            usable[metric.name] = metric
        elif named or any(metric.name in score.metrics for score in pair):
            left_out[metric.name] = why
    if not usable:
        reasons = "; ".join(f"{name}: {why}" for name, why in left_out.items())
        raise RecordError(
            f"nothing to compare under protocol '{protocol.name}': {reasons or 'no common metric'}"
        )
    kept = _scored(a, list(usable))
    index = cluster_index([a.scenes[image] for image in kept])
    columns = {name: (_column(a, name, kept), _column(b, name, kept)) for name in usable}
    compared = _compare_columns(columns, usable, index)
    leading = PRIMARY if PRIMARY in usable else next(iter(usable))
    extremes = partial(_extremes, [a.ids[image] for image in kept], columns[leading])
    up = usable[leading].higher_is_better
    return ProtocolComparison(
        protocol=protocol,
        images=len(kept),
        clusters=int(index.max()) + 1,
        metrics=compared,
        left_out=left_out,
        a_wins=extremes(1 if up else -1),
        b_wins=extremes(-1 if up else 1),
    )


def _paired(a: ImageValues, b: ImageValues) -> tuple[ImageValues, ImageValues]:
    """Both, cut to the images they have in common, in the order of the first."""
    rows = {image: row for row, image in enumerate(b.ids)}
    kept = [(row, rows[image]) for row, image in enumerate(a.ids) if image in rows]
    if not kept:
        raise RecordError("the records have no test image in common: nothing to compare")

    def cut(values: ImageValues, chosen: Sequence[int]) -> ImageValues:
        return ImageValues(
            ids=tuple(values.ids[row] for row in chosen),
            scenes=tuple(values.scenes[row] for row in chosen),
            values={k: [column[row] for row in chosen] for k, column in values.values.items()},
        )

    return cut(a, [row for row, _ in kept]), cut(b, [row for _, row in kept])


def _unusable(name: str, scores: tuple[Score, Score], values: tuple[ImageValues, ...]) -> str:
    """Why a metric cannot be compared; "" where it can.

    An image without ground truth in the region is NaN in both records and is left out; a metric
    that is not finite for anything else is not compared at all: failing must not help.
    """
    for side, score, held in zip("AB", scores, values, strict=True):
        if name not in score.metrics or name not in held.values:
            return f"{side} does not have it"
        if not np.isfinite(score.metrics[name].mean):
            return f"it is not finite in {side}"
    finite = [np.isfinite(held.values[name]) for held in values]
    if (finite[0] != finite[1]).any():
        return "it is not finite for some images of one record only"
    return "" if finite[0].any() else "no common image has ground truth in the region"


def _scored(values: ImageValues, names: Sequence[str]) -> list[int]:
    table = np.array([values.values[name] for name in names], dtype=np.float64)
    return [int(image) for image in np.flatnonzero(np.isfinite(table).all(axis=0))]


def _column(values: ImageValues, name: str, kept: Sequence[int]) -> Float64:
    return np.array([values.values[name][image] for image in kept], dtype=np.float64)


def _compare_columns(
    columns: Mapping[str, tuple[Float64, Float64]], metrics: Mapping[str, MetricInfo], index: Index
) -> tuple[MetricComparison, ...]:
    results = {
        name: compare(a, b, index, metrics[name].higher_is_better)
        for name, (a, b) in columns.items()
    }
    adjusted = holm([result.test.p_value for result in results.values()])
    return tuple(
        MetricComparison(metrics[name], result, p)
        for (name, result), p in zip(results.items(), adjusted, strict=True)
    )


def _extremes(
    ids: Sequence[str], columns: tuple[Float64, Float64], sign: int
) -> tuple[Extreme, ...]:
    a, b = columns
    leads = sign * (a - b)
    order = np.argsort(-leads, kind="stable")[:EXTREMES]
    return tuple(Extreme(ids[i], float(a[i]), float(b[i])) for i in order if leads[i] > 0)


# --- in a terminal ----------------------------------------------------------------------------


def print_comparison(console: Console, found: RecordComparison) -> None:
    """Print a comparison: who, a table and a verdict for each protocol, how it was made."""
    for side, record in (("A", found.a), ("B", found.b)):
        seed = "" if record.seed is None else f" #{record.seed}"
        weights = wording.weights(record.weights)
        say(console, f"{side}  {clean(record.label, 60)}{seed}, weights {clean(weights)}")
        say(console, f"   record {clean(record.id)}")
    data = found.a.dataset
    synthetic = ", synthetic: ranks nothing but itself" if data.synthetic else ""
    for item in found.protocols:
        where = f"{clean(data.name)}, {wording.depth_variant(data)}{synthetic}"
        protocol = f"protocol {clean(item.protocol.name)} v{item.protocol.version}"
        images = f"{text.plural(item.images, 'image')} of {text.plural(item.clusters, 'scene')}"
        say(console, "")
        say(console, f"{where}, {protocol}, {images}", bold=True)
        print_table(console, *_table(item))
        for line in _notes(item):
            say(console, line)
    say(console, "")
    say(console, HOW)


def _table(item: ProtocolComparison) -> tuple[list[str], list[list[str]]]:
    headers = ["metric", "A", "B", "A − B", "95% interval", "p (Holm)", "effect size"]
    headers += ["A better on", "B better on", "better"]
    rows = []
    for one in item.metrics:
        result, arrow = one.result, "↑" if one.metric.higher_is_better else "↓"
        ends = result.ci95
        rows.append(
            [
                f"{clean(one.metric.name)} {arrow}",
                f"{result.mean_a:.4f}",
                f"{result.mean_b:.4f}",
                _signed(result.difference),
                DASH if ends is None else " to ".join(map(_signed, ends)),
                _p_value(one.p_holm),
                DASH if result.effect_size is None else _signed(result.effect_size, 2),
                f"{result.a_better:.0%}",
                f"{result.b_better:.0%}",
                {1: "A", -1: "B", 0: "undecided"}[one.verdict],
            ]
        )
    return headers, rows


def _notes(item: ProtocolComparison) -> Iterator[str]:
    yield item.verdict
    name = clean(item.leading.metric.name)
    for side, wins in (("A", item.a_wins), ("B", item.b_wins)):
        if wins:
            shown = (f"{clean(win.image)} ({win.a:.3f} against {win.b:.3f})" for win in wins)
            yield f"{side} leads by most in {name} on {', '.join(shown)} (A against B)"
    if item.clusters < FEWEST_CLUSTERS:
        least = f"{2.0 ** (1 - item.clusters):.2g}"
        yield (
            f"few scenes: no intervals below {FEWEST_CLUSTERS}, and no p below {least} with "
            f"{item.clusters}"
        )
    for metric, why in item.left_out.items():
        yield f"{clean(metric)} left out: {why}"


def _signed(value: float, digits: int = 4) -> str:
    return f"{value:+.{digits}f}".replace("-", "−")


def _p_value(p: float) -> str:
    return "< 0.0001" if p < 0.0001 else f"{p:.4f}"
