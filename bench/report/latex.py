"""The leaderboard's score tables as LaTeX (booktabs): one a set of test images and protocol."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from bench.records import DatasetPart
from bench.report import text, wording
from bench.report.markup import LABEL_LIMIT, has_unit
from bench.report.measured import best_rows
from bench.report.tables import DataGroup, Leaderboard, MetricInfo, Row, ScoreTable
from bench.report.text import clean

# Brackets and asterisks too: at the head of a line they would be arguments of the `\\` above.
_SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "`": r"\textasciigrave{}",
    "[": "{[}",
    "]": "{]}",
    "*": "{*}",
    "×": r"\texttimes{}",
    "—": r"\textemdash{}",
    "–": r"\textendash{}",
    "−": "$-$",
    "±": r"$\pm$",
    "∞": r"$\infty$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}
_ESCAPES = str.maketrans(_SPECIAL)


def escape(value: object, limit: int | None = None) -> str:
    """Text that LaTeX sets as itself: no command, comment, alignment or maths can come of it."""
    # Two hyphens would become a dash.
    return re.sub("-(?=-)", "-{}", clean(value, limit).translate(_ESCAPES))


def render(board: Leaderboard, metrics: Mapping[str, MetricInfo]) -> str:
    """All tables; they need the packages booktabs and textcomp.

    Args:
        board: What to show.
        metrics: The registered metrics.
    """
    head = "% Made by `bench leaderboard --format latex`. Needs \\usepackage{booktabs,textcomp}."
    blocks = [head]
    for group in board.groups:
        blocks += ["\n".join(_table(group, scores, metrics)) for scores in group.tables]
    return "\n\n".join(blocks) + "\n"


def _table(
    group: DataGroup, scores: ScoreTable, metrics: Mapping[str, MetricInfo]
) -> Iterator[str]:
    names = scores.metric_names(metrics)
    ranks = scores.ranks.spans if scores.ranks else {}
    bold = {name: best_rows(scores.rows, name, metrics) for name in names}
    heads = [*(["Rank"] if ranks else []), "Method", "Weights"]
    yield "\\begin{table}"
    yield "\\centering"
    yield f"\\caption{{{_caption(group.dataset, scores)}}}"
    yield f"\\begin{{tabular}}{{{'l' * len(heads)}{'r' * len(names)}}}"
    yield "\\toprule"
    yield _line([*heads, *(_header(name, metrics) for name in names)])
    yield "\\midrule"
    for index, row in enumerate(scores.rows):
        span = ranks.get(index)
        shown = "" if span is None else escape("–".join(map(str, dict.fromkeys(span))))
        cells = [shown] if ranks else []
        cells += [_label(row), escape(wording.weights(row.record.weights), LABEL_LIMIT)]
        yield _line([*cells, *(_value(row, name, index in bold[name]) for name in names)])
    yield "\\bottomrule"
    yield "\\end{tabular}"
    yield "\\end{table}"


def _caption(data: DatasetPart, scores: ScoreTable) -> str:
    synthetic = " (synthetic: ranks nothing but itself)" if data.synthetic else ""
    where = f"{data.name}{synthetic}, split {data.split}, {wording.depth_variant(data)}"
    protocol = f"protocol {scores.protocol.name} version {scores.protocol.version}"
    chosen = any(row.chosen_on_test for row in scores.rows)
    older = any(row.older_code for row in scores.rows)
    notes = " $\\ddagger$: epoch chosen on the test images." if chosen else ""
    notes += " $\\dagger$: older code." if older else ""
    return escape(f"{where}, {wording.images(data)}, {protocol}.") + notes


def _line(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"


def _header(name: str, metrics: Mapping[str, MetricInfo]) -> str:
    metric = metrics.get(name)
    if metric is None:
        return escape(name)
    unit = f" ({metric.unit})" if has_unit(metric) else ""
    return escape(f"{name}{unit} {'↑' if metric.higher_is_better else '↓'}")


def _label(row: Row) -> str:
    marks = ("$\\dagger$" if row.older_code else "") + ("$\\ddagger$" if row.chosen_on_test else "")
    return escape(row.label, LABEL_LIMIT) + marks


def _value(row: Row, name: str, bold: bool) -> str:
    summary = row.summaries.get(name)
    if summary is None:
        return escape(text.DASH)
    shown = escape(text.number(summary.mean))
    shown = f"\\textbf{{{shown}}}" if bold else shown
    return shown if summary.std is None else f"{shown} $\\pm$ {escape(text.number(summary.std))}"
