"""What a metric is to the harness, and how a set of them is evaluated on one batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.errors import PluginError

if TYPE_CHECKING:
    from torch import Tensor

    from bench.metrics.terms import ErrorTerms


@dataclass(frozen=True)
class Metric:
    """One figure of merit: a pure function of prediction, ground truth and mask, image by image.

    Attributes:
        name: The key in records and tables; a lower-case identifier.
        unit: ``m``, ``×100``, or "" where the figure has none.
        range: Lowest and highest value it can take; None where unbounded.
        higher_is_better: Which way is up.
        formula: In terms of p (prediction, metres), g (ground truth, metres), mean and var over the
            scored pixels of one image.
        source: Where it comes from.
        function: Takes the `ErrorTerms` all metrics of a batch share; returns (B,) float64.
        version: Raised whenever the same inputs give another figure.
    """

    name: str
    unit: str
    range: tuple[float, float | None]
    higher_is_better: bool
    formula: str
    source: str
    function: Callable[[ErrorTerms], Tensor]
    version: int = 1

    def __post_init__(self) -> None:
        if not (self.name.isidentifier() and self.name == self.name.lower()):
            raise PluginError(
                f"metric name {self.name!r} is not a lower-case identifier (like 'abs_rel'); "
                "rename it"
            )

    def __call__(self, prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        """Return the metric of each image, as `formula` says, accumulated in float64.

        Args:
            prediction: (B, H, W) float32 metres. Inside the mask it must be positive and finite for
                the figure to be; protocols see to that by clamping.
            target: (B, H, W) float32 metres, > 0 inside the mask.
            mask: (B, H, W) bool, the pixels to score. What lies outside may hold anything.

        Returns:
            (B,) float64. NaN for an image whose mask is empty: it has no figure, and a mean over
            images leaves it out.

        Raises:
            ValueError: The shapes differ or the types are not those above.

        Example:
            >>> import torch
            >>> from bench.metrics.standard import abs_rel
            >>> target = torch.tensor([[[1.0, 2.0, 4.0]]])
            >>> prediction = torch.tensor([[[1.5, 2.0, 9.0]]])
            >>> abs_rel(prediction, target, mask=target < 3).tolist()
            [0.25]
        """
        return evaluate([self], prediction, target, mask)[self.name]


def evaluate(
    metrics: Sequence[Metric], prediction: Tensor, target: Tensor, mask: Tensor
) -> dict[str, Tensor]:
    """Evaluate several metrics on one batch; the errors they share are computed once.

    Args:
        metrics: Which; names must differ.
        prediction: (B, H, W) float32 metres.
        target: (B, H, W) float32 metres.
        mask: (B, H, W) bool.

    Returns:
        (B,) float64 by metric name, NaN for images whose mask is empty.

    Raises:
        ValueError: The shapes differ or the types are not those above.
        PluginError: A metric's function did not return one number an image.

    Example:
        >>> import torch
        >>> from bench.metrics.standard import METRICS
        >>> target = torch.full((1, 2, 2), 2.0)
        >>> values = evaluate(METRICS, target * 2, target, target > 0)
        >>> round(values["rmse"].item(), 6), round(values["silog"].item(), 6)
        (2.0, 0.0)
    """
    from bench.metrics.terms import ErrorTerms

    terms = ErrorTerms(prediction, target, mask)
    return {metric.name: _checked(metric, metric.function(terms), len(mask)) for metric in metrics}


def _checked(metric: Metric, values: Tensor, images: int) -> Tensor:
    shape = getattr(values, "shape", None)
    if shape != (images,):
        got = type(values).__name__ if shape is None else f"shape {tuple(shape)}"
        raise PluginError(
            f"metric '{metric.name}' returned {got}; its function must return one number an image, "
            f"shape ({images},)"
        )
    return values.double()
