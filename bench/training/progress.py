"""What a fit tells while it runs: the live line, the log, TensorBoard."""

from __future__ import annotations

import time
from pathlib import Path
from types import TracebackType
from typing import Any

from bench.method import FitContext

SECONDS_BETWEEN_REPORTS = 0.2


class Progress:
    """Reports steps (at most five a second) and epochs; a context manager."""

    def __init__(self, context: FitContext, epochs: int, images: int, *, finished: int) -> None:
        """Begin.

        Args:
            context: Where to report to; TensorBoard goes to ``tensorboard`` in its checkpoints.
            epochs: In all.
            images: Trained on in each epoch.
            finished: Epochs a resumed fit has behind it.
        """
        self._context = context
        self._epochs = epochs
        self._of = images
        self._reported = 0.0
        self._images = 0
        self._begin = time.perf_counter()
        self._scalars = _scalars(context.checkpoints, finished)

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._scalars is not None:
            self._scalars.close()

    def begin_epoch(self) -> None:
        """Begin counting images anew."""
        self._images = 0
        self._begin = time.perf_counter()

    def step(self, epoch: int, images: int, loss: float) -> None:
        """Tell that a step is done.

        Args:
            epoch: Counted from 1.
            images: In this step.
            loss: Mean over the epoch so far.
        """
        self._images += images
        now = time.perf_counter()
        if now - self._reported >= SECONDS_BETWEEN_REPORTS:
            self._reported = now
            self._report(epoch, epoch - 1 + self._images / self._of, loss)

    def epoch(self, entry: dict[str, float]) -> None:
        """Tell that an epoch is done: its line of the history."""
        epoch = int(entry["epoch"])
        self._report(epoch, epoch, entry["loss"])
        told = ", ".join(f"{name} {value:.6g}" for name, value in entry.items() if name != "epoch")
        self._context.log.info("epoch %d of %d: %s", epoch, self._epochs, told)
        if self._scalars is not None:
            for name, value in entry.items():
                if name != "epoch":
                    self._scalars.add_scalar(name, value, epoch)

    def _report(self, epoch: int, progress: float, loss: float) -> None:
        speed = self._images / max(time.perf_counter() - self._begin, 1e-9)
        self._context.report(
            epoch=epoch,
            epochs=self._epochs,
            progress=progress,
            loss=loss,
            images_per_second=speed,
        )


def _scalars(checkpoints: Path | None, finished: int) -> Any:
    if checkpoints is None:
        return None
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(checkpoints / "tensorboard"), purge_step=finished + 1)
