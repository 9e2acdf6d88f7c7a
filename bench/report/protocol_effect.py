"""What the protocol alone does: the same methods, ranked under each protocol that scored them.

Between the columns of these tables nothing differs but the protocol: no training, no method.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from bench.records import ProtocolPart
from bench.report import text
from bench.report.caveats import OLDER_CODE
from bench.report.markup import LABEL_LIMIT, bullets, metric_header, table
from bench.report.tables import PRIMARY, DataGroup, MetricInfo, Row
from bench.report.text import DASH, code, escape

METRICS = (PRIMARY, "delta1")
SHOWN = 8
"""Pairs of methods named as changing places."""

_Key = tuple[str, str, int]


@dataclass(frozen=True)
class Effect:
    """One metric of the methods of a data group under each of its protocols.

    Attributes:
        metric: Its name.
        protocols: Their names; with the beginning of the hash where two share a name.
        rows: One of each method's rows.
        values: By method, then protocol; None where there is no figure.
        ranks: By method, then protocol, among the methods with a figure under all of them: 1 is
            the best, figures that are shown alike share a rank; None for the others.
    """

    metric: str
    protocols: tuple[str, ...]
    rows: tuple[Row, ...]
    values: tuple[tuple[float | None, ...], ...]
    ranks: tuple[tuple[int, ...] | None, ...]

    @property
    def ranked(self) -> int:
        """How many methods have a figure under all protocols."""
        return sum(ranks is not None for ranks in self.ranks)

    def swaps(self, protocol: int) -> list[tuple[Row, Row]]:
        """Pairs the first protocol puts in this order, and another protocol in the other."""
        ranked = [(ranks, row) for ranks, row in zip(self.ranks, self.rows, strict=True) if ranks]
        ranked.sort(key=lambda item: item[0][0])
        return [
            (ahead, behind)
            for (first, ahead), (second, behind) in combinations(ranked, 2)
            if first[0] < second[0] and first[protocol] > second[protocol]
        ]


def effect(group: DataGroup, metric: MetricInfo) -> Effect | None:
    """What the protocols of a group make of one metric.

    Returns:
        None where there are fewer than two protocols, or no method has figures under two.
    """
    columns = [dict(_keyed(scores.rows)) for scores in group.tables]
    keys = list(dict.fromkeys(key for column in columns for key in column))
    values = {
        key: tuple(_value(column.get(key), metric.name) for column in columns) for key in keys
    }
    if not any(sum(value is not None for value in row) > 1 for row in values.values()):
        return None
    keys = [key for key in keys if any(value is not None for value in values[key])]
    full = [key for key in keys if None not in values[key]]
    ranked = [_ranks([values[key][place] for key in full], metric) for place in range(len(columns))]
    ranks = {key: tuple(column[index] for column in ranked) for index, key in enumerate(full)}
    return Effect(
        metric.name,
        _names([scores.protocol for scores in group.tables]),
        tuple(next(column[key] for column in columns if key in column) for key in keys),
        tuple(values[key] for key in keys),
        tuple(ranks.get(key) for key in keys),
    )


def _keyed(rows: Sequence[Row]) -> Iterator[tuple[_Key, Row]]:
    """Rows by what was asked and which code answered: the same in every table of a group."""
    turns: Counter[tuple[str, str]] = Counter()
    for row in rows:
        asked = row.entries[0].question, row.record.method.code_sha256
        yield (*asked, turns[asked]), row
        turns[asked] += 1


def _value(row: Row | None, name: str) -> float | None:
    if row is None or name not in row.summaries:
        return None
    value = row.summaries[name].mean
    return value if math.isfinite(value) else None


def _names(protocols: Sequence[ProtocolPart]) -> tuple[str, ...]:
    counts = Counter(protocol.name for protocol in protocols)
    return tuple(
        f"{item.name} {item.sha256[:6]}" if counts[item.name] > 1 else item.name
        for item in protocols
    )


def _ranks(values: Sequence[float | None], metric: MetricInfo) -> list[int]:
    shown = [float(text.number(value)) for value in values]
    sign = -1 if metric.higher_is_better else 1
    return [1 + sum(sign * other < sign * value for other in shown) for value in shown]


def effect_section(group: DataGroup, metrics: Mapping[str, MetricInfo]) -> Iterator[str]:
    """The blocks that show what the protocol alone does; none where there is only one."""
    found = [effect(group, metrics[name]) for name in METRICS if name in metrics]
    effects = [item for item in found if item is not None]
    if not effects:
        return
    yield "### What the protocol alone does"
    yield (
        "The same methods under each protocol, and in brackets their ranks among those that have "
        "figures under all of them. Ranks here are by the mean as shown, whether or not the images "
        "can tell two methods apart. Along a row nothing differs but the protocol."
    )
    for item in effects:
        yield _table(item, metrics)
        notes = list(_notes(item))
        if notes:
            yield bullets(notes)


def _table(found: Effect, metrics: Mapping[str, MetricInfo]) -> str:
    headers = [metric_header(found.metric, metrics), *(escape(name) for name in found.protocols)]
    body = []
    for row, values, ranks in zip(found.rows, found.values, found.ranks, strict=True):
        cells = [
            _shown(value, ranks[place] if ranks else None) for place, value in enumerate(values)
        ]
        body.append([_label(row), *cells])
    return table(headers, body, range(1, len(headers)))


def _shown(value: float | None, rank: int | None) -> str:
    if value is None:
        return DASH
    return text.number(value) + (f" ({rank})" if rank else "")


def _label(row: Row) -> str:
    return escape(row.label, LABEL_LIMIT) + (f" {OLDER_CODE}" if row.older_code else "")


def _notes(found: Effect) -> Iterator[str]:
    if found.ranked < 2:
        return
    first, *others = found.protocols
    pairs = found.ranked * (found.ranked - 1) // 2
    for place, name in enumerate(others, 1):
        swaps = found.swaps(place)
        if not swaps:
            continue
        named = [f"{_label(ahead)} / {_label(behind)}" for ahead, behind in swaps]
        yield (
            f"{code(name)} turns {len(swaps)} of {text.plural(pairs, 'pair')} of {code(first)} "
            f"round by {code(found.metric)}: {text.listed(named, SHOWN)}."
        )
    if not any(found.swaps(place) for place in range(1, len(found.protocols))):
        yield f"By {code(found.metric)} no protocol changes the order."
