"""Ranks for the score tables: from per-image values where they are there, remembered once made."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from bench.errors import RecordError, StoreError
from bench.records import ImageValues, image_values
from bench.report.tables import PRIMARY, Leaderboard, Ranks, Row, ScoreTable
from bench.report.text import plural
from bench.store import cache_root, write_atomically

VERSION = 1
"""Raised whenever the same values give other ranks: what is remembered is then made again."""


def with_ranks(board: Leaderboard, folder: Path) -> Leaderboard:
    """Give every table its ranks.

    Ranks depend on the records and their per-image values alone; they are remembered in the store,
    by the records, so that a leaderboard without news costs no reading.

    Args:
        board: As built.
        folder: The records folder: the Parquet files lie in it or below it.
    """
    files = {path.name: path for path in sorted(folder.rglob("*.parquet"), reverse=True)}
    groups = []
    for group in board.groups:
        tables = [replace(table, ranks=_ranks(table, files)) for table in group.tables]
        groups.append(replace(group, tables=tuple(tables)))
    return replace(board, groups=tuple(groups))


def _ranks(table: ScoreTable, files: Mapping[str, Path]) -> Ranks | None:
    """The ranks of one table; None where there is nothing to rank."""
    ranked = _ranked(table.rows)
    if len(ranked) < 2:
        return None
    rows = [table.rows[index] for index in ranked]
    paths = [[files.get(entry.record.per_image or "") for entry in row.entries] for row in rows]
    missing = sum(None in of_row for of_row in paths)
    if missing:
        return Ranks(why_not=f"the per-image values of {plural(missing, 'row')} are not there")
    known = [[path for path in of_row if path is not None] for of_row in paths]
    memo = cache_root() / "ranks" / f"{_key(table, known)}.json"
    try:
        spans = _recalled(memo, len(rows)) or _made(table.protocol.name, known, memo)
    except RecordError:
        return Ranks(why_not="the per-image values of a row cannot be read")
    if spans is None:
        return Ranks(why_not="the rows were not scored on the same images")
    return Ranks(spans=dict(zip(ranked, spans, strict=True)))


def _ranked(rows: Sequence[Row]) -> list[int]:
    """The rows that have a rank: a figure, and no epoch chosen on the test images unless all do."""
    some_fair = not all(row.chosen_on_test for row in rows)
    return [
        index
        for index, row in enumerate(rows)
        if PRIMARY in row.summaries
        and math.isfinite(row.summaries[PRIMARY].mean)
        and not (some_fair and row.chosen_on_test)
    ]


def _key(table: ScoreTable, paths: Iterable[Iterable[Path]]) -> str:
    told = [[(path.name, *_state(path)) for path in of_row] for of_row in paths]
    content = json.dumps([VERSION, PRIMARY, table.protocol.name, told])
    return hashlib.sha256(content.encode()).hexdigest()


def _state(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns


_Spans = list[tuple[int, int]]


def _recalled(memo: Path, rows: int) -> _Spans | None:
    try:
        spans = [(int(first), int(last)) for first, last in json.loads(memo.read_bytes())]
    except (OSError, ValueError, TypeError):
        return None
    return spans if len(spans) == rows else None


def _made(protocol: str, paths: Sequence[Sequence[Path]], memo: Path) -> _Spans | None:
    """The first and last rank of each row; None where the rows do not share their images.

    Raises:
        RecordError: Per-image values cannot be read.
    """
    import numpy as np

    from bench.statistics.bootstrap import cluster_index
    from bench.statistics.ties import shared_ranks, tie_groups

    first: ImageValues | None = None
    rows = []
    for of_row in paths:
        seeds = []
        for path in of_row:
            held = image_values(path, protocol, [PRIMARY])
            first = first or held
            if held.ids != first.ids or PRIMARY not in held.values:
                return None
            seeds.append(held.values[PRIMARY])
        rows.append(seeds)
    assert first is not None
    # Each row's seeds are averaged image by image.
    values = np.stack([np.mean(np.array(seeds, dtype=np.float64), axis=0) for seeds in rows])
    finite = np.isfinite(values)
    scored = np.flatnonzero(finite.any(axis=0))
    if not len(scored) or not finite[:, scored].all():
        return None
    values = values[:, scored]
    scenes = [first.scenes[image] for image in scored]
    spans = shared_ranks(tie_groups(values, cluster_index(scenes)))
    # What cannot be remembered is made again next time.
    with contextlib.suppress(StoreError):
        write_atomically(memo, json.dumps(spans).encode())
    return spans
