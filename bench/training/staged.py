"""Methods trained in two stages: coarse first, then refine with the coarse part frozen.

One fit trains both; the predict parameter `stage` says which one a row of the table reads out.
Each stage is a fit of its own (`bench.training.loop`), with checkpoints, schedule and choice of
the epoch of its own, and begins from the same seed. Imports no torch at import time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

from pydantic import Field, model_validator

from bench.errors import MethodError
from bench.method import FitContext, predict_param
from bench.training.trained_method import TrainedMethod, TrainingParams

if TYPE_CHECKING:
    from torch import Tensor, nn

    from bench.data.base import Subset
    from bench.training.loop import StepOutput

Stage = Literal["coarse", "refine"]
STAGES: tuple[Stage, ...] = get_args(Stage)


class StagedParams(TrainingParams):
    """How both stages are trained; what is said once holds for both."""

    stage: Stage = predict_param(
        "refine", description="Whose prediction is read out: coarse, or coarse and refine."
    )
    refine_epochs: int | None = Field(
        None, ge=1, description="Epochs of the refine stage; as many as the coarse stage's if null."
    )
    refine_learning_rate: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="Learning rate of the refine stage; the coarse stage's if null.",
    )

    @model_validator(mode="after")
    def _refine_outlasts_its_warmup(self) -> Self:
        if self.refine_epochs is not None and self.warmup_epochs >= self.refine_epochs:
            raise ValueError(
                f"warmup_epochs ({self.warmup_epochs}) must be fewer than refine_epochs "
                f"({self.refine_epochs})"
            )
        return self

    def training(self, stage: Stage) -> Self:
        """The parameters one stage is trained with; `stage` is then that stage."""
        update: dict[str, Any] = {"stage": stage}
        if stage == "refine":
            update["epochs"] = self.refine_epochs or self.epochs
            update["learning_rate"] = self.refine_learning_rate or self.learning_rate
        return self.model_copy(update=update)


class StagedMethod(TrainedMethod):
    """Base of methods whose network has a part `coarse` and a part `refine`, trained in turn.

    A subclass implements `build_stages` and `forward`. While a stage is trained, and when its
    prediction is read out, ``self.params.stage`` names it. Losses are taken on the network's own
    grid (`bench.training.native_grid`).

    Attributes:
        history: The epochs of both stages, numbered through; ``stage`` is 1 (coarse) or 2 (refine).
    """

    params: StagedParams
    _earlier: Mapping[Stage, Mapping[str, Tensor]] | None = None
    """While a stage is trained: the tensors of the stages before it."""

    def build_stages(self) -> nn.Module:
        """Build the network: modules `coarse` and `refine`, trained throughout, the rest frozen.

        Like `build`, it must come out the same each time from the same seed.
        """
        raise TypeError(f"method '{self.name}' has no build_stages()")

    def build(self) -> nn.Module:
        """Build the network; while a stage is trained, with the other one frozen."""
        net = self.build_stages()
        if self._earlier is not None:
            _prepare(net, self.params.stage, self._earlier, self.name)
        return net

    def losses(self, net: nn.Module, step: StepOutput) -> dict[str, Tensor]:
        """The standard losses, on the grid of the prediction."""
        from bench.training.native_grid import native_losses

        return native_losses(self.params, step)

    def fit(self, data: Subset, context: FitContext) -> None:
        """Train one stage after the other, resuming within either or between the two.

        Raises:
            MethodError: The loss is not finite, or the images cannot be split for validation.
        """
        from bench.training.modes import trained_tensors

        each = {stage: self.params.training(stage).epochs for stage in STAGES}
        earlier: dict[Stage, dict[str, Tensor]] = {}
        history: list[dict[str, float]] = []
        chosen: list[str] = []
        for number, stage in enumerate(STAGES, start=1):
            done = len(history)
            told = _numbered_through(context.report, done, sum(each.values()))
            trained = self._trained(stage, earlier, data, replace(context, report=told))
            earlier[stage] = trained_tensors(trained._trained_net())
            for entry in trained.history:
                history.append({**entry, "epoch": done + entry["epoch"], "stage": float(number)})
            chosen.append(f"{stage}: {trained.selection}")
        self._net = net = trained._trained_net()
        for stage in STAGES:
            net.get_submodule(stage).requires_grad_(True)
        self._fit_seed, self.history, self.selection = context.seed, history, "; ".join(chosen)

    def _trained(
        self,
        stage: Stage,
        earlier: Mapping[Stage, Mapping[str, Tensor]],
        data: Subset,
        context: FitContext,
    ) -> Self:
        """A method of the same kind with one stage trained, taken from the checkpoints if there."""
        one = type(self)(self.params.training(stage), context.device, context.seed)
        one._earlier = dict(earlier)
        context.log.info("stage %s: %d epochs", stage, one.params.epochs)
        if context.checkpoints is None:
            _fit_stage(one, data, context)
            return one
        folder = context.checkpoints / stage
        finished = folder / f"finished-{one._identity(data, context)}"
        if not _loaded(one, finished, context):
            folder.mkdir(parents=True, exist_ok=True)
            _fit_stage(one, data, replace(context, checkpoints=folder))
            _publish(one, finished)
        return one

    def _identity(self, data: Subset, context: FitContext) -> str:
        from bench.training.checkpoints import identity_of

        settings = self.params.model_dump(mode="json")
        return identity_of(self.name, settings, context.seed, data.ids)[:16]

    def _trained_net(self) -> nn.Module:
        assert self._net is not None
        return self._net

    def network(self) -> nn.Module | None:
        """What the prediction of `stage` goes through; None before `fit` or `load`."""
        net = super().network()
        return net if net is None else _without_later_stages(net, self.params.stage)


def _fit_stage(method: StagedMethod, data: Subset, context: FitContext) -> None:
    try:
        TrainedMethod.fit(method, data, context)
    except MethodError as error:
        if method.params.stage == "coarse":
            raise
        raise MethodError(f"{error} (refine stage: its rate is refine_learning_rate)") from error


def _prepare(
    net: nn.Module, stage: Stage, earlier: Mapping[Stage, Mapping[str, Tensor]], method: str
) -> None:
    """Put the earlier stages' tensors in place and leave only one stage to be trained."""
    from bench.training.modes import restore_tensors

    for before, tensors in earlier.items():
        _train_only(net, before)
        restore_tensors(net, tensors, method)
    _train_only(net, stage)


