from __future__ import annotations

import math
import time
from collections.abc import Sequence

import pytest

from bench.records import Record
from bench.report.measured import best_rows
from bench.report.tables import Leaderboard, Row, ScoreTable, build
from tests.unit.report.making import (
    METRICS,
    OPENAI,
    RANDOM_INIT,
    make_protocol,
    make_record,
)


def board_of(*records: Record) -> Leaderboard:
    return build(records, METRICS)


def only_table(board: Leaderboard) -> ScoreTable:
    (group,) = board.groups
    (table,) = group.tables
    return table


def labels(rows: Sequence[Row]) -> list[str]:
    return [row.label for row in rows]


# --- what shares a table ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "other",
    [
        {"fingerprint": "ee" * 32},
        {"split": "val"},
        {"depth": {"train": "filled", "test": "filled"}},
        {"test_images": 9},
        {"name": "nyu-v3"},
    ],
)
def test_other_data_means_another_group_whatever_its_name(other: dict[str, object]) -> None:
    board = board_of(make_record("A"), make_record("B", dataset=other))
    assert len(board.groups) == 2
    assert all(len(list(group.rows)) == 1 for group in board.groups)


def test_training_depth_makes_rows_of_one_table_not_tables() -> None:
    raw = {"depth": {"train": "raw", "test": "raw"}}
    filled = make_record("U-Net", method="cnn-unet", supervision="depth")
    other = make_record("U-Net", method="cnn-unet", supervision="depth", dataset=raw)
    untrained = make_record("Constant", supervision="none", dataset=raw)
    board = board_of(filled, other, untrained)
    [group] = board.groups
    assert group.train_depths == ["filled", "raw"]
    assert {row.label for row in group.tables[0].rows} == {
        "Constant",
        "U-Net (trained on filled depth)",
        "U-Net (trained on raw depth)",
    }


def test_protocols_of_one_name_but_other_settings_do_not_share_a_table() -> None:
    loose, strict = make_protocol("full", cap=10), make_protocol("full", cap=80)
    board = board_of(make_record(protocols=(loose,)), make_record(protocols=(strict,), minute=1))
    (group,) = board.groups
    assert [len(table.rows) for table in group.tables] == [1, 1]
    assert board.superseded == ()


def test_the_whole_test_set_comes_before_its_subset() -> None:
    subset = make_record("A", dataset={"test_images": 9, "fingerprint": "00" * 32})
    board = board_of(subset, make_record("B"))
    assert [group.dataset.test_images for group in board.groups] == [654, 9]
    assert [group.subset for group in board.groups] == [False, True]


def test_the_same_table_whatever_order_records_come_in() -> None:
    records = [make_record(f"M{i}", params={"i": i}, minute=i) for i in range(5)]
    assert board_of(*records) == board_of(*reversed(records))


# --- order and best ---------------------------------------------------------------------------


def test_rows_are_ordered_by_abs_rel_and_nan_comes_last() -> None:
    board = board_of(
        make_record("nan", params={"p": 1}, metrics={"abs_rel": math.nan}),
        make_record("worst", params={"p": 2}, metrics={"abs_rel": 0.9}),
        make_record("best", params={"p": 3}, metrics={"abs_rel": 0.1}),
        make_record("infinite", params={"p": 4}, metrics={"abs_rel": math.inf}),
    )
    assert labels(only_table(board).rows) == ["best", "worst", "infinite", "nan"]


def test_without_abs_rel_the_first_metric_orders_in_its_own_direction() -> None:
    metrics = {"delta1": METRICS["delta1"]}
    low = make_record("low", params={"p": 1}, metrics={"delta1": 0.2})
    high = make_record("high", params={"p": 2}, metrics={"delta1": 0.8})
    (group,) = build([low, high], metrics).groups
    assert labels(group.tables[0].rows) == ["high", "low"]


def best_labels(board: Leaderboard, metric: str) -> set[str]:
    rows = only_table(board).rows
    return {rows[index].label for index in best_rows(rows, metric, METRICS)}


def test_best_is_highest_or_lowest_as_the_metric_says() -> None:
    board = board_of(
        make_record("A", params={"p": 1}, metrics={"abs_rel": 0.2, "delta1": 0.3}),
        make_record("B", params={"p": 2}, metrics={"abs_rel": 0.3, "delta1": 0.6}),
    )
    assert best_labels(board, "abs_rel") == {"A"}
    assert best_labels(board, "delta1") == {"B"}


def test_values_that_are_shown_alike_are_all_best() -> None:
    board = board_of(
        make_record("A", params={"p": 1}, metrics={"rmse": 0.50041}),
        make_record("B", params={"p": 2}, metrics={"rmse": 0.50039}),
        make_record("C", params={"p": 3}, metrics={"rmse": 0.501}),
    )
    assert best_labels(board, "rmse") == {"A", "B"}


