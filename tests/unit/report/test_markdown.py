"""The whole page against a kept one, and what of it must hold for any records.

Refresh the kept page after a wanted change, and read the difference before keeping it:

    BENCH_REFRESH_GOLDEN=1 python -m pytest tests/unit/report/test_markdown.py -k golden
"""

from __future__ import annotations

import math
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from bench.errors import RecordError
from bench.records import Record, WeightsPart
from bench.report.markdown import write_leaderboard
from tests.unit.report.making import (
    METRICS,
    OPENAI,
    RANDOM_INIT,
    REGISTRY,
    ROOMS,
    StandInMetric,
    StandInRegistry,
    make_breakdown,
    make_protocol,
    make_record,
    write_records,
    write_values,
)

GOLDEN = Path(__file__).parents[2] / "golden" / "leaderboard.md"


def page_of(tmp_path: Path, *records: Record, registry: StandInRegistry = REGISTRY) -> str:
    folder = write_records(tmp_path / "records", *records)
    (page,) = write_leaderboard(folder, tmp_path, registry)
    return page.read_text(encoding="utf-8")


def rows_with(page: str, text: str) -> list[str]:
    return [line for line in page.splitlines() if line.startswith("|") and text in line]


def cells(row: str) -> list[str]:
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]]


def golden_records() -> list[Record]:
    """A bit of everything a leaderboard shows."""
    both = make_protocol(), make_protocol("nyu-eigen")
    msa = {"method": "msa", "supervision": "depth", "seed": 1, "protocols": both}
    resnet = (WeightsPart(name="timm resnet50 (a1_in1k)", origin="pretrained", sha256="b" * 64),)
    cnn = {"method": "cnn-unet", "supervision": "depth", "weights": resnet, "protocols": both}
    rooms = {
        "dataset": ROOMS | {"train_images": 48},
        "protocols": (make_protocol("full"),),
    }
    return [
        make_record(
            "Constant 2.5 m",
            method="constant-depth",
            params={"depth": 2.5},
            supervision="none",
            protocols=both,
            cost={"parameters": 0, "trained_parameters": 0},
            ci95={"abs_rel": (0.331, 0.3712)},
            clusters=218,
            breakdown=make_breakdown(0.35),
        ),
        make_record("DepthCLIP (RN50)", weights=OPENAI, protocols=both, code="0", minute=1),
        make_record(
            "DepthCLIP (RN50)",
            weights=OPENAI,
            protocols=both,
            minute=2,
            metrics={"delta1": 0.401, "abs_rel": 0.37},
        ),
        *(
            make_record(
                "CNN U-Net (ResNet-50)",
                **cnn,
                params={"encoder": "resnet50"},
                seed=seed,
                minute=3 + seed,
                metrics={"delta1": 0.72 + seed / 100, "abs_rel": 0.18 + seed / 200, "rmse": 0.61},
                ci95={"abs_rel": (0.17 + seed / 200, 0.2 + seed / 200)},
                clusters=218,
                breakdown=make_breakdown(0.18 + seed / 200),
                cost={
                    "fit_seconds": 4000 + seed,
                    "parameters": 25_557_032,
                    "trained_parameters": 25_557_032,
                    "latency_ms_batch1": 12.25,
                    "macs": 31_000_000_000,
                },
                device="Test GPU",
            )
            for seed in (1, 2, 3)
        ),
        make_record(
            "MSA",
            **msa,
            params={"clip_weight": 0, "segments": "none", "loss": "l1"},
            weights=OPENAI,
            selection="study",
            metrics={"abs_rel": 0.25},
            dirty=True,
            minute=7,
        ),
        make_record(
            "MSA",
            **msa,
            params={"clip_weight": 1, "segments": "none", "loss": "l1"},
            weights=RANDOM_INIT,
            invalid={"nonfinite_pixels": 12, "nonpositive_pixels": 120_012, "images": 33},
            metrics={"abs_rel": math.nan},
            minute=8,
        ),
        make_record(
            "MSA",
            **msa,
            params={"clip_weight": 1, "segments": "sam", "loss": "l1"},
            weights=OPENAI,
            error="segments 'a|b' are <missing>\nrun [prepare](http://x)",
            minute=9,
        ),
        make_record("Mean depth map", **rooms, method="mean-depth-map", supervision="depth"),
        make_record("DepthCLIP (tiny)", **rooms, weights=RANDOM_INIT, metrics={"abs_rel": 0.5}),
        make_record("Mean depth map", method="mean-depth-map", dataset={"test_images": 9}),
    ]


def golden_records_with_values(folder: Path) -> list[Record]:
    """Those on 654 images have per-image values: one row stands alone, two tie."""
    records = golden_records()
    for number, record in enumerate(records):
        if record.scores and record.dataset.test_images == 654:
            mean = record.scores[0].metrics["abs_rel"].mean
            noise = [((number + 1) * 37 * image % 101) / 101 - 0.5 for image in range(654)]
            scenes = [f"scene_{image // 3:04d}" for image in range(654)]
            values = {"abs_rel": [mean + part for part in noise]}
            records[number] = write_values(folder, record, values, scenes=scenes)
    return records


