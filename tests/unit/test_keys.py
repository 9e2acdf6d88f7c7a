from __future__ import annotations

from typing import Any

import pytest

from bench.keys import CellKeys, cell_keys, score_key
from bench.types import Window

BASE: dict[str, Any] = {
    "method": "msa",
    "code_sha256": "c0",
    "params": {"loss": "l1", "stage": "coarse", "weights": "/a/RN50.pt"},
    "predict_params": ["stage"],
    "weights": ["aa"],
    "train": {"fingerprint": "f", "split": "train", "ids": "i", "depth": "filled"},
    "test": {"fingerprint": "f", "split": "test", "ids": "j", "depth": "raw"},
    "seed": 1,
}


def keys(**changes: Any) -> CellKeys:
    return cell_keys(**{**BASE, **changes})


def params(**changes: Any) -> dict[str, Any]:
    return {"params": {**BASE["params"], **changes}}


@pytest.mark.parametrize(
    "change",
    [
        {"method": "other"},
        {"code_sha256": "c1"},
        params(loss="l2"),
        {"weights": ["bb"]},
        {"train": {**BASE["train"], "depth": "raw"}},
        {"train": {**BASE["train"], "ids": "k"}},
        {"seed": 2},
    ],
)
def test_what_is_learned_from_enters_the_fit_key(change: dict[str, Any]) -> None:
    assert keys(**change).fit != keys().fit
    assert keys(**change).cell != keys().cell


def test_two_rows_come_from_one_fit() -> None:
    refine = keys(**params(stage="refine"))
    assert refine.fit == keys().fit
    assert refine.predict != keys().predict
    assert refine.cell != keys().cell
    assert refine.identity != keys().identity


def test_where_a_weights_file_lies_does_not_matter_only_what_is_in_it() -> None:
    assert keys(**params(weights="/b/RN50.pt")) == keys()


def test_ground_truth_enters_the_cell_but_not_the_prediction() -> None:
    filled = keys(test={**BASE["test"], "depth": "filled"})
    assert filled.predict == keys().predict
    assert filled.cell != keys().cell


def test_identity_survives_a_change_of_code_and_nothing_else() -> None:
    assert keys(code_sha256="c1").identity == keys().identity
    assert keys(seed=2).identity != keys().identity


def test_passes_have_keys_of_their_own() -> None:
    whole = Window.whole(480, 640)
    cut = Window(56, 60, 416, 544, 480, 640)
    found = {keys().prediction(item) for item in (whole, cut, cut.mirror())}
    assert len(found) == 3


def test_score_keys_tell_protocol_ground_truth_and_metrics_apart() -> None:
    base = ("raw", "p", ["rmse"], "m")
    others = [
        ("filled", "p", ["rmse"], "m"),
        ("raw", "q", ["rmse"], "m"),
        ("raw", "p", ["rmse", "silog"], "m"),
        ("raw", "p", ["rmse"], "n"),
    ]
    found = {score_key(keys(), *item) for item in [base, *others]}
    assert len(found) == 5