def _train_only(net: nn.Module, stage: Stage) -> None:
    for one in STAGES:
        net.get_submodule(one).requires_grad_(one == stage)


def _without_later_stages(net: nn.Module, stage: Stage) -> nn.Module:
    from torch import nn

    later = STAGES[STAGES.index(stage) + 1 :]
    if not later:
        return net
    part = nn.Module()
    for name, child in net.named_children():
        if name not in later:
            part.add_module(name, child)
    return part.eval()


def _numbered_through(report: Callable[..., None], done: int, epochs: int) -> Callable[..., None]:
    """A report in which a stage's epochs follow those done before it."""

    def numbered(*, epoch: int, progress: float, **values: Any) -> None:
        report(**{**values, "epoch": done + epoch, "progress": done + progress, "epochs": epochs})

    return numbered


def _loaded(method: StagedMethod, folder: Path, context: FitContext) -> bool:
    """Whether a stage was finished before an interruption; it then is as it was."""
    import shutil

    if not folder.is_dir():
        return False
    try:
        method.load(folder)
    except MethodError as error:
        context.log.warning("finished stage cannot be used (%s): it is trained anew", error)
        shutil.rmtree(folder, ignore_errors=True)
        return False
    return True


def _publish(method: StagedMethod, folder: Path) -> None:
    from bench.store import publish_folder

    with publish_folder(folder) as aside:
        method.save(aside)
