"""The nine metrics of the field, as records and tables carry them.

p is the prediction, g the ground truth, both in metres; mean and var run over the scored pixels of
one image, var being the biased one. Names that mean several things elsewhere mean this here:
`sq_rel` divides by g (not g²), `rmse_log` is natural, `silog` is 100 times the biased standard
deviation of the log error (λ = 1).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from bench.metrics.base import Metric

if TYPE_CHECKING:
    from torch import Tensor

    from bench.metrics.terms import ErrorSums, ErrorTerms

_LN10 = 2.302585092994046

_EIGEN = "Eigen, Puhrsch & Fergus 2014 (arXiv 1406.2283), section 4"
_LADICKY = "Ladicky, Shi & Pollefeys 2014 (CVPR); " + _EIGEN
_SAXENA = "Saxena, Sun & Ng 2009 (Make3D, TPAMI 31)"
_SILOG = "Eigen, Puhrsch & Fergus 2014 (arXiv 1406.2283), eq. 1, λ = 1, root × 100 as on KITTI"


def _mean(total: Callable[[ErrorSums], Tensor]) -> Callable[[ErrorTerms], Tensor]:
    return lambda terms: total(terms.sums) / terms.sums.pixels


def _root_mean(
    total: Callable[[ErrorSums], Tensor], factor: float = 1.0
) -> Callable[[ErrorTerms], Tensor]:
    return lambda terms: (total(terms.sums) / terms.sums.pixels).sqrt() * factor


def _delta(power: int, threshold: str, total: Callable[[ErrorSums], Tensor]) -> Metric:
    return Metric(
        name=f"delta{power}",
        unit="",
        range=(0.0, 1.0),
        higher_is_better=True,
        formula=f"share of pixels with max(p/g, g/p) < {threshold}",
        source=_LADICKY,
        function=_mean(total),
    )


def _error(
    name: str, formula: str, function: Callable[[ErrorTerms], Tensor], source: str, unit: str = ""
) -> Metric:
    return Metric(
        name=name,
        unit=unit,
        range=(0.0, None),
        higher_is_better=False,
        formula=formula,
        source=source,
        function=function,
    )


delta1 = _delta(1, "1.25", lambda sums: sums.within_1)
delta2 = _delta(2, "1.25²", lambda sums: sums.within_2)
delta3 = _delta(3, "1.25³", lambda sums: sums.within_3)
abs_rel = _error("abs_rel", "mean(|p - g| / g)", _mean(lambda sums: sums.relative), _EIGEN)
sq_rel = _error(
    "sq_rel", "mean((p - g)² / g)", _mean(lambda sums: sums.squared_relative), _EIGEN, unit="m"
)
rmse = _error(
    "rmse", "sqrt(mean((p - g)²))", _root_mean(lambda sums: sums.squared), _EIGEN, unit="m"
)
rmse_log = _error(
    "rmse_log",
    "sqrt(mean((ln p - ln g)²))",
    _root_mean(lambda sums: sums.squared_log),
    _EIGEN,
)
log10 = _error(
    "log10",
    "mean(|log10 p - log10 g|)",
    _mean(lambda sums: sums.absolute_log / _LN10),
    _SAXENA,
)
silog = _error(
    "silog",
    "100 sqrt(var(ln p - ln g))",
    _root_mean(lambda sums: sums.centred_log, factor=100.0),
    _SILOG,
    unit="×100",
)

METRICS: tuple[Metric, ...] = (
    delta1,
    delta2,
    delta3,
    abs_rel,
    sq_rel,
    rmse,
    rmse_log,
    log10,
    silog,
)
"""In the order of the tables."""
