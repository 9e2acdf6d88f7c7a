"""A method that is a torch network trained by gradient descent: all but the network itself.

A subclass builds its network and, where it differs, says how a batch goes through it and which
losses it is trained with. Fit, resume, predict, save and load are here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from bench.errors import MethodError
from bench.method import FitContext, Method, Params
from bench.types import Batch

if TYPE_CHECKING:
    from torch import Tensor, nn

    from bench.data.base import Subset
    from bench.training.images import TrainingImages
    from bench.training.loop import StepOutput

TENSORS_FILE = "trained.safetensors"
NOTES_FILE = "training.json"


def _as_list(value: object) -> object:
    return [value] if isinstance(value, int) else value


EpochNumbers = Annotated[
    tuple[Annotated[int, Field(ge=1)], ...], BeforeValidator(_as_list), Field(min_length=1)
]


class TrainingParams(Params):
    """How a network is trained. Every field is a fit parameter.

    Subclasses add the network's own parameters and may give these other defaults.
    """

    epochs: int = Field(25, ge=1, description="Passes over the training images.")
    batch_size: int = Field(
        16, ge=1, description="Images a step; the last batch of an epoch may be shorter."
    )
    optimizer: Literal["sgd", "adam", "adamw"] = Field(
        "adamw", description="SGD is without Nesterov; AdamW decouples the weight decay."
    )
    learning_rate: float = Field(
        1e-4, gt=0, allow_inf_nan=False, description="The rate the schedule multiplies."
    )
    momentum: float = Field(
        0.9, ge=0, lt=1, description="SGD's momentum, or Adam's first beta (the second is 0.999)."
    )
    weight_decay: float = Field(
        1e-4, ge=0, allow_inf_nan=False, description="On every trained parameter, biases included."
    )
    schedule: Literal["constant", "step", "multistep", "cosine"] = Field(
        "cosine",
        description="How the rate changes at the end of an epoch (epochs count from 1). step: × "
        "step_gamma after each epoch that is a multiple of any of step_epochs; multistep: after "
        "exactly these epochs; cosine: half a cosine from the full rate towards 0.",
    )
    step_epochs: EpochNumbers = Field(
        (10,), description="Epochs of the step and multistep schedules; one number or a list."
    )
    step_gamma: float = Field(0.1, gt=0, le=1, description="Factor of one step of the schedule.")
    warmup_epochs: int = Field(
        0, ge=0, description="Epochs over which the rate rises linearly before the schedule begins."
    )
    loss: Literal["l1", "l2", "silog"] = Field(
        "l1",
        description="Depth loss on valid pixels: mean absolute error, mean squared error, or the "
        "scale-invariant log error with λ = 0.5.",
    )
    smoothness_weight: float = Field(
        0.0, ge=0, allow_inf_nan=False, description="Weight of the edge-aware smoothness; 0: none."
    )
    symmetry_weight: float = Field(
        0.0,
        ge=0,
        allow_inf_nan=False,
        description="Weight of the agreement of the two passes; needs mirror_pass; 0: none.",
    )
    mirror_pass: bool = Field(
        False,
        description="Each step sends the view and its mirror image through the network and "
        "averages the two predictions (the study's step; it doubles the cost).",
    )
    clamp_predictions: bool = Field(
        False,
        description="Clamp each prediction to [0, 10] m before the loss (the study's step): no "
        "gradient comes from pixels outside.",
    )
    precision: Literal["float32", "bf16"] = Field(
        "float32",
        description="bf16: autocast in training; losses, optimiser and prediction stay float32.",
    )
    gradient_clip: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="Largest norm of the whole gradient."
    )
    view: Literal["whole", "study"] = Field(
        "whole",
        description="What is trained on: the whole frame, or the study's 416×544 window of "
        "480×640 (scaled with other frames).",
    )
    augmentation: Literal["study", "flip", "none"] = Field(
        "study",
        description="study: rotation ±2.5°, random place of the view's crop, mirror, brightness "
        "0.8 to 1.2; flip: mirror only.",
    )
    selection: Literal["last", "validation", "study"] = Field(
        "last",
        description="The epoch that is kept: the last, or the one of lowest abs_rel on "
        "validation_share of the training images, which are then not trained on. study: chosen on "
        "the test images, every 5 epochs, as the study did; to reproduce it only, and flagged.",
    )
    validation_share: float = Field(
        0.1, gt=0, lt=1, description="Share of the training images held out, scene by scene."
    )

    @model_validator(mode="after")
    def _consistent(self) -> TrainingParams:
        if self.symmetry_weight > 0 and not self.mirror_pass:
            raise ValueError("symmetry_weight > 0 compares two passes: set mirror_pass: true")
        if self.warmup_epochs >= self.epochs:
            raise ValueError(
                f"warmup_epochs ({self.warmup_epochs}) must be fewer than epochs ({self.epochs})"
            )
        return self


class TrainedMethod(Method):
    """Base of methods that train a torch network.

    A subclass implements `build`; it may override `initialise`, `rate_scales`,
    `training_batches`, `forward`, `forward_training` and `losses`. What is trained is what
    requires grad after `build`: frozen parts stay in eval mode throughout and are not saved.

    Attributes:
        history: One entry an epoch: ``epoch``, ``learning_rate``, ``loss``, each weighted loss
            term by name and, where it is measured, ``validation_abs_rel``. Empty before `fit`.
        selection: How the epoch was chosen, in words; None before `fit`.
    """

    fitted: ClassVar[bool] = True
    seeded: ClassVar[bool] = True
    params: TrainingParams

    history: list[dict[str, float]]
    selection: str | None
    _net: nn.Module | None
    _fit_seed: int

    def __init__(self, params: Any, device: Any, seed: int = 0) -> None:
        super().__init__(params, device, seed)
        self.history = []
        self.selection = None
        self._net = None
        self._fit_seed = seed

    @classmethod
    def selects_on_test(cls, params: Any) -> bool:
        """With `selection: study`."""
        return bool(params.selection == "study")

    def build(self) -> nn.Module:
        """Build the network, frozen parts with their weights, on the CPU.

        What shall not be trained must not require grad. Runs with torch's generators seeded by
        the fit's seed, for `fit` and for `load` alike: all that is not saved must come out
        the same both times.
        """
        raise TypeError(f"method '{self.name}' has no build()")

    def initialise(self, net: nn.Module) -> None:
        """Put starting weights into the trained parts; called after `build`, by `fit` only."""

    def rate_scales(self, net: nn.Module) -> Mapping[str, float]:
        """Factors on the learning rate by module name, for parts that learn faster or slower."""
        return {}

    def uses_segments(self) -> bool:
        """Whether training batches must carry `segments`."""
        return False

    def training_batches(
        self, images: TrainingImages, indices: Sequence[int], seed: int, epoch: int
    ) -> Iterator[Batch]:
        """The batches of one epoch, on the CPU, augmented as the parameters say.

        Args:
            images: All training images.
            indices: Those to train on.
            seed: Of the fit.
            epoch: Counted from 1.
        """
        from bench.training.images import training_batches

        return training_batches(images, indices, self.params, seed, epoch)

    def forward(self, net: nn.Module, batch: Batch) -> Tensor:
        """Send a batch through the network.

        Returns:
            (B, 1, h', w') depth in metres on the network's own grid, unclamped.
        """
        depth: Tensor = net(batch.image)
        return depth

    def forward_training(self, net: nn.Module, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        """`forward`, and whatever else `losses` needs of the pass (logits, say), by name."""
        return self.forward(net, batch), {}

    def losses(self, net: nn.Module, step: StepOutput) -> dict[str, Tensor]:
        """The weighted loss terms of one step; their sum is minimised.

        A term of weight 0 is left out, not computed.

        Args:
            net: The network.
            step: The batch and what came of it.

        Returns:
            Scalars by name, in the order they are reported.
        """
        from bench.training.loop import standard_losses

        return standard_losses(self.params, step)

    def fit(self, data: Subset, context: FitContext) -> None:
        """Train on the images, resuming from `context.checkpoints` where it holds a checkpoint.

        torch's global random state is left as it was.

        Raises:
            MethodError: The loss is not finite, or the images cannot be split for validation.
        """
        from bench.training.loop import fit

        outcome = fit(self, data, context)
        self._fit_seed = context.seed
        self._net = outcome.net.to(self.device)
        self.history = outcome.history
        self.selection = outcome.selection

    def predict(self, batch: Batch) -> Tensor:
        """Predict in eval mode: (B, 1, h', w') float32, unclamped. Raises `MethodError`."""
        import torch

        from bench.training.modes import exact_kernels

        if self._net is None:
            raise MethodError(f"method '{self.name}': predict() before fit() or load()")
        self._net.eval()
        with torch.no_grad(), exact_kernels():
            return self.forward(self._net, batch).float()

    def save(self, folder: Path) -> None:
        """Write the trained tensors and the training's history."""
        from safetensors.torch import save

        from bench.training.modes import trained_tensors

        assert self._net is not None
        tensors = {
            name: tensor.detach().cpu().contiguous().clone()
            for name, tensor in trained_tensors(self._net).items()
        }
        (folder / TENSORS_FILE).write_bytes(save(tensors))
        notes = {
            "seed": self._fit_seed,
            "selection": self.selection,
            "history": self.history,
        }
        (folder / NOTES_FILE).write_text(json.dumps(notes, indent=1) + "\n", encoding="utf-8")

    def load(self, folder: Path) -> None:
        """Build the network and put the saved tensors into it.

        Raises:
            MethodError: The folder does not hold this network's tensors.
        """
        import torch
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        from bench.training.modes import restore_tensors, seeded

        try:
            tensors = load_file(folder / TENSORS_FILE)
            notes = json.loads((folder / NOTES_FILE).read_text(encoding="utf-8"))
        except (OSError, ValueError, SafetensorError) as error:
            raise MethodError(
                f"method '{self.name}': fit '{folder}' cannot be read ({error}); "
                "remove the folder to fit again"
            ) from error
        self._fit_seed = notes["seed"]
        # The caller may be predicting already; parameters must not become inference tensors.
        with torch.inference_mode(False), seeded(self._fit_seed, self.device):
            net = self.build()
            restore_tensors(net, tensors, self.name)
        self._net = net.to(self.device).eval()
        self.history = notes["history"]
        self.selection = notes["selection"]

    def network(self) -> nn.Module | None:
        """The trained network; None before `fit` or `load`."""
        return self._net
