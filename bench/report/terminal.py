"""Records in a terminal: a suite's result at the end of a run, and one record in full.

Plain lines of text, so that a pipe, a log and a narrow window all get every figure.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from tabulate import tabulate

from bench.records import MetricValue, ProtocolPart, Record, Score
from bench.report import failing, text, wording
from bench.report.reported import reported_results
from bench.report.tables import PRIMARY, MetricInfo, Metrics, build
from bench.report.text import DASH, clean

if TYPE_CHECKING:
    from rich.console import Console

SHOWN_METRICS = (PRIMARY, "rmse", "delta1")
LABEL_LIMIT = 60


def print_suite(
    console: Console, records: Sequence[Record], cell_keys: Sequence[str], registry: Metrics
) -> None:
    """Print what is known of a suite's cells: a table for each protocol, then what failed.

    Rows that may be compared with a published figure are followed by the figure and the difference.

    Args:
        console: Where to print.
        records: All records.
        cell_keys: The suite's cells, in its order. Cells without a record are left out.
        registry: For the metrics' directions and units.
    """
    newest = _newest(records, frozenset(cell_keys))
    cells = [newest[key] for key in dict.fromkeys(cell_keys) if key in newest]
    for title, scored in _by_protocol(cells).items():
        say(console, "")
        say(console, title, bold=True)
        print_table(console, *_suite_table(scored, registry.metrics))
    _print_differences(console, cells, registry.metrics)
    failed = [cell.failure for cell in cells if cell.failure is not None]
    if failed:
        say(console, "")
        say(console, f"{text.plural(len(failed), 'cell')} failed", bold=True)
    for record in failed:
        say(console, f"{_label(record)}: {wording.failure(record)} (record {record.id})")


class _Known:
    """What is known of one cell: its newest score by protocol, or why it failed since."""

    def __init__(self) -> None:
        self.scores: dict[str, tuple[Record, Score]] = {}
        self.failure: Record | None = None

    def add(self, record: Record) -> None:
        """Take in a record, newer than all before."""
        self.failure = record if record.status == "failed" else None
        if record.status == "ok":
            scores = ((score.protocol.sha256, (record, score)) for score in record.scores)
            self.scores.update(scores)


def _newest(records: Iterable[Record], wanted: frozenset[str]) -> dict[str, _Known]:
    known: dict[str, _Known] = {}
    for record in sorted(records, key=lambda record: (record.finished_at, record.id)):
        if record.keys.cell in wanted:
            known.setdefault(record.keys.cell, _Known()).add(record)
    return known


def _by_protocol(cells: Iterable[_Known]) -> dict[str, list[tuple[Record, Score]]]:
    tables: dict[str, list[tuple[Record, Score]]] = {}
    for cell in cells:
        for record, score in cell.scores.values():
            data = record.dataset
            synthetic = ", synthetic: ranks nothing but itself" if data.synthetic else ""
            words = f"{clean(data.name)}, {wording.depth_variant(data)}, {wording.images(data)}"
            title = f"{words}, {_protocol(score.protocol)}{synthetic}"
            tables.setdefault(title, []).append((record, score))
    return tables


def _suite_table(
    scored: Iterable[tuple[Record, Score]], metrics: Mapping[str, MetricInfo]
) -> tuple[list[str], list[list[str]]]:
    names = [name for name in SHOWN_METRICS if name in metrics]
    headers = ["method", *(_header(metrics[name]) for name in names), "images/s", "weights"]
    rows = []
    for record, score in scored:
        values = [_mean(score.metrics.get(name)) for name in names]
        rate = text.rate(record.cost.images_per_second)
        on_test = " (epoch chosen on test)" if record.chosen_on_test else ""
        rows.append(
            [_label(record) + on_test, *values, rate, clean(wording.weights(record.weights))]
        )
    return headers, rows


def _print_differences(
    console: Console, cells: Iterable[_Known], metrics: Mapping[str, MetricInfo]
) -> None:
    reported = reported_results()
    held = {record.id: record for cell in cells for record, _ in cell.scores.values()}
    board = build(held.values(), metrics)
    tables = [(group, scores) for group in board.groups for scores in group.tables]
    found = [item for group, scores in tables for item in reported.differences(group, scores)]
    if not found:
        return
    names = [name for name in SHOWN_METRICS if name in metrics]
    rows = []
    for item in found:
        figures = item.reported.metrics
        shown = [
            f"{text.number(figures[name])} ({text.signed(item.values[name])})"
            if name in item.values
            else DASH
            for name in names
        ]
        rows.append([clean(item.row.label, LABEL_LIMIT), *shown, clean(item.reported.label)])
    say(console, "")
    say(console, "as reported, in brackets measured minus reported", bold=True)
    headers = ["method", *(_header(metrics[name]) for name in names), "reported as"]
    print_table(console, headers, rows)


def _protocol(protocol: ProtocolPart) -> str:
    return f"protocol {clean(protocol.name)} v{protocol.version}"


def _header(metric: MetricInfo) -> str:
    return f"{clean(metric.name)} {'↑' if metric.higher_is_better else '↓'}"


def _mean(value: MetricValue | None) -> str:
    return DASH if value is None else text.number(value.mean)


def _label(record: Record) -> str:
    seed = "" if record.seed is None else f" #{record.seed}"
    return f"{clean(record.label, LABEL_LIMIT)}{seed}"


def print_table(console: Console, headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print as a table; in a terminal too narrow for it as a few lines a row."""
    sides = ["left", *["right"] * (len(headers) - 2), "left"]
    body = [list(row) for row in rows]
    lines = tabulate(
        body, list(headers), tablefmt="simple", colalign=sides, disable_numparse=True
    ).splitlines()
    if not console.is_terminal or max(map(len, lines)) <= console.width:
        for line in lines:
            say(console, line.rstrip())
        return
    for first, *others in rows:
        say(console, first)
        for header, value in zip(headers[1:], others, strict=True):
            say(console, f"  {header}  {value}")


