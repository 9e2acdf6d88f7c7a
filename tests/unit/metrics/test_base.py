from __future__ import annotations

import doctest
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import bench.metrics.base
from bench.errors import PluginError
from bench.metrics.base import Metric, evaluate
from bench.metrics.standard import METRICS, abs_rel
from bench.metrics.terms import ErrorTerms

ROOT = Path(__file__).parents[3]
ONES = torch.ones(2, 3, 4)
ALL = ONES > 0


def mean_absolute(terms: ErrorTerms) -> torch.Tensor:
    return terms.mean((terms.prediction - terms.target).abs())


def metric(name: str, function: object) -> Metric:
    return Metric(name, "m", (0.0, None), False, "mean(|p - g|)", "a test", function)  # type: ignore[arg-type]


def test_a_plugin_metric_can_use_the_pixels() -> None:
    target = ONES * 2
    prediction = torch.full_like(target, 3.5)
    prediction[0, 0, 0] = torch.nan
    mask = ALL.clone()
    mask[0, 0, 0] = False
    values = metric("mae", mean_absolute)(prediction, target, mask)
    assert values.tolist() == [1.5, 1.5]


def test_evaluate_shares_the_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    from bench.metrics import terms

    calls = []
    real = terms.sums_by_blocks
    monkeypatch.setattr(terms, "sums_by_blocks", lambda *x: calls.append(1) or real(*x))
    evaluate(METRICS, ONES, ONES, ALL)
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda terms: 1.0, "float"),
        (lambda terms: terms.prediction, r"shape \(2, 3, 4\)"),
        (lambda terms: torch.ones(()), r"shape \(\)"),
    ],
)
def test_a_metric_that_breaks_its_contract_is_named(function: object, said: str) -> None:
    with pytest.raises(PluginError, match=f"metric 'bad' returned .*{said}.*one number an image"):
        evaluate([metric("bad", function)], ONES, ONES, ALL)


@pytest.mark.parametrize("name", ["RMSE", "abs-rel", "", "a b", "1st"])
def test_names_that_are_no_lower_case_identifiers_are_refused(name: str) -> None:
    with pytest.raises(PluginError, match="lower-case identifier"):
        metric(name, mean_absolute)


@pytest.mark.parametrize(
    ("prediction", "target", "mask", "said"),
    [
        (ONES, ONES[:1], ALL, "alike"),
        (ONES[0], ONES[0], ALL[0], r"\(B, H, W\)"),
        (ONES[:, None], ONES[:, None], ALL[:, None], r"\(B, H, W\)"),
        (ONES.double(), ONES, ALL, "float32"),
        (ONES, ONES, ONES, "bool"),
    ],
)
def test_wrong_shapes_and_types_are_refused(
    prediction: torch.Tensor, target: torch.Tensor, mask: torch.Tensor, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        abs_rel(prediction, target, mask)


def test_docstring_examples_run() -> None:
    result = doctest.testmod(bench.metrics.base)
    assert result.attempted >= 8
    assert result.failed == 0


def test_listing_metrics_and_protocols_imports_no_torch() -> None:
    code = (
        "import sys, bench.metrics.standard, bench.protocols.presets\n"
        "print([name for name in ('torch', 'pandas', 'scipy', 'h5py') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
