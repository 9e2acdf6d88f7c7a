"""The training loop."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.data.base import Subset
from bench.data.batches import mirror_batch, prefetch
from bench.errors import MethodError
from bench.method import FitContext
from bench.training import losses
from bench.training.checkpoints import (
    BestEpoch,
    Checkpoint,
    identity_of,
    read_checkpoint,
    write_checkpoint,
)
from bench.training.images import TrainingImages, on_device, plain_batches
from bench.training.modes import (
    exact_kernels,
    restore_tensors,
    seeded,
    train_mode,
    trained_tensors,
)
from bench.training.normalisation import imagenet_normalised
from bench.training.optimizers import make_optimizer, set_rate
from bench.training.progress import Progress
from bench.training.schedules import rate_factor
from bench.training.selection import mean_abs_rel, split_for_validation
from bench.training.trained_method import TrainingParams
from bench.types import Batch

if TYPE_CHECKING:
    from bench.training.trained_method import TrainedMethod

SECONDS_BETWEEN_CHECKPOINTS = 10.0
STUDY_EPOCHS_BETWEEN_TESTS = 5


@dataclass(frozen=True)
class StepOutput:
    """One step's batch and what came of it.

    Attributes:
        batch: On the training device, with ground truth.
        passes: (B, 1, h', w') float32 predictions on the network's grid, as the batch lies: of
            the view and, with `mirror_pass`, of its mirror image turned back; clamped where the
            parameters say so.
        prediction: (B, 1, h, w) float32, the mean of the passes at the batch's size.
        extras: What `forward_training` returned beside the depth of the view.
    """

    batch: Batch
    passes: tuple[Tensor, ...]
    prediction: Tensor
    extras: Mapping[str, Tensor]


@dataclass(frozen=True)
class Outcome:
    """A finished fit: the network at the chosen epoch, the history, how the epoch was chosen."""

    net: nn.Module
    history: list[dict[str, float]]
    selection: str


def fit(method: TrainedMethod, data: Subset, context: FitContext) -> Outcome:
    """Train a method's network.

    Args:
        method: Builds the network, runs it and says its losses.
        data: The training images.
        context: Seed, device, checkpoints, progress.

    Raises:
        MethodError: The loss is not finite, or the images cannot be split for validation.
    """
    with seeded(context.seed, context.device), exact_kernels():
        return _Trainer(method, data, context).run()


def forward_passes(method: TrainedMethod, net: nn.Module, batch: Batch) -> StepOutput:
    """Send a batch, and its mirror image where `mirror_pass` says so, through the network.

    Each prediction is clamped (where asked for), turned back, averaged and only then resized to
    the batch's size, bilinearly with aligned corners.
    """
    params = method.params
    precision = torch.autocast(
        batch.image.device.type, dtype=torch.bfloat16, enabled=params.precision == "bf16"
    )
    with precision:
        depth, extras = method.forward_training(net, batch)
        passes = [depth]
        if params.mirror_pass:
            mirrored, _ = method.forward_training(net, mirror_batch(batch))
            passes.append(mirrored.flip(-1))
    passes = [one.float() for one in passes]
    if params.clamp_predictions:
        passes = [one.clamp(0.0, losses.MAX_DEPTH) for one in passes]
    mean = passes[0] if len(passes) == 1 else (passes[0] + passes[1]) / 2
    size = batch.image.shape[-2:]
    if mean.shape[-2:] != size:
        mean = F.interpolate(mean, size, mode="bilinear", align_corners=True)
    return StepOutput(batch, tuple(passes), mean, extras)


def ground_truth(batch: Batch) -> tuple[Tensor, Tensor]:
    """The depth to learn, clipped to [0, 10] m, and where there is any: (B, 1, h, w) each."""
    assert batch.depth is not None
    assert batch.valid is not None
    target = batch.depth.clamp(0.0, losses.MAX_DEPTH)
    return target, batch.valid & (target > losses.MIN_DEPTH)


def standard_losses(params: TrainingParams, step: StepOutput) -> dict[str, Tensor]:
    """Depth loss, smoothness and symmetry, weighted; those of weight 0 are left out."""
    target, valid = ground_truth(step.batch)
    depth = losses.DEPTH_LOSSES[params.loss](step.prediction, target, valid)
    return {params.loss: depth, **regularisation(params, step)}


def regularisation(params: TrainingParams, step: StepOutput) -> dict[str, Tensor]:
    """Smoothness and symmetry, weighted: the losses that need no ground truth."""
    terms: dict[str, Tensor] = {}
    if params.smoothness_weight > 0:
        image = imagenet_normalised(step.batch.image)
        smoothness = losses.smoothness(step.prediction, image)
        terms["smoothness"] = params.smoothness_weight * smoothness
    if params.symmetry_weight > 0:
        terms["symmetry"] = params.symmetry_weight * losses.symmetry(*step.passes)
    return terms


class _Trainer:
    def __init__(self, method: TrainedMethod, data: Subset, context: FitContext) -> None:
        self.method = method
        self.params = method.params
        self.context = context
        self.images = TrainingImages(data, segments=method.uses_segments())
        self.train, self.held = self._split()
        self.history: list[dict[str, float]] = []
        self.best: BestEpoch | None = None
        # The rows of one fit differ in predict parameters: either may go on with it.
        settings = self.params.model_dump(mode="json", exclude=set(self.params.predict_names()))
        self.identity = identity_of(method.name, settings, context.seed, data.ids)
        self.saved_at = time.monotonic()
        state = self._interrupted()
        self.net = method.build()
        if state is None:
            method.initialise(self.net)
        self.net.to(context.device)
        self.optimizer = make_optimizer(self.params, self.net, method.rate_scales(self.net))
        if state is not None:
            self._resume(state)

    def run(self) -> Outcome:
        finished = len(self.history)
        epochs, images = self.params.epochs, len(self.train)
        with Progress(self.context, epochs, images, finished=finished) as progress:
            for epoch in range(finished + 1, self.params.epochs + 1):
                entry = self._epoch(epoch, progress)
                self.history.append(entry)
                progress.epoch(entry)
                self._checkpoint(epoch)
        selection = f"last epoch ({self.params.epochs})"
        if self.best is not None:
            restore_tensors(self.net, self.best.tensors, self.method.name)
            selection = f"epoch {self.best.epoch} of {self.params.epochs}: {self._judge()}"
        self.net.eval()
        return Outcome(self.net, self.history, selection)

    def _judge(self) -> str:
        if self.params.selection == "study":
            return "lowest mean of the nine metrics on the test images (study)"
        return f"lowest abs_rel on {len(self.held)} held-out training images"

    def _interrupted(self) -> Checkpoint | None:
        folder = self.context.checkpoints
        return None if folder is None else read_checkpoint(folder, self.identity, self.context.log)

    def _resume(self, state: Checkpoint) -> None:
        restore_tensors(self.net, state.tensors, self.method.name)
        self.optimizer.load_state_dict(state.optimizer)
        torch.set_rng_state(state.rng)
        if state.device_rng is not None and self.context.device.type == "cuda":
            torch.cuda.set_rng_state(state.device_rng, self.context.device)
        self.history, self.best = state.history, state.best
        self.context.log.info("resumed after epoch %d of %d", state.epoch, self.params.epochs)

    def _split(self) -> tuple[list[int], list[int]]:
        if self.params.selection != "validation":
            return list(range(len(self.images))), []
        share = self.params.validation_share
        return split_for_validation(self.images, share, self.context.seed)

    def _epoch(self, epoch: int, progress: Progress) -> dict[str, float]:
        rate = self.params.learning_rate * rate_factor(self.params, epoch)
        set_rate(self.optimizer, rate)
        train_mode(self.net)
        progress.begin_epoch()
        sums: dict[str, float] = {}
        seen = 0
        for number, batch in enumerate(self._batches(epoch), start=1):
            for name, value in self._step(batch, epoch, number).items():
                sums[name] = sums.get(name, 0.0) + value * len(batch)
            seen += len(batch)
            progress.step(epoch, len(batch), sums["loss"] / seen)
        entry = {"epoch": float(epoch), "learning_rate": rate}
        entry |= {name: total / seen for name, total in sums.items()}
        if self.held:
            entry["validation_abs_rel"] = self._consider(epoch, self._validate())
        elif self._is_test_epoch(epoch):
            entry["test_metrics_mean"] = self._consider(epoch, self._test())
        return entry

    def _batches(self, epoch: int) -> Iterator[Batch]:
        batches = self.method.training_batches(self.images, self.train, self.context.seed, epoch)
        for batch in prefetch(batches):
            yield on_device(batch, self.context.device)

    def _step(self, batch: Batch, epoch: int, number: int) -> dict[str, float]:
        """Take one step; the loss and its weighted terms."""
        output = forward_passes(self.method, self.net, batch)
        terms = self.method.losses(self.net, output)
        total = torch.stack(list(terms.values())).sum()
        detached = torch.stack([total, *terms.values()]).detach()
        values = dict(zip(["loss", *terms], detached.tolist(), strict=True))
        self._check_finite(values, epoch, number)
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        if self.params.gradient_clip is not None:
            nn.utils.clip_grad_norm_(self.net.parameters(), self.params.gradient_clip)
        self.optimizer.step()
        return values

    def _check_finite(self, values: Mapping[str, float], epoch: int, number: int) -> None:
        if math.isfinite(values["loss"]):
            return
        terms = ", ".join(f"{name} {value:g}" for name, value in values.items() if name != "loss")
        remedies = [f"lower learning_rate (now {self.params.learning_rate:g})"]
        if self.params.gradient_clip is None:
            remedies.append("set gradient_clip: 1.0")
        if self.params.precision != "float32":
            remedies.append("set precision: float32")
        raise MethodError(
            f"method '{self.method.name}': the loss is not finite at epoch {epoch}, step {number} "
            f"({terms}); {' or '.join(remedies)}"
        )

    def _consider(self, epoch: int, value: float) -> float:
        """Keep the epoch if none before it had a value as low."""
        if self.best is None or value < self.best.value:
            self.best = BestEpoch(epoch, value, _on_cpu(trained_tensors(self.net)))
        return value

    def _is_test_epoch(self, epoch: int) -> bool:
        regular = epoch % STUDY_EPOCHS_BETWEEN_TESTS == 0
        return self.params.selection == "study" and (regular or epoch == self.params.epochs)

    def _test(self) -> float:
        if self.context.score_on_test is None:
            raise MethodError(
                f"method '{self.method.name}': selection: study chooses the epoch on the test "
                "images, which only a suite's run provides; use selection: last"
            )
        self.net.eval()
        with torch.no_grad():
            return self.context.score_on_test(
                lambda batch: self.method.forward(self.net, batch).float()
            )

    def _validate(self) -> float:
        self.net.eval()
        device = self.context.device
        batches = plain_batches(self.images, self.held, self.params)
        with torch.no_grad():
            return mean_abs_rel(
                (on_device(batch, device) for batch in prefetch(batches)),
                lambda batch: self.method.forward(self.net, batch),
            )

    def _checkpoint(self, epoch: int) -> None:
        folder = self.context.checkpoints
        due = time.monotonic() - self.saved_at >= SECONDS_BETWEEN_CHECKPOINTS
        if folder is None or not due:
            return
        device = self.context.device
        state = Checkpoint(
            identity=self.identity,
            epoch=epoch,
            tensors=trained_tensors(self.net),
            optimizer=self.optimizer.state_dict(),
            rng=torch.get_rng_state(),
            device_rng=torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
            history=self.history,
            best=self.best,
        )
        write_checkpoint(folder, state)
        self.saved_at = time.monotonic()


def _on_cpu(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().to("cpu", copy=True) for name, tensor in tensors.items()}
