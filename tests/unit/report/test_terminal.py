from __future__ import annotations

import io

import pytest
from rich.console import Console

from bench.records import Record, WeightsPart
from bench.report.terminal import print_record, print_suite
from tests.unit.report.making import (
    OPENAI,
    RANDOM_INIT,
    REGISTRY,
    ROOMS,
    make_protocol,
    make_record,
)


def suite_text(
    *records: Record, keys: list[str] | None = None, width: int = 80, terminal: bool = False
) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=terminal, no_color=True)
    print_suite(console, records, keys or [record.keys.cell for record in records], REGISTRY)
    return _output(console)


def record_text(record: Record) -> str:
    console = Console(file=io.StringIO(), width=40, force_terminal=False)
    print_record(console, record)
    return _output(console)


def _output(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_suite_shows_its_cells_in_its_order_and_no_others() -> None:
    first = make_record("First", params={"p": 1}, metrics={"abs_rel": 0.9})
    second = make_record("Second", params={"p": 2}, metrics={"abs_rel": 0.1})
    other = make_record("Other", params={"p": 3})
    out = suite_text(first, second, other, keys=[first.keys.cell, second.keys.cell])
    assert out.index("First") < out.index("Second")
    assert "Other" not in out
    assert "0.900" in out


def test_a_pipe_gets_whole_lines_however_narrow() -> None:
    label = "A method with a long label, longer than the line"
    weights = (WeightsPart(name="open_clip RN50 (local.pt)", origin="file"),)
    out = suite_text(make_record(label, weights=weights, params={"p": 1}, seed=3), width=20)
    (line,) = [line for line in out.splitlines() if label in line]
    assert f"{label} #3" in line
    assert line.endswith("open_clip RN50 (local.pt)")


def test_a_narrow_terminal_gets_every_figure_without_wrapping() -> None:
    out = suite_text(make_record("DepthCLIP", weights=RANDOM_INIT), width=40, terminal=True)
    lines = [line.strip() for line in out.splitlines()]
    for line in ("DepthCLIP", "abs_rel ↓  0.350", "delta1 ↑  0.400", "weights  random-init"):
        assert line in lines


def test_synthetic_and_subset_are_said() -> None:
    out = suite_text(make_record(dataset={**ROOMS, "test_images": 4}))
    assert "4 of 8 test images" in out
    assert "synthetic" in out


def test_each_protocol_has_its_table() -> None:
    out = suite_text(make_record(protocols=(make_protocol("full"), make_protocol("nyu-eigen"))))
    assert "protocol full v1" in out
    assert "protocol nyu-eigen v1" in out


def test_reported_figures_and_differences_follow_comparable_cells() -> None:
    out = suite_text(make_record("Mine", weights=OPENAI, metrics={"abs_rel": 0.37}))
    below = out.split("as reported")[1]
    assert "0.388 (−0.018)" in below
    assert "as reported" not in suite_text(make_record("Mine", weights=RANDOM_INIT))


def test_an_epoch_chosen_on_test_is_flagged() -> None:
    assert "epoch chosen on test" in suite_text(make_record(selection="study"))
    assert "epoch chosen on test" not in suite_text(make_record(selection="last"))


def test_a_failed_cell_says_why_on_one_line() -> None:
    out = suite_text(make_record("Bad", error="out of\nmemory"))
    (line,) = [line for line in out.splitlines() if line.startswith("Bad")]
    assert "out of memory" in line


def test_a_mended_cell_is_not_called_failed() -> None:
    out = suite_text(make_record(error="broken", minute=0), make_record(minute=1))
    assert "failed" not in out


def test_nothing_known_prints_nothing() -> None:
    assert suite_text(keys=["unknown"]) == ""


def test_the_newest_score_of_a_cell_shows() -> None:
    old = make_record(metrics={"abs_rel": 0.111}, minute=0)
    new = make_record(metrics={"abs_rel": 0.222}, minute=1)
    out = suite_text(new, old)
    assert "0.222" in out
    assert "0.111" not in out


@pytest.mark.parametrize("hostile", ["[red]x[/red]", "[/]", ":smile:", "x\x1b[2Jy", "a\ud800b"])
def test_labels_reach_the_terminal_as_text(hostile: str) -> None:
    record = make_record(hostile)
    for out in (suite_text(record), record_text(record)):
        assert "\x1b" not in out
        assert hostile.replace("\x1b", " ").replace("\ud800", " ") in out


def test_an_ascii_terminal_does_not_break_it() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    print_suite(
        Console(file=stream, width=80), [record := make_record()], [record.keys.cell], REGISTRY
    )
    stream.flush()
    assert b"DepthCLIP" in raw.getvalue()


def test_a_record_shows_every_fact() -> None:
    record = make_record(
        weights=OPENAI,
        seed=7,
        params={"encoder": "RN50", "bins": [1.0, 2.0]},
        invalid={"nonfinite_pixels": 1234, "images": 5},
        cost={"fit_seconds": 75, "trained_parameters": 49_152},
        selection="study",
        dirty=True,
    )
    out = record_text(record)
    for fact in (
        record.id,
        "[1.0, 2.0]",
        "0.350000",
        "35.000000",
        "1,234",
        "49,152",
        "75 s",
        "654 of 654",
        "test images (study)",
        "uncommitted changes",
        "a" * 64,
        record.method.code_sha256,
        record.scores[0].protocol.sha256,
        record.scores[0].key,
        "rows 56:472, columns 60:604",
        "Test CPU",
        "2.11.0",
    ):
        assert fact in out, fact


def test_a_records_interval_shows_where_there_is_one() -> None:
    record = make_record()
    score = record.scores[0]
    value = score.metrics["rmse"].model_copy(update={"ci95": (1.0, 1.25)})
    metrics = {**score.metrics, "rmse": value}
    record = record.model_copy(update={"scores": [score.model_copy(update={"metrics": metrics})]})
    assert "1.100000  [1.000000, 1.250000]" in record_text(record)


def test_a_failed_record_shows_error_and_traceback() -> None:
    out = record_text(make_record(error="boom"))
    assert "MethodError: boom" in out
    assert "Traceback" in out
