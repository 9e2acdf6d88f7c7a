"""Where methods fail: by depth, near depth edges, by scene type."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from statistics import fmean

from bench.records import Breakdown, DepthBin, PixelFigures, Score
from bench.report import text
from bench.report.markup import LABEL_LIMIT, bullets, table
from bench.report.tables import PRIMARY, DataGroup, Row, ScoreTable
from bench.report.text import DASH, clean, code, escape

SCENE_TYPES = 8
"""How many scene types have a column: those with the most images."""


def failing_section(group: DataGroup) -> Iterator[str]:
    """The blocks of one set of test images, under the first protocol with breakdowns."""
    for scores in group.tables:
        if any(_breakdowns(row) for row in scores.rows):
            yield "### Where it fails"
            yield from _section(scores)
            return


def depth_bin(item: DepthBin) -> str:
    """``2–3 m``, ``over 10 m``."""
    return f"over {item.low:g} m" if item.high is None else f"{item.low:g}–{item.high:g} m"


def scene_type(name: str | None) -> str:
    """Printable, on one line."""
    return clean(name or "", LABEL_LIMIT) or "not known"


def _section(scores: ScoreTable) -> Iterator[str]:
    rows = [row for row in scores.rows if _breakdowns(row)]
    yield (
        f"{code(PRIMARY)} ↓ under protocol {escape(scores.protocol.name)}, by depth and near depth "
        "edges: pooled over the scored pixels of all images, so not the mean over images above."
    )
    columns = _pixel_columns(rows)
    yield _table(rows, columns)
    notes = [_shares(rows[0], columns)]
    types = _scene_type_columns(rows)
    shown = dict(list(types.items())[:SCENE_TYPES])
    if len(types) > len(shown):
        notes.append(
            f"{len(types) - len(shown)} more scene types have fewer images; `bench show` has all."
        )
    yield bullets(
        [
            *notes,
            "Pixels are those of a grid of at least 160 rows, or all of a smaller frame. Near an "
            "edge: one of the 4 neighbours on the grid is more than 10% farther or nearer.",
        ]
    )
    if shown:
        yield f"{code(PRIMARY)} ↓ by scene type, mean over images:"
        yield _table(rows, shown)


_Value = Callable[[Breakdown], "float | None"]


def _pixel_columns(rows: Sequence[Row]) -> dict[str, _Value]:
    """The columns that any row has pixels for."""
    held = [part for row in rows for part in _breakdowns(row)]
    names = dict.fromkeys(depth_bin(item) for part in held for item in part.depth if item.pixels)
    columns: dict[str, _Value] = {name: _in_bin(name) for name in names}
    if any(part.near_edges and part.near_edges.pixels for part in held):
        columns["near edges"] = lambda part: _error(part.near_edges)
        columns["flat"] = lambda part: _error(part.flat)
    return columns


def _in_bin(name: str) -> _Value:
    return lambda part: next((_error(i) for i in part.depth if depth_bin(i) == name), None)


def _error(item: PixelFigures | None) -> float | None:
    return None if item is None else item.abs_rel


def _scene_type_columns(rows: Sequence[Row]) -> dict[str, _Value]:
    """By heading, the types with the most images first."""
    images: dict[str | None, int] = {}
    for row in rows:
        for part in _breakdowns(row):
            images.update({item.scene_type: item.images for item in part.scene_types})
    ordered = sorted(images, key=lambda name: (-images[name], name or ""))
    return {f"{scene_type(name)} ({images[name]:,})": _of_type(name) for name in ordered}


def _of_type(name: str | None) -> _Value:
    return lambda part: next((i.abs_rel for i in part.scene_types if i.scene_type == name), None)


def _table(rows: Sequence[Row], columns: dict[str, _Value]) -> str:
    body = []
    for row in rows:
        cells = [escape(row.label, LABEL_LIMIT)]
        for value in columns.values():
            held = [value(part) for part in _breakdowns(row)]
            known = [each for each in held if each is not None]
            cells.append(text.number(fmean(known)) if known else DASH)
        body.append(cells)
    headers = ["Method", *map(escape, columns)]
    return table(headers, body, range(1, len(headers)))


def _shares(row: Row, columns: dict[str, _Value]) -> str:
    part = _breakdowns(row)[0]
    counts = {depth_bin(item): item.pixels for item in part.depth}
    total = sum(counts.values()) or 1
    near = part.near_edges.pixels if part.near_edges else 0
    shares = [f"{name} {counts[name] / total:.0%}" for name in columns if name in counts]
    return f"Share of the pixels: {', '.join([*shares, f'near edges {near / total:.0%}'])}."


def _breakdowns(row: Row) -> list[Breakdown]:
    """One a seed that has one."""
    return [e.score.breakdown for e in row.entries if e.score.breakdown.depth]


def facts(score: Score) -> dict[str, str]:
    """A breakdown for a terminal, line by line; empty where there is none."""
    part = score.breakdown
    named = {depth_bin(item): item for item in part.depth}
    pixels: dict[str, PixelFigures | None] = {
        **named,
        "near edges": part.near_edges,
        "flat": part.flat,
    }
    found = {
        name: _figures(item.abs_rel, item.delta1, text.plural(item.pixels, "pixel"))
        for name, item in pixels.items()
        if item is not None and item.pixels
    }
    for kind in part.scene_types:
        images = text.plural(kind.images, "image")
        shown = _figures(kind.abs_rel, kind.delta1, images)
        found[f"scene type {scene_type(kind.scene_type)}"] = shown
    for title, images_ in (("worst images", part.worst), ("best images", part.best)):
        if images_:
            shown_ = (f"{clean(item.id, LABEL_LIMIT)} ({item.abs_rel:.3f})" for item in images_)
            found[title] = ", ".join(shown_)
    return found


def _figures(abs_rel: float | None, delta1: float | None, amount: str) -> str:
    return f"abs_rel {text.number(abs_rel)}  delta1 {text.number(delta1)}  {amount}"