# --- one record -------------------------------------------------------------------------------


def print_record(console: Console, record: Record) -> None:
    """Print everything a record says but its training curve and code hashes by module."""
    for title, facts in _sections(record):
        say(console, "")
        say(console, title, bold=True)
        width = max(map(len, facts), default=0)
        for name, value in facts.items():
            say(console, f"  {name:<{width}}  {value}")
    if record.error is not None:
        say(console, "")
        say(console, "traceback", bold=True)
        for line in record.error.traceback.splitlines():
            say(console, f"  {' ' * (len(line) - len(line.lstrip()))}{clean(line)}")


def _sections(record: Record) -> Iterator[tuple[str, dict[str, str]]]:
    yield f"record {clean(record.id)}", _what(record)
    yield "parameters", {clean(k): _json(v) for k, v in record.method.params.items()}
    yield "data", _data(record)
    for score in record.scores:
        yield f"scores under {_protocol(score.protocol)}", _score(score)
        where = failing.facts(score)
        if where:
            title = (
                "where it fails (by depth and edges pooled over pixels, by scene type over images)"
            )
            yield title, where
    yield "cost", _cost(record)
    yield "environment", _environment(record)
    yield "keys", {**record.keys.model_dump(), "method code": record.method.code_sha256}


def _what(record: Record) -> dict[str, str]:
    method = record.method
    facts = {
        "status": record.status,
        "method": f"{clean(method.name)} ({clean(record.label)})",
        "plugin": f"{clean(method.plugin)} {clean(method.version)}",
        "output": method.output,
        "supervision": method.supervision,
        "seed": DASH if record.seed is None else str(record.seed),
        "suite": clean(record.suite),
        "overrides": clean(" ".join(record.overrides)) or DASH,
        "epoch chosen by": "the test images (study)"
        if record.chosen_on_test
        else clean(record.selection or DASH),
        "training curve": text.plural(len(record.history), "point"),
        "per-image values": clean(record.per_image or DASH),
        "started": clean(record.started_at),
        "finished": clean(record.finished_at),
    }
    for part in record.weights:
        known = f", sha256 {clean(part.sha256)}" if part.sha256 else ""
        facts[f"weights {clean(part.name)}"] = f"{part.origin}{known}"
    if record.error is not None:
        facts["error"] = f"{clean(record.error.type)}: {clean(record.error.message)}"
        facts["log"] = clean(record.error.log or DASH)
    return facts


def _data(record: Record) -> dict[str, str]:
    data = record.dataset
    return {
        "name": f"{clean(data.name)}{' (synthetic)' if data.synthetic else ''}",
        "split": clean(data.split),
        "depth": ", ".join(f"{clean(role)} {name}" for role, name in data.depth.items()),
        "test images": f"{data.test_images:,} of {data.of:,}",
        "training images": f"{data.train_images:,}",
        "fingerprint": clean(data.fingerprint),
    }


def _score(score: Score) -> dict[str, str]:
    facts = {clean(name): _exact(value) for name, value in score.metrics.items()}
    facts["images scored"] = f"{score.images:,}"
    if score.clusters is not None:
        facts["scenes of these"] = f"{score.clusters:,}"
    for field, words in wording.UNUSABLE.items():
        facts[f"{words.lower()} pixels"] = f"{getattr(score.invalid, field):,}"
    facts["images affected"] = f"{score.invalid.images:,}"
    if score.protocol.settings.get("alignment", "none") != "none":
        facts["images with a negative scale"] = f"{score.invalid.negative_scale_images:,}"
    facts["settings"] = wording.protocol(score.protocol.settings) or DASH
    facts["protocol sha256"] = clean(score.protocol.sha256)
    facts["score key"] = clean(score.key)
    return facts


def _exact(value: MetricValue) -> str:
    interval = value.ci95
    between = "" if interval is None else f"  [{interval[0]:.6f}, {interval[1]:.6f}]"
    return f"{value.mean:.6f}{between}"


def _cost(record: Record) -> dict[str, str]:
    cost = record.cost
    latency = cost.latency_ms_batch1
    return {
        "fit": text.duration(cost.fit_seconds),
        "predict": text.duration(cost.predict_seconds),
        "images/s": text.rate(cost.images_per_second),
        "latency, 1 image": DASH if latency is None else f"{latency:.1f} ms",
        "peak memory": text.memory(cost.peak_memory_bytes),
        "parameters": text.count(cost.parameters),
        "trained": text.count(cost.trained_parameters),
        "multiply-adds": text.count(cost.macs),
    }


def _environment(record: Record) -> dict[str, str]:
    env = record.environment
    dirty = {True: ", uncommitted changes", False: "", None: ""}[env.git_dirty]
    facts = {
        "device": clean(env.device),
        "host": clean(env.host),
        "python": clean(env.python),
        "torch": clean(env.torch),
        "cuda": clean(env.cuda or DASH),
        "git": f"{clean(env.git_commit or DASH)}{dirty}",
    }
    return facts | {clean(name): clean(version) for name, version in env.packages.items()}


def _json(value: object) -> str:
    return clean(json.dumps(value, ensure_ascii=False))


def say(console: Console, line: str, *, bold: bool = False) -> None:
    """Print one line as it is: no markup, no wrapping, no character the output cannot hold."""
    safe = line.encode(console.encoding, "replace").decode(console.encoding)
    style = "bold" if bold else None
    console.print(safe, style=style, markup=False, highlight=False, emoji=False, soft_wrap=True)
