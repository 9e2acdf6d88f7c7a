"""Learning rate schedules as pure functions of the epoch: nothing to save, nothing to resume."""

from __future__ import annotations

import math

from bench.training.trained_method import TrainingParams


def rate_factor(params: TrainingParams, epoch: int) -> float:
    """What the learning rate is multiplied by during an epoch.

    Warm-up comes first: epoch e of w has the factor e / (w + 1). The schedules then see

    - constant: 1.
    - step: ``step_gamma ** n``, n the number of *finished* epochs that are a multiple of any of
      `step_epochs` (the rate changes at the end of such an epoch).
    - multistep: the same, n the number of finished epochs listed in `step_epochs`.
    - cosine: ½(1 + cos(π·t)), t the share of the epochs after the warm-up that is finished
      (Loshchilov & Hutter 2017, arXiv 1608.03983, eq. 5, one period, minimum 0).

    Args:
        params: The schedule and its settings.
        epoch: Counted from 1.
    """
    warmup = params.warmup_epochs
    if epoch <= warmup:
        return epoch / (warmup + 1)
    if params.schedule == "cosine":
        share = (epoch - 1 - warmup) / (params.epochs - warmup)
        return 0.5 * (1 + math.cos(math.pi * share))
    return float(params.step_gamma ** _steps_taken(params, epoch))


def _steps_taken(params: TrainingParams, epoch: int) -> int:
    finished = range(1, epoch)
    if params.schedule == "step":
        return sum(any(done % every == 0 for every in params.step_epochs) for done in finished)
    if params.schedule == "multistep":
        return sum(done in params.step_epochs for done in finished)
    return 0
