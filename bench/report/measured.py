"""The sections of measured figures: for each set of test images, its scores and its costs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

from bench.records import Cost
from bench.report import text, wording
from bench.report.caveats import CHOSEN_ON_TEST, OLDER_CODE
from bench.report.failing import failing_section
from bench.report.markup import LABEL_LIMIT, Link, bullets, metric_header, table
from bench.report.protocol_effect import effect_section
from bench.report.reported import Difference, Reported
from bench.report.tables import PRIMARY, CostRow, DataGroup, MetricInfo, Row, ScoreTable
from bench.report.text import DASH, code, escape


def data_section(
    group: DataGroup, metrics: Mapping[str, MetricInfo], link: Link, reported: Reported
) -> Iterator[str]:
    """The blocks of one set of test images: heading, a table a protocol, costs."""
    data = group.dataset
    name = escape(data.name) + (" (synthetic)" if data.synthetic else "")
    words = [name, f"split {escape(data.split)}", wording.depth_variant(data)]
    yield f"## {', '.join(words)}, {wording.images(data)}"
    yield _data_line(group, reported)
    for scores in group.tables:
        yield from _protocol_section(group, scores, metrics, link)
        differences = list(reported.differences(group, scores))
        if differences:
            yield "#### Measured minus reported"
            yield _difference_table(differences, metrics, link)
    yield from effect_section(group, metrics)
    yield from failing_section(group)
    yield "### Cost"
    yield _cost_table(group.costs)
    yield _cost_note(group.costs)


def _data_line(group: DataGroup, reported: Reported) -> str:
    data = group.dataset
    kind = "**synthetic**, ranks nothing but itself" if data.synthetic else "not synthetic"
    line = f"Data: {code(data.name)} ({kind}), {wording.images(data)} of split {code(data.split)}"
    sizes = text.listed([f"{size:,}" for size in group.train_images], 4)
    depths = text.listed(group.train_depths, 2)
    learned = f"; what learns saw {sizes} training images with {depths} depth" if sizes else ""
    line = f"{line}{learned}; fingerprint {code(data.fingerprint[:12])}."
    if data.name == reported.dataset and data.test_images != reported.test_images:
        total = f"{reported.test_images:,} test images"
        line += f" These are not the {total} of the reported figures; the two do not compare."
    return line


# --- scores -----------------------------------------------------------------------------------


def _protocol_section(
    group: DataGroup, scores: ScoreTable, metrics: Mapping[str, MetricInfo], link: Link
) -> Iterator[str]:
    protocol = scores.protocol
    yield f"### Protocol {escape(protocol.name)}, version {protocol.version}"
    yield f"{escape(wording.protocol(protocol.settings))} Hash {code(protocol.sha256[:12])}."
    yield _score_table(scores, metrics, link)
    notes = [*_reading(scores, metrics), *_row_notes(group, scores)]
    if notes:
        yield bullets(notes)
    unusable = _unusable_table(scores)
    if unusable:
        yield (
            "Scored pixels whose raw prediction was unusable. None was left out: those not finite "
            "count as the protocol says, the others were clamped (zero or negative ones included)."
        )
        yield unusable


def _score_table(scores: ScoreTable, metrics: Mapping[str, MetricInfo], link: Link) -> str:
    rows = scores.rows
    names = scores.metric_names(metrics)
    outputs = any(row.record.method.output != "metric" for row in rows)
    seeds = any(row.seeds is not None for row in rows)
    trained_on = len({row.record.dataset.train_images for row in rows if row.trained}) > 1
    ranks = scores.ranks.spans if scores.ranks else {}
    intervals = PRIMARY in names and any(row.interval(PRIMARY) for row in rows)
    left = [*(["Rank"] if ranks else []), "Method", *(["Output"] if outputs else [])]
    left += ["Weights", "Supervision"]
    right = [*(["Train images"] if trained_on else []), *(metric_header(n, metrics) for n in names)]
    right += [*([f"{PRIMARY} 95%"] if intervals else []), *(["Seeds"] if seeds else [])]
    bold = {name: best_rows(rows, name, metrics) for name in names}
    body = []
    for index, row in enumerate(rows):
        method = row.record.method
        cells = [_rank(ranks.get(index))] if ranks else []
        cells += [_label(row), *([method.output] if outputs else [])]
        cells += [_weights(row), method.supervision]
        if trained_on:
            cells.append(text.count(row.record.dataset.train_images) if row.trained else DASH)
        cells += [_value(row, name, index in bold[name]) for name in names]
        cells += [_interval(row)] if intervals else []
        cells += [text.count(row.seeds)] if seeds else []
        body.append([*cells, " ".join(link(entry.record) for entry in row.entries)])
    numbers = range(len(left), len(left) + len(right))
    return table([*left, *right, "Record"], body, numbers)


def best_rows(rows: Sequence[Row], name: str, metrics: Mapping[str, MetricInfo]) -> frozenset[int]:
    """The rows whose value of a metric is the best as displayed; all of them where they tie.

    A row whose epoch was chosen on the test images competes only where all rows were; NaN and
    infinite values never win; a lone row has nothing to beat.
    """
    metric = metrics.get(name)
    if metric is None or len(rows) < 2:
        return frozenset()
    some_fair = not all(row.chosen_on_test for row in rows)
    values = {
        index: row.summaries[name].mean
        for index, row in enumerate(rows)
        if name in row.summaries and not (some_fair and row.chosen_on_test)
    }
    finite = [value for value in values.values() if math.isfinite(value)]
    if not finite:
        return frozenset()
    best = text.number(max(finite) if metric.higher_is_better else min(finite))
    return frozenset(index for index, value in values.items() if text.number(value) == best)


def _label(row: Row) -> str:
    older = OLDER_CODE if row.older_code else ""
    on_test = CHOSEN_ON_TEST if row.chosen_on_test else ""
    return f"{escape(row.label, LABEL_LIMIT)} {older}{on_test}".strip()


def _weights(row: Row) -> str:
    shown = escape(wording.weights(row.record.weights), LABEL_LIMIT)
    return shown.replace("random-init", "**random-init**") if row.random_init else shown


def _value(row: Row, name: str, bold: bool) -> str:
    summary = row.summaries.get(name)
    if summary is None:
        return DASH
    shown = text.number(summary.mean)
    shown = f"**{shown}**" if bold else shown
    return shown if summary.std is None else f"{shown} ± {text.number(summary.std)}"


def _rank(span: tuple[int, int] | None) -> str:
    if span is None:
        return DASH
    first, last = span
    return str(first) if first == last else f"{first}–{last}"


def _interval(row: Row) -> str:
    ends = row.interval(PRIMARY) if PRIMARY in row.summaries else None
    return DASH if ends is None else " to ".join(text.number(end) for end in ends)


def _reading(scores: ScoreTable, metrics: Mapping[str, MetricInfo]) -> Iterator[str]:
    names = scores.metric_names(metrics)
    order = f"Best {code(PRIMARY)} first; " if PRIMARY in names else ""
    if len(scores.rows) > 1:
        yield f"{order}**bold** is the best of a column, ties as displayed included."
    if any(row.seeds and row.seeds > 1 for row in scores.rows):
        yield "±: sample standard deviation over seeds."
    yield from _ranks_note(scores)
    yield from _intervals_note(scores)


def _ranks_note(scores: ScoreTable) -> Iterator[str]:
    if scores.ranks is None:
        return
    if scores.ranks.why_not:
        yield f"Ranks not computed: {escape(scores.ranks.why_not)}."
        return
    yield (
        f"Rows that share a rank cannot be told apart by {code(PRIMARY)} on these images: each is "
        "tested against the first of its group (paired sign-flip permutation test over scenes, "
        "seeds averaged image by image, 5% for the whole table by Holm's step-down over all pairs "
        "of rows)."
    )


def _intervals_note(scores: ScoreTable) -> Iterator[str]:
    found = [row for row in scores.rows if PRIMARY in row.summaries and row.interval(PRIMARY)]
    if not found:
        return
    clusters = {entry.score.clusters for row in found for entry in row.entries} - {None}
    drawn = f" over {max(filter(None, clusters)):,} scenes" if clusters else ""
    seeds = "; over seeds the mean of theirs" if any((row.seeds or 0) > 1 for row in found) else ""
    yield (
        f"95%: interval of the mean of {code(PRIMARY)} over images like these, studentised "
        f"bootstrap{drawn}{seeds}. Intervals of two rows may overlap though their ranks differ: "
        "ranks compare image by image."
    )


def _row_notes(group: DataGroup, scores: ScoreTable) -> Iterator[str]:
    if any(row.older_code for row in scores.rows):
        yield f"{OLDER_CODE} from older code than another row of the same method here."
    if any(row.chosen_on_test for row in scores.rows):
        yield f"{CHOSEN_ON_TEST} epoch chosen on the test images; bold only among its own kind."
    total = group.dataset.test_images
    scored = {entry.score.images for row in scores.rows for entry in row.entries} - {total}
    if scored:
        lowest = min(scored)
        yield f"Only {lowest:,} of the {total:,} test images have ground truth in the region."


def _unusable_table(scores: ScoreTable) -> str:
    """Scored pixels whose raw prediction was unusable, summed over seeds; "" where none was."""
    body = []
    aligned = scores.protocol.settings.get("alignment", "none") != "none"
    for row in scores.rows:
        invalid = [entry.score.invalid for entry in row.entries]
        counts = [sum(getattr(part, name) for part in invalid) for name in wording.UNUSABLE]
        images = [sum(part.images for part in invalid)]
        images += [sum(part.negative_scale_images for part in invalid)] if aligned else []
        if any(counts) or any(images):
            body.append([_label(row), *map(text.count, [*counts, *images])])
    headers = ["Method", *wording.UNUSABLE.values(), "Images affected"]
    headers += ["Images with a negative scale"] if aligned else []
    return table(headers, body, range(1, len(headers))) if body else ""


# --- against the publication ------------------------------------------------------------------


def _difference_table(
    differences: Sequence[Difference], metrics: Mapping[str, MetricInfo], link: Link
) -> str:
    held = {name for item in differences for name in item.values}
    names = [name for name in metrics if name in held]
    headers = ["Method", "Reported as", *(metric_header(name, metrics) for name in names), "Record"]
    body = []
    for item in differences:
        shown = [text.signed(item.values[n]) if n in item.values else DASH for n in names]
        records = " ".join(link(entry.record) for entry in item.row.entries)
        body.append([_label(item.row), escape(item.reported.label), *shown, records])
    return table(headers, body, range(2, 2 + len(names)))


# --- costs ------------------------------------------------------------------------------------

_OPTIONAL = {
    "latency_ms_batch1": ("Latency, 1 image (ms)", text.rate),
    "macs": ("Multiply-adds, 1 image", text.scaled),
}


def _cost_table(rows: Iterable[CostRow]) -> str:
    rows = list(rows)
    extra = [name for name in _OPTIONAL if any(_get(row.cost, name) is not None for row in rows)]
    headers = ["Method", "Fit time", "Images/s", *(_OPTIONAL[name][0] for name in extra)]
    headers += ["Parameters", "Trained", "Peak memory", "Device"]
    body = []
    for row in rows:
        cost = row.cost
        cells = [escape(row.label, LABEL_LIMIT) + (f" {OLDER_CODE}" if row.older_code else "")]
        cells += [text.duration(cost.fit_seconds), text.rate(cost.images_per_second)]
        cells += [_OPTIONAL[name][1](_get(cost, name)) for name in extra]
        cells += [text.count(cost.parameters), text.count(cost.trained_parameters)]
        cells += [text.memory(cost.peak_memory_bytes), escape(", ".join(_devices(row)), 80)]
        body.append(cells)
    return table(headers, body, range(1, len(headers) - 1))


def _get(cost: Cost, name: str) -> float | None:
    value: float | None = getattr(cost, name)
    return value


def _devices(row: CostRow) -> list[str]:
    return sorted({record.environment.device for record in row.records})


def _cost_note(rows: Iterable[CostRow]) -> str:
    places = {
        (record.environment.host, record.environment.device)
        for row in rows
        for record in row.records
    }
    note = "Wall clock, mean over seeds. Images/s counts a mirrored image as one more image."
    if len(places) > 1:
        note += f" Measured on {len(places)} different machines or devices: compare with care."
    return note
