"""Where methods fail, on the page and in the terminal."""

from __future__ import annotations

import io

from rich.console import Console

from bench.records import Record
from bench.report.failing import SCENE_TYPES, failing_section
from bench.report.tables import build
from bench.report.terminal import print_record
from tests.unit.report.making import METRICS, make_breakdown, make_protocol, make_record

HOSTILE = "</td>|`x` [a](http://b)\x1b[31m\n| c"


def section(*records: Record) -> str:
    (group,) = build(records, METRICS).groups
    return "\n\n".join(failing_section(group))


def row(page: str, label: str) -> list[str]:
    (line, *_) = (line for line in page.splitlines() if line.startswith(f"| {label}"))
    return [cell.strip() for cell in line.split("|")[1:-1]]


def shown(record: Record) -> str:
    file = io.StringIO()
    print_record(Console(file=file, width=200), record)
    return file.getvalue()


def test_one_column_a_depth_bin_and_seeds_are_averaged() -> None:
    page = section(
        *(
            make_record(
                "CNN", method="cnn", seed=seed, minute=seed, breakdown=make_breakdown(seed / 10)
            )
            for seed in (1, 2)
        ),
        make_record("Flat", breakdown=make_breakdown(0.4)),
    )
    head = row(page, "Method")
    assert head[1:4] == ["0–1 m", "1–2 m", "2–3 m"]
    assert head[-2:] == ["near edges", "flat"]
    assert "over 10 m" not in page
    assert row(page, "CNN")[1:3] == ["0.150", "0.160"]
    assert row(page, "CNN")[-2:] == ["0.250", "0.150"]


def test_records_without_a_breakdown_have_no_row_and_alone_no_section() -> None:
    assert section(make_record("Old")) == ""
    page = section(make_record("Old"), make_record("New", method="b", breakdown=make_breakdown()))
    assert "Old" not in page
    assert "New" in page


def test_only_the_first_protocol_is_shown() -> None:
    both = make_protocol(), make_protocol("nyu-eigen")
    page = section(make_record(protocols=both, breakdown=make_breakdown()))
    assert page.count("Where it fails") == 1


def test_scene_types_with_the_most_images_have_a_column_and_the_rest_is_counted() -> None:
    types = {f"type{index:02d}": 100 - index for index in range(SCENE_TYPES + 3)}
    page = section(make_record(breakdown=make_breakdown(scene_types=types)))
    assert f"type{SCENE_TYPES - 1:02d} (" in page
    assert f"type{SCENE_TYPES:02d}" not in page
    assert "3 more scene types" in page


def test_a_hostile_scene_type_breaks_no_table_and_no_terminal() -> None:
    record = make_record(breakdown=make_breakdown(scene_types={HOSTILE: 3, None: 2}))
    page = section(record)
    assert "</td>" not in page
    assert "not known (2)" in page
    headers = [line for line in page.splitlines() if line.startswith("| Method")]
    assert headers[1].replace("\\|", "").count("|") == 4
    assert "\x1b" not in shown(record)


def test_show_prints_all_of_it() -> None:
    out = shown(make_record(breakdown=make_breakdown(0.2)))
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert "6–10 m abs_rel 0.250 delta1 0.500 1,000 pixels" in lines
    assert "near edges abs_rel 0.300 delta1 0.400 1,000 pixels" in lines
    assert "scene type kitchen abs_rel 0.200 delta1 0.500 110 images" in lines
    assert "worst images 01449 (1.250)" in lines
    assert "best images 00003 (0.062)" in lines
    assert "where it fails" not in shown(make_record())
