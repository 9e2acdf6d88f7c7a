"""The leaderboard page: every record of a folder in one markdown file.

The page depends on the records, the registered metrics and nothing else: same records, same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from bench.records import Record, load_records
from bench.report import latex, long_csv, text, wording
from bench.report.caveats import caveats
from bench.report.markup import (
    LABEL_LIMIT,
    Link,
    arrow,
    bullets,
    has_unit,
    links,
    metric_header,
    table,
)
from bench.report.measured import data_section
from bench.report.ranks import with_ranks
from bench.report.reported import Reported, ReportedTable, reported_results
from bench.report.tables import Leaderboard, MetricInfo, Metrics, build
from bench.report.text import DASH, code, escape
from bench.store import write_atomically

PAGE = "README.md"
FIGURES = "figures"
"""The folder of the figures, beside the page."""


def write_leaderboard(records_folder: Path, out: Path, registry: Metrics) -> list[Path]:
    """Write the leaderboard of a records folder.

    Args:
        records_folder: Read with everything under it; may be missing or empty.
        out: The folder the page goes to; made if missing.
        registry: For the metrics: order, direction, unit and formula.

    Returns:
        The pages written.

    Raises:
        RecordError: A file under the folder is not a record.
        StoreError: The page cannot be written.
    """
    board = with_ranks(build(load_records(records_folder), registry.metrics), records_folder)
    page = out / PAGE
    figures = sorted(path.stem for path in (out / FIGURES).glob("*.png"))
    content = render(
        board, registry.metrics, links(records_folder, out), reported_results(), figures
    )
    write_atomically(page, content.encode("utf-8"))
    return [page]


def write_table(records_folder: Path, out: Path, registry: Metrics, form: str) -> list[Path]:
    """Write the leaderboard's scores for other programs.

    Args:
        records_folder: Read with everything under it.
        out: The folder the file goes to; made if missing.
        registry: For the metrics.
        form: ``latex`` (``leaderboard.tex``) or ``csv`` (``leaderboard.csv``).

    Returns:
        The files written.

    Raises:
        RecordError: A file under the folder is not a record.
        StoreError: The file cannot be written.
    """
    board = build(load_records(records_folder), registry.metrics)
    if form == "latex":
        board = with_ranks(board, records_folder)
        path, content = out / "leaderboard.tex", latex.render(board, registry.metrics)
    else:
        path, content = out / "leaderboard.csv", long_csv.render(board, registry.metrics)
    write_atomically(path, content.encode("utf-8"))
    return [path]


def render(
    board: Leaderboard,
    metrics: Mapping[str, MetricInfo],
    link: Link,
    reported: Reported,
    figures: Sequence[str] = (),
) -> str:
    """The page.

    Args:
        board: What to show.
        metrics: The registered metrics.
        link: How to name a record.
        reported: Results to show apart from the measured ones.
        figures: The suites that have a figure in the folder `FIGURES`.
    """
    blocks = [*_head(board)]
    for group in board.groups:
        blocks += data_section(group, metrics, link, reported)
    blocks += _figures(figures)
    blocks += [*_failures(board.failures, link), *_reported(reported, metrics), *_legend(metrics)]
    return "\n\n".join(blocks) + "\n"


def _head(board: Leaderboard) -> Iterator[str]:
    yield "# Leaderboard"
    if not board.records:
        yield (
            "Nothing has been measured yet. `bench run suites/quickstart.yml` makes a first "
            "leaderboard in a few minutes, on embedded synthetic data and without downloads."
        )
        return
    made = "Made by `bench leaderboard`; edits are overwritten."
    yield f"{text.plural(board.records, 'record')} of `bench run`. {made}"
    notes = caveats(board)
    if notes:
        yield "**Before you quote a number:**"
        yield bullets(notes)


def _figures(suites: Sequence[str]) -> Iterator[str]:
    if suites:
        yield "## Pictures"
        yield "A few test images of each suite: what is true, and what each method says, in metres."
    for suite in suites:
        name = escape(suite)
        yield f"![{name}: images, ground truth and predictions]({FIGURES}/{quote(suite)}.png)"


def _failures(failures: Sequence[Record], link: Link) -> Iterator[str]:
    if not failures:
        return
    yield "## Failed cells"
    body = []
    for record in failures:
        data = record.dataset
        where = f"{escape(data.name, LABEL_LIMIT)}, {wording.images(data)}"
        label = escape(record.label, LABEL_LIMIT)
        seed = DASH if record.seed is None else str(record.seed)
        body.append([label, where, seed, code(wording.failure(record)), link(record)])
    yield table(["Method", "Data", "Seed", "What failed", "Record"], body, range(2, 3))


def _reported(reported: Reported, metrics: Mapping[str, MetricInfo]) -> Iterator[str]:
    yield f"## As reported: {escape(reported.dataset)}, {reported.test_images} test images"
    yield (
        "**Not measured here and not ranked with what was.** "
        f"{escape(reported.source)} Its evaluation is protocol {code(reported.protocol)} on "
        f"{reported.depth} depth."
    )
    for part in reported.tables:
        yield f"### {escape(part.title)}"
        yield _reported_table(part, metrics)
    yield "\\* quoted by the study from earlier papers."


def _reported_table(part: ReportedTable, metrics: Mapping[str, MetricInfo]) -> str:
    held = {name for row in part.rows for name in row.metrics}
    names = [name for name in metrics if name in held] + sorted(held - metrics.keys())
    headers = ["Method", "Pretraining", "Supervision", *(metric_header(n, metrics) for n in names)]
    body = []
    for row in part.rows:
        label = escape(row.label) + (" \\*" if row.quoted else "")
        shown = [text.number(row.metrics.get(name)) for name in names]
        body.append([label, escape(row.pretraining), row.supervision, *shown])
    return table(headers, body, range(3, len(headers)))


def _legend(metrics: Mapping[str, MetricInfo]) -> Iterator[str]:
    if not metrics:
        return
    yield "## Metrics"
    yield (
        "Computed for each image over its scored pixels, then averaged over images, in float64. "
        "p is the prediction, g the ground truth, both in metres."
    )
    body = [
        [
            escape(metric.name),
            f"{arrow(metric)} {'higher' if metric.higher_is_better else 'lower'} is better",
            escape(metric.unit) if has_unit(metric) else DASH,
            escape(metric.formula),
        ]
        for metric in metrics.values()
    ]
    yield table(["Metric", "Direction", "Unit", "Formula"], body, range(0))
