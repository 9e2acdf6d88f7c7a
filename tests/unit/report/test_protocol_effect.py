from __future__ import annotations

from pathlib import Path

import pytest

from bench.records import Record
from bench.report.markdown import write_leaderboard
from bench.report.protocol_effect import Effect, effect
from bench.report.tables import build
from tests.unit.report.making import (
    METRICS,
    REGISTRY,
    make_protocol,
    make_record,
    write_records,
)

FULL, EIGEN, STUDY = make_protocol("full"), make_protocol("nyu-eigen"), make_protocol("nyu-study")


def scored(label: str, *values: float) -> list[Record]:
    """Records of one method under full, nyu-eigen, nyu-study with these abs_rel; NaN: none."""
    return [
        make_record(
            label, method=label, protocols=(protocol,), metrics={"abs_rel": value}, minute=minute
        )
        for minute, (protocol, value) in enumerate(zip((FULL, EIGEN, STUDY), values, strict=False))
        if value == value
    ]


def found(*records: list[Record]) -> Effect | None:
    [group] = build([each for some in records for each in some], METRICS).groups
    return effect(group, METRICS["abs_rel"])


def test_the_order_under_each_protocol() -> None:
    shown = found(scored("a", 0.1, 0.3), scored("b", 0.2, 0.2), scored("c", 0.3, 0.4))
    assert shown is not None
    assert shown.protocols == ("full", "nyu-eigen")
    assert [row.label for row in shown.rows] == ["a", "b", "c"]
    assert shown.values == ((0.1, 0.3), (0.2, 0.2), (0.3, 0.4))
    assert shown.ranks == ((1, 2), (2, 1), (3, 3))
    assert [(ahead.label, behind.label) for ahead, behind in shown.swaps(1)] == [("a", "b")]


def test_figures_shown_alike_share_a_rank_and_change_no_places() -> None:
    shown = found(scored("a", 0.10001, 0.2), scored("b", 0.10002, 0.1), scored("c", 0.3, 0.3))
    assert shown is not None
    assert [ranks and ranks[0] for ranks in shown.ranks] == [1, 1, 3]
    assert shown.swaps(1) == []


def test_ranks_are_among_methods_scored_under_all_protocols() -> None:
    nan = float("nan")
    shown = found(scored("a", nan, 0.1), scored("b", 0.2, 0.2), scored("c", 0.1, 0.3))
    assert shown is not None
    ranks = dict(zip([row.label for row in shown.rows], shown.ranks, strict=True))
    assert ranks == {"a": None, "b": (2, 1), "c": (1, 2)}


def test_higher_is_better_where_it_is() -> None:
    records = [*scored("a", 0.1, 0.1), *scored("b", 0.2, 0.2)]
    [group] = build(records, METRICS).groups
    shown = effect(group, METRICS["delta1"])
    assert shown is not None
    assert shown.ranks == ((1, 1), (1, 1))


def test_one_protocol_has_no_effect_to_show() -> None:
    assert found(scored("a", 0.1), scored("b", 0.2)) is None


@pytest.mark.parametrize("turned", [True, False])
def test_the_page_says_which_pairs_change_places(tmp_path: Path, turned: bool) -> None:
    second = 0.15 if turned else 0.35
    records = [*scored("ours", 0.1, 0.3, 0.1), *scored("the | other", 0.2, second, 0.5)]
    folder = write_records(tmp_path / "records", *records)
    [page] = write_leaderboard(folder, tmp_path, REGISTRY)
    text = page.read_text(encoding="utf-8")
    section = text[text.index("### What the protocol alone does") : text.index("### Cost")]
    assert "0.100 (1)" in section
    said = "`nyu-eigen` turns 1 of 1 pair of `full` round by `abs_rel`: ours / the \\| other."
    assert (said in section) == turned
    assert ("By `abs_rel` no protocol changes the order." in section) != turned


def test_negative_scales_are_shown_where_there_is_an_alignment(tmp_path: Path) -> None:
    aligned = make_protocol("nyu-marigold", alignment="lstsq-affine-depth")
    upside_down = make_record(protocols=(aligned,), invalid={"negative_scale_images": 7})
    folder = write_records(tmp_path / "records", upside_down, make_record(minute=1))
    [page] = write_leaderboard(folder, tmp_path, REGISTRY)
    lines = page.read_text(encoding="utf-8").splitlines()
    headers = [line for line in lines if "Images with a negative scale" in line]
    assert len(headers) == 1
    assert lines[lines.index(headers[0]) + 2].rstrip(" |").endswith("7")
