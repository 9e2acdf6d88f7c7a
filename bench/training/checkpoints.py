"""Epoch checkpoints: everything a fit needs to go on as if it had never stopped."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import pickle
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.store import write_atomically

FILE = "checkpoint.pt"


@dataclass(frozen=True)
class BestEpoch:
    """The best epoch so far by validation: its number, its abs_rel, its trained tensors (CPU)."""

    epoch: int
    value: float
    tensors: dict[str, Tensor]


@dataclass(frozen=True)
class Checkpoint:
    """The state of a fit at the end of an epoch.

    The learning rate, the order of the images and their augmentation follow from the epoch and
    need no state.

    Attributes:
        identity: What is being fitted (`identity_of`).
        epoch: Epochs finished.
        tensors: The trained tensors.
        optimizer: The optimiser's state.
        rng: Torch's CPU generator.
        device_rng: The CUDA device's generator; None on a CPU.
        history: One entry a finished epoch.
        best: The best epoch so far, where one is chosen by validation.
    """

    identity: str
    epoch: int
    tensors: dict[str, Tensor]
    optimizer: dict[str, Any]
    rng: Tensor
    device_rng: Tensor | None
    history: list[dict[str, float]]
    best: BestEpoch | None


def identity_of(method: str, params: dict[str, Any], seed: int, ids: tuple[str, ...]) -> str:
    """SHA-256 (hex) over what is being fitted, to tell one fit's checkpoint from another's."""
    text = json.dumps([method, params, seed, ids], sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def write_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Replace the folder's checkpoint in one step. Raises `StoreError`."""
    stream = io.BytesIO()
    fields = {name: getattr(checkpoint, name) for name in Checkpoint.__dataclass_fields__}
    best = checkpoint.best
    fields["best"] = None if best is None else asdict(best)
    torch.save(fields, stream)
    write_atomically(folder / FILE, stream.getvalue())


def read_checkpoint(folder: Path, identity: str, log: logging.Logger) -> Checkpoint | None:
    """The folder's checkpoint, on the CPU; None where there is none to go on from.

    One that cannot be read, or is of another fit, is passed over with a warning in the log: the
    fit then begins anew.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        fields = torch.load(path, map_location="cpu", weights_only=True)
        best = fields.pop("best")
        checkpoint = Checkpoint(**fields, best=None if best is None else BestEpoch(**best))
    except (OSError, RuntimeError, ValueError, TypeError, AttributeError, LookupError,
            EOFError, pickle.UnpicklingError) as error:  # fmt: skip
        log.warning("checkpoint '%s' cannot be read (%s): training starts anew", path, error)
        return None
    if checkpoint.identity != identity:
        log.warning("checkpoint '%s' is of another fit: training starts anew", path)
        return None
    return checkpoint