def test_the_page_is_the_golden_one(tmp_path: Path) -> None:
    page = page_of(tmp_path, *golden_records_with_values(tmp_path / "records"))
    if os.environ.get("BENCH_REFRESH_GOLDEN"):
        GOLDEN.write_text(page, encoding="utf-8")
    assert page == GOLDEN.read_text(encoding="utf-8")


def test_same_records_same_bytes_wherever_and_in_whatever_order(tmp_path: Path) -> None:
    records = golden_records()
    first = page_of(tmp_path / "a", *records)
    assert page_of(tmp_path / "b", *reversed(records)) == first
    assert page_of(tmp_path / "a") == first


def test_an_empty_folder_gives_a_page_that_says_what_to_do(tmp_path: Path) -> None:
    for folder in (tmp_path / "empty", tmp_path / "missing"):
        (page,) = write_leaderboard(folder, tmp_path / "out", REGISTRY)
        text = page.read_text(encoding="utf-8")
        assert "bench run suites/quickstart.yml" in text
        assert "As reported" in text


def test_a_file_that_is_no_record_is_named_and_the_page_stays(tmp_path: Path) -> None:
    before = page_of(tmp_path, make_record())
    (tmp_path / "records" / "broken.json").write_text("{", encoding="utf-8")
    with pytest.raises(RecordError, match=r"broken\.json"):
        write_leaderboard(tmp_path / "records", tmp_path, REGISTRY)
    assert (tmp_path / "README.md").read_text(encoding="utf-8") == before


def test_units_arrows_best_and_seeds(tmp_path: Path) -> None:
    page = page_of(
        tmp_path,
        make_record("CNN", method="cnn", seed=1, metrics={"rmse": 0.5}),
        make_record("CNN", method="cnn", seed=2, metrics={"rmse": 0.6}),
        make_record("Constant", method="constant-depth"),
    )
    (header,) = rows_with(page, "Supervision")[:1]
    assert "rmse (m) ↓" in header
    assert "delta1 ↑" in header
    assert "**0.550** ± 0.071" in page
    constant, *_ = rows_with(page, "Constant")
    assert "±" not in constant


def test_every_row_leads_to_its_record(tmp_path: Path) -> None:
    record = make_record()
    other = make_record("Failed", params={"p": 1}, error="no")
    write_records(tmp_path / "board" / "records" / "machine (1)", record)
    write_records(tmp_path / "board" / "records", other)
    (page,) = write_leaderboard(tmp_path / "board" / "records", tmp_path / "pages", REGISTRY)
    html = MarkdownIt().enable("table").render(page.read_text(encoding="utf-8"))
    links = re.findall(r'href="([^"#]+)"', html)
    found = {
        (page.parent / link.replace("%20", " ").replace("%28", "(").replace("%29", ")"))
        for link in links
    }
    assert {path.resolve().stem for path in found if path.is_file()} == {record.id, other.id}


def test_random_init_is_said_in_the_row_and_at_the_head(tmp_path: Path) -> None:
    page = page_of(tmp_path, make_record(weights=RANDOM_INIT))
    assert page.index("**random-init**") < page.index("## ")
    (row,) = rows_with(page, "**random-init**")
    assert "DepthCLIP" in row


def test_synthetic_data_is_said_at_the_head_and_with_its_tables(tmp_path: Path) -> None:
    page = page_of(tmp_path, make_record(dataset=ROOMS))
    head, tables = page.split("\n## ", 1)
    assert "`rooms` is **synthetic**: it proves the machinery and ranks nothing but itself." in head
    assert tables.startswith("rooms (synthetic)")


def test_a_subset_is_said_in_heading_and_head(tmp_path: Path) -> None:
    page = page_of(tmp_path, make_record(dataset={"test_images": 9}))
    assert "9 of 654 test images" in next(x for x in page.splitlines() if x.startswith("## "))
    assert "**9 of 654**" in page


def test_other_nyu_images_are_not_taken_for_the_654(tmp_path: Path) -> None:
    page = page_of(tmp_path, make_record(dataset={"test_images": 9, "of": 9}))
    assert "not the 654 test images of the reported figures" in page


def test_a_test_set_choice_of_epoch_is_flagged(tmp_path: Path) -> None:
    page = page_of(tmp_path, make_record(selection="study"))
    assert "DepthCLIP ‡" in page
    assert "epoch was chosen on the test images" in page
    assert "‡" not in page_of(tmp_path / "other", make_record(selection="last"))


