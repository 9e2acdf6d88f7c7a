"""The pieces of a markdown page that several sections use."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from tabulate import tabulate

from bench.records import Record
from bench.report.tables import MetricInfo
from bench.report.text import escape

LABEL_LIMIT = 100
SHORT_ID = 8

Link = Callable[[Record], str]
"""Gives a record's short id, linked to its file where there is one."""


def links(records_folder: Path, out: Path) -> Link:
    """Link records to their files.

    Args:
        records_folder: Where the records are, in subfolders too.
        out: The folder of the page; links are relative to it.
    """
    files = {path.stem: path for path in sorted(records_folder.rglob("*.json"), reverse=True)}
    # Resolved once: a system call for each part of each path would dominate a large folder.
    base = os.path.relpath(records_folder.resolve(), out.resolve())

    def link(record: Record) -> str:
        short = escape(record.id[:SHORT_ID]) or "record"
        path = files.get(record.id)
        if path is None:
            return short
        target = (Path(base) / path.relative_to(records_folder)).as_posix()
        return f"[{short}]({quote(target)})"

    return link


def table(headers: Sequence[str], rows: Iterable[Sequence[str]], numbers: range) -> str:
    """A markdown table of cells that are safe already.

    Args:
        headers: One a column.
        rows: As many cells each as there are headers.
        numbers: The columns that hold numbers, set right.
    """
    sides = ["right" if column in numbers else "left" for column in range(len(headers))]
    body = [list(row) for row in rows]
    return tabulate(body, list(headers), tablefmt="pipe", colalign=sides, disable_numparse=True)


def bullets(lines: Iterable[str]) -> str:
    """A list."""
    return "\n".join(f"- {line}" for line in lines)


def metric_header(name: str, metrics: Mapping[str, MetricInfo]) -> str:
    """A metric as a column's head: ``rmse (m) ↓``; without arrow where nobody registered it."""
    metric = metrics.get(name)
    if metric is None:
        return escape(name)
    unit = f" ({escape(metric.unit)})" if has_unit(metric) else ""
    return f"{escape(name)}{unit} {arrow(metric)}"


def has_unit(metric: MetricInfo) -> bool:
    """Whether a metric's values carry a unit."""
    return metric.unit not in ("", "1", "-", "none")


def arrow(metric: MetricInfo) -> str:
    """The better direction."""
    return "↑" if metric.higher_is_better else "↓"
