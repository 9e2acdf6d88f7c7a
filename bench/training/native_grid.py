"""Losses on the grid a network predicts on, instead of the image's.

For networks that predict a small map: what they are compared with is made as small, so no pixel of
the target counts for more than it tells.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.training import losses
from bench.training.loop import StepOutput, ground_truth
from bench.training.normalisation import imagenet_normalised
from bench.training.trained_method import TrainingParams
from bench.types import Batch

_WHOLLY = 0.999


def target_on_grid(batch: Batch, height: int, width: int) -> tuple[Tensor, Tensor]:
    """The depth to learn on a grid of another size.

    Bilinear with aligned corners; a grid point is valid where all the pixels it lies between are.

    Args:
        batch: With ground truth.
        height: Rows of the grid.
        width: Columns of the grid.

    Returns:
        Depth (B, 1, height, width) in metres, clipped to [0, 10], 0 where it is not valid; valid
        (B, 1, height, width) bool.
    """
    target, valid = ground_truth(batch)
    share = _resized(valid.to(target.dtype), height, width)
    whole = share > _WHOLLY
    depth = _resized(torch.where(valid, target, 0.0), height, width)
    return torch.where(whole, depth / share.clamp(min=_WHOLLY), 0.0), whole


def native_losses(params: TrainingParams, step: StepOutput) -> dict[str, Tensor]:
    """Depth loss, smoothness and symmetry on the prediction's own grid.

    The prediction is the mean of the passes; target and image are resized to its grid, bilinearly
    with aligned corners. Losses of weight 0 are left out.
    """
    prediction = torch.stack(step.passes).mean(dim=0)
    height, width = prediction.shape[-2:]
    target, valid = target_on_grid(step.batch, height, width)
    depth = losses.DEPTH_LOSSES[params.loss](prediction, target, valid)
    terms: dict[str, Tensor] = {params.loss: depth}
    if params.smoothness_weight > 0:
        image = _resized(imagenet_normalised(step.batch.image), height, width)
        terms["smoothness"] = params.smoothness_weight * losses.smoothness(prediction, image)
    if params.symmetry_weight > 0:
        terms["symmetry"] = params.symmetry_weight * losses.symmetry(*step.passes)
    return terms


def _resized(plane: Tensor, height: int, width: int) -> Tensor:
    if plane.shape[-2:] == (height, width):
        return plane
    return F.interpolate(plane, (height, width), mode="bilinear", align_corners=True)