def test_failures_superseded_disagreements_and_dirty_trees_are_said(tmp_path: Path) -> None:
    old = make_record(metrics={"rmse": 1.0}, minute=0)
    new = make_record(metrics={"rmse": 1.5}, minute=1, dirty=True)
    failed = make_record("Broken", params={"p": 1}, error="out of | memory")
    page = page_of(tmp_path, old, new, failed)
    head = page.split("\n## ")[0]
    assert "1 cell failed" in head
    assert "1 older record superseded" in head
    assert "1 record made from a git tree with uncommitted changes" in head
    assert "**Records disagree** on DepthCLIP" in head
    assert "`rmse` differs (by up to 0.5)" in head
    assert old.id in head
    assert new.id in head
    (row,) = rows_with(page, "Broken")
    assert cells(row)[3] == "out of \\| memory"


def test_reported_rows_stand_apart_and_differences_beside_like(tmp_path: Path) -> None:
    page = page_of(tmp_path, make_record(weights=OPENAI, metrics={"delta1": 0.401}))
    measured, reported = page.split("## As reported")
    assert "Make3D" not in measured
    assert "Make3D" in reported
    difference = measured.split("Measured minus reported")[1]
    assert "+0.007" in rows_with(difference, "DepthCLIP")[0]
    assert "Measured minus reported" not in page_of(
        tmp_path / "b", make_record(weights=RANDOM_INIT)
    )


def test_a_metric_registered_later_is_one_more_column(tmp_path: Path) -> None:
    extra = StandInMetric("edge_f1", "", True, "F1 of | depth edges")
    registry = StandInRegistry({**METRICS, "edge_f1": extra})
    page = page_of(
        tmp_path,
        make_record("Old", params={"p": 1}),
        make_record("New", params={"p": 2}, metrics={"edge_f1": 0.75}),
        registry=registry,
    )
    header = cells(rows_with(page, "Supervision")[0])
    column = header.index("edge_f1 ↑")
    assert cells(rows_with(page, "New")[0])[column] == "**0.750**"
    assert cells(rows_with(page, "Old")[0])[column] == "—"


def test_a_metric_nobody_registers_any_more_is_shown_but_never_best(tmp_path: Path) -> None:
    records = [make_record(f"M{p}", params={"p": p}, metrics={"gone": p}) for p in (1, 2)]
    page = page_of(tmp_path, *records)
    column = cells(rows_with(page, "Supervision")[0]).index("gone")
    assert {cells(row)[column] for row in rows_with(page, "| M")[1:3]} == {"1.000", "2.000"}


@pytest.mark.parametrize(
    "hostile",
    [
        "x | **9.999** |\n| forged | row |",
        "<script>alert(1)</script>",
        "[a](javascript:alert(1)) ![b](http://evil.example)",
        "`tick` ``ticks`` \\",
        "\n# heading\n\n- item",
    ],
)
def test_hostile_text_from_records_stays_text(tmp_path: Path, hostile: str) -> None:
    record = make_record(
        hostile,
        params={hostile: hostile},
        weights=(WeightsPart(name=hostile, origin="file"),),
        dataset={"name": hostile, "split": hostile, "fingerprint": hostile},
        protocols=(make_protocol(hostile, **{hostile: hostile}),),
        device=hostile,
        metrics={hostile: 1.0},
    )
    twin = make_record(hostile, params={hostile: 2})
    failed = make_record(hostile, params={"p": 1}, error=hostile, dataset={"name": hostile})
    html = MarkdownIt().enable("table").render(page_of(tmp_path, record, twin, failed))
    assert "<script" not in html
    assert "<img" not in html
    assert set(re.findall(r'href="([a-z]+:)', html)) == set()
    for table in html.split("<table>")[1:]:
        body = table.split("</table>")[0]
        widths = {row.count("<td") + row.count("<th") for row in body.split("<tr>")[1:]}
        assert len(widths) == 1
    assert "<h1>heading" not in html
    assert "<li>item" not in html


def test_neither_torch_nor_pandas_is_imported(tmp_path: Path) -> None:
    write_records(tmp_path / "records", make_record())
    script = (
        "import sys\nfrom pathlib import Path\n"
        "from bench.report.markdown import write_leaderboard\n"
        "from bench.report import terminal\n"
        "class Registry: metrics = {}\n"
        "root = Path(sys.argv[1])\nwrite_leaderboard(root / 'records', root, Registry())\n"
        "heavy = {'torch', 'pandas', 'scipy', 'h5py'} & sys.modules.keys()\n"
        "sys.exit(', '.join(heavy) or 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[3],
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_ten_thousand_records_in_ten_seconds(tmp_path: Path) -> None:
    records = [make_record("M", params={"p": i // 5}, seed=i % 5, minute=i) for i in range(10_000)]
    write_records(tmp_path / "records", *records)
    begin = time.perf_counter()
    write_leaderboard(tmp_path / "records", tmp_path, REGISTRY)
    assert time.perf_counter() - begin < 10
