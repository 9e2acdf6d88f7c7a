"""The errors that metrics share, summed over the scored pixels of each image in float64.

Every division and logarithm is taken in float64 and once. Two implementations of one contract: on
a CPU, images are swept in blocks small enough to stay in its cache; elsewhere a whole batch goes at
once. B images, N pixels.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Float64 = npt.NDArray[np.float64]

BLOCK = 30_720
"""Pixels a CPU sweep handles at a time: its float64 buffers then share a 2 MB cache."""

# max(p/g, g/p) < 1.25^k is tested as |log p - log g| < k log 1.25 - slack. For float32 p and g the
# two sides of the first differ by 4.6e-10 in the logarithm if they differ at all, and rounding of
# the second stays below 1e-15, so with any slack between the two the test is exact.
_SLACK = 1e-12
_LIMITS = tuple(k * math.log(1.25) - _SLACK for k in (1, 2, 3))


class ErrorSums(NamedTuple):
    """Sums over the scored pixels of each image; each (B,) float64.

    p is the prediction, g the ground truth, l = log p - log g (natural).

    Attributes:
        pixels: How many are scored.
        within_1: How many have max(p/g, g/p) < 1.25, strictly.
        within_2: The same for 1.25².
        within_3: The same for 1.25³.
        relative: |p - g| / g.
        squared_relative: (p - g)² / g, metres.
        squared: (p - g)², square metres.
        absolute_log: abs(l).
        squared_log: l².
        centred_log: (l - mean of l)².
    """

    pixels: Tensor
    within_1: Tensor
    within_2: Tensor
    within_3: Tensor
    relative: Tensor
    squared_relative: Tensor
    squared: Tensor
    absolute_log: Tensor
    squared_log: Tensor
    centred_log: Tensor


class ErrorTerms:
    """What the metrics of one batch share.

    Attributes:
        prediction: (B, H, W) float32 metres.
        target: (B, H, W) float32 metres.
        mask: (B, H, W) bool; the scored pixels. Outside it the other two may hold anything.
    """

    def __init__(self, prediction: Tensor, target: Tensor, mask: Tensor) -> None:
        """Hold a batch; nothing is computed until it is asked for.

        Raises:
            ValueError: The shapes differ, or the types are not float32, float32 and bool.
        """
        if not (prediction.shape == target.shape == mask.shape and prediction.ndim == 3):
            shapes = [tuple(tensor.shape) for tensor in (prediction, target, mask)]
            raise ValueError(f"prediction, target and mask must be (B, H, W) alike, not {shapes}")
        dtypes = (prediction.dtype, target.dtype, mask.dtype)
        if dtypes != (torch.float32, torch.float32, torch.bool):
            raise ValueError(f"expected float32, float32 and bool, not {dtypes}")
        self.prediction = prediction
        self.target = target
        self.mask = mask

    @cached_property
    def sums(self) -> ErrorSums:
        """The sums the standard metrics are made of."""
        flat = [x.detach().flatten(1) for x in (self.prediction, self.target, self.mask)]
        on_cpu = self.mask.device.type == "cpu"
        return sums_by_blocks(*flat) if on_cpu else sums_at_once(*flat)

    @cached_property
    def pixels(self) -> Tensor:
        """(B,) float64: how many pixels of each image are scored."""
        return self.mask.flatten(1).sum(1).double()

    def mean(self, errors: Tensor) -> Tensor:
        """Return the mean of a metric's own per-pixel errors over the scored pixels.

        Args:
            errors: (B, H, W); outside the mask it may hold anything.

        Returns:
            (B,) float64; NaN where nothing is scored.
        """
        inside = torch.where(self.mask, errors.double(), 0.0)
        return inside.flatten(1).sum(1) / self.pixels


def sums_at_once(prediction: Tensor, target: Tensor, mask: Tensor) -> ErrorSums:
    """Sum over a whole batch with whole-image operations, on any device.

    Args:
        prediction: (B, N) float32.
        target: (B, N) float32.
        mask: (B, N) bool.
    """
    p = torch.where(mask, prediction, 1.0).double()
    g = torch.where(mask, target, 1.0).double()
    pixels = mask.sum(1).double()
    ratio = p / g
    log = ratio.log()
    magnitude = log.abs()
    error, relative = p - g, ratio - 1
    centred = torch.where(mask, log - (log.sum(1) / pixels)[:, None], 0.0)
    within = [((magnitude < limit) & mask).sum(1).double() for limit in _LIMITS]
    return ErrorSums(
        pixels=pixels,
        within_1=within[0],
        within_2=within[1],
        within_3=within[2],
        relative=relative.abs().sum(1),
        squared_relative=(error * relative).sum(1),
        squared=error.square().sum(1),
        absolute_log=magnitude.sum(1),
        squared_log=log.square().sum(1),
        centred_log=centred.square().sum(1),
    )


def sums_by_blocks(prediction: Tensor, target: Tensor, mask: Tensor) -> ErrorSums:
    """Sum image by image and block by block; for tensors on the CPU.

    Args:
        prediction: (B, N) float32.
        target: (B, N) float32.
        mask: (B, N) bool.
    """
    images = zip(prediction.numpy(), target.numpy(), mask.numpy(), strict=True)
    with np.errstate(all="ignore"):  # predictions that break the contract give NaN, silently
        rows = [_image_sums(*image) for image in images]
    table = torch.tensor(rows, dtype=torch.float64).reshape(-1, len(ErrorSums._fields))
    return ErrorSums(*table.unbind(1))


def _image_sums(
    prediction: npt.NDArray[np.float32],
    target: npt.NDArray[np.float32],
    mask: npt.NDArray[np.bool_],
) -> tuple[float, ...]:
    """The `ErrorSums` of one image, all arguments (N,)."""
    sweep = _Sweep(min(BLOCK, len(mask)))
    for start in range(0, len(mask), BLOCK):
        block = slice(start, start + BLOCK)
        sweep.add(prediction[block], target[block], mask[block])
    pixels, *others, log, squared_log = sweep.totals.tolist()
    # The logarithms were summed less `shift`, which is one of them: so neither correction loses
    # more digits than float64 has to spare, however little the logarithms vary.
    shift, mean = sweep.shift, log / pixels if pixels else math.nan
    centred = squared_log - log * mean
    if centred < 0:  # by rounding; NaN stays NaN
        centred = 0.0
    return pixels, *others, squared_log + shift * (2 * log + pixels * shift), centred


class _Sweep:
    """Running totals of one image, and the buffers its blocks reuse so that they stay in cache."""

    def __init__(self, size: int) -> None:
        self.totals = np.zeros(len(ErrorSums._fields))
        self.shift = 0.0
        self._buffers = [np.empty(size) for _ in range(4)]
        self._flags = np.empty(size, dtype=np.bool_)

    def add(
        self,
        prediction: npt.NDArray[np.float32],
        target: npt.NDArray[np.float32],
        mask: npt.NDArray[np.bool_],
    ) -> None:
        """Add one block's pixels to the totals."""
        pixels = np.count_nonzero(mask)
        if not pixels:
            return
        if pixels < len(mask):
            # Indices shared by both beat two boolean selections, whose time hangs on the pattern.
            scored = np.flatnonzero(mask)
            prediction, target = (x.take(scored, mode="clip") for x in (prediction, target))
        p, g, ratio, log = (buffer[:pixels] for buffer in self._buffers)
        np.copyto(p, prediction)
        np.copyto(g, target)
        np.divide(p, g, out=ratio)
        # torch's float64 logarithm takes two thirds of the time of numpy's.
        torch.log(torch.from_numpy(ratio), out=torch.from_numpy(log))
        if not self.totals[0]:
            self.shift = float(log[0])
        self.totals += np.array((pixels, *self._errors(p, g, ratio, log)))

    def _errors(self, p: Float64, g: Float64, ratio: Float64, log: Float64) -> tuple[float, ...]:
        """One block's sums after the pixel count; overwrites all four arrays."""
        error = np.subtract(p, g, out=p)
        relative = np.subtract(ratio, 1, out=ratio)
        squared, squared_relative = np.dot(error, error), np.dot(error, relative)
        absolute_relative = np.abs(relative, out=relative).sum()
        magnitude = np.abs(log, out=g)
        flags = self._flags[: len(log)]
        within = [np.count_nonzero(np.less(magnitude, limit, out=flags)) for limit in _LIMITS]
        absolute_log = magnitude.sum()
        log -= self.shift
        return (
            *within,
            absolute_relative,
            squared_relative,
            squared,
            absolute_log,
            log.sum(),
            np.dot(log, log),
        )