@pytest.mark.parametrize("unusable", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_never_best(unusable: float) -> None:
    board = board_of(
        make_record("A", params={"p": 1}, metrics={"delta1": unusable, "rmse": unusable}),
        make_record("B", params={"p": 2}, metrics={"delta1": 0.1, "rmse": 9.0}),
    )
    assert best_labels(board, "delta1") == {"B"}
    assert best_labels(board, "rmse") == {"B"}


def test_nobody_is_best_alone_or_where_all_failed() -> None:
    assert best_labels(board_of(make_record()), "rmse") == set()
    lost = {"rmse": math.nan}
    both = [make_record("A", params={"p": p}, metrics=lost) for p in (1, 2)]
    assert best_labels(board_of(*both), "rmse") == set()


def test_a_row_chosen_on_test_is_not_best_beside_honest_ones() -> None:
    chosen = make_record("A", params={"p": 1}, metrics={"rmse": 0.1}, selection="study")
    honest = make_record("B", params={"p": 2}, metrics={"rmse": 0.5}, selection="last")
    also = make_record("C", params={"p": 3}, metrics={"rmse": 0.6}, selection="study")
    assert best_labels(board_of(chosen, honest, also), "rmse") == {"B"}
    assert best_labels(board_of(chosen, also), "rmse") == {"A"}


# --- seeds ------------------------------------------------------------------------------------


def test_seeds_of_one_method_are_one_row_with_mean_and_deviation() -> None:
    records = [
        make_record("CNN", method="cnn", seed=seed, metrics={"abs_rel": value}, minute=seed)
        for seed, value in ((2, 0.3), (1, 0.2))
    ]
    (row,) = only_table(board_of(*records)).rows
    assert row.seeds == 2
    assert [entry.record.seed for entry in row.entries] == [1, 2]
    assert row.summaries["abs_rel"].mean == pytest.approx(0.25)
    assert row.summaries["abs_rel"].std == pytest.approx(math.sqrt(0.005))


def test_an_unseeded_method_has_no_seeds_and_no_deviation() -> None:
    (row,) = only_table(board_of(make_record())).rows
    assert row.seeds is None
    assert row.summaries["abs_rel"].std is None


@pytest.mark.parametrize(
    "difference",
    [
        {"params": {"lr": 2}},
        {"code": "2"},
        {"weights": OPENAI},
        {"selection": "study"},
        {"dataset": {"train_images": 20}},
    ],
)
def test_seeds_of_different_fits_are_not_averaged(difference: dict[str, object]) -> None:
    common: dict[str, object] = {"method": "cnn", "supervision": "depth", "params": {"lr": 1}}
    first = make_record("CNN", seed=1, **common)  # type: ignore[arg-type]
    second = make_record("CNN", seed=2, **{**common, **difference})  # type: ignore[arg-type]
    assert len(only_table(board_of(first, second)).rows) == 2


def test_one_seed_twice_is_not_averaged() -> None:
    first = make_record("CNN", seed=1)
    keys = first.keys.model_copy(update={"identity": "other", "cell": "other"})
    other = first.model_copy(update={"keys": keys, "id": "other"})
    rows = only_table(board_of(first, other)).rows
    assert [row.seeds for row in rows] == [1, 1]


def test_a_metric_that_a_seed_lacks_is_left_out_of_the_row() -> None:
    records = [make_record("CNN", seed=seed) for seed in (1, 2)]
    score = records[1].scores[0]
    kept = {name: value for name, value in score.metrics.items() if name != "silog"}
    shorter = records[1].model_copy(update={"scores": [score.model_copy(update={"metrics": kept})]})
    (row,) = only_table(board_of(records[0], shorter)).rows
    assert "silog" not in row.summaries
    assert row.summaries["rmse"].n == 2


# --- labels -----------------------------------------------------------------------------------


def test_namesakes_are_told_apart_by_the_parameters_that_differ() -> None:
    board = board_of(
        make_record("MSA", params={"w": 0, "lr": 1}, metrics={"abs_rel": 0.1}),
        make_record("MSA", params={"w": 1, "lr": 1}, metrics={"abs_rel": 0.2}),
        make_record("Other", params={"w": 7, "lr": 1}, metrics={"abs_rel": 0.3}),
    )
    assert labels(only_table(board).rows) == ["MSA (w=0)", "MSA (w=1)", "Other"]


def test_namesakes_of_other_methods_are_told_apart_by_method() -> None:
    board = board_of(
        make_record("Mine", method="a", params={"x": 1}, metrics={"abs_rel": 0.1}),
        make_record("Mine", method="b", params={"y": 1}, metrics={"abs_rel": 0.2}),
    )
    assert labels(only_table(board).rows) == ["Mine (a)", "Mine (b)"]


def test_a_relabelled_method_is_one_row_under_its_newest_label() -> None:
    old = make_record("Old name", seed=1, minute=0)
    new = make_record("New name", seed=2, minute=1)
    (row,) = only_table(board_of(new, old)).rows
    assert row.label == "New name"


# --- history ----------------------------------------------------------------------------------


def test_newer_code_supersedes_older_code() -> None:
    old = make_record(code="1", metrics={"rmse": 2.0}, minute=0)
    new = make_record(code="2", metrics={"rmse": 1.0}, minute=1)
    board = board_of(new, old)
    (row,) = only_table(board).rows
    assert row.summaries["rmse"].mean == 1.0
    assert not row.older_code
    assert [record.id for record in board.superseded] == [old.id]
    assert board.disagreements == ()


def test_a_seed_only_older_code_ran_stays_and_is_marked() -> None:
    old = [make_record("CNN", seed=seed, code="1", minute=seed) for seed in (1, 2)]
    new = make_record("CNN", seed=1, code="2", minute=5)
    board = board_of(*old, new)
    rows = {row.older_code: [entry.record.seed for entry in row.entries] for row in board.rows}
    assert rows == {True: [2], False: [1]}
    assert [record.id for record in board.superseded] == [old[0].id]


def test_a_later_protocol_supersedes_nothing() -> None:
    first = make_record(minute=0)
    later = make_record(minute=1, protocols=(make_protocol("nyu-eigen"),))
    board = board_of(first, later)
    assert board.superseded == ()
    assert len(board.groups[0].tables) == 2


def test_records_of_one_score_that_differ_are_reported() -> None:
    old = make_record(metrics={"rmse": 1.0, "silog": 30.0}, minute=0)
    new = make_record(metrics={"rmse": 1.1, "silog": 30.01}, minute=1)
    (found,) = board_of(old, new).disagreements
    assert found.records == (old.id, new.id)
    assert found.metric == "rmse"
    assert found.difference == pytest.approx(0.1)


def test_float_noise_is_no_disagreement_but_nan_against_a_number_is() -> None:
    base = make_record(metrics={"rmse": 1.0}, minute=0)
    noise = make_record(metrics={"rmse": 1.0 + 1e-8}, minute=1)
    assert board_of(base, noise).disagreements == ()
    lost = make_record(metrics={"rmse": math.nan}, minute=2)
    (found,) = board_of(base, lost).disagreements
    assert math.isnan(found.difference)
    also_lost = make_record(metrics={"rmse": math.nan}, minute=3)
    assert board_of(lost, also_lost).disagreements == ()


def test_a_copied_record_counts_once() -> None:
    record = make_record()
    board = board_of(record, record.model_copy())
    assert board.records == 1
    assert board.superseded == ()


# --- failures ---------------------------------------------------------------------------------


def test_a_failure_counts_until_the_cell_succeeds() -> None:
    failed = make_record(error="out of memory", minute=1)
    assert [record.id for record in board_of(failed).failures] == [failed.id]
    assert board_of(failed, make_record(minute=2)).failures == ()
    mended = make_record(code="2", minute=2)
    assert board_of(failed, mended).failures == ()


def test_a_failure_after_a_success_is_shown_beside_it() -> None:
    board = board_of(make_record(minute=0), make_record(error="broken since", minute=1))
    assert len(board.failures) == 1
    assert len(only_table(board).rows) == 1


def test_only_the_newest_failure_of_a_cell_is_shown() -> None:
    failures = [make_record(error=f"attempt {minute}", minute=minute) for minute in (1, 2)]
    (found,) = board_of(*failures).failures
    assert found.error is not None
    assert found.error.message == "attempt 2"


# --- costs ------------------------------------------------------------------------------------


def test_costs_are_means_over_seeds_and_one_row_serves_all_protocols() -> None:
    protocols = make_protocol(), make_protocol("nyu-eigen")
    records = [
        make_record("CNN", seed=1, protocols=protocols, cost={"fit_seconds": 10, "macs": 7}),
        make_record("CNN", seed=2, protocols=protocols, cost={"fit_seconds": 30}),
    ]
    (row,) = board_of(*records).groups[0].costs
    assert row.cost.fit_seconds == 20
    assert row.cost.macs == 7
    assert {record.id for record in row.records} == {record.id for record in records}


def test_a_cost_measured_once_survives_a_later_rescoring() -> None:
    first = make_record(cost={"fit_seconds": 10}, minute=0)
    later = make_record(minute=1, protocols=(make_protocol("nyu-eigen"),), cost={})
    (row,) = board_of(first, later).groups[0].costs
    assert row.cost.fit_seconds == 10


def test_random_init_is_seen_whichever_of_several_weights_it_is() -> None:
    (row,) = only_table(board_of(make_record(weights=OPENAI + RANDOM_INIT))).rows
    assert row.random_init


def test_time_grows_linearly_with_records() -> None:
    def seconds(count: int) -> float:
        records = [
            make_record("M", params={"p": i // 4}, seed=i % 4, minute=i) for i in range(count)
        ]
        best = math.inf
        for _ in range(3):
            begin = time.perf_counter()
            board_of(*records)
            best = min(best, time.perf_counter() - begin)
        return best

    small, large = seconds(300), seconds(1200)
    assert large < 4 * small * 2.5 + 0.05
