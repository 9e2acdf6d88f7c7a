"""The leaderboard as LaTeX and as CSV, hostile text included."""

from __future__ import annotations

import csv
import math
import re
from pathlib import Path

import pytest

from bench.cli import main
from bench.records import Record
from bench.report import latex
from bench.report.markdown import write_table
from tests.unit.report.making import (
    OPENAI,
    REGISTRY,
    VALUES,
    make_protocol,
    make_record,
    write_records,
)

HOSTILE = r"\input{/etc/passwd} & 50% $x$ #1 a_b {c} ~ ^2 \\ [1ex] *"


def tex(tmp_path: Path, *records: Record) -> str:
    folder = write_records(tmp_path / "records", *records)
    (path,) = write_table(folder, tmp_path, REGISTRY, "latex")
    assert path.name == "leaderboard.tex"
    return path.read_text(encoding="utf-8")


def lines(tmp_path: Path, *records: Record) -> list[dict[str, str]]:
    folder = write_records(tmp_path / "records", *records)
    (path,) = write_table(folder, tmp_path, REGISTRY, "csv")
    assert path.name == "leaderboard.csv"
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def unescaped(text: str, character: str) -> int:
    return len(re.findall(rf"(?<!\\){re.escape(character)}", text))


def test_latex_has_a_table_a_protocol_with_the_best_in_bold(tmp_path: Path) -> None:
    both = make_protocol(), make_protocol("nyu-eigen")
    page = tex(
        tmp_path,
        make_record("Good", protocols=both, metrics={"abs_rel": 0.125}),
        make_record("Bad", method="b", protocols=both, metrics={"abs_rel": math.nan}),
    )
    assert page.count(r"\begin{tabular}") == page.count(r"\end{tabular}") == 2
    for rule in ("toprule", "midrule", "bottomrule"):
        assert page.count(rf"\{rule}") == 2
    assert page.count(r"\textbf{0.125}") == 2
    assert r"\textbf{NaN}" not in page
    assert r"abs\_rel $\downarrow$" in page
    assert r"654 test images" in page


def test_latex_gives_seeds_their_spread_and_marks_what_was_chosen_on_test(tmp_path: Path) -> None:
    page = tex(
        tmp_path,
        make_record("A", seed=1, metrics={"rmse": 0.5}),
        make_record("A", seed=2, minute=1, metrics={"rmse": 0.7}),
        make_record("B", method="b", selection="study"),
    )
    assert r"0.600} $\pm$ 0.141" in page
    assert r"B$\ddagger$ &" in page
    assert r"$\ddagger$: epoch chosen on the test images." in page


def test_hostile_text_is_set_as_itself(tmp_path: Path) -> None:
    page = tex(tmp_path, make_record(HOSTILE), make_record("[2em] row", method="b"))
    (row,) = [line for line in page.splitlines() if "etc/passwd" in line]
    assert r"\input" not in page
    assert unescaped(row, "&") == 1 + len(VALUES)
    assert unescaped(row, "%") == unescaped(row, "#") == unescaped(row, "_") == 0
    assert unescaped(row, "{") == unescaped(row, "}")
    assert row.count(r"\\") == 1
    assert r"\textbackslash{}input\{/etc/passwd\} \& 50\% \$x\$ \#1 a\_b \{c\}" in row
    assert r"\textasciitilde{} \textasciicircum{}2" in row
    assert not any(line.startswith(("[", "*")) for line in page.splitlines())


@pytest.mark.parametrize("character", "&%$#_{}~^\\")
def test_no_special_character_is_left_alone(character: str) -> None:
    assert latex.escape(f"a{character}b") != f"a{character}b"
    assert "\n" not in latex.escape(f"{character}\n%")


def test_csv_holds_every_score_at_full_precision(tmp_path: Path) -> None:
    records = [
        make_record(
            "CNN, small",
            seed=seed,
            weights=OPENAI,
            minute=seed,
            metrics={"abs_rel": 0.1 + seed / 3},
            ci95={"abs_rel": (0.1, 0.2)},
            clusters=218,
            protocols=(make_protocol(), make_protocol("nyu-eigen")),
        )
        for seed in (1, 2)
    ]
    rows = lines(tmp_path, *records)
    assert len(rows) == 2 * 2 * len(VALUES)
    (row,) = [
        row
        for row in rows
        if (row["seed"], row["protocol"], row["metric"]) == ("2", "nyu-eigen", "abs_rel")
    ]
    assert float(row["value"]) == 0.1 + 2 / 3
    assert (row["ci95_low"], row["ci95_high"]) == ("0.1", "0.2")
    assert (row["images"], row["scenes"], row["label"]) == ("654", "218", "CNN, small")
    assert row["record"] == records[1].id
    assert row["cell_key"] == records[1].keys.cell
    assert row["score_key"] == records[1].scores[1].key
    assert (row["higher_is_better"], row["synthetic"]) == ("false", "false")
    assert {row["ci95_low"] for row in rows if row["metric"] == "rmse"} == {""}


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t=", "\r\n@", " +", "＝"])
def test_no_text_becomes_a_formula(tmp_path: Path, start: str) -> None:
    label = f'{start}cmd|"/c calc"!A1,\n2'
    rows = lines(tmp_path, make_record(label))
    assert len(rows) == len(VALUES)
    assert {row["label"] for row in rows} == {f'\'{start.strip()}cmd|"/c calc"!A1, 2'}


def test_numbers_are_no_text(tmp_path: Path) -> None:
    rows = lines(tmp_path, make_record(metrics={"abs_rel": -0.5, "rmse": math.nan}))
    values = {row["metric"]: row["value"] for row in rows}
    assert values["abs_rel"] == "-0.5"
    assert math.isnan(float(values["rmse"]))


@pytest.mark.parametrize(
    ("form", "name"),
    [("markdown", "README.md"), ("latex", "leaderboard.tex"), ("csv", "leaderboard.csv")],
)
def test_the_command_names_the_file_it_wrote(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str, name: str
) -> None:
    folder = write_records(tmp_path / "records", make_record())
    out = tmp_path / "out"
    command = ["leaderboard", "--records", str(folder), "--out", str(out), "--format", form]
    assert main(command) == 0
    assert capsys.readouterr().out.splitlines() == [str(out / name)]
    assert [path.name for path in out.iterdir()] == [name]
