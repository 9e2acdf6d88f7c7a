"""What a reader must know before quoting a number, as markdown lines."""

from __future__ import annotations

import math
from collections.abc import Iterator

from bench.report import text
from bench.report.markup import LABEL_LIMIT
from bench.report.tables import Disagreement, Leaderboard
from bench.report.text import code, escape, plural

OLDER_CODE = "†"
CHOSEN_ON_TEST = "‡"

SHOWN = 20


def caveats(board: Leaderboard) -> list[str]:
    """The caveats of a leaderboard, gravest first; empty where there are none."""
    return [*_data(board), *_methods(board), *_history(board), *_disagreements(board)]


def _data(board: Leaderboard) -> Iterator[str]:
    for name in dict.fromkeys(g.dataset.name for g in board.groups if g.dataset.synthetic):
        yield (
            f"{code(name)} is **synthetic**: it proves the machinery and ranks nothing but itself."
        )
    for group in board.groups:
        data = group.dataset
        if group.subset:
            yield (
                f"{code(data.name)}, split {code(data.split)}: only **{data.test_images:,} of "
                f"{data.of:,}** test images were used; such figures do not compare with those on "
                "all of them."
            )


def _methods(board: Leaderboard) -> Iterator[str]:
    if any(row.random_init for row in board.rows):
        yield (
            "**random-init** under weights: the encoder's weights are random, not pretrained. Such "
            "a row shows that the method runs, not how good it is."
        )
    if any(row.chosen_on_test for row in board.rows):
        yield (
            f"{CHOSEN_ON_TEST} **The epoch was chosen on the test images** (`selection: study`): "
            "such a row is too good by construction, and is marked best only among its own kind."
        )


def _history(board: Leaderboard) -> Iterator[str]:
    if board.dirty:
        yield (
            f"{plural(board.dirty, 'record')} made from a git tree with uncommitted changes: the "
            "commit on record is not what ran; the code hash on record is."
        )
    if board.failures:
        yield f"{plural(len(board.failures), 'cell')} failed, see [below](#failed-cells)."
    if board.superseded:
        ids = text.listed([code(item.id) for item in board.superseded], 3)
        yield (
            f"{plural(len(board.superseded), 'older record')} superseded by newer records of the "
            f"same cells and not shown: {ids}."
        )


def _disagreements(board: Leaderboard) -> Iterator[str]:
    for item in board.disagreements[:SHOWN]:
        yield _disagreement(item)
    more = len(board.disagreements) - SHOWN
    if more > 0:
        yield f"**Records disagree** on {plural(more, 'more score')}."


def _disagreement(item: Disagreement) -> str:
    ids = text.listed([code(name) for name in item.records], 4)
    apart = "one is NaN" if math.isnan(item.difference) else f"by up to {item.difference:.2g}"
    return (
        f"**Records disagree** on {escape(item.label, LABEL_LIMIT)} under {code(item.protocol)}: "
        f"one score key, but {code(item.metric)} differs ({apart}) between {ids}. The newest is "
        "shown."
    )
